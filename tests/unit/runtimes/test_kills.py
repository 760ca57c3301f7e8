"""SIGKILL at every seam: of the server, of the launcher, of a container's shim. Nothing runs twice or unseen."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from modelwright.runtimes.base import ContainerSpec, Exit, Handle, Image, Lost, Mount
from modelwright.runtimes.launching import LAUNCHER

from .conftest import Machine, kinds

STARTER = """
import os, signal, sys
from pathlib import Path
from modelwright.config import Settings
from modelwright.runtimes import launching, process
from modelwright.runtimes.base import ContainerSpec, Image, Mount

home, kind, seam, folder, *names = sys.argv[1:]

def die(*_arguments, **_more):
    os.kill(os.getpid(), signal.SIGKILL)

if seam == "before anything is launched":
    process.ProcessRuntime._launch = die
if seam == "at the claim":
    process.ProcessRuntime._run = die
runtime = process.ProcessRuntime(Settings(home=Path(home), sandbox=kind))
for name in names:
    mounts = (Mount(Path(folder), "/opt/ml/o", "rw"),)
    argv = ("/bin/sh", "-c", f"echo {name} >> /opt/ml/o/runs")
    runtime.start(ContainerSpec(name, Image("t", "r"), argv, mounts=mounts))
    if seam == "as soon as it is launched":
        die()
print("all started", flush=True)
"""


def _starter(machine: Machine, seam: str, folder: Path, *names: str) -> subprocess.Popen[bytes]:
    arguments = [str(machine.home), machine.kind, seam, str(folder), *names]
    source = Path(__file__).parents[3] / "src"
    return subprocess.Popen([sys.executable, "-c", STARTER, *arguments], env={**os.environ, "PYTHONPATH": str(source)})


def _processes(word: str) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                if word.encode() in Path("/proc", name, "cmdline").read_bytes().split(b"\0"):
                    found.append(int(name))
            except OSError:
                continue
    return found


@pytest.mark.parametrize("seam", ["at the claim", "before anything is launched", "as soon as it is launched"])
def test_a_server_killed_while_it_starts_a_container(machine, seam, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    assert _starter(machine, seam, out, "job").wait(60) == -signal.SIGKILL
    assert _starter(machine, "none", out, "job").wait(60) == 0
    ended = machine.wait(Handle("process", "job"))
    assert isinstance(ended, Exit)
    assert ended.code == 0
    assert (out / "runs").read_text() == "job\n"


def test_a_server_killed_at_random_moments(machine, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    names = [f"job-{number}" for number in range(30)]
    randomness = random.Random(7)
    for _ in range(12):
        starter = _starter(machine, "none", out, *names)
        try:
            starter.wait(randomness.uniform(0.08, 0.35))
        except subprocess.TimeoutExpired:
            starter.kill()
            starter.wait()
    assert _starter(machine, "none", out, *names).wait(120) == 0
    for name in names:
        assert machine.wait(Handle("process", name)).code == 0
    assert sorted((out / "runs").read_text().split()) == sorted(names)


def test_a_killed_shim_takes_its_container_along(machine, until):
    mark = f"{random.getrandbits(40)}"
    handle = machine.runtime.start(machine.spec("sleep", mark))
    started = machine.folder(handle) / "started"
    until(lambda: started.exists() and started.read_text().endswith("\n") and _processes(mark))
    os.kill(int(started.read_text()), signal.SIGKILL)
    assert isinstance(machine.wait(handle), Lost)
    until(lambda: not _processes(mark))
    assert isinstance(machine.after_restart().runtime.poll(handle), Lost)


def test_shims_killed_at_random_moments_leave_nothing_behind(machine, until):
    randomness = random.Random(5)
    mark = f"{random.getrandbits(40)}"
    for number in range(25):
        handle = machine.runtime.start(machine.spec("sleep", mark, name=f"chaos-{number}"))
        started = machine.folder(handle) / "started"
        until(lambda started=started: started.exists() and started.read_text().endswith("\n"))
        moment = time.perf_counter() + randomness.uniform(0, 0.02)
        while time.perf_counter() < moment:
            pass
        os.kill(int(started.read_text()), signal.SIGKILL)
        assert isinstance(machine.wait(handle), Lost)
    until(lambda: not _processes(mark))


@pytest.mark.parametrize("kind", kinds("unshare"))
def test_a_killed_launcher_harms_no_container(kind, tmp_path, until):
    machine = Machine(tmp_path / "home", kind)
    os.mkfifo(tmp_path / "go")
    mounts = (Mount(tmp_path, "/opt/ml/f", "rw"),)
    spec = ContainerSpec("runs", Image("t", "r"), ("/bin/sh", "-c", "read x < /opt/ml/f/go; exit 5"), mounts=mounts)
    handle = machine.runtime.start(spec)
    until((machine.folder(handle) / "started").exists)
    ours = [pid for pid in _processes(str(LAUNCHER)) if _parent(pid) == os.getpid()]
    assert len(ours) == 1
    os.kill(ours[0], signal.SIGKILL)
    assert machine.sh("echo next") == (0, "next\n")
    (tmp_path / "go").write_text("\n")
    assert machine.wait(handle).code == 5


@pytest.mark.parametrize("kind", kinds("unshare"))
def test_many_starts_at_once_are_more_than_the_launcher_has_spares(kind, tmp_path):
    machine = Machine(tmp_path / "home", kind)
    handles = [machine.runtime.start(machine.spec("true")) for _ in range(20)]
    assert [machine.wait(handle).code for handle in handles] == [0] * 20


def _parent(pid: int) -> int:
    return int(Path("/proc", str(pid), "stat").read_text().rsplit(")", 1)[1].split()[1])


def test_an_exit_that_was_cut_off_is_lost(machine):
    handle = machine.runtime.start(machine.spec("true"))
    machine.wait(handle)
    (machine.folder(handle) / "exit").write_text("0 ")
    assert isinstance(machine.runtime.poll(handle), Lost)
