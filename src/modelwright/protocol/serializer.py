"""A result or an error -> the response, for all of AWS's protocols.

    serialize(route, result, request_id) -> Response
    serialize_error(route, error, request_id, head=False) -> Response

Rule: what botocore's parser makes of the response equals `result`. Members that the output shape doesn't have are left
out: those with a leading `_` always, others only in production: `strict`, which tests turn on, raises ValueError for
them and for whatever else the model refuses. A streaming member (GetObject's `Body`) becomes `Response.body` as it
is: bytes or an asynchronous iterator, for the server to send. `_status` in a REST operation's result is the answer's
status (206, say). An error is written in the manner of the service that was asked; to a HEAD request it has no body, as
the client sees only the status.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any
from urllib.parse import quote

from botocore.model import ListShape, OperationModel, Shape, StructureShape

from modelwright.errors import AwsError
from modelwright.protocol import cbor, eventstream, faults, jsonvalues, spec, timestamps, validation, xmlvalues
from modelwright.protocol.messages import Response
from modelwright.protocol.router import CBOR, S3, Route


def serialize(route: Route, result: Mapping[str, Any], request_id: str, *, strict: bool = False) -> Response:
    """The response that carries `result`. Raises ValueError in `strict` when the model refuses it."""
    operation = spec.operation(route.service, route.operation)
    if strict:
        validation.check_result(route.service, route.operation, result)
    return _SERIALIZERS[route.protocol](operation, route, result, request_id)


def serialize_error(route: Route, error: AwsError, request_id: str, *, head: bool = False) -> Response:
    """The response that carries an error; `route` may be a hint, `head` says that the request was a HEAD."""
    return faults.serialize(route, error, request_id, head=head)


# --- JSON --------------------------------------------------------------------------------------------------------


def _serialize_json(operation: OperationModel, route: Route, result: Mapping[str, Any], request_id: str) -> Response:
    shape = operation.output_shape
    headers = [("Content-Type", f"application/x-amz-json-{route.json_version}"), ("x-amzn-RequestId", request_id)]
    return Response(200, headers, _dump(jsonvalues.writer(route.service).structure(shape)(result)) if shape else b"")


def _dump(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


# --- query -------------------------------------------------------------------------------------------------------


def _serialize_query(operation: OperationModel, route: Route, result: Mapping[str, Any], request_id: str) -> Response:
    shape = operation.output_shape
    name = operation.name
    body = ""
    if shape is not None:
        body = xmlvalues.members(route.service, shape, result)
        wrapper = shape.serialization.get("resultWrapper")
        if wrapper:
            body = f"<{wrapper}>{body}</{wrapper}>"
    namespace = xmlvalues.attribute(operation.service_model.metadata.get("xmlNamespace", ""))
    text = (
        f'<{name}Response xmlns="{namespace}">{body}'
        f"<ResponseMetadata><RequestId>{xmlvalues.escape(request_id)}</RequestId></ResponseMetadata></{name}Response>"
    )
    return Response(
        200, [("Content-Type", "text/xml"), ("x-amzn-RequestId", request_id)], text.encode("utf-8", "replace")
    )


# --- REST --------------------------------------------------------------------------------------------------------


def _serialize_rest_json(
    operation: OperationModel, route: Route, result: Mapping[str, Any], request_id: str
) -> Response:
    response = _start_rest(operation, result, [("x-amzn-RequestId", request_id)])
    shape = operation.output_shape
    if shape is None:
        return response
    payload = shape.serialization.get("payload")
    if payload is None:
        response.body = _dump(jsonvalues.writer(route.service).structure(shape)(result))
        _set_type(response, "application/json")
    elif payload in result:
        member = shape.members[payload]
        if member.type_name in ("blob", "string"):
            _set_raw(response, result[payload])
        elif member.serialization.get("eventstream") and not isinstance(result[payload], Mapping):
            response.body = eventstream.Messages(member, result[payload])
            _set_type(response, eventstream.CONTENT_TYPE)
        else:
            convert = jsonvalues.writer(route.service).shape(member)
            response.body = _dump(result[payload] if convert is None else convert(result[payload]))
            _set_type(response, "application/json")
    return response


_S3_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_S3_ROOTS = {
    "CompleteMultipartUpload": "CompleteMultipartUploadResult",
    "CreateMultipartUpload": "InitiateMultipartUploadResult",
    "DeleteObjects": "DeleteResult",
    "GetBucketAcl": "AccessControlPolicy",
    "GetBucketTagging": "Tagging",
    "GetBucketVersioning": "VersioningConfiguration",
    "GetObjectAcl": "AccessControlPolicy",
    "GetObjectTagging": "Tagging",
    "ListBuckets": "ListAllMyBucketsResult",
    "ListMultipartUploads": "ListMultipartUploadsResult",
    "ListObjects": "ListBucketResult",
    "ListObjectsV2": "ListBucketResult",
    "ListObjectVersions": "ListVersionsResult",
    "ListParts": "ListPartsResult",
}


def _serialize_rest_xml(
    operation: OperationModel, route: Route, result: Mapping[str, Any], request_id: str
) -> Response:
    is_s3 = route.service == S3
    response = _start_rest(operation, result, [("x-amz-request-id", request_id)])
    if is_s3:
        result = _encode_keys(operation.name, result)
    shape = operation.output_shape
    if shape is None or operation.http["method"] == "HEAD":
        return response
    if is_s3 and operation.name == "GetBucketLocation":
        _set_xml(
            response,
            xmlvalues.document(
                "LocationConstraint", xmlvalues.escape(result.get("LocationConstraint", "")), _S3_NAMESPACE
            ),
        )
        return response
    payload = shape.serialization.get("payload")
    if payload is None:
        body = {name: member for name, member in shape.members.items() if "location" not in member.serialization}
        if body:
            root = shape.serialization.get("name") or (_S3_ROOTS.get(operation.name) if is_s3 else None)
            namespace = _S3_NAMESPACE if is_s3 else operation.service_model.metadata.get("xmlNamespace", "")
            if isinstance(namespace, Mapping):
                namespace = namespace.get("uri", "")
            _set_xml(
                response,
                xmlvalues.document(
                    root or f"{operation.name}Result", xmlvalues.members(route.service, shape, result), namespace
                ),
            )
    elif payload in result:
        member = shape.members[payload]
        if not isinstance(member, StructureShape):
            _set_raw(response, result[payload])
        else:
            root = member.serialization.get("name", payload)
            _set_xml(
                response,
                xmlvalues.document(
                    root, xmlvalues.members(route.service, member, result[payload]), _S3_NAMESPACE if is_s3 else ""
                ),
            )
    return response


def _start_rest(operation: OperationModel, result: Mapping[str, Any], headers: list[tuple[str, str]]) -> Response:
    """Status and headers, as far as the result's members say."""
    status, located = _located(operation.service_model.service_name, operation.name)
    response = Response(result.get("_status") or status, headers)
    for name, member, location, key in located:
        if name not in result:
            continue
        value = result[name]
        if value is None:
            continue
        if location == "statusCode":
            response.status = int(value)
        elif location == "headers":
            response.headers += [(key + suffix, _header_text(str(text))) for suffix, text in value.items()]
        elif member.type_name != "list" or value:
            response.headers.append((key, _header_text(_header(member, value))))
    return response


