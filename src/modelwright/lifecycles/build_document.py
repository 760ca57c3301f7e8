"""What a build's facts make of the document that BatchGetBuilds answers. Pure; documents are made anew.

A document has all phases so far; the last one is open (it has no end) until the next one begins. The phases of the
container are as the container has told them, checked by `report`: whoever runs in there can write what he likes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

Document = dict[str, Any]

INSIDE = ("DOWNLOAD_SOURCE", "INSTALL", "PRE_BUILD", "BUILD", "POST_BUILD", "UPLOAD_ARTIFACTS")
"""The phases that the container tells of."""
_TEXT = 4096
_VALUE = 1 << 16
_LATEST = 1e11
"""Seconds; the year 5138."""


def submitted(time: float) -> list[Document]:
    """The phases of a build that was just started."""
    return [_ended({"phaseType": "SUBMITTED", "startTime": time}, "SUCCEEDED", time), _open("QUEUED", time)]


def fold(document: Mapping[str, Any], kind: str, data: Mapping[str, Any], time: float) -> Document:
    """The document after one more fact."""
    new = {**document, "phases": [dict(phase) for phase in document["phases"]]}
    match kind:
        case "Granted":
            _enter(new, "PROVISIONING", time)
        case "Source":
            new["resolvedSourceVersion"] = data["Version"]
        case "Started":
            _enter(new, "DOWNLOAD_SOURCE", time)
        case "Progress":
            _told(new, data["Phases"])
        case "Ended":
            _end(new, data, time)
    return new


def report(value: Any) -> list[Document]:
    """The phases that a container has told, as far as they make sense."""
    phases = []
    for item in value if isinstance(value, list) else ():
        if not isinstance(item, dict) or item.get("phaseType") not in INSIDE:
            continue
        start, end = item.get("startTime"), item.get("endTime")
        if not _is_time(start):
            continue
        phase = _open(item["phaseType"], float(start))
        if _is_time(end):
            status = "SUCCEEDED" if item.get("phaseStatus") == "SUCCEEDED" else "FAILED"
            phase = _ended(phase, status, max(float(end), float(start)), _contexts(item.get("contexts")))
        phases.append(phase)
    return phases[: len(INSIDE)]


def _told(new: Document, phases: Sequence[Mapping[str, Any]]) -> None:
    before = [phase for phase in new["phases"] if phase["phaseType"] not in INSIDE]
    if phases:
        new["phases"] = [*before, *(dict(phase) for phase in phases)]
        new["currentPhase"] = phases[-1]["phaseType"]


def _end(new: Document, data: Mapping[str, Any], time: float) -> None:
    status = data["Status"]
    if data.get("Phases"):
        _told(new, data["Phases"])
    place, context = data.get("Phase"), data.get("Context")
    if place and new["phases"][-1]["phaseType"] != place:
        _enter(new, place, time)
    last = new["phases"][-1]
    if "endTime" not in last:
        contexts = [context] if context else _OWN.get(status, [])
        new["phases"][-1] = _ended(last, status, time, contexts)
    elif context:
        new["phases"][-1] = {**last, "contexts": [context], "phaseStatus": status}
    if status in ("SUCCEEDED", "FAILED"):
        _enter(new, "FINALIZING", time)
    _enter(new, "COMPLETED", time)
    new |= {"buildStatus": status, "buildComplete": True, "endTime": time}
    if data.get("Exported"):
        new["exportedEnvironmentVariables"] = data["Exported"]
    if data.get("Artifacts"):
        new["artifacts"] = {**new.get("artifacts", {}), **data["Artifacts"]}
    if data.get("SecondaryArtifacts"):
        new["secondaryArtifacts"] = data["SecondaryArtifacts"]


_OWN: Mapping[str, list[Document]] = {
    "TIMED_OUT": [{"statusCode": "BUILD_TIMED_OUT", "message": "Build has timed out."}],
}


def _enter(new: Document, name: str, time: float) -> None:
    last = new["phases"][-1]
    if "endTime" not in last:
        new["phases"][-1] = _ended(last, "SUCCEEDED", time)
    new["phases"].append({"phaseType": name, "startTime": time} if name == "COMPLETED" else _open(name, time))
    new["currentPhase"] = name


def _open(name: str, time: float) -> Document:
    return {"phaseType": name, "phaseStatus": "IN_PROGRESS", "startTime": time}


def _ended(phase: Mapping[str, Any], status: str, time: float, contexts: Sequence[Document] = ()) -> Document:
    ended = {"phaseStatus": status, "endTime": time, "durationInSeconds": max(0, round(time - phase["startTime"]))}
    empty: Document = {"statusCode": "", "message": ""}
    return {**phase, **ended, "contexts": list(contexts) or [empty]}


def _contexts(value: Any) -> list[Document]:
    found = []
    for item in value if isinstance(value, list) else ():
        if isinstance(item, dict):
            text = {name: _text(item.get(name, ""), _TEXT) for name in ("statusCode", "message")}
            found.append(text)
    return found[:10]


def _is_time(value: Any) -> TypeGuard[int | float]:
    """JSON's NaN and 1e999 are numbers too."""
    return isinstance(value, int | float) and 0 <= value < _LATEST


def _text(value: Any, most: int) -> str:
    """As UTF-8 and every database can hold it."""
    return str(value)[:most].replace("\0", "\ufffd").encode(errors="replace").decode()


def exported(value: Any, names: Sequence[str]) -> list[Document]:
    """Exported variables that a container has told, in the order of `names`."""
    values = value if isinstance(value, dict) else {}
    return [{"name": name, "value": _text(values[name], _VALUE)} for name in names if name in values]


def state_change(document: Mapping[str, Any]) -> Document:
    """The detail of the event `CodeBuild Build State Change`."""
    logs = document["logs"]
    more = {
        "build-complete": document["buildComplete"],
        "build-number": document["buildNumber"],
        "build-start-time": document["startTime"],
        "initiator": document["initiator"],
        "logs": {"group-name": logs.get("groupName"), "stream-name": logs.get("streamName")},
        "phases": [
            {"phase-type": phase["phaseType"], "phase-status": phase.get("phaseStatus")} for phase in document["phases"]
        ],
        "source": {"type": document["source"]["type"], "location": document["source"].get("location", "")},
    }
    return {
        "build-status": document["buildStatus"],
        "project-name": document["projectName"],
        "build-id": document["arn"],
        "current-phase": document["currentPhase"],
        "additional-information": more,
        "version": "1",
    }
