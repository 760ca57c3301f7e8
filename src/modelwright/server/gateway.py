"""The AWS API over HTTP, as an ASGI application: request -> router -> sigv4 -> parser -> the one door -> response.

Its rule: whatever a client sends gets an answer in AWS's shape, and nothing is done for a request before its signature
was checked. Bodies that stream are handed on as they arrive (`bodies`); everything else is read whole first. What the
operations mean is none of its business.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import random
import time
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from dataclasses import replace
from typing import Any, cast

from modelwright.errors import AwsError, InternalFailure
from modelwright.protocol import parser, payload, router, serializer, sigv4, spec
from modelwright.protocol.messages import Request, Response
from modelwright.protocol.router import S3, Route
from modelwright.protocol.sigv4 import Verified
from modelwright.server import bodies
from modelwright.server.bodies import Disconnected, Incoming, Receive, Trailers
from modelwright.server.keys import AccessKey, Keys
from modelwright.services.dispatch import Context, Dispatcher, Document

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

HEALTH = "/modelwright/health"
_UNTRUSTED = [("Content-Security-Policy", "sandbox"), ("X-Content-Type-Options", "nosniff")]
"""What users have uploaded shares Studio's origin: a browser must not let it act there."""
_FORM = "application/x-www-form-urlencoded"
_LARGEST_UNPACKED = 8 << 20
_log = logging.getLogger(__name__)


class Gateway:
    """Answers AWS's requests by the operations of a dispatcher."""

    def __init__(
        self,
        dispatcher: Dispatcher,
        keys: Keys,
        *,
        account: str,
        region: str,
        health: Mapping[str, Any],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._dispatcher = dispatcher
        self._keys = keys
        self._account = account
        self._region = region
        self._health = json.dumps(dict(health)).encode()
        self._now = now

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"an ASGI {scope['type']} is not for the gateway")
        request_id = _new_id()
        incoming = Incoming(receive)
        request = _head(scope)
        try:
            response = await self._answer(request, incoming, request_id, _client(scope))
            if "authorization" not in request.headers:
                response.headers.extend(_UNTRUSTED)  # a browser's, by a presigned URL
            await _send(response, request, incoming, receive, send)
        except Disconnected:
            _log.info("%s: the client went away (%s %s)", request_id, request.method, request.path)

    async def _answer(self, head: Request, incoming: Incoming, request_id: str, client: str) -> Response:
        if head.path == HEALTH:
            return Response(200, [("Content-Type", "application/json")], self._health)
        if _is_registry(head):
            return _registry_answer()
        request = head
        route: Route | None = None
        try:
            route, streaming = _route_of_head(head)
            if streaming is None:
                request = head.with_body(await incoming.whole())
            if route is None:
                route = router.route(request)
            result = await self._perform(request, route, streaming, incoming, request_id, client)
            return serializer.serialize(route, result, request_id)
        except Disconnected:
            raise
        except AwsError as error:
            failure = error
        except Exception:
            _log.exception("%s: %s %s failed", request_id, head.method, head.path)
            failure = InternalFailure(
                f"Modelwright failed to answer this request; its log has the reason under the id {request_id}."
            )
        return serializer.serialize_error(
            route or router.hint(request), failure, request_id, head=head.method == "HEAD"
        )

    async def _perform(
        self,
        request: Request,
        route: Route,
        streaming: str | None,
        incoming: Incoming,
        request_id: str,
        client: str,
    ) -> Document:
        """The operation's result. `streaming` names the parameter that is the body, where that streams."""
        received = time.perf_counter()
        token = request.headers.get("x-amz-security-token")
        if not token and request.query:
            token = dict(request.query_pairs).get("X-Amz-Security-Token")
        found: AccessKey | None = None

        def look_up(key_id: str) -> sigv4.Key | None:
            nonlocal found
            found = self._keys.find(key_id, token)
            return None if found is None else sigv4.Key(found.id, found.secret, found.token, found.expires)

        verified = sigv4.verify(request, route, keys=look_up, now=self._now())
        assert found is not None  # its signature was just checked
        context = Context(
            account=self._account,
            region=verified.region or router.region(request) or self._region,
            principal=found.principal,
            request_id=request_id,
            source="http",
            address=client,
            agent=request.headers.get("user-agent", ""),
            received=received,
        )
        if streaming is None:
            decoded = _decoded(request, route, verified)
            if "content-encoding" in decoded.headers:
                decoded = _unpacked(decoded, route)
            parameters = parser.parse(route, decoded)
            return await self._dispatcher.acall(context, route.service, route.operation, parameters)
        parameters = parser.parse(route, _without_framing(request, verified))
        async with contextlib.aclosing(_body(request, verified, parameters, incoming)) as body:
            parameters[streaming] = body
            return await self._dispatcher.acall(context, route.service, route.operation, parameters)


