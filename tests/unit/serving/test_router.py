"""The router against real sockets: whom it asks, what it does when that one is gone, slow or says nonsense."""

import asyncio
from collections import Counter
from contextlib import asynccontextmanager

import pytest

from modelwright.lifecycles.endpoint_routes import Hop, Replica, Routes, VariantRoutes
from modelwright.serving import client
from modelwright.serving.client import _head
from modelwright.serving.router import Broken, NoEndpoint, NoReplica, NoVariant, Router


@asynccontextmanager
async def replica(name, answer=None):
    """A server that answers with its name, after as many seconds as the body says."""

    async def serve(reader, writer):
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = int(head.lower().split(b"content-length:")[1].split()[0])
                body = await reader.readexactly(length)
                await asyncio.sleep(float(body or 0))
                said = name.encode()
                writer.write(answer or b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(said), said))
                if answer is not None:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Replica(name, (Hop("primary", server.sockets[0].getsockname()[1]),))
    finally:
        server.close()


def routes(*variants, stream="s"):
    made = tuple(VariantRoutes(name, weight, tuple(replicas)) for name, weight, *replicas in variants)
    return Routes(stream, "e", "arn", "InService", made)


def drive(scenario, **options):
    async def act():
        router = Router(**options)
        try:
            await asyncio.wait_for(scenario(router), 30)
        finally:
            await router.aclose()

    asyncio.run(act())


async def ask(router, body=b"", variant=None):
    return (await router.invoke("e", variant, {}, body)).body.decode()


def test_the_least_loaded_is_asked():
    async def scenario(router):
        async with replica("a") as a, replica("b") as b:
            router.publish(routes(("v", 1, a, b)))
            found = await asyncio.gather(*(ask(router, b"0.2") for _ in range(6)))
            assert Counter(found) == {"a": 3, "b": 3}

    drive(scenario)


def test_variants_by_weight():
    async def scenario(router):
        async with replica("a") as a, replica("b") as b, replica("c") as c:
            router.publish(routes(("v", 3, a), ("w", 1, b), ("never", 0, c)))
            found = Counter([await ask(router) for _ in range(300)])
            assert 180 < found["a"] < 270
            assert found["c"] == 0
            assert await ask(router, variant="never") == "c"
            with pytest.raises(NoVariant, match="v, w, never"):
                await ask(router, variant="x")

    drive(scenario)


def test_one_that_refuses_the_connection_is_passed_over():
    async def scenario(router):
        async with replica("gone") as gone:
            pass
        async with replica("b") as b:
            router.publish(routes(("v", 1, gone, b)))
            assert {await ask(router) for _ in range(20)} == {"b"}
        router.publish(routes(("v", 1, gone)))
        with pytest.raises(NoReplica):
            await ask(router)

    drive(scenario)


def test_no_endpoint():
    async def scenario(router):
        with pytest.raises(NoEndpoint):
            await ask(router)
        async with replica("a") as a:
            router.publish(routes(("v", 1, a)))
            router.withdraw(routes(stream="an earlier one of this name"))
            assert await ask(router) == "a"
            router.withdraw(routes())
            with pytest.raises(NoEndpoint):
                await ask(router)

    drive(scenario)


def test_a_slow_one_times_out_and_is_free_again():
    async def scenario(router):
        async with replica("a") as a:
            router.publish(routes(("v", 1, a)))
            with pytest.raises(TimeoutError):
                await ask(router, b"5")
            assert router.when_idle("a", lambda: None)
            assert await ask(router) == "a"

    drive(scenario, timeout=0.3)


