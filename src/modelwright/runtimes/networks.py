"""A container's own network: nothing in it but its own 127.0.0.1, reached by sockets that are handed out of it.

A socket belongs for ever to the network in which it was made. So a small process inside the container (the launcher's
doorkeeper) makes sockets and hands them over by a Unix socket in the container's folder, which is the host's: whoever
has that folder can connect to the container's ports, and nobody else. The other way, a container that may reach this
machine's server has a listening socket at the server's own port in its network, the gate; the server asks for it and
accepts what comes. All of it lives as long as the container, whoever serves outside.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path

from modelwright.runtimes.launcher import DOOR, GATE, SOCKET

PATIENCE = 2.0
"""Seconds for an answer: the doorkeeper has only the container's share of the CPUs."""


def socket_into(folder: Path) -> socket.socket:
    """A TCP socket in the network of the container of this folder, not connected. Raises OSError."""
    return _ask(folder, SOCKET)


def gate_of(folder: Path) -> socket.socket:
    """The listening socket by which the container reaches the server. Raises OSError, also when it has none."""
    return _ask(folder, GATE)


def _ask(folder: Path, what: bytes) -> socket.socket:
    place = os.open(folder, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as door:
            door.settimeout(PATIENCE)
            door.connect(f"/proc/self/fd/{place}/{DOOR}")  # a socket's address may be 107 bytes long, a folder's more
            door.send(what)
            _, descriptors, _, _ = socket.recv_fds(door, 1, 1)
    finally:
        os.close(place)
    if not descriptors:
        raise ConnectionError("the container's network has no such socket")
    made = socket.socket(fileno=descriptors[0])
    if (made.family, made.type) != (socket.AF_INET, socket.SOCK_STREAM):  # the container may have made it
        made.close()
        raise ConnectionError("that is no socket of a container's network")
    return made
