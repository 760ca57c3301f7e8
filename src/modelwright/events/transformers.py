"""What of an event a target receives: all of it, a part, a constant, or a template filled in. Pure.

A target has at most one of `InputPath`, `Input` and `InputTransformer`. In a template `<name>` stands for what the path
of that name finds in the event. Outside of quotes it becomes JSON (a string gets its quotes), inside of quotes text,
escaped so that the result is valid JSON again; where the path finds nothing it is `null`, inside of quotes nothing.
A template is a JSON document, or several lines that are JSON strings each.
Source: "Amazon EventBridge input transformation".
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from modelwright.errors import ValidationException
from modelwright.events.envelopes import Envelope
from modelwright.events.paths import MISSING, parse_path

PREDEFINED = (
    "aws.events.rule-arn",
    "aws.events.rule-name",
    "aws.events.event.ingestion-time",
    "aws.events.event",
    "aws.events.event.json",
)

_VARIABLE = re.compile(r"<([A-Za-z0-9_.\-]+)>")
_NAME = re.compile(r"[A-Za-z0-9_\-]+")
_FORMS = ("Input", "InputPath", "InputTransformer")


@dataclass(frozen=True)
class Origin:
    """Where an event comes from: the rule that matched it, and when it came in (AWS's timestamp)."""

    rule_name: str
    rule_arn: str
    ingested: str


def check_input(target: Mapping[str, Any]) -> None:
    """Raises ValidationException when a target's input can't be made."""
    name = target["Id"]
    given = [form for form in _FORMS if form in target]
    if len(given) > 1:
        raise ValidationException(f"Target {name} has {' and '.join(given)}: only one of them is allowed.")
    try:
        if "Input" in target:
            _check_json(target["Input"], "Input")
        elif "InputPath" in target:
            parse_path(target["InputPath"] or "$")
        elif "InputTransformer" in target:
            _check_transformer(target["InputTransformer"])
    except ValueError as error:
        raise ValidationException(f"Invalid input of target {name}: {error}.") from None


def make_input(target: Mapping[str, Any], event: Envelope, origin: Origin) -> str:
    """The text that the target receives."""
    if "Input" in target:
        return str(target["Input"])
    if "InputPath" in target:
        found = parse_path(target["InputPath"] or "$").find(event)
        return _json(None if found is MISSING else found)
    if "InputTransformer" in target:
        return _transform(target["InputTransformer"], event, origin)
    return _json(event)


def _check_transformer(transformer: Mapping[str, Any]) -> None:
    paths = transformer.get("InputPathsMap", {})
    for name, path in paths.items():
        if not _NAME.fullmatch(name) or name.upper().startswith("AWS"):
            raise ValueError(f"'{name}' can't be a variable's name: letters, digits, - and _, not beginning with AWS")
        parse_path(path)
    template = transformer["InputTemplate"]
    unknown = {name for name in _VARIABLE.findall(template) if name not in paths and name not in PREDEFINED}
    if unknown:
        raise ValueError(
            f"the InputTemplate has variables that InputPathsMap doesn't define: {', '.join(sorted(unknown))}"
        )
    sample = _fill(template, {})
    try:
        _check_json(sample, "InputTemplate")
    except ValueError:
        lines = [line.strip() for line in sample.splitlines() if line.strip()]
        if len(lines) < 2 or not all(_is_string(line) for line in lines):
            raise


def _transform(transformer: Mapping[str, Any], event: Envelope, origin: Origin) -> str:
    values: dict[str, Any] = {
        "aws.events.rule-arn": origin.rule_arn,
        "aws.events.rule-name": origin.rule_name,
        "aws.events.event.ingestion-time": origin.ingested,
        "aws.events.event": {name: value for name, value in event.items() if name != "detail"},
        "aws.events.event.json": event,
    }
    for name, path in transformer.get("InputPathsMap", {}).items():
        found = parse_path(path).find(event)
        if found is not MISSING:
            values[name] = found
    return _fill(transformer["InputTemplate"], values)


def _fill(template: str, values: Mapping[str, Any]) -> str:
    filled, quoted, place = [], False, 0
    for match in _VARIABLE.finditer(template):
        between = template[place : match.start()]
        quoted = _quoted_after(between, quoted)
        filled += [between, _written(values.get(match[1], MISSING), quoted)]
        place = match.end()
    return "".join((*filled, template[place:]))


def _quoted_after(text: str, quoted: bool) -> bool:
    """Whether one is inside of quotes after this text."""
    escaped = False
    for character in text:
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = quoted
        elif character == '"':
            quoted = not quoted
    return quoted


def _written(value: Any, quoted: bool) -> str:
    if not quoted:
        return _json(None if value is MISSING else value)
    if value is MISSING:
        return ""
    text = value if isinstance(value, str) else _json(value)
    return json.dumps(text, ensure_ascii=False)[1:-1]


def _check_json(text: str, what: str) -> None:
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{what} must be valid JSON: {error}") from None


def _is_string(text: str) -> bool:
    try:
        return isinstance(json.loads(text), str)
    except ValueError:
        return False


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
