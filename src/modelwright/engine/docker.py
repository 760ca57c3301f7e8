"""The `docker` command of builds: what `build_tools/docker.py` asks for inside a sandbox is done here, outside of it.

Each build has a socket in a folder that its container alone sees; who can connect is this build, and needs no further
credentials. A build context comes as an archive made inside the sandbox, so it has nothing that the build can't see,
and is unpacked into the build's own folder. Images are known to their build by name until they are pushed; a push is
refused as ECR refuses it. The image builder runs in a process of its own, which ends when the connection does: a build
that is stopped takes it along.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from modelwright.config import Settings
from modelwright.engine.values import Call
from modelwright.errors import AwsError, ConfigurationError, ValidationException
from modelwright.images.base import Images
from modelwright.images.uris import parse_reference

_log = logging.getLogger(__name__)

SOCKET = "docker.sock"
_REQUEST = 4 << 20
_BACKLOG = 16

Say = Callable[[str], None]


@dataclass
class _Desk:
    """One build's."""

    folder: Path
    region: str
    listener: socket.socket
    lock: threading.Lock = field(default_factory=threading.Lock)
    connections: set[socket.socket] = field(default_factory=set)
    count: int = 0

    @property
    def shared(self) -> Path:
        return self.folder / "docker"

    @property
    def names(self) -> Path:
        return self.folder / "images.json"


class DockerDesk:
    """Answers the builds of one server."""

    def __init__(self, *, images: Images, settings: Settings, call: Call) -> None:
        self._images = images
        self._settings = settings
        self._call = call
        self._lock = threading.Lock()
        self._desks: dict[str, _Desk] = {}

    def folder(self, build: Path) -> Path:
        """The folder of the socket, which the container sees."""
        place = build / "docker"
        place.mkdir(exist_ok=True)
        return place

    def open(self, stream: str, build: Path, region: str) -> None:
        """Answer this build's requests; again is once."""
        with self._lock:
            if stream in self._desks:
                return
            desk = _Desk(build, region, _listen(self.folder(build)))
            self._desks[stream] = desk
        threading.Thread(target=self._accept, args=(desk,), name=f"docker {stream}", daemon=True).start()

    def close(self, stream: str) -> None:
        """Answer no more, and end what is under way."""
        with self._lock:
            desk = self._desks.pop(stream, None)
        if desk is not None:
            _shut(desk.listener)
            with desk.lock:
                connections = list(desk.connections)
            for connection in connections:
                _shut(connection)

    def close_all(self) -> None:
        """The server ends; the builds go on and ask the next one."""
        with self._lock:
            streams = list(self._desks)
        for stream in streams:
            self.close(stream)

    def _accept(self, desk: _Desk) -> None:
        while True:
            try:
                connection, _ = desk.listener.accept()
            except OSError:
                return
            with desk.lock:
                desk.connections.add(connection)
            threading.Thread(target=self._serve, args=(desk, connection), name="docker request", daemon=True).start()

    def _serve(self, desk: _Desk, connection: socket.socket) -> None:
        sending = threading.Lock()

        def send(**message: Any) -> None:
            with sending:
                connection.sendall(json.dumps(message).encode() + b"\n")

        try:
            with connection.makefile("rb") as lines:
                request = json.loads(lines.readline(_REQUEST))
                try:
                    _VERBS[request["verb"]](self, desk, request, lambda line: send(line=line), connection)
                    send(status=0)
                except (AwsError, ConfigurationError) as error:
                    send(status=1, error=str(error))
                except (OSError, ValueError) as error:  # a context that this machine can't hold or read
                    send(status=1, error=f"docker {request['verb']} failed: {error}")
        except Exception as error:  # it has gone, or is no docker of ours
            _log.debug("a request of %s for docker came to nothing: %r", desk.folder, error)
        finally:
            _shut(connection)
            with desk.lock:
                desk.connections.discard(connection)

    # Verbs

    def _build(self, desk: _Desk, request: Mapping[str, Any], say: Say, connection: socket.socket) -> None:
        for tag in request["tags"]:
            _taggable(tag)
        with desk.lock:
            desk.count += 1
            place = desk.folder / "contexts" / f"{os.getpid()}-{desk.count}"
        context = place / "context"
        context.mkdir(parents=True)
        try:
            _unpack(desk.shared / os.path.basename(request["context"]), context, say)
            (place / "Dockerfile").write_text(request["dockerfile"])
            record = self._separately(desk, request, place, say, connection)
        finally:
            shutil.rmtree(place, ignore_errors=True)
        self._name(desk, record, request["tags"])
        say(f"Successfully built {record['digest'].removeprefix('sha256:')[:12]}")
        for tag in request["tags"]:
            say(f"Successfully tagged {parse_reference(tag)}")

    def _separately(
        self, desk: _Desk, request: Mapping[str, Any], place: Path, say: Say, connection: socket.socket
    ) -> dict[str, Any]:
        """Run the image builder in a process that ends with the connection."""
        settings = {
            key: str(value) if isinstance(value, Path) else value for key, value in asdict(self._settings).items()
        }
        order = {
            "settings": settings,
            "folder": str(place / "context"),
            "dockerfile": str(place / "Dockerfile"),
            "arguments": request["arguments"],
            "target": request["target"],
            "fresh": request["fresh"],
            "names": _read(desk.names),
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "modelwright.images.separate"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )

        def until_gone() -> None:
            with contextlib.suppress(OSError):
                connection.recv(1)  # nothing more comes: it returns when the other side has gone
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)

        assert process.stdin is not None
        assert process.stdout is not None
        threading.Thread(target=until_gone, name="docker build", daemon=True).start()
        found: dict[str, Any] = {}
        with process:
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
            for line in process.stdout:
                try:
                    told = json.loads(line)
                except ValueError:
                    told = {"line": line.decode(errors="replace").rstrip()}
                if "line" in told:
                    say(str(told["line"]))
                else:
                    found = told
        if "record" in found:
            record: dict[str, Any] = found["record"]
            return record
        text = found.get("error") or f"the image builder ended with status {process.returncode}"
        raise AwsError(str(text), code="ImageBuildFailed")

    def _tag(self, desk: _Desk, request: Mapping[str, Any], say: Say, connection: socket.socket) -> None:
        _taggable(request["target"])
        self._name(desk, self._find(desk, request["source"]), [request["target"]])

    def _push(self, desk: _Desk, request: Mapping[str, Any], say: Say, connection: socket.socket) -> None:
        uri = request["image"]
        reference = _taggable(uri)
        record = self._find(desk, uri)
        say(f"The push refers to repository [{uri.rpartition('/')[0]}/{reference.name}]")
        try:
            self._call(desk.region, "ecr", "DescribeRepositories", {"repositoryNames": [reference.repository]})
        except AwsError as error:
            if error.code == "RepositoryNotFoundException":
                raise AwsError(f"name unknown: {error.message}", code="PushRefused") from error
            raise
        self._images.publish(uri, record)
        say(f"{reference.tag}: digest: {record['digest']} size: {record['size']}")

    def _pull(self, desk: _Desk, request: Mapping[str, Any], say: Say, connection: socket.socket) -> None:
        record = dict(self._images.record(request["image"], say))
        self._name(desk, record, [request["image"]])
        say(f"Digest: {record['digest']}")
        say(f"Status: Image is up to date for {request['image']}")

    def _images_list(self, desk: _Desk, request: Mapping[str, Any], say: Say, connection: socket.socket) -> None:
        for name, record in sorted(_read(desk.names).items()):
            say(json.dumps({"name": name, **{key: record[key] for key in ("digest", "size", "created", "config")}}))

    def _untag(self, desk: _Desk, request: Mapping[str, Any], say: Say, connection: socket.socket) -> None:
        self._find(desk, request["image"])
        name = str(parse_reference(request["image"]))
        with desk.lock:
            _write(desk.names, {key: record for key, record in _read(desk.names).items() if key != name})
        say(f"Untagged: {name}")

    def _inspect(self, desk: _Desk, request: Mapping[str, Any], say: Say, connection: socket.socket) -> None:
        record = self._find(desk, request["image"])
        say(json.dumps({key: record[key] for key in ("digest", "size", "created", "config")}))

    # Names

    def _find(self, desk: _Desk, uri: str) -> dict[str, Any]:
        record: dict[str, Any] | None = _read(desk.names).get(str(parse_reference(uri)))
        if record is None:
            raise AwsError(f"An image does not exist locally with the tag: {uri}", code="NoSuchImage")
        return record

    def _name(self, desk: _Desk, record: Mapping[str, Any], uris: list[str]) -> None:
        with desk.lock:
            _write(desk.names, _read(desk.names) | {str(parse_reference(uri)): dict(record) for uri in uris})


