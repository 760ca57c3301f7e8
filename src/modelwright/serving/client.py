"""HTTP to instances: POST a body, take the answer whole or as it comes. As little as that needs, because every
invocation passes here.

Connections are kept for a short while and used again. A request is written once: whether the instance saw it can't be
known when its connection breaks, so nothing is ever sent twice. `Unreachable` alone means that nothing was sent.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Callable, Mapping
from typing import cast

import httptools

from modelwright.lifecycles.endpoint_routes import Hop

Bytes = bytes | bytearray
"""A long answer is read into a bytearray, and nobody changes it after: making bytes of it would only copy it."""

KEEP_ALIVE = 1.5
"""Seconds that an unused connection is kept: less than model servers do (gunicorn: 2), or they close it under us."""
LARGEST_ANSWER = 25 << 20
HIGH_WATER = 256 << 10
"""Bytes of a streamed answer that may wait for the client before the instance has to."""
_TICK = 0.002
"""Timers may be so early."""
_READ = 64 << 10
"""Bytes read at a time, unless the rest of a longer answer is read where it is to lie."""
_UNPRINTABLE = re.compile("[\x00-\x08\x0a-\x1f\x7f]")


class Unreachable(Exception):
    """The instance does not take connections; nothing was sent."""


class Broken(Exception):
    """The instance took the request and gave no proper answer. `container` is who."""

    def __init__(self, text: str, container: str = "primary") -> None:
        super().__init__(text)
        self.container = container


class Headers(dict[str, str]):
    """By names in lower case."""


class Client:
    """Connections to containers. Belongs to one event loop."""

    def __init__(self, socket_into: Callable[[str], socket.socket]) -> None:
        """`socket_into(container)` makes a socket in its own network; it may block, and raise OSError."""
        self._idle: dict[Hop, list[_Connection]] = {}
        self._read_into = memoryview(bytearray(_READ))
        self._socket_into = socket_into

    async def post(self, hop: Hop, path: str, headers: Mapping[str, str], body: Bytes, deadline: float) -> Exchange:
        """The exchange, when its answer's head has come and, unless `stream`, its body.

        Raises Unreachable, Broken, TimeoutError.
        """
        return await self._begin(hop, path, headers, body, deadline, stream=False)

    async def stream(self, hop: Hop, path: str, headers: Mapping[str, str], body: Bytes, deadline: float) -> Exchange:
        """The same, as soon as the answer's head has come. The exchange must be read to its end or closed."""
        return await self._begin(hop, path, headers, body, deadline, stream=True)

    async def _begin(
        self, hop: Hop, path: str, headers: Mapping[str, str], body: Bytes, deadline: float, *, stream: bool
    ) -> Exchange:
        connection = self._kept(hop) or await self._connect(hop, deadline)
        exchange = Exchange(connection, deadline, stream)
        connection.send(exchange, _head(hop.port, path, headers, len(body)), body)
        try:
            await exchange.ready
        except BaseException:
            connection.close()
            raise
        return exchange

    def _kept(self, hop: Hop) -> _Connection | None:
        """A connection that is open, and not about to be closed."""
        idle = self._idle.get(hop)
        while idle:
            connection = idle.pop()
            if not connection.closing:
                return connection
        return None

    async def _connect(self, hop: Hop, deadline: float) -> _Connection:
        loop = asyncio.get_running_loop()

        def made() -> _Connection:
            return _Connection(hop, self._keep, self._read_into)

        try:
            async with asyncio.timeout_at(deadline):
                if hop.network:
                    _, connection = await loop.create_connection(made, sock=await self._inside(hop))
                else:
                    _, connection = await loop.create_connection(made, "127.0.0.1", hop.port)
        except TimeoutError:
            raise
        except OSError as error:
            raise Unreachable(str(error)) from error
        return connection

    async def _inside(self, hop: Hop) -> socket.socket:
        """A connected socket of a container's own network."""
        loop = asyncio.get_running_loop()
        made = await loop.run_in_executor(None, self._socket_into, hop.network)
        made.setblocking(False)
        try:
            await loop.sock_connect(made, ("127.0.0.1", hop.port))
        except BaseException:
            made.close()
            raise
        return made

    def _keep(self, connection: _Connection) -> None:
        idle = self._idle.setdefault(connection.hop, [])
        if connection.closed:
            if connection in idle:
                idle.remove(connection)
            if not idle:
                del self._idle[connection.hop]
        else:
            idle.append(connection)

    def close(self) -> None:
        for connection in [one for idle in self._idle.values() for one in idle]:
            connection.close()


