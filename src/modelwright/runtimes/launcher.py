"""Starts containers with the kernel's own namespaces: a small process that the server starts once, and its forks.

The server sends a job's folder with the lock and the log (`modelwright.runtimes.launching`). The job's shim receives
it: it holds the lock, outlives this process and the server, and leaves the exit in the folder. The shim's child is the
container's first process: it makes the mounts, gives up its powers, starts the main process, collects orphans, and
takes everything along when the main one ends. Some pairs of shim and first process, spares, are there before a job
comes; with that, and mounting by system calls, a start takes a fraction of what the tools for it take.

It runs as a script of its own, without the package (`python -I -S launcher.py`), so that little else is in memory.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import gc
import json
import os
import resource
import select
import signal
import socket
import struct
import sys
from typing import Any, NoReturn

NEW_MOUNTS, NEW_USER = 0x00020000, 0x10000000
NEW_NETWORK = 0x40000000
NEW_IPC_UTS_PROCESSES = 0x08000000 | 0x04000000 | 0x20000000
BIND, RECURSIVE, PRIVATE, READ_ONLY = 0x1000, 0x4000, 0x40000, 0x1
NO_SUID, NO_DEV, NO_EXEC = 0x2, 0x4, 0x8
DETACH = 2
SET_PARENT_DEATH_SIGNAL, SET_DUMPABLE, DROP_BOUNDING, SET_NO_NEW_PRIVILEGES = 1, 4, 24, 38
GET_INTERFACE_FLAGS, SET_INTERFACE_FLAGS, INTERFACE_UP = 0x8913, 0x8914, 0x1
MOUNT_SETATTR = 442  # the same number on every architecture
HERE, ALL_BELOW = -100, 0x8000
KEPT_CAPABILITIES = (0, 1, 3, 4, 5, 6, 7)
"""chown, dac_override, fowner, fsetid, kill, setgid, setuid: what unpacking archives and switching users needs."""
DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
COVERED = ("sys", "sysrq-trigger", "irq", "bus")
"""What root could change of the machine by /proc."""

SETUP_FAILED, NOT_EXECUTABLE, NOT_FOUND = 125, 126, 127

DEFAULT_SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ)
"""What Python or this module handles or ignores, and a program must find as it is usual."""

SPARES = 2

DOOR = "door"
"""In a container's folder: the Unix socket at which its doorkeeper hands out sockets of its own network."""
SOCKET, GATE = b"s", b"g"
"""What it may be asked for."""

_libc = ctypes.CDLL(None, use_errno=True)


def main(descriptor: int) -> None:
    """Keep spares until the server is gone; what it has sent before that is still started."""
    gc.disable()  # a collection would make each fork copy what it shares
    connection = socket.socket(fileno=descriptor)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # shims report to nobody
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # the server decides; its end is the end of this
    spares: set[int] = set()  # of each a pipe that ends when it has got a job
    waiting = select.poll()
    while True:
        while len(spares) < SPARES:
            taken, spare = os.pipe()
            if os.fork() == 0:
                _spare(connection, spare)
            os.close(spare)
            spares.add(taken)
            waiting.register(taken, 0)
        for taken, _ in waiting.poll():
            spares.remove(taken)
            waiting.unregister(taken)
            os.close(taken)
        with contextlib.suppress(BlockingIOError):  # no: the server is there and has nothing for us
            if not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
                break
    for taken in spares:  # a spare that has just taken the last job would be killed with this process
        select.select([taken], [], [])


def _spare(connection: socket.socket, idle: int) -> NoReturn:
    """Get ready, wait for a job, and become its shim."""
    launcher = os.getppid()
    _prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)  # else the server would wait for an answer from nobody
    if os.getppid() != launcher:
        os._exit(0)
    problem, first, orders = "", 0, None
    try:
        os.setsid()
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, _nothing)  # a stop is for the container
        _own_namespaces()
        orders, received = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        first = os.fork()
        if first == 0:
            connection.close()
            orders.close()
            os.close(idle)
            _first(received)
        received.close()
    except BaseException as error:
        problem = str(error)
    data, descriptors, _, _ = socket.recv_fds(connection, 65536, 2)
    if not data:
        os._exit(0)  # and the first process with it
    _prctl(SET_PARENT_DEATH_SIGNAL, 0)
    with contextlib.suppress(OSError):  # the server has gone meanwhile; the job is started all the same
        connection.send(b"1")
    os.close(idle)
    connection.close()
    # The first descriptor is the lock: nobody else has it, so it is held as long as this process lives.
    _shim(os.fsdecode(data), descriptors[1], first, orders, problem)