_VERBS: Mapping[str, Callable[[DockerDesk, _Desk, Mapping[str, Any], Say, socket.socket], None]] = {
    "build": DockerDesk._build,
    "tag": DockerDesk._tag,
    "push": DockerDesk._push,
    "pull": DockerDesk._pull,
    "images": DockerDesk._images_list,
    "inspect": DockerDesk._inspect,
    "untag": DockerDesk._untag,
}


def _listen(folder: Path) -> socket.socket:
    """A socket in the folder. Its own path may be too long for one, the way over the folder's descriptor is not."""
    (folder / SOCKET).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        near = f"/proc/self/fd/{descriptor}"
        listener.bind(f"{near}/{SOCKET}" if os.path.isdir(near) else str(folder / SOCKET))
    finally:
        os.close(descriptor)
    listener.listen(_BACKLOG)
    return listener


def _shut(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


def _unpack(archive: Path, folder: Path, say: Say) -> None:
    """The build wrote the archive: nothing of it may lead out of the folder."""

    def inside(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo | None:
        try:
            return tarfile.data_filter(member, path)
        except tarfile.FilterError:
            say(f"Note: {member.name} is left out of the context: it leads elsewhere, or is no plain file.")
            return None

    descriptor = os.open(archive, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        with os.fdopen(descriptor, "rb") as file, tarfile.open(fileobj=file) as content:
            content.extractall(folder, filter=inside)  # noqa: S202 - the filter sees to it
    except tarfile.TarError as error:
        raise ValidationException(f"The build context can't be read: {error}") from error


def _read(names: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(names.read_text())
    except FileNotFoundError:
        return {}
    return found


def _write(names: Path, content: Mapping[str, Any]) -> None:
    new = names.with_suffix(".new")
    new.write_text(json.dumps(content))
    new.replace(names)


def _taggable(uri: str) -> Any:
    reference = parse_reference(uri)
    if reference.digest is not None:
        raise ValidationException(f"'{uri}' names a content: give the image a tag (REPOSITORY:TAG).")
    return reference
