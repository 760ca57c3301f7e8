"""Expressions of the pipeline definition language: what they refer to, whether they are well formed, what they give.

An expression is a JSON object with the single key `Get`, `Std:Join` or `Std:JsonGet`, anywhere inside a step's
arguments; all else in the arguments is literal. Arguments stay the JSON they are: nothing here makes another tree.

    {"Get": "Parameters.NAME"}                    a parameter's value, typed
    {"Get": "Execution.NAME"}                     PipelineName, PipelineExecutionId, ... (EXECUTION_VARIABLES)
    {"Get": "Steps.STEP.A.B['key'][0].C"}         a path into the answer of the step's Describe operation
    {"Get": "ForEach.CurrentItem.a"}              inside a ForEachBody
    {"Get": "IterationOutput.STEP.A"}             in a ForEach's Selector
    {"Std:Join": {"On": "/", "Values": [...]}}    text
    {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.STEP.PropertyFiles.NAME"}, "Path": "a.b[0]"}}
    {"Std:JsonGet": {"S3Uri": <text or expression>, "Path": "a.b"}}

Where values come from is the `Environment`'s business (the engine's), so this stays pure. What can't be resolved
raises ValidationException, which fails the step that asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from modelwright.errors import ValidationException
from modelwright.pipelines.problems import Problems, shown

Scalar = str | int | float | bool
Json = Any

EXECUTION_VARIABLES = frozenset(
    {
        "StartDateTime",
        "CurrentDateTime",
        "PipelineName",
        "PipelineArn",
        "PipelineExecutionId",
        "PipelineExecutionArn",
        "TrainingJobName",
        "ProcessingJobName",
    }
)
_FORMS = ("Get", "Std:Join", "Std:JsonGet")
_NAMESPACES = ("Parameters", "Execution", "Steps", "ForEach", "IterationOutput")

# Members by which a list's elements are addressed with ['key'], in AWS's shapes that properties lead to.
_ELEMENT_NAMES = (
    "OutputName",
    "InputName",
    "ChannelName",
    "MetricName",
    "VariantName",
    "ContainerHostname",
    "GroupName",
    "RuleConfigurationName",
    "AttributeName",
    "Name",
    "Key",
)

# Members of job arguments whose values are strings in AWS's shapes, whatever type a parameter has.
_STRING_MAPS = frozenset({"HyperParameters", "StaticHyperParameters", "Environment", "CustomerMetadataProperties"})
_STRING_LISTS = frozenset({"ContainerArguments", "ContainerEntrypoint"})
_STRINGS = frozenset({"ErrorMessage"})


@dataclass(frozen=True)
class Reference:
    """What a `Get` names: `Steps.Train.ModelArtifacts.S3ModelArtifacts` is namespace Steps, name Train, and a path."""

    text: str
    namespace: str
    name: str
    path: tuple[str | int, ...] = ()

    @property
    def property_file(self) -> str | None:
        """The property file's name, of `Steps.STEP.PropertyFiles.NAME`."""
        if self.namespace == "Steps" and len(self.path) == 2 and self.path[0] == "PropertyFiles":
            return str(self.path[1])
        return None


class Environment(Protocol):
    """Where values come from. Each method may raise AwsError: the step that asked then fails with its text."""

    def parameter(self, name: str) -> Scalar:
        """The value of a parameter in this execution."""
        ...

    def execution(self, name: str) -> str:
        """One of EXECUTION_VARIABLES."""
        ...

    def step(self, name: str) -> Mapping[str, Any]:
        """The properties of a step that has ended: its Describe answer; of a condition `{"Outcome": "true"}`."""
        ...

    def property_file(self, step: str, name: str) -> Json:
        """The parsed JSON of a property file of a step that has ended."""
        ...

    def s3_json(self, uri: str) -> Json:
        """The parsed JSON of an object."""
        ...


def form(value: Json) -> str | None:
    """Which expression form a JSON value has; None for a literal."""
    if isinstance(value, Mapping) and len(value) == 1:
        key = next(iter(value))
        return key if key in _FORMS else None
    return None


def parse_reference(text: str) -> Reference:
    """Split the text of a `Get`. Raises ValueError with the reason."""
    segments = parse_path(text)
    namespace = segments[0]
    if namespace not in _NAMESPACES:
        raise ValueError(f"'{text}' must begin with one of {', '.join(_NAMESPACES)}")
    if len(segments) < 2 or not isinstance(segments[1], str) or not _NAME.fullmatch(segments[1]):
        raise ValueError(f"'{text}' names nothing after '{namespace}.'")
    name, path = segments[1], tuple(segments[2:])
    if namespace in ("Parameters", "Execution") and path:
        raise ValueError(f"'{text}': {namespace} have no members")
    if namespace == "Steps" and not path:
        raise ValueError(f"'{text}' names no property of step '{name}'")
    return Reference(text, str(namespace), name, path)


