"""From a request to an endpoint to the instance that answers it: variant by weight, instance by load.

The table is in memory: the engine publishes an endpoint's routes when they change, and a request looks nowhere else.
A request that an instance refused to take (it has just ended) goes to another one; one that was sent is never sent
again. An instance that is taken out of the table is idle when its last request has been answered.
"""

from __future__ import annotations

import asyncio
import io
import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import aiohttp

from modelwright.lifecycles.endpoint import Replica, Routes, VariantRoutes

TIMEOUT = 60.0
"""Seconds for a whole answer, as AWS documents them."""
STREAM_TIMEOUT = 8 * 60.0
"""Of one that streams."""
LARGEST_ANSWER = 25 << 20
KEEP_ALIVE = 1.5
"""Seconds that an unused connection is kept: less than model servers do (gunicorn: 2), or they close it under us."""
LARGE_BODY = 1 << 20
"""Bytes; a longer body is sent in pieces."""


class NoEndpoint(Exception):
    """There is no endpoint of this name in service."""


class NoVariant(Exception):
    """The endpoint has no such variant. `known` are those that it has."""

    def __init__(self, known: tuple[str, ...]) -> None:
        super().__init__(", ".join(known))
        self.known = known


class NoReplica(Exception):
    """No instance takes requests at this moment."""


class Broken(Exception):
    """The instance took the request and gave no proper answer."""