_UNPRINTABLE = re.compile("[\x00-\x08\x0a-\x1f\x7f]")


def _header_text(text: str) -> str:
    """As a header can carry it: no line break can get in, and what latin-1 doesn't have travels as UTF-8."""
    if text.isascii() and text.isprintable():
        return text
    text = _UNPRINTABLE.sub(" ", text)
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace").decode("latin-1")
    return text


@cache
def _located(service: str, operation: str) -> tuple[int, tuple[tuple[str, Any, str, str], ...]]:
    """The status of success, and (member, shape, location, name there) of what does not stand in the body."""
    model = spec.operation(service, operation)
    shape = model.output_shape
    members: Mapping[str, Shape] = shape.members if shape is not None else {}
    return model.http.get("responseCode", 200), tuple(
        (name, member, member.serialization["location"], member.serialization.get("name", name))
        for name, member in members.items()
        if "location" in member.serialization
    )


def _header(shape: Shape, value: Any) -> str:
    if isinstance(shape, ListShape):
        return ",".join(_header_item(_header(shape.member, item)) for item in value)
    match shape.type_name:
        case "timestamp":
            return timestamps.write(value, shape.serialization.get("timestampFormat", "rfc822"))
        case "boolean":
            return "true" if value else "false"
        case "float" | "double":
            return xmlvalues.number(value)
    if shape.serialization.get("jsonvalue"):
        return base64.b64encode(_dump(value)).decode()
    return str(value)