_SEGMENT = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]|\['(.*?)'\]|\[\"(.*?)\"\]")
_NAME = re.compile(r"[A-Za-z0-9_\-]+")


def parse_path(text: str) -> list[str | int]:
    """`A.B['key'][0]` -> ["A", "B", "key", 0]; a `$` at the beginning means nothing. Raises ValueError."""
    text = re.sub(r"^\$\.?", "", text)
    segments: list[str | int] = []
    position = 0
    while position < len(text):
        match = _SEGMENT.match(text, position)
        if (
            match is None
            or (position == 0 and text.startswith("."))
            or (segments and match[1] and text[position] != ".")
        ):
            raise ValueError(f"'{text}' is not a path: can't read it from '{text[position:]}' on")
        word, index, single, double = match.groups()
        segments.append(int(index) if index is not None else next(s for s in (word, single, double) if s is not None))
        position = match.end()
    if not segments:
        raise ValueError("an empty path")
    return segments


def references(value: Json) -> Iterator[Reference]:
    """Every well-formed reference inside, however deep; what is ill formed is `check`'s business."""
    if isinstance(value, Mapping):
        if form(value) == "Get":
            try:
                yield parse_reference(value["Get"])
            except (ValueError, TypeError):
                return
        else:
            for member in value.values():
                yield from references(member)
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for element in value:
            yield from references(element)


def located_references(value: Json, path: str) -> Iterator[tuple[str, Reference]]:
    """The same with the JSON path of each."""
    if isinstance(value, Mapping):
        if form(value) == "Get":
            yield from ((path, reference) for reference in references(value))
        else:
            for key, member in value.items():
                yield from located_references(member, f"{path}.{key}")
    elif isinstance(value, Sequence) and not isinstance(value, str):
        for index, element in enumerate(value):
            yield from located_references(element, f"{path}[{index}]")


def check(value: Json, path: str, problems: Problems) -> None:
    """Whether every expression inside is well formed; names are checked by whoever knows them."""
    kind = form(value)
    if kind == "Get":
        _check_get(value["Get"], f"{path}.Get", problems)
    elif kind == "Std:Join":
        _check_join(value["Std:Join"], f"{path}.Std:Join", problems)
    elif kind == "Std:JsonGet":
        _check_json_get(value["Std:JsonGet"], f"{path}.Std:JsonGet", problems)
    elif isinstance(value, Mapping):
        for key, member in value.items():
            if key.startswith("Std:"):
                problems.add(
                    f"{path}.{key}", "unknown function, or not alone in its object; known: Std:Join, Std:JsonGet."
                )
            check(member, f"{path}.{key}", problems)
    elif isinstance(value, list):
        for index, element in enumerate(value):
            check(element, f"{path}[{index}]", problems)


def _check_get(text: Json, path: str, problems: Problems) -> None:
    if not isinstance(text, str):
        problems.add(path, f"must be a text like 'Parameters.Name', not {shown(text)}.")
        return
    try:
        parse_reference(text)
    except ValueError as error:
        problems.add(path, f"{error}.")


def _check_join(body: Json, path: str, problems: Problems) -> None:
    if not isinstance(body, Mapping) or not set(body) <= {"On", "Values"} or "Values" not in body:
        problems.add(path, 'must be {"On": text, "Values": [...]}.')
        return
    if not isinstance(body.get("On", ""), str):
        problems.add(f"{path}.On", f"must be a text, not {shown(body['On'])}.")
    if not isinstance(body["Values"], list):
        problems.add(f"{path}.Values", "Expecting start of Json Array.")
        return
    for index, value in enumerate(body["Values"]):
        if form(value) is None and isinstance(value, Mapping | list):
            problems.add(
                f"{path}.Values[{index}]", f"can't join {shown(value)}: neither a plain value nor an expression."
            )
        else:
            check(value, f"{path}.Values[{index}]", problems)


def _check_json_get(body: Json, path: str, problems: Problems) -> None:
    sources = {"PropertyFile", "S3Uri"}
    if not isinstance(body, Mapping) or not set(body) <= {*sources, "Path"} or len(sources & set(body)) != 1:
        problems.add(path, 'must be {"PropertyFile": {"Get": ...}, "Path": text} or {"S3Uri": ..., "Path": text}.')
        return
    if not isinstance(body.get("Path"), str):
        problems.add(f"{path}.Path", "must be the path of a value in the JSON file, as text.")
    else:
        try:
            parse_path(body["Path"])
        except ValueError as error:
            problems.add(f"{path}.Path", f"{error}.")
    if "S3Uri" in body:
        check(body["S3Uri"], f"{path}.S3Uri", problems)
        return
    found = list(references(body["PropertyFile"])) if form(body["PropertyFile"]) == "Get" else []
    if not found or found[0].property_file is None:
        problems.add(f"{path}.PropertyFile", 'must be {"Get": "Steps.STEP.PropertyFiles.NAME"}.')