@dataclass(frozen=True)
class Answer:
    """What the container said."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    variant: str


class StreamedAnswer:
    """What the container says, as it comes: an asynchronous iterator of bytes that must be read to its end or closed.

    Raises TimeoutError and Broken on the way.
    """

    def __init__(
        self, response: aiohttp.ClientResponse, variant: str, deadline: float, give_back: Callable[[], None]
    ) -> None:
        self.headers: Mapping[str, str] = response.headers
        self.variant = variant
        self._response = response
        self._deadline = deadline
        self._give_back: Callable[[], None] | None = give_back

    def __aiter__(self) -> StreamedAnswer:
        return self

    async def __anext__(self) -> bytes:
        try:
            async with asyncio.timeout_at(self._deadline):
                piece = await self._response.content.readany()
        except aiohttp.ClientError as error:
            raise Broken(str(error) or type(error).__name__) from error
        if not piece:
            raise StopAsyncIteration
        return piece

    async def aclose(self) -> None:
        """The connection is kept if all was read."""
        if self._give_back is not None:
            give_back, self._give_back = self._give_back, None
            if not self._response.content.at_eof():
                self._response.close()
            else:
                self._response.release()
            give_back()


@dataclass
class _Load:
    """What a replica is doing."""

    requests: int = 0
    waiting: list[Callable[[], None]] = field(default_factory=list)


class Router:
    """Sends requests where the engine said. `publish`, `withdraw` and `when_idle` from any thread."""

    def __init__(self, timeout: float = TIMEOUT) -> None:
        self._timeout = timeout
        self._lock = threading.Lock()
        self._routes: dict[str, Routes] = {}
        self._loads: dict[str, _Load] = {}
        self._session: aiohttp.ClientSession | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._random = random.Random()

    # The engine's side

    def publish(self, routes: Routes) -> None:
        with self._lock:
            self._routes[routes.endpoint] = routes

    def withdraw(self, routes: Routes) -> None:
        with self._lock:
            found = self._routes.get(routes.endpoint)
            if found is not None and found.stream == routes.stream:
                del self._routes[routes.endpoint]

    def when_idle(self, replica: str, then: Callable[[], None]) -> bool:
        with self._lock:
            load = self._loads.get(replica)
            if load is None:
                return True
            load.waiting.append(then)
            return False

    # The requests' side

    async def invoke(self, endpoint: str, variant: str | None, headers: Mapping[str, str], body: bytes) -> Answer:
        """The container's answer, whatever its status.

        Raises NoEndpoint, NoVariant, NoReplica, Broken, TimeoutError.
        """
        deadline = asyncio.get_running_loop().time() + self._timeout
        response, chosen, give_back = await self._send(endpoint, variant, headers, body, deadline)
        try:
            async with asyncio.timeout_at(deadline), response:
                return Answer(response.status, response.headers, await _whole(response), chosen)
        except aiohttp.ClientError as error:
            raise Broken(str(error) or type(error).__name__) from error
        finally:
            give_back()

    async def stream(
        self, endpoint: str, variant: str | None, headers: Mapping[str, str], body: bytes
    ) -> Answer | StreamedAnswer:
        """The same, with an answer that comes in pieces; an Answer where the container said no."""
        deadline = asyncio.get_running_loop().time() + STREAM_TIMEOUT
        response, chosen, give_back = await self._send(endpoint, variant, headers, body, deadline)
        if 200 <= response.status < 300:
            return StreamedAnswer(response, chosen, deadline, give_back)
        try:
            async with asyncio.timeout_at(deadline), response:
                return Answer(response.status, response.headers, await _whole(response), chosen)
        except aiohttp.ClientError as error:
            raise Broken(str(error) or type(error).__name__) from error
        finally:
            give_back()

    async def _send(
        self, endpoint: str, wanted: str | None, headers: Mapping[str, str], body: bytes, deadline: float
    ) -> tuple[aiohttp.ClientResponse, str, Callable[[], None]]:
        """The head of an answer, the variant's name, and what must be called when the answer is over."""
        tried: set[str] = set()
        while True:
            variant, replica = self._take(endpoint, wanted, tried)
            give_back = partial(self._give_back, replica)
            try:
                async with asyncio.timeout_at(deadline):
                    response = await self._client().post(_url(replica), data=_sent(body), headers=headers)
            except aiohttp.ClientConnectorError:
                give_back()
                tried.add(replica.id)
            except aiohttp.ClientError as error:
                give_back()
                raise Broken(str(error) or type(error).__name__) from error
            except BaseException:
                give_back()
                raise
            else:
                return response, variant.name, give_back

    def close(self) -> None:
        """Close the kept connections. Not from the loop's own thread, and while the loop still runs."""
        if self._session is not None and self._loop is not None:
            asyncio.run_coroutine_threadsafe(self.aclose(), self._loop).result(5)

    async def aclose(self) -> None:
        """The same, from the loop."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._loop = asyncio.get_running_loop()
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEP_ALIVE),
                auto_decompress=False,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None),
                skip_auto_headers=("User-Agent", "Accept-Encoding"),
                trust_env=False,
            )
        return self._session

    def _take(self, endpoint: str, wanted: str | None, tried: set[str]) -> tuple[VariantRoutes, Replica]:
        """Choose, and count it as busy before anybody can take it out of service."""
        with self._lock:
            routes = self._routes.get(endpoint)
            if routes is None or not routes.variants:
                raise NoEndpoint
            variant = self._variant(routes, wanted)
            replicas = [replica for replica in variant.replicas if replica.id not in tried]
            if not replicas:
                raise NoReplica
            replica = min(replicas, key=lambda one: (self._requests(one), self._random.random()))
            self._loads.setdefault(replica.id, _Load()).requests += 1
            return variant, replica

    def _requests(self, replica: Replica) -> int:
        load = self._loads.get(replica.id)
        return 0 if load is None else load.requests

    def _variant(self, routes: Routes, wanted: str | None) -> VariantRoutes:
        if wanted is not None:
            for variant in routes.variants:
                if variant.name == wanted:
                    return variant
            raise NoVariant(tuple(variant.name for variant in routes.variants))
        if len(routes.variants) == 1:
            return routes.variants[0]
        weights = [variant.weight for variant in routes.variants]
        return self._random.choices(routes.variants, weights if any(weights) else None)[0]

    def _give_back(self, replica: Replica) -> None:
        with self._lock:
            load = self._loads[replica.id]
            load.requests -= 1
            if load.requests:
                return
            del self._loads[replica.id]
        for then in load.waiting:
            then()


async def _whole(response: aiohttp.ClientResponse) -> bytes:
    content = b""
    while not response.content.at_eof():
        content += await response.content.read(LARGEST_ANSWER + 1 - len(content))
        if len(content) > LARGEST_ANSWER:
            raise Broken(f"its answer is longer than {LARGEST_ANSWER} bytes")
    return content


def _sent(body: bytes) -> bytes | io.BytesIO:
    return body if len(body) < LARGE_BODY else io.BytesIO(body)


def _url(replica: Replica) -> str:
    return f"http://127.0.0.1:{replica.port}/invocations"
