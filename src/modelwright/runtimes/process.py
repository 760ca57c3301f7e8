"""The default runtime: a container is a sandboxed process of this machine. No container engine, some milliseconds.

A container's state is its folder, `<jobs>/<name>/`: `lock` (locked as long as the container's shim lives), `started`
(the shim's process id; written before anything runs), `exit` (one line: code, OOM kills), `log`. Whoever gets the
lock and finds neither `started` nor `exit` may run it, and hands the lock to the shim; so a name runs once, however
often and wherever the server is killed, and `poll` needs nothing but the folder.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from modelwright.config import Settings
from modelwright.errors import ConfigurationError
from modelwright.runtimes import contents, limits, networks, plain, processes, sandbox
from modelwright.runtimes.base import ContainerSpec, Exit, Handle, Lost, Poll, Running, Usage
from modelwright.runtimes.launching import launch

SHIM = Path(__file__).with_name("shim.sh")

KEPT = frozenset({"lock", "started", "exit"})
"""What `remove` leaves: with these the name stays used up."""


_children: dict[Path, subprocess.Popen[bytes]] = {}
"""Shims that are children of this process, by their job's folder; they must be waited for."""


@dataclass(frozen=True)
class _Bounds:
    groups: list[Path]
    cpus: frozenset[int]
    data: int | None


