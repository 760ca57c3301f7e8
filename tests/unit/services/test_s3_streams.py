"""Bodies between the event loop and threads: order, errors, cancellation, files that are closed."""

import asyncio
import threading

import pytest

from modelwright.services.s3 import streams

MIB = 1 << 20


async def chunks(*parts):
    for part in parts:
        if isinstance(part, Exception):
            raise part
        yield part


def collect(body):
    written, threads = [], set()

    def write(pieces):
        threads.add(threading.get_ident())
        written.extend(pieces)

    def finish(rest):
        write(rest)
        return b"".join(written)

    return asyncio.run(streams.take(body, write, finish)), threads


@pytest.mark.parametrize(
    "parts", [[], [b""], [b"a"], [b"a", b"", b"b"], [b"x" * MIB, b"y" * (MIB + 1), b"z"], [b"q" * 70_000] * 50]
)
def test_all_bytes_in_order_in_other_threads(parts):
    data, threads = collect(chunks(*parts))
    assert data == b"".join(parts)
    assert threading.get_ident() not in threads


@pytest.mark.parametrize("body", [None, b"", b"bytes", bytearray(b"x"), memoryview(b"y")])
def test_bodies_that_are_there_already(body):
    assert collect(body)[0] == bytes(body or b"")


def test_a_body_that_would_block_the_loop_is_a_defect():
    with pytest.raises(TypeError):
        collect(iter([b"x"]))


def test_an_error_of_the_body_waits_for_the_writing_thread():
    entered, leave, done = threading.Event(), threading.Event(), []

    def write(pieces):
        entered.set()
        leave.wait(10)
        done.append(len(pieces))

    async def body():
        yield b"x" * MIB
        await asyncio.to_thread(entered.wait, 10)
        leave.set()
        raise ConnectionError("gone")

    async def use():
        with pytest.raises(ConnectionError):
            await streams.take(body(), write, lambda rest: None)
        return list(done)

    assert asyncio.run(use()) == [1]


def test_an_error_of_the_writer_is_the_callers():
    def write(pieces):
        raise OSError("disk")

    with pytest.raises(OSError, match="disk"):
        asyncio.run(streams.take(chunks(b"x" * MIB, b"x" * MIB, b"x"), write, lambda rest: None))


def test_cancelling_does_not_leave_a_thread_at_work():
    entered, leave, done = threading.Event(), threading.Event(), []

    def finish(rest):
        entered.set()
        leave.wait(10)
        done.append(True)

    async def use():
        task = asyncio.create_task(streams.take(b"x", finish, finish))
        await asyncio.to_thread(entered.wait, 10)
        task.cancel()
        await asyncio.sleep(0)
        assert not task.done()
        leave.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        return list(done)

    assert asyncio.run(use()) == [True]


def test_too_much_is_refused(monkeypatch):
    monkeypatch.setattr(streams, "MAXIMUM_SIZE", 10)
    with pytest.raises(Exception, match="exceeds the maximum"):
        collect(chunks(b"x" * 6, b"x" * 6))


def test_files_as_bodies(tmp_path):
    path = tmp_path / "f"
    data = bytes(range(256)) * 8192
    path.write_bytes(data)

    async def read(body):
        return b"".join([piece async for piece in body])

    file = path.open("rb", buffering=0)
    body = streams.file_body(file, 5, len(data) - 3)
    assert asyncio.run(read(body)) == data[5:-3]
    assert file.closed
    file = path.open("rb", buffering=0)
    assert streams.file_body(file, 1, 4) == data[1:4]
    assert file.closed
    file = path.open("rb", buffering=0)
    asyncio.run(streams.FileBody(file, 0, 10).aclose())
    assert file.closed


def test_the_length_where_it_is_known():
    assert streams.length({}) == 0
    assert streams.length({"Body": b"123"}) == 3
    assert streams.length({"Body": chunks(), "ContentLength": 7}) == 7
    assert streams.length({"Body": chunks()}) is None
