"""AWS's event streams, written (`application/vnd.amazon.eventstream`). Pure.

A message is its two lengths, their CRC, headers, payload, and the CRC of it all; a header's value is a string here
(type 7), as what the services send needs no other.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

from botocore.model import Shape

CONTENT_TYPE = "application/vnd.amazon.eventstream"
_STRING = 7
_FRAME = 16
"""Bytes of a message beside headers and payload."""


class Messages:
    """The bytes of a service's events: an asynchronous iterator of `{event's name: its members}` goes in."""

    def __init__(self, shape: Shape, events: AsyncIterator[Mapping[str, Any]]) -> None:
        """`shape` is the stream's."""
        self._shape = shape
        self._events = events

    def __aiter__(self) -> Messages:
        return self

    async def __anext__(self) -> bytes:
        ((kind, members),) = (await anext(self._events)).items()
        shape = self._shape.members[kind]  # type: ignore[attr-defined]  # an event stream is a structure
        if shape.metadata.get("exception"):
            return message({":message-type": "exception", ":exception-type": kind, **_JSON}, _dump(members))
        for name, member in shape.members.items():
            if member.serialization.get("eventpayload") and member.type_name == "blob":
                return message({":message-type": "event", ":event-type": kind, **_BYTES}, members[name])
        return message({":message-type": "event", ":event-type": kind, **_JSON}, _dump(members))

    async def aclose(self) -> None:
        close = getattr(self._events, "aclose", None)
        if close is not None:
            await close()


_JSON = {":content-type": "application/json"}
_BYTES = {":content-type": "application/octet-stream"}


def _dump(members: Mapping[str, Any]) -> bytes:
    return json.dumps(members, ensure_ascii=False).encode("utf-8", "replace")


def message(headers: Mapping[str, str], payload: bytes) -> bytes:
    """One message."""
    head = b"".join(_header(name, value) for name, value in headers.items())
    prelude = struct.pack("!II", _FRAME + len(head) + len(payload), len(head))
    body = b"".join((prelude, struct.pack("!I", zlib.crc32(prelude)), head, payload))
    return body + struct.pack("!I", zlib.crc32(body))


def _header(name: str, value: str) -> bytes:
    key, text = name.encode(), value.encode()
    return struct.pack("!B", len(key)) + key + struct.pack("!BH", _STRING, len(text)) + text
