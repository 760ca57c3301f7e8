"""Stacks that fail, roll back, are cancelled, kept and deleted: over real services, without a runtime."""

import json

import pytest

from modelwright.errors import AwsError
from support.stacks import Cloud, group, log, model, template
from support.waiting import until


@pytest.fixture
def cloud(tmp_path):
    made = Cloud(tmp_path / "home").start()
    yield made
    made.close()


def test_a_resource_that_fails_takes_the_creation_back(cloud):
    cloud.failing["CreateModelPackageGroup", "bad"] = "there is no room for it"
    stack = cloud.create("s", template(A=log("/a"), B=group("bad", DependsOn="A"), C=log("/c", DependsOn="B")))
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert ("B", "CREATE_FAILED", "there is no room for it") in cloud.reasons("s")
    assert ("s", "ROLLBACK_IN_PROGRESS") in [each[:2] for each in cloud.reasons("s")]
    assert [each[0] for each in cloud.reasons("s")].count("C") == 0
    assert cloud.groups() == []
    with pytest.raises(AwsError, match="is in ROLLBACK_COMPLETE state and can not be updated"):
        cloud.update("s", template(A=log("/a")))
    assert cloud.delete("s")["StackStatus"] == "DELETE_COMPLETE"


def test_a_creation_that_is_not_to_be_taken_back(cloud):
    cloud.failing["CreateModelPackageGroup", "bad"] = "no"
    bad = template(A=log("/a"), B=group("bad", DependsOn="A"))
    stack = cloud.create("s", bad, DisableRollback=True)
    assert (stack["StackStatus"], stack["DisableRollback"]) == ("CREATE_FAILED", True)
    assert cloud.groups() == ["/a"]
    cloud("RollbackStack", StackName="s")
    assert cloud.settled("s")["StackStatus"] == "ROLLBACK_COMPLETE"
    assert cloud.groups() == []
    with pytest.raises(AwsError, match="can not be rolled back"):
        cloud("RollbackStack", StackName="s")
    cloud("CreateStack", StackName="t", TemplateBody=json.dumps(bad), OnFailure="DELETE")
    until(lambda: not cloud.of("cloudformation", "ListStacks", StackStatusFilter=["CREATE_IN_PROGRESS",
          "DELETE_IN_PROGRESS"])["StackSummaries"])  # fmt: skip
    with pytest.raises(AwsError, match="Stack with id t does not exist"):
        cloud.status("t")


def test_a_rollback_that_fails_goes_on_when_it_can(cloud):
    cloud.create("s", template(A=log("/a", RetentionInDays=1), B=log("/b", RetentionInDays=1)))
    cloud.failing["PutRetentionPolicy", "5"] = "five is bad"
    cloud.failing["PutRetentionPolicy", '"/a", "retentionInDays": 1'] = "it can't go back"
    worse = template(
        A=log("/a", RetentionInDays=3),
        B=log("/b", RetentionInDays=3, DependsOn="A"),
        C=log("/c", RetentionInDays=5, DependsOn="B"),
    )
    stack = cloud.update("s", worse)
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_FAILED"
    assert stack["StackStatusReason"] == "The following resource(s) failed to update: [A]. "
    assert cloud.resources("s")["A"]["ResourceStatus"] == "UPDATE_FAILED"
    with pytest.raises(AwsError, match="can not be updated"):
        cloud.update("s", worse)
    with pytest.raises(AwsError, match=r"ResourcesToSkip \[B\] are not in the state UPDATE_FAILED; \[A\] are"):
        cloud("ContinueUpdateRollback", StackName="s", ResourcesToSkip=["B"])
    cloud("ContinueUpdateRollback", StackName="s")
    assert cloud.settled("s")["StackStatus"] == "UPDATE_ROLLBACK_FAILED"
    cloud.failing.clear()
    cloud("ContinueUpdateRollback", StackName="s")
    stack = cloud.settled("s")
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    found = cloud.of("logs", "DescribeLogGroups")["logGroups"]
    assert {each["logGroupName"]: each["retentionInDays"] for each in found} == {"/a": 1, "/b": 1}
    assert set(cloud.resources("s")) == {"A", "B"}
    with pytest.raises(AwsError, match="can not continue its rollback"):
        cloud("ContinueUpdateRollback", StackName="s")