class Exchange:
    """One request and its answer. Read `pieces` of a streamed one by `piece`."""

    def __init__(self, connection: _Connection, deadline: float, stream: bool) -> None:
        self.status = 0
        self.headers = Headers()
        self.stream = stream
        self.ready: asyncio.Future[None] = connection.loop.create_future()
        self._connection = connection
        self._pieces: list[Bytes] = []
        self._size = 0
        self._ended = False
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self.deadline = deadline

    @property
    def body(self) -> Bytes:
        """All of it, where it was not streamed. Nobody changes it."""
        return self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)

    async def piece(self) -> bytes:
        """What has come since the last call; empty at the end. Raises Broken, TimeoutError."""
        while not self._pieces and not self._ended:
            if self._failure is not None:
                raise self._failure
            self._waiter = self._connection.loop.create_future()
            await self._waiter
        pieces, self._pieces, self._size = self._pieces, [], 0
        self._connection.resume()
        return b"".join(pieces)

    async def rest(self) -> None:
        """Wait for the whole of an answer that was to be streamed. Raises Broken, TimeoutError."""
        self.stream = False
        while not self._ended:
            if self._failure is not None:
                raise self._failure
            self._connection.resume()
            self._waiter = self._connection.loop.create_future()
            await self._waiter

    def close(self) -> None:
        """Nobody reads on."""
        if not self._ended:
            self._connection.close()

    # The connection's side

    def begun(self) -> None:
        if self.stream:
            self._wake(self.ready)

    def add(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        if self.stream:
            if self._size > HIGH_WATER:
                self._connection.pause()
            self._wake(self._waiter)
        elif self._size > LARGEST_ANSWER:
            self.fail(Broken(f"its answer is longer than {LARGEST_ANSWER} bytes"))
            self._connection.close()

    def room(self, length: int) -> memoryview:
        """Where the rest of a body of so many bytes is to be written, before `end`."""
        body = bytearray(length)
        body[: self._size] = self.body
        room = memoryview(body)[self._size :]
        self._pieces, self._size = [body], length
        return room

    def end(self) -> None:
        self._ended = True
        self._wake(self.ready)
        self._wake(self._waiter)

    def fail(self, error: Exception) -> None:
        if self._ended or self._failure is not None:
            return
        self._failure = error
        if not self.ready.done():
            self.ready.set_exception(error)
        self._wake(self._waiter)

    def expire(self) -> None:
        self.fail(TimeoutError())
        self._connection.close()

    @staticmethod
    def _wake(future: asyncio.Future[None] | None) -> None:
        if future is not None and not future.done():
            future.set_result(None)


class _Connection(asyncio.BufferedProtocol):
    """A connection to an instance: one exchange at a time. Its methods below the line are llhttp's callbacks."""

    def __init__(self, hop: Hop, keep: Callable[[_Connection], None], read_into: memoryview) -> None:
        """`read_into` may be shared: what is read is taken out of it at once."""
        self.hop = hop
        self.loop = asyncio.get_running_loop()
        self.closed = False
        self._keep = keep
        self._exchange: Exchange | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._due = 0.0
        """When the timer looks: never later than something has to be done."""
        self._until = 0.0
        """How long it is kept unused."""
        self._paused = False
        self._read_into = read_into
        self._length = 0
        """Of a long answer whose head has come: it is read where it is to lie."""
        self._room: memoryview | None = None
        """For what is missing of it."""
        self._complete = False
        self._keepable = False
        self._headers_done = False
        self._transport: asyncio.Transport
        self._parser = httptools.HttpResponseParser(self)

    @property
    def closing(self) -> bool:
        return self.closed or self._transport.is_closing()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def send(self, exchange: Exchange, head: bytes, body: Bytes) -> None:
        self._exchange = exchange
        self._complete = self._headers_done = False
        self._length = 0
        if self.closing:
            exchange.fail(Broken("the connection was closed"))
            return
        self._look_at(exchange.deadline)
        self._transport.writelines((head, body))

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._room or self._read_into

    def buffer_updated(self, nbytes: int) -> None:
        if self._room is None:
            self._take(self._read_into[:nbytes])
        else:
            self._room = self._room[nbytes:]
            if not self._room:
                self._room = None
                self._finish()

    def _take(self, data: memoryview) -> None:
        if self._exchange is None:  # nobody asked
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(Broken(f"that is no HTTP: {error}"))
            self.close()
        except httptools.HttpParserUpgrade:
            self._fail(Broken("it wants to speak another protocol"))
            self.close()
        else:
            if self._complete:
                self._finish()
            elif self._length:
                self._room, self._length = self._exchange.room(self._length), 0

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._timer is not None:
            self._timer.cancel()
        exchange = self._exchange
        if exchange is None:
            self._keep(self)
            return
        self._exchange = None
        until_its_end = not ({"content-length", "transfer-encoding"} & exchange.headers.keys())
        if exc is None and self._headers_done and until_its_end:
            exchange.end()
        else:
            exchange.fail(Broken(str(exc or "") or "the connection was closed before the answer was complete"))

    def close(self) -> None:
        if not self._transport.is_closing():
            self._transport.abort()

    def pause(self) -> None:
        if not self._paused and not self._transport.is_closing():
            self._paused = True
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._paused and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    def _finish(self) -> None:
        exchange, self._exchange = self._exchange, None
        assert exchange is not None
        if self._keepable and not self._transport.is_closing():
            self.resume()
            self._parser = httptools.HttpResponseParser(self)
            self._until = self.loop.time() + KEEP_ALIVE
            self._look_at(self._until)
            self._keep(self)
        else:
            self.close()
        exchange.end()

    # One timer for the answer's deadline and for the end of an unused connection. It stays as it is from request to
    # request and looks, when it comes, what is due: to make two and cancel them for each request would cost more.

    def _look_at(self, when: float) -> None:
        if self._timer is not None:
            if self._due <= when:
                return
            self._timer.cancel()
        self._due = when
        self._timer = self.loop.call_at(when, self._look)

    def _look(self) -> None:
        self._timer = None
        exchange = self._exchange
        due = self._until if exchange is None else exchange.deadline
        if due - self.loop.time() > _TICK:
            self._look_at(due)
        elif exchange is None:
            self.close()
        else:
            exchange.expire()

    def _fail(self, error: Exception) -> None:
        if self._exchange is not None:
            self._exchange.fail(error)

    # ---

    def on_header(self, name: bytes, value: bytes) -> None:
        assert self._exchange is not None
        headers, key, text = self._exchange.headers, name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]},{text}" if key in headers else text

    def on_headers_complete(self) -> None:
        exchange = self._exchange
        assert exchange is not None
        exchange.status = self._parser.get_status_code()
        if exchange.status < 200:  # only says that the answer is to come
            exchange.headers.clear()
        else:
            self._headers_done = True
            self._keepable = bool(self._parser.should_keep_alive())
            length = exchange.headers.get("content-length", "")
            if not exchange.stream and length.isdecimal() and _READ < int(length) <= LARGEST_ANSWER:
                self._length = int(length)
            exchange.begun()

    def on_body(self, data: bytes) -> None:
        if self._exchange is not None:
            self._exchange.add(data)

    def on_message_complete(self) -> None:
        if self._headers_done:
            self._complete = True


def _head(port: int, path: str, headers: Mapping[str, str], length: int) -> bytes:
    lines = "".join(f"{name}: {_header_text(value)}\r\n" for name, value in headers.items())
    accept = "" if "Accept" in headers else "Accept: */*\r\n"
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{lines}{accept}Content-Length: {length}\r\n\r\n"
    ).encode("latin-1", "replace")


def _header_text(text: str) -> str:
    """Nothing in a value can end its line."""
    return text if text.isprintable() else _UNPRINTABLE.sub(" ", text)
