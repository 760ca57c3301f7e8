"""XML by the model's shapes, both ways: the bodies of rest-xml requests, and of rest-xml and query responses.

Reading: an element that the model doesn't have stays in the result under its own name, for `validation` to name.
Writing: text goes in and comes out unchanged as far as XML 1.0 allows; a character that XML can't hold is written as a
character reference, as S3 does (which is why clients ask S3 for url encoded keys).
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any
from xml.etree import ElementTree

from botocore.model import ListShape, MapShape, Shape, StructureShape

from modelwright.protocol import text, timestamps

# --- reading -----------------------------------------------------------------------------------------------------


def read(shape: Shape, body: bytes) -> Any:
    """The value of a document's root. Raises ValueError when it is not XML, or has a document type."""
    parser = ElementTree.XMLParser(target=_Builder())  # noqa: S314  # without a document type no entity is expanded
    try:
        parser.feed(body)
        root = parser.close()
    except (ElementTree.ParseError, LookupError) as error:
        raise ValueError(f"it is not XML ({error})") from None
    return _read(shape, [root])


class _Builder(ElementTree.TreeBuilder):
    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        raise ValueError("it must not have a document type")


def _read(shape: Shape, elements: list[ElementTree.Element]) -> Any:
    """A value from the elements that carry its name: one, or several for a flattened list or map."""
    match shape:
        case StructureShape():
            return _read_members(shape.members, elements[0])
        case ListShape():
            return _read_list(shape, elements)
        case MapShape():
            return _read_map(shape, elements)
        case _:
            return text.read(shape, elements[0].text or "") if len(elements[0]) == 0 else _foreign(elements[0])


def _read_members(members: Mapping[str, Shape], element: ElementTree.Element) -> dict[str, Any]:
    groups: dict[str, list[ElementTree.Element]] = {}
    for child in element:
        groups.setdefault(_tag(child), []).append(child)
    result: dict[str, Any] = {}
    for name, member in members.items():
        key = member.serialization.get("name", name)
        if member.serialization.get("xmlAttribute"):
            local = key.rpartition(":")[2]
            found = next((value for attribute, value in element.items() if attribute.rpartition("}")[2] == local), None)
            if found is not None:
                result[name] = found
            continue
        if isinstance(member, ListShape) and member.serialization.get("flattened"):
            key = member.member.serialization.get("name", key) if key not in groups else key
        if key in groups:
            result[name] = _read(member, groups.pop(key))
    for key, rest in groups.items():
        result[key] = _foreign(rest[0])
    return result


def _read_list(shape: ListShape, elements: list[ElementTree.Element]) -> list[Any]:
    items = elements if shape.serialization.get("flattened") else list(elements[0])
    return [_read(shape.member, [item]) for item in items]


def _read_map(shape: MapShape, elements: list[ElementTree.Element]) -> dict[str, Any]:
    entries = elements if shape.serialization.get("flattened") else list(elements[0])
    key_name, value_name = shape.key.serialization.get("name", "key"), shape.value.serialization.get("name", "value")
    result = {}
    for entry in entries:
        parts = {_tag(child): child for child in entry}
        if key_name in parts and value_name in parts:
            result[parts[key_name].text or ""] = _read(shape.value, [parts[value_name]])
    return result


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _foreign(element: ElementTree.Element) -> Any:
    """An element that the model doesn't know, in some form."""
    return {_tag(child): _foreign(child) for child in element} if len(element) else element.text or ""


# --- writing -----------------------------------------------------------------------------------------------------

Write = Callable[[Any], str]

_SPECIAL = re.compile('[&<>"\r\x00-\x08\x0b\x0c\x0e-\x1f]')
_NAMES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


def escape(value: str) -> str:
    """Character data, escaped."""
    return _SPECIAL.sub(_reference, value)


def _reference(found: re.Match[str]) -> str:
    character = found[0]
    return _NAMES.get(character) or f"&#{ord(character)};"


def attribute(value: Any) -> str:
    """The value of an attribute in double quotes, escaped."""
    return escape(value.get("uri", "") if isinstance(value, Mapping) else str(value))


