"""A template's text, JSON or YAML, as plain data. YAML's short forms (`!Ref x`) become their long ones.

A key that comes twice, an alias and an unknown tag are refused, as AWS does; the error says where.
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from typing import Any

import yaml

from modelwright.templates.problems import TemplateError, template_format

MOST_DEPTH = 100

_LONG_NAMES = {
    "Ref": "Ref",
    "Condition": "Condition",
    **{
        name: f"Fn::{name}"
        for name in (
            *("And", "Base64", "Cidr", "Equals", "FindInMap", "ForEach", "GetAZs", "GetAtt", "If", "ImportValue"),
            *("Join", "Length", "Not", "Or", "Select", "Split", "Sub", "ToJsonString", "Transform"),
        )
    },
}


def read(text: str) -> dict[str, Any]:
    """The template as data. Raises TemplateError with line and column where it is not well-formed."""
    data = _json(text) if text.lstrip().startswith("{") else _yaml(text)
    if not isinstance(data, dict):
        raise template_format("unsupported structure.")
    _check(data, 0)
    return data


def _json(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        try:
            return _yaml(text)  # a YAML mapping in flow style may begin with a brace too
        except TemplateError:
            raise template_format(
                f"JSON not well-formed. (line {error.lineno}, column {error.colno}): {error.msg}"
            ) from None
    except RecursionError:
        raise template_format("the template is nested too deeply.") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise template_format(f"JSON not well-formed: duplicate key '{key}'.")
        found[key] = value
    return found


def _no_constant(name: str) -> Any:
    raise template_format(f"JSON not well-formed: {name} is not JSON.")


def _yaml(text: str) -> Any:
    try:
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader with fewer types and CloudFormation's tags
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f" (line {mark.line + 1}, column {mark.column + 1})" if mark is not None else ""
        raise template_format(f"YAML not well-formed.{where}: {error.problem or error.context}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise template_format(f"YAML not well-formed: {error}") from None
    except RecursionError:
        raise template_format("the template is nested too deeply.") from None


class _Loader(yaml.SafeLoader):
    """Plain scalars are strings, numbers, booleans and nulls; a date stays the text that it is."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            event: Any = self.peek_event()  # type: ignore[no-untyped-call]  # PyYAML's stubs leave it out
            raise yaml.MarkedYAMLError(None, None, "YAML aliases are not allowed in templates", event.start_mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(None, None, "a key must be a string", key_node.start_mark)
            if key in seen:
                raise yaml.MarkedYAMLError(None, None, f"duplicate key '{key}'", key_node.start_mark)
            seen.add(key)
        # Keys are strings, whatever they look like: `2012-10-17`, `Yes` and `80` too.
        return {key.value: self.construct_object(value, deep=True) for key, value in node.value}


def _long_form(loader: _Loader, suffix: str, node: Any) -> dict[str, Any]:
    name = _LONG_NAMES.get(suffix)
    if name is None:
        raise yaml.MarkedYAMLError(None, None, f"unknown tag !{suffix}", node.start_mark)
    value: Any
    if isinstance(node, yaml.ScalarNode):
        # The type of `!Ref 80` is a string's; of a plain scalar under another function its own.
        tag = loader.resolve(yaml.ScalarNode, node.value, (node.style is None, False))  # type: ignore[no-untyped-call]
        plain = yaml.ScalarNode(tag, node.value, node.start_mark, node.end_mark, node.style)
        value = node.value if name in ("Ref", "Condition", "Fn::GetAtt") else loader.construct_object(plain, deep=True)
        if name == "Fn::GetAtt":
            value = value.split(".", 1)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {name: value}


def _mapping(loader: _Loader, node: Any) -> dict[Hashable, Any]:
    return loader.construct_mapping(node, deep=True)


_Loader.yaml_implicit_resolvers = {
    letter: [(tag, pattern) for tag, pattern in resolvers if tag not in ("tag:yaml.org,2002:timestamp",)]
    for letter, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    if letter not in ("<", "=")
}
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_multi_constructor("!", _long_form)
for _tag in ("timestamp", "binary", "omap", "pairs", "set", "merge", "value"):
    _Loader.yaml_constructors.pop(f"tag:yaml.org,2002:{_tag}", None)


def _check(value: Any, depth: int) -> None:
    if depth > MOST_DEPTH:
        raise template_format(f"the template is nested more than {MOST_DEPTH} levels deep.")
    if isinstance(value, dict):
        for item in value.values():
            _check(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, depth + 1)