def test_what_can_not_be_rolled_back_is_left_as_it_is(cloud):
    cloud.create("s", template(A=log("/a", RetentionInDays=1)))
    cloud.failing["PutRetentionPolicy", '"retentionInDays": 1'] = "it can't go back"
    cloud.failing["CreateModelPackageGroup", "bad"] = "no"
    bad = template(A=log("/a", RetentionInDays=3), B=group("bad", DependsOn="A"))
    assert cloud.update("s", bad)["StackStatus"] == "UPDATE_ROLLBACK_FAILED"
    cloud("ContinueUpdateRollback", StackName="s", ResourcesToSkip=["A"])
    assert cloud.settled("s")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert cloud.of("logs", "DescribeLogGroups")["logGroups"][0]["retentionInDays"] == 3
    assert cloud.resources("s")["A"]["ResourceStatus"] == "UPDATE_COMPLETE"
    assert cloud("GetTemplate", StackName="s")["TemplateBody"] == json.dumps(template(A=log("/a", RetentionInDays=1)))


def test_a_rollback_of_a_creation_that_fails(cloud):
    cloud.failing["CreateModelPackageGroup", "bad"] = "no"
    cloud.failing["DeleteLogGroup", "/a"] = "it is in use"
    stack = cloud.create("s", template(A=log("/a"), B=group("bad", DependsOn="A")))
    assert stack["StackStatus"] == "ROLLBACK_FAILED"
    assert ("A", "DELETE_FAILED", "it is in use") in cloud.reasons("s")
    assert cloud.delete("s")["StackStatus"] == "DELETE_FAILED"
    with pytest.raises(AwsError, match=r"has no resources \[Z\] to retain"):
        cloud("DeleteStack", StackName="s", RetainResources=["Z"])
    assert cloud.delete("s", RetainResources=["A"])["StackStatus"] == "DELETE_COMPLETE"
    assert cloud.groups() == ["/a"]


def test_a_stack_is_deleted_while_it_is_created(cloud):
    held = cloud.hold("CreateModelPackageGroup")
    wanted = template(A=log("/a"), B=group("b", DependsOn="A"), C=log("/c", DependsOn="B"))
    identity = cloud("CreateStack", StackName="s", TemplateBody=json.dumps(wanted))["StackId"]
    assert held.begun.wait(30)
    cloud("DeleteStack", StackName="s")
    assert cloud.status("s") == "DELETE_IN_PROGRESS"
    held.set()
    assert cloud.settled(identity)["StackStatus"] == "DELETE_COMPLETE"
    assert (cloud.groups(), cloud.count("ModelPackageGroup")) == ([], 0)
    assert "/c" not in str(cloud.done)
    assert cloud.create("s", template(A=log("/a")))["StackStatus"] == "CREATE_COMPLETE"


