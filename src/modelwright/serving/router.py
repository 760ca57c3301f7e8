"""From a request to an endpoint to the instance that answers it: variant by weight, instance by load.

The table is in memory: the engine publishes an endpoint's routes when they change, and a request looks nowhere else.
A request that an instance refused to take (it has just ended) goes to another one; one that was sent is never sent
again. An instance that is taken out of the table is idle when its last request has been answered.
"""

from __future__ import annotations

import asyncio
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from modelwright.lifecycles.capture import Capturing
from modelwright.lifecycles.endpoint_routes import Hop, Replica, Routes, VariantRoutes
from modelwright.serving.capture import Capture, Captured
from modelwright.serving.client import Broken, Bytes, Client, Exchange, Unreachable
from modelwright.serving.measures import UNREACHED, Measures

__all__ = [
    "Answer", "Broken", "Late", "NoContainer", "NoEndpoint", "NoReplica", "NoVariant", "Router", "StreamedAnswer",
]  # fmt: skip

TIMEOUT = 60.0
"""Seconds for a whole answer, as AWS documents them."""
STREAM_TIMEOUT = 8 * 60.0
"""Of one that streams."""
PATH = "/invocations"


class NoEndpoint(Exception):
    """There is no endpoint of this name in service."""


class NoVariant(Exception):
    """The endpoint has no such variant. `known` are those that it has."""

    def __init__(self, known: tuple[str, ...]) -> None:
        super().__init__(", ".join(known))
        self.known = known


class NoContainer(Exception):
    """The request names a container that it can't name, or none where it must. The text says it."""


class Late(TimeoutError):
    """A container did not answer in time. `container` is its name."""

    def __init__(self, container: str) -> None:
        super().__init__(container)
        self.container = container


class NoReplica(Exception):
    """No instance takes requests at this moment."""


@dataclass(frozen=True)
class Answer:
    """What the container said."""

    status: int
    headers: Mapping[str, str]
    body: Bytes
    variant: str
    container: str = "primary"
    """Whose answer it is."""


class StreamedAnswer:
    """What the container says, as it comes: an asynchronous iterator of bytes that must be read to its end or closed.

    Raises TimeoutError and Broken on the way.
    """

    def __init__(
        self, exchange: Exchange, variant: str, ended: Callable[[StreamedAnswer], None], *, keep: bool = False
    ) -> None:
        """`ended` is called once, when nobody reads on. `kept` is what was read, where it is to be kept."""
        self.headers: Mapping[str, str] = exchange.headers
        self.variant = variant
        self.broken = False
        self.kept: list[bytes] = []
        self._keep = keep
        self._exchange = exchange
        self._ended: Callable[[StreamedAnswer], None] | None = ended

    def __aiter__(self) -> StreamedAnswer:
        return self

    async def __anext__(self) -> bytes:
        try:
            piece = await self._exchange.piece()
        except (Broken, TimeoutError):
            self.broken = True
            raise
        if not piece:
            raise StopAsyncIteration
        if self._keep:
            self.kept.append(piece)
        return piece

    async def aclose(self) -> None:
        """The connection is kept if all was read."""
        if self._ended is not None:
            ended, self._ended = self._ended, None
            self._exchange.close()
            ended(self)


class _Request(NamedTuple):
    """What is counted and captured of a request."""

    endpoint: str
    headers: Mapping[str, str]
    body: bytes
    inference: str
    began: float


@dataclass
class _Load:
    """What a replica is doing."""

    requests: int = 0
    waiting: list[Callable[[], None]] = field(default_factory=list)


