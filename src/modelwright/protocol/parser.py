"""A request -> the operation's parameters: `parse(route, request)`, for all of AWS's protocols.

What comes out is what the services work with: times are epoch seconds (float), blobs bytes, numbers numbers, names
those of the model; what was null or not sent is absent. The body of a streaming operation is left out: whoever owns
the socket puts it in under `streaming_member(service, operation)`.

Rule: only what can't be read at all is refused here (bytes that are no JSON, XML or CBOR: SerializationException,
MalformedXML). A value of the wrong type and a member that the model doesn't have are passed on as they came, so that
`validation` can name every one of them in one answer, to clients of every protocol and to callers inside.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any
from xml.etree import ElementTree

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

from modelwright.errors import AwsError
from modelwright.protocol import cbor, spec, timestamps
from modelwright.protocol.messages import Request
from modelwright.protocol.router import CBOR, Route

Convert = Callable[[Any], Any]


def parse(route: Route, request: Request) -> dict[str, Any]:
    """The parameters of the routed request. Raises AwsError (400) when they can't be read."""
    operation = spec.operation(route.service, route.operation)
    try:
        return _PARSERS[route.protocol](operation, route, request)
    except RecursionError:
        raise _unreadable(route, "it is nested too deeply") from None


@cache
def streaming_member(service: str, operation: str) -> str | None:
    """The parameter that carries a streamed request body (PutObject's `Body`), if the operation has one."""
    shape = spec.operation(service, operation).input_shape
    return _streaming_payload(shape)


def _streaming_payload(shape: Shape | None) -> str | None:
    payload = shape.serialization.get("payload") if shape is not None else None
    if payload is None:
        return None
    member = shape.members[payload]  # type: ignore[union-attr]  # a payload is a member of a structure
    return payload if member.serialization.get("streaming") or member.serialization.get("eventstream") else None


def _unreadable(route: Route, why: str) -> AwsError:
    if route.service == "s3":
        return AwsError(
            f"The XML you provided was not well-formed or did not validate against our published schema: {why}.",
            code="MalformedXML",
        )
    return AwsError(f"The body of the request can't be read: {why}.", code="SerializationException")


# --- JSON --------------------------------------------------------------------------------------------------------


def _parse_json(operation: OperationModel, route: Route, request: Request) -> dict[str, Any]:
    if operation.input_shape is None:
        return {}
    value = _load_json(route, request.body)
    result: dict[str, Any] = _json(route.service).structure(operation.input_shape)(value)
    return result