def test_an_update_is_cancelled(cloud):
    cloud.create("s", template(A=log("/a", RetentionInDays=1)))
    with pytest.raises(AwsError, match="cannot be called from current stack status"):
        cloud("CancelUpdateStack", StackName="s")
    held = cloud.hold("CreateModelPackageGroup")
    more = template(A=log("/a", RetentionInDays=3), B=group("b", DependsOn="A"), C=log("/c", DependsOn="B"))
    cloud("UpdateStack", StackName="s", TemplateBody=json.dumps(more))
    assert held.begun.wait(30)
    with pytest.raises(AwsError, match="cannot be deleted while in status UPDATE_IN_PROGRESS"):
        cloud("DeleteStack", StackName="s")
    cloud("CancelUpdateStack", StackName="s")
    held.set()
    assert cloud.settled("s")["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    (found,) = cloud.of("logs", "DescribeLogGroups")["logGroups"]
    assert (found["logGroupName"], found["retentionInDays"]) == ("/a", 1)
    assert cloud.count("ModelPackageGroup") == 0


def test_what_is_retained(cloud):
    kept = template(
        A=log("/kept", DeletionPolicy="Retain"),
        B=log("/except", DeletionPolicy="RetainExceptOnCreate"),
        C=log("/gone"),
        D=log("/old", UpdateReplacePolicy="Retain"),
    )
    cloud.create("s", kept)
    other = {**kept, "Resources": {**kept["Resources"], "D": log("/new", UpdateReplacePolicy="Retain")}}
    cloud.update("s", other)
    assert ("D", "DELETE_SKIPPED", "") in cloud.reasons("s")
    assert cloud.resources("s")["D"]["PhysicalResourceId"] == "/new"
    stack = cloud.delete("s")
    assert cloud.groups() == ["/except", "/kept", "/old"]
    assert {name: one["ResourceStatus"] for name, one in cloud.resources(stack["StackId"]).items()} == {
        "A": "DELETE_SKIPPED", "B": "DELETE_SKIPPED", "C": "DELETE_COMPLETE", "D": "DELETE_COMPLETE"
    }  # fmt: skip
    cloud.failing["CreateModelPackageGroup", "bad"] = "no"
    failing = template(
        A=log("/one", DeletionPolicy="Retain"),
        B=log("/two", DeletionPolicy="RetainExceptOnCreate"),
        C=group("bad", DependsOn=["A", "B"]),
    )
    assert cloud.create("t", failing)["StackStatus"] == "ROLLBACK_COMPLETE"
    assert cloud.groups() == ["/except", "/kept", "/old", "/one"]


def test_the_template_of_an_update_that_was_rolled_back_is_not_the_stack_s(cloud):
    days = {"Days": {"Type": "Number", "Default": 1}}
    good = template(parameters=days, A=log("/a", RetentionInDays={"Ref": "Days"}))
    cloud.create("s", good, Tags=[{"Key": "a", "Value": "1"}])
    cloud.failing["CreateModelPackageGroup", "bad"] = "no"
    bad = template(parameters=days, A=log("/a", RetentionInDays={"Ref": "Days"}), B=group("bad"))
    stack = cloud.update(
        "s",
        bad,
        Parameters=[{"ParameterKey": "Days", "ParameterValue": "3"}],
        Tags=[{"Key": "a", "Value": "2"}],
    )
    assert stack["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert stack["Parameters"] == [{"ParameterKey": "Days", "ParameterValue": "1"}]
    assert stack["Tags"] == [{"Key": "a", "Value": "1"}]
    assert cloud.of("logs", "ListTagsLogGroup", logGroupName="/a")["tags"] == {"a": "1"}
    with pytest.raises(AwsError, match="No updates are to be performed"):
        cloud("UpdateStack", StackName="s", UsePreviousTemplate=True)
    previous = [{"ParameterKey": "Days", "UsePreviousValue": True}]
    with pytest.raises(AwsError, match="No updates are to be performed"):
        cloud("UpdateStack", StackName="s", UsePreviousTemplate=True, Parameters=previous)


def test_what_is_replaced_is_told_as_it_is(cloud):
    cloud.create("s", template(A=model(ModelName="one"), B=log("/gone")))
    cloud.update("s", template(A=model(ModelName="two")))
    (found,) = cloud.resources("s").values()
    assert found["PhysicalResourceId"].endswith(":model/two")
    assert found["ResourceStatus"] == "UPDATE_COMPLETE"
    assert (cloud.count("Model"), cloud.groups()) == (1, [])
    with pytest.raises(AwsError, match=r"modifies resource type of the following resources: \[A\]"):
        cloud.update("s", template(A=log("/a")))
    cloud.update("s", template(A=model(ModelName="two", EnableNetworkIsolation=True)))
    assert cloud.status("s") == "UPDATE_ROLLBACK_COMPLETE"
    assert "cannot update a stack when a custom-named resource requires replacing" in str(cloud.reasons("s"))
    assert cloud.resources("s")["A"]["ResourceStatus"] == "UPDATE_COMPLETE"


def test_exports(cloud):
    made = {"Out": {"Value": {"Ref": "A"}, "Export": {"Name": "shared"}}}
    cloud.create("s", template(outputs=made, A=log("/a")))
    assert cloud("ListExports")["Exports"][0]["Value"] == "/a"
    with pytest.raises(AwsError, match="is not imported by any stack"):
        cloud("ListImports", ExportName="shared")
    twice = cloud.create("t", template(outputs=made, A=log("/t")))
    assert twice["StackStatus"] == "ROLLBACK_COMPLETE"
    assert "Export with name shared is already exported by stack s." in str(cloud.reasons("t"))
    user = template(A=log({"Fn::Join": ["", [{"Fn::ImportValue": "shared"}, "/more"]]}))
    assert cloud.create("user", user)["StackStatus"] == "CREATE_COMPLETE"
    assert cloud("ListImports", ExportName="shared")["Imports"] == ["user"]
    assert cloud.groups() == ["/a", "/a/more"]
    with pytest.raises(AwsError, match="Cannot delete export shared as it is in use by user"):
        cloud("DeleteStack", StackName="s")
    assert cloud.update("s", template(A=log("/b")))["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert "Cannot update export shared as it is in use by user" in str(cloud.reasons("s"))
    assert cloud.settled("s")["Outputs"][0]["ExportName"] == "shared"
    assert cloud.groups() == ["/a", "/a/more"]
    cloud.delete("user")
    assert cloud.delete("s")["StackStatus"] == "DELETE_COMPLETE"
    with pytest.raises(AwsError, match="No export named shared found"):
        cloud.create("user", user)
    double = {**made, "Again": {"Value": "x", "Export": {"Name": "shared"}}}
    with pytest.raises(AwsError, match=r"Duplicate export names: \[shared\]"):
        cloud.create("s", template(outputs=double, A=log("/a")))


def test_a_protected_stack_is_not_deleted(cloud):
    assert cloud.create("s", template(A=log("/a")), EnableTerminationProtection=True)["EnableTerminationProtection"]
    with pytest.raises(AwsError, match="cannot be deleted while TerminationProtection is enabled"):
        cloud("DeleteStack", StackName="s")
    cloud("UpdateTerminationProtection", StackName="s", EnableTerminationProtection=False)
    assert cloud.delete("s")["StackStatus"] == "DELETE_COMPLETE"


def test_pages(cloud):
    many = template(**{f"G{i}": log(f"/g/{i}") for i in range(103)})
    many["Outputs"] = {f"O{i}": {"Value": "v", "Export": {"Name": f"e{i}"}} for i in range(103)}
    cloud.create("s", many)

    def pages(operation, member, **parameters):
        found, token, count = [], {}, 0
        while True:
            page = cloud(operation, **parameters, **token)
            found += page[member]
            count += 1
            if "NextToken" not in page:
                return found, count
            token = {"NextToken": page["NextToken"]}

    resources, count = pages("ListStackResources", "StackResourceSummaries", StackName="s")
    assert (len({each["LogicalResourceId"] for each in resources}), count) == (103, 2)
    assert len(pages("ListExports", "Exports")[0]) == 103
    told, count = pages("DescribeStackEvents", "StackEvents", StackName="s")
    assert (len({each["EventId"] for each in told}), count) == (2 * 103 + 2, 3)
    changed = template(**{f"G{i}": log(f"/g/{i}", RetentionInDays=1) for i in range(103)})
    cloud("CreateChangeSet", StackName="s", ChangeSetName="c", TemplateBody=json.dumps(changed))
    assert len(pages("DescribeChangeSet", "Changes", StackName="s", ChangeSetName="c")[0]) == 103
    for operation in ("ListStackResources", "DescribeStackEvents"):
        with pytest.raises(AwsError, match="NextToken"):
            cloud(operation, StackName="s", NextToken="nonsense")
    for operation in ("ListStacks", "DescribeStacks", "ListExports"):
        with pytest.raises(AwsError, match="NextToken") as error:
            cloud(operation, NextToken="nonsense")
        assert error.value.code == "ValidationError"


def test_looking_at_templates(cloud):
    body = json.dumps(
        {
            "Description": "Ours",
            "Metadata": {"a": 1},
            "Parameters": {"P": {"Type": "String", "AllowedValues": ["x"], "Default": "x", "NoEcho": True}},
            "Resources": {"A": {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": {}}}},
        }
    )
    found = cloud("GetTemplateSummary", TemplateBody=body)
    assert found["ResourceTypes"] == ["AWS::IAM::Role"]
    assert found["Parameters"][0]["ParameterConstraints"] == {"AllowedValues": ["x"]}
    assert (found["Capabilities"], json.loads(found["Metadata"])) == (["CAPABILITY_IAM"], {"a": 1})
    assert cloud("ValidateTemplate", TemplateBody=body)["Description"] == "Ours"
    with pytest.raises(AwsError, match=r"Requires capabilities : \[CAPABILITY_IAM\]"):
        cloud("CreateStack", StackName="s", TemplateBody=body)
    alien = json.dumps(template(A={"Type": "AWS::EC2::Instance"}))
    for operation in ("ValidateTemplate", "GetTemplateSummary"):
        with pytest.raises(AwsError, match=r"Unrecognized resource types: \[AWS::EC2::Instance\]"):
            cloud(operation, TemplateBody=alien)
    lenient = {"TreatUnrecognizedResourceTypesAsWarnings": True}
    told = cloud("GetTemplateSummary", TemplateBody=alien, TemplateSummaryConfig=lenient)
    assert told["Warnings"] == {"UnrecognizedResourceTypes": ["AWS::EC2::Instance"]}


@pytest.mark.parametrize(
    "url",
    [
        "https://bucket.s3.eu-west-1.amazonaws.com/a/t.json",
        "https://bucket.s3.amazonaws.com/a/t.json",
        "https://s3.eu-west-1.amazonaws.com/bucket/a/t.json",
        "https://s3-eu-west-1.amazonaws.com/bucket/a/t.json",
        "http://127.0.0.1:7070/bucket/a/t.json",
    ],
)
def test_a_template_from_s3(cloud, url):
    cloud.objects.create_bucket("bucket", "eu-west-1")
    cloud.objects.put_bytes("bucket", "a/t.json", json.dumps(template(A=log("/a"))).encode())
    cloud("CreateStack", StackName="s", TemplateURL=url)
    assert cloud.settled("s")["StackStatus"] == "CREATE_COMPLETE"


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({}, "Either Template URL or Template Body must be specified"),
        ({"TemplateURL": "https://example.com/bucket/key"}, "must be a supported URL"),
        ({"TemplateURL": "https://bucket.s3.amazonaws.com/none"}, "S3 error"),
        ({"TemplateURL": "https://bucket.s3.amazonaws.com/t?versionId=1"}, "no versions"),
        ({"TemplateBody": "a: [", "TemplateURL": "https://b.s3.amazonaws.com/t"}, "Either Template URL"),
        ({"TemplateBody": "{"}, "Template format error"),
        ({"TemplateBody": "#" * 51_201}, "Put the template into a bucket"),
        ({"TemplateBody": "{}", "StackPolicyBody": "{}"}, "StackPolicyBody"),
        ({"TemplateBody": "{}", "NotificationARNs": ["arn:aws:sns:eu-west-1:1:t"]}, "NotificationARNs"),
        ({"TemplateBody": "{}", "TimeoutInMinutes": 1}, "TimeoutInMinutes"),
        ({"TemplateBody": "{}", "DisableRollback": True, "OnFailure": "DELETE"}, "not both"),
    ],
)
def test_what_create_stack_refuses(cloud, request_, text):
    cloud.objects.create_bucket("bucket", "eu-west-1")
    with pytest.raises(AwsError) as error:
        cloud("CreateStack", StackName="s", **request_)
    assert text in error.value.message
    assert cloud.count("Stack") == 0


@pytest.mark.parametrize("name", ["1a", "a/b", "a b", "a" * 129, "arn:aws:cloudformation:eu-west-1:1:stack/a/b"])
def test_names_that_can_not_be(cloud, name):
    body = json.dumps(template(A=log("/a")))
    for operation, more in (
        ("CreateStack", {}),
        ("CreateChangeSet", {"ChangeSetName": "c", "ChangeSetType": "CREATE"}),
    ):
        with pytest.raises(AwsError, match="failed to satisfy constraint"):
            cloud(operation, StackName=name, TemplateBody=body, **more)
    assert cloud.count("Stack") == 0


def test_an_attribute_that_a_type_has_not(cloud):
    outputs = {"O": {"Value": {"Fn::GetAtt": ["A", "Nothing"]}}}
    with pytest.raises(AwsError, match="resource A does not support attribute type Nothing in Fn::GetAtt"):
        cloud.create("s", template(outputs=outputs, A=log("/a")))
