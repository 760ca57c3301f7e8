import json
from urllib.parse import unquote

import pytest

from modelwright.arns import EXECUTION_ROLE
from modelwright.errors import AwsError, UnsupportedOperation
from support.doors import ACCOUNT, IDENTITY, Clock, Door

TRUST = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole"}]})
FULL_ACCESS = "arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"


@pytest.fixture
def iam(door):
    return door.of("iam")


@pytest.fixture
def role(iam):
    return iam("CreateRole", RoleName="builder", AssumeRolePolicyDocument=TRUST, Path="/service-role/")["Role"]


def refused(call, code, message=None):
    with pytest.raises(AwsError, match=message) as caught:
        call()
    assert caught.value.code == code
    return caught.value


def test_sts_tells_who_calls(door):
    assert door.of("sts")("GetCallerIdentity") == {
        "Account": ACCOUNT,
        "Arn": IDENTITY,
        "UserId": "AROAEXAMPLE:admin",
    }


class TestExecutionRole:
    def test_it_trusts_sagemaker(self, iam):
        role = iam("GetRole", RoleName=EXECUTION_ROLE)["Role"]
        assert role["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/{EXECUTION_ROLE}"
        (statement,) = json.loads(unquote(role["AssumeRolePolicyDocument"]))["Statement"]
        assert statement["Principal"] == {"Service": "sagemaker.amazonaws.com"}
        assert role["AssumeRolePolicyDocument"].startswith("%7B"), "IAM's documents are URL-encoded"

    def test_it_survives_a_restart(self, iam, database, history):
        iam("UpdateRole", RoleName=EXECUTION_ROLE, Description="mine")
        again = Door(database, history, Clock()).of("iam")
        assert again("GetRole", RoleName=EXECUTION_ROLE)["Role"]["Description"] == "mine"

    def test_it_cannot_be_deleted(self, iam):
        refused(lambda: iam("DeleteRole", RoleName=EXECUTION_ROLE), "UnmodifiableEntity")

    def test_what_v3_asks(self, iam):
        answer = iam(
            "SimulatePrincipalPolicy",
            PolicySourceArn=f"arn:aws:iam::{ACCOUNT}:role/{EXECUTION_ROLE}",
            ActionNames=["sagemaker:CreateTrainingJob", "s3:GetObject"],
        )
        assert answer["IsTruncated"] is False
        decisions = {each["EvalActionName"]: each["EvalDecision"] for each in answer["EvaluationResults"]}
        assert decisions == {"sagemaker:CreateTrainingJob": "allowed", "s3:GetObject": "allowed"}


class TestRoles:
    def test_it_works(self, iam, role, clock):
        assert role["Arn"] == f"arn:aws:iam::{ACCOUNT}:role/service-role/builder"
        assert role["RoleId"].startswith("AROA")
        assert len(role["RoleId"]) == 21
        assert role["CreateDate"] == clock.time
        assert unquote(role["AssumeRolePolicyDocument"]) == TRUST
        assert iam("GetRole", RoleName="builder")["Role"] == role

    def test_a_name_is_taken(self, iam, role):
        error = refused(
            lambda: iam("CreateRole", RoleName="builder", AssumeRolePolicyDocument=TRUST), "EntityAlreadyExists"
        )
        assert error.status == 409

    def test_a_missing_role(self, iam):
        error = refused(lambda: iam("GetRole", RoleName="nobody"), "NoSuchEntity", "role with name nobody cannot be")
        assert error.status == 404

    @pytest.mark.parametrize("document", ["no", "[]", "{}"])
    def test_a_broken_policy(self, iam, document):
        refused(lambda: iam("CreateRole", RoleName="r", AssumeRolePolicyDocument=document), "MalformedPolicyDocument")

    def test_list(self, iam, role):
        for i in range(3):
            iam("CreateRole", RoleName=f"r{i}", AssumeRolePolicyDocument=TRUST, Tags=[{"Key": "a", "Value": "b"}])
        found, marker = [], {}
        while True:
            answer = iam("ListRoles", MaxItems=2, **marker)
            found += answer["Roles"]
            if not answer["IsTruncated"]:
                break
            marker = {"Marker": answer["Marker"]}
        assert [each["RoleName"] for each in found] == [EXECUTION_ROLE, "builder", "r0", "r1", "r2"]
        assert all("Tags" not in each for each in found)
        (only,) = iam("ListRoles", PathPrefix="/service-role/")["Roles"]
        assert only["RoleName"] == "builder"
        refused(lambda: iam("ListRoles", Marker="?"), "ValidationError")

    def test_trust_can_be_changed(self, iam, role):
        changed = TRUST.replace("Allow", "Deny")
        iam("UpdateAssumeRolePolicy", RoleName="builder", PolicyDocument=changed)
        assert unquote(iam("GetRole", RoleName="builder")["Role"]["AssumeRolePolicyDocument"]) == changed

    def test_tags(self, iam, role):
        iam("TagRole", RoleName="builder", Tags=[{"Key": "b", "Value": "1"}, {"Key": "a", "Value": "2"}])
        iam("TagRole", RoleName="builder", Tags=[{"Key": "b", "Value": "3"}])
        assert iam("ListRoleTags", RoleName="builder")["Tags"] == [
            {"Key": "a", "Value": "2"},
            {"Key": "b", "Value": "3"},
        ]
        iam("UntagRole", RoleName="builder", TagKeys=["a", "b"])
        assert iam("ListRoleTags", RoleName="builder")["Tags"] == []


class TestPolicies:
    def test_managed(self, iam, role):
        iam("AttachRolePolicy", RoleName="builder", PolicyArn=FULL_ACCESS)
        iam("AttachRolePolicy", RoleName="builder", PolicyArn=FULL_ACCESS)
        assert iam("ListAttachedRolePolicies", RoleName="builder")["AttachedPolicies"] == [
            {"PolicyName": "AmazonSageMakerFullAccess", "PolicyArn": FULL_ACCESS}
        ]
        policy = iam("GetPolicy", PolicyArn=FULL_ACCESS)["Policy"]
        assert (policy["PolicyName"], policy["Path"], policy["AttachmentCount"]) == (
            "AmazonSageMakerFullAccess",
            "/",
            2,
        )
        error = refused(lambda: iam("DeleteRole", RoleName="builder"), "DeleteConflict", "must detach all policies")
        assert error.status == 409
        iam("DetachRolePolicy", RoleName="builder", PolicyArn=FULL_ACCESS)
        refused(lambda: iam("DetachRolePolicy", RoleName="builder", PolicyArn=FULL_ACCESS), "NoSuchEntity")
        iam("DeleteRole", RoleName="builder")
        refused(lambda: iam("GetRole", RoleName="builder"), "NoSuchEntity")

    def test_an_unknown_policy(self, iam, role):
        arn = "arn:aws:iam::aws:policy/AmazonEverything"
        for call in (
            lambda: iam("AttachRolePolicy", RoleName="builder", PolicyArn=arn),
            lambda: iam("GetPolicy", PolicyArn=arn),
        ):
            refused(call, "NoSuchEntity", "AmazonEverything does not exist or is not attachable")

    def test_inline(self, iam, role):
        iam("PutRolePolicy", RoleName="builder", PolicyName="s3", PolicyDocument=TRUST)
        assert iam("ListRolePolicies", RoleName="builder")["PolicyNames"] == ["s3"]
        found = iam("GetRolePolicy", RoleName="builder", PolicyName="s3")
        assert unquote(found["PolicyDocument"]) == TRUST
        refused(lambda: iam("DeleteRole", RoleName="builder"), "DeleteConflict", "must delete all policies")
        iam("DeleteRolePolicy", RoleName="builder", PolicyName="s3")
        for operation in ("GetRolePolicy", "DeleteRolePolicy"):
            refused(lambda operation=operation: iam(operation, RoleName="builder", PolicyName="s3"), "NoSuchEntity")
        assert "_Inline" not in iam("GetRole", RoleName="builder")["Role"]


class TestSimulation:
    def test_of_a_role_that_there_is_not(self, iam):
        for source in (
            f"arn:aws:iam::{ACCOUNT}:role/nobody",
            f"arn:aws:iam::{ACCOUNT}:user/me",
            "arn:aws:iam::1:role/a",
        ):
            refused(
                lambda source=source: iam(
                    "SimulatePrincipalPolicy", PolicySourceArn=source, ActionNames=["s3:GetObject"]
                ),
                "NoSuchEntity",
            )

    def test_every_action_on_every_resource_in_pages(self, iam, role):
        parameters = {
            "PolicySourceArn": role["Arn"],
            "ActionNames": ["s3:GetObject", "s3:PutObject"],
            "ResourceArns": ["arn:aws:s3:::a", "arn:aws:s3:::b"],
        }
        first = iam("SimulatePrincipalPolicy", MaxItems=3, **parameters)
        rest = iam("SimulatePrincipalPolicy", MaxItems=3, Marker=first["Marker"], **parameters)
        results = first["EvaluationResults"] + rest["EvaluationResults"]
        assert [(each["EvalActionName"][3:6], each["EvalResourceName"][-1]) for each in results] == [
            ("Get", "a"),
            ("Get", "b"),
            ("Put", "a"),
            ("Put", "b"),
        ]
        assert rest["IsTruncated"] is False

    def test_policies_are_not_evaluated(self, iam, role):
        with pytest.raises(UnsupportedOperation, match="PolicyInputList"):
            iam(
                "SimulatePrincipalPolicy",
                PolicySourceArn=role["Arn"],
                ActionNames=["s3:GetObject"],
                PolicyInputList=[TRUST],
            )
