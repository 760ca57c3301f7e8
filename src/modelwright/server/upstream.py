"""How a tunnel reaches a host that is not AWS's: directly, or by the proxy that this machine uses anyway."""

from __future__ import annotations

import asyncio
import base64
import ssl
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import unquote, urlsplit

CONNECT_SECONDS = 30.0
_ANSWER_BYTES = 16 * 1024

_Protocol = TypeVar("_Protocol", bound=asyncio.Protocol)


class Unreachable(Exception):
    """The host, or the proxy before it, can't be reached; the text says which and why."""


@dataclass(frozen=True)
class Upstream:
    """The way out. `proxy` is empty for "directly"; `no_proxy` is that variable's value."""

    proxy: str = ""
    no_proxy: str = ""

    @classmethod
    def of(cls, environ: Mapping[str, str], own: str = "") -> Upstream:
        """What an environment says. Lower case wins, as in curl and requests.

        `own` is the URL of the server itself: in an environment made for its clients it is no way out.
        """

        def read(*names: str) -> str:
            return next((environ[name] for name in names if environ.get(name)), "")

        proxy = read("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY")
        return cls(proxy="" if proxy.rstrip("/") == own else proxy, no_proxy=read("no_proxy", "NO_PROXY"))

    def proxy_for(self, host: str) -> str:
        """The proxy's URL for a host; empty: connect directly."""
        bypass = urllib.request.proxy_bypass_environment  # type: ignore[attr-defined]  # public, not in typeshed
        if not self.proxy or (self.no_proxy and bypass(host, {"no": self.no_proxy})):
            return ""
        return self.proxy if "://" in self.proxy else f"http://{self.proxy}"

    async def connect(
        self, host: str, port: int, protocol: Callable[[], _Protocol]
    ) -> tuple[asyncio.Transport, _Protocol]:
        """Open a connection to the host on which `protocol` receives. Raises Unreachable."""
        proxy = self.proxy_for(host)
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                if not proxy:
                    return await asyncio.get_running_loop().create_connection(protocol, host, port)
                return await self._through(proxy, host, port, protocol)
        except TimeoutError as error:
            raise Unreachable(f"{host}:{port} does not answer within {CONNECT_SECONDS:.0f} s.") from error
        except (OSError, ssl.SSLError) as error:
            where = f"the proxy {_shown(proxy)}" if proxy else f"{host}:{port}"
            raise Unreachable(f"{where} can't be reached: {error}") from error

    async def _through(
        self, proxy: str, host: str, port: int, protocol: Callable[[], _Protocol]
    ) -> tuple[asyncio.Transport, _Protocol]:
        parts = urlsplit(proxy)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Unreachable(f"the proxy {_shown(proxy)} is of a kind that Modelwright does not speak (http, https).")
        loop = asyncio.get_running_loop()
        transport, asked = await loop.create_connection(
            _Asking,
            parts.hostname,
            parts.port or (443 if parts.scheme == "https" else 8080),
            ssl=ssl.create_default_context() if parts.scheme == "https" else None,
        )
        try:
            target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            request = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"
            if parts.username is not None:
                user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
                request += f"Proxy-Authorization: Basic {base64.b64encode(user.encode()).decode()}\r\n"
            transport.write(request.encode() + b"\r\n")
            head, rest = await asked.answer
            status = head.split(b"\r\n", 1)[0].decode("latin-1")
            if status.split(" ")[1:2] != ["200"]:
                raise Unreachable(f"the proxy {_shown(proxy)} refused {target}: {status}")
        except BaseException:
            transport.abort()
            raise
        final = protocol()
        transport.set_protocol(final)
        final.connection_made(transport)
        if rest:
            final.data_received(rest)
        return transport, final


class _Asking(asyncio.Protocol):
    """Waits for the proxy's answer: its head, and what came right after it."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[tuple[bytes, bytes]] = asyncio.get_running_loop().create_future()
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if self.answer.done():
            return
        if end:
            self.answer.set_result((head, rest))
        elif len(self._buffer) > _ANSWER_BYTES:
            self._fail("its answer is no HTTP")

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail("it closed the connection")

    def _fail(self, reason: str) -> None:
        if not self.answer.done():
            self.answer.set_exception(ConnectionError(reason))


def _shown(proxy: str) -> str:
    """A proxy's address without the password that its URL may carry."""
    parts = urlsplit(proxy)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
