"""Requests as botocore really makes them, without sending them."""

from __future__ import annotations

import io
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import botocore.session
from botocore.awsrequest import AWSPreparedRequest, AWSRequest, AWSResponse, HeadersDict, prepare_request_dict
from botocore.config import Config
from botocore.model import OperationModel
from botocore.parsers import create_parser
from botocore.serialize import create_serializer

from modelwright.protocol import spec
from modelwright.protocol.messages import Request, Response

ACCESS_KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
LOCAL = "http://127.0.0.1:7070"


@cache
def client(service: str, endpoint: str | None = LOCAL, region: str = "us-east-1", **config: Any) -> Any:
    """A botocore client that nothing of this machine configures."""
    session = botocore.session.Session()
    session.set_config_variable("region", region)
    session.set_credentials(ACCESS_KEY, SECRET)
    return session.create_client(
        service,
        endpoint_url=endpoint,
        config=Config(parameter_validation=False, retries={"max_attempts": 1, "mode": "standard"}, **config),
    )


class _Sent(Exception):
    def __init__(self, request: AWSPreparedRequest) -> None:
        super().__init__(request.url)
        self.request = request


def prepared(client: Any, operation: str, parameters: dict[str, Any]) -> AWSPreparedRequest:
    """The signed request of a call, taken before it is sent."""

    def take(request: AWSPreparedRequest, **_: Any) -> AWSResponse:
        raise _Sent(request)

    client.meta.events.register_first("before-send", take)
    try:
        client._make_api_call(operation, parameters)
    except _Sent as sent:
        return sent.request
    finally:
        client.meta.events.unregister("before-send", take)
    raise AssertionError("nothing was sent")


def received(request: AWSPreparedRequest) -> Request:
    """The same request as a server reads it."""
    url = urlsplit(request.url)
    headers = {name.lower(): _text(value) for name, value in request.headers.items()}
    headers.setdefault("host", url.netloc)
    return Request(request.method, url.path or "/", url.query, headers, _bytes(request.body))


def _text(value: Any) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _bytes(body: Any) -> bytes:
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, io.IOBase) or hasattr(body, "read"):
        return body.read()
    return bytes(body)


def serialized(service: str, operation: str, parameters: dict[str, Any], protocol: str) -> Request:
    """The unsigned request that botocore's serializer of a protocol makes."""
    made = create_serializer(
        protocol, include_validation=False, timestamp_precision="millisecond"
    ).serialize_to_request(parameters, spec.operation(service, operation))
    made.pop("host_prefix", None)
    prepare_request_dict(made, endpoint_url=LOCAL, context={})
    request = AWSRequest(method=made["method"], url=made["url"], data=made["body"], headers=made["headers"]).prepare()
    return received(request)


def read_by_botocore(response: Response, operation: OperationModel, protocol: str) -> dict[str, Any]:
    """What botocore's parser makes of a response: the result, or `Error` and what else it found."""
    body, shape = response.body, operation.output_shape
    streams = operation.has_streaming_output and response.status < 300
    answer = {
        "status_code": response.status,
        "headers": HeadersDict({name.lower(): value for name, value in response.headers}),
        "body": io.BytesIO(body) if streams else body,
    }
    parsed = create_parser(protocol).parse(answer, shape)
    if streams:
        member = shape.serialization["payload"]
        parsed[member] = parsed[member].read()
    assert parsed.pop("ResponseMetadata")["HTTPStatusCode"] == response.status
    return parsed
