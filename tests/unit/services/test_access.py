"""Who may do what: every operation is classified, every role against what it may and may not."""

import pytest

from modelwright import app
from modelwright.services.access import BUILD, JOB, ROLES, SERVICE, allows, effect, known_effect


@pytest.fixture(scope="module")
def operations():
    with app.sample() as platform:
        return [*platform.dispatcher.operations(), ("codecommit", "GitPull"), ("codecommit", "GitPush")]


def test_every_operation_is_classified(operations):
    assert [pair for pair in operations if known_effect(*pair) is None] == []


def test_what_the_names_say_is_right(operations):
    """Looked through by a person once; a new operation that is no plain read is looked at here again."""
    looks_like_reading = {pair for pair in operations if effect(*pair) == "read"}
    assert {pair for pair in looks_like_reading if not _is_plainly_read(pair[1])} == {
        ("codecommit", "GitPull"),
    }


def _is_plainly_read(name):
    first = ("Describe", "List", "Get", "BatchGet", "BatchDescribe", "Head", "Search", "Filter", "Simulate", "Test",
             "Validate", "Detect", "Lookup", "Evaluate", "BatchCheck")  # fmt: skip
    return name.startswith(first)


def test_a_viewer_changes_nothing(operations):
    for service, operation in operations:
        assert allows("viewer", service, operation, {}) == (effect(service, operation) == "read")


def test_nobody_may_do_nothing_but_ask_who_they_are(operations):
    assert [pair for pair in operations if allows("", *pair, {})] == [("sts", "GetCallerIdentity")]


def test_what_a_developer_may_not(operations):
    refused = {
        f"{service}:{operation}" for service, operation in operations if not allows("developer", service, operation, {})
    }
    assert refused - {"codepipeline:OverrideStageCondition"} == {
        "codepipeline:PutApprovalResult",
        "iam:AddUserToGroup",
        "iam:CreateAccessKey",
        "iam:CreateUser",
        "iam:DeleteAccessKey",
        "iam:DeleteUser",
        "iam:RemoveUserFromGroup",
        "iam:UpdateAccessKey",
    }


APPROVALS = [
    ("UpdateModelPackage", {"ModelApprovalStatus": "Approved"}),
    ("UpdateModelPackage", {"ModelApprovalStatus": "Rejected"}),
    ("UpdateModelPackage", {"ModelApprovalStatus": "PendingManualApproval"}),
    ("CreateModelPackage", {"ModelApprovalStatus": "Approved"}),
    ("CreateModelPackage", {"ModelLifeCycle": {"Stage": "Prod", "StageStatus": "Approved"}}),
    ("UpdateModelPackage", {"ModelLifeCycle": {"Stage": "Prod", "StageStatus": "Approved"}}),
]


@pytest.mark.parametrize(("operation", "parameters"), APPROVALS)
@pytest.mark.parametrize("role", ["developer", "viewer", JOB, BUILD, SERVICE, ""])
def test_only_an_admin_decides(role, operation, parameters):
    assert not allows(role, "sagemaker", operation, parameters)
    assert allows("admin", "sagemaker", operation, parameters)


@pytest.mark.parametrize("role", ["developer", JOB, BUILD, SERVICE])
def test_to_register_is_no_decision(role):
    assert allows(role, "sagemaker", "CreateModelPackage", {"ModelApprovalStatus": "PendingManualApproval"})
    assert allows(role, "sagemaker", "CreateModelPackage", {})
    assert allows(role, "sagemaker", "UpdateModelPackage", {"CustomerMetadataProperties": {"a": "b"}})


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("sagemaker", "CreateTrainingJob"),
        ("sagemaker", "UpdatePipeline"),
        ("sagemaker", "StartPipelineExecution"),
        ("sagemaker", "DescribeModelPackage"),
        ("sagemaker-runtime", "InvokeEndpoint"),
        ("s3", "GetObject"),
        ("s3", "PutObject"),
        ("s3", "CompleteMultipartUpload"),
        ("s3", "CreateBucket"),
        ("logs", "PutLogEvents"),
        ("iam", "GetRole"),
    ],
)
def test_what_jobs_may(service, operation):
    assert allows(JOB, service, operation, {})
    assert allows(BUILD, service, operation, {})


@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("sagemaker", "CreateEndpoint"),
        ("sagemaker", "UpdateEndpoint"),
        ("sagemaker", "DeleteEndpoint"),
        ("sagemaker", "DeleteModelPackage"),
        ("sagemaker", "CreateProject"),
        ("sagemaker", "CreateNotebookInstance"),
        ("sagemaker", "CreatePresignedNotebookInstanceUrl"),
        ("sagemaker", "StartNotebookInstance"),
        ("sagemaker", "StopNotebookInstance"),
        ("iam", "CreateAccessKey"),
        ("iam", "CreateRole"),
        ("cloudformation", "UpdateStack"),
        ("cloudformation", "DeleteStack"),
        ("codepipeline", "PutApprovalResult"),
        ("codepipeline", "UpdatePipeline"),
        ("codepipeline", "EnableStageTransition"),
        ("codecommit", "GitPush"),
        ("events", "PutTargets"),
        ("s3", "DeleteBucket"),
    ],
)
def test_what_jobs_may_not(service, operation):
    assert not allows(JOB, service, operation, {})
    assert not allows(BUILD, service, operation, {})


def test_a_build_may_bring_images_and_a_job_may_not():
    assert allows(BUILD, "ecr", "PutImage", {})
    assert not allows(JOB, "ecr", "PutImage", {})


def test_what_nobody_has_thought_of_is_a_change():
    assert effect("sagemaker", "FrobnicateModel") == "change"
    assert not allows("viewer", "sagemaker", "FrobnicateModel", {})


def test_roles():
    assert ROLES == ("admin", "developer", "viewer")
