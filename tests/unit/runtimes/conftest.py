"""Containers of every kind that this machine can run."""

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelwright.config import Settings
from modelwright.runtimes import sandbox
from modelwright.runtimes.base import ContainerSpec, Exit, Handle, Image, Poll, Running
from modelwright.runtimes.process import ProcessRuntime

PATIENCE = 60


def kinds(*wanted: str) -> list[object]:
    """Parameters: the kinds of sandbox that work here; the others skip with the reason."""
    found: list[object] = []
    for kind in wanted or ("unshare", "bubblewrap", "none"):
        problem = "" if kind == "none" else sandbox.probe(kind)[1]
        found.append(pytest.param(kind, marks=pytest.mark.skipif(bool(problem), reason=problem)))
    return found


@dataclasses.dataclass
class Machine:
    """A runtime with a home of its own, and short ways to use it."""

    home: Path
    kind: str

    def __post_init__(self) -> None:
        self.runtime = ProcessRuntime(Settings(home=self.home, sandbox=self.kind))
        self._numbers = itertools.count(1)

    def spec(self, *argv: str, image: Image | None = None, **members: object) -> ContainerSpec:
        name = str(members.pop("name", f"job-{next(self._numbers)}"))
        return ContainerSpec(name, image or Image("test", "sha256:0"), argv, **members)  # type: ignore[arg-type]

    def sh(self, script: str, **members: object) -> tuple[int, str]:
        """Run a script to its end: its code and what it printed."""
        return self.run(self.spec("/bin/sh", "-c", script, **members))

    def run(self, spec: ContainerSpec) -> tuple[int, str]:
        handle = self.runtime.start(spec)
        ended = self.wait(handle)
        assert isinstance(ended, Exit), ended
        return ended.code, self.log(handle)

    def wait(self, handle: Handle) -> Poll:
        gone = threading.Event()
        self.runtime.watch(handle, gone.set)
        assert gone.wait(PATIENCE), f"{handle} does not end; its log: {self.log(handle)}"
        return self.runtime.poll(handle)

    def log(self, handle: Handle) -> str:
        return self.runtime.logs(handle, 0)[0].decode(errors="replace")

    def folder(self, handle: Handle) -> Path:
        return self.home / "jobs" / handle.name

    def end_all(self) -> None:
        """What a test that failed has left running."""
        for folder in (self.home / "jobs").glob("*"):
            handle = Handle("process", folder.name)
            if self.runtime.poll(handle) == Running():
                self.runtime.stop(handle, grace=0)
                self.wait(handle)

    def after_restart(self) -> Machine:
        """What a new server finds."""
        return Machine(self.home, self.kind)


@pytest.fixture(params=kinds())
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    yield (machine := Machine(tmp_path / "home", request.param))
    machine.end_all()


@pytest.fixture(params=kinds("unshare", "bubblewrap"))
def closed(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    """A machine with a real sandbox."""
    yield (machine := Machine(tmp_path / "home", request.param))
    machine.end_all()


@pytest.fixture
def until() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Wait for a condition that nothing announces."""

    def wait(condition: Callable[[], object]) -> None:
        pause = threading.Event()
        for _ in range(PATIENCE * 100):
            if condition():
                return
            pause.wait(0.01)
        raise AssertionError("it does not come true")

    return wait
