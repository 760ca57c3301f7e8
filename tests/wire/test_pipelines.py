"""Pipelines as clients see them: boto3 over the wire, and the official SDK v2 in an environment of its own."""

import json
import subprocess
import threading
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, ParamValidationError

from support.definitions import RECORDED, condition, equals, fail, get, text, training

ROLE = "arn:aws:iam::111122223333:role/ModelwrightExecutionRole"
SDK = Path(__file__).parents[2] / ".venvs" / "sdk2" / "bin" / "python"
GATE = text(
    condition(
        "Gate",
        [condition("Inner", conditions=[equals(get("Parameters.Kind"), "n")])],
        [fail("Refuse", {"Std:Join": {"On": " ", "Values": ["mAP", get("Parameters.Score"), "is too low"]}})],
        conditions=[{"Type": "GreaterThanOrEqualTo", "LeftValue": get("Parameters.Score"), "RightValue": 0.5}],
    ),
    Parameters=[
        {"Name": "Score", "Type": "Float", "DefaultValue": 0.9},
        {"Name": "Kind", "Type": "String", "DefaultValue": "n", "EnumValues": ["n", "s"]},
    ],
)


@pytest.fixture(scope="module")
def sagemaker(server):
    return server.client("sagemaker")


@pytest.fixture
def pipeline(sagemaker, request):
    """A pipeline of conditions, which needs no image to run."""
    name = request.node.name.replace("_", "-").partition("[")[0]
    sagemaker.create_pipeline(PipelineName=name, PipelineDefinition=GATE, RoleArn=ROLE)
    yield name
    sagemaker.delete_pipeline(PipelineName=name)


def start(sagemaker, pipeline, **values):
    parameters = [{"Name": name, "Value": value} for name, value in values.items()]
    answer = sagemaker.start_pipeline_execution(PipelineName=pipeline, PipelineParameters=parameters)
    return answer["PipelineExecutionArn"]


def ended(sagemaker, arn):
    pause = threading.Event()
    for _ in range(1500):
        execution = sagemaker.describe_pipeline_execution(PipelineExecutionArn=arn)
        if execution["PipelineExecutionStatus"] not in ("Executing", "Stopping"):
            return execution
        pause.wait(0.02)
    raise AssertionError(f"still {execution['PipelineExecutionStatus']}")


def steps(sagemaker, arn, **members):
    pages = sagemaker.get_paginator("list_pipeline_execution_steps").paginate(PipelineExecutionArn=arn, **members)
    return [step for page in pages for step in page["PipelineExecutionSteps"]]


def test_an_execution_takes_one_branch(sagemaker, pipeline):
    arn = start(sagemaker, pipeline)
    execution = ended(sagemaker, arn)
    assert execution["PipelineExecutionStatus"] == "Succeeded"
    told = steps(sagemaker, arn, SortOrder="Ascending", PaginationConfig={"PageSize": 1})
    assert [(step["StepName"], step["StepStatus"]) for step in told] == [("Gate", "Succeeded"), ("Inner", "Succeeded")]
    assert [step["Metadata"] for step in told] == [{"Condition": {"Outcome": "True"}}] * 2
    assert execution["CreationTime"] <= told[0]["StartTime"] <= told[0]["EndTime"] <= told[1]["StartTime"]
    assert told[1]["EndTime"] <= execution["LastModifiedTime"]


def test_the_other_branch_fails_and_tells_why(sagemaker, pipeline):
    arn = start(sagemaker, pipeline, Score="0.25", Kind="s")
    execution = ended(sagemaker, arn)
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert execution["FailureReason"] == "Step failure: One or multiple steps failed."
    newest = steps(sagemaker, arn)[0]
    assert newest["StepName"] == "Refuse"
    assert newest["FailureReason"] == "mAP 0.25 is too low"
    assert newest["Metadata"] == {"Fail": {"ErrorMessage": "mAP 0.25 is too low"}}
    listed = sagemaker.list_pipeline_parameters_for_execution(PipelineExecutionArn=arn)["PipelineParameters"]
    assert listed == [{"Name": "Score", "Value": "0.25"}, {"Name": "Kind", "Value": "s"}]


def test_a_failed_execution_is_retried_from_where_it_failed(sagemaker, pipeline):
    arn = start(sagemaker, pipeline, Score="0.25")
    ended(sagemaker, arn)
    assert sagemaker.retry_pipeline_execution(PipelineExecutionArn=arn)["PipelineExecutionArn"] == arn
    assert ended(sagemaker, arn)["PipelineExecutionStatus"] == "Failed"
    assert {step["StepName"]: step["AttemptCount"] for step in steps(sagemaker, arn)} == {"Gate": 1, "Refuse": 2}


JOB = {
    "AlgorithmSpecification": {"TrainingImage": "nowhere.example.com/none:1", "TrainingInputMode": "File"},
    "RoleArn": ROLE,
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
}


@pytest.mark.parametrize(
    ("name", "step", "reason"),
    [
        ("no-image", training("A", Arguments=JOB), "nowhere.example.com/none:1"),
        ("no-such-type-yet", {"Name": "A", "Type": "EMR", "Arguments": {}}, "Steps of type EMR can't be run"),
    ],
)
def test_a_step_that_can_t_begin_fails_with_the_reason(sagemaker, name, step, reason):
    definition = text(step, training("B", after=["A"], Arguments=JOB), condition("C"))
    sagemaker.create_pipeline(PipelineName=name, PipelineDefinition=definition, RoleArn=ROLE)
    arn = start(sagemaker, name)
    assert ended(sagemaker, arn)["PipelineExecutionStatus"] == "Failed"
    told = {step["StepName"]: step for step in steps(sagemaker, arn)}
    assert set(told) == {"A", "C"}
    assert told["A"]["StepStatus"] == "Failed"
    assert reason in told["A"]["FailureReason"]
    assert told["C"]["StepStatus"] == "Succeeded"