def resolve(value: Json, environment: Environment) -> Json:
    """The value with every expression inside replaced. Raises ValidationException, and what the environment raises."""
    kind = form(value)
    if kind == "Get":
        return _get(parse_reference(value["Get"]), environment)
    if kind == "Std:Join":
        body = value["Std:Join"]
        return str(body.get("On", "")).join(text(resolve(element, environment)) for element in body["Values"])
    if kind == "Std:JsonGet":
        return _json_get(value["Std:JsonGet"], environment)
    if isinstance(value, Mapping):
        return {key: resolve(member, environment) for key, member in value.items()}
    if isinstance(value, list):
        return [resolve(element, environment) for element in value]
    return value


def resolve_arguments(arguments: Mapping[str, Any], environment: Environment) -> dict[str, Any]:
    """A step's arguments as its Create operation takes them: resolved, strings where AWS has strings, no nulls."""
    resolved: dict[str, Any] = _stringify(resolve(arguments, environment))
    return resolved


def _stringify(value: Json) -> Json:
    if isinstance(value, Mapping):
        return {key: _stringify_member(key, member) for key, member in value.items() if member is not None}
    if isinstance(value, list):
        return [_stringify(element) for element in value]
    return value


def _stringify_member(key: str, member: Json) -> Json:
    if key in _STRING_MAPS and isinstance(member, Mapping):
        return {name: text(value) if _is_scalar(value) else value for name, value in member.items()}
    if key in _STRING_LISTS and isinstance(member, list):
        return [text(value) if _is_scalar(value) else value for value in member]
    if key in _STRINGS and _is_scalar(member):
        return text(member)
    return _stringify(member)


def _is_scalar(value: Json) -> bool:
    return isinstance(value, str | int | float)


def text(value: Json) -> str:
    """A value as text: in a join, a hyperparameter, an environment variable. Raises ValidationException."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise ValidationException(f"{shown(value)} can't be used as text: it is neither text, number nor boolean.")


def _get(reference: Reference, environment: Environment) -> Json:
    if reference.namespace == "Parameters":
        return environment.parameter(reference.name)
    if reference.namespace == "Execution":
        return environment.execution(reference.name)
    if reference.namespace == "Steps":
        return walk(environment.step(reference.name), reference.path, reference.text)
    raise ValidationException(f"'{reference.text}' has a value only inside a ForEach step.")


def _json_get(body: Mapping[str, Any], environment: Environment) -> Json:
    if "PropertyFile" in body:
        reference = parse_reference(body["PropertyFile"]["Get"])
        document = environment.property_file(reference.name, reference.property_file or "")
        source = f"property file '{reference.property_file}' of step '{reference.name}'"
    else:
        uri = text(resolve(body["S3Uri"], environment))
        document, source = environment.s3_json(uri), uri
    return walk(document, parse_path(body["Path"]), f"{body['Path']} in {source}")


def walk(document: Json, path: Sequence[str | int], what: str) -> Json:
    """Follow a path; `['key']` on a list finds the element of that name. Raises ValidationException naming `what`."""
    value = document
    for position, segment in enumerate(path):
        found = _step_into(value, segment)
        if found is _MISSING:
            so_far = "".join(f"[{s}]" if isinstance(s, int) else f".{s}" for s in path[:position]).lstrip(".")
            there = f"'{so_far}'" if so_far else "it"
            raise ValidationException(
                f"'{what}' has no value: {there} has no {shown(segment)}. It has {_content(value)}."
            )
        value = found
    return value


_MISSING = object()


def _step_into(value: Json, segment: str | int) -> Json:
    if isinstance(value, Mapping):
        return value.get(str(segment), _MISSING)
    if isinstance(value, list):
        if isinstance(segment, int) or segment.isdigit():
            return value[int(segment)] if int(segment) < len(value) else _MISSING
        for element in value:
            if isinstance(element, Mapping) and any(element.get(name) == segment for name in _ELEMENT_NAMES):
                return element
    return _MISSING


def _content(value: Json) -> str:
    if isinstance(value, Mapping):
        return ", ".join(map(str, list(value)[:20])) or "no members"
    if isinstance(value, list):
        return f"{len(value)} elements"
    return shown(value)
