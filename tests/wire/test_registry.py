"""The model registry by boto3: from registering a version to a model made of the approved one."""

import uuid

import pytest
from botocore.exceptions import ClientError

from modelwright.images.library import LocalImages

ME = "arn:aws:sts::111122223333:assumed-role/ModelwrightExecutionRole/admin"


@pytest.fixture(scope="module")
def image(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    (folder / "Dockerfile").write_text('FROM scratch\nENTRYPOINT ["/bin/true"]\n')
    LocalImages(server.settings).build(folder, "wire-registry:1", lambda line: None)
    return "wire-registry:1"


@pytest.fixture(scope="module")
def sagemaker(server):
    return server.client("sagemaker")


@pytest.fixture
def group(sagemaker):
    name = f"Group-{uuid.uuid4().hex[:8]}"
    sagemaker.create_model_package_group(ModelPackageGroupName=name, Tags=[{"Key": "a", "Value": "b"}])
    return name


@pytest.fixture
def register(sagemaker, image, group):
    def register(**changes):
        request = {
            "ModelPackageGroupName": group,
            "InferenceSpecification": {
                "Containers": [{"Image": image, "ModelDataUrl": "s3://results/model.tar.gz"}],
                "SupportedContentTypes": ["image/jpeg"],
                "SupportedResponseMIMETypes": ["application/json"],
                "SupportedRealtimeInferenceInstanceTypes": ["ml.m5.large"],
            },
            "ModelMetrics": {
                "ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": "s3://results/e.json"}}
            },
            "ModelApprovalStatus": "PendingManualApproval",
            **changes,
        }
        return sagemaker.create_model_package(**request)["ModelPackageArn"]

    return register


def test_a_version_is_registered_approved_and_used(sagemaker, register, group):
    arn = register(ModelPackageDescription="first")
    found = sagemaker.describe_model_package(ModelPackageName=arn)
    assert (found["ModelPackageGroupName"], found["ModelPackageVersion"]) == (group, 1)
    assert found["ModelApprovalStatus"] == "PendingManualApproval"
    assert found["CreatedBy"]["IamIdentity"]["Arn"] == ME
    assert "LastModifiedTime" not in found
    model = {
        "ModelName": f"model-{uuid.uuid4().hex[:8]}",
        "ExecutionRoleArn": "arn:aws:iam::111122223333:role/ModelwrightExecutionRole",
        "Containers": [{"ModelPackageName": arn}],
    }
    with pytest.raises(ClientError, match="approval status is PendingManualApproval"):
        sagemaker.create_model(**model)
    sagemaker.update_model_package(
        ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="mAP50 is .98"
    )
    found = sagemaker.describe_model_package(ModelPackageName=arn)
    assert (found["ModelApprovalStatus"], found["ApprovalDescription"]) == ("Approved", "mAP50 is .98")
    assert found["LastModifiedTime"] >= found["CreationTime"]
    sagemaker.create_model(**model)
    assert sagemaker.describe_model(ModelName=model["ModelName"])["Containers"][0]["ModelPackageName"] == arn


def test_the_latest_approved_version(sagemaker, register, group):
    """What deployment scripts ask: the first of the list is the latest."""
    arns = [register() for _ in range(3)]
    for arn in arns[:2]:
        sagemaker.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved")
    sagemaker.update_model_package(ModelPackageArn=arns[2], ModelApprovalStatus="Rejected")
    listed = sagemaker.list_model_packages(
        ModelPackageGroupName=group, ModelApprovalStatus="Approved", SortBy="CreationTime", MaxResults=1
    )
    assert [each["ModelPackageArn"] for each in listed["ModelPackageSummaryList"]] == [arns[1]]
    assert listed["NextToken"]
    pages = sagemaker.get_paginator("list_model_packages").paginate(
        ModelPackageGroupName=group, PaginationConfig={"PageSize": 2}
    )
    assert [each["ModelPackageVersion"] for page in pages for each in page["ModelPackageSummaryList"]] == [3, 2, 1]


def test_boto3_makes_tokens_so_that_two_calls_are_two_versions(register):
    assert register() != register()


def test_a_group_lives_as_long_as_its_versions(sagemaker, register, group):
    arn = register()
    with pytest.raises(sagemaker.exceptions.ConflictException):
        sagemaker.delete_model_package_group(ModelPackageGroupName=group)
    sagemaker.delete_model_package(ModelPackageName=arn)
    sagemaker.delete_model_package_group(ModelPackageGroupName=group)
    with pytest.raises(ClientError, match="does not exist"):
        sagemaker.describe_model_package_group(ModelPackageGroupName=group)


def test_what_register_searches_for(sagemaker, group):
    found = sagemaker.search(
        Resource="ModelPackageGroup",
        SearchExpression={"Filters": [{"Name": "ModelPackageGroupName", "Operator": "Equals", "Value": group}]},
    )["Results"]
    assert found[0]["ModelPackageGroup"]["ModelPackageGroupName"] == group
    assert found[0]["ModelPackageGroup"]["Tags"] == [{"Key": "a", "Value": "b"}]


def test_the_sdk_goes_on_when_something_is_there_already(sagemaker, group, image):
    with pytest.raises(ClientError) as caught:
        sagemaker.create_model_package_group(ModelPackageGroupName=group)
    assert caught.value.response["Error"]["Code"] == "ValidationException"
    assert "already exists" in caught.value.response["Error"]["Message"]
    model = {"ModelName": f"twice-{uuid.uuid4().hex[:8]}", "PrimaryContainer": {"Image": image}}
    sagemaker.create_model(**model)
    with pytest.raises(ClientError, match="Cannot create already existing model"):
        sagemaker.create_model(**model)