class ProcessRuntime:
    """Runs containers as sandboxed processes; see `modelwright.runtimes.base.Runtime`."""

    name = "process"

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._jobs = settings.jobs.absolute()
        self._processors = limits.Processors()
        self._taken: dict[str, frozenset[int]] = {}

    @property
    def sandbox(self) -> sandbox.Sandbox:
        """How containers are closed off here. Raises ConfigurationError when what is asked for doesn't work."""
        return sandbox.choose(self._settings.sandbox)

    def start(self, spec: ContainerSpec) -> Handle:
        folder = self._folder(spec.name)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = _claim(folder)
        if lock is not None:
            try:
                self._run(spec, folder, lock)
            finally:
                os.close(lock)
        return Handle(self.name, spec.name)

    def poll(self, handle: Handle) -> Poll:
        folder = self._folder(handle.name)
        ended = _read_exit(folder)
        if ended is None and _is_locked(folder):
            return Running()
        ended = ended or _read_exit(folder)  # it may have been written between the two looks
        self._tidy(handle.name, folder)
        if ended is not None:
            return ended
        if not (folder / "started").exists():
            return Lost("It was never started, or ended before it began.")
        processes.end_strays(folder)
        return Lost("The process that looked after it was killed, or the machine went down.")

    def watch(self, handle: Handle, ended: Callable[[], None]) -> None:
        def wait() -> None:
            with contextlib.suppress(FileNotFoundError), _opened(self._folder(handle.name) / "lock") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH)
            self._reap(handle.name)
            ended()

        threading.Thread(target=wait, name=f"watch {handle.name}", daemon=True).start()

    def stop(self, handle: Handle, *, grace: float) -> None:
        folder = self._folder(handle.name)

        def end() -> None:
            deadline = time.monotonic() + grace
            told = False
            while not told and time.monotonic() < deadline and _is_locked(folder):
                told = processes.terminate(folder)
                if not told:
                    time.sleep(0.002)  # it is only just coming up
            gone = threading.Event()
            self.watch(handle, gone.set)
            if gone.wait(max(0.0, deadline - time.monotonic())):
                return
            while _is_locked(folder) and not (processes.kill(folder) and gone.wait(1)):
                time.sleep(0.002)

        threading.Thread(target=end, name=f"stop {handle.name}", daemon=True).start()

    def logs(self, handle: Handle, offset: int, limit: int = 1 << 20) -> tuple[bytes, int]:
        try:
            with _opened(self._folder(handle.name) / "log") as log:
                data = os.pread(log, limit, offset)
        except FileNotFoundError:
            data = b""
        return data, offset + len(data)

    def usage(self, handle: Handle) -> Usage | None:
        found = processes.usage(self._folder(handle.name))
        return None if found is None else Usage(*found)

    def network_problem(self) -> str:
        try:
            return sandbox.network_problem(self._settings.sandbox)
        except ConfigurationError as error:
            return str(error)

    def socket_into(self, name: str) -> socket.socket:
        return networks.socket_into(self._folder(name))

    def gate_of(self, name: str) -> socket.socket:
        return networks.gate_of(self._folder(name))

    def remove(self, handle: Handle) -> None:
        folder = self._folder(handle.name)
        if not folder.exists() or _is_locked(folder):
            return
        self._tidy(handle.name, folder)
        for item in os.scandir(folder):
            if item.name in KEPT:
                continue
            if item.is_dir(follow_symlinks=False):
                sandbox.remove_tree(Path(item.path))
            else:
                os.unlink(item.path)

    def _folder(self, name: str) -> Path:
        if not name or name in (".", "..") or "/" in name or "\0" in name or len(os.fsencode(name)) > 255:
            raise ConfigurationError(f"'{name}' can't name a container: it must be a legal file name.")
        return self._jobs / name

    def _run(self, spec: ContainerSpec, folder: Path, lock: int) -> None:
        controllers = limits.controllers()
        taken = self._processors.take(spec.limits.cpus)
        self._taken[spec.name] = taken
        try:
            _clear(folder)
            with open(folder / "log", "ab") as log:
                log.write("".join(f"{note}\n" for note in spec.image.notes).encode())
            groups = controllers.create(limits.group_name(folder), spec.limits)
            data_limit = None if "memory" in controllers.folders else spec.limits.memory
            child = self._launch(spec, folder, lock, _Bounds(groups, taken, data_limit))
        except OSError as error:
            self._tidy(spec.name, folder)
            raise ConfigurationError(f"{spec.name} can't be started: {error}") from error
        if child is not None:
            _children[folder] = child

    def _launch(self, spec: ContainerSpec, folder: Path, lock: int, bounds: _Bounds) -> subprocess.Popen[bytes] | None:
        """Start its shim. Returns that, where it is a child of this process."""
        box = self.sandbox
        network = spec.network
        if network is not None and (box.kind == "none" or (network.door and box.kind == "bubblewrap")):
            why = self.network_problem()
            raise ConfigurationError(f"A container can't have a network of its own on this machine: {why}")
        wrapper: list[str] = []
        if box.kind == "none":
            command = plain.prepare(spec, folder, self._settings)
        else:
            made = contents.prepare(spec, folder, self._settings, overlay=box.overlay)
            container = (box, made.layout, made.argv, made.environment, made.working_directory)
            if box.kind == "unshare":
                sandbox.plan(
                    *container,
                    cgroups=bounds.groups,
                    cpus=bounds.cpus,
                    data_limit=bounds.data,
                    network=None if network is None else asdict(network),
                )
                with open(folder / "log", "ab") as log:
                    launch(folder, lock, log.fileno())
                return None
            wrapper, command = (
                sandbox.wrapper(box, made.layout),
                sandbox.bubblewrap(*container, cut_off=network is not None),
            )
        if bounds.data is not None:
            (folder / "data-limit").write_text(f"{bounds.data // 1024}\n")
        with open(folder / "log", "ab") as log, self._processors.confined(bounds.cpus):
            return subprocess.Popen(
                [*wrapper, "/bin/sh", str(SHIM), str(folder), *map(str, bounds.groups), "--", *command],
                stdin=lock,
                stdout=log,
                stderr=log,
                cwd=folder,
                env={"PATH": os.environ.get("PATH", os.defpath), processes.MARK: str(folder)},
                start_new_session=True,
            )

    def _reap(self, name: str) -> None:
        self._processors.give_back(self._taken.pop(name, frozenset()))
        child = _children.pop(self._folder(name), None)
        if child is not None:
            child.wait()

    def _tidy(self, name: str, folder: Path) -> None:
        """What an ended container has left outside its folder."""
        self._reap(name)
        name = limits.group_name(folder)
        limits.remove([parent / name for parent in dict.fromkeys(limits.controllers().folders.values())])


def _claim(folder: Path) -> int | None:
    """The lock, when nobody has run this container yet; None when somebody has or does."""
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            # A shim holds it, which then very soon says so; or a `poll` that is looking, which very soon lets go.
            if (folder / "started").exists():
                break
            time.sleep(0.0005)
    if (folder / "started").exists() or (folder / "exit").exists():
        os.close(lock)
        return None
    return lock


def _read_exit(folder: Path) -> Exit | None:
    try:
        with open(folder / "exit") as file:
            line, ended = file.read(), os.fstat(file.fileno()).st_mtime
    except FileNotFoundError:
        return None
    if not line.endswith("\n"):
        return None
    code, kills = line.split()
    return Exit(int(code), ended, out_of_memory=int(kills) > 0 and int(code) != 0)


def _is_locked(folder: Path) -> bool:
    try:
        with _opened(folder / "lock") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _clear(folder: Path) -> None:
    """What an attempt left that was killed before anything ran."""
    for item in os.scandir(folder):
        if item.name == "lock":
            continue
        if item.is_dir(follow_symlinks=False):
            sandbox.remove_tree(Path(item.path))
        else:
            os.unlink(item.path)
