"""What a job's facts make of the document that DescribeTrainingJob or DescribeProcessingJob answers. Pure.

The service wrote the document when it created the job, and sets the main status to Stopping when a stop is asked for;
every other status member follows from the engine's facts, here. Documents are not changed but made anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from modelwright.lifecycles.job import MAX_RUNTIME_EXCEEDED

Document = dict[str, Any]

_ENDINGS = {
    "Completed": ("Completed", "Training job completed"),
    "Failed": ("Failed", "Training job failed"),
    "Stopped": ("Stopped", "Training job stopped"),
    MAX_RUNTIME_EXCEEDED: (MAX_RUNTIME_EXCEEDED, "Training job runtime exceeded MaxRuntimeInSeconds provided"),
}


def training(document: Mapping[str, Any], kind: str, data: Mapping[str, Any], time: float) -> Document:
    """The training job's document after one more fact."""
    new = {**document, "LastModifiedTime": time}
    match kind:
        case "Queued":
            _enter(new, "Pending", data["Message"], time)
        case "Preparing":
            _enter(new, "Starting", data["Message"], time)
        case "Started":
            new["TrainingStartTime"] = data["Began"]
            if data["Inputs"]:
                _enter(new, "Downloading", "Downloading input data", data["Began"])
            _enter(new, "Training", "Training image download completed. Training in progress.", time)
        case "Stopping":
            new["TrainingJobStatus"] = "Stopping"
            _enter(new, "Stopping", "Stopping the training job", time)
        case "Exited" if "Lost" not in data:
            _enter(new, "Uploading", "Uploading generated training model", time)
        case "Ended":
            _end_training(new, data, time)
    return new


def processing(document: Mapping[str, Any], kind: str, data: Mapping[str, Any], time: float) -> Document:
    """The processing job's document after one more fact. AWS tells no secondary status of it."""
    new = {**document, "LastModifiedTime": time}
    match kind:
        case "Started":
            new["ProcessingStartTime"] = time
        case "Stopping":
            new["ProcessingJobStatus"] = "Stopping"
        case "Ended":
            new["ProcessingJobStatus"] = data["Status"]
            if "ProcessingStartTime" in new:
                new["ProcessingEndTime"] = time
            for member in ("FailureReason", "ExitMessage"):
                if data.get(member):
                    new[member] = data[member]
            if data.get("Why") == MAX_RUNTIME_EXCEEDED:
                new["FailureReason"] = "The job was stopped: it ran longer than its MaxRuntimeInSeconds."
    return new


def _end_training(new: Document, data: Mapping[str, Any], time: float) -> None:
    secondary, message = _ENDINGS[data.get("Why") or data["Status"]]
    new["TrainingJobStatus"] = data["Status"]
    _enter(new, secondary, message, time)
    new["SecondaryStatusTransitions"][-1]["EndTime"] = time
    if "TrainingStartTime" in new:
        seconds = max(1, round(time - new["TrainingStartTime"]))  # AWS counts no less
        new |= {"TrainingEndTime": time, "TrainingTimeInSeconds": seconds, "BillableTimeInSeconds": seconds}
    for member in ("FailureReason", "ModelArtifacts", "FinalMetricDataList"):
        if data.get(member):
            new[member] = data[member]


def _enter(document: Document, status: str, message: str, time: float) -> None:
    """Go into a secondary status; in the same one again only the message changes."""
    transitions = [dict(transition) for transition in document.get("SecondaryStatusTransitions", [])]
    if transitions and transitions[-1]["Status"] == status:
        transitions[-1]["StatusMessage"] = message
    else:
        if transitions:
            transitions[-1]["EndTime"] = time
        transitions.append({"Status": status, "StartTime": time, "StatusMessage": message})
    document["SecondaryStatus"] = status
    document["SecondaryStatusTransitions"] = transitions