def _own_namespaces() -> None:
    # The mounts come later: until then, a namespace of them would hold on to disks that somebody wants to unmount.
    if os.geteuid() == 0:
        _call("unshare", NEW_IPC_UTS_PROCESSES)
        return
    user, group = os.geteuid(), os.getegid()
    _call("unshare", NEW_USER | NEW_IPC_UTS_PROCESSES)
    for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)


def _shim(folder: str, log: int, first: int, orders: socket.socket | None, problem: str) -> NoReturn:
    """See the container through to its end."""
    code, kills = SETUP_FAILED, 0
    try:
        os.dup2(log, 2)
        os.chdir(folder)
        with open("plan.json", "rb") as file:
            plan = json.load(file)
        with open("started", "w") as file:
            file.write(f"{os.getpid()}\n")
    except BaseException as error:  # nothing has run: `poll` will say so
        _say(f"it could not be started: {error}")
        os._exit(1)
    try:
        if orders is None:
            raise OSError(problem)
        socket.send_fds(orders, [os.fsencode(folder)], [log])
        code = _code(os.waitpid(first, 0)[1])
    except BaseException as error:
        _say(f"it could not be set up: {error}")
    with contextlib.suppress(OSError):
        kills = _oom_kills(plan["cgroups"])
        for cgroup in plan["cgroups"]:
            os.rmdir(cgroup)
    try:
        with open("exit.new", "w") as file:
            file.write(f"{code} {kills}\n")
        os.rename("exit.new", "exit")
    finally:
        os._exit(0)


def _first(orders: socket.socket) -> NoReturn:
    """The container's first process."""
    try:
        _prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        data, descriptors, _, _ = socket.recv_fds(orders, 65536, 1)
        if not data:
            os._exit(SETUP_FAILED)  # the shim is gone already
        orders.close()
        log = descriptors[0]
        nothing = os.open("/dev/null", os.O_RDONLY)
        for source, target in ((nothing, 0), (log, 1), (log, 2)):
            os.dup2(source, target)
        os.close(log)
        os.chdir(os.fsdecode(data))
        with open("plan.json", "rb") as file:
            plan = json.load(file)
        os._exit(_container(plan))
    except BaseException as error:
        _say(f"it could not be set up: {error}")
    finally:
        os._exit(SETUP_FAILED)


def _container(plan: dict[str, Any]) -> int:
    for cgroup in plan["cgroups"]:
        _join(cgroup)
    if plan["cpus"]:
        os.sched_setaffinity(0, plan["cpus"])
    network = _own_network(plan["network"]) if plan["network"] else None
    _mount_all(plan)
    _give_up_powers(keep=() if plan["user_namespace"] else KEPT_CAPABILITIES)
    main = _program(plan)
    if network is not None and os.fork() == 0:
        _keep_door(*network)
    while True:
        pid, status = os.wait()
        if pid == main:
            return _code(status)


def _join(cgroup: str) -> None:
    # This process has one thread, and moving a thread doesn't wait, as moving a process does, until no process of the
    # whole machine is just forking (often 10 ms). In version 2 only whole processes can be moved.
    name = "tasks" if os.path.exists(f"{cgroup}/tasks") else "cgroup.procs"
    with open(f"{cgroup}/{name}", "w") as file:
        file.write("0")


