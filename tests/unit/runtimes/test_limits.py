"""CPUs by affinity; memory without control groups."""

from __future__ import annotations

import os
import threading

import pytest

from modelwright.runtimes import limits
from modelwright.runtimes.base import Limits

needs_two = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")


@needs_two
def test_the_least_used_cpus_are_taken():
    processors = limits.Processors()
    first, second = processors.take(1), processors.take(0.5)
    assert len(first) == len(second) == 1
    assert first != second
    processors.give_back(first)
    assert processors.take(1) == first


def test_all_of_them_need_no_choice():
    processors = limits.Processors()
    assert processors.take(None) == frozenset()
    assert processors.take(10_000) == frozenset()


@needs_two
def test_only_the_thread_that_starts_is_confined():
    processors = limits.Processors()
    before = os.sched_getaffinity(0)
    inside, look, seen = threading.Event(), threading.Event(), []

    def start() -> None:
        with processors.confined(processors.take(1)):
            seen.append(os.sched_getaffinity(0))
            inside.set()
            look.wait(60)
        seen.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=start)
    thread.start()
    assert inside.wait(60)
    assert os.sched_getaffinity(0) == before
    look.set()
    thread.join()
    assert (len(seen[0]), seen[1]) == (1, before)


def test_without_control_groups_an_allocation_above_the_limit_fails(machine, monkeypatch):
    monkeypatch.setattr(limits, "controllers", lambda: limits.Controllers({}))
    script = "import sys\ntry:\n    bytearray(300 << 20)\nexcept MemoryError:\n    sys.exit('too much')"
    code, log = machine.run(machine.spec("python3", "-c", script, limits=Limits(memory=200 << 20)))
    assert (code, log.splitlines()[-1]) == (1, "too much")


@pytest.mark.skipif("memory" not in limits.controllers().folders, reason="needs control groups")
def test_no_control_group_is_left_over(machine):
    handle = machine.runtime.start(machine.spec("true", limits=Limits(cpus=1, memory=1 << 30)))
    machine.wait(handle)
    name = limits.group_name(machine.folder(handle))
    assert not [folder for folder in limits.controllers().folders.values() if (folder / name).exists()]
