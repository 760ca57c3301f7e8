"""The server's side of the launcher: starts that process when it is first needed, and hands it jobs."""

from __future__ import annotations

import atexit
import contextlib
import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launcher.py")


def launch(folder: Path, lock: int, log: int) -> None:
    """Have the job that is planned in `folder` started. Returns when it is sure to be, if this process dies or not.

    The launcher gets copies of both descriptors. Raises OSError when there can't be a launcher.
    """
    _launcher.send(os.fsencode(folder), [lock, log])


class _Launcher:
    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._connection: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None

    def send(self, message: bytes, descriptors: list[int]) -> None:
        with self._guard:
            for attempt in (1, 2):
                if self._connection is None:
                    self._begin()
                assert self._connection is not None
                try:
                    socket.send_fds(self._connection, [message], descriptors)
                    if self._connection.recv(1):
                        return  # a shim has it, and no longer dies with the launcher
                except (BrokenPipeError, ConnectionResetError):
                    pass
                self._end()  # somebody killed it, and what it had not passed on
                if attempt == 2:
                    raise OSError("the launcher of containers was killed twice")

    def end(self) -> None:
        with self._guard:
            self._end()

    def _begin(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LAUNCHER), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                cwd="/",
                env={},
                start_new_session=True,
            )
        self._connection = ours

    def _end(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._process is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
            self._process = None


_launcher = _Launcher()
atexit.register(_launcher.end)
