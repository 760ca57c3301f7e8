"""IAM by boto3: what SDKs read of roles."""

import json
import uuid

import pytest
from botocore.exceptions import ClientError

EXECUTION_ROLE = "ModelwrightExecutionRole"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"}],
}


@pytest.fixture(scope="module")
def iam(server):
    return server.client("iam")


def test_the_execution_role_trusts_sagemaker(iam, server):
    role = iam.get_role(RoleName=EXECUTION_ROLE)["Role"]
    assert role["Arn"] == f"arn:aws:iam::111122223333:role/{EXECUTION_ROLE}"
    assert role["AssumeRolePolicyDocument"] == TRUST
    user_id = server.client("sts").get_caller_identity()["UserId"]
    assert user_id == f"{role['RoleId']}:admin", "the caller is a session of this very role"


def test_its_permissions_as_v3_checks_them(iam):
    results = iam.simulate_principal_policy(
        PolicySourceArn=f"arn:aws:iam::111122223333:role/{EXECUTION_ROLE}",
        ActionNames=["sagemaker:CreateTrainingJob", "ecr:BatchGetImage"],
    )["EvaluationResults"]
    assert {each["EvalDecision"] for each in results} == {"allowed"}


def test_a_role_s_life(iam):
    name = f"role-{uuid.uuid4().hex[:8]}"
    policy = "arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
    iam.attach_role_policy(RoleName=name, PolicyArn=policy)
    iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(TRUST))
    assert iam.get_role_policy(RoleName=name, PolicyName="p")["PolicyDocument"] == TRUST
    pages = iam.get_paginator("list_roles").paginate(PaginationConfig={"PageSize": 1})
    assert {EXECUTION_ROLE, name} <= {role["RoleName"] for page in pages for role in page["Roles"]}
    with pytest.raises(iam.exceptions.DeleteConflictException):
        iam.delete_role(RoleName=name)
    iam.detach_role_policy(RoleName=name, PolicyArn=policy)
    iam.delete_role_policy(RoleName=name, PolicyName="p")
    iam.delete_role(RoleName=name)
    with pytest.raises(iam.exceptions.NoSuchEntityException):
        iam.get_role(RoleName=name)


def test_an_invalid_request(iam):
    with pytest.raises(ClientError) as caught:
        iam.create_role(RoleName="spaces are not allowed", AssumeRolePolicyDocument=json.dumps(TRUST))
    assert caught.value.response["Error"]["Code"] == "ValidationError"
