"""The containers of endpoints' instances on this machine: their names, what each is started with, the ways into it.

An instance's attempt is one container or several, which begin and end together. A container that may know no port but
AWS's 8080 gets a network of its own, in which that is free; it reaches this server by a gate. One that can be told a
port shares this machine's network, and where networks of their own can't be had, all of them do (`ports`).
"""

from __future__ import annotations

import contextlib
import http.client
import logging
import os
import re
import shutil
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

from modelwright.arns import Arn
from modelwright.engine.capacity import Capacity, instance_type
from modelwright.engine.ports import BINDS_TO_PORT, CONTRACT_PORT, Ports, understands_ports
from modelwright.errors import ConfigurationError
from modelwright.lifecycles.endpoint import Endpoint, Instance, Part, Variant
from modelwright.runtimes.base import ContainerSpec, Handle, Image, Limits, Mount, Network, Running, Runtime

_log = logging.getLogger(__name__)

SUFFIX = ".replica"
_UNREACHED = re.compile("name resolution|Name or service not known|getaddrinfo|Network is unreachable|No route to host")
PING_TIMEOUT = 2.0
"""Seconds for an answer to /ping, as AWS documents them."""


class Gatekeeping(Protocol):
    """How containers with a network of their own reach this server. Safe to call from any thread."""

    def attend(self, container: str, gate: socket.socket) -> None:
        """Carry to the server what comes at the gate, once or again. Takes the socket over."""
        ...

    def leave(self, container: str) -> None:
        """The container has ended."""
        ...


class NoGates:
    """Where there is no server to be reached."""

    def attend(self, container: str, gate: socket.socket) -> None:
        gate.close()

    def leave(self, container: str) -> None: ...


class Hosted:
    """What the engine does with them."""

    def __init__(
        self,
        *,
        runtime: Runtime,
        folder: Path,
        capacity: Capacity,
        client_environment: Callable[[str, str], Mapping[str, str]],
        gates: Gatekeeping,
    ) -> None:
        self._runtime = runtime
        self._folder = folder
        self._capacity = capacity
        self._client_environment = client_environment
        self._gates = gates
        self._attended: set[str] = set()
        self._watched: set[str] = set()
        self.ports = Ports()

    def folder(self, container: str) -> Path:
        """Of a container, for what it sees as /opt/ml."""
        return self._folder / f"{container}{SUFFIX}"

    def place(self, one: Instance, variant: Variant, image: Image) -> Mapping[str, Any]:
        """Where a container listens, of the fact `Prepared`. Raises ConfigurationError when it can't be cut off."""
        told = understands_ports(image)
        if variant.isolated or not told:
            problem = self._runtime.network_problem()
            if not problem:
                return {"Port": CONTRACT_PORT, "Isolated": True}
            if variant.isolated:
                raise ConfigurationError(f"The network of the container can't be cut off: {problem}")
        return {"Port": self.ports.give(one.key, any_will_do=told)}

    def spec(
        self, state: Endpoint, variant: Variant, container: Mapping[str, Any], part: Part, image: Image
    ) -> ContainerSpec:
        region = Arn.parse(state.arn).region
        client: Mapping[str, str] = {}
        network = Network(door=True) if part.isolated else None
        if not variant.isolated:  # else there is nobody to talk to, and no credentials, as on AWS
            client = self._client_environment(region, f"endpoint/{Arn.parse(state.arn).name}")
            if part.isolated:
                network, client = _gated(client)
        mounts = [Mount(self.folder(part.container) / "ml", "/opt/ml", "rw")]
        mounts += [Mount(Path(path), path) for path in sorted({value for value in client.values() if _is_file(value)})]
        kind = instance_type(variant.instance_type)
        total = self._capacity.total
        share = self._capacity.share(kind) if kind else total
        return ContainerSpec(
            name=part.container,
            image=image,
            argv=(*image.entrypoint, "serve"),
            environment={
                **client,
                "AWS_REGION": region,
                **container.get("Environment", {}),
                "SAGEMAKER_BIND_TO_PORT": str(part.port),
            },
            mounts=tuple(mounts),
            limits=Limits(
                cpus=share.cpus if share.cpus < total.cpus else None,
                memory=share.memory if share.memory < total.memory else None,
            ),
            network=network,
        )

    def stop(self, one: Instance, grace: float) -> None:
        for part in one.parts:
            self._runtime.stop(Handle(**part.handle), grace=grace)

    def all_run(self, one: Instance) -> bool:
        return all(isinstance(self._runtime.poll(Handle(**part.handle)), Running) for part in one.parts)

    def watch(self, handle: Handle, resume: Callable[[], None]) -> None:
        def ended() -> None:
            self._watched.discard(handle.name)
            resume()

        if handle.name not in self._watched:
            self._watched.add(handle.name)
            self._runtime.watch(handle, ended)

    def ping(self, state: Endpoint, one: Instance) -> tuple[int, str]:
        """The number of the first container that something is wrong with, and what; empty when nothing is."""
        names = variant_of(state, one).names
        for number, (name, part) in enumerate(zip(names, one.parts, strict=True)):
            problem = _ping(part.port, self._socket(part))
            if problem:
                return number, problem if len(names) == 1 else f"container {name}: {problem}"
        return 0, ""

    def _socket(self, part: Part) -> Callable[[], socket.socket]:
        return partial(self._runtime.socket_into, part.container) if part.isolated else socket.socket

    def attend(self, state: Endpoint, one: Instance) -> None:
        """Let those with a network of their own reach this server; one that is only just coming up the next time."""
        if variant_of(state, one).isolated:
            return
        for part in one.parts:
            if part.isolated and part.container not in self._attended:
                with contextlib.suppress(OSError):
                    self._gates.attend(part.container, self._runtime.gate_of(part.container))
                    self._attended.add(part.container)

    def hint(self, state: Endpoint, one: Instance, tail: Sequence[str]) -> str:
        """What to know of its network when it ends like this: a sentence, or nothing."""
        shared = [part.port for part in one.parts if not part.isolated]
        if len(shared) < len(one.parts) and any(_UNREACHED.search(line) for line in tail):
            if variant_of(state, one).isolated:
                return "EnableNetworkIsolation leaves it without a network. "
            return (
                "It has a network of its own, in which Modelwright is reached, and anything else by HTTPS_PROXY alone; "
                f"an image with the label {BINDS_TO_PORT}=true shares this machine's. "
            )
        return next((hint for port in shared if (hint := self.ports.hint(port))), "")

    def abandon(self, state: Endpoint, one: Instance) -> None:
        """What there is of an attempt that never ran as a whole, perhaps some of its containers."""
        self.ports.give_back(one.key)
        for name in container_names(state, one):
            self._runtime.stop(Handle(self._runtime.name, name), grace=0)
            shutil.rmtree(self.folder(name), ignore_errors=True)

    def forget(self, one: Instance) -> None:
        """What an ended attempt leaves behind."""
        self.ports.give_back(one.key)
        for part in one.parts:
            self._attended.discard(part.container)
            self._gates.leave(part.container)
            try:
                self._runtime.remove(Handle(**part.handle))
            except Exception:
                _log.exception("what the runtime keeps of %s could not be removed", part.container)
            shutil.rmtree(self.folder(part.container), ignore_errors=True)


