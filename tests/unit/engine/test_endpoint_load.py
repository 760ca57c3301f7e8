"""How busy an endpoint's instances are, as CloudWatch is told."""

from dataclasses import replace

import pytest

from modelwright.engine.capacity import GIB, Capacity, Share
from modelwright.engine.endpoint_load import EndpointLoad
from modelwright.lifecycles.endpoint import Endpoint, Fleet, Instance, Part, Variant
from modelwright.runtimes.base import Usage

VARIANT = Variant("v", "m", "ml.m5.large", 1, 1.0, 60, ({"Image": "i"}, {"Image": "j"}))
PARTS = tuple(Part(name, 1, handle={"runtime": "process", "name": name}) for name in ("a", "b"))
ONE = Instance("i-1", 1, "v", 0, parts=PARTS)
STATE = Endpoint("endpoint/e/1", name="e", known={1: Fleet(1, "c", (VARIANT,))})


class Runtime:
    def __init__(self):
        self.usages = {"a": Usage(10.0, GIB), "b": Usage(0.0, GIB)}

    def usage(self, handle):
        return self.usages[handle.name]


class Buffer:
    def __init__(self):
        self.told = []

    def add(self, points):
        for series, _, part in points:
            assert series.namespace == "/aws/sagemaker/Endpoints"
            assert series.dimensions == (("EndpointName", "e"), ("VariantName", "v"))
            assert series.unit == "Percent"
            self.told.append((series.name, part.total))

    def take(self):
        told, self.told = dict(self.told), []
        return told


@pytest.fixture
def clock():
    return [100.0]


@pytest.fixture
def runtime():
    return Runtime()


@pytest.fixture
def buffer():
    return Buffer()


@pytest.fixture
def load(runtime, buffer, clock, tmp_path):
    return EndpointLoad(runtime, Capacity(Share(4, 16 * GIB)), buffer, tmp_path, lambda: clock[0])


def test_it_works(load, runtime, buffer, clock):
    load.look(STATE, ONE)
    first = buffer.take()
    assert first.pop("DiskUtilization") > 0
    assert first == {"MemoryUtilization": pytest.approx(25)}  # 2 of an ml.m5.large's 8 GiB
    clock[0] += 5
    load.look(STATE, ONE)
    assert buffer.take() == {}  # not so soon
    clock[0] += 15
    runtime.usages = {"a": Usage(28.0, 0), "b": Usage(12.0, 4 * GIB)}
    load.look(STATE, ONE)
    second = buffer.take()
    assert (second["CPUUtilization"], second["MemoryUtilization"]) == (pytest.approx(150), pytest.approx(50))


def test_what_can_not_be_told_is_not_made_up(load, runtime, buffer, clock):
    runtime.usages["b"] = None
    load.look(STATE, ONE)
    load.look(STATE, replace(ONE, parts=()))
    assert buffer.take() == {}


def test_a_new_attempt_begins_anew(load, runtime, buffer, clock):
    load.look(STATE, ONE)
    load.forget(ONE)
    buffer.take()
    clock[0] += 1
    runtime.usages["a"] = Usage(0.5, GIB)
    load.look(STATE, ONE)
    assert "CPUUtilization" not in buffer.take()


def test_where_nobody_wants_to_know(runtime, clock, tmp_path):
    EndpointLoad(runtime, Capacity(Share(4, GIB)), None, tmp_path, lambda: clock[0]).look(STATE, ONE)
