"""A job once more by AWS's command line: what a shell makes of the line is what Create takes."""

import json
import shlex

import pytest

from modelwright.protocol.validation import validate
from modelwright.studio import rerun
from modelwright.studio.joblogs import KINDS

COMMON = {"RoleArn": "arn:aws:iam::111122223333:role/ModelwrightExecutionRole", "CreationTime": 1.5}
STOP = {"MaxRuntimeInSeconds": 60}
JOBS = {
    "training": {
        **COMMON,
        "TrainingJobName": "x" * 62 + "-",
        "TrainingJobStatus": "Failed",
        "HyperParameters": {"text": 'it\'s "quoted" $HOME'},
        "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": "s3://b/o"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": STOP,
    },
    "processing": {
        **COMMON,
        "ProcessingJobName": "eval",
        "ProcessingJobStatus": "Failed",
        "FailureReason": "AlgorithmError",
        "AppSpecification": {"ImageUri": "image", "ContainerEntrypoint": ["python", "-c", "print('x')"]},
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
        },
        "StoppingCondition": STOP,
    },
}


@pytest.mark.parametrize("kind", JOBS)
def test_it_is_what_create_takes(kind):
    words = shlex.split(rerun.command(KINDS[kind], JOBS[kind]))
    create, follow = words[: words.index("modelwright")], words[words.index("modelwright") :]
    assert create[:3] == ["aws", "sagemaker", f"create-{kind}-job"]
    given = json.loads(create[-1])
    noun = KINDS[kind].noun
    validate("sagemaker", f"Create{noun}", given)
    name = given.pop(f"{noun}Name")
    assert name.endswith("-again")
    assert len(name) <= 63
    assert follow == ["modelwright", "logs", "--follow", name]
    assert given == {key: value for key, value in JOBS[kind].items() if key in given}
    assert "CreationTime" not in given
