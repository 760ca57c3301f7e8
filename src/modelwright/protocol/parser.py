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
import json
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache
from typing import Any

from botocore.model import ListShape, MapShape, OperationModel, Shape, StructureShape

from modelwright.errors import AwsError
from modelwright.protocol import cbor, forms, jsonvalues, spec, text, xmlvalues
from modelwright.protocol.messages import Request
from modelwright.protocol.router import CBOR, S3, Route


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
    payload = shape.serialization.get("payload") if shape is not None else None
    if shape is None or payload is None:
        return None
    member = shape.members[payload]
    return payload if member.serialization.get("streaming") or member.serialization.get("eventstream") else None


@cache
def may_be_compressed(service: str, operation: str) -> bool:
    """Whether clients may send the body packed by gzip."""
    compression = spec.operation(service, operation).request_compression
    return compression is not None and "gzip" in compression["encodings"]


def _unreadable(route: Route, why: str) -> AwsError:
    if route.service == "s3":
        return AwsError(
            f"The XML you provided was not well-formed or did not validate against our published schema: {why}.",
            code="MalformedXML",
        )
    return AwsError(f"The body of the request can't be read: {why}.", code="SerializationException")


# --- JSON and CBOR -----------------------------------------------------------------------------------------------


def _parse_json(operation: OperationModel, route: Route, request: Request) -> dict[str, Any]:
    if operation.input_shape is None:
        return {}
    result: dict[str, Any] = jsonvalues.reader(route.service).structure(operation.input_shape)(
        _load_object(route, request.body)
    )
    return result


def _load_object(route: Route, body: bytes) -> dict[str, Any]:
    value = _load_json(route, body) if body else {}
    if not isinstance(value, dict):
        raise _unreadable(route, "it must be a JSON object")
    return value