def number(value: float) -> str:
    if math.isfinite(value):
        return str(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def document(root: str, body: str, namespace: str) -> str:
    """A whole document with its declaration."""
    opening = f'{root} xmlns="{attribute(namespace)}"' if namespace else root
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{opening}>{body}</{root}>'


def members(service: str, shape: StructureShape, value: Mapping[str, Any]) -> str:
    """The elements of a structure's members, without those that travel in headers or as attributes."""
    return _writer(service).members(shape)(value)


@cache
def _writer(service: str) -> _Writer:
    return _Writer()


class _Writer:
    """Makes the functions that write one service's structures, once each: lists of S3's have thousands of items."""

    def __init__(self) -> None:
        self._made: dict[str, Write] = {}

    def members(self, shape: StructureShape) -> Write:
        if shape.name not in self._made:
            self._made[shape.name] = self._later(shape.name)
            self._made[shape.name] = self._make(shape)
        return self._made[shape.name]

    def _later(self, name: str) -> Write:
        """Stands in for a recursive structure's function while that is being made."""

        def write(value: Any) -> str:
            return self._made[name](value)

        return write

    def _make(self, shape: StructureShape) -> Write:
        parts = [
            (name, self._element(member, member.serialization.get("name", name)))
            for name, member in shape.members.items()
            if "location" not in member.serialization and not member.serialization.get("xmlAttribute")
        ]

        def write(value: Mapping[str, Any]) -> str:
            return "".join([part(value[name]) for name, part in parts if value.get(name) is not None])

        return write

    def _element(self, shape: Shape, name: str) -> Write:
        match shape:
            case StructureShape():
                return self._structure(shape, name)
            case ListShape():
                return self._list(shape, name)
            case MapShape():
                return self._map(shape, name)
        scalar, opening, closing = _scalar(shape), f"<{name}>", f"</{name}>"
        return lambda value: opening + scalar(value) + closing

    def _structure(self, shape: StructureShape, name: str) -> Write:
        inner, opening, closing = self.members(shape), f"<{name}{_namespace(shape)}", f"</{name}>"
        attributes = [
            (own, member.serialization.get("name", own))
            for own, member in shape.members.items()
            if member.serialization.get("xmlAttribute")
        ]
        if not attributes:
            return lambda value: f"{opening}>{inner(value)}{closing}"

        def write(value: Mapping[str, Any]) -> str:
            given = "".join(f' {key}="{escape(str(value[own]))}"' for own, key in attributes if own in value)
            return f"{opening}{given}>{inner(value)}{closing}"

        return write

    def _list(self, shape: ListShape, name: str) -> Write:
        if shape.serialization.get("flattened"):
            item = self._element(shape.member, shape.member.serialization.get("name", name))
            return lambda value: "".join([item(one) for one in value])
        item = self._element(shape.member, shape.member.serialization.get("name", "member"))
        return lambda value: f"<{name}>{''.join([item(one) for one in value])}</{name}>"

    def _map(self, shape: MapShape, name: str) -> Write:
        key = self._element(shape.key, shape.key.serialization.get("name", "key"))
        item = self._element(shape.value, shape.value.serialization.get("name", "value"))
        if shape.serialization.get("flattened"):
            return lambda value: "".join([f"<{name}>{key(own)}{item(one)}</{name}>" for own, one in value.items()])
        return lambda value: (
            f"<{name}>"
            + "".join([f"<entry>{key(own)}{item(one)}</entry>" for own, one in value.items()])
            + f"</{name}>"
        )


def _namespace(shape: StructureShape) -> str:
    namespace = shape.serialization.get("xmlNamespace")
    if not isinstance(namespace, Mapping):
        return ""
    prefix = f":{namespace['prefix']}" if namespace.get("prefix") else ""
    return f' xmlns{prefix}="{attribute(namespace)}"'


def _scalar(shape: Shape) -> Write:
    match shape.type_name:
        case "boolean":
            return lambda value: "true" if value else "false"
        case "timestamp":
            form = shape.serialization.get("timestampFormat", "iso8601")
            return lambda value: timestamps.write(value, form)
        case "blob":
            return lambda value: base64.b64encode(value).decode()
        case "float" | "double":
            return number
        case "integer" | "long":
            return str
        case _:
            return lambda value: escape(str(value))
