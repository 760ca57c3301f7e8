"""One server-sent-events connection a page: what wakes it and what it is told.

A page says which event streams it shows (`watch`) and, at most, which job's log it follows (a name that ends in a slash
is that of several: an endpoint's instances). A commit wakes the
connections that watch its stream; they tell the page `changed`, and the page fetches itself again, so that what is
shown is always what the server would say. Log lines are sent as they come; each message's id is the place after it,
so that a connection that breaks goes on where it was. Nothing polls.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from typing import Any, Protocol
from urllib.parse import quote

PAUSE = 0.25
"""Seconds that pass at least between two messages of a connection: many commits make one."""
HEARTBEAT = 20.0
"""Seconds after which a silent connection says that it is still there."""
LOG = "log:"
"""Before the name of a job's event stream: its log has new lines."""
OBJECT = "object/"
"""Before an object's bucket and key (quoted as in a URL): a folder is watched by what its keys begin with."""
RESOURCE = "resource/"
"""Before a resource's kind and name: most have no event stream of their own."""

METRICS = "metrics/endpoint/"
"""Before an endpoint's name and a slash."""

ReadLog = Callable[[str], Awaitable[tuple[list[dict[str, Any]], str]]]
"""The lines after a place, and the place after them."""


class Measured(Protocol):
    """A metric, as far as pages care."""

    @property
    def dimensions(self) -> Sequence[tuple[str, str]]: ...


class Live:
    """Everybody who looks at a page right now."""

    def __init__(self) -> None:
        self._listeners: set[_Listener] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    def wake(self, stream: str) -> None:
        """Something was appended to this stream. From any thread; returns at once."""
        if self._listeners and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._notify, stream)

    def wake_log(self, stream: str) -> None:
        """A job's log has new lines."""
        self.wake(LOG + stream)

    def wake_resource(self, kind: str, name: str) -> None:
        """A resource was inserted, changed or deleted; pages watch `resource/KIND/NAME`."""
        self.wake(f"{RESOURCE}{kind}/{name}")

    def wake_metrics(self, series: Iterable[Measured]) -> None:
        """Metrics have new points; pages watch `metrics/endpoint/NAME/`."""
        for name in {value for one in series for key, value in one.dimensions if key == "EndpointName"}:
            self.wake(f"{METRICS}{name}/")

    def wake_object(self, bucket: str, key: str) -> None:
        """An object was written or deleted; pages watch what `folder_stream` says."""
        if self._listeners:
            self.wake(folder_stream(bucket, key))

    def close(self) -> None:
        """End every connection: the server stops. From the event loop."""
        self._closed = True
        for listener in self._listeners:
            listener.event.set()

    def _notify(self, stream: str) -> None:
        for listener in self._listeners:
            if stream.startswith(listener.watched):
                listener.changed = True
                listener.event.set()
            if listener.log and (
                stream == listener.log or (listener.log.endswith("/") and stream.startswith(listener.log))
            ):
                listener.event.set()

    async def messages(self, watched: Sequence[str], log: str, read: ReadLog | None, place: str) -> AsyncIterator[str]:
        """What one page is told, until it goes away. `place`: how far it has read the log."""
        self._loop = asyncio.get_running_loop()
        listener = _Listener(tuple(watched), LOG + log if read else "")
        self._listeners.add(listener)
        try:
            yield "retry: 1000\n\n"
            # Whatever happened between the page's making and this moment.
            yield _message("changed")
            while not self._closed:
                if read is not None:
                    while True:
                        lines, further = await read(place)
                        if not lines or further == place:
                            break
                        place = further
                        yield _message("log", lines, place)
                if not await listener.woken():
                    yield ": still here\n\n"
                    continue
                if listener.changed:
                    listener.changed = False
                    yield _message("changed")
                await asyncio.sleep(PAUSE)
        finally:
            self._listeners.discard(listener)


def folder_stream(bucket: str, prefix: str) -> str:
    """What a page of a folder watches."""
    return f"{OBJECT}{bucket}/{quote(prefix)}"


class _Listener:
    def __init__(self, watched: tuple[str, ...], log: str) -> None:
        self.watched = watched
        self.log = log
        self.changed = False
        self.event = asyncio.Event()

    async def woken(self) -> bool:
        """False after a while of silence."""
        try:
            await asyncio.wait_for(self.event.wait(), HEARTBEAT)
        except TimeoutError:
            return False
        self.event.clear()
        return True


def _message(kind: str, data: Any = "", identity: str = "") -> str:
    head = f"id: {identity}\n" if identity else ""
    return f"{head}event: {kind}\ndata: {json.dumps(data)}\n\n"