def variant_of(state: Endpoint, one: Instance) -> Variant:
    return state.known[one.fleet].variant(one.variant)


def container_names(state: Endpoint, one: Instance) -> list[str]:
    """The runtime's names of an attempt's containers. Unique for ever: the stream has the endpoint's time of creation
    in it."""
    first = f"{state.stream.replace('/', '.')}.{one.id}.{one.attempt}"
    return [first, *(f"{first}.{number}" for number in range(2, len(variant_of(state, one).containers) + 1))]


def _ping(port: int, made: Callable[[], socket.socket] = socket.socket) -> str:
    """What is wrong with a container; empty when nothing is. `made` makes a socket in its network."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.sock = made()
        connection.sock.settimeout(PING_TIMEOUT)
        connection.sock.connect(("127.0.0.1", port))
        connection.request("GET", "/ping")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return f"GET /ping on port {port}: {error or type(error).__name__}"
    finally:
        connection.close()
    return "" if status == 200 else f"GET /ping answered {status}"


def _gated(client: Mapping[str, str]) -> tuple[Network, Mapping[str, str]]:
    """A network with a gate, and the environment for it: the server is at 127.0.0.1 in there, whatever address it has
    outside, and never at the port of the contract."""
    url = client.get("AWS_ENDPOINT_URL", "")
    port = urlsplit(url).port
    if port is None:
        return Network(door=True), client
    gate = port if port != CONTRACT_PORT else CONTRACT_PORT - 1
    inside = {name: value.replace(url, f"http://127.0.0.1:{gate}") for name, value in client.items()}
    return Network(door=True, gate=gate), inside


def _is_file(value: str) -> bool:
    return value.startswith("/") and os.path.isfile(value)
