"""A client's HTTP connection: uvicorn's, with limits on what a client may make us hold.

llhttp bounds neither the size of a request's head nor the time it takes to arrive. Bodies need no limit here: uvicorn
stops reading the socket while nobody takes the bytes.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 64 * 1024
"""More than any request of AWS's needs: a key of 1,024 bytes, percent-encoded, and a presigned query."""
HEAD_SECONDS = 60.0
HIGH_WATER = 1 << 20
"""Bytes of a body that may wait to be taken. Uvicorn's own 64 KiB stop and start reading at almost every piece."""


class _Pieces:
    """What has come of a body, in place of uvicorn's bytearray: copied once, when somebody takes it."""

    def __init__(self) -> None:
        self.size = 0
        self._pieces: list[bytes] = []

    def add(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self.size += len(piece)

    def __bytes__(self) -> bytes:
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)


class HttpConnection(HttpToolsProtocol):
    """One connection, plain or inside TLS."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._in_head = False
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._in_head:
            self._wait_for_head(len(data))

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_timer()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """As uvicorn's, but for where it stops reading."""
        cycle: Any = self.cycle
        if (self.parser.should_upgrade() and self._should_upgrade()) or cycle.response_complete:
            return
        if type(cycle.body) is not _Pieces:  # at the beginning, and when what had come was taken
            cycle.body = _Pieces()
        cycle.body.add(body)
        if cycle.body.size > HIGH_WATER:
            self.flow.pause_reading()
        cycle.message_event.set()

    def shutdown(self) -> None:
        """The server ends."""
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self.scheme == "https":
            self.transport.abort()  # an idle client would not answer a polite end of TLS
        else:
            super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def _wait_for_head(self, received: int) -> None:
        """The head came in parts: an ordinary client's rarely does."""
        self._head_bytes += received
        if self.transport.is_closing():
            return
        if self._head_bytes > HEAD_BYTES:
            self._refuse(b"431 Request Header Fields Too Large")
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._refuse, b"408 Request Timeout")

    def _refuse(self, status: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(b"HTTP/1.1 " + status + b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
