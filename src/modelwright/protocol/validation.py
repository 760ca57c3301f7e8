"""Whether parameters satisfy the service model: `validate(service, operation, parameters)`, every violation at once.

The text is AWS's own: `2 validation errors detected: Value null at 'roleArn' failed to satisfy constraint: Member must
not be null; Value ...`, with the path in lower camel case and `.1.member` for the first item of a list. The code is the
service's (`ValidationException`, IAM's `ValidationError`, Logs' `InvalidParameterException`, ...).

Members that the model doesn't have are refused by name with UnsupportedOperation. AWS would ignore them; but what a
newer SDK than our botocore sends asks for something, and Modelwright does not do a thing that it wasn't asked for or
leave out one that it was. `null` asks for nothing and passes. So do times as numbers only, blobs as bytes only (or
anything, where they stream): this is the shape that parameters have inside.

Compiled once a shape into functions; patterns are Java's, translated by `patterns`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any

from botocore.model import ListShape, MapShape, Shape, StructureShape

from modelwright.errors import OPERATIONS_PAGE, AwsError, UnsupportedOperation
from modelwright.protocol import jsonvalues, patterns, spec, timestamps
from modelwright.protocol.membercodes import member_code

Check = Callable[[Any, str, "_Findings"], None]

_CODES = {
    "cloudformation": "ValidationError",
    "cloudwatch": "ValidationError",
    "codebuild": "InvalidInputException",
    "ecr": "InvalidParameterException",
    "iam": "ValidationError",
    "logs": "InvalidParameterException",
    "s3": "InvalidArgument",
    "sts": "ValidationError",
}


class _Findings:
    __slots__ = ("unknown", "violations")

    def __init__(self) -> None:
        self.violations: list[str] = []
        self.unknown: list[str] = []

    def add(self, value: Any, path: str, constraint: str) -> None:
        self.violations.append(f"Value {_show(value)} at '{path}' failed to satisfy constraint: {constraint}")


def validate(service: str, operation: str, parameters: Mapping[str, Any]) -> None:
    """Raises the service's AwsError naming every violation, or UnsupportedOperation naming every unknown member."""
    findings = _Findings()
    try:
        _compiled(service, operation)(parameters, "", findings)
    except RecursionError:
        raise AwsError("The parameters are nested too deeply.", code=_code(service)) from None
    unknown = f"Modelwright does not know {_enumerate(findings.unknown)} in {operation}"
    if findings.violations:
        count = len(findings.violations)
        text = f"{count} validation error{'s' if count > 1 else ''} detected: {'; '.join(findings.violations)}"
        code = member_code(service, findings.violations[0]) or _code(service)
        raise AwsError(f"{text}. {unknown}." if findings.unknown else text, code=code)
    if findings.unknown:
        raise UnsupportedOperation(f"{unknown}. Leave it out, or see {OPERATIONS_PAGE}.")


_DEPARTURES = {
    ("DescribeTrainingJob", "modelArtifacts"),  # required, but there are none before the job has ended
    ("DescribeModelPackage", "modelPackageName"),  # a version's is `group/1`, which the pattern doesn't know
    *(("BatchGetBuilds", member) for member in ("builds", "buildsNotFound")),  # they may be empty, as those below
    *(("BatchGetProjects", member) for member in ("projects", "projectsNotFound")),
    ("DescribeStackEvents", "resourceStatus"),  # a stack's own, of which the model knows but those of resources
    *(("ListBuilds", "ids"), ("ListBuildsForProject", "ids"), ("ListProjects", "projects")),
}
"""Where AWS's own answers differ from its models."""


def check_result(service: str, operation: str, result: Mapping[str, Any]) -> None:
    """The same for what an operation answers: tests let no result out that isn't AWS's. Raises ValueError."""
    findings = _Findings()
    shape = spec.operation(service, operation).output_shape
    check = _no_parameters if shape is None else _compiler(service).structure_of(shape)
    check(result, "", findings)
    known = [text for own, path in _DEPARTURES if own == operation for text in (f"at '{path}' ", f".{path}' ")]
    violations = [text for text in findings.violations if not any(path in text for path in known)]
    problems = [*violations, *(f"{path} is not a member of the model" for path in findings.unknown)]
    if problems:
        raise ValueError(f"{service}:{operation} answers what its model refuses: {'; '.join(problems)}")


def _code(service: str) -> str:
    return _CODES.get(service, "ValidationException")


def _enumerate(paths: list[str]) -> str:
    shown = ", ".join(paths[:20])
    return shown if len(paths) <= 20 else f"{shown} and {len(paths) - 20} more members"


def _show(value: Any) -> str:
    """As Java prints it: [a, b], {k=v}, null without quotes."""
    return "null" if value is None else f"'{_java(value)}'"


