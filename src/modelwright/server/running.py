"""Which server runs on a home folder, and where it is reached: the lock and `server.json`.

The lock is the kernel's: it goes with the process, however that ends; the file left by a killed server is therefore
never believed without it. Apart from `serve`, because every command of the command line asks, and none of them should
wait for a web server to be imported.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelwright import __version__
from modelwright.config import Settings
from modelwright.errors import ConfigurationError

_LOCK_TRIES = 5
_LOCK_PAUSE = 0.02


@dataclass(frozen=True)
class Running:
    """A server that answers: what `server.json` holds."""

    pid: int
    host: str
    port: int
    url: str
    version: str = __version__


@contextlib.contextmanager
def locked(settings: Settings) -> Iterator[None]:
    """Be the only server of this home. Raises ConfigurationError."""
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        handle = os.open(settings.server_lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ConfigurationError(
            f"The home folder {settings.home} can't be used: {error.strerror or error}. "
            "Choose another with --home DIR or MODELWRIGHT_HOME."
        ) from error
    try:
        if not _taken(handle):
            present = _read(settings.server_file)
            where = f"at {present.url} (process {present.pid})" if present else "and is just starting"
            raise ConfigurationError(
                f"A server already runs on {settings.home} {where}. Use it, stop it with `modelwright down`, "
                "or start another on a home of its own with --home DIR."
            )
        settings.server_file.unlink(missing_ok=True)  # a killed server's
        yield
    finally:
        os.close(handle)


def _taken(handle: int) -> bool:
    """Take the lock. Tried a few times, because `running` holds it for a moment too when it looks."""
    for _ in range(_LOCK_TRIES):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(_LOCK_PAUSE)
    return False


def running(settings: Settings) -> Running | None:
    """The server that runs on this home, or None. Believes the lock, not the file."""
    present = _read(settings.server_file)
    if present is None or not _lives(present.pid):
        return None
    return present if held(settings) else None


def held(settings: Settings) -> bool:
    """Whether a server has this home: it runs, is just starting, or is not quite gone."""
    try:
        handle = os.open(settings.server_lock, os.O_RDONLY)
    except PermissionError:
        return True  # another user's
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(handle)


def _lives(pid: int) -> bool:
    """Tells a killed server's file from its successor's, in the moment between the successor's lock and its file."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass  # another user's
    return True


def is_loopback(host: str) -> bool:
    """Whether an address (or `localhost`) is reached from this machine only."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _read(path: Path) -> Running | None:
    try:
        content = json.loads(path.read_bytes())
        return Running(**{name: content[name] for name in ("pid", "host", "port", "url", "version")})
    except (OSError, ValueError, KeyError, TypeError):
        return None
