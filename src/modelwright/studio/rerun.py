"""A job once more, by AWS's own command line: what to paste where one wants to see it fail oneself. Pure."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

from modelwright.studio.joblogs import Kind

_MEMBERS = {
    "TrainingJob": (
        "HyperParameters", "AlgorithmSpecification", "RoleArn", "InputDataConfig", "OutputDataConfig",
        "ResourceConfig", "VpcConfig", "StoppingCondition", "EnableNetworkIsolation",
        "EnableInterContainerTrafficEncryption", "EnableManagedSpotTraining", "CheckpointConfig", "Environment",
        "RetryStrategy",
    ),
    "ProcessingJob": (
        "ProcessingInputs", "ProcessingOutputConfig", "ProcessingResources", "StoppingCondition", "AppSpecification",
        "Environment", "NetworkConfig", "RoleArn",
    ),
}  # fmt: skip
"""What Describe answers that Create takes."""
_SUFFIX = "-again"
_LONGEST_NAME = 63


def command(kind: Kind, job: Mapping[str, Any]) -> str:
    """The line that creates the same job under another name, and the one that follows its log."""
    name = str(job[f"{kind.noun}Name"])[: _LONGEST_NAME - len(_SUFFIX)].rstrip("-") + _SUFFIX
    given = {f"{kind.noun}Name": name, **{key: job[key] for key in _MEMBERS[kind.noun] if job.get(key) is not None}}
    text = shlex.quote(json.dumps(given, ensure_ascii=False, indent=1))
    return f"aws sagemaker create-{kind.path}-job --cli-input-json {text}\nmodelwright logs --follow {name}"