@pytest.mark.parametrize("answer", [b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"])
def test_an_answer_that_is_none(answer):
    async def scenario(router):
        async with replica("a", answer) as a:
            router.publish(routes(("v", 1, a)))
            with pytest.raises(Broken):
                await ask(router)
            assert router.when_idle("a", lambda: None)

    drive(scenario)


def test_it_tells_when_the_last_request_is_answered():
    async def scenario(router):
        async with replica("a") as a:
            router.publish(routes(("v", 1, a)))
            idle = asyncio.Event()
            asked = asyncio.create_task(ask(router, b"0.3"))
            await asyncio.sleep(0)  # it takes its replica in its first step
            assert not router.when_idle("a", idle.set)
            router.publish(routes(("v", 1)))
            assert not idle.is_set()
            assert await asked == "a"
            await asyncio.wait_for(idle.wait(), 5)
            assert router.when_idle("a", idle.set)

    drive(scenario)


def test_a_streamed_answer_counts_until_it_is_closed():
    async def scenario(router):
        async with replica("a") as a:
            router.publish(routes(("v", 1, a)))
            answer = await router.stream("e", None, {}, b"0")
            assert not router.when_idle("a", lambda: None)
            assert b"".join([piece async for piece in answer]) == b"a"
            await answer.aclose()
            await answer.aclose()
            assert router.when_idle("a", lambda: None)

    drive(scenario)


@asynccontextmanager
async def raw(*answers):
    """A server that gives these answers, one a request, on as many connections as are made; None closes."""
    made, waiting = [], list(answers)

    async def serve(reader, writer):
        made.append(writer)
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                answer = waiting.pop(0)
                if answer is None:
                    break
                writer.write(answer)
                if b"HTTP/1.0" in answer:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield Replica("r", (Hop("primary", server.sockets[0].getsockname()[1]),)), made
    finally:
        server.close()


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_a_connection_is_used_again():
    async def scenario(router):
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
        async with raw(OK, OK, chunked, OK) as (one, made):
            router.publish(routes(("v", 1, one)))
            assert [await ask(router) for _ in range(4)] == ["ok"] * 4
            assert len(made) == 1

    drive(scenario)


def test_one_that_is_to_be_closed_is_not():
    async def scenario(router):
        closing = OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
        async with raw(closing, OK) as (one, made):
            router.publish(routes(("v", 1, one)))
            assert [await ask(router) for _ in range(2)] == ["ok"] * 2
            assert len(made) == 2

    drive(scenario)


def test_an_answer_that_ends_with_its_connection():
    async def scenario(router):
        async with raw(b"HTTP/1.0 200 OK\r\n\r\nold manners") as (one, _):
            router.publish(routes(("v", 1, one)))
            assert await ask(router) == "old manners"

    drive(scenario)


def test_one_that_only_says_that_it_will_answer():
    async def scenario(router):
        async with raw(b"HTTP/1.1 100 Continue\r\n\r\n" + OK, OK) as (one, made):
            router.publish(routes(("v", 1, one)))
            assert [await ask(router), await ask(router)] == ["ok", "ok"]
            assert len(made) == 1

    drive(scenario)


@pytest.mark.parametrize("length", [client._READ, client._READ + 1, 1_000_000])
def test_a_long_answer_and_one_after_it(length):
    body = bytes(range(256)) * (length // 256) + b"x" * (length % 256)
    long = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (length, body)

    async def scenario(router):
        async with raw(long, OK, long) as (one, made):
            router.publish(routes(("v", 1, one)))
            found = [(await router.invoke("e", None, {}, b"")).body for _ in range(3)]
            assert found == [body, b"ok", body]
            assert len(made) == 1

    drive(scenario)


def test_a_long_answer_that_breaks_off():
    async def scenario(router):
        async with raw(b"HTTP/1.0 200 OK\r\nContent-Length: 500000\r\n\r\n" + b"x" * 400_000, OK) as (one, _):
            router.publish(routes(("v", 1, one)))
            with pytest.raises(Broken, match="before the answer was complete"):
                await ask(router)
            assert await ask(router) == "ok"

    drive(scenario)


def test_a_length_that_no_body_follows():
    """As of an answer without a body: its Content-Length says nothing about the next one's."""

    async def scenario(router):
        async with raw(b"HTTP/1.1 204 No Content\r\nContent-Length: 500000\r\n\r\n", OK) as (one, _):
            router.publish(routes(("v", 1, one)))
            assert [await ask(router), await ask(router)] == ["", "ok"]

    drive(scenario)


def test_an_answer_longer_than_any_may_be():
    async def scenario(router):
        async with raw(b"HTTP/1.1 200 OK\r\nContent-Length: 30000000\r\n\r\n" + bytes(30_000_000)) as (one, _):
            router.publish(routes(("v", 1, one)))
            with pytest.raises(Broken, match="longer than 26214400 bytes"):
                await ask(router)

    drive(scenario)


def test_what_breaks_is_not_sent_again():
    async def scenario(router):
        async with raw(OK, None, OK) as (one, _):
            router.publish(routes(("v", 1, one)))
            assert await ask(router) == "ok"
            with pytest.raises(Broken, match="before the answer was complete"):
                await ask(router)
            assert await ask(router) == "ok"

    drive(scenario)


def test_no_header_can_bring_another():
    head = _head(8080, "/invocations", {"Content-Type": "x\r\nContent-Length: 99999"}, 0)
    assert [line.split(b":")[0] for line in head.split(b"\r\n")[1:-2]] == [
        b"Host",
        b"Content-Type",
        b"Accept",
        b"Content-Length",
    ]


def test_a_connection_that_is_being_closed_is_not_used_again():
    async def scenario(router):
        async with replica("a") as a:
            router.publish(routes(("v", 1, a)))
            await router.invoke("e", None, {}, b"0")
            (idle,) = router._client._idle.values()
            idle[0].close()  # as its timer would; that it is gone is told a moment later
            answer = await router.invoke("e", None, {}, b"0")
            assert answer.body == b"a"

    drive(scenario)


def test_a_connection_is_closed_when_nobody_used_it_for_a_while(monkeypatch):
    monkeypatch.setattr(client, "KEEP_ALIVE", 0.05)

    async def scenario(router):
        async with replica("a") as a:
            router.publish(routes(("v", 1, a)))
            for _ in range(3):
                await router.invoke("e", None, {}, b"0")
            assert len(router._client._idle) == 1
            while router._client._idle:  # noqa: ASYNC110 - there is no event for it
                await asyncio.sleep(0.01)

    drive(scenario)


def test_one_timer_serves_a_kept_connection_and_a_late_answer():
    async def scenario(router):
        async with replica("a") as a:
            router.publish(routes(("v", 1, a)))
            for _ in range(2):
                await router.invoke("e", None, {}, b"0")
            with pytest.raises(TimeoutError):
                await router.invoke("e", None, {}, b"30")

    drive(scenario, timeout=0.3)
