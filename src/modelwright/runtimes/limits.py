"""What keeps a container to its vCPUs and memory, as far as this machine allows it.

CPUs: by affinity (anybody may; programs then see the right number of CPUs) and, where control groups can be made, by
quota too. Memory and number of processes: by control groups, version 2 or 1, which takes root as a rule. Without them
memory is limited per process by RLIMIT_DATA: an allocation above it fails, and nothing is killed.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelwright.runtimes.base import Limits

PROCESSES = 8192
"""Processes and threads of a container."""

PERIOD = 100_000
"""Microseconds over which the CPU quota counts."""


@dataclass(frozen=True)
class Controllers:
    """The control groups that can be made here: controller -> the folder to make them in."""

    folders: dict[str, Path]
    unified: bool = False
    problem: str = ""
    """Why there are none."""

    def create(self, name: str, limits: Limits) -> list[Path]:
        """Make the groups of a container, once or again; it joins them itself."""
        made = []
        wanted = {"memory": limits.memory is not None, "pids": True, "cpu": limits.cpus is not None}
        if limits.cpus is not None and limits.cpus >= (os.cpu_count() or 1):
            wanted["cpu"] = False  # joining a group takes time, too
        for folder in dict.fromkeys(folder for controller, folder in self.folders.items() if wanted[controller]):
            group = folder / name
            group.mkdir(exist_ok=True)
            made.append(group)
        for file, value in self._values(limits):
            for group in made:
                if (group / file).exists():
                    _set(group / file, value)
        return made

    def _values(self, limits: Limits) -> Iterator[tuple[str, str]]:
        yield "pids.max", str(PROCESSES)
        if limits.memory is not None:
            yield "memory.max", str(limits.memory)
            yield "memory.swap.max", "0"
            yield "memory.limit_in_bytes", str(limits.memory)
            yield "memory.memsw.limit_in_bytes", str(limits.memory)
        if limits.cpus is not None:
            quota = str(max(1000, int(limits.cpus * PERIOD)))
            yield "cpu.max", f"{quota} {PERIOD}"
            yield "cpu.cfs_quota_us", quota


@functools.cache
def controllers() -> Controllers:
    """Find out, by making a group and joining it, what works here."""
    mounts = _mounts()
    if "unified" in mounts:
        with contextlib.suppress(OSError):
            return _unified(mounts["unified"])
    folders: dict[str, Path] = {}
    problem = "no memory controller is mounted"
    for controller in ("memory", "pids", "cpu"):
        if controller not in mounts:
            continue
        try:
            folder = mounts[controller] / "modelwright"
            folder.mkdir(exist_ok=True)
            _try(folder, {"memory": "memory.limit_in_bytes", "pids": "pids.max", "cpu": "cpu.cfs_quota_us"}[controller])
            folders[controller] = folder
        except OSError as error:
            problem = f"{error.strerror or error}: {error.filename or mounts[controller]}"
    return Controllers(folders, problem="" if "memory" in folders else problem)


def remove(groups: Sequence[Path]) -> None:
    """Take away the groups of an ended container; what is still in use stays."""
    for group in groups:
        for _ in range(20):
            try:
                group.rmdir()
            except FileNotFoundError:
                break
            except OSError:
                time.sleep(0.001)  # the kernel is still letting go of its last process
            else:
                break


def group_name(folder: Path) -> str:
    """The name of the group of the job that lives in `folder`: unique on this machine, no blanks."""
    return hashlib.sha256(os.fsencode(folder)).hexdigest()[:32]


class Processors:
    """Hands out CPUs, the least used first."""

    def __init__(self) -> None:
        self._available = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
        self._used: Counter[int] = Counter()
        self._lock = threading.Lock()

    def take(self, cpus: float | None) -> frozenset[int]:
        """The CPUs for a container; empty: all of them."""
        count = math.ceil(cpus) if cpus else 0
        if not 0 < count < len(self._available):
            return frozenset()
        with self._lock:
            taken = sorted(self._available, key=lambda cpu: self._used[cpu])[:count]
            self._used.update(taken)
        return frozenset(taken)

    def give_back(self, taken: frozenset[int]) -> None:
        with self._lock:
            self._used.subtract(taken)

    @contextlib.contextmanager
    def confined(self, taken: frozenset[int]) -> Iterator[None]:
        """What this thread starts meanwhile runs on these CPUs alone."""
        if not taken:
            yield
            return
        before = os.sched_getaffinity(0)
        os.sched_setaffinity(0, taken)
        try:
            yield
        finally:
            os.sched_setaffinity(0, before)


def _unified(root: Path) -> Controllers:
    folder = root / "modelwright"
    folder.mkdir(exist_ok=True)
    for level in (root, folder):
        for controller in ("memory", "pids", "cpu"):
            with contextlib.suppress(OSError):
                _set(level / "cgroup.subtree_control", f"+{controller}")
    _try(folder, "memory.max")
    return Controllers(dict.fromkeys(("memory", "pids", "cpu"), folder), unified=True)


def _try(folder: Path, file: str) -> None:
    """A group can be made and limited. Raises OSError."""
    group = folder / f"probe-{os.getpid()}-{threading.get_ident()}"
    group.mkdir()
    try:
        value = (group / file).read_text().strip()
        _set(group / file, value if not value.isdigit() else "1073741824")
        if not os.access(group / "cgroup.procs", os.W_OK):
            raise PermissionError(13, "Permission denied", str(group))
    finally:
        group.rmdir()


def _set(file: Path, value: str) -> None:
    with open(file, "w") as opened:
        opened.write(value)


def _mounts() -> dict[str, Path]:
    """Controller -> where its hierarchy is mounted; `unified` for version 2."""
    found: dict[str, Path] = {}
    try:
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return found
    for line in lines:
        words, _, rest = line.partition(" - ")
        kind, _, options = rest.split(" ", 2)
        point = Path(words.split()[4])
        if kind == "cgroup2":
            found["unified"] = point
        elif kind == "cgroup":
            found |= {name: point for name in ("memory", "pids", "cpu") if name in options.split(",")}
    return found
