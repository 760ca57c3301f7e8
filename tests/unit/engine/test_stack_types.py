"""Each resource type of a stack: made, changed in place, replaced, tagged, deleted, by AWS's own operations."""

import json
from urllib.parse import unquote

import pytest

from modelwright.engine.stack_kinds import ROWS
from modelwright.errors import AwsError
from modelwright.templates.types import TYPES
from support.stacks import Cloud, group, log, model, template

TRUST = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole"}]}
ALLOW = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}
FULL = "arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"
NAMED = {"Capabilities": ["CAPABILITY_NAMED_IAM"]}


@pytest.fixture
def cloud(tmp_path):
    made = Cloud(tmp_path / "home").start()
    yield made
    made.close()


def of(kind, **properties):
    return {"Type": kind, "Properties": properties}


def tags(**given):
    return [{"Key": key, "Value": value} for key, value in given.items()]


def fine(stack):
    """Nothing went wrong."""
    assert stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "DELETE_COMPLETE"), stack


def test_the_template_s_types_and_the_engine_s_are_the_same():
    assert set(TYPES) == set(ROWS)
    for kind, row in ROWS.items():
        assert set(row.values) - {"Ref"} == TYPES[kind].attributes, kind


def test_a_role_with_its_policies(cloud):
    def role(**more):
        return template(
            A=of("AWS::IAM::Role", RoleName="r", AssumeRolePolicyDocument=TRUST, **more),
            P=of("AWS::IAM::Policy", PolicyName="more", PolicyDocument=ALLOW, Roles=[{"Ref": "A"}]),
        )

    inline = [{"PolicyName": "a", "PolicyDocument": ALLOW}, {"PolicyName": "b", "PolicyDocument": ALLOW}]
    with pytest.raises(AwsError, match=r"Requires capabilities : \[CAPABILITY_NAMED_IAM\]"):
        cloud.create("s", role(), Capabilities=["CAPABILITY_IAM"])
    fine(cloud.create("s", role(ManagedPolicyArns=[FULL], Policies=inline, Description="Ours"), **NAMED))

    def names():
        return cloud.of("iam", "ListRolePolicies", RoleName="r")["PolicyNames"]

    assert names() == ["a", "b", "more"]
    assert cloud.resources("s")["P"]["PhysicalResourceId"].startswith("s-P-")
    fine(cloud.update("s", role(Policies=inline[:1], Tags=tags(x="1"), MaxSessionDuration="7200"), **NAMED))
    assert names() == ["a", "more"]
    assert cloud.of("iam", "ListAttachedRolePolicies", RoleName="r")["AttachedPolicies"] == []
    found = cloud.of("iam", "GetRole", RoleName="r")["Role"]
    assert (found["MaxSessionDuration"], found["Tags"], found["Description"]) == (7200, tags(x="1"), "")
    other = {**TRUST, "Statement": [{"Effect": "Allow", "Action": "sts:TagSession"}]}
    changed = role(Policies=inline[:1])
    changed["Resources"]["A"]["Properties"]["AssumeRolePolicyDocument"] = other
    changed["Resources"]["P"]["Properties"]["PolicyName"] = "renamed"
    fine(cloud.update("s", changed, **NAMED))
    assert json.loads(unquote(cloud.of("iam", "GetRole", RoleName="r")["Role"]["AssumeRolePolicyDocument"])) == other
    assert names() == ["a", "renamed"]
    fine(cloud.delete("s"))
    assert cloud.count("Role") == 1  # the one that is always there


def test_policies_are_of_roles(cloud):
    for bad, text in (
        ({"Users": ["u"]}, "Give Roles alone"),
        ({}, "At least one of"),
        ({"Roles": ["none"]}, "cannot be found"),
    ):
        policy = of("AWS::IAM::Policy", PolicyName="p", PolicyDocument=ALLOW, **bad)
        assert cloud.create("s", template(P=policy), **NAMED)["StackStatus"] == "ROLLBACK_COMPLETE"
        assert text in str(cloud.reasons("s"))
        cloud.delete("s")