def _load_json(route: Route, body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError as error:  # JSONDecodeError and UnicodeDecodeError
        raise _unreadable(route, f"it is not JSON ({error})") from None


def _parse_cbor(operation: OperationModel, route: Route, request: Request) -> dict[str, Any]:
    if operation.input_shape is None or not request.body:
        return {}
    try:
        value = cbor.loads(request.body)
    except ValueError as error:
        raise _unreadable(route, f"it is not CBOR ({error})") from None
    if not isinstance(value, dict):
        raise _unreadable(route, "it must be a CBOR map")
    result: dict[str, Any] = jsonvalues.cbor_reader(route.service).structure(operation.input_shape)(value)
    return result


# --- query -------------------------------------------------------------------------------------------------------


def _parse_query(operation: OperationModel, route: Route, request: Request) -> dict[str, Any]:
    fields = [
        (name, value)
        for name, value in (*request.query_pairs, *request.form.items())
        if name not in ("Action", "Version") and not name.startswith("X-Amz-")
    ]
    return forms.read(operation.input_shape, fields) if operation.input_shape is not None else {}


# --- REST --------------------------------------------------------------------------------------------------------


def _parse_rest(operation: OperationModel, route: Route, request: Request) -> dict[str, Any]:
    result = _parse_locations(route, request)
    shape = operation.input_shape
    if shape is None:
        return result
    payload = shape.serialization.get("payload")
    if payload is None:
        body = {name: member for name, member in shape.members.items() if "location" not in member.serialization}
        if body and request.body:
            found = _read_body(shape, route, request.body)
            result |= {name: value for name, value in found.items() if name in body or name not in shape.members}
    elif streaming_member(route.service, route.operation) is None:
        member = shape.members[payload]
        if member.type_name == "blob":
            if request.body or payload in shape.required_members:
                result[payload] = request.body
        elif not request.body:
            pass
        elif member.type_name == "string":
            result[payload] = request.body.decode("utf-8", "replace")
        else:
            result[payload] = _read_body(member, route, request.body)
    return result


def _read_body(shape: Shape, route: Route, body: bytes) -> Any:
    if route.protocol == "rest-xml":
        try:
            return xmlvalues.read(shape, body)
        except ValueError as error:
            raise _unreadable(route, str(error)) from None
    if isinstance(shape, StructureShape) and not jsonvalues.is_document(shape):
        return jsonvalues.reader(route.service).structure(shape)(_load_object(route, body))
    convert = jsonvalues.reader(route.service).shape(shape)
    value = _load_json(route, body)
    return value if convert is None else convert(value)


def _parse_locations(route: Route, request: Request) -> dict[str, Any]:
    """What stands in the path, the query string and the headers."""
    located = _located(route.service, route.operation)
    result: dict[str, Any] = {}
    query: dict[str, list[str]] = {}
    for key, value in request.query_pairs:
        query.setdefault(key, []).append(value)
    headers = _headers(route, request)
    for name, member, location, key in located:
        if location == "uri":
            if key in route.labels:
                result[name] = text.read(member, route.labels[key])
        elif location == "querystring":
            if isinstance(member, MapShape):
                if rest := _query_map(member, query, {key for _, _, _, key in located}):
                    result[name] = rest
            elif key in query:
                result[name] = _from_query(member, query[key])
        elif location == "header":
            if key in headers:
                result[name] = _from_header(member, headers[key])
        elif location == "headers":
            found = {header[len(key) :]: value for header, value in headers.items() if header.startswith(key)}
            if found:
                result[name] = found
    if route.service == S3:
        result |= _strange_headers(located, headers)
    return result


_TRANSPORT = frozenset(
    {
        "x-amz-content-sha256",
        "x-amz-date",
        "x-amz-decoded-content-length",
        "x-amz-sdk-checksum-algorithm",
        "x-amz-security-token",
        "x-amz-te",
        "x-amz-trailer",
        "x-amz-user-agent",
    }
)
"""S3's headers that are no parameters: signatures, framing, and who the client is. Checksums of bodies are no more."""


def _strange_headers(located: Located, headers: Mapping[str, str]) -> dict[str, str]:
    """The `x-amz-` headers that ask for what the operation doesn't have; validation names them."""
    known = {key for _, _, location, key in located if location == "header"} | _TRANSPORT
    prefixes = ("x-amz-checksum-", *(key for _, _, location, key in located if location == "headers"))
    return {
        name: value
        for name, value in headers.items()
        if name.startswith("x-amz-") and name not in known and not name.startswith(prefixes)
    }


def _headers(route: Route, request: Request) -> Mapping[str, str]:
    """In a presigned URL of S3's, what would have been an `x-amz-` header is a parameter."""
    if route.service != S3 or "x-amz-" not in request.query:
        return request.headers
    hoisted = {name: value for name, value in request.query_pairs if name.startswith("x-amz-")}
    return {**hoisted, **request.headers}


Located = tuple[tuple[str, Shape, str, str], ...]
"""(member, shape, location, name on the wire) of all members outside the body."""


@cache
def _located(service: str, operation: str) -> Located:
    shape = spec.operation(service, operation).input_shape
    members: Mapping[str, Shape] = shape.members if shape is not None else {}
    found = []
    for name, member in members.items():
        location = member.serialization.get("location")
        if location is not None:
            key = member.serialization.get("name", name)
            found.append((name, member, location, key.lower() if location in ("header", "headers") else key))
    return tuple(found)


def _from_query(member: Shape, values: list[str]) -> Any:
    if isinstance(member, ListShape):
        return [text.read(member.member, value) for value in values]
    return text.read(member, values[0])


def _query_map(member: MapShape, query: Mapping[str, list[str]], taken: Collection[str]) -> dict[str, Any]:
    """A map in the query string takes every parameter that no other member does."""
    many = member.value.type_name == "list"
    return {key: values if many else values[0] for key, values in query.items() if key not in taken}


def _from_header(member: Shape, value: str) -> Any:
    if isinstance(member, ListShape):
        return [text.read(member.member, item) for item in _split_header(member.member, value)]
    if member.serialization.get("jsonvalue"):
        try:
            return json.loads(base64.b64decode(value, validate=True))
        except ValueError:
            return value
    return text.read(member, value)


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


_PARSERS: dict[str, Callable[[OperationModel, Route, Request], dict[str, Any]]] = {
    "json": _parse_json,
    "query": _parse_query,
    "rest-json": _parse_rest,
    "rest-xml": _parse_rest,
    CBOR: _parse_cbor,
}