def test_the_same_token_is_the_same_execution(sagemaker, pipeline):
    token = "t" * 32
    first, second = (
        sagemaker.start_pipeline_execution(PipelineName=pipeline, ClientRequestToken=token)["PipelineExecutionArn"]
        for _ in range(2)
    )
    assert first == second
    ended(sagemaker, first)
    assert len(sagemaker.list_pipeline_executions(PipelineName=pipeline)["PipelineExecutionSummaries"]) == 1


def test_a_large_definition_lies_in_s3(server, sagemaker):
    s3 = server.client("s3")
    s3.create_bucket(Bucket="definitions")
    definition = (RECORDED / "v2_abalone.json").read_text()
    s3.put_object(Bucket="definitions", Key="Abalone", Body=definition.encode())
    sagemaker.create_pipeline(
        PipelineName="Abalone",
        PipelineDefinitionS3Location={"Bucket": "definitions", "ObjectKey": "Abalone"},
        RoleArn=ROLE,
    )
    assert sagemaker.describe_pipeline(PipelineName="Abalone")["PipelineDefinition"] == definition


REFUSED = {
    "a taken name": (
        lambda client, name: client.create_pipeline(PipelineName=name, PipelineDefinition=GATE, RoleArn=ROLE),
        "ValidationException",
        "already exists",
    ),
    "a broken definition": (
        lambda client, name: client.update_pipeline(PipelineName=name, PipelineDefinition='{"Steps": []}'),
        "ValidationException",
        "Unable to parse pipeline definition. 2 problems",
    ),
    "a misspelt argument": (
        lambda client, name: client.update_pipeline(
            PipelineName=name, PipelineDefinition=text(training("A", Arguments={"Rolearn": ROLE}))
        ),
        "ValidationException",
        "Step 'A', Steps[0].Arguments.Rolearn: Unknown Argument member 'Rolearn'",
    ),
    "an unknown pipeline": (
        lambda client, name: client.describe_pipeline(PipelineName="None-Such"),
        "ResourceNotFound",
        "Pipeline 'None-Such' does not exist",
    ),
    "an unknown parameter": (
        lambda client, name: start(client, name, Nope="1"),
        "ValidationException",
        "unknown parameter 'Nope'",
    ),
    "a callback": (
        lambda client, name: client.send_pipeline_execution_step_success(CallbackToken="abcdefghij"),
        "UnsupportedOperation",
        "sagemaker:SendPipelineExecutionStepSuccess",
    ),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refusals(sagemaker, pipeline, what):
    call, code, message = REFUSED[what]
    with pytest.raises(ClientError) as caught:
        call(sagemaker, pipeline)
    answer = caught.value.response
    assert (answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]) == (code, 400)
    assert message in answer["Error"]["Message"]


def test_boto3_makes_the_tokens(sagemaker, pipeline):
    with pytest.raises(ParamValidationError):
        sagemaker.start_pipeline_execution(PipelineName=pipeline, ClientRequestToken="short")
    ended(sagemaker, start(sagemaker, pipeline))


SCRIPT = """
import json
import sagemaker
from sagemaker.workflow.condition_step import ConditionStep
from sagemaker.workflow.conditions import ConditionGreaterThan
from sagemaker.workflow.fail_step import FailStep
from sagemaker.workflow.parameters import ParameterFloat
from sagemaker.workflow.pipeline import Pipeline

score = ParameterFloat("Score", 0.9)
refuse = FailStep("Refuse", error_message="too low")
gate = ConditionStep("Gate", conditions=[ConditionGreaterThan(score, 0.5)], if_steps=[], else_steps=[refuse])
pipeline = Pipeline("FromTheSdk", parameters=[score], steps=[gate], sagemaker_session=sagemaker.Session())
role = sagemaker.get_execution_role()
first = pipeline.upsert(role_arn=role, tags=[{"Key": "a", "Value": "b"}])
second = pipeline.upsert(role_arn=role, description="changed", tags=[{"Key": "c", "Value": "d"}])
assert first["PipelineArn"] == second["PipelineArn"]
assert pipeline.describe()["PipelineDescription"] == "changed"
seen = []
for value in (0.9, 0.1):
    execution = pipeline.start(parameters={"Score": value}, execution_display_name=f"score-{int(value * 10)}")
    try:
        execution.wait(delay=1, max_attempts=30)
    except Exception as error:  # the SDK's waiter raises for a failed execution
        print(type(error).__name__)
    seen.append([execution.describe()["PipelineExecutionStatus"], [s["StepName"] for s in execution.list_steps()]])
    seen.append(execution.list_parameters()["PipelineParameters"])
seen.append(pipeline.latest_pipeline_version_id)
seen.append(len(pipeline.list_executions()["PipelineExecutionSummaries"]))
pipeline.delete()
print(json.dumps(seen))
"""


@pytest.mark.skipif(not SDK.exists(), reason="the official SDK v2 is not installed: scripts/install all")
def test_the_sdk_s_upsert_start_wait_and_list(server, tmp_path):
    script = tmp_path / "pipeline.py"
    script.write_text(SCRIPT)
    environment = server.client_environ()
    result = subprocess.run([SDK, script], env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout.splitlines()[-1]) == [
        ["Succeeded", ["Gate"]],
        [{"Name": "Score", "Value": "0.9"}],
        ["Failed", ["Refuse", "Gate"]],
        [{"Name": "Score", "Value": "0.1"}],
        1,
        2,
    ]
