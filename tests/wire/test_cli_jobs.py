"""`modelwright jobs`, `logs`, `pipelines`, `executions`, `models`, `images` on real jobs."""

import json
import uuid

import pytest

from modelwright.images.library import LocalImages
from support.cli import CommandLine, ended, interrupt, read_until

IMAGE = "cli-jobs:1"
ROLE = "arn:aws:iam::111122223333:role/ModelwrightExecutionRole"
WAIT = "echo begun; trap 'exit 0' TERM; while :; do sleep 0.05; done"


@pytest.fixture(scope="module")
def modelwright(server):
    return CommandLine(server.settings.home)


@pytest.fixture(scope="module")
def sagemaker(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    (folder / "Dockerfile").write_text("FROM scratch\n")
    LocalImages(server.settings).build(folder, IMAGE, lambda line: None)
    server.client("s3").create_bucket(Bucket="cli-jobs")
    return server.client("sagemaker")


def job(command):
    """CreateTrainingJob's parameters without the name."""
    return {
        "AlgorithmSpecification": {
            "TrainingImage": IMAGE,
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["/bin/sh", "-c"],
            "ContainerArguments": [command],
        },
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": "s3://cli-jobs/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 600},
    }


@pytest.fixture
def train(sagemaker):
    def train(command):
        name = f"Cli-{uuid.uuid4().hex[:10]}"
        sagemaker.create_training_job(TrainingJobName=name, **job(command))
        return name

    return train


@pytest.fixture
def pipeline(sagemaker):
    def pipeline(**steps):
        name = f"Cli{uuid.uuid4().hex[:10]}"
        definition = {
            "Version": "2020-12-01",
            "Parameters": [{"Name": "Epochs", "Type": "Integer", "DefaultValue": 3}],
            "Steps": [{"Name": step, "Type": "Training", "Arguments": job(command)} for step, command in steps.items()],
        }
        sagemaker.create_pipeline(
            PipelineName=name,
            PipelineDefinition=json.dumps(definition),
            RoleArn=ROLE,
            ClientRequestToken=name.ljust(32, "0"),
        )
        return name

    return pipeline


def test_logs_of_a_job_that_fails(modelwright, train):
    name = train("echo one; echo two; exit 7")
    done = modelwright("logs", "-f", name, code=1)
    assert done.stdout.splitlines()[-2:] == ["one", "two"]  # it may have waited for its turn, and said so
    assert done.stderr.splitlines()[-1].startswith(f"modelwright: {name} Failed: AlgorithmError")
    assert modelwright.out("logs", name) == done.stdout
    events = json.loads(modelwright.out("logs", name, "--json"))
    assert [event["message"] for event in events] == done.stdout.splitlines()
    following = modelwright("logs", "-f", name, "--json", code=1).stdout.splitlines()
    assert [json.loads(line) for line in following] == events
    shown = modelwright.out("jobs", "show", name)
    assert "TrainingJobStatus                      Failed" in shown
    listed = json.loads(modelwright.out("jobs", "list", "--status", "failed", "--name", name, "--json"))
    assert [(each["Name"], each["Kind"]) for each in listed] == [(name, "training")]


def test_logs_come_while_the_job_runs_and_end_with_it(modelwright, train):
    name = train(WAIT)
    process = modelwright.start("logs", "--follow", name)
    read_until(process, "begun")  # and the job goes on
    assert modelwright.out("jobs", "stop", name) == f"{name} is stopping\n"
    code, rest = ended(process)
    assert code == 1
    assert rest.splitlines()[-1].startswith(f"modelwright: {name} Stopped")


def test_ctrl_c_ends_the_following_and_not_the_job(modelwright, train, sagemaker):
    name = train(WAIT)
    process = modelwright.start("logs", "-f", name)
    read_until(process, "begun")
    code, rest = interrupt(process)
    assert code == 130
    assert rest.strip() == f"modelwright: interrupted; the job goes on. To end it: modelwright jobs stop {name}"
    assert sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobStatus"] == "InProgress"
    sagemaker.stop_training_job(TrainingJobName=name)


def test_a_job_by_its_arn(modelwright, train, sagemaker):
    """An ARN has the name in small letters only."""
    name = train("echo here")
    modelwright("logs", "-f", name)
    arn = sagemaker.describe_training_job(TrainingJobName=name)["TrainingJobArn"]
    assert name not in arn
    assert modelwright.out("logs", arn).splitlines()[-1] == "here"
    assert json.loads(modelwright.out("jobs", "show", arn, "--json"))["TrainingJobName"] == name


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["jobs", "show", "nothing"], "There is no job 'nothing'. See: modelwright jobs list"),
        (["logs", "nothing"], "There is no job 'nothing'"),
        (["pipelines", "show", "nothing"], "There is no pipeline 'nothing'. See: modelwright pipelines list"),
        (["pipelines", "start", "nothing"], "There is no pipeline 'nothing'"),
        (["pipelines", "delete", "nothing"], "There is no pipeline 'nothing'"),
        (["executions", "list", "nothing"], "There is no pipeline 'nothing'"),
        (["executions", "show", "nothing"], "There is no execution 'nothing'. See: modelwright executions list"),
        (["executions", "watch", "abcdefghijkl"], "There is no execution 'abcdefghijkl'"),
        (["executions", "stop", "arn:aws:x"], "There is no execution 'arn:aws:x'"),
        (["models", "show", "nothing/1"], "There is no model version 'nothing/1' (GROUP/NUMBER or an ARN)."),
        (["models", "list", "nothing"], "There is no model package group 'nothing'"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_what_is_not_there(modelwright, arguments, said):
    assert said in modelwright.err(*arguments, code=2)


def test_a_pipeline_from_start_to_end(modelwright, pipeline):
    name = pipeline(First="true", Second="echo what it printed; exit 7")
    assert "First   Training" in modelwright.out("pipelines", "show", name)
    assert json.loads(modelwright.out("pipelines", "show", name, "--definition"))["Version"] == "2020-12-01"
    assert "no executions yet" in modelwright.err("executions", "show", name, code=2)

    done = modelwright("pipelines", "start", name, "-p", "Epochs=4", "--name", "mine", "--wait", code=1)
    assert "Second: AlgorithmError: what it printed, exit code: 7" in done.stdout
    assert "    Second: Failed" in done.stderr
    (listed,) = json.loads(modelwright.out("executions", "list", name, "--json"))
    assert (listed["PipelineExecutionDisplayName"], listed["PipelineExecutionStatus"]) == ("mine", "Failed")
    assert listed["Id"] in modelwright.out("executions", "list")
    assert name in modelwright.out("executions", "list")

    shown = [
        modelwright(*("executions", "show", each)) for each in (name, listed["Id"], listed["PipelineExecutionArn"])
    ]
    assert len({each.stdout for each in shown}) == 1
    logs = shown[0].stderr.strip().removeprefix("What Second printed: modelwright ")
    assert modelwright.out(*logs.split()).splitlines()[-1] == "what it printed"
    watched = modelwright("executions", "watch", name, "--json", code=1)
    assert {step["StepName"] for step in json.loads(watched.stdout)["Steps"]} == {"First", "Second"}
    assert modelwright.out("executions", "retry", name) == f"{listed['Id']} goes on from its failed steps\n"
    assert listed["Id"] in modelwright.out("executions", "watch", name, code=1)
    assert modelwright.out("pipelines", "delete", name) == f"{name} is deleted\n"


def test_ctrl_c_ends_the_watching_and_not_the_execution(modelwright, pipeline, sagemaker):
    name = pipeline(Only=WAIT)
    process = modelwright.start("pipelines", "start", name, "--wait")
    read_until(process, "Only: ")
    code, rest = interrupt(process)
    assert code == 130
    said = rest.splitlines()[-1]
    assert said.startswith("modelwright: interrupted; the execution goes on. modelwright executions watch ")
    execution = said.rsplit(" ", 1)[1]
    assert (
        json.loads(modelwright.out("executions", "show", execution, "--json"))["PipelineExecutionStatus"] == "Executing"
    )
    assert modelwright.out("executions", "stop", execution) == f"{execution} is stopping\n"
    assert "Stopped" in modelwright.out("executions", "watch", execution, code=1)


def test_a_parameter_that_the_pipeline_does_not_have(modelwright, pipeline):
    said = modelwright.err("pipelines", "start", pipeline(Only="true"), "-p", "Epoch=4", code=1)
    assert "Epoch" in said


def test_models_are_approved_and_rejected(modelwright, sagemaker):
    group = f"Cli{uuid.uuid4().hex[:8]}"
    sagemaker.create_model_package_group(ModelPackageGroupName=group)
    for _ in range(2):
        sagemaker.create_model_package(
            ModelPackageGroupName=group,
            ModelApprovalStatus="PendingManualApproval",
            InferenceSpecification={
                "Containers": [{"Image": IMAGE, "ModelDataUrl": "s3://cli-jobs/model.tar.gz"}],
                "SupportedContentTypes": ["a/b"],
                "SupportedResponseMIMETypes": ["a/b"],
            },
        )
    rows = modelwright.out("models", "list", group).splitlines()
    assert [row.split()[:2] for row in rows[1:]] == [[f"{group}/{n}", "PendingManualApproval"] for n in (2, 1)]
    said = modelwright.out("models", "approve", f"{group}/1", "-m", "good enough")
    assert said == f"{group}/1 is Approved (it was PendingManualApproval)\n"
    rejected = json.loads(modelwright.out("models", "reject", f"{group}/2", "--comment", "worse", "--json"))
    assert (rejected["ModelApprovalStatus"], rejected["ApprovalDescription"]) == ("Rejected", "worse")
    shown = modelwright.out("models", "show", rejected["ModelPackageArn"])
    assert ["ApprovalDescription", "worse"] in [line.split() for line in shown.splitlines()]
    assert f"There is no model version '{group}/3'" in modelwright.err("models", "show", f"{group}/3", code=2)


def test_images(modelwright, tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\nENV A=1\n")
    built = modelwright("images", "build", tmp_path, "-t", "cli-built:1", "--json")
    digest = json.loads(built.stdout)["Digest"]
    assert "FROM scratch" in built.stderr
    modelwright("images", "add", "cli-added:2", "cli-built:1")
    listed = {each["Name"]: each["Digest"] for each in json.loads(modelwright.out("images", "list", "--json"))}
    assert listed["cli-built:1"] == listed["cli-added:2"] == digest
    assert digest in modelwright.out("images", "show", "cli-added:2")
    assert modelwright.out("images", "remove", "cli-added:2") == "removed cli-added:2\n"
    assert "There is no image 'cli-added:2' here" in modelwright.err("images", "show", "cli-added:2", code=1)
    assert "must be NAME=VALUE" in modelwright.err("images", "build", tmp_path, "-t", "x:1", "--build-arg", "A", code=2)
    (tmp_path / "Dockerfile").write_text("FRM scratch\n")
    modelwright("images", "build", tmp_path, "-t", "x:1", code=1)
