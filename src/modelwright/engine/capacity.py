"""Instance types, and this machine's share for each job: who runs, who waits and what for.

A job gets what its instance type has, or the whole machine when that is smaller. Jobs that don't fit wait in the order
in which they were created; a later one never overtakes, so that a large job gets its turn. What is held lives in
memory only: after a restart the engine counts the running jobs again before anybody asks.
"""

from __future__ import annotations

import bisect
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

GIB = 1 << 30

# GiB of memory per vCPU, by family (AWS's instance type tables).
_GIB_PER_VCPU = {
    **dict.fromkeys(("m4", "m5", "m5d", "m6i", "m6g", "m6gd", "m7i", "m7i-flex", "m7g", "m8i", "m8i-flex", "m8g"), 4.0),
    **dict.fromkeys(("c5", "c5d", "c6i", "c6in", "c6g", "c6gd", "c6gn", "c7i", "c7i-flex", "c7g"), 2.0),
    **dict.fromkeys(("c8i", "c8i-flex", "c8g", "inf1"), 2.0),
    **dict.fromkeys(("r5", "r5d", "r6i", "r6g", "r6gd", "r7i", "r7gd", "r8i", "r8i-flex", "r8g"), 8.0),
    **dict.fromkeys(("g4dn", "g5", "g6", "g7", "inf2", "trn1", "trn1n"), 4.0),
    **dict.fromkeys(("g6e", "g7e", "p3dn", "dl1"), 8.0),
    "c4": 1.875,
    "c5n": 2.625,
    "t2": 4.0,
    "t3": 4.0,
    "p2": 15.25,
    "p3": 7.625,
    "p4d": 12.0,
    "p4de": 12.0,
    "p5": 32 / 3,
    "p5e": 32 / 3,
    "p5en": 32 / 3,
    "p6-b200": 32 / 3,
    "p6-b300": 64 / 3,
    "p6e-gb200": 20 / 3,
    "trn2": 32 / 3,
}
# (vCPUs, GiB) where a family's rule does not hold.
_EXCEPTIONS = {
    "t2.medium": (2, 4.0),
    "t2.large": (2, 8.0),
    "t3.medium": (2, 4.0),
    "c4.8xlarge": (36, 60.0),
    "p2.16xlarge": (64, 732.0),
    "p5.4xlarge": (16, 256.0),
}
# GPUs of a size, by family; "" is every other size.
_GPUS = {
    "g4dn": {"12xlarge": 4, "": 1},
    **{key: {"12xlarge": 4, "24xlarge": 4, "48xlarge": 8, "": 1} for key in ("g5", "g6", "g6e")},
    **{key: {"12xlarge": 2, "24xlarge": 4, "48xlarge": 8, "": 1} for key in ("g7", "g7e")},
    "p2": {"xlarge": 1, "8xlarge": 8, "16xlarge": 16},
    "p3": {"2xlarge": 1, "8xlarge": 4, "16xlarge": 8},
    "p5": {"4xlarge": 1, "": 8},
    "p6e-gb200": {"": 4},
    **{key: {"": 8} for key in ("p3dn", "p4d", "p4de", "p5e", "p5en", "p6-b200", "p6-b300")},
}
_NAME = re.compile(r"ml\.([a-z0-9-]+)\.(medium|large|(?:([1-9]\d{0,2}))?xlarge)")


@dataclass(frozen=True)
class InstanceType:
    """`memory` in bytes."""

    name: str
    vcpus: int
    memory: int
    gpus: int


def instance_type(name: str) -> InstanceType | None:
    """What an instance of this type has, or None when AWS has no such family or size."""
    match = _NAME.fullmatch(name)
    if match is None or match[1] not in _GIB_PER_VCPU:
        return None
    family, size = match[1], match[2]
    vcpus = {"medium": 1, "large": 2}.get(size) or 4 * int(match[3] or 1)
    vcpus, memory = _EXCEPTIONS.get(f"{family}.{size}", (vcpus, vcpus * _GIB_PER_VCPU[family]))
    sizes = _GPUS.get(family, {})
    return InstanceType(name, vcpus, int(memory * GIB), sizes.get(size, sizes.get("", 0)))


def known_instance_type(name: str) -> bool:
    """For the services, which refuse other types when a job is created."""
    return instance_type(name) is not None


@dataclass(frozen=True)
class Share:
    """A part of a machine. `memory` in bytes."""

    cpus: float
    memory: int

    def __str__(self) -> str:
        return f"{self.cpus:g} vCPU and {self.memory / GIB:.1f} GiB"


def machine() -> Share:
    """What this machine lets this process use."""
    affinity = getattr(os, "sched_getaffinity", None)
    cpus = len(affinity(0)) if affinity else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            memory = min(memory, int(Path(file).read_text()))
        except (OSError, ValueError):
            continue  # no such control group, or "max"
    return Share(cpus, memory)


@dataclass(frozen=True)
class _Request:
    order: tuple[float, str]
    name: str
    share: Share
    granted: Callable[[], None]


class Capacity:
    """What jobs hold of this machine, and who waits for it. Safe to use from many threads."""

    def __init__(self, total: Share) -> None:
        self.total = total
        self._lock = threading.Lock()
        self._held: dict[str, Share] = {}
        self._waiting: list[_Request] = []

    def share(self, kind: InstanceType) -> Share:
        """What a job on this instance type gets: never more than there is."""
        return Share(min(kind.vcpus, self.total.cpus), min(kind.memory, self.total.memory))

    def hold(self, name: str, share: Share) -> None:
        """Count a job that runs already."""
        with self._lock:
            self._held[name] = share

    def request(self, name: str, share: Share, created: float, granted: Callable[[], None]) -> str | None:
        """None: it is yours. Else what it has to wait for; `granted` is called when it is yours."""
        with self._lock:
            if name in self._held:
                return None
            self._forget(name)
            request = _Request((created, name), name, share, granted)
            first = not self._waiting or request.order < self._waiting[0].order
            if first and self._fits(share):
                self._held[name] = share
                return None
            bisect.insort(self._waiting, request, key=lambda other: other.order)
            return self._reason(request)

    def release(self, name: str) -> None:
        """Give back, or stop waiting; whoever fits now is told."""
        with self._lock:
            self._held.pop(name, None)
            self._forget(name)
            granted = []
            while self._waiting and self._fits(self._waiting[0].share):
                request = self._waiting.pop(0)
                self._held[request.name] = request.share
                granted.append(request.granted)
        for tell in granted:
            tell()

    def _forget(self, name: str) -> None:
        self._waiting = [request for request in self._waiting if request.name != name]

    def _fits(self, share: Share) -> bool:
        used = self._used()
        return used.cpus + share.cpus <= self.total.cpus + 1e-9 and used.memory + share.memory <= self.total.memory

    def _used(self) -> Share:
        return Share(sum(s.cpus for s in self._held.values()), sum(s.memory for s in self._held.values()))

    def _reason(self, request: _Request) -> str:
        used, ahead = self._used(), self._waiting.index(request)
        holders = sorted(self._held)
        who = ", ".join(holders[:3]) + (f" and {len(holders) - 3} more" if len(holders) > 3 else "")
        text = f"Waiting for {request.share}: {used.cpus:g} of {self.total.cpus:g} vCPU and "
        text += f"{used.memory / GIB:.1f} of {self.total.memory / GIB:.1f} GiB are used by {who or 'no job'}"
        return text + (f"; {ahead} {'job is' if ahead == 1 else 'jobs are'} ahead." if ahead else ".")