def _own_network(wanted: dict[str, Any]) -> tuple[socket.socket, socket.socket | None] | None:
    """Leave the host's network for one of the container's own; what leads into it, and out of it (the gate)."""
    _call("unshare", NEW_NETWORK)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        found = fcntl.ioctl(any_socket, GET_INTERFACE_FLAGS, struct.pack("16sH22x", b"lo", 0))
        flags = struct.unpack_from("16sH", found)[1] | INTERFACE_UP
        fcntl.ioctl(any_socket, SET_INTERFACE_FLAGS, struct.pack("16sH22x", b"lo", flags))
    if not wanted["door"]:
        return None
    gate = None
    if wanted["gate"]:
        gate = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        gate.bind(("127.0.0.1", wanted["gate"]))
        gate.listen(128)
    door = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    door.bind(DOOR)
    door.listen(64)
    return door, gate


def _keep_door(door: socket.socket, gate: socket.socket | None) -> NoReturn:
    """Hand out sockets until the container ends."""
    try:
        os.setpgid(0, 0)  # what the program sends to its group is not meant
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        _prctl(SET_DUMPABLE, 0)
        while True:
            caller, _ = door.accept()
            with caller, contextlib.suppress(OSError):
                if caller.recv(1) != GATE:
                    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as made:
                        socket.send_fds(caller, [SOCKET], [made.fileno()])
                elif gate is not None:
                    socket.send_fds(caller, [GATE], [gate.fileno()])
    finally:
        os._exit(0)


def _mount_all(plan: dict[str, Any]) -> None:
    """Make the container's file system below `root` and move into it."""
    _call("unshare", NEW_MOUNTS)
    _mount(None, "/", None, RECURSIVE | PRIVATE)
    for kind, path, source, folder, file in plan["steps"]:
        _STEPS[kind](f"root{path}" if path != "/" else "root", source, folder, file)
    for name in COVERED:
        if os.path.exists(f"root/proc/{name}"):
            _read_only(f"root/proc/{name}", f"root/proc/{name}", True, "")
    os.chdir("root")
    _call("pivot_root", b".", b".")
    _call("umount2", b".", DETACH)
    os.chdir("/")


def _tmpfs(target: str, _source: str, _folder: bool, _file: str) -> None:
    _mount_point(target, folder=True)
    _mount("tmpfs", target, "tmpfs", NO_SUID | NO_DEV, "mode=0755")


def _folder(target: str, _source: str, _folder: bool, _file: str) -> None:
    os.makedirs(target, exist_ok=True)


def _link(target: str, source: str, _folder: bool, _file: str) -> None:
    os.symlink(source, target)


def _writable(target: str, source: str, folder: bool, _file: str) -> None:
    _mount_point(target, folder=folder)
    _mount(source, target, None, BIND | RECURSIVE)


def _read_only(target: str, source: str, folder: bool, _file: str) -> None:
    _writable(target, source, folder, "")
    attributes = (ctypes.c_uint64 * 4)(READ_ONLY, 0, 0, 0)
    if _libc.syscall(MOUNT_SETATTR, HERE, os.fsencode(target), ALL_BELOW, attributes, ctypes.c_size_t(32)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"making {target} read-only: {os.strerror(number)}")


def _copy(target: str, options: str, folder: bool, file: str) -> None:
    _mount_point(target, folder=folder)
    if folder:
        _mount("overlay", target, "overlay", 0, options)
        return
    os.mkdir("root/.copy")
    _mount("overlay", "root/.copy", "overlay", 0, options)
    _mount(f"root/.copy/{file}", target, None, BIND)
    _call("umount2", b"root/.copy", DETACH)
    os.rmdir("root/.copy")


def _proc(target: str, _source: str, _folder: bool, _file: str) -> None:
    os.mkdir(target)
    _mount("proc", target, "proc", NO_SUID | NO_DEV | NO_EXEC)


def _dev(target: str, _source: str, _folder: bool, _file: str) -> None:
    os.mkdir(target)
    for name in DEVICES:
        _device(f"{target}/{name}", "", False, "")
    for name, to in (("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"), ("stderr", "fd/2")):
        os.symlink(f"/proc/self/{to}", f"{target}/{name}")
    os.symlink("pts/ptmx", f"{target}/ptmx")
    for name, kind, flags, options in (
        ("shm", "tmpfs", NO_SUID | NO_DEV, "mode=1777"),
        ("pts", "devpts", NO_SUID | NO_EXEC, "newinstance,ptmxmode=0666,mode=0620"),
    ):
        os.mkdir(f"{target}/{name}")
        _mount(kind, f"{target}/{name}", kind, flags, options)