def _java(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case dict():
            text = "{" + ", ".join(f"{key}={_java(item)}" for key, item in value.items()) + "}"
        case list() | tuple():
            text = "[" + ", ".join(map(_java, value)) + "]"
        case bytes() | bytearray() | memoryview():
            return f"{len(value)} bytes"
        case _:
            text = str(value)
    return text if len(text) <= 1024 else text[:1024] + "..."


# --- compiled checks ---------------------------------------------------------------------------------------------


@cache
def _compiled(service: str, operation: str) -> Check:
    shape = spec.operation(service, operation).input_shape
    if shape is None:
        return _no_parameters
    return _compiler(service).structure_of(shape)


def _no_parameters(value: Any, path: str, findings: _Findings) -> None:
    findings.unknown += [name for name in value if not name.startswith("_")]


@cache
def _compiler(service: str) -> _Compiler:
    return _Compiler()


class _Compiler:
    def __init__(self) -> None:
        self._made: dict[tuple[str, bool], Check] = {}

    def shape(self, shape: Shape) -> Check:
        """The check of a shape; a path of its own for the same shape where it streams."""
        streams = bool(shape.serialization.get("streaming") or shape.serialization.get("eventstream"))
        key = (shape.name, streams)
        if key not in self._made:
            self._made[key] = self._later(key)
            self._made[key] = _anything if streams else self._make(shape)
        return self._made[key]

    def _later(self, key: tuple[str, bool]) -> Check:
        """Stands in for the check of a recursive shape while that is being made."""

        def check(value: Any, path: str, findings: _Findings) -> None:
            self._made[key](value, path, findings)

        return check

    def _make(self, shape: Shape) -> Check:
        match shape:
            case StructureShape():
                return _anything if jsonvalues.is_document(shape) else self._structure(shape)
            case ListShape():
                return self._list(shape)
            case MapShape():
                return self._map(shape)
            case _:
                return _scalar(shape)

    def structure_of(self, shape: StructureShape) -> Check:
        """An operation's own structure, which is one even where the model calls it a document."""
        return self.shape(shape) if not jsonvalues.is_document(shape) else self._structure(shape)

    def _structure(self, shape: StructureShape) -> Check:
        checks = {name: (_camel(name), self.shape(member)) for name, member in shape.members.items()}
        required = tuple(shape.required_members)
        union = shape.is_tagged_union

        def check(value: Any, path: str, findings: _Findings) -> None:
            if not isinstance(value, Mapping):
                findings.add(value, path, "Member must be a structure")
                return
            prefix = f"{path}." if path else ""
            for name in required:
                if value.get(name) is None:
                    findings.add(None, prefix + _camel(name), "Member must not be null")
            for name, item in value.items():
                if item is None:
                    continue
                found = checks.get(name)
                if found is not None:
                    found[1](item, prefix + found[0], findings)
                elif not name.startswith("_"):
                    findings.unknown.append(prefix + name)
            if union and len(value) != 1 and not findings.unknown:
                findings.add(value, path, "Member must have exactly one of its members set")

        return check

    def _list(self, shape: ListShape) -> Check:
        size = _length(shape)
        inner = _scalar_constraints(shape.member)
        nested = None if inner is not None else self.shape(shape.member)

        def check(value: Any, path: str, findings: _Findings) -> None:
            if not isinstance(value, list | tuple):
                findings.add(value, path, "Member must be a list")
                return
            if size is not None:
                for problem in size(len(value)):
                    findings.add(value, path, problem)
            for index, item in enumerate(value, 1):
                if item is None:
                    findings.add(None, f"{path}.{index}.member", "Member must not be null")
                elif nested is not None:
                    nested(item, f"{path}.{index}.member", findings)
            if inner is not None and any(item is not None and inner(item) for item in value):
                findings.add(value, path, f"Member must satisfy constraint: [{', '.join(_rules(shape.member))}]")

        return check

    def _map(self, shape: MapShape) -> Check:
        size = _length(shape)
        keys = _scalar_constraints(shape.key)
        inner = _scalar_constraints(shape.value)
        nested = None if inner is not None else self.shape(shape.value)

        def check(value: Any, path: str, findings: _Findings) -> None:
            if not isinstance(value, Mapping):
                findings.add(value, path, "Member must be a map")
                return
            if size is not None:
                for problem in size(len(value)):
                    findings.add(value, path, problem)
            if keys is not None and any(keys(key) for key in value):
                findings.add(value, path, f"Map keys must satisfy constraint: [{', '.join(_rules(shape.key))}]")
            for key, item in value.items():
                if item is None:
                    findings.add(None, f"{path}.{key}.member", "Member must not be null")
                elif nested is not None:
                    nested(item, f"{path}.{key}.member", findings)
            if inner is not None and any(item is not None and inner(item) for item in value.values()):
                findings.add(value, path, f"Map value must satisfy constraint: [{', '.join(_rules(shape.value))}]")

        return check


def _camel(name: str) -> str:
    return name[:1].lower() + name[1:]


def _anything(value: Any, path: str, findings: _Findings) -> None:
    """Streams and documents: their content is nobody's model."""


# --- scalars -----------------------------------------------------------------------------------------------------

_TYPES: dict[str, tuple[type | tuple[type, ...], str]] = {
    "string": (str, "a string"),
    "character": (str, "a string"),
    "boolean": (bool, "a boolean"),
    "integer": (int, "an integer"),
    "long": (int, "an integer"),
    "float": ((int, float), "a number"),
    "double": ((int, float), "a number"),
    "timestamp": ((int, float), "a time"),
    "blob": ((bytes, bytearray, memoryview), "binary data (base64 on the wire)"),
}
_BITS = {"integer": 31, "long": 63}
_LARGER = {"BodyBlob": 32 << 20}
"""Where AWS takes more than its model says; what is too much, who takes it says in AWS's own way."""

Problems = Callable[[Any], list[str]]


def _scalar(shape: Shape) -> Check:
    problems = _problems(shape)
    sensitive = bool(shape.metadata.get("sensitive"))

    def check(value: Any, path: str, findings: _Findings) -> None:
        found = problems(value)
        for problem in found:
            findings.add("***" if sensitive else value, path, problem)

    return check


def _scalar_constraints(shape: Shape) -> Problems | None:
    """The check of a list's or map's scalar items; None where they have members of their own."""
    return None if shape.type_name in ("structure", "list", "map") else _problems(shape)


def _problems(shape: Shape) -> Problems:
    expected, noun = _TYPES[shape.type_name]
    type_problem = [f"Member must be {noun}"]
    constraints = _constraints(shape)
    wants_boolean = shape.type_name == "boolean"

    def problems(value: Any) -> list[str]:
        if not isinstance(value, expected) or (isinstance(value, bool) and not wants_boolean):
            return type_problem
        return [text for holds, text in constraints if not holds(value)]

    return problems


def _rules(shape: Shape) -> list[str]:
    """Every constraint of a scalar: AWS names them all when one item of a list breaks one."""
    return [text for _, text in _constraints(shape)] or [f"Member must be {_TYPES[shape.type_name][1]}"]


def _constraints(shape: Shape) -> list[tuple[Callable[[Any], bool], str]]:
    found: list[tuple[Callable[[Any], bool], str]] = []
    metadata = shape.metadata
    low, high = metadata.get("min"), metadata.get("max")
    is_number = shape.type_name in ("integer", "long", "float", "double")
    if shape.type_name == "timestamp":
        found.append((_is_time, "Member must be a time between the years 1 and 9999"))
    if shape.type_name in _BITS:
        bits = _BITS[shape.type_name]
        found.append(
            (lambda value: -(1 << bits) <= value < 1 << bits, f"Member must be a whole number of {bits + 1} bits")
        )
    if metadata.get("enum"):
        values = frozenset(metadata["enum"])
        found.append((values.__contains__, f"Member must satisfy enum value set: [{', '.join(metadata['enum'])}]"))
    if is_number:
        if high is not None:
            found.append((lambda value: value <= high, f"Member must have value less than or equal to {high}"))
        if low is not None:
            found.append((lambda value: value >= low, f"Member must have value greater than or equal to {low}"))
    else:
        found += _length_constraints(low, _LARGER.get(shape.name, high))
    if metadata.get("pattern"):
        text = metadata["pattern"]
        found.append((lambda value: _matches(text, value), f"Member must satisfy regular expression pattern: {text}"))
    return found


def _is_time(value: float) -> bool:
    return timestamps.EARLIEST <= value <= timestamps.LATEST  # not so for NaN either


def _matches(pattern: str, value: str) -> bool:
    return _is_match(pattern, value) if len(value) <= _NAME else _is_match.__wrapped__(pattern, value)


_NAME = 128
"""Texts up to here come again: names."""


@lru_cache(maxsize=4096)
def _is_match(pattern: str, value: str) -> bool:
    """Compiled when first needed: an operation has hundreds of patterns, a request uses few."""
    return patterns.matcher(pattern)(value)


def _length_constraints(low: Any, high: Any) -> list[tuple[Callable[[Any], bool], str]]:
    found: list[tuple[Callable[[Any], bool], str]] = []
    if high is not None:
        found.append((lambda value: len(value) <= high, f"Member must have length less than or equal to {high}"))
    if low is not None:
        found.append((lambda value: len(value) >= low, f"Member must have length greater than or equal to {low}"))
    return found


def _length(shape: Shape) -> Callable[[int], list[str]] | None:
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if low is None and high is None:
        return None

    def problems(size: int) -> list[str]:
        found = []
        if high is not None and size > high:
            found.append(f"Member must have length less than or equal to {high}")
        if low is not None and size < low:
            found.append(f"Member must have length greater than or equal to {low}")
        return found

    return problems
