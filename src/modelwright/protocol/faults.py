"""An error -> the response, in the manner of the service that was asked.

`serialize(route, error, request_id, head=...)`; `route` may be the router's hint for a request that none could be found
for. The error's members become the answer's, but those of `_headers` become headers. To a HEAD request an error has no
body: the client sees the status alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from modelwright.errors import AwsError
from modelwright.protocol import cbor, spec, xmlvalues
from modelwright.protocol.messages import Response
from modelwright.protocol.router import CBOR, S3, Route


def serialize(route: Route, error: AwsError, request_id: str, *, head: bool = False) -> Response:
    """The response that carries an error."""
    response = _FAULTS[route.protocol](route, error, request_id)
    if head:
        response.body = b""
    return response


def _json_fault(route: Route, error: AwsError, request_id: str) -> Response:
    code, more = _compatible(route, error)
    headers = [
        ("Content-Type", f"application/x-amz-json-{route.json_version}"),
        ("x-amzn-RequestId", request_id),
        ("x-amzn-ErrorType", code),
        *more,
    ]
    return Response(error.status, headers, _json({"__type": code, "message": error.message, **_members(error)}))


def _compatible(route: Route, error: AwsError) -> tuple[str, list[tuple[str, str]]]:
    """What the error is called, and a header with its older name, where the service once spoke the query protocol.

    Its shapes are called otherwise than the codes that clients have always been told (`InvalidParameterValue`).
    """
    names = _query_codes(route.service)
    for shape, code in names.items():
        if error.code == code:
            return shape, [("x-amzn-query-error", f"{code};{'Sender' if error.status < 500 else 'Receiver'}")]
    return error.code, []


@cache
def _query_codes(service: str) -> Mapping[str, str]:
    """Name of the error's shape -> its code, of a service that has both."""
    model = spec.service(service)
    if "awsQueryCompatible" not in model.metadata:
        return {}
    return {shape.name: shape.metadata.get("error", {}).get("code", shape.name) for shape in model.error_shapes}


def _members(error: AwsError) -> dict[str, Any]:
    return {key: value for key, value in error.members.items() if not key.startswith("_")}


def _rest_json_fault(route: Route, error: AwsError, request_id: str) -> Response:
    headers = [
        ("Content-Type", "application/json"),
        ("x-amzn-RequestId", request_id),
        ("x-amzn-ErrorType", error.code),
    ]
    return Response(error.status, headers, _json({"message": error.message, "code": error.code, **_members(error)}))


def _query_fault(route: Route, error: AwsError, request_id: str) -> Response:
    namespace = xmlvalues.attribute(spec.service(route.service).metadata.get("xmlNamespace", ""))
    fault = "Sender" if error.status < 500 else "Receiver"
    text = (
        f'<ErrorResponse xmlns="{namespace}"><Error><Type>{fault}</Type><Code>{xmlvalues.escape(error.code)}</Code>'
        f"<Message>{xmlvalues.escape(error.message)}</Message>{_xml_members(error)}</Error>"
        f"<RequestId>{xmlvalues.escape(request_id)}</RequestId></ErrorResponse>"
    )
    headers = [("Content-Type", "text/xml"), ("x-amzn-RequestId", request_id)]
    return Response(error.status, headers, text.encode("utf-8", "replace"))


def _ec2_fault(route: Route, error: AwsError, request_id: str) -> Response:
    text = (
        f"<Response><Errors><Error><Code>{xmlvalues.escape(error.code)}</Code>"
        f"<Message>{xmlvalues.escape(error.message)}</Message></Error></Errors>"
        f"<RequestID>{xmlvalues.escape(request_id)}</RequestID></Response>"
    )
    return Response(error.status, [("Content-Type", "text/xml")], text.encode("utf-8", "replace"))


def _rest_xml_fault(route: Route, error: AwsError, request_id: str) -> Response:
    if route.service != S3:
        return _query_fault(route, error, request_id)
    headers = [("x-amz-request-id", request_id), *error.members.get("_headers", {}).items()]
    if error.status == 304:
        return Response(304, headers)
    body = (
        f"<Code>{xmlvalues.escape(error.code)}</Code><Message>{xmlvalues.escape(error.message)}</Message>{_xml_members(error)}"
        f"<RequestId>{xmlvalues.escape(request_id)}</RequestId><HostId>modelwright</HostId>"
    )
    headers.append(("Content-Type", "application/xml"))
    return Response(error.status, headers, xmlvalues.document("Error", body, "").encode("utf-8", "replace"))


def _xml_members(error: AwsError) -> str:
    return "".join(f"<{key}>{xmlvalues.escape(str(value))}</{key}>" for key, value in _members(error).items())


def _cbor_fault(route: Route, error: AwsError, request_id: str) -> Response:
    code, more = _compatible(route, error)
    headers = [
        ("smithy-protocol", "rpc-v2-cbor"),
        ("x-amzn-RequestId", request_id),
        ("Content-Type", "application/cbor"),
        *more,
    ]
    return Response(error.status, headers, cbor.dumps({"__type": code, "message": error.message, **_members(error)}))


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


_FAULTS: dict[str, Callable[[Route, AwsError, str], Response]] = {
    "json": _json_fault,
    "query": _query_fault,
    "ec2": _ec2_fault,
    "rest-json": _rest_json_fault,
    "rest-xml": _rest_xml_fault,
    CBOR: _cbor_fault,
}
