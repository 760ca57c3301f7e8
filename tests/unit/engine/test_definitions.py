"""What a pipeline's definition is refused for by the operations behind its steps."""

import pytest

from modelwright.engine.definitions import StepOperations
from modelwright.errors import ValidationException
from modelwright.pipelines.definition import parse
from support.definitions import RECORDED, condition, equals, fail, get, text, training

OPERATIONS = StepOperations()
JOB = {
    "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
    "RoleArn": "role",
    "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
    "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
    "StoppingCondition": {"MaxRuntimeInSeconds": 60},
}


@pytest.mark.parametrize("path", sorted(RECORDED.glob("*.json")), ids=lambda path: path.stem)
def test_what_the_sdks_write_passes(path):
    parse(path.read_text(), OPERATIONS)


def test_all_problems_come_at_once():
    resources = {**JOB["ResourceConfig"], "InstanceCount": "two"}
    wrong = {**JOB, "Rolearn": "x", "ResourceConfig": resources, "HyperParameters": {"m": get("Steps.B.Nope")}}
    with pytest.raises(ValidationException) as error:
        parse(
            text(
                training("A", after=["C"], Arguments=wrong),
                training("B", Arguments=JOB),
                condition("If", conditions=[equals(get("Steps.B.ModelArtifacts.S3"), 1)]),
                fail("F", get("Steps.If.Result")),
            ),
            OPERATIONS,
        )
    for part in (
        "6 problems",
        "Step 'A', Steps[0].DependsOn[0]: there is no step 'C'",
        "Step 'A', Steps[0].Arguments.ResourceConfig.InstanceCount: 'two' is not an Integer.",
        "Step 'A', Steps[0].Arguments.Rolearn: Unknown Argument member 'Rolearn'",
        "Step 'A', Steps[0].Arguments.HyperParameters.m: 'Steps.B.Nope': DescribeTrainingJob answers no 'Nope'",
        "Step 'If', Steps[2].Arguments.Conditions[0].LeftValue: 'Steps.B.ModelArtifacts.S3': DescribeTrainingJob",
        "Step 'F', Steps[3].Arguments.ErrorMessage: 'Steps.If.Result': a Condition step has only the property Outcome",
    ):
        assert part in error.value.message


def test_nothing_is_known_of_types_that_do_not_run():
    step = {"Name": "A", "Type": "Transform", "Arguments": {"Anything": 1}}
    parse(text(step, training("B", Arguments={**JOB, "Environment": {"X": get("Steps.A.Whatever")}})), OPERATIONS)
