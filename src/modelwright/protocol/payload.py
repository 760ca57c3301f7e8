"""A request's body as it was signed -> the bytes that were meant: `decoder(verified, request)`.

    decoder = payload.decoder(verified, request)
    for data in incoming:
        pieces = decoder.feed(data)      # list of bytes, ready to use
    decoder.finish()                     # raises AwsError unless the body is whole and as signed
    decoder.trailers                     # {"x-amz-checksum-crc32": "..."}, after finish()

Three sorts behind one interface: bytes as they are (UNSIGNED-PAYLOAD), bytes with a SHA-256 in the head, and
aws-chunked with or without signatures and trailers. Pieces come out before what protects them has been seen, so that
memory stays flat: whoever takes them must not commit anything before `finish()` has returned.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Protocol

from modelwright.errors import AwsError
from modelwright.protocol.messages import Request
from modelwright.protocol.sigv4 import EMPTY_HASH, UNSIGNED, Verified

_LONGEST_LINE = 8192
_LONGEST_TRAILER = 32768


class Decoder(Protocol):
    """See the module's head."""

    trailers: dict[str, str]

    def feed(self, data: bytes) -> list[bytes]: ...

    def finish(self) -> None: ...


def decoder(verified: Verified, request: Request) -> Decoder:
    """The decoder that fits what was signed. Raises AwsError for a marker that Modelwright doesn't know."""
    payload = verified.payload
    if payload == UNSIGNED:
        return _Plain()
    if payload == "STREAMING-UNSIGNED-PAYLOAD-TRAILER":
        return _AwsChunked(request, None)
    if payload in ("STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"):
        return _AwsChunked(request, verified)
    if len(payload) == 64 and all(character in "0123456789abcdefABCDEF" for character in payload):
        return _Hashed(payload.lower())
    raise AwsError(
        "x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, "
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.",
        code="InvalidArgument",
        members={"ArgumentName": "x-amz-content-sha256", "ArgumentValue": payload},
    )


class _Plain:
    def __init__(self) -> None:
        self.trailers: dict[str, str] = {}

    def feed(self, data: bytes) -> list[bytes]:
        return [data] if data else []

    def finish(self) -> None:
        """Nothing was promised."""


class _Hashed(_Plain):
    def __init__(self, expected: str) -> None:
        super().__init__()
        self._expected = expected
        self._hash = hashlib.sha256()

    def feed(self, data: bytes) -> list[bytes]:
        self._hash.update(data)
        return [data] if data else []

    def finish(self) -> None:
        found = self._hash.hexdigest()
        if not hmac.compare_digest(found, self._expected):
            raise AwsError(
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
                code="XAmzContentSHA256Mismatch",
                members={"ClientComputedContentSHA256": self._expected, "S3ComputedContentSHA256": found},
            )


