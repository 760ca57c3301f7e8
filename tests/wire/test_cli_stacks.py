"""`modelwright stacks` on a real server."""

import json
import uuid

import pytest

from support.cli import CommandLine


@pytest.fixture(scope="module")
def modelwright(server):
    return CommandLine(server.settings.home)


def test_it_works(server, modelwright):
    name, cloud = f"cli-{uuid.uuid4().hex[:8]}", server.client("cloudformation")
    resources = {
        "Bucket": {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": name}},
        "Group": {"Type": "AWS::Logs::LogGroup", "Properties": {"LogGroupName": f"/{name}"}},
    }
    outputs = {"Where": {"Value": {"Ref": "Group"}}}
    body = json.dumps({"Description": "Ours", "Resources": resources, "Outputs": outputs})
    cloud.create_stack(StackName=name, TemplateBody=body)
    cloud.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
    assert name in modelwright.out("stacks", "list")
    shown = modelwright.out("stacks", "show", name)
    assert all(word in shown for word in ("CREATE_COMPLETE", "Ours", "Where", f"/{name}", "AWS::S3::Bucket"))
    document = json.loads(modelwright.out("stacks", "show", name, "--json"))
    assert {each["LogicalResourceId"] for each in document["StackResources"]} == {"Bucket", "Group"}
    events = json.loads(modelwright.out("stacks", "events", name, "--json"))
    assert events[-1]["ResourceStatus"] == "CREATE_COMPLETE"
    assert "CREATE_IN_PROGRESS" in modelwright.out("stacks", "events", name)

    server.client("s3").put_object(Bucket=name, Key="a", Body=b"a")
    refused = modelwright.err("stacks", "delete", name, "--yes", code=1)
    assert f"{name} is DELETE_FAILED" in refused
    assert "not empty" in modelwright.out("stacks", "show", name)
    assert modelwright.out("stacks", "delete", name, "--yes", "--retain", "Bucket") == f"{name} is deleted\n"
    assert name not in modelwright.out("stacks", "list")
    assert name in modelwright.out("stacks", "list", "--deleted")
    for command in ("show", "events", "delete"):
        more = ("--yes",) if command == "delete" else ()
        assert f"There is no stack '{name}'" in modelwright.err("stacks", command, name, *more, code=2)