def _route_of_head(head: Request) -> tuple[Route | None, str | None]:
    """The route, None where the body may have a say; and the name of the parameter that streams, if one does."""
    if "x-amz-target" in head.headers:
        return None, None
    if head.method == "POST" and head.headers.get("content-type", "").startswith(_FORM):
        return None, None
    route = router.route(head)
    return route, parser.streaming_member(route.service, route.operation)


def _decoded(request: Request, route: Route, verified: Verified) -> Request:
    """The request with the body that was meant, once it is known to be what was signed."""
    if "x-amz-content-sha256" not in request.headers:
        return request  # then its signature covers the body itself
    decoder = payload.decoder(verified, request)
    pieces = decoder.feed(request.body)
    decoder.finish()
    body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    if route.service == S3 and body and spec.operation(S3, route.operation).http_checksum:
        bodies.check_whole(request.headers, body)
    return request if body is request.body else replace(request, body=body)


def _unpacked(request: Request, route: Route) -> Request:
    """The request with its body unpacked, where clients may compress it (PutMetricData's)."""
    if request.headers["content-encoding"] != "gzip" or not parser.may_be_compressed(route.service, route.operation):
        return request
    unpack = zlib.decompressobj(wbits=31)
    try:
        body = unpack.decompress(request.body, _LARGEST_UNPACKED)
    except zlib.error as error:
        raise AwsError(f"The body is no gzip: {error}.", code="SerializationException") from None
    if unpack.unconsumed_tail:
        raise AwsError(
            f"The body is longer than {_LARGEST_UNPACKED} bytes when it is unpacked.", code="RequestEntityTooLarge",
            status=413,
        )  # fmt: skip
    return replace(request, body=body)


def _without_framing(request: Request, verified: Verified) -> Request:
    """The head as it would be had the body come without aws-chunked, which is of the wire and not of the object."""
    if not verified.payload.startswith("STREAMING-"):
        return request
    headers = dict(request.headers)
    encodings = [name.strip() for name in headers.pop("content-encoding", "").split(",")]
    if kept := [name for name in encodings if name and name != "aws-chunked"]:
        headers["content-encoding"] = ",".join(kept)
    headers.pop("content-length", None)
    if "x-amz-decoded-content-length" in headers:
        headers["content-length"] = headers["x-amz-decoded-content-length"]
    return replace(request, headers=headers)


def _body(
    request: Request, verified: Verified, parameters: Document, incoming: Incoming
) -> AsyncGenerator[bytes, None]:
    """The streamed body. The checksum that is to follow it becomes a parameter: the service stores what it computes."""
    trailers = Trailers(request.headers)
    if trailers.algorithm is not None:
        parameters.setdefault("ChecksumAlgorithm", trailers.algorithm)
    return bodies.streamed(incoming, payload.decoder(verified, request), trailers)


async def _send(response: Response, request: Request, incoming: Incoming, receive: Receive, send: Send) -> None:
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
    body = response.body
    whole = body if isinstance(body, bytes | bytearray) else None
    if whole is not None and response.header("content-length") is None and response.status not in (204, 304):
        headers.append((b"content-length", b"%d" % len(whole)))
    if not incoming.ended and "expect" in request.headers:
        # Told "no" before it was told to go on, a client keeps its body: the connection is out of step.
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    if whole is not None:
        await send({"type": "http.response.body", "body": whole})
    else:
        await _stream(cast("AsyncIterator[bytes]", body), receive, send)


async def _stream(body: AsyncIterator[bytes], receive: Receive, send: Send) -> None:
    """Send as fast as the client takes it, and stop reading when it has gone."""
    gone = asyncio.ensure_future(receive())  # the request has ended: the next thing to come is the disconnect
    try:
        async for piece in body:
            if gone.done():
                raise Disconnected
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
    finally:
        gone.cancel()
        close = getattr(body, "aclose", None)
        if close is not None:
            await close()


def _new_id() -> str:
    """A request's id: in the form of a UUID, made without asking the kernel, because nothing depends on it."""
    digits = f"{random.getrandbits(128):032x}"
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-a{digits[17:20]}-{digits[20:]}"


def _client(scope: MutableMapping[str, Any]) -> str:
    """The client's address."""
    return str((scope.get("client") or ("",))[0])


def _head(scope: MutableMapping[str, Any]) -> Request:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    return Request(
        method=scope["method"],
        path=scope["raw_path"].decode("latin-1"),
        query=scope["query_string"].decode("latin-1"),
        headers=headers,
    )


def _is_registry(request: Request) -> bool:
    return ".dkr.ecr." in request.host or ".dkr-ecr." in request.host


def _registry_answer() -> Response:
    """What a container engine sees that takes us for a registry."""
    text = (
        "Modelwright serves no container images over the registry's protocol. "
        "Build them from their Dockerfile: modelwright images build DIR -t URI"
    )
    body = json.dumps({"errors": [{"code": "UNSUPPORTED", "message": text}]}).encode()
    headers = [("Content-Type", "application/json"), ("Docker-Distribution-Api-Version", "registry/2.0")]
    return Response(405, headers, body)
