"""The way out of containers that have a network of their own: what connects at a gate is carried to this server.

A gate is a listening socket in the container's network, at the server's own port, so that AWS's clients (and, by our
CONNECT proxy, whatever honours HTTPS_PROXY) work in there with the environment that they have everywhere. The bytes
pass in a thread of their own, out of the way of invocations. Between two servers, connections wait at the gate.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from functools import partial

_PIECE = 64 << 10


class Gates:
    """Attends gates. All methods from any thread."""

    def __init__(self, host: str, port: int) -> None:
        """Where the server is reached from here."""
        self._host, self._port = host, port
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._servers: dict[str, asyncio.Server] = {}
        self._closed = False

    def attend(self, container: str, gate: socket.socket) -> None:
        """From now on what comes at the gate is carried. Takes the socket over."""
        with self._lock:
            if self._closed:
                gate.close()
                return
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="gates", daemon=True)
                self._thread.start()
            asyncio.run_coroutine_threadsafe(self._open(container, gate), self._loop).result()

    def leave(self, container: str) -> None:
        """The container has ended."""
        with self._lock:
            if self._loop is not None and not self._closed:
                self._loop.call_soon_threadsafe(self._shut, container)

    def close(self) -> None:
        """Leave them all; the next server attends them again."""
        with self._lock:
            loop, thread, self._closed = self._loop, self._thread, True
        if loop is not None and thread is not None:
            asyncio.run_coroutine_threadsafe(self._end(), loop).result(5)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(5)
            loop.close()

    async def _open(self, container: str, gate: socket.socket) -> None:
        self._shut(container)
        gate.setblocking(False)
        self._servers[container] = await asyncio.start_server(self._carry, sock=gate)

    def _shut(self, container: str) -> None:
        server = self._servers.pop(container, None)
        if server is not None:
            server.close()

    async def _end(self) -> None:
        for container in list(self._servers):
            self._shut(container)
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        close = partial(_close, writer)
        try:
            inward, outward = await asyncio.open_connection(self._host, self._port)
        except OSError:
            await close()
            return
        try:
            await asyncio.gather(_copy(reader, outward), _copy(inward, writer))
        except asyncio.CancelledError:
            pass  # this server ends; asyncio would log it
        finally:
            await _close(outward)
            await close()


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """To its end, which is passed on."""
    with contextlib.suppress(OSError):
        while piece := await source.read(_PIECE):
            target.write(piece)
            await target.drain()
    with contextlib.suppress(OSError):
        target.write_eof()


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
