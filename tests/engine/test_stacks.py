"""Stacks of real endpoints: created, updated, rolled back, deleted."""

import json

import pytest

from modelwright.engine import stack_types
from modelwright.errors import AwsError
from support.hosting import ServingImages
from support.platform import running
from support.stacks import ENDPOINT, EndpointStacks, mode
from support.waiting import until


@pytest.fixture
def cloud(tmp_path):
    with running(tmp_path / "home", images=ServingImages(tmp_path)) as platform:
        yield EndpointStacks(platform)


def test_create_update_roll_back_delete(cloud):
    made = cloud("CreateStack", StackName="s", TemplateBody=json.dumps(ENDPOINT))
    stack = cloud.settled("s")
    assert (stack["StackStatus"], stack.get("StackStatusReason")) == ("CREATE_COMPLETE", None)
    assert stack["Outputs"] == [{"OutputKey": "Name", "OutputValue": "pose"}]
    first = cloud.platform.call("DescribeEndpoint", EndpointName="pose")["EndpointConfigName"]

    cloud("UpdateStack", StackName="s", UsePreviousTemplate=True, Parameters=mode("slow"))
    assert cloud.settled("s")["StackStatus"] == "UPDATE_COMPLETE"
    second = cloud.platform.call("DescribeEndpoint", EndpointName="pose")["EndpointConfigName"]
    assert first != second
    assert [c["EndpointConfigName"] for c in cloud.platform.call("ListEndpointConfigs")["EndpointConfigs"]] == [second]
    with pytest.raises(AwsError, match="No updates are to be performed"):
        cloud("UpdateStack", StackName="s", UsePreviousTemplate=True, Parameters=mode("slow"))

    cloud("UpdateStack", StackName="s", UsePreviousTemplate=True, Parameters=mode("crash"))
    stack = cloud.settled("s")
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    endpoint = cloud.platform.call("DescribeEndpoint", EndpointName="pose")
    assert (endpoint["EndpointConfigName"], endpoint["EndpointStatus"]) == (second, "InService")
    assert [c["EndpointConfigName"] for c in cloud.platform.call("ListEndpointConfigs")["EndpointConfigs"]] == [second]

    cloud("DeleteStack", StackName="s")
    assert cloud.settled(made["StackId"])["StackStatus"] == "DELETE_COMPLETE"
    assert [cloud.platform.count(kind) for kind in ("Endpoint", "EndpointConfig", "Model")] == [0, 0, 0]


def test_a_creation_that_fails_is_rolled_back(cloud):
    cloud("CreateStack", StackName="s", TemplateBody=json.dumps(ENDPOINT), Parameters=mode("crash"))
    stack = cloud.settled("s")
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert [cloud.platform.count(kind) for kind in ("Endpoint", "EndpointConfig", "Model")] == [0, 0, 0]


def test_a_stack_is_deleted_while_its_endpoint_comes_up(cloud):
    """And when its update is cancelled, the endpoint is brought back as soon as it can be."""
    made = cloud("CreateStack", StackName="s", TemplateBody=json.dumps(ENDPOINT), Parameters=mode("never"))
    cloud.platform.until(lambda: cloud.platform.count("Endpoint"))
    cloud("DeleteStack", StackName="s")
    assert cloud.settled(made["StackId"])["StackStatus"] == "DELETE_COMPLETE"
    assert [cloud.platform.count(kind) for kind in ("Endpoint", "EndpointConfig", "Model")] == [0, 0, 0]

    cloud("CreateStack", StackName="s", TemplateBody=json.dumps(ENDPOINT))
    assert cloud.settled("s")["StackStatus"] == "CREATE_COMPLETE"
    first = cloud.platform.call("DescribeEndpoint", EndpointName="pose")["EndpointConfigName"]
    cloud("UpdateStack", StackName="s", UsePreviousTemplate=True, Parameters=mode("slow"))
    cloud.platform.until(
        lambda: cloud.platform.call("DescribeEndpoint", EndpointName="pose")["EndpointStatus"] == "Updating"
    )
    cloud("CancelUpdateStack", StackName="s")
    assert cloud.settled("s")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE", cloud.reasons("s")
    endpoint = cloud.platform.call("DescribeEndpoint", EndpointName="pose")
    assert (endpoint["EndpointConfigName"], endpoint["EndpointStatus"]) == (first, "InService")


def test_an_update_that_ends_between_two_looks_at_it_is_taken_back_too(cloud, monkeypatch):
    cloud("CreateStack", StackName="s", TemplateBody=json.dumps(ENDPOINT))
    assert cloud.settled("s")["StackStatus"] == "CREATE_COMPLETE"
    first = cloud.platform.call("DescribeEndpoint", EndpointName="pose")["EndpointConfigName"]
    describe, seen = stack_types.describe, []

    def status():
        return cloud("DescribeStacks", StackName="s")["Stacks"][0]["StackStatus"]

    def late(row, act, name):
        found = describe(row, act, name)
        if found.get("EndpointStatus") == "Updating" and status() == "UPDATE_ROLLBACK_IN_PROGRESS":
            seen.append(found["EndpointConfigName"])
            if len(seen) == 2:  # the first finds its stream, to be told of changes
                until(lambda: describe(row, act, name)["EndpointStatus"] == "InService")
        return found

    monkeypatch.setattr(stack_types, "describe", late)
    cloud("UpdateStack", StackName="s", UsePreviousTemplate=True, Parameters=mode("slow"))
    cloud.platform.until(
        lambda: cloud.platform.call("DescribeEndpoint", EndpointName="pose")["EndpointStatus"] == "Updating"
    )
    cloud("CancelUpdateStack", StackName="s")
    assert cloud.settled("s")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE", cloud.reasons("s")
    assert len(seen) >= 2, "nobody looked at the endpoint while it was updated"
    assert cloud.platform.call("DescribeEndpoint", EndpointName="pose")["EndpointConfigName"] == first


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"Type": "AWS::EC2::Instance"}, "Unrecognized resource types: [AWS::EC2::Instance]"),
        ({"DependsOn": "Endpoint"}, "Circular dependency between resources: [Config, Endpoint, Model]"),
        ({"Properties": {"A": {"Ref": "Gone"}}}, "Unresolved resource dependencies [Gone] in the Resources block"),
    ],
)
def test_bad_templates_make_nothing(cloud, change, text):
    model = {**ENDPOINT["Resources"]["Model"], **change}
    bad = {**ENDPOINT, "Resources": {**ENDPOINT["Resources"], "Model": model}}
    with pytest.raises(AwsError) as error:
        cloud("CreateStack", StackName="s", TemplateBody=json.dumps(bad))
    assert text in error.value.message
    assert error.value.code == "ValidationError"
    assert cloud.platform.count("Stack") == 0
