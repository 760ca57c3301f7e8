"""`docker` inside a build: builds, names and pushes images through the desk outside the sandbox (engine/docker.py).

Runs with the standard library alone. What it has not is an error that says so.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import socket
import sys
import tarfile
import time
from pathlib import Path
from typing import Any, NoReturn

ROOT = Path(os.environ.get("MODELWRIGHT_BUILD", "/codebuild")) / "docker"
VERSION = "27.0.0"
KNOWN = ("build", "tag", "push", "pull", "login", "logout", "images", "rmi", "inspect", "info", "version")
_WAIT = 120.0
"""Seconds that a server which was restarted may need."""


def main(words: list[str]) -> int:
    while words and words[0] in ("-D", "--debug"):
        words = words[1:]
    if not words or words[0] in ("--help", "help"):
        print(f"docker, as builds of Modelwright have it: {', '.join(KNOWN)}")
        return 0
    if words[0] in ("-v", "--version"):
        print(f"Docker version {VERSION}, build modelwright")
        return 0
    if words[:2] in (
        ["image", "build"],
        ["buildx", "build"],
        ["image", "push"],
        ["image", "pull"],
        ["image", "inspect"],
        ["image", "tag"],
    ):
        words = words[1:]
    elif words[:2] == ["image", "ls"]:
        words = ["images", *words[2:]]
    elif words[:2] == ["image", "rm"]:
        words = ["rmi", *words[2:]]
    verb = words[0]
    if verb not in KNOWN:
        fail(f"'docker {verb}' is not supported: builds of Modelwright have {', '.join(KNOWN)}.")
    return int(globals()[f"_{verb}"](words[1:]) or 0)


def _build(words: list[str]) -> None:
    parser = _Parser("build")
    parser.add_argument("-t", "--tag", action="append", default=[])
    parser.add_argument("-f", "--file")
    parser.add_argument("--build-arg", action="append", default=[])
    parser.add_argument("--target")
    parser.add_argument("--platform")
    parser.add_argument("--no-cache", action="store_true")
    parser.add_argument("--push", action="store_true")
    for harmless in ("--pull", "--rm", "--force-rm", "--quiet", "-q", "--load"):
        parser.add_argument(harmless, action="store_true")
    for harmless in ("--progress", "--network", "--provenance", "--cache-from", "--cache-to"):
        parser.add_argument(harmless)
    parser.add_argument("context")
    given = parser.parse_args(words)
    if given.platform and given.platform.split("/")[:2] != ["linux", _machine()]:
        fail(f"--platform {given.platform} can't be built here: this machine is linux/{_machine()}.")
    if given.network not in (None, "host", "default"):
        fail(f"--network {given.network} is not supported here.")
    connected().close()
    context = Path(given.context)
    if not context.is_dir():
        fail(f"path {given.context!r} not found: the context must be a folder")
    file = Path(given.file) if given.file else context / "Dockerfile"
    try:
        dockerfile = sys.stdin.read() if given.file == "-" else file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        fail(f"unable to prepare context: the Dockerfile {file} can't be read: {error}")
    arguments = {}
    for pair in given.build_arg:
        name, separator, value = pair.partition("=")
        if separator or name in os.environ:
            arguments[name] = value if separator else os.environ[name]
    archive = ROOT / f"context-{os.getpid()}-{time.time_ns()}.tar"
    try:
        try:
            with tarfile.open(archive, "w") as content:
                content.add(context, ".")
        except (OSError, ValueError) as error:
            fail(f"unable to prepare context {given.context!r}: {error}")
        print(f"Sending build context to the image builder  {archive.stat().st_size / 1024:.1f}kB", flush=True)
        ask(
            verb="build",
            context=archive.name,
            dockerfile=dockerfile,
            tags=given.tag,
            arguments=arguments,
            target=given.target,
            fresh=given.no_cache,
        )
    finally:
        archive.unlink(missing_ok=True)
    for tag in given.tag if given.push else ():
        _push([tag])


def _tag(words: list[str]) -> None:
    parser = _Parser("tag")
    parser.add_argument("source")
    parser.add_argument("target")
    given = parser.parse_args(words)
    ask(verb="tag", source=given.source, target=given.target)


def _push(words: list[str]) -> None:
    parser = _Parser("push")
    parser.add_argument("-q", "--quiet", action="store_true")
    parser.add_argument("image")
    given = parser.parse_args(words)
    host = given.image.partition("/")[0]
    if ".dkr.ecr." not in host:
        fail(f"denied: {given.image} is in no registry of ECR; images are pushed to ECR only")
    if host not in _logins():
        fail(f"no basic auth credentials: docker login {host} first")
    ask(verb="push", image=given.image)


def _pull(words: list[str]) -> None:
    parser = _Parser("pull")
    parser.add_argument("-q", "--quiet", action="store_true")
    parser.add_argument("--platform")
    parser.add_argument("image")
    ask(verb="pull", image=parser.parse_args(words).image)


def _login(words: list[str]) -> None:
    parser = _Parser("login")
    parser.add_argument("-u", "--username", default="")
    parser.add_argument("-p", "--password", default="")
    parser.add_argument("-e", "--email")
    parser.add_argument("--password-stdin", action="store_true")
    parser.add_argument("server", nargs="?", default="https://index.docker.io/v1/")
    given = parser.parse_args(words)
    password = sys.stdin.read().strip() if given.password_stdin else given.password
    if not given.username or not password:
        fail("username and password must be given (--username, --password-stdin)")
    host = given.server.partition("://")[2] or given.server
    logins = _logins()
    logins[host.partition("/")[0]] = {"auth": base64.b64encode(f"{given.username}:{password}".encode()).decode()}
    _keep(logins)
    print("Login Succeeded")


def _logout(words: list[str]) -> None:
    logins = _logins()
    host = words[0].partition("://")[2] or words[0] if words else "index.docker.io"
    logins.pop(host.partition("/")[0], None)
    _keep(logins)
    print(f"Removing login credentials for {host}")


def _images(words: list[str]) -> None:
    parser = _Parser("images")
    parser.add_argument("-q", "--quiet", action="store_true")
    given = parser.parse_args(words)
    found = [json.loads(line) for line in ask(silent=True, verb="images")]
    if not given.quiet:
        print(f"{'REPOSITORY':<60} {'TAG':<20} {'IMAGE ID':<14} SIZE")
    for image in found:
        identity = image["digest"].removeprefix("sha256:")[:12]
        repository, _, tag = image["name"].rpartition(":")
        print(identity if given.quiet else f"{repository:<60} {tag:<20} {identity:<14} {image['size']}B")


def _rmi(words: list[str]) -> None:
    parser = _Parser("rmi")
    parser.add_argument("-f", "--force", action="store_true")
    parser.add_argument("image", nargs="+")
    for image in parser.parse_args(words).image:
        ask(verb="untag", image=image)


def _inspect(words: list[str]) -> None:
    shown = []
    for name in (word for word in words if not word.startswith("-")):
        record = json.loads(ask(silent=True, verb="inspect", image=name)[0])
        config = record["config"]
        shown.append(
            {
                "Id": record["digest"],
                "RepoTags": [name],
                "Os": "linux",
                "Architecture": _machine(),
                "Size": record["size"],
                "Config": {
                    "Env": [f"{key}={value}" for key, value in config["environment"].items()],
                    "Entrypoint": config["entrypoint"],
                    "Cmd": config["command"],
                    "WorkingDir": config["working_directory"],
                    "Labels": config["labels"],
                },
            }
        )
    print(json.dumps(shown, indent=4))


def _info(words: list[str]) -> None:
    connected().close()
    print(f"Server:\n Server Version: {VERSION}\n Operating System: Modelwright\n OSType: linux")
    print(f" Architecture: {_machine()}")


def _version(words: list[str]) -> None:
    print(f"Client:\n Version: {VERSION}\n\nServer: Modelwright's image builder\n Version: {VERSION}")


class _Parser(argparse.ArgumentParser):
    def __init__(self, verb: str) -> None:
        super().__init__(prog=f"docker {verb}", allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        fail(f"{self.prog}: {message} (builds of Modelwright have a part of Docker's options)", 125)


def ask(*, silent: bool = False, **request: Any) -> list[str]:
    """Ask the desk, show what it says; what it said. A server that was restarted meanwhile is asked again."""
    deadline = time.monotonic() + _WAIT
    while True:
        try:
            with connected() as connection:
                connection.sendall(json.dumps(request).encode() + b"\n")
                return _listen(connection.makefile("rb"), silent)
        except (ConnectionError, EOFError):
            if time.monotonic() > deadline:
                fail("the connection to the image builder was lost")
            time.sleep(0.2)


def _listen(answers: io.BufferedReader, silent: bool) -> list[str]:
    said: list[str] = []
    for line in answers:
        told = json.loads(line)
        if "status" in told:
            if told["status"]:
                fail(told.get("error", ""), told["status"])
            return said
        said.append(told["line"])
        if not silent:
            print(told["line"], flush=True)
    raise EOFError


def connected() -> socket.socket:
    if os.environ.get("MODELWRIGHT_UNPRIVILEGED"):
        fail(
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running? "
            "(The build project's environment must have privilegedMode, here as on AWS.)"
        )
    deadline = time.monotonic() + _WAIT
    while True:
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(str(ROOT / "docker.sock"))
            return connection
        except OSError as error:
            connection.close()
            if time.monotonic() > deadline:
                fail(f"Cannot connect to the image builder: {error}")
            time.sleep(0.1)


def _logins() -> dict[str, Any]:
    try:
        return dict(json.loads(_config().read_text())["auths"])
    except (OSError, ValueError, KeyError):
        return {}


def _keep(logins: dict[str, Any]) -> None:
    _config().parent.mkdir(parents=True, exist_ok=True)
    _config().write_text(json.dumps({"auths": logins}))


def _config() -> Path:
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"


def _machine() -> str:
    return {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)


def fail(message: str, status: int = 1) -> NoReturn:
    print(message, file=sys.stderr, flush=True)
    sys.exit(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
