"""What a model version was made from: the execution, the job that trained it, parameters, data, code, image."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelwright.services.dispatch import Document
from modelwright.studio import joblogs
from modelwright.studio.joblogs import KINDS
from modelwright.studio.runs import identity, parameters
from modelwright.studio.view import View, link

_CODE_CHANNELS = ("code", "sm_code", "sm_drivers", "source")
_OWN = "sagemaker_"
"""What the SDKs' hyperparameters for their own use begin with."""
_CODE = {"sagemaker_program": "Entry point", "sagemaker_submit_directory": "Source"}


@dataclass
class Origin:
    """Where a version comes from, as far as it is known here."""

    execution: Document | None = None
    """`title`, `status`, `address`, `pipeline`."""
    job: Document | None = None
    """`name`, `status`, `address`, `seconds`."""
    parameters: dict[str, str] = field(default_factory=dict)
    """The pipeline's, as the execution was given them."""
    hyperparameters: dict[str, str] = field(default_factory=dict)
    inputs: dict[str, str] = field(default_factory=dict)
    """Channel -> its address in S3."""
    code: dict[str, str] = field(default_factory=dict)
    """What the trained code is called in English (a text of ours) -> which it was."""
    image: str = ""
    metrics: dict[str, float] = field(default_factory=dict)
    """What the job itself measured last."""


async def origin(view: View, package: Document) -> Origin:
    """As the package, its execution and its training job tell; what was deleted since is left out."""
    found = Origin()
    metadata = package.get("MetadataProperties", {})
    for member, label in (("Repository", "Repository"), ("CommitId", "Commit")):
        if metadata.get(member):
            found.code[label] = str(metadata[member])
    generated = str(metadata.get("GeneratedBy", ""))
    if "/execution/" in generated:
        execution = await view.find("DescribePipelineExecution", PipelineExecutionArn=generated)
        if execution is not None:
            found.execution = {
                "title": execution["PipelineExecutionDisplayName"],
                "status": execution["PipelineExecutionStatus"],
                "address": link("executions", identity(generated), arn=generated),
            }
            found.parameters = {name: str(value) for name, value in (await parameters(view, generated)).items()}
            await _training(view, generated, found)
    if found.job is None:
        await _maker(view, package, found)
    return found


async def _training(view: View, execution: str, found: Origin) -> None:
    """The first training of the execution: what comes later repacks what that made."""
    page = await view.call("ListPipelineExecutionSteps", PipelineExecutionArn=execution, SortOrder="Ascending",
                           MaxResults=100)  # fmt: skip
    for step in page["PipelineExecutionSteps"]:
        arn = step.get("Metadata", {}).get("TrainingJob", {}).get("Arn")
        if arn:
            job = await joblogs.of_arn(view, KINDS["training"], arn)
            if job is not None:
                _read(job, found)
                return


async def _maker(view: View, package: Document, found: Origin) -> None:
    """The training job whose model one of the version's containers runs."""
    for container in package.get("InferenceSpecification", {}).get("Containers", []):
        data = container.get("ModelDataUrl")
        if not data:
            continue
        wanted = [{"Name": "ModelArtifacts.S3ModelArtifacts", "Operator": "Equals", "Value": data}]
        jobs = (await view.call("Search", Resource="TrainingJob", SearchExpression={"Filters": wanted}))["Results"]
        if jobs:
            _read(jobs[0]["TrainingJob"], found)
            return


def _read(job: Mapping[str, Any], found: Origin) -> None:
    """Take what the training job's document tells."""
    found.job = {
        "name": job["TrainingJobName"],
        "status": job["TrainingJobStatus"],
        "address": link("jobs", KINDS["training"].path, job["TrainingJobName"]),
    }
    given = {name: plain(value) for name, value in job.get("HyperParameters", {}).items()}
    found.hyperparameters = {name: value for name, value in given.items() if not name.startswith(_OWN)}
    found.code |= {label: given[name] for name, label in _CODE.items() if name in given}
    for name, uri in channels(job):
        if name in _CODE_CHANNELS:
            found.code.setdefault("Source", uri)
        else:
            found.inputs[name] = uri
    found.image = str(job["AlgorithmSpecification"].get("TrainingImage", ""))
    found.metrics = {each["MetricName"]: float(each["Value"]) for each in job.get("FinalMetricDataList", [])}


def channels(job: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """A training job's inputs in S3: (channel, address)."""
    for channel in job.get("InputDataConfig", []):
        source = channel.get("DataSource", {}).get("S3DataSource")
        if source is not None:
            yield channel["ChannelName"], source["S3Uri"]


def plain(value: str) -> str:
    """A hyperparameter as it was meant: the SDKs put texts into JSON."""
    if value.startswith('"'):
        try:
            return str(json.loads(value))
        except ValueError:
            return value
    return value
