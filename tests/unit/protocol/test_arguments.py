"""Step arguments against the operation's shape: what is literal is checked, what is an expression passes."""

import json

import pytest

from modelwright.errors import ValidationException
from modelwright.pipelines.definition import parse
from modelwright.protocol.arguments import check
from support.definitions import RECORDED, get, text, training

OPERATIONS = {
    "Training": ("CreateTrainingJob", "TrainingJobName"),
    "Processing": ("CreateProcessingJob", "ProcessingJobName"),
    "Model": ("CreateModel", "ModelName"),
    "RegisterModel": ("CreateModelPackage", None),
    "Transform": ("CreateTransformJob", "TransformJobName"),
    "Tuning": ("CreateHyperParameterTuningJob", "HyperParameterTuningJobName"),
}
JOB = {
    "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
    "RoleArn": get("Parameters.Role"),
    "OutputDataConfig": {"S3OutputPath": {"Std:Join": {"On": "/", "Values": ["s3:/", "b"]}}},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": get("Parameters.N"), "VolumeSizeInGB": 30},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
}


def found(**changes):
    return dict(check("sagemaker", "CreateTrainingJob", {**JOB, **changes}, given="TrainingJobName"))


def of_step(kind, arguments):
    operation, given = OPERATIONS.get(kind, (None, None))
    return () if operation is None else tuple(check("sagemaker", operation, arguments, given=given))


def test_it_works():
    assert found() == {}


@pytest.mark.parametrize("path", sorted(RECORDED.glob("*.json")), ids=lambda path: path.stem)
def test_what_the_sdks_write_passes(path):
    parse(path.read_text(), of_step)


def test_what_the_engine_fills_in_is_not_missing():
    assert dict(check("sagemaker", "CreateTrainingJob", JOB)) == {".TrainingJobName": "is missing."}
    assert ".ClientToken" not in dict(check("sagemaker", "CreateModelPackage", {}))


@pytest.mark.parametrize(
    ("changes", "path", "reason"),
    [
        ({"ModelPackageName": "x"}, ".ModelPackageName", "Unknown Argument member 'ModelPackageName'; known: "),
        ({"RoleArn": None}, ".RoleArn", "is missing."),
        ({"OutputDataConfig": {}}, ".OutputDataConfig.S3OutputPath", "is missing."),
        ({"ResourceConfig": []}, ".ResourceConfig", "Expecting start of Json Object, not []."),
        ({"ResourceConfig": {"InstanceCount": "two"}}, ".ResourceConfig.InstanceCount", "'two' is not an Integer."),
        ({"ResourceConfig": {"InstanceCount": True}}, ".ResourceConfig.InstanceCount", "True is not an Integer."),
        ({"ResourceConfig": {"InstanceType": "m5"}}, ".ResourceConfig.InstanceType", "'m5' is not one of ml."),
        ({"Tags": "x"}, ".Tags", "Expecting start of Json Array, not 'x'."),
        ({"Tags": [{"Key": "a", "Value": [1]}]}, ".Tags[0].Value", "[1] is not a String."),
        ({"HyperParameters": {"a": {"b": 1}}}, ".HyperParameters.a", "{'b': 1} is not a String."),
        ({"HyperParameters": [1]}, ".HyperParameters", "Expecting start of Json Object"),
        ({"EnableNetworkIsolation": "no"}, ".EnableNetworkIsolation", "'no' is not a Boolean."),
    ],
)
def test_what_is_wrong_is_told_with_its_place(changes, path, reason):
    problems = found(**changes)
    assert path in problems
    assert problems[path].startswith(reason)


@pytest.mark.parametrize(
    "changes",
    [
        {"HyperParameters": {"n": 1, "x": 0.5, "b": True, "s": "x", "e": get("Parameters.N")}},
        {"Tags": get("Parameters.Tags")},
        {"VpcConfig": None},
        {"InputDataConfig": [{"ChannelName": "a", "DataSource": {"S3DataSource": get("Parameters.S")}}]},
    ],
)
def test_numbers_as_text_expressions_and_nothing_pass(changes):
    assert found(**changes) == {}


def test_a_definition_tells_these_problems_with_all_others():
    arguments = json.loads(json.dumps({**JOB, "Rolearn": "x", "RoleArn": "r"}))
    arguments["ResourceConfig"]["InstanceCount"] = "two"
    with pytest.raises(ValidationException) as error:
        parse(text(training("A", after=["B"], Arguments=arguments)), of_step)
    for part in (
        "3 problems",
        "Step 'A', Steps[0].DependsOn[0]: there is no step 'B'",
        "Step 'A', Steps[0].Arguments.ResourceConfig.InstanceCount: 'two' is not an Integer.",
        "Step 'A', Steps[0].Arguments.Rolearn: Unknown Argument member 'Rolearn'",
    ):
        assert part in error.value.message
