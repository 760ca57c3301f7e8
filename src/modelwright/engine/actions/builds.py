"""CodeBuild actions: a build of the project with the artifacts in the place of its source, and what it makes.

StartBuild's token is the action's id, so that a start which is repeated finds the build that it began. One output
artifact is the build's own; several are its secondary artifacts, by their names (as on AWS).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from modelwright.codepipeline.declaration import check_environment
from modelwright.engine.actions.base import ActionFailed, Outcome, Place, Task, Tools
from modelwright.errors import AwsError

_SERVICE = "codebuild"


class Build:
    """Build and Test, CodeBuild."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def start(self, task: Task) -> Outcome:
        build = self._tools.call(task.region, _SERVICE, "StartBuild", _request(task))["build"]
        return Outcome(_about(build))

    def poll(self, task: Task) -> Outcome | None:
        identity = task.action.detail["external_id"]
        task.changes_of(f"build/{identity}")
        found = self._tools.call(task.region, _SERVICE, "BatchGetBuilds", {"ids": [identity]})["builds"]
        if not found:
            raise ActionFailed(f"The build {identity} has been deleted.")
        build = found[0]
        status = build["buildStatus"]
        if status == "IN_PROGRESS":
            return None
        if status != "SUCCEEDED":
            return Outcome({**_about(build), "error": {"code": "JobFailed", "message": _reason(build)}}, "Failed")
        variables = {each["name"]: each["value"] for each in build.get("exportedEnvironmentVariables", [])}
        return Outcome({**_about(build), "outputs": self._outputs(task), "variables": variables}, "Succeeded")

    def _outputs(self, task: Task) -> dict[str, Place]:
        places: dict[str, Place] = {name: task.place(name) for name in task.outputs}
        for name, place in places.items():
            try:
                self._tools.objects.head(place["bucket"], place["key"])
            except AwsError as error:
                kind = "artifacts" if len(places) == 1 else f"secondary-artifacts called '{name}'"
                raise ActionFailed(
                    f"The build succeeded and has not made the output artifact '{name}': its buildspec must have "
                    f"{kind}."
                ) from error
        return places


def _request(task: Task) -> dict[str, Any]:
    configuration, names = task.configuration, list(task.inputs)
    primary = configuration.get("PrimarySource", names[0])
    if primary not in task.inputs:
        raise ActionFailed(f"The PrimarySource '{primary}' is none of the input artifacts.", "ConfigurationError")
    request: dict[str, Any] = {
        "projectName": configuration["ProjectName"],
        "sourceTypeOverride": "S3",
        "sourceLocationOverride": _location(task.inputs[primary]),
        "idempotencyToken": task.id,
    }
    others = [name for name in names if name != primary]
    if others:
        request["secondarySourcesOverride"] = [
            {"type": "S3", "location": _location(task.inputs[name]), "sourceIdentifier": name} for name in others
        ]
    outputs = task.outputs
    if len(outputs) == 1:
        request["artifactsOverride"] = _artifacts(task.place(outputs[0]))
    else:
        request["artifactsOverride"] = {"type": "NO_ARTIFACTS"}
    if len(outputs) > 1:
        request["secondaryArtifactsOverride"] = [
            {**_artifacts(task.place(name)), "artifactIdentifier": name} for name in outputs
        ]
    initiator = {"name": "CODEBUILD_INITIATOR", "value": f"codepipeline/{task.pipeline}"}  # as CodeBuild tells it
    return {
        **request,
        "environmentVariablesOverride": [*_environment(configuration.get("EnvironmentVariables")), initiator],
    }


def _location(place: Place) -> str:
    return f"{place['bucket']}/{place['key']}"


def _artifacts(place: Place) -> dict[str, Any]:
    path, _, name = place["key"].rpartition("/")
    return {
        "type": "S3",
        "location": place["bucket"],
        "path": path,
        "name": name,
        "namespaceType": "NONE",
        "packaging": "ZIP",
        "overrideArtifactName": False,
    }


def _environment(text: str | None) -> list[dict[str, str]]:
    problems = list(check_environment(text))
    if problems:  # it was right when the pipeline was created: a variable's value has spoilt it
        raise ActionFailed("; ".join(problems), "ConfigurationError")
    return [{"type": "PLAINTEXT", **entry} for entry in json.loads(text or "[]")]


def _about(build: Mapping[str, Any]) -> dict[str, Any]:
    logs = build.get("logs", {})
    found = {
        "external_id": build["id"],
        "external_url": logs.get("deepLink"),
        "log": logs.get("cloudWatchLogsArn"),
    }
    return {key: value for key, value in found.items() if value}


def _reason(build: Mapping[str, Any]) -> str:
    text = f"Build terminated with state: {build['buildStatus']}"
    for phase in build.get("phases", []):
        for context in phase.get("contexts", []):
            if context.get("message"):
                code = context.get("statusCode", "")
                return f"{text}. Phase: {phase['phaseType']}, Code: {code}, Message: {context['message']}"
    return text