def _device(target: str, _source: str, _folder: bool, _file: str) -> None:
    name = target[len("root") :]
    _writable(target, name, os.path.isdir(name), "")


def _nothing_there(target: str, _source: str, _folder: bool, _file: str) -> None:
    _mount("/dev/null", target, None, BIND)


def _mount_point(path: str, *, folder: bool) -> None:
    if os.path.exists(path):
        return
    os.makedirs(path if folder else os.path.dirname(path), exist_ok=True)
    if not folder:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))


_STEPS = {
    "tmpfs": _tmpfs,
    "folder": _folder,
    "link": _link,
    "rw": _writable,
    "ro": _read_only,
    "copy": _copy,
    "proc": _proc,
    "dev": _dev,
    "device": _device,
    "nothing": _nothing_there,
}


def _give_up_powers(keep: tuple[int, ...]) -> None:
    for capability in range(64):
        if capability not in keep:
            with contextlib.suppress(OSError):  # past the last one that this kernel has
                _prctl(DROP_BOUNDING, capability)
    _prctl(SET_NO_NEW_PRIVILEGES, 1)
    mask = sum(1 << capability for capability in keep)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    data = (ctypes.c_uint32 * 6)(mask, mask, 0, 0, 0, 0)
    _call("capset", header, data)


def _program(plan: dict[str, Any]) -> int:
    """Start the main process; ends this one, with a line in the log, when it can't be executed."""
    argv, environment = plan["argv"], plan["environment"]
    path = environment.get("PATH", os.defpath)
    try:
        os.chdir(plan["working_directory"])
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        if plan["data_limit"]:
            resource.setrlimit(resource.RLIMIT_DATA, (plan["data_limit"], plan["data_limit"]))
        return os.posix_spawn(_found(argv[0], path), argv, environment, setsigdef=DEFAULT_SIGNALS)
    except FileNotFoundError as error:
        about = "it, or the interpreter that its first line names, is not in the container"
        _say(f"{argv[0]}: {about}; PATH is {path}" if error.filename == argv[0] else str(error))
        os._exit(NOT_FOUND)
    except OSError as error:
        _say(f"{argv[0]}: can't be executed: {error.strerror}")
        os._exit(NOT_EXECUTABLE)


def _found(name: str, path: str) -> str:
    if "/" not in name:
        for folder in path.split(":"):
            place = f"{folder or '.'}/{name}"
            if os.access(place, os.X_OK) and not os.path.isdir(place):
                return place
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
    return name


def _oom_kills(cgroups: list[str]) -> int:
    for cgroup in cgroups:
        for name in ("memory.events", "memory.oom_control"):
            with contextlib.suppress(FileNotFoundError), open(f"{cgroup}/{name}") as file:
                for line in file:
                    key, _, value = line.partition(" ")
                    if key == "oom_kill":
                        return int(value)
    return 0


def _code(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return code if code >= 0 else 128 - code


def _mount(source: str | None, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    words = [None if word is None else os.fsencode(word) for word in (source, target, kind, options)]
    if _libc.mount(words[0], words[1], words[2], ctypes.c_ulong(flags), words[3]) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"mounting {source} at {target}: {os.strerror(number)}")


def _call(name: str, *arguments: Any) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def _prctl(option: int, value: int) -> None:
    _call("prctl", option, *(ctypes.c_ulong(word) for word in (value, 0, 0, 0)))


def _say(text: str) -> None:
    os.write(2, f"modelwright: {text}\n".encode(errors="replace"))


def _nothing(_number: int, _frame: object) -> None:
    """A handler that does nothing: unlike an ignored signal, programs don't inherit it."""


if __name__ == "__main__":
    main(int(sys.argv[1]))
