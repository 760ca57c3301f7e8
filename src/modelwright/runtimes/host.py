"""What this machine can do for jobs, what is lost without it, and what would change that: for `modelwright doctor`."""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelwright.config import Settings
from modelwright.errors import ConfigurationError
from modelwright.runtimes import limits, sandbox

ENOUGH_DISK = 10 << 30
"""An environment with PyTorch takes some GiB."""

ENOUGH_MEMORY = 4 << 30

SANDBOX_TEXTS = {
    "unshare": "jobs run in namespaces of their own: they see the system read-only, their own files, nothing else",
    "bubblewrap": "jobs run in bubblewrap: they see the system read-only, their own files, nothing else",
    "none": (
        "none: jobs run as ordinary processes. They can read and change what this user can, /opt/ml is rewritten to a "
        "folder in the command and the environment only, and inputs are copied"
    ),
}


@dataclass(frozen=True)
class Finding:
    """One thing looked at: `good`, or the text says what is lost and what to do."""

    topic: str
    good: bool
    text: str


def examine(settings: Settings) -> list[Finding]:
    """Look at everything; some parts are really tried. Changes nothing but the probes' own traces."""
    return [
        _python(),
        _sandbox(settings),
        _networks(settings),
        *_copies(settings),
        _memory_limit(),
        _cpu_limit(),
        *_size(),
        _disk(settings.home),
        _accelerators(),
        _container_engine(),
    ]


def memory() -> int:
    """Bytes of memory that this machine, or the control group that this process is in, has."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("memory/memory.limit_in_bytes", "memory.max"):
        try:
            text = Path("/sys/fs/cgroup", name).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            total = min(total, int(text))
    return total


def cpus() -> int:
    """CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    has_venv = Path(sysconfig.get_path("stdlib"), "ensurepip", "__init__.py").exists()
    if has_venv:
        return Finding("Python", True, f"{version} at {sys.executable}")
    text = (
        f"{version} at {sys.executable} can't make virtual environments; on Debian or Ubuntu: apt install python3-venv"
    )
    return Finding("Python", False, text)


def _sandbox(settings: Settings) -> Finding:
    try:
        found = sandbox.choose(settings.sandbox)
    except ConfigurationError as error:
        return Finding("sandbox", False, str(error))
    text = SANDBOX_TEXTS[found.kind]
    if found.kind != "none":
        return Finding("sandbox", True, text)
    if settings.sandbox == "none":
        return Finding("sandbox", False, f"{text} (asked for by sandbox = 'none')")
    return Finding("sandbox", False, f"{text}. {'; '.join(found.problems)}. {_sandbox_remedy()}")


def _networks(settings: Settings) -> Finding:
    try:
        problem = sandbox.network_problem(settings.sandbox)
    except ConfigurationError as error:
        problem = str(error)
    if not problem:
        text = "containers can have their own: models that know only port 8080, EnableNetworkIsolation"
        return Finding("networks", True, text)
    text = (
        "containers share this machine's: one model at a time may know only port 8080, and EnableNetworkIsolation "
        f"fails ({problem})"
    )
    return Finding("networks", False, text)


def _sandbox_remedy() -> str:
    if not sys.platform.startswith("linux"):
        return "For a sandbox, run Modelwright on Linux, in a virtual machine say"
    return "Install bubblewrap (apt install bubblewrap), allow unprivileged user namespaces, or run as root"


def _copies(settings: Settings) -> Iterator[Finding]:
    try:
        found = sandbox.choose(settings.sandbox)
    except ConfigurationError:
        return
    if found.overlay:
        yield Finding("inputs", True, "mounted without copying; jobs write to them without changing what is stored")
    else:
        why = "; ".join(found.problems) if found.kind != "none" else "there is no sandbox to mount them in"
        yield Finding("inputs", False, f"copied for each job: {why}. Overlay mounts need root or Linux 5.11")


def _memory_limit() -> Finding:
    found = limits.controllers()
    if "memory" in found.folders:
        version = "2" if found.unified else "1"
        return Finding("memory limit", True, f"enforced by control groups, version {version}")
    why = f" ({found.problem})" if found.problem else ""
    text = f"per process only: control groups can't be used{why}. Run as root, or in a delegated control group"
    return Finding("memory limit", False, text)


def _cpu_limit() -> Finding:
    if hasattr(os, "sched_setaffinity"):
        quota = " and by control groups" if "cpu" in limits.controllers().folders else ""
        return Finding("CPU limit", True, f"enforced by affinity{quota}")
    return Finding("CPU limit", False, "not enforced: this system has no CPU affinity")


def _size() -> Iterator[Finding]:
    yield Finding("CPUs", True, str(cpus()))
    gib = memory() / (1 << 30)
    good = memory() >= ENOUGH_MEMORY
    yield Finding("memory", good, f"{gib:.1f} GiB" + ("" if good else "; training with PyTorch wants 4 GiB and more"))


def _disk(home: Path) -> Finding:
    there = home
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    text = f"{free / (1 << 30):.1f} GiB free at {home}"
    if not os.access(there, os.W_OK):
        return Finding("disk", False, f"{there} can't be written to; name another home with --home or MODELWRIGHT_HOME")
    if free < ENOUGH_DISK:
        return Finding("disk", False, f"{text}; an image with PyTorch takes some GiB: free some, or use another home")
    return Finding("disk", True, text)


def _accelerators() -> Finding:
    found = sorted(path.name for path in Path("/dev").glob("nvidia[0-9]*"))
    if Path("/dev/kfd").exists():
        found.append("kfd")
    return Finding("GPU", True, f"jobs see {', '.join(found)}" if found else "none; jobs compute on the CPU")


def _container_engine() -> Finding:
    found = [name for name in ("docker", "podman") if shutil.which(name)]
    there = f"{' and '.join(found)} found" if found else "neither docker nor podman found"
    return Finding("container engine", True, f"{there}; not needed: images are built and run by the process runtime")
