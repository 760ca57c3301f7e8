"""Finding and signalling the processes of a container of this machine, from its folder alone.

With a sandbox the container has process ids of its own: below the shim stands the container's first process (`init`),
whose end is the end of all, and below that the main one. Without a sandbox everything that carries the container's
mark in its environment belongs to it, and the first process is an ordinary one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

MARK = "MODELWRIGHT_CONTAINER_FOLDER"
"""In the environment of what the shim starts: the container's folder. (The launcher's containers don't need it.)"""

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
UNBOXED = "unboxed"
"""A file of this name in the folder: the container has no sandbox."""


def terminate(folder: Path) -> bool:
    """SIGTERM to the main process. False when there is none (yet)."""
    main = _main(folder)
    return main is not None and _signal(main, signal.SIGTERM)


def kill(folder: Path) -> bool:
    """SIGKILL to everything but the shim, which then writes the exit. False when there is nothing (yet)."""
    shim = _shim(folder)
    if shim is None:
        return False
    init = _init(shim)
    if init is not None:
        return _signal(init, signal.SIGKILL)
    found = [pid for pid in _marked(folder) if pid != shim]
    return _kill_all(found)


def end_strays(folder: Path) -> None:
    """Kill what is left of a container whose shim is gone: started in the very instant in which that was killed."""
    quiet = 0
    while quiet < 3:  # what is just becoming another program has no environment for a moment
        quiet = 0 if _kill_all(_marked(folder)) else quiet + 1


def usage(folder: Path) -> tuple[float, int] | None:
    """(seconds of CPU so far, bytes of memory now) of all below the shim; None where nothing runs or /proc is missing.

    Pages that processes share count for each of them.
    """
    shim = _shim(folder)
    if shim is None:
        return None
    seconds, pages, seen = 0.0, 0, 0
    waiting = _of_all_threads(shim)
    while waiting:
        pid = waiting.pop()
        with contextlib.suppress(OSError, ValueError, IndexError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            seconds += sum(map(int, fields[11:15])) / _TICKS  # its own, and of children that it has waited for
            pages += int(fields[21])
            seen += 1
        waiting.extend(_of_all_threads(pid))
    return (seconds, pages * _PAGE) if seen else None


def _of_all_threads(pid: int) -> list[int]:
    """The children of a process, whichever of its threads has made them."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                found += map(int, Path(f"/proc/{pid}/task/{thread}/children").read_text().split())
    return found


def _shim(folder: Path) -> int | None:
    """Right as long as the lock is held."""
    try:
        text = (folder / "started").read_text()
    except FileNotFoundError:
        return None
    return int(text) if text.endswith("\n") else None


def _main(folder: Path) -> int | None:
    shim = _shim(folder)
    if shim is None:
        return None
    init = _init(shim)
    if init is None and (folder / UNBOXED).exists():
        init = next(iter(_children(shim)), None)
    return next(iter(_children(init)), None) if init is not None else None


def _init(shim: int) -> int | None:
    """The first process of the process ids' namespace below the shim."""
    outer = _depth(shim)
    waiting = [shim]
    while waiting:
        pid = waiting.pop()
        if _depth(pid) > outer:
            return pid
        waiting.extend(_children(pid))
    return None


def _depth(pid: int) -> int:
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("NSpid:"):
                return len(line.split()) - 1
    return 0


def _children(pid: int) -> list[int]:
    """Oldest first."""
    try:
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        pass
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=False).stdout
    pairs = [line.split() for line in listed.splitlines()]
    return sorted(int(child) for child, parent in pairs if int(parent) == pid)


def _marked(folder: Path) -> list[int]:
    mark = f"{MARK}={folder}".encode()
    found = []
    for pid in _all():
        with contextlib.suppress(OSError):
            if mark in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                found.append(pid)
    return sorted(found)


def _all() -> Iterator[int]:
    if os.path.isdir("/proc/self"):
        yield from (int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid())
        return
    listed = subprocess.run(["ps", "-A", "-o", "pid="], capture_output=True, text=True, check=False).stdout
    yield from (int(word) for word in listed.split() if int(word) != os.getpid())


def _kill_all(pids: list[int]) -> bool:
    """Whether there was any."""
    return sum(_signal(pid, signal.SIGKILL) for pid in pids) > 0


def _signal(pid: int, number: int) -> bool:
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True
