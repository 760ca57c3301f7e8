"""Request bodies: taken from the socket piece by piece, checked on the way, never held whole when they stream.

What a service iterates over has no end that it can't trust: where the bytes are not those that were signed, or do not
agree with the checksum behind them, the iterator raises AWS's error instead of ending. So a writer that keeps only what
ended well keeps nothing that is wrong.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Mapping, MutableMapping
from typing import Any

from modelwright.errors import AwsError
from modelwright.objects import checksums, errors
from modelwright.protocol.payload import Decoder

BATCH = 1024 * 1024
"""What is hashed at a time: large enough for a thread to be worth it, small enough to forget about memory."""
WHOLE_LIMIT = 32 * 1024 * 1024
"""The largest body of an operation that does not stream. AWS's own limits are lower, and an operation's business."""
IDLE_SECONDS = 120.0
_INLINE = 64 * 1024
"""Up to here hashing is quicker than asking a thread."""
_CHECKSUM = "x-amz-checksum-"

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]


class Disconnected(Exception):
    """The client has gone; nobody waits for an answer."""


class Incoming:
    """The bytes of one request's body as they arrive."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self.ended = False
        """Whether all of the body was taken."""

    async def whole(self, limit: int = WHOLE_LIMIT) -> bytes:
        """All of it. Raises AwsError when it is larger than `limit`, Disconnected."""
        first = await self.piece()
        if self.ended:
            return first
        pieces, size = [first], len(first)
        while not self.ended:
            pieces.append(await self.piece())
            size += len(pieces[-1])
            if size > limit:
                raise AwsError(
                    f"The request is larger than {limit} bytes.", code="RequestEntityTooLargeException", status=413
                )
        return b"".join(pieces)

    async def batches(self) -> AsyncIterator[list[bytes]]:
        """All of it, as it came, in batches of about BATCH bytes. Raises AwsError, Disconnected.

        Not joined: to copy a megabyte costs as much as to hash it.
        """
        while not self.ended:
            batch, size = [], 0
            while size < BATCH and not self.ended:
                batch.append(await self.piece())
                size += len(batch[-1])
            yield batch

    async def piece(self) -> bytes:
        """What has come since the last call. Raises AwsError when nothing comes for long, Disconnected."""
        receiving = self._receive().__await__()
        try:
            waiting = next(receiving)
        except StopIteration as done:  # it is there already, as mostly: that needs no timer
            message = done.value
        else:
            message = await self._waited(_Rest(receiving, waiting))
        if message["type"] == "http.disconnect":
            raise Disconnected
        self.ended = not message.get("more_body", False)
        body: bytes = message.get("body", b"")
        return body

    async def _waited(self, rest: Awaitable[MutableMapping[str, Any]]) -> MutableMapping[str, Any]:
        try:
            async with asyncio.timeout(IDLE_SECONDS):
                return await rest
        except TimeoutError:
            raise AwsError(
                "Your socket connection to the server was not read from or written to within the timeout period.",
                code="RequestTimeout",
            ) from None


class _Rest:
    """What is left of an awaitable that was begun and waits for something: `await` it as if it had not been begun."""

    def __init__(self, begun: Generator[Any, Any, MutableMapping[str, Any]], waiting: Any) -> None:
        self._begun = begun
        self._waiting = waiting

    def __await__(self) -> Generator[Any, Any, MutableMapping[str, Any]]:
        waiting = self._waiting
        while True:
            try:
                try:
                    value = yield waiting
                except BaseException as error:
                    waiting = self._begun.throw(error)
                else:
                    waiting = self._begun.send(value)
            except StopIteration as done:
                result: MutableMapping[str, Any] = done.value
                return result


class Trailers:
    """The checksums that a body's head promises behind the body: `x-amz-trailer: x-amz-checksum-crc32`."""

    def __init__(self, head: Mapping[str, str]) -> None:
        names = [name.strip().lower() for name in head.get("x-amz-trailer", "").split(",") if name.strip()]
        self._digests = {name: checksums.new(_algorithm(name)) for name in names}

    @property
    def algorithm(self) -> str | None:
        """The (first) checksum's name as S3's parameters have it: `CRC32`."""
        return next((_algorithm(name) for name in self._digests), None)

    def update(self, pieces: list[bytes]) -> None:
        for digest in self._digests.values():
            for piece in pieces:
                digest.update(piece)

    def check(self, found: Mapping[str, str]) -> None:
        """Raises AwsError unless each promised checksum came and is right."""
        for name, digest in self._digests.items():
            if name not in found:
                raise errors.invalid_request(f"The trailer {name} was promised by x-amz-trailer, but did not come.")
            check_digest(name, found[name], digest.digest())


def check_digest(name: str, given: str, computed: bytes) -> None:
    """Raises AwsError unless a checksum (or Content-MD5) header's value is the computed one."""
    expected = checksums.decode(_algorithm(name), given)
    if expected is None:
        raise errors.invalid_digest(name, given)
    if expected != computed:
        raise errors.bad_digest(name, given, checksums.encode(computed))


def check_whole(head: Mapping[str, str], body: bytes) -> None:
    """Check a whole body against the checksums in its head. Raises AwsError."""
    for name, value in head.items():
        if name == "content-md5":
            check_digest("Content-MD5", value, hashlib.md5(body, usedforsecurity=False).digest())
        elif name.startswith(_CHECKSUM) and name.removeprefix(_CHECKSUM).upper() in checksums.ALGORITHMS:
            digest = checksums.new(_algorithm(name))
            digest.update(body)
            check_digest(name, value, digest.digest())


def _algorithm(name: str) -> str:
    algorithm = "MD5" if name == "Content-MD5" else name.removeprefix(_CHECKSUM).upper()
    if algorithm not in checksums.ALGORITHMS or (name != "Content-MD5" and not name.startswith(_CHECKSUM)):
        raise errors.invalid_request(f"The value '{name}' of the x-amz-trailer header is not supported.")
    return algorithm


async def streamed(incoming: Incoming, decoder: Decoder, trailers: Trailers) -> AsyncGenerator[bytes, None]:
    """The bytes that the client meant. Raises AwsError instead of ending when they are not what was promised."""

    def take(batch: list[bytes]) -> list[bytes]:
        pieces = [piece for data in batch for piece in decoder.feed(data)]
        trailers.update(pieces)
        return pieces

    async for batch in incoming.batches():
        small = sum(map(len, batch)) <= _INLINE
        pieces = take(batch) if small else await asyncio.to_thread(take, batch)
        batch.clear()
        for index in range(len(pieces)):
            piece, pieces[index] = pieces[index], b""  # whoever takes it decides how long it lives
            yield piece
    decoder.finish()
    trailers.check(decoder.trailers)
