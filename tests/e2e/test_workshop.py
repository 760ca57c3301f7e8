"""Issue: the workshop's model-build pipeline. One trained model good enough, one not."""

import json
import os
from pathlib import Path

import pytest

from e2e.conftest import modelwright

STEPS = ["PoseTrain", "PoseEval", "PoseMAPCondition", "PoseModel-RepackModel-0", "PoseModel-RegisterModel"]
REAL_DATA = Path(__file__).parents[3] / "shared" / "data" / "coco8-pose.zip"

pytestmark = pytest.mark.timeout(1500)


def test_the_pipeline_succeeds_with_every_step(good):
    assert good["PipelineExecutionStatus"] == "Succeeded"
    assert [step["StepName"] for step in good["Steps"]] == STEPS
    assert {step["StepStatus"] for step in good["Steps"]} == {"Succeeded"}


def test_the_model_is_good_on_unseen_images(good):
    assert good["mAP50"] > 0.5


def test_the_package_waits_for_approval(good, home):
    assert good["ModelApprovalStatus"] == "PendingManualApproval"
    shown = json.loads(modelwright("models", "show", "PoseYOLOv8/1", "--json", home=home).stdout)
    assert shown["ModelPackageArn"] == good["ModelPackageArn"]
    assert shown["InferenceSpecification"]["SupportedRealtimeInferenceInstanceTypes"]
    assert shown["ModelMetrics"]["ModelQuality"]["Statistics"]["S3Uri"].endswith("/evaluation.json")


def test_the_metrics_of_the_training_are_known(good, home):
    arn = good["Steps"][0]["Metadata"]["TrainingJob"]["Arn"]
    jobs = json.loads(modelwright("jobs", "list", "--json", home=home).stdout)
    name = next(job["Name"] for job in jobs if job["Name"].lower() == arn.rsplit("/", 1)[1])
    job = json.loads(modelwright("jobs", "show", name, "--json", home=home).stdout)
    metrics = {metric["MetricName"]: metric["Value"] for metric in job["FinalMetricDataList"]}
    assert metrics["validation:pose_mAP50"] > 0.5
    assert "epoch=14/14" in modelwright("logs", name, home=home).stdout


def test_an_administrator_decides_on_the_command_line(good, home):
    done = modelwright("models", "reject", "PoseYOLOv8/1", "-m", "blurred", "--json", home=home)
    assert json.loads(done.stdout)["ModelApprovalStatus"] == "Rejected"
    assert json.loads(done.stdout)["ApprovalDescription"] == "blurred"


@pytest.fixture(scope="module")
def bad(good, demo):
    return demo("--epochs", "1", "--threshold", "0.9")


def test_a_model_that_is_not_good_enough_is_not_registered(bad, home):
    assert bad["PipelineExecutionStatus"] == "Succeeded"
    assert [step["StepName"] for step in bad["Steps"]] == STEPS[:3]
    assert bad["ModelPackageArn"] is None
    assert len(json.loads(modelwright("models", "list", "PoseYOLOv8", "--json", home=home).stdout)) == 1


def test_the_second_run_builds_and_downloads_nothing_again(good, bad):
    assert bad["ImageSeconds"] < 5


@pytest.mark.skipif(not REAL_DATA.exists(), reason=f"the workshop's own photographs are not here: {REAL_DATA.name}")
def test_the_workshops_own_photographs_go_all_the_way(bad, demo):
    """Eight photographs teach nothing from scratch: the pipeline runs, the gate stays shut."""
    found = demo("--data", os.fspath(REAL_DATA), "--epochs", "1", "--image-size", "320", "--threshold", "0.9")
    assert found["PipelineExecutionStatus"] == "Succeeded"
    assert found["ModelPackageArn"] is None
