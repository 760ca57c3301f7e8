"""The front of the port: plain HTTP, or `CONNECT host:port` by clients that use us as their HTTPS proxy.

AWS's names end here: they get TLS with our authority's certificate, and then the same ASGI application. Nothing meant
for AWS may ever leave this machine. Every other host is tunnelled untouched. Proxying is for this machine's own
clients: it works only where the server listens on a loopback address.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from uvicorn.server import ServerState

from modelwright.server.authority import Authority, is_aws
from modelwright.server.upstream import Unreachable, Upstream

_METHOD = b"CONNECT "
_HEAD_BYTES = 8 * 1024
_HEAD_SECONDS = 60.0
_HANDSHAKE_SECONDS = 30.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Proxy:
    """What CONNECT needs. `local` is whether the server listens on a loopback address."""

    authority: Authority
    upstream: Upstream
    local: bool


class Front(asyncio.Protocol):
    """Looks at a connection's first bytes and hands it to whom it belongs: HTTP, TLS with HTTP inside, or a tunnel."""

    def __init__(self, http: Callable[[], asyncio.Protocol], proxy: Proxy, state: ServerState) -> None:
        self._http = http
        self._proxy = proxy
        # uvicorn asks every connection in this set to `shutdown()`, and waits until the set is empty.
        self._connections = cast("set[Any]", state.connections)
        self._tasks = state.tasks
        self._transport: asyncio.Transport
        self._buffer = b""
        self._connecting = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)
        self._timer = asyncio.get_running_loop().call_later(_HEAD_SECONDS, self._transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave()

    def shutdown(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._connecting:
            return
        start = self._buffer[: len(_METHOD)]
        if start != _METHOD[: len(start)]:
            self._hand_over(self._transport, self._http())
        elif b"\r\n\r\n" in self._buffer:
            self._connect()
        elif len(self._buffer) > _HEAD_BYTES:
            self._refuse("431 Request Header Fields Too Large", "The CONNECT request's head is too long.")

    def _hand_over(self, transport: asyncio.Transport, protocol: asyncio.Protocol) -> None:
        self._leave()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if self._buffer:
            protocol.data_received(self._buffer)

    def _leave(self) -> None:
        self._connections.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _connect(self) -> None:
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        try:
            host, port = _target(head)
        except ValueError:
            self._refuse("400 Bad Request", "CONNECT wants host:port.")
            return
        if not self._proxy.local:
            self._refuse("403 Forbidden", "Modelwright is a proxy only where it listens on a loopback address.")
        elif is_aws(host) and (port != 443 or self._buffer):
            self._refuse("403 Forbidden", f"{host} is answered by Modelwright itself, by TLS on port 443 only.")
        else:
            self._connecting = True
            task = asyncio.get_running_loop().create_task(
                self._answer(host) if is_aws(host) else self._tunnel(host, port)
            )
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _answer(self, host: str) -> None:
        """Speak TLS as that host, then HTTP."""
        try:
            context = self._proxy.authority.context(host)
        except ValueError as error:
            self._refuse("400 Bad Request", str(error))
            return
        self._transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        try:
            secured = await asyncio.get_running_loop().start_tls(
                self._transport, self, context, server_side=True, ssl_handshake_timeout=_HANDSHAKE_SECONDS
            )
        except (OSError, asyncio.CancelledError) as error:  # ssl.SSLError is an OSError
            # Most often a client that was not told of the authority: say so where its owner may look.
            _log.warning(
                "TLS handshake as %s failed: %s. Does the client trust the bundle of `modelwright env`?", host, error
            )
            self._transport.abort()
            self._leave()
            return
        if secured is None or secured.is_closing():
            self._leave()
            return
        self._hand_over(secured, self._http())

    async def _tunnel(self, host: str, port: int) -> None:
        near = _Pipe(self._connections)
        try:
            _, far = await self._proxy.upstream.connect(host, port, lambda: _Pipe(self._connections))
        except Unreachable as error:
            self._refuse("502 Bad Gateway", f"Modelwright can't tunnel to {host}:{port}: {error}")
            return
        near.peer, far.peer = far, near
        self._transport.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self._hand_over(self._transport, near)
        far.flush()
        if self._transport.is_closing() or far.closed:
            near.shutdown()
            far.shutdown()

    def _refuse(self, status: str, text: str) -> None:
        body = text.encode() + b"\n"
        self._transport.write(
            f"HTTP/1.1 {status}\r\ncontent-type: text/plain; charset=utf-8\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n".encode()
            + body
        )
        self._transport.close()
        self._leave()


def _target(head: bytes) -> tuple[str, int]:
    """Host and port of a CONNECT request. Raises ValueError."""
    _, authority, version = head.split(b"\r\n", 1)[0].decode("ascii").split(" ")
    host, _, port = authority.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    if not host or not version.startswith("HTTP/1.") or not 0 < int(port) < 65536:
        raise ValueError(authority)
    return host, int(port)


class _Pipe(asyncio.Protocol):
    """One end of a tunnel: what arrives here leaves at the peer, no faster than the peer takes it."""

    def __init__(self, connections: set[Any]) -> None:
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._early: list[bytes] = []
        self._ended = False
        self.peer: _Pipe | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)
        # Neither side's silence is our business, a side that is gone is.
        sock = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    def data_received(self, data: bytes) -> None:
        if self.peer is None or self.peer._transport is None:
            self._early.append(data)  # the far host spoke before the near side was told that it is connected
        else:
            self.peer._transport.write(data)

    def flush(self) -> None:
        """Pass on what came before there was a peer."""
        early, self._early = self._early, []
        for data in early:
            self.data_received(data)

    def eof_received(self) -> bool:
        self._ended = True
        if self.peer is None or self.peer._ended:
            return False
        if self.peer._transport is not None and self.peer._transport.can_write_eof():
            self.peer._transport.write_eof()
        return True  # the other direction goes on

    @property
    def closed(self) -> bool:
        return self._transport is None or self._transport.is_closing()

    def pause_writing(self) -> None:
        if self.peer is not None and self.peer._transport is not None and not self.peer.closed:
            self.peer._transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer is not None and self.peer._transport is not None and not self.peer.closed:
            self.peer._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self)
        if self.peer is not None:
            self.peer.shutdown()

    def shutdown(self) -> None:
        if self._transport is not None:
            self._transport.close()
