"""Steps of a pipeline definition: JSON -> `Step`. What spans steps (names, references, order) is definition.py's.

A definition nests steps in the branches of conditions; here they come out flat, each with the `Branch` it is in. The
body of a ForEach stays inside its step (`body`): it is a template that runs once an item.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from modelwright.pipelines.conditions import check_condition
from modelwright.pipelines.expressions import Json, check
from modelwright.pipelines.for_each import NOT_IN_A_BODY, check_for_each
from modelwright.pipelines.problems import Problems, shown

TRIGGERS = ("Completed", "Failed", "Stopped", "Any")
MAX_ATTEMPTS = 20
MAX_EXPIRE_AFTER_MINUTES = 14400

_NAME = re.compile(r"[A-Za-z0-9\-_]{1,64}")
_COMMON = frozenset({"Name", "Type", "Arguments", "DependsOn", "DisplayName", "Description"})
_JOB = _COMMON | {"CacheConfig", "RetryPolicies"}

# Step type -> the members it may have; None: its members are not known here and pass as they are (`extra`).
STEP_TYPES: dict[str, frozenset[str] | None] = {
    "Training": _JOB,
    "Processing": _JOB | {"PropertyFiles"},
    "Transform": _JOB,
    "Tuning": _JOB,
    "AutoML": _JOB,
    "Model": _JOB,
    "RegisterModel": _JOB,
    "Condition": _COMMON,
    "Fail": _COMMON,
    "Callback": None,
    "Lambda": None,
    "EMR": None,
    "EMRServerless": None,
    "QualityCheck": None,
    "ClarifyCheck": None,
    "Endpoint": None,
    "EndpointConfig": None,
    "InferenceComponent": None,
    "Lineage": None,
    "Cleanup": None,
    "ForEach": None,
    "Job": None,
    "HubContent": None,
    "Athena": None,
    "BedrockCustomModel": None,
    "BedrockCustomModelDeployment": None,
    "BedrockModelImport": None,
    "BedrockProvisionedModelThroughput": None,
}


_NEEDED = {"Lambda": ("FunctionArn",), "Callback": ("SqsQueueUrl",)}
_OUTPUT_TYPES = ("String", "Integer", "Boolean", "Float")


@dataclass(frozen=True)
class Dependency:
    """One step waits for another. `trigger` says for which outcome: Completed, Failed, Stopped, or Any of them."""

    step: str
    trigger: str = "Completed"


@dataclass(frozen=True)
class Branch:
    """The branch of a condition that a step is in."""

    condition: str
    outcome: bool


@dataclass(frozen=True)
class PropertyFile:
    """A JSON file that a processing step leaves at `path` in its output `output`."""

    name: str
    output: str
    path: str


@dataclass(frozen=True)
class CacheConfig:
    """`expire_after` in seconds; None: never."""

    enabled: bool
    expire_after: float | None = None


@dataclass(frozen=True)
class RetryPolicy:
    """Which failures are tried again, and how often: up to `max_attempts` or for `expire_after` seconds."""

    exceptions: tuple[str, ...]
    interval: float = 1
    backoff: float = 2.0
    max_attempts: int | None = None
    expire_after: float | None = None


@dataclass(frozen=True)
class Step:
    """One step. `arguments` is the JSON that its operation takes, expressions unresolved; a condition's are taken apart
    into `conditions` (the branches are other steps' `branch`), a ForEach's body into `body`."""

    name: str
    type: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    depends_on: tuple[Dependency, ...] = ()
    branch: Branch | None = None
    display_name: str | None = None
    description: str | None = None
    conditions: tuple[Mapping[str, Any], ...] = ()
    body: tuple[Step, ...] = ()
    property_files: Mapping[str, PropertyFile] = field(default_factory=dict)
    cache: CacheConfig | None = None
    retry: tuple[RetryPolicy, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Members of its own type beside the arguments: `FunctionArn`, `OutputParameters`, ..."""
    path: str = ""
    """Its place in the definition: `Steps[3].Arguments.IfSteps[0]`."""


def parse_steps(value: Json, path: str, problems: Problems, branch: Branch | None = None) -> Iterator[Step]:
    """A list of steps, each followed by those of its branches. A step whose name can't be read is left out."""
    if not isinstance(value, list):
        problems.add(path, "Expecting start of Json Array.")
        return
    for index, element in enumerate(value):
        yield from _parse_step(element, f"{path}[{index}]", problems, branch)


def _parse_step(value: Json, path: str, problems: Problems, branch: Branch | None) -> Iterator[Step]:
    problems.step = ""
    if not isinstance(value, dict):
        problems.add(path, "Expecting start of Json Object.")
        return
    name = value.get("Name")
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        problems.add(f"{path}.Name", f"{shown(name)} must be 1 to 64 letters, digits, '-' or '_'.")
        return
    problems.step = name
    kind = value.get("Type")
    if not isinstance(kind, str) or kind not in STEP_TYPES:
        problems.add(f"{path}.Type", f"{shown(kind)} is no step type; known: {', '.join(STEP_TYPES)}.")
        kind = ""
    members = STEP_TYPES.get(kind)
    for member in sorted(set(value) - members) if members else ():
        problems.add(f"{path}.{member}", f"unknown member of a {kind} step.")
    arguments = value.get("Arguments", {})
    if not isinstance(arguments, dict):
        problems.add(f"{path}.Arguments", "Expecting start of Json Object.")
        arguments = {}
    conditions: tuple[Mapping[str, Any], ...] = ()
    body: tuple[Step, ...] = ()
    branches: list[Step] = []
    if kind == "Condition":
        conditions = _parse_conditions(arguments, f"{path}.Arguments", problems)
        for member, outcome in (("IfSteps", True), ("ElseSteps", False)):
            inside = arguments.get(member, [])
            branches += parse_steps(inside, f"{path}.Arguments.{member}", problems, Branch(name, outcome))
            problems.step = name
        arguments = {}
    elif kind == "ForEach":
        body = _parse_body(arguments, f"{path}.Arguments", problems)
        problems.step = name
        arguments = {key: member for key, member in arguments.items() if key != "ForEachBody"}
    check(arguments, f"{path}.Arguments", problems)
    for member in _NEEDED.get(kind, ()):
        if member not in value:
            problems.add(f"{path}.{member}", f"a {kind} step needs it.")
    _check_outputs(value.get("OutputParameters"), f"{path}.OutputParameters", problems)
    extra = {key: member for key, member in value.items() if key not in _JOB and key != "PropertyFiles"}
    check(extra, path, problems)
    yield Step(
        name=name,
        type=kind,
        arguments=arguments,
        depends_on=_parse_depends_on(value.get("DependsOn"), f"{path}.DependsOn", problems),
        branch=branch,
        display_name=_parse_text(value, "DisplayName", 256, path, problems),
        description=_parse_text(value, "Description", 3072, path, problems),
        conditions=conditions,
        body=body,
        property_files=_parse_property_files(value.get("PropertyFiles"), f"{path}.PropertyFiles", problems),
        cache=_parse_cache(value.get("CacheConfig"), f"{path}.CacheConfig", problems),
        retry=_parse_retry(value.get("RetryPolicies"), f"{path}.RetryPolicies", problems),
        extra=extra,
        path=path,
    )
    yield from branches


def _check_outputs(value: Json, path: str, problems: Problems) -> None:
    """`OutputParameters` of Lambda and Callback steps."""
    if value is not None and not isinstance(value, list):
        problems.add(path, "Expecting start of Json Array.")
        return
    for index, output in enumerate(value or []):
        if (
            not isinstance(output, dict)
            or set(output) != {"OutputName", "OutputType"}
            or not isinstance(output["OutputName"], str)
            or output["OutputType"] not in _OUTPUT_TYPES
        ):
            problems.add(f"{path}[{index}]", f"must have OutputName, and OutputType of {', '.join(_OUTPUT_TYPES)}.")


def _parse_conditions(arguments: Mapping[str, Any], path: str, problems: Problems) -> tuple[Mapping[str, Any], ...]:
    for member in sorted(set(arguments) - {"Conditions", "IfSteps", "ElseSteps"}):
        problems.add(f"{path}.{member}", "unknown member of a condition's arguments.")
    conditions = arguments.get("Conditions")
    if not isinstance(conditions, list) or not conditions:
        problems.add(f"{path}.Conditions", "must be a list with at least one condition.")
        return ()
    for index, condition in enumerate(conditions):
        check_condition(condition, f"{path}.Conditions[{index}]", problems)
    return tuple(condition for condition in conditions if isinstance(condition, dict))


def _parse_body(arguments: Mapping[str, Any], path: str, problems: Problems) -> tuple[Step, ...]:
    owner = problems.step
    body = arguments.get("ForEachBody")
    if not isinstance(body, list) or not body:
        problems.add(f"{path}.ForEachBody", "must be a list with at least one step.")
        body = []
    steps = tuple(parse_steps(body, f"{path}.ForEachBody", problems))
    for step in steps:
        problems.step = step.name
        if step.type in NOT_IN_A_BODY:
            problems.add(f"{step.path}.Type", f"a {step.type} step can't be in a ForEachBody.")
    problems.step = owner
    check_for_each(arguments, {step.name for step in steps}, path, problems)
    return steps


def _parse_depends_on(value: Json, path: str, problems: Problems) -> tuple[Dependency, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        problems.add(path, "Expecting start of Json Array.")
        return ()
    found: dict[str, Dependency] = {}
    for index, element in enumerate(value):
        step, trigger = element, "Completed"
        if isinstance(element, dict) and set(element) <= {"Step", "Trigger"}:
            step, trigger = element.get("Step"), element.get("Trigger", "Completed")
        if not isinstance(step, str):
            problems.add(f"{path}[{index}]", 'must be a step\'s name or {"Step": name, "Trigger": outcome}.')
        elif trigger not in TRIGGERS:
            problems.add(f"{path}[{index}].Trigger", f"{shown(trigger)} is no trigger; known: {', '.join(TRIGGERS)}.")
        elif step in found and found[step].trigger != trigger:
            problems.add(f"{path}[{index}]", f"'{step}' comes with the triggers {found[step].trigger} and {trigger}.")
        else:
            found[step] = Dependency(step, trigger)
    return tuple(found.values())


def _parse_text(value: Mapping[str, Any], member: str, limit: int, path: str, problems: Problems) -> str | None:
    text = value.get(member)
    if text is not None and (not isinstance(text, str) or len(text) > limit):
        problems.add(f"{path}.{member}", f"must be a text of at most {limit} characters.")
        return None
    return text


def _parse_property_files(value: Json, path: str, problems: Problems) -> dict[str, PropertyFile]:
    found: dict[str, PropertyFile] = {}
    if value is None:
        return found
    if not isinstance(value, list):
        problems.add(path, "Expecting start of Json Array.")
        return found
    members = ("PropertyFileName", "OutputName", "FilePath")
    for index, element in enumerate(value):
        if (
            not isinstance(element, dict)
            or set(element) != set(members)
            or not all(isinstance(element[member], str) and element[member] for member in members)
        ):
            problems.add(f"{path}[{index}]", f"must have the texts {', '.join(members)}.")
            continue
        file = PropertyFile(*(element[member] for member in members))
        if file.name in found:
            problems.add(f"{path}[{index}]", f"there is a property file '{file.name}' before it.")
        found[file.name] = file
    return found


def _parse_cache(value: Json, path: str, problems: Problems) -> CacheConfig | None:
    if value is None:
        return None
    if not isinstance(value, dict) or set(value) - {"Enabled", "ExpireAfter"}:
        problems.add(path, 'must be {"Enabled": boolean, "ExpireAfter": duration}.')
        return None
    enabled, expire = value.get("Enabled", False), value.get("ExpireAfter")
    if not isinstance(enabled, bool):
        problems.add(f"{path}.Enabled", f"{shown(enabled)} is not a Boolean.")
        enabled = False
    seconds = None
    if expire is not None:
        try:
            seconds = duration(expire)
        except ValueError as error:
            problems.add(f"{path}.ExpireAfter", f"{error}.")
    return CacheConfig(enabled, seconds)


_DURATION = re.compile(
    r"P?(?=.)(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?=\d)(?:(\d+)H)?(?:(\d+)M)?(?:(\d+)S)?)?", re.IGNORECASE
)
_SECONDS = (365 * 86400, 30 * 86400, 7 * 86400, 86400, 3600, 60, 1)


def duration(value: Json) -> float:
    """Seconds of an ISO 8601 duration; the `P` may be missing (`30d`), as AWS takes it. Raises ValueError."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None or not any(match.groups()):
        raise ValueError(f"{shown(value)} is not an ISO 8601 duration like P30D or PT1H")
    return float(sum(int(count or 0) * unit for count, unit in zip(match.groups(), _SECONDS, strict=True)))


def _parse_retry(value: Json, path: str, problems: Problems) -> tuple[RetryPolicy, ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        problems.add(path, "Expecting start of Json Array.")
        return ()
    parsed = (_parse_policy(element, f"{path}[{index}]", problems) for index, element in enumerate(value))
    return tuple(policy for policy in parsed if policy is not None)


def _parse_policy(value: Json, path: str, problems: Problems) -> RetryPolicy | None:
    numbers = {
        "IntervalSeconds": None,
        "BackoffRate": None,
        "MaxAttempts": MAX_ATTEMPTS,
        "ExpireAfterMin": MAX_EXPIRE_AFTER_MINUTES,
    }
    if not isinstance(value, dict) or set(value) - {"ExceptionType", *numbers}:
        problems.add(path, f"must have ExceptionType and, of {', '.join(numbers)}, what is wanted.")
        return None
    exceptions = value.get("ExceptionType")
    exceptions = [exceptions] if isinstance(exceptions, str) else exceptions
    if not isinstance(exceptions, list) or not exceptions or not all(isinstance(e, str) for e in exceptions):
        problems.add(f"{path}.ExceptionType", "must be a list of texts like 'Step.THROTTLING'.")
        return None
    for member, most in numbers.items():
        number = value.get(member)
        if number is None:
            continue
        if isinstance(number, bool) or not isinstance(number, int | float) or number < 0 or (most and number > most):
            problems.add(f"{path}.{member}", f"{shown(number)} must be a number from 0{f' to {most}' if most else ''}.")
            return None
    if value.get("MaxAttempts") is not None and value.get("ExpireAfterMin") is not None:
        problems.add(path, "can't have both MaxAttempts and ExpireAfterMin.")
    minutes = value.get("ExpireAfterMin")
    return RetryPolicy(
        exceptions=tuple(exceptions),
        interval=value.get("IntervalSeconds", 1),
        backoff=value.get("BackoffRate", 2.0),
        max_attempts=value.get("MaxAttempts"),
        expire_after=None if minutes is None else minutes * 60,
    )
