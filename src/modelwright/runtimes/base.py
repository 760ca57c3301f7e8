"""What every runtime offers: start, poll, stop, logs; and what the engine hands it.

A runtime starts at most one container of a name, ever: `start` of a name that was started before adopts it. `poll`
answers from what is stored alone, so it is right after the server was killed and started again. Nothing here knows
about training or AWS; the engine makes the `/opt/ml` layout out of mounts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from socket import socket
from typing import Literal, Protocol


@dataclass(frozen=True)
class Image:
    """An image as a runtime sees it: a tree over the host's files, an environment, a command.

    The process runtime lays `root` (a folder that mirrors `/`: `root/opt/program/train.py`) over the host's own files
    and puts `python` (a virtual environment) first on the path. The container runtime uses `reference` alone.
    """

    uri: str
    """As the job named it."""
    reference: str
    """The content's digest, `sha256:...`: the same content has the same reference."""
    root: Path | None = None
    python: Path | None = None
    """The image's virtual environment (its `bin/python`), visible in the container at the same path."""
    environment: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    working_directory: str = "/"
    visible: tuple[Path, ...] = ()
    """Further host folders that must be visible read-only at their own paths (the environments it is layered on)."""
    labels: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    """What the job's log should say about it (a nearest version was taken, say)."""


@dataclass(frozen=True)
class Mount:
    """A host file or folder at a path of the container.

    `mode`: `ro`; `rw`, writes go to `source`; `cow`, the container may write and `source` never changes.
    """

    source: Path
    target: str
    mode: Literal["ro", "rw", "cow"] = "ro"


@dataclass(frozen=True)
class Limits:
    """What the container may use: vCPUs, bytes of memory. None: no limit."""

    cpus: float | None = None
    memory: int | None = None


@dataclass(frozen=True)
class Network:
    """A network of the container's own, with nothing in it but 127.0.0.1."""

    door: bool = False
    """It can be reached from outside, by `Runtime.socket_into`."""
    gate: int | None = None
    """The port at which `Runtime.gate_of` accepts connections from inside; needs a door."""


@dataclass(frozen=True)
class ContainerSpec:
    """One container to run."""

    name: str
    """Unique for ever and a legal file name: `training-job.NAME`, say."""
    image: Image
    argv: tuple[str, ...]
    """The whole command; the first word is looked up on the container's PATH."""
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str | None = None
    """None: the image's."""
    mounts: tuple[Mount, ...] = ()
    limits: Limits = Limits()
    network: Network | None = None
    """None: the host's."""


@dataclass(frozen=True)
class Handle:
    """Names a started container; plain JSON (`asdict`), kept in the history."""

    runtime: str
    name: str


@dataclass(frozen=True)
class Running:
    """It has started and not ended."""


@dataclass(frozen=True)
class Exit:
    """It has ended by itself or was stopped. `code` 128+n for signal n; `ended` in epoch seconds."""

    code: int
    ended: float
    out_of_memory: bool = False


@dataclass(frozen=True)
class Lost:
    """It ended without anybody seeing how: the machine went down, or its parent was killed."""

    reason: str


Poll = Running | Exit | Lost


@dataclass(frozen=True)
class Usage:
    """What a running container takes: seconds of CPU since its start, bytes of memory now."""

    cpu: float
    memory: int


class Runtime(Protocol):
    """Somewhere that a container can run."""

    name: str

    def start(self, spec: ContainerSpec) -> Handle:
        """Start it, or adopt the one of this name. Raises AwsError or ConfigurationError when it can't be started."""
        ...

    def poll(self, handle: Handle) -> Poll:
        """How it is now."""
        ...

    def watch(self, handle: Handle, ended: Callable[[], None]) -> None:
        """Call `ended` once, from any thread, as soon as `poll` no longer answers Running. Returns at once."""
        ...

    def stop(self, handle: Handle, *, grace: float) -> None:
        """SIGTERM to its main process now, SIGKILL to all of it after `grace` seconds. Returns at once; repeatable."""
        ...

    def logs(self, handle: Handle, offset: int, limit: int = 1 << 20) -> tuple[bytes, int]:
        """What it printed (stdout and stderr together) from byte `offset` on, and the offset to go on from."""
        ...

    def usage(self, handle: Handle) -> Usage | None:
        """What it takes of the machine; None where that can't be told."""
        ...

    def network_problem(self) -> str:
        """Why a container can't have a network of its own with a door here; empty when it can."""
        ...

    def socket_into(self, name: str) -> socket:
        """A TCP socket in the own network of the container of this name, not connected. Raises OSError."""
        ...

    def gate_of(self, name: str) -> socket:
        """The listening socket of its gate; what connects to it is the container. Raises OSError."""
        ...

    def remove(self, handle: Handle) -> None:
        """Forget what is kept of an ended container's files. Its name stays used up as long as the engine knows it."""
        ...