def _header_item(text: str) -> str:
    return '"' + text.replace('"', '\\"') + '"' if '"' in text or "," in text else text


def _set_type(response: Response, content_type: str) -> None:
    if response.header("content-type") is None:
        response.headers.append(("Content-Type", content_type))


def _set_xml(response: Response, document: str) -> None:
    response.body = document.encode("utf-8", "replace")
    _set_type(response, "application/xml")


def _set_raw(response: Response, body: Any) -> None:
    response.body = body.encode() if isinstance(body, str) else body


_ENCODED = {
    "ListObjects": ("Prefix", "Delimiter", "Marker", "NextMarker"),
    "ListObjectsV2": ("Prefix", "Delimiter", "StartAfter"),
    "ListObjectVersions": ("Prefix", "Delimiter", "KeyMarker", "NextKeyMarker"),
    "ListMultipartUploads": ("Prefix", "Delimiter", "KeyMarker", "NextKeyMarker"),
}
_ENCODED_ITEMS = (
    ("Contents", "Key"),
    ("Versions", "Key"),
    ("DeleteMarkers", "Key"),
    ("Uploads", "Key"),
    ("CommonPrefixes", "Prefix"),
)


def _encode_keys(operation: str, result: Mapping[str, Any]) -> Mapping[str, Any]:
    """S3's `encoding-type=url`: keys may hold what XML can't. The services give and get plain keys."""
    if operation not in _ENCODED or result.get("EncodingType") != "url":
        return result
    encoded = dict(result)
    for member in _ENCODED[operation]:
        if member in encoded:
            encoded[member] = _quoted(encoded[member])
    for member, name in _ENCODED_ITEMS:
        if member in encoded:
            encoded[member] = [
                {**item, name: _quoted(item[name])} if name in item else item for item in encoded[member]
            ]
    return encoded


_BARE = re.compile(r"[A-Za-z0-9_.~/-]*")


def _quoted(text: str) -> str:
    return text if _BARE.fullmatch(text) else quote(text, errors="replace")


# --- CBOR --------------------------------------------------------------------------------------------------------


def _serialize_cbor(operation: OperationModel, route: Route, result: Mapping[str, Any], request_id: str) -> Response:
    headers = [("smithy-protocol", "rpc-v2-cbor"), ("x-amzn-RequestId", request_id)]
    if operation.output_shape is None:
        return Response(200, headers)
    headers.append(("Content-Type", "application/cbor"))
    return Response(
        200, headers, cbor.dumps(jsonvalues.cbor_writer(route.service).structure(operation.output_shape)(result))
    )


_SERIALIZERS: dict[str, Callable[[OperationModel, Route, Mapping[str, Any], str], Response]] = {
    "json": _serialize_json,
    "query": _serialize_query,
    "rest-json": _serialize_rest_json,
    "rest-xml": _serialize_rest_xml,
    CBOR: _serialize_cbor,
}