class _AwsChunked:
    """`SIZE[;chunk-signature=...]CRLF data CRLF ... 0 CRLF trailers CRLF`; sizes are hexadecimal.

    States: `line` (a chunk's head), `data` (`_left` bytes to come), `gap` (the CRLF behind them), `trailer`, `end`.
    """

    def __init__(self, request: Request, signed: Verified | None) -> None:
        self.trailers: dict[str, str] = {}
        self._signed = signed
        self._previous = signed.signature if signed else ""
        self._signature = ""
        self._hash: Any = None
        self._has_trailer = bool(request.headers.get("x-amz-trailer"))
        self._state = "line"
        self._pending = b""
        self._left = 0
        self._total = 0
        self._trailer_text = ""
        length = request.headers.get("x-amz-decoded-content-length")
        if length is not None and not length.isdecimal():
            raise AwsError(f"x-amz-decoded-content-length '{length}' is not a number.", code="InvalidArgument")
        self._expected = int(length) if length is not None else None

    def feed(self, data: bytes) -> list[bytes]:
        pieces: list[bytes] = []
        if self._pending:
            data = self._pending + data
            self._pending = b""
        position, size = 0, len(data)
        while position < size:
            if self._state == "data":
                piece = data if position == 0 and size <= self._left else data[position : position + self._left]
                position += len(piece)
                self._take(piece)
                pieces.append(piece)
                continue
            if self._state == "end":
                raise _broken("there are bytes behind its end")
            end = data.find(b"\n", position)
            if end < 0:
                if size - position > _LONGEST_LINE:
                    raise _broken("a chunk's head is too long")
                self._pending = data[position:]
                break
            line = data[position:end].removesuffix(b"\r").decode("latin-1")
            position = end + 1
            self._line(line)
        return pieces

    def finish(self) -> None:
        if self._state == "trailer" and not self._pending and not self._has_trailer:
            self._state = "end"  # some clients leave out the last empty line
        if self._state != "end" or (self._expected is not None and self._total != self._expected):
            raise AwsError(
                "You did not provide the number of bytes specified by the Content-Length HTTP header.",
                code="IncompleteBody",
            )

    def _take(self, piece: bytes) -> None:
        self._left -= len(piece)
        self._total += len(piece)
        if self._hash is not None:
            self._hash.update(piece)
        if not self._left:
            self._state = "gap"

    def _line(self, line: str) -> None:
        match self._state:
            case "gap":
                if line:
                    raise _broken("a chunk is longer than its head says")
                self._end_chunk()
                self._state = "line"
            case "line":
                self._start_chunk(line)
            case _:
                self._trailer(line)

    def _start_chunk(self, line: str) -> None:
        size, _, extension = line.partition(";")
        try:
            self._left = int(size.strip() or "x", 16)
        except ValueError:
            raise _broken(f"'{size[:40]}' is not the size of a chunk") from None
        if self._left < 0:
            raise _broken("a chunk's size is negative")
        if self._signed is not None:
            name, _, value = extension.strip().partition("=")
            if name != "chunk-signature":
                raise _mismatch()
            self._signature = value
            self._hash = hashlib.sha256()
        if self._left:
            self._state = "data"
        else:
            self._end_chunk()
            self._state = "trailer"

    def _end_chunk(self) -> None:
        if self._signed is None:
            return
        self._check(
            self._signed, "AWS4-HMAC-SHA256-PAYLOAD", f"{EMPTY_HASH}\n{self._hash.hexdigest()}", self._signature
        )

    def _trailer(self, line: str) -> None:
        if not line:
            self._end_trailer()
            return
        name, _, value = line.partition(":")
        name, value = name.strip().lower(), value.strip()
        if name == "x-amz-trailer-signature":
            if self._signed is None:
                raise _broken("its trailer is signed, but its chunks are not")
            self._check(
                self._signed,
                "AWS4-HMAC-SHA256-TRAILER",
                hashlib.sha256(self._trailer_text.encode()).hexdigest(),
                value,
            )
            self._trailer_text = ""
            return
        self._trailer_text += f"{name}:{value}\n"
        if len(self._trailer_text) > _LONGEST_TRAILER:
            raise _broken("its trailer is too long")
        self.trailers[name] = value

    def _end_trailer(self) -> None:
        if self._signed is not None and self._trailer_text:
            raise _mismatch()  # trailers whose signature didn't come
        if self._has_trailer and not self.trailers:
            return  # the empty line behind the last chunk, before the trailers
        self._state = "end"

    def _check(self, signed: Verified, kind: str, digests: str, signature: str) -> None:
        to_sign = f"{kind}\n{signed.timestamp}\n{signed.scope}\n{self._previous}\n{digests}"
        expected = hmac.digest(signed.signing_key, to_sign.encode(), "sha256").hex()
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            raise _mismatch()
        self._previous = expected


def _mismatch() -> AwsError:
    return AwsError(
        "The request signature we calculated does not match the signature you provided. A chunk of the body is not as "
        "it was signed.",
        code="SignatureDoesNotMatch",
        status=403,
    )


def _broken(why: str) -> AwsError:
    return AwsError(f"The aws-chunked body can't be read: {why}.", code="InvalidRequest")
