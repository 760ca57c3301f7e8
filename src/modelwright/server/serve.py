"""One process that serves one home folder: the lock, the port, the event loop, the signals.

The order is the rule. The home is locked before anything in it is opened, the port is bound before the platform is
made (jobs must be told the address), and `server.json` says where we are only once we answer. How others find the
server is `running`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import json
import os
import signal
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from email.utils import formatdate
from typing import Any, Protocol

import uvicorn
import uvloop
from uvicorn.config import Config

from modelwright.config import Settings
from modelwright.errors import ConfigurationError
from modelwright.server.connect import Front, Proxy
from modelwright.server.connection import HttpConnection
from modelwright.server.keys import write_private
from modelwright.server.running import Running, locked

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

THREADS = 32
KEEP_ALIVE_SECONDS = 75
GRACE_SECONDS = 10
BACKLOG = 1024
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h


class Platform(Protocol):
    """What is served. Made after the port is bound, started before the first request is taken."""

    @property
    def application(self) -> Application:
        """The ASGI application."""
        ...

    @property
    def proxy(self) -> Proxy:
        """What CONNECT needs."""
        ...

    def start(self) -> None:
        """Called once, in a thread, before the first request."""
        ...

    def wind_down(self) -> None:
        """Called once, on the event loop, when the server is to end: answers that would go on for ever end now."""
        ...

    def stop(self) -> None:
        """Called once, in a thread, after the last request. Also when `start` failed."""
        ...


def serve(
    settings: Settings, create: Callable[[Running], Platform], ready: Callable[[Running], None] = lambda _: None
) -> None:
    """Serve until SIGTERM or SIGINT. `ready` is called when it answers.

    Raises ConfigurationError when the home can't be written or is served already, or when the port can't be had.
    """
    _tune_heap()
    with locked(settings), _bound(settings) as listener:
        running = _describe(settings, listener)
        platform = create(running)
        server = _Server(platform, listener, running, settings, ready)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(server.serve())


def _tune_heap() -> None:
    """Have glibc's threads share one heap: a heap each keeps tens of megabytes of freed buffers, and the interpreter's
    lock leaves them little to fight over. And have it keep what bodies were in: to give that back after each request,
    and have the kernel clear it again for the next, can cost as much as all the rest of a large invocation."""
    with contextlib.suppress(OSError, AttributeError):  # another C library
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_ARENA_MAX, 1)
        mallopt(_M_TRIM_THRESHOLD, 64 << 20)
        mallopt(_M_MMAP_THRESHOLD, 4 << 20)


@contextlib.contextmanager
def _bound(settings: Settings) -> Iterator[socket.socket]:
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind)
    except OSError as error:
        raise ConfigurationError(_no_port(settings, error)) from error
    with contextlib.closing(listener):
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except OSError as error:
            raise ConfigurationError(_no_port(settings, error)) from error
        yield listener


def _no_port(settings: Settings, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {settings.port} is taken. Choose another with --port N (0: a free one) or MODELWRIGHT_PORT."
    if error.errno == errno.EACCES:
        return f"Port {settings.port} is not for ordinary users. Choose one above 1023 with --port N."
    return f"Can't listen on {settings.host}, port {settings.port}: {error.strerror or error}."


def _describe(settings: Settings, listener: socket.socket) -> Running:
    host, port = listener.getsockname()[:2]
    anywhere = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104  # read, not bound
    reached = anywhere.get(host, host)
    url = f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"
    return Running(pid=os.getpid(), host=host, port=port, url=url)


class _Server(uvicorn.Server):
    """uvicorn, with our front before its connections, our start and end, and no polling."""

    def __init__(
        self,
        platform: Platform,
        listener: socket.socket,
        running: Running,
        settings: Settings,
        ready: Callable[[Running], None],
    ) -> None:
        super().__init__(
            Config(
                platform.application,
                interface="asgi3",
                log_config=None,
                access_log=False,
                lifespan="off",
                ws="none",
                server_header=False,
                proxy_headers=False,  # what a client says of its address proves nothing
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=GRACE_SECONDS,
            )
        )
        self._platform = platform
        self._listener = listener
        self._running = running
        self._settings = settings
        self._ready = ready
        self._exit = asyncio.Event()

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(THREADS, thread_name_prefix="request"))
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        with self._signals(loop):
            try:
                await asyncio.to_thread(self._platform.start)
                await self.startup()
                write_private(self._settings.server_file, json.dumps(asdict(self._running)).encode() + b"\n")
                self._ready(self._running)
                await self.main_loop()
            finally:
                self._settings.server_file.unlink(missing_ok=True)
                self._platform.wind_down()
                if self.started:
                    await self.shutdown()
                await asyncio.to_thread(self._platform.stop)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._set_date()
        self.servers = [await asyncio.get_running_loop().create_server(self._front, sock=self._listener)]
        self.started = True

    def _front(self) -> asyncio.Protocol:
        return Front(self._http, self._platform.proxy, self.server_state)

    def _http(self) -> asyncio.Protocol:
        return HttpConnection(config=self.config, server_state=self.server_state, app_state={})

    async def main_loop(self) -> None:
        while not self.should_exit:
            self._set_date()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._exit.wait(), timeout=1)

    def _set_date(self) -> None:
        self.server_state.default_headers = [(b"date", formatdate(usegmt=True).encode())]

    @contextlib.contextmanager
    def _signals(self, loop: asyncio.AbstractEventLoop) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._interrupt)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def _interrupt(self) -> None:
        """The first signal ends gracefully, the second at once."""
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True
        self._exit.set()
