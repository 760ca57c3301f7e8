"""Bytes on their way between the event loop and the disk: the loop gathers, threads hash, write and read."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, BinaryIO, TypeVar

from modelwright.objects import errors
from modelwright.services.s3.parameters import MAXIMUM_SIZE

T = TypeVar("T")
PIECE = 1 << 20
"""Bytes that a thread gets at once."""
SMALL = 1 << 18
"""Up to this size an object is read on the event loop: handing it to a thread would take longer."""


async def take(body: Any, write: Callable[[Sequence[bytes]], None], finish: Callable[[Sequence[bytes]], T]) -> T:
    """Feed a request's body to `write` in a thread, its end to `finish` there, and return what that returns.

    `body`: bytes, or an asynchronous iterator of bytes. Gathering goes on while a thread writes; a small body needs one
    visit to a thread only. Raises EntityTooLarge and what the iterator raises.
    """
    pending: list[bytes] = []
    waiting = size = 0
    writing: asyncio.Future[None] | None = None
    try:
        async for chunk in _chunks(body):
            pending.append(chunk)
            waiting += len(chunk)
            size += len(chunk)
            if size > MAXIMUM_SIZE:
                raise errors.entity_too_large(size, MAXIMUM_SIZE)
            if waiting >= PIECE:
                if writing is not None:
                    await writing
                writing = asyncio.ensure_future(in_thread(write, pending))
                pending, waiting = [], 0
        if writing is not None:
            await writing
            writing = None
        return await in_thread(finish, pending)
    finally:
        if writing is not None:
            await asyncio.gather(writing, return_exceptions=True)


async def in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Run it in a thread and don't come back before it has ended, also when cancelled: it may hold a file."""
    future = asyncio.get_running_loop().run_in_executor(None, functools.partial(function, *arguments))
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        while not future.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([future])
        raise


async def _chunks(body: Any) -> AsyncIterator[bytes]:
    if isinstance(body, bytes | bytearray | memoryview):
        if body:
            yield bytes(body)
        return
    if body is None:
        return
    if isinstance(body, Iterable):
        raise TypeError("a body must be bytes or an asynchronous iterator of bytes")
    async for chunk in body:
        if chunk:
            yield chunk


def length(parameters: dict[str, Any]) -> int | None:
    """The number of bytes that `Body` will have, where that is known."""
    body = parameters.get("Body")
    if body is None:
        return 0
    if isinstance(body, bytes | bytearray | memoryview):
        return len(body)
    known: int | None = parameters.get("ContentLength")
    return known


class FileBody:
    """A stretch of an open file as a response's body. Closes the file at its end, or by `aclose`."""

    def __init__(self, file: BinaryIO, start: int, end: int) -> None:
        self._file = file
        self._position = start
        self._end = end

    def __aiter__(self) -> FileBody:
        return self

    async def __anext__(self) -> bytes:
        size = min(PIECE, self._end - self._position)
        if size <= 0 or self._file.closed:
            self._file.close()
            raise StopAsyncIteration
        data = await in_thread(os.pread, self._file.fileno(), size, self._position)
        if not data:
            self._file.close()
            raise EOFError("an object's file is shorter than the index says")
        self._position += len(data)
        return data

    async def aclose(self) -> None:
        self._file.close()


def file_body(file: BinaryIO, start: int, end: int) -> bytes | FileBody:
    """The stretch itself when it is small, else a stream of it."""
    if end - start > SMALL:
        return FileBody(file, start, end)
    with file:
        return os.pread(file.fileno(), end - start, start)
