"""Step arguments against the operation's shape: what is literal is checked, what is an expression passes."""

import pytest

from modelwright.protocol.arguments import check, check_path
from support.definitions import get

JOB = {
    "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
    "RoleArn": get("Parameters.Role"),
    "OutputDataConfig": {"S3OutputPath": {"Std:Join": {"On": "/", "Values": ["s3:/", "b"]}}},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": get("Parameters.N"), "VolumeSizeInGB": 30},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
}


def found(**changes):
    return dict(check("sagemaker", "CreateTrainingJob", {**JOB, **changes}, given="TrainingJobName"))


def test_it_works():
    assert found() == {}


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


@pytest.mark.parametrize(
    "path",
    [
        ["ModelArtifacts", "S3ModelArtifacts"],
        ["FinalMetricDataList", "mse", "Value"],
        ["FinalMetricDataList", 0],
        ["HyperParameters", "epochs"],
        ["TrainingJobName"],
    ],
)
def test_paths_into_an_answer(path):
    assert check_path("sagemaker", "DescribeTrainingJob", path) is None


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (["Artifacts"], "DescribeTrainingJob answers no 'Artifacts' there, but: TrainingJobName, "),
        (["ModelArtifacts", "S3"], "DescribeTrainingJob answers no 'S3' there, but: S3ModelArtifacts."),
        (["ModelArtifacts", 0], "DescribeTrainingJob answers no 0 there"),
        (["TrainingJobName", "x"], "'x' is looked for in a plain value"),
        (["FinalMetricDataList", "mse", "Val"], "DescribeTrainingJob answers no 'Val' there"),
    ],
)
def test_paths_that_lead_nowhere(path, reason):
    assert check_path("sagemaker", "DescribeTrainingJob", path).startswith(reason)