def _load_json(route: Route, body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        value = json.loads(body)
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
        raise _unreadable(route, f"it is not JSON ({error})") from None
    if not isinstance(value, dict):
        raise _unreadable(route, "it must be a JSON object")
    return value


class _Json:
    """Functions that turn a service's JSON values into parameters, made once a shape."""

    def __init__(self) -> None:
        self._made: dict[tuple[str, str | None], Convert | None] = {}

    def shape(self, shape: Shape) -> Convert | None:
        """The function for a shape; None where the value stays as it is."""
        key = (shape.name, shape.serialization.get("timestampFormat"))
        if key not in self._made:
            self._made[key] = lambda value: self._made[key](value)  # type: ignore[misc]  # while it is being made
            self._made[key] = self._make(shape)
        return self._made[key]

    def _make(self, shape: Shape) -> Convert | None:
        match shape.type_name:
            case "structure":
                return self.structure(shape) if not getattr(shape, "document", False) else None
            case "list":
                return self._list(shape)
            case "map":
                return self._map(shape)
            case "timestamp":
                return _json_time
            case "blob":
                return _json_blob
            case "float" | "double":
                return _json_float
            case _:
                return None

    def structure(self, shape: StructureShape) -> Convert:
        members = {
            member.serialization.get("name", name): (name, self.shape(member)) for name, member in shape.members.items()
        }

        def convert(value: Any) -> Any:
            if not isinstance(value, dict):
                return value
            result = {}
            for key, item in value.items():
                if item is None:
                    continue
                name, inner = members.get(key, (key, None))
                result[name] = inner(item) if inner is not None else item
            return result

        return convert

    def _list(self, shape: ListShape) -> Convert | None:
        inner = self.shape(shape.member)
        if inner is None:
            return None
        return lambda value: (
            [None if item is None else inner(item) for item in value] if isinstance(value, list) else value
        )

    def _map(self, shape: MapShape) -> Convert | None:
        inner = self.shape(shape.value)
        if inner is None:
            return None
        return lambda value: (
            {key: None if item is None else inner(item) for key, item in value.items()}
            if isinstance(value, dict)
            else value
        )


@cache
def _json(service: str) -> _Json:
    return _Json()


def _json_time(value: Any) -> Any:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    return _text_time(value)


def _json_float(value: Any) -> Any:
    return float(value) if value in ("NaN", "Infinity", "-Infinity") else value


def _json_blob(value: Any) -> Any:
    return _text_blob(value)


# --- text: what headers, query strings, forms and XML carry ------------------------------------------------------


def _text_time(value: Any) -> Any:
    seconds = timestamps.read(value) if isinstance(value, str) else None
    return value if seconds is None else seconds


def _text_blob(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return value


def _text_integer(value: str) -> Any:
    try:
        return int(value) if len(value) <= 32 else value
    except ValueError:
        return value


def _text_float(value: str) -> Any:
    try:
        return float(value)
    except ValueError:
        return value


def _text_boolean(value: str) -> Any:
    return {"true": True, "false": False, "1": True, "0": False}.get(value.lower(), value)


_TEXT: dict[str, Callable[[str], Any]] = {
    "timestamp": _text_time,
    "blob": _text_blob,
    "integer": _text_integer,
    "long": _text_integer,
    "float": _text_float,
    "double": _text_float,
    "boolean": _text_boolean,
}


def _scalar(shape: Shape, text: str) -> Any:
    convert = _TEXT.get(shape.type_name)
    return text if convert is None else convert(text)


# --- query -------------------------------------------------------------------------------------------------------

_QUERY_CONTROL = frozenset({"Action", "Version"})


def _parse_query(operation: OperationModel, route: Route, request: Request) -> dict[str, Any]:
    fields = {
        name: value
        for name, value in (*request.query_pairs, *request.form.items())
        if name not in _QUERY_CONTROL and not name.startswith("X-Amz-")
    }
    tree: dict[str, Any] = {}
    for name, value in fields.items():
        _plant(tree, name.split("."), value)
    if operation.input_shape is None:
        return {}
    result: dict[str, Any] = _from_tree(operation.input_shape, tree)
    return result


def _plant(tree: dict[str, Any], path: list[str], value: str) -> None:
    """`A.member.1.B=x` -> {"A": {"member": {"1": {"B": {"": "x"}}}}}."""
    for step in path:
        tree = tree.setdefault(step, {})
    tree[""] = value


def _from_tree(shape: Shape, tree: dict[str, Any]) -> Any:
    match shape.type_name:
        case "structure":
            return _structure_from_tree(shape, tree)
        case "list":
            return _list_from_tree(shape, tree)
        case "map":
            return _map_from_tree(shape, tree)
        case _:
            return _scalar(shape, tree[""]) if "" in tree else _unknown(tree)


def _structure_from_tree(shape: StructureShape, tree: dict[str, Any]) -> dict[str, Any]:
    result = {}
    known = {"": ""}
    for name, member in shape.members.items():
        key = member.serialization.get("name", name)
        if member.type_name == "list" and member.serialization.get("flattened"):
            key = member.member.serialization.get("name", key)
        known[key] = name
        if key in tree:
            result[name] = _from_tree(member, tree[key])
    for key, branch in tree.items():
        if key not in known:
            result[key] = _unknown(branch)
    return result


def _list_from_tree(shape: ListShape, tree: dict[str, Any]) -> Any:
    if shape.serialization.get("flattened"):
        items = tree
    else:
        items = tree.get(shape.member.serialization.get("name", "member"), {})
        if not items:
            items = tree.get("member", {})
    numbered = {int(key): branch for key, branch in items.items() if key.isdecimal()}
    if not numbered and tree.keys() - {""}:
        return _unknown(tree)
    return [_from_tree(shape.member, numbered[index]) for index in sorted(numbered)]


def _map_from_tree(shape: MapShape, tree: dict[str, Any]) -> Any:
    entries = tree if shape.serialization.get("flattened") else tree.get("entry", {})
    key_name, value_name = shape.key.serialization.get("name", "key"), shape.value.serialization.get("name", "value")
    numbered = {int(index): entry for index, entry in entries.items() if index.isdecimal()}
    return {
        entry.get(key_name, {}).get("", ""): _from_tree(shape.value, entry.get(value_name, {"": ""}))
        for _, entry in sorted(numbered.items())
    }


def _unknown(tree: dict[str, Any]) -> Any:
    """What the model doesn't know, kept in some form so that validation can name it."""
    return tree[""] if tree.keys() == {""} else {key: _unknown(branch) for key, branch in tree.items() if key}


# --- REST --------------------------------------------------------------------------------------------------------


def _parse_rest_json(operation: OperationModel, route: Route, request: Request) -> dict[str, Any]:
    result = _parse_locations(operation, route, request)
    shape = operation.input_shape
    if shape is None:
        return result
    payload = shape.serialization.get("payload")
    if payload is None:
        if any("location" not in member.serialization for member in shape.members.values()):
            located = {name for name, member in shape.members.items() if "location" in member.serialization}
            body = _json(route.service).structure(shape)(_load_json(route, request.body))
            result |= {name: value for name, value in body.items() if name not in located}
    elif _streaming_payload(shape) is None and request.body:
        member = shape.members[payload]
        if member.type_name == "structure" and not getattr(member, "document", False):
            result[payload] = _json(route.service).structure(member)(_load_json(route, request.body))
        elif member.type_name in ("blob", "string"):
            result[payload] = _raw(member, request.body)
        else:
            convert = _json(route.service).shape(member)
            try:
                value = json.loads(request.body)
            except ValueError as error:
                raise _unreadable(route, f"it is not JSON ({error})") from None
            result[payload] = convert(value) if convert is not None else value
    return result


def _parse_rest_xml(operation: OperationModel, route: Route, request: Request) -> dict[str, Any]:
    result = _parse_locations(operation, route, request)
    shape = operation.input_shape
    if shape is None or not request.body:
        return result
    payload = shape.serialization.get("payload")
    if payload is None:
        body_members = {
            name: member for name, member in shape.members.items() if "location" not in member.serialization
        }
        if body_members:
            result |= _members_from_xml(body_members, _load_xml(route, request.body))
    elif _streaming_payload(shape) is None:
        member = shape.members[payload]
        if member.type_name in ("blob", "string"):
            result[payload] = _raw(member, request.body)
        else:
            result[payload] = _from_xml(member, [_load_xml(route, request.body)])
    return result


def _raw(member: Shape, body: bytes) -> Any:
    return body if member.type_name == "blob" else body.decode("utf-8", "replace")


def _parse_locations(operation: OperationModel, route: Route, request: Request) -> dict[str, Any]:
    """What stands in the path, the query string and the headers."""
    shape = operation.input_shape
    if shape is None:
        return {}
    result: dict[str, Any] = {}
    query: dict[str, list[str]] = {}
    for key, value in request.query_pairs:
        query.setdefault(key, []).append(value)
    for name, member, location, key in _located(route.service, route.operation):
        if location == "uri":
            if key in route.labels:
                result[name] = _scalar(member, route.labels[key])
        elif location == "querystring":
            if member.type_name == "map":
                if rest := _query_map(member, query, shape):
                    result[name] = rest
            elif key in query:
                result[name] = (
                    [_scalar(member.member, text) for text in query[key]]
                    if member.type_name == "list"
                    else _scalar(member, query[key][0])
                )
        elif location == "header":
            if key in request.headers:
                result[name] = _from_header(member, request.headers[key])
        elif location == "headers":
            prefix = key.lower()
            found = {
                header[len(prefix) :]: text for header, text in request.headers.items() if header.startswith(prefix)
            }
            if found:
                result[name] = found
    return result


@cache
def _located(service: str, operation: str) -> tuple[tuple[str, Any, str, str], ...]:
    """(member, shape, location, name on the wire) of all members outside the body."""
    shape = spec.operation(service, operation).input_shape
    members: Mapping[str, Shape] = shape.members if shape is not None else {}
    found = []
    for name, member in members.items():
        location = member.serialization.get("location")
        if location is not None:
            key = member.serialization.get("name", name)
            found.append((name, member, location, key.lower() if location == "header" else key))
    return tuple(found)


def _query_map(member: MapShape, query: Mapping[str, list[str]], shape: StructureShape) -> dict[str, Any]:
    """A map in the query string takes every parameter that no other member does."""
    taken = {other.serialization.get("name", name) for name, other in shape.members.items()}
    many = member.value.type_name == "list"
    return {key: values if many else values[0] for key, values in query.items() if key not in taken}


def _from_header(member: Shape, text: str) -> Any:
    if member.type_name == "list":
        return [_scalar(member.member, item) for item in _split_header(member.member, text)]
    if member.serialization.get("jsonvalue"):
        try:
            return json.loads(base64.b64decode(text, validate=True))
        except ValueError:
            return text
    return _scalar(member, text)


def _split_header(member: Shape, text: str) -> Iterable[str]:
    """The items of a comma separated header; a quoted item may hold commas, an HTTP date holds one."""
    if member.type_name == "timestamp" and member.serialization.get("timestampFormat", "rfc822") == "rfc822":
        parts = [part.strip() for part in text.split(",")]
        return [f"{day}, {rest}" for day, rest in zip(parts[::2], parts[1::2], strict=False)]
    items, item, quoted, position = [], "", False, 0
    while position < len(text):
        character = text[position]
        if quoted and character == "\\" and position + 1 < len(text):
            position += 1
            item += text[position]
        elif character == '"':
            quoted = not quoted
        elif character == "," and not quoted:
            items.append(item.strip())
            item = ""
        else:
            item += character
        position += 1
    return [*items, item.strip()]


# --- XML ---------------------------------------------------------------------------------------------------------


def _load_xml(route: Route, body: bytes) -> ElementTree.Element:
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        raise _unreadable(route, "it must not have a document type")
    try:
        return ElementTree.fromstring(body)  # noqa: S314  # without a DTD there is no entity to expand
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise _unreadable(route, str(error)) from None


def _tag(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]


def _from_xml(shape: Shape, elements: list[ElementTree.Element]) -> Any:
    """A value from the elements that carry its name: one, or several for a flattened list or map."""
    match shape.type_name:
        case "structure":
            return _members_from_xml(shape.members, elements[0])
        case "list":
            return _list_from_xml(shape, elements)
        case "map":
            return _map_from_xml(shape, elements)
        case _:
            return _scalar(shape, elements[0].text or "") if len(elements[0]) == 0 else _foreign(elements[0])


def _members_from_xml(members: Mapping[str, Shape], element: ElementTree.Element) -> dict[str, Any]:
    groups: dict[str, list[ElementTree.Element]] = {}
    for child in element:
        groups.setdefault(_tag(child), []).append(child)
    result: dict[str, Any] = {}
    for name, member in members.items():
        key = member.serialization.get("name", name)
        if member.serialization.get("xmlAttribute"):
            local = key.rpartition(":")[2]
            found = next((text for attribute, text in element.items() if attribute.rpartition("}")[2] == local), None)
            if found is not None:
                result[name] = found
            continue
        if member.type_name == "list" and member.serialization.get("flattened"):
            key = member.member.serialization.get("name", key) if key not in groups else key
        if key in groups:
            result[name] = _from_xml(member, groups.pop(key))
    for key, rest in groups.items():
        result[key] = _foreign(rest[0])
    return result


def _list_from_xml(shape: ListShape, elements: list[ElementTree.Element]) -> list[Any]:
    items = elements if shape.serialization.get("flattened") else list(elements[0])
    return [_from_xml(shape.member, [item]) for item in items]


def _map_from_xml(shape: MapShape, elements: list[ElementTree.Element]) -> dict[str, Any]:
    entries = elements if shape.serialization.get("flattened") else list(elements[0])
    key_name, value_name = shape.key.serialization.get("name", "key"), shape.value.serialization.get("name", "value")
    result = {}
    for entry in entries:
        parts = {_tag(child): child for child in entry}
        if key_name in parts and value_name in parts:
            result[parts[key_name].text or ""] = _from_xml(shape.value, [parts[value_name]])
    return result


def _foreign(element: ElementTree.Element) -> Any:
    """An element that the model doesn't know, in some form."""
    return {_tag(child): _foreign(child) for child in element} if len(element) else element.text or ""


# --- CBOR --------------------------------------------------------------------------------------------------------


def _parse_cbor(operation: OperationModel, route: Route, request: Request) -> dict[str, Any]:
    if operation.input_shape is None or not request.body:
        return {}
    try:
        value = cbor.loads(request.body)
    except ValueError as error:
        raise _unreadable(route, f"it is not CBOR ({error})") from None
    if not isinstance(value, dict):
        raise _unreadable(route, "it must be a CBOR map")
    result: dict[str, Any] = _json(route.service).structure(operation.input_shape)(value)
    return result


_PARSERS: dict[str, Callable[[OperationModel, Route, Request], dict[str, Any]]] = {
    "json": _parse_json,
    "query": _parse_query,
    "rest-json": _parse_rest_json,
    "rest-xml": _parse_rest_xml,
    CBOR: _parse_cbor,
}
