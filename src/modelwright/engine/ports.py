"""Which port an endpoint's container listens on, where it shares this machine's network.

AWS's contract says port 8080, so a container is told another one by SAGEMAKER_BIND_TO_PORT, as AWS's own images
understand it. The first one that isn't known to understand it gets 8080 itself, which is reserved among the servers of
this machine; a second such container at the same time is told, when it fails, who has the port.
"""

from __future__ import annotations

import socket
import sys
import threading
from pathlib import Path

from modelwright.runtimes.base import Image

CONTRACT_PORT = 8080
BINDS_TO_PORT = "com.amazonaws.sagemaker.capabilities.accept-bind-to-port"
"""The label of images whose server listens where SAGEMAKER_BIND_TO_PORT says."""


def understands_ports(image: Image) -> bool:
    """Whether its server is known to listen where it is told: by AWS's label, or because it is our own `serve`."""
    if image.labels.get(BINDS_TO_PORT, "").lower() == "true":
        return True
    if image.entrypoint:
        return False
    if image.root is None:
        return True
    if image.python is not None and (image.python / "bin" / "serve").exists():
        return False
    for folder in image.environment.get("PATH", "").split(":"):
        if (image.root / folder.lstrip("/") / "serve").exists():
            return False
        if folder.endswith("/launchers") and Path(folder, "serve").exists():
            return True
    return False


class Ports:
    """The ports of attempts, by their key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._given: dict[str, set[int]] = {}
        self._reservation: socket.socket | None = None
        """What keeps other servers of this machine from giving away the contract's port too."""

    def keep(self, key: str, port: int) -> None:
        """An earlier process has given it away."""
        with self._lock:
            self._given.setdefault(key, set()).add(port)

    def give(self, key: str, *, any_will_do: bool) -> int:
        """8080 for a container that may know no other, where it is free; else any."""
        with self._lock:
            taken = {port for ports in self._given.values() for port in ports}
            port = 0
            if not any_will_do and CONTRACT_PORT not in taken:
                self._reservation = _reserve(CONTRACT_PORT)
                port = CONTRACT_PORT if self._reservation is not None else 0
            while not port or port in taken:
                port = _any_port()
            self._given.setdefault(key, set()).add(port)
            return port

    def give_back(self, key: str) -> None:
        """All that this attempt had."""
        with self._lock:
            if CONTRACT_PORT in self._given.pop(key, set()):
                self._let_go()

    def hint(self, port: int) -> str:
        """What to know when nothing answers at `port`: a sentence, or nothing."""
        holder = next((key for key, ports in self._given.items() if CONTRACT_PORT in ports), "")
        if port == CONTRACT_PORT or not holder:
            return ""
        return (
            f"It was to listen on SAGEMAKER_BIND_TO_PORT, {port}; port {CONTRACT_PORT} is held by instance "
            f"{holder.partition('/')[0]}. "
        )

    def close(self) -> None:
        """Instances go on serving; the next server finds out what they hold."""
        with self._lock:
            self._let_go()

    def _let_go(self) -> None:
        if self._reservation is not None:
            self._reservation.close()
            self._reservation = None


def _any_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _reserve(port: int) -> socket.socket | None:
    """A port that nobody uses, and that no other server gives away as long as the result is open; None: it is used."""
    reservation = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if sys.platform.startswith("linux"):
            reservation.bind(f"\0modelwright-port-{port}")  # a name in memory, gone with this process
        if _is_free(port):
            return reservation
    except OSError:
        pass
    reservation.close()
    return None


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104 - looked at, never listened on
        except OSError:
            return False
    return True
