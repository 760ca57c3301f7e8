"""The code that projects begin with, run as their builds run it: the SDK's pipeline of `model-build`, to a model."""

import json
import uuid

import pytest

from modelwright.projects.catalog import BUILT_IN
from support.doors import ROLE
from support.sdk import python

SEED = BUILT_IN / "seeds" / "modelbuild"


def test_model_build_trains_evaluates_and_registers(server):
    name = f"seed-{uuid.uuid4().hex[:8]}"
    client = server.client("sagemaker")
    server.client("s3").create_bucket(Bucket=name)
    client.create_model_package_group(ModelPackageGroupName=name)
    variables = {
        "ARTIFACT_BUCKET": name,
        "SAGEMAKER_PIPELINE_ROLE_ARN": ROLE,
        "SAGEMAKER_PIPELINE_NAME": name,
        "MODEL_PACKAGE_GROUP_NAME": name,
        "SAGEMAKER_PROJECT_NAME": name,
        "SAGEMAKER_PROJECT_ID": "p-1",
    }
    program = f"""
import os, runpy, sys, tempfile
os.environ.update({variables!r})
os.chdir(tempfile.mkdtemp())
sys.path.insert(0, {str(SEED)!r})
sys.dont_write_bytecode = True
sys.argv = ["run_pipeline.py", "pipelines.diabetes.pipeline"]
runpy.run_path({str(SEED / "run_pipeline.py")!r}, run_name="__main__")
"""
    python(server, "sdk2", program)
    (version,) = client.list_model_packages(ModelPackageGroupName=name)["ModelPackageSummaryList"]
    found = client.describe_model_package(ModelPackageName=version["ModelPackageArn"])
    assert found["ModelApprovalStatus"] == "PendingManualApproval"
    place = found["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"].removeprefix("s3://").partition("/")
    report = json.loads(server.client("s3").get_object(Bucket=place[0], Key=place[2])["Body"].read())
    assert report["regression_metrics"]["mse"]["value"] == pytest.approx(3000, abs=900)
    assert "ml.m5.large" in found["InferenceSpecification"]["SupportedRealtimeInferenceInstanceTypes"]
