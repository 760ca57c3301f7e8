"""Results as XML text, by the output shape: the bodies of the query and rest-xml protocols.

Rule: text goes in and comes out unchanged as far as XML 1.0 allows; a character that XML can't hold is written as a
character reference, as S3 does (which is why clients ask S3 for url encoded keys).
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Mapping
from typing import Any

from botocore.model import Shape, StructureShape

from modelwright.protocol import timestamps

_SPECIAL = re.compile('[&<>"\r\x00-\x08\x0b\x0c\x0e-\x1f]')
_NAMES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;"}


def text(value: str) -> str:
    """Character data, escaped."""
    return _SPECIAL.sub(_reference, value)


def _reference(found: re.Match[str]) -> str:
    character = found[0]
    return _NAMES.get(character) or f"&#{ord(character)};"


def attribute(value: Any) -> str:
    """The value of an attribute in double quotes, escaped."""
    return text(value.get("uri", "") if isinstance(value, Mapping) else str(value))


def number(value: float) -> str:
    if math.isfinite(value):
        return str(value)
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def document(root: str, body: str, namespace: str) -> str:
    """A whole document with its declaration."""
    opening = f'{root} xmlns="{attribute(namespace)}"' if namespace else root
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<{opening}>{body}</{root}>'


def members(shape: StructureShape, value: Mapping[str, Any]) -> str:
    """The elements of a structure's members, without those that travel in headers or as attributes."""
    parts = []
    for name, member in shape.members.items():
        item = value.get(name)
        if item is None or "location" in member.serialization or member.serialization.get("xmlAttribute"):
            continue
        parts.append(_element(member, item, member.serialization.get("name", name)))
    return "".join(parts)


def _element(shape: Shape, value: Any, name: str) -> str:
    match shape.type_name:
        case "structure":
            return f"<{name}{_attributes(shape, value)}>{members(shape, value)}</{name}>"
        case "list":
            return _list(shape, value, name)
        case "map":
            return _map(shape, value, name)
        case _:
            return f"<{name}>{_scalar(shape, value)}</{name}>"


def _attributes(shape: StructureShape, value: Mapping[str, Any]) -> str:
    found = ""
    namespace = shape.serialization.get("xmlNamespace")
    if isinstance(namespace, Mapping):
        prefix = f":{namespace['prefix']}" if namespace.get("prefix") else ""
        found += f' xmlns{prefix}="{attribute(namespace)}"'
    for name, member in shape.members.items():
        if member.serialization.get("xmlAttribute") and value.get(name) is not None:
            found += f' {member.serialization.get("name", name)}="{text(str(value[name]))}"'
    return found


def _list(shape: Any, value: Any, name: str) -> str:
    if shape.serialization.get("flattened"):
        own = shape.member.serialization.get("name", name)
        return "".join(_element(shape.member, item, own) for item in value)
    own = shape.member.serialization.get("name", "member")
    return f"<{name}>{''.join(_element(shape.member, item, own) for item in value)}</{name}>"


def _map(shape: Any, value: Mapping[str, Any], name: str) -> str:
    key_name, value_name = shape.key.serialization.get("name", "key"), shape.value.serialization.get("name", "value")
    flattened = shape.serialization.get("flattened")
    entry = name if flattened else "entry"
    entries = "".join(
        f"<{entry}>{_element(shape.key, key, key_name)}{_element(shape.value, item, value_name)}</{entry}>"
        for key, item in value.items()
    )
    return entries if flattened else f"<{name}>{entries}</{name}>"


def _scalar(shape: Shape, value: Any) -> str:
    match shape.type_name:
        case "boolean":
            return "true" if value else "false"
        case "timestamp":
            return timestamps.write(value, shape.serialization.get("timestampFormat", "iso8601"))
        case "blob":
            return base64.b64encode(value).decode()
        case "float" | "double":
            return number(value)
        case _:
            return text(str(value))