def test_a_bucket(cloud):
    def bucket(**more):
        return template(outputs={"D": {"Value": {"Fn::GetAtt": ["B", "RegionalDomainName"]}}},
                        B=of("AWS::S3::Bucket", BucketName="mine", **more))  # fmt: skip

    private = {"BlockPublicAcls": True, "BlockPublicPolicy": "true"}
    tells = {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    stack = cloud.create("s", bucket(PublicAccessBlockConfiguration=private, Tags=tags(a="1")))
    fine(stack)
    assert stack["Outputs"][0]["OutputValue"] == "mine.s3.eu-west-1.amazonaws.com"
    assert cloud.of("s3", "GetBucketTagging", Bucket="mine")["TagSet"] == tags(a="1")
    fine(cloud.update("s", bucket(NotificationConfiguration=tells, Tags=tags(b="2"))))
    assert cloud.of("s3", "GetBucketTagging", Bucket="mine")["TagSet"] == tags(b="2")
    told = cloud.dispatcher.call
    assert "EventBridgeConfiguration" in _notifications(told)
    fine(cloud.update("s", bucket()))
    assert _notifications(told) == {}
    for bad in ({"VersioningConfiguration": {"Status": "Enabled"}}, {"AccessControl": "PublicRead"}):
        assert cloud.update("s", bucket(**bad))["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
        assert next(iter(bad)) in str(cloud.reasons("s"))
    cloud.objects.put_bytes("mine", "a", b"a")
    assert cloud.delete("s")["StackStatus"] == "DELETE_FAILED"
    assert "not empty" in str(cloud.reasons("s"))
    fine(cloud.delete("s", RetainResources=["B"]))


def _notifications(call):
    from support.doors import CONTEXT

    return call(CONTEXT, "s3", "GetBucketNotificationConfiguration", {"Bucket": "mine"})


def test_a_log_group(cloud):
    fine(cloud.create("s", template(A=log("/a", RetentionInDays="3", Tags=tags(a="1")))))
    (found,) = cloud.of("logs", "DescribeLogGroups")["logGroups"]
    assert found["retentionInDays"] == 3
    fine(cloud.update("s", template(A=log("/a", Tags=tags(a="2", b="1")))))
    (found,) = cloud.of("logs", "DescribeLogGroups")["logGroups"]
    assert "retentionInDays" not in found
    assert cloud.of("logs", "ListTagsLogGroup", logGroupName="/a")["tags"] == {"a": "2", "b": "1"}
    assert cloud.update("s", template(A=log("/a", RetentionInDays=2)))["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    fine(cloud.update("s", template(A=log("/b"))))
    assert cloud.groups() == ["/b"]
    cloud.of("logs", "CreateLogGroup", logGroupName="/taken")
    assert cloud.update("s", template(A=log("/taken")))["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    assert ("A", "UPDATE_FAILED", "/taken already exists") in cloud.reasons("s")
    fine(cloud.delete("s"))
    assert cloud.groups() == ["/taken"]


def test_a_code_repository(cloud):
    def code(**git):
        return template(A=of("AWS::SageMaker::CodeRepository", CodeRepositoryName="c", GitConfig=git))

    url = "https://git.example.com/a.git"
    fine(cloud.create("s", code(RepositoryUrl=url, Branch="main"), Tags=tags(a="1")))
    found = cloud.of("sagemaker", "DescribeCodeRepository", CodeRepositoryName="c")
    assert found["GitConfig"] == {"RepositoryUrl": url, "Branch": "main"}
    arn = found["CodeRepositoryArn"]
    assert cloud.resources("s")["A"]["PhysicalResourceId"] == arn
    assert cloud.of("sagemaker", "ListTags", ResourceArn=arn)["Tags"] == tags(a="1")
    (listed,) = cloud.of("sagemaker", "ListCodeRepositories")["CodeRepositorySummaryList"]
    assert listed["CodeRepositoryName"] == "c"
    secret = "arn:aws:secretsmanager:eu-west-1:111122223333:secret:s"
    fine(cloud.update("s", code(RepositoryUrl=url, Branch="main", SecretArn=secret)))
    assert cloud.of("sagemaker", "DescribeCodeRepository", CodeRepositoryName="c")["GitConfig"]["SecretArn"] == secret
    assert cloud.update("s", code(RepositoryUrl=url, Branch="other"))["StackStatus"] == "UPDATE_ROLLBACK_COMPLETE"
    with pytest.raises(AwsError, match="already existing code repository"):
        cloud.of("sagemaker", "CreateCodeRepository", CodeRepositoryName="c", GitConfig={"RepositoryUrl": url})
    fine(cloud.delete("s"))
    with pytest.raises(AwsError, match="Could not find code repository 'c'"):
        cloud.of("sagemaker", "DescribeCodeRepository", CodeRepositoryName="c")
    with pytest.raises(AwsError, match="Could not find"):
        cloud.of("sagemaker", "DeleteCodeRepository", CodeRepositoryName="c")


def test_a_stack_s_tags_are_its_resources(cloud):
    """And a resource's own win; they are changed and taken away in place."""
    made = template(
        A=log("/a", Tags=tags(team="own")),
        B=group("b"),
        C=model(ModelName="m"),
        D=of("AWS::S3::Bucket", BucketName="bucket"),
        E=of("AWS::IAM::Role", RoleName="r", AssumeRolePolicyDocument=TRUST),
        F=of("AWS::Events::Rule", Name="rule", EventPattern={"source": ["a"]}),
    )

    def told():
        found = cloud.resources("s")
        rule = "arn:aws:events:eu-west-1:111122223333:rule/rule"
        return [
            cloud.of("logs", "ListTagsLogGroup", logGroupName="/a").get("tags", {}),
            *(
                {tag["Key"]: tag["Value"] for tag in each}
                for each in (
                    cloud.of("sagemaker", "ListTags", ResourceArn=found["B"]["PhysicalResourceId"])["Tags"],
                    cloud.of("sagemaker", "ListTags", ResourceArn=found["C"]["PhysicalResourceId"])["Tags"],
                    cloud.of("s3", "GetBucketTagging", Bucket="bucket")["TagSet"],
                    cloud.of("iam", "ListRoleTags", RoleName="r")["Tags"],
                    cloud.of("events", "ListTagsForResource", ResourceARN=rule)["Tags"],
                )
            ),
        ]

    fine(cloud.create("s", made, Tags=tags(team="pose", cost="1"), **NAMED))
    assert told() == [{"team": "own", "cost": "1"}, *5 * [{"team": "pose", "cost": "1"}]]
    models = cloud.count("Model")
    cloud.of("iam", "TagRole", RoleName="r", Tags=tags(mine="yes"))
    fine(cloud.update("s", made, Tags=tags(team="other"), **NAMED))
    assert told() == [{"team": "own"}, *3 * [{"team": "other"}], {"team": "other", "mine": "yes"}, {"team": "other"}]
    assert cloud.count("Model") == models
    with pytest.raises(AwsError, match="No updates are to be performed"):
        cloud.update("s", made, **NAMED)
    with pytest.raises(AwsError, match="prefix aws: is reserved"):
        cloud.update("s", made, Tags=tags(**{"aws:x": "1"}), **NAMED)
    with pytest.raises(AwsError, match="Duplicate tag keys"):
        cloud.update("s", made, Tags=[*tags(a="1"), *tags(a="2")], **NAMED)


def test_an_unknown_property_is_named(cloud):
    for kind, properties in (
        ("AWS::Logs::LogGroup", {}),
        ("AWS::S3::Bucket", {}),
        ("AWS::IAM::Role", {"AssumeRolePolicyDocument": TRUST}),
        ("AWS::SageMaker::ModelPackageGroup", {"ModelPackageGroupName": "g"}),
        ("AWS::Events::Rule", {"EventPattern": {"source": ["a"]}}),
    ):
        stack = cloud.create("s", template(A=of(kind, Nonsense="1", **properties)), **NAMED)
        assert stack["StackStatus"] == "ROLLBACK_COMPLETE", kind
        assert any("Nonsense" in reason for _, status, reason in cloud.reasons("s") if status == "CREATE_FAILED"), kind
        cloud.delete("s")


def test_a_package_group_with_a_policy(cloud):
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow"}]}
    fine(cloud.create("s", template(A=group("g", ModelPackageGroupPolicy=policy))))

    def there():
        return json.loads(
            cloud.of("sagemaker", "GetModelPackageGroupPolicy", ModelPackageGroupName="g")["ResourcePolicy"]
        )

    assert there() == policy
    fine(cloud.update("s", template(A=group("g", ModelPackageGroupPolicy={**policy, "Id": "2"}))))
    assert there()["Id"] == "2"
    fine(cloud.update("s", template(A=group("g"))))
    with pytest.raises(AwsError, match="has no resource policy"):
        there()
    fine(cloud.delete("s"))


@pytest.mark.parametrize(
    ("kind", "properties", "text"),
    [
        ("AWS::IAM::Policy", {"PolicyName": 1, "PolicyDocument": ALLOW, "Roles": ["r"]}, "#/PolicyName: a string"),
        ("AWS::IAM::Policy", {"PolicyName": "p", "PolicyDocument": ALLOW, "Roles": [["r"]]}, "#/Roles/0: a string"),
        ("AWS::IAM::Policy", {"PolicyName": "a b", "PolicyDocument": ALLOW, "Roles": ["r"]}, "failed to satisfy"),
        ("AWS::S3::Bucket", {"BucketName": "b", "PublicAccessBlockConfiguration": True}, "an object is needed"),
        ("AWS::S3::Bucket", {"BucketName": "bad_name!"}, "The specified bucket is not valid"),
        ("AWS::S3::Bucket", {"BucketName": "b", "Tags": [{"Value": "a"}]}, "#/Tags/0/Key: a string is needed"),
        ("AWS::SageMaker::CodeRepository", {"CodeRepositoryName": "c", "GitConfig": "x"}, "#/GitConfig: an object"),
        ("AWS::Events::Rule", {"EventPattern": {"source": ["a"]}, "Targets": None}, "#/Targets: a list"),
    ],
)
def test_other_types_of_the_wrong_kind(cloud, kind, properties, text):
    """They fail before anything is made: so there is nothing whose deletion could fail too."""
    stack = cloud.create("s", template(A=of(kind, **properties)), **NAMED)
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE", cloud.reasons("s")
    assert text in str(cloud.reasons("s"))
    assert "InternalFailure" not in str(cloud.reasons("s"))


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        ({"LogGroupName": ["/a"]}, "LogGroupName must be of type String"),
        ({"LogGroupName": ""}, "LogGroupName must be of type String"),
        ({"LogGroupName": "/a", "Tags": ["a"]}, "#/Tags"),
        ({"LogGroupName": "/a", "Tags": {"a": "b"}}, "#/Tags"),
        ({"LogGroupName": "/a", "RetentionInDays": "many"}, "must be of type Number"),
    ],
)
def test_values_of_the_wrong_kind(cloud, properties, text):
    stack = cloud.create("s", template(A=of("AWS::Logs::LogGroup", **properties)))
    assert stack["StackStatus"] == "ROLLBACK_COMPLETE"
    assert text in str(cloud.reasons("s"))
    assert "InternalFailure" not in str(cloud.reasons("s"))
    assert cloud.groups() == []
