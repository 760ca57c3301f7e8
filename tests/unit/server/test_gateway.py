"""The gateway without a socket: what is hard to bring about over a real one."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from pathlib import Path
from typing import Any

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from modelwright.protocol.validation import validate
from modelwright.server.gateway import Gateway
from modelwright.server.keys import Keys
from modelwright.services.dispatch import Dispatcher, operation

Messages = list[dict[str, Any]]
REMOVE = b'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Object><Key>k</Key></Object></Delete>'


class Objects:
    def __init__(self) -> None:
        self.removed: list[Any] = []
        self.stored: list[bytes] = []

    @operation("DeleteObjects")
    def delete_objects(self, context, parameters):
        self.removed.append(parameters["Delete"]["Objects"])
        return {}

    @operation("PutObject")
    async def put_object(self, context, parameters):
        self.stored.append(b"".join([piece async for piece in parameters["Body"]]))
        return {}

    @operation("HeadObject")
    def head_object(self, context, parameters):
        return {"ContentLength": 5, "ETag": '"e"'}


@pytest.fixture
def objects() -> Objects:
    return Objects()


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    return Keys.open(tmp_path / "keys", "111122223333")


@pytest.fixture
def gateway(objects: Objects, keys: Keys) -> Gateway:
    dispatcher = Dispatcher([("s3", objects)], validate)
    return Gateway(dispatcher, keys, account="111122223333", region="us-east-1", health={})


class Exchange:
    """One request to the gateway; messages come from `incoming`."""

    def __init__(self, gateway: Gateway, keys: Keys) -> None:
        self._gateway = gateway
        self._keys = keys

    def __call__(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: dict[str, str] | None = None,
        incoming: Messages | None = None,
    ) -> tuple[int, dict[str, str], bytes]:
        sent = self.run(method, path, body, headers, incoming)
        head, *rest = sent
        found = {name.decode(): value.decode() for name, value in head["headers"]}
        return head["status"], found, b"".join(message["body"] for message in rest)

    def run(self, method, path, body=b"", headers=None, incoming=None) -> Messages:
        request = AWSRequest(method, f"http://127.0.0.1{path}", data=body, headers=headers or {})
        credentials = Credentials(self._keys.admin.id, self._keys.admin.secret)
        botocore.auth.S3SigV4Auth(credentials, "s3", "us-east-1").add_auth(request)
        raw_path, _, query = path.partition("?")
        scope = {
            "type": "http",
            "method": method,
            "raw_path": raw_path.encode(),
            "query_string": query.encode(),
            "headers": [(b"host", b"127.0.0.1")]
            + [(name.lower().encode(), value.encode()) for name, value in request.headers.items()],
        }
        messages = iter(incoming if incoming is not None else [{"type": "http.request", "body": body}])
        sent: Messages = []

        async def receive():
            for message in messages:
                return message
            await asyncio.Event().wait()  # nothing comes any more

        async def send(message):
            sent.append(message)

        asyncio.run(self._gateway(scope, receive, send))
        return sent


@pytest.fixture
def exchange(gateway: Gateway, keys: Keys) -> Exchange:
    return Exchange(gateway, keys)


def part(body: bytes, more: bool) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def md5(body: bytes) -> str:
    return base64.b64encode(hashlib.md5(body).digest()).decode()


def test_a_body_in_parts(exchange: Exchange, objects: Objects) -> None:
    parts = [part(b"hel", True), part(b"", True), part(b"lo", False)]
    assert exchange("PUT", "/b/k", b"hello", incoming=parts)[0] == 200
    assert objects.stored == [b"hello"]


def test_a_client_that_stops_sending(exchange: Exchange, objects: Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("modelwright.server.bodies.IDLE_SECONDS", 0.01)
    status, _, body = exchange("PUT", "/b/k", b"hello", incoming=[part(b"hel", True)])
    assert status == 400
    assert b"<Code>RequestTimeout</Code>" in body
    assert objects.stored == []


@pytest.mark.parametrize("path", ["/b/k", "/b?delete"])
@pytest.mark.parametrize("before", [[], [part(b"<D", True)]])
def test_a_client_that_goes_away_gets_no_answer(
    exchange: Exchange, objects: Objects, path: str, before: Messages
) -> None:
    method = "POST" if "?" in path else "PUT"
    headers = {"Content-MD5": md5(REMOVE)}
    assert exchange.run(method, path, REMOVE, headers, [*before, {"type": "http.disconnect"}]) == []
    assert objects.stored == objects.removed == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-MD5": md5(REMOVE)},
        {"x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(REMOVE).digest()).decode()},
    ],
)
def test_a_whole_body_with_a_checksum(exchange: Exchange, objects: Objects, headers: dict[str, str]) -> None:
    assert exchange("POST", "/b?delete", REMOVE, headers)[0] == 200
    assert objects.removed == [[{"Key": "k"}]]


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Content-MD5": md5(b"other")}, "BadDigest"),
        ({"Content-MD5": "x"}, "InvalidDigest"),
        ({"x-amz-checksum-crc32": "AAAAAA=="}, "BadDigest"),
        ({"x-amz-checksum-crc32": "no"}, "InvalidRequest"),
    ],
)
def test_a_whole_body_with_a_wrong_one(
    exchange: Exchange, objects: Objects, headers: dict[str, str], code: str
) -> None:
    status, _, body = exchange("POST", "/b?delete", REMOVE, headers)
    assert (status, f"<Code>{code}</Code>" in body.decode()) == (400, True)
    assert objects.removed == []


def test_a_whole_body_that_is_not_what_was_signed(exchange: Exchange, objects: Objects) -> None:
    other = REMOVE.replace(b">k<", b">x<")
    status, _, body = exchange("POST", "/b?delete", REMOVE, incoming=[part(other, False)])
    assert (status, b"XAmzContentSHA256Mismatch" in body) == (400, True)
    assert objects.removed == []


def test_head(exchange: Exchange) -> None:
    status, headers, body = exchange("HEAD", "/b/k")
    assert (status, headers["content-length"], body) == (200, "5", b"")


def test_head_of_what_is_wrong_has_no_body(exchange: Exchange, keys: Keys) -> None:
    status, headers, body = exchange("HEAD", "/b")
    assert (status, body) == (400, b"")
    assert headers["x-amz-request-id"]


def test_a_form_as_an_objects_content(exchange: Exchange, objects: Objects) -> None:
    """curl says so of whatever it uploads; only a POST may be a call in a form."""
    content = b"x" * (33 * 1024 * 1024)
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    assert exchange("PUT", "/b/k", content, headers)[0] == 200
    assert objects.stored == [content]


def test_other_kinds_of_connection_are_no_business_of_ours(gateway: Gateway) -> None:
    async def nothing(*_: Any) -> dict[str, Any]:
        return {}

    with pytest.raises(ValueError, match="websocket"):
        asyncio.run(gateway({"type": "websocket"}, nothing, nothing))  # type: ignore[arg-type]
