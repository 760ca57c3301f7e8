"""What requests through the router become in CloudWatch."""

import asyncio
import contextlib

import pytest

from modelwright.lifecycles.endpoint_routes import Hop, Replica, Routes, VariantRoutes
from modelwright.serving.measures import Measures
from modelwright.serving.router import Broken, NoReplica, Router, StreamedAnswer


async def server(answer):
    """A container with one answer for all."""

    async def serve(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.lower().split(b"content-length:")[1].split()[0]))
        writer.write(answer)
        writer.close()

    return await asyncio.start_server(serve, "127.0.0.1", 0)


def answered(status, body=b"hi"):
    return b"HTTP/1.1 %d X\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (status, len(body), body)


def measured(scenario, *answers):
    """name -> (sum, count) of all points, after a scenario with a router before one instance for each answer."""
    stirred = []
    measures = Measures(lambda: stirred.append(1))

    async def act():
        router = Router(measures=measures)
        servers = [await server(answer) for answer in answers]
        ports = [each.sockets[0].getsockname()[1] for each in servers]
        replicas = tuple(Replica(f"i-{port}", (Hop("primary", port),)) for port in ports)
        router.publish(Routes("s", "e", "arn", "InService", (VariantRoutes("v", 1, replicas),)))
        try:
            await asyncio.wait_for(scenario(router), 30)
        finally:
            await router.aclose()
            for each in servers:
                each.close()

    asyncio.run(act())
    found = {}
    for series, _, part in measures.points():
        assert series.namespace == "AWS/SageMaker"
        assert series.dimensions == (("EndpointName", "e"), ("VariantName", "v"))
        found[series.name] = (part.total, part.count)
    assert list(measures.points()) == []
    assert stirred == [1] * bool(found)
    return found


def test_it_works():
    async def scenario(router):
        for _ in range(3):
            await router.invoke("e", None, {}, b"x")

    found = measured(scenario, answered(200), answered(200))
    latency, beside = found.pop("ModelLatency"), found.pop("OverheadLatency")
    assert found == {
        "Invocations": (3, 3),
        "InvocationsPerInstance": (1.5, 3),
        "Invocation4XXErrors": (0, 3),
        "Invocation5XXErrors": (0, 3),
        "InvocationModelErrors": (0, 3),
    }
    assert latency[1] == beside[1] == 3
    assert 0 < latency[0] < 30e6


@pytest.mark.parametrize(
    ("answer", "client", "server", "model"),
    [(answered(418), 1, 0, 1), (answered(500), 0, 1, 1), (b"nonsense\r\n\r\n", 0, 0, 1)],
)
def test_errors(answer, client, server, model):
    async def scenario(router):
        with contextlib.suppress(Broken):
            await router.invoke("e", None, {}, b"x")

    found = measured(scenario, answer)
    names = ("Invocation4XXErrors", "Invocation5XXErrors", "InvocationModelErrors", "Invocations")
    assert [found[name][0] for name in names] == [client, server, model, 1]


def test_nobody_there_is_an_error_without_a_latency():
    async def scenario(router):
        with pytest.raises(NoReplica):
            await router.invoke("e", None, {}, b"x")

    found = measured(scenario)
    assert found["Invocation5XXErrors"] == found["Invocations"] == (1, 1)
    assert "ModelLatency" not in found


def test_a_streamed_answer_counts_when_it_has_ended():
    async def scenario(router):
        answer = await router.stream("e", None, {}, b"x")
        assert isinstance(answer, StreamedAnswer)
        assert [piece async for piece in answer] == [b"hi"]
        assert router._measures is not None
        assert not list(router._measures._samples)
        await answer.aclose()

    assert measured(scenario, answered(200))["Invocations"] == (1, 1)


def test_points_are_by_minute(monkeypatch):
    clock = [119.0]
    monkeypatch.setattr("modelwright.serving.measures.time.time", lambda: clock[0])
    measures = Measures()
    for moment in (119.0, 120.0, 121.0):
        clock[0] = moment
        measures.record("e", "v", 2, 200, 0.001, 0.0002)
    found = {(one.name, time): part for one, time, part in measures.points()}
    assert (found["Invocations", 60].total, found["Invocations", 120].total) == (1, 2)
    assert found["ModelLatency", 120].statistic("Average") == 1000
    assert found["OverheadLatency", 120].statistic("Maximum") == 200
