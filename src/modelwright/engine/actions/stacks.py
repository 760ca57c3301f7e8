"""CloudFormation actions: create, update, replace or delete a stack; make and execute change sets.

The action's id is the ClientRequestToken of what it asks for, and a stack's events tell tokens: so a start that is
repeated finds out that it was heard. What a stack outputs are the action's variables.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from modelwright.engine.actions.base import ActionFailed, Artifacts, Outcome, Task, Tools
from modelwright.errors import AwsError

_SERVICE = "cloudformation"
LARGEST_BODY = 51200
"""Larger templates go by way of S3."""

_REPLACED = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED", "UPDATE_ROLLBACK_FAILED")
_GOOD = ("CREATE_COMPLETE", "UPDATE_COMPLETE", "IMPORT_COMPLETE")
_NOTHING_TO_DO = ("No updates are to be performed", "didn't contain changes", "The submitted information didn't")

_Stack = Mapping[str, Any]


class Stack:
    """Deploy, CloudFormation."""

    def __init__(self, tools: Tools) -> None:
        self._call = tools.call
        self._objects = tools.objects
        self._artifacts = Artifacts(tools.objects)

    def start(self, task: Task) -> Outcome:
        modes: Mapping[str, Callable[[Task], Outcome]] = {
            "CREATE_UPDATE": self._create_update,
            "REPLACE_ON_FAILURE": self._replace_on_failure,
            "CHANGE_SET_REPLACE": self._replace_change_set,
            "CHANGE_SET_EXECUTE": self._execute_change_set,
            "DELETE_ONLY": self._delete,
        }
        return modes[task.configuration["ActionMode"]](task)

    def poll(self, task: Task) -> Outcome | None:
        state = task.state
        task.changes_of(f"stack/{state['stack'].rpartition('/')[2]}")
        phase: Callable[[Task], Outcome | None] = {
            "applying": self._applying,
            "deleting": self._deleting,
            "replacing": self._replacing,
            "changing": self._changing,
        }[state["phase"]]
        return phase(task)

    # What is asked for

    def _create_update(self, task: Task) -> Outcome:
        found = self._find(task, task.configuration["StackName"])
        if found is not None and self._heard(task, found):
            return _waiting("applying", found["StackId"])
        if found is None or found["StackStatus"] == "REVIEW_IN_PROGRESS":
            return self._create(task)
        try:
            made = self._call(task.region, _SERVICE, "UpdateStack", self._request(task))
        except AwsError as error:
            if not _nothing_to_do(error.message):
                raise
            return self._succeeded(task, found)
        return _waiting("applying", made["StackId"])

    def _create(self, task: Task) -> Outcome:
        try:
            made = self._call(task.region, _SERVICE, "CreateStack", self._request(task))
        except AwsError as error:
            found = self._find(task, task.configuration["StackName"])
            if error.code != "AlreadyExistsException" or found is None or not self._heard(task, found):
                raise
            made = {"StackId": found["StackId"]}
        return _waiting("applying", made["StackId"])

    def _replace_on_failure(self, task: Task) -> Outcome:
        found = self._find(task, task.configuration["StackName"])
        if found is None or found["StackStatus"] not in _REPLACED or self._heard(task, found):
            return self._create_update(task)
        self._ask_to_delete(task, found["StackId"], f"{task.id}-delete")
        return _waiting("replacing", found["StackId"])

    def _delete(self, task: Task) -> Outcome:
        found = self._find(task, task.configuration["StackName"])
        if found is None:
            return Outcome({"summary": f"There is no stack {task.configuration['StackName']}."}, "Succeeded")
        self._ask_to_delete(task, found["StackId"], task.id)
        return _waiting("deleting", found["StackId"])

    def _ask_to_delete(self, task: Task, stack: str, token: str) -> None:
        request = {"StackName": stack, "ClientRequestToken": token, "RoleARN": task.configuration.get("RoleArn")}
        self._call(task.region, _SERVICE, "DeleteStack", _present(request))

    def _replace_change_set(self, task: Task) -> Outcome:
        configuration = task.configuration
        place = {"StackName": configuration["StackName"], "ChangeSetName": configuration["ChangeSetName"]}
        found = self._find(task, configuration["StackName"])
        if found is not None:
            try:
                self._call(task.region, _SERVICE, "DeleteChangeSet", place)
            except AwsError as error:
                if error.code not in ("ChangeSetNotFound", "ChangeSetNotFoundException"):
                    raise
        request = self._request(task)
        request.pop("ClientRequestToken")
        request.pop("StackPolicyBody", None)
        new = found is None or found["StackStatus"] == "REVIEW_IN_PROGRESS"
        request |= {**place, "ChangeSetType": "CREATE" if new else "UPDATE", "ClientToken": task.id}
        made = self._call(task.region, _SERVICE, "CreateChangeSet", request)
        return _waiting("changing", made["StackId"], change_set=made["Id"])

    def _execute_change_set(self, task: Task) -> Outcome:
        configuration = task.configuration
        place = {"StackName": configuration["StackName"], "ChangeSetName": configuration["ChangeSetName"]}
        found = self._find(task, configuration["StackName"])
        if found is not None and self._heard(task, found):
            return _waiting("applying", found["StackId"])
        change_set = self._call(task.region, _SERVICE, "DescribeChangeSet", place)
        if change_set["Status"] == "FAILED" and _nothing_to_do(change_set.get("StatusReason", "")) and found:
            return self._succeeded(task, found)
        self._call(task.region, _SERVICE, "ExecuteChangeSet", {**place, "ClientRequestToken": task.id})
        return _waiting("applying", change_set["StackId"])

    # What becomes of it

    def _applying(self, task: Task) -> Outcome | None:
        found = self._find(task, task.state["stack"])
        if found is None:
            raise ActionFailed(f"The stack {task.configuration['StackName']} has been deleted.")
        status = found["StackStatus"]
        if status.endswith("_IN_PROGRESS"):
            return None
        return self._succeeded(task, found) if status in _GOOD else self._failed(task, found)

    def _deleting(self, task: Task) -> Outcome | None:
        found = self._find(task, task.state["stack"])
        if found is None or found["StackStatus"] == "DELETE_COMPLETE":
            return Outcome({"summary": f"Stack {task.configuration['StackName']} DELETE_COMPLETE"}, "Succeeded")
        return self._failed(task, found) if found["StackStatus"] == "DELETE_FAILED" else None

    def _replacing(self, task: Task) -> Outcome | None:
        found = self._find(task, task.state["stack"])
        if found is None or found["StackStatus"] == "DELETE_COMPLETE":
            return self._create(task)
        return self._failed(task, found) if found["StackStatus"] == "DELETE_FAILED" else None

    def _changing(self, task: Task) -> Outcome | None:
        place = {"ChangeSetName": task.state["change_set"], "StackName": task.state["stack"]}
        found = self._call(task.region, _SERVICE, "DescribeChangeSet", place)
        status, reason = found["Status"], found.get("StatusReason", "")
        name = f"Change set {task.configuration['ChangeSetName']}"
        if status == "CREATE_COMPLETE" or (status == "FAILED" and _nothing_to_do(reason)):
            outputs = self._output(task, {"ChangeSetName": found["ChangeSetName"], "StackId": found["StackId"]})
            return Outcome({"summary": f"{name} {status}", **outputs}, "Succeeded")
        if status == "FAILED":
            raise ActionFailed(f"{name} could not be made: {reason}")
        return None

    def _succeeded(self, task: Task, stack: _Stack) -> Outcome:
        variables = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", [])}
        detail = {
            "external_id": stack["StackId"],
            "summary": f"Stack {stack['StackName']} {stack['StackStatus']}",
            "variables": variables,
        }
        return Outcome({**detail, **self._output(task, variables)}, "Succeeded")

    def _output(self, task: Task, content: Mapping[str, Any]) -> dict[str, Any]:
        name = task.configuration.get("OutputFileName")
        if name is None:
            return {}
        (artifact,) = task.outputs
        place = task.place(artifact, ".zip")
        self._artifacts.put(place, {name: json.dumps(content).encode()})
        return {"outputs": {artifact: place}}

    def _failed(self, task: Task, stack: _Stack) -> Outcome:
        message = f"Stack {stack['StackName']} is {stack['StackStatus']}"
        events = [event for event in self._events(task, stack) if event.get("ResourceStatus", "").endswith("_FAILED")]
        own = [event for event in events if str(event.get("ClientRequestToken", "")).startswith(task.id)] or events
        reasons = [event for event in own if "cancelled" not in event.get("ResourceStatusReason", "").lower()]
        if reasons:
            first = reasons[-1]  # they come newest first
            message += (
                f": {first['LogicalResourceId']} ({first.get('ResourceType', '')}) {first['ResourceStatus']}: "
                f"{first.get('ResourceStatusReason', '')}"
            )
        elif stack.get("StackStatusReason"):
            message += f": {stack['StackStatusReason']}"
        return Outcome({"external_id": stack["StackId"], "error": {"code": "JobFailed", "message": message}}, "Failed")

    # Looking

    def _find(self, task: Task, name: str) -> _Stack | None:
        try:
            stacks = self._call(task.region, _SERVICE, "DescribeStacks", {"StackName": name})["Stacks"]
        except AwsError as error:
            if "does not exist" not in error.message:
                raise
            return None
        found: _Stack | None = next(iter(stacks), None)
        return found

    def _heard(self, task: Task, stack: _Stack) -> bool:
        """Whether this action has had its request accepted before: the server was killed before it could say so."""
        return any(event.get("ClientRequestToken") == task.id for event in self._events(task, stack))

    def _events(self, task: Task, stack: _Stack) -> list[Mapping[str, Any]]:
        """Newest first; the first page, which is more than one operation on a stack makes."""
        found: list[Mapping[str, Any]] = self._call(
            task.region, _SERVICE, "DescribeStackEvents", {"StackName": stack["StackId"]}
        )["StackEvents"]
        return found

    # The request

    def _request(self, task: Task) -> dict[str, Any]:
        configuration = task.configuration
        parameters: dict[str, str] = {}
        request: dict[str, Any] = {"StackName": configuration["StackName"], "ClientRequestToken": task.id}
        request |= self._template(task)
        if "TemplateConfiguration" in configuration:
            given = self._configuration(task, configuration["TemplateConfiguration"])
            parameters |= {name: _text(value) for name, value in given.get("Parameters", {}).items()}
            if "Tags" in given:
                request["Tags"] = [{"Key": key, "Value": _text(value)} for key, value in given["Tags"].items()]
            if "StackPolicy" in given:
                request["StackPolicyBody"] = json.dumps(given["StackPolicy"])
        overrides = _parsed(configuration.get("ParameterOverrides", "{}"), "ParameterOverrides")
        parameters |= {name: self._override(task, value) for name, value in overrides.items()}
        request["Parameters"] = [{"ParameterKey": name, "ParameterValue": value} for name, value in parameters.items()]
        capabilities = [each.strip() for each in configuration.get("Capabilities", "").split(",") if each.strip()]
        request |= _present({"Capabilities": capabilities or None, "RoleARN": configuration.get("RoleArn")})
        return request

    def _template(self, task: Task) -> dict[str, str]:
        path = task.configuration["TemplatePath"]
        if path.startswith("https://"):
            return {"TemplateURL": path}
        body = self._artifacts.file(task, *_split(path, "TemplatePath"))
        if len(body) <= LARGEST_BODY:
            try:
                return {"TemplateBody": body.decode()}
            except UnicodeDecodeError as error:
                raise ActionFailed(f"The template {path} is not text in UTF-8.", "ConfigurationError") from error
        place = task.place("template")
        self._objects.put_bytes(place["bucket"], place["key"], body)
        return {"TemplateURL": f"https://{place['bucket']}.s3.{task.region}.amazonaws.com/{place['key']}"}

    def _configuration(self, task: Task, path: str) -> dict[str, Any]:
        content = self._artifacts.file(task, *_split(path, "TemplateConfiguration"))
        given = _parsed(content, f"The template configuration {path}")
        unknown = sorted(set(given) - {"Parameters", "Tags", "StackPolicy"})
        if unknown:
            raise ActionFailed(
                f"The template configuration {path} has {', '.join(unknown)}: it may have Parameters, Tags and "
                "StackPolicy.",
                "ConfigurationError",
            )
        for member, value in given.items():
            if not isinstance(value, dict):
                raise ActionFailed(
                    f"The template configuration {path}: {member} must be a JSON object.", "ConfigurationError"
                )
        return given

    def _override(self, task: Task, value: Any) -> str:
        if not isinstance(value, dict):
            return _text(value)
        if len(value) == 1:
            ((function, arguments),) = value.items()
            if function == "Fn::GetArtifactAtt" and _texts(arguments, 2):
                return _attribute(task, *arguments)
            if function == "Fn::GetParam" and _texts(arguments, 3):
                artifact, file, key = arguments
                content = _parsed(self._artifacts.file(task, artifact, file), f"{artifact}::{file}")
                if key not in content:
                    raise ActionFailed(f"Fn::GetParam: {artifact}::{file} has no '{key}'.", "ConfigurationError")
                return _text(content[key])
        raise ActionFailed(
            f"ParameterOverrides: {json.dumps(value)} is neither a value nor Fn::GetArtifactAtt [artifact, attribute] "
            "nor Fn::GetParam [artifact, file, key].",
            "ConfigurationError",
        )


def _waiting(phase: str, stack: str, **more: str) -> Outcome:
    return Outcome({"external_id": stack, "state": {"phase": phase, "stack": stack, **more}})


def _attribute(task: Task, artifact: str, attribute: str) -> str:
    place = task.inputs.get(artifact)
    if place is None:
        raise ActionFailed(
            f"Fn::GetArtifactAtt: '{artifact}' is none of the action's input artifacts.", "ConfigurationError"
        )
    known = {
        "BucketName": place["bucket"],
        "ObjectKey": place["key"],
        "URL": f"https://s3-{task.region}.amazonaws.com/{place['bucket']}/{place['key']}",
    }
    if attribute not in known:
        raise ActionFailed(
            f"Fn::GetArtifactAtt: an artifact has {', '.join(known)}, and no '{attribute}'.", "ConfigurationError"
        )
    return known[attribute]


def _split(path: str, key: str) -> tuple[str, str]:
    artifact, separator, file = path.partition("::")
    if not separator or not file:
        raise ActionFailed(f"{key} = '{path}' must be ARTIFACT::FILE.", "ConfigurationError")
    return artifact, file


def _parsed(text: str | bytes, what: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise ActionFailed(f"{what} is not JSON: {error}", "ConfigurationError") from error
    if not isinstance(found, dict):
        raise ActionFailed(f"{what} must be a JSON object.", "ConfigurationError")
    return found


def _text(value: Any) -> str:
    """As CloudFormation writes a value: `true`, `1`, `a,b`."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return json.dumps(value)


def _texts(arguments: Any, count: int) -> bool:
    return isinstance(arguments, list) and len(arguments) == count and all(isinstance(each, str) for each in arguments)


def _nothing_to_do(reason: str) -> bool:
    return any(words in reason for words in _NOTHING_TO_DO)


def _present(members: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}