class Router:
    """Sends requests where the engine said. `publish`, `withdraw` and `when_idle` from any thread."""

    def __init__(
        self,
        timeout: float = TIMEOUT,
        measures: Measures | None = None,
        capture: Capture | None = None,
        socket_into: Callable[[str], socket.socket] | None = None,
    ) -> None:
        """`measures` counts the invocations, `capture` takes those of variants that want it; `socket_into(container)`
        makes a socket in the own network of a container that has one."""
        self._timeout = timeout
        self._measures = measures
        self._capture = capture
        self._socket_into = socket_into or _no_networks
        self._lock = threading.Lock()
        self._routes: dict[str, Routes] = {}
        self._loads: dict[str, _Load] = {}
        self._client: Client | None = None
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

    async def invoke(
        self,
        endpoint: str,
        variant: str | None,
        headers: Mapping[str, str],
        body: bytes,
        container: str | None = None,
        *,
        inference: str = "",
        began: float = 0.0,
    ) -> Answer:
        """The container's answer, whatever its status. Headers are told by names in lower case. Of several containers
        each gets the answer of the one before, and who says no has the last word. `inference` is the request's own id,
        `began` the `perf_counter` when it came.

        Raises NoEndpoint, NoVariant, NoContainer, NoReplica, Broken, Late.
        """
        deadline = asyncio.get_running_loop().time() + self._timeout
        tried: set[str] = set()
        request = _Request(endpoint, headers, body, inference, began)
        while True:
            chosen, replica = self._take(endpoint, variant, tried)
            asked = time.perf_counter()
            try:
                way = _way(chosen, replica, container)
                exchange, hop = await self._through(way, headers, body, deadline, stream=False)
            except Unreachable:
                tried.add(replica.id)
            except (Broken, TimeoutError):
                self._count(request, chosen, 0, asked)
                raise
            else:
                self._count(request, chosen, exchange.status, asked)
                if chosen.capture is not None and self._wanted(chosen.capture):
                    self._keep(request, chosen, exchange, exchange.body)
                return Answer(exchange.status, exchange.headers, exchange.body, chosen.name, hop.name)
            finally:
                self._give_back(replica)

    async def stream(
        self,
        endpoint: str,
        variant: str | None,
        headers: Mapping[str, str],
        body: bytes,
        container: str | None = None,
        *,
        inference: str = "",
        began: float = 0.0,
    ) -> Answer | StreamedAnswer:
        """The same, with an answer that comes in pieces; an Answer where the container said no."""
        deadline = asyncio.get_running_loop().time() + STREAM_TIMEOUT
        tried: set[str] = set()
        request = _Request(endpoint, headers, body, inference, began)
        while True:
            chosen, replica = self._take(endpoint, variant, tried)
            asked = time.perf_counter()
            give_back: Callable[[], None] = partial(self._give_back, replica)
            try:
                way = _way(chosen, replica, container)
                exchange, hop = await self._through(way, headers, body, deadline, stream=True)
                if 200 <= exchange.status < 300:
                    wanted = chosen.capture is not None and self._wanted(chosen.capture)
                    give_back = _nothing
                    ended = partial(self._streamed, request, chosen, replica, exchange, asked)
                    return StreamedAnswer(exchange, chosen.name, ended, keep=wanted)
                try:
                    await exchange.rest()
                finally:
                    exchange.close()
                self._count(request, chosen, exchange.status, asked)
                return Answer(exchange.status, exchange.headers, exchange.body, chosen.name, hop.name)
            except Unreachable:
                tried.add(replica.id)
            except (Broken, TimeoutError):
                self._count(request, chosen, 0, asked)
                raise
            finally:
                give_back()

    def _streamed(
        self,
        request: _Request,
        variant: VariantRoutes,
        replica: Replica,
        exchange: Exchange,
        asked: float,
        answer: StreamedAnswer,
    ) -> None:
        """Nobody reads on."""
        self._give_back(replica)
        self._count(request, variant, 0 if answer.broken else exchange.status, asked)
        if answer.kept and not answer.broken:
            self._keep(request, variant, exchange, b"".join(answer.kept))

    def _count(self, request: _Request, variant: VariantRoutes, status: int, asked: float) -> None:
        if self._measures is not None:
            beside = asked - request.began if request.began else 0.0
            seconds = time.perf_counter() - asked
            self._measures.record(request.endpoint, variant.name, len(variant.replicas), status, seconds, beside)

    def _wanted(self, settings: Capturing) -> bool:
        """Whether this invocation is one of the sample."""
        return self._capture is not None and self._capture.wants(settings)

    def _keep(self, request: _Request, variant: VariantRoutes, exchange: Exchange, answer: Bytes) -> None:
        """Capture an invocation, if it went well."""
        settings = variant.capture
        if self._capture is not None and settings is not None and 200 <= exchange.status < 300:
            self._capture.add(
                Captured(
                    request.endpoint, variant.name, settings, request.headers, request.body, exchange.headers, answer,
                    time.time(), request.inference,
                )
            )  # fmt: skip

    async def _through(
        self, way: Sequence[Hop], headers: Mapping[str, str], body: Bytes, deadline: float, *, stream: bool
    ) -> tuple[Exchange, Hop]:
        """Ask one container after the other. Unreachable only where nobody was asked."""
        client = self._instances()
        last = len(way) - 1
        for number, hop in enumerate(way):
            asked = client.stream if stream and number == last else client.post
            told = headers if number == last else {name: headers[name] for name in headers if name != "Accept"}
            try:
                exchange = await asked(hop, PATH, told, body, deadline)
            except Unreachable as error:
                if number == 0:
                    raise
                raise Broken(f"it does not take connections: {error}", hop.name) from error
            except TimeoutError as error:
                raise Late(hop.name) from error
            except Broken as error:
                raise Broken(str(error), hop.name) from error
            if number == last or not 200 <= exchange.status < 300:
                break
            body = exchange.body
            if "content-type" in exchange.headers:
                headers = {**headers, "Content-Type": exchange.headers["content-type"]}
        return exchange, hop

    def close(self) -> None:
        """Close the kept connections. Not from the loop's own thread, and while the loop still runs."""
        if self._client is not None and self._loop is not None:
            asyncio.run_coroutine_threadsafe(self.aclose(), self._loop).result(5)

    async def aclose(self) -> None:
        """The same, from the loop."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _instances(self) -> Client:
        if self._client is None:
            self._loop = asyncio.get_running_loop()
            self._client = Client(self._socket_into)
        return self._client

    def _take(self, endpoint: str, wanted: str | None, tried: set[str]) -> tuple[VariantRoutes, Replica]:
        """Choose, and count it as busy before anybody can take it out of service."""
        with self._lock:
            routes = self._routes.get(endpoint)
            if routes is None or not routes.variants:
                raise NoEndpoint
            variant = self._variant(routes, wanted)
            replicas: Sequence[Replica] = variant.replicas
            if tried:
                replicas = [replica for replica in replicas if replica.id not in tried]
            if not replicas:
                if self._measures is not None:
                    self._measures.record(endpoint, variant.name, 0, UNREACHED, -1.0, 0.0)
                raise NoReplica
            if len(replicas) == 1:
                replica = replicas[0]
            else:
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


def _way(variant: VariantRoutes, replica: Replica, container: str | None) -> Sequence[Hop]:
    """The containers that a request passes."""
    if not variant.direct:
        if container is None:
            return replica.hops
        raise NoContainer("its containers are not invoked directly: leave TargetContainerHostname out")
    known = ", ".join(hop.name for hop in replica.hops)
    if container is None:
        raise NoContainer(f"its containers are invoked directly: name one by TargetContainerHostname, of {known}")
    for hop in replica.hops:
        if hop.name == container:
            return (hop,)
    raise NoContainer(f"there is no container '{container}' in it; it has {known}")


def _no_networks(container: str) -> socket.socket:
    raise OSError(f"the network of {container} can't be reached")


def _nothing() -> None:
    """Somebody else gives it back."""
