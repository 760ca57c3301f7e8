"""`modelwright up`, `down`, `status`: the server of a home folder."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

import click

from modelwright.cli import instances
from modelwright.cli.commands import Command, pass_console, port_option, user_option
from modelwright.cli.console import NOT_RUNNING, Console, patience, stop_with, titled
from modelwright.errors import ConfigurationError
from modelwright.server.running import Running, held, running

START_SECONDS = 30
STOP_SECONDS = 30
STATUS_SECONDS = 5
HEALTH = "/modelwright/health"
_STOPPED = "Stopped. Running jobs go on; the next start takes them up again."


@click.command("up", cls=Command)
@click.option("--detach", is_flag=True, help="Return when it answers, and leave it running.")
@port_option
@pass_console
def up(console: Console, detach: bool) -> None:
    """Start the server of a home folder.

    In the foreground it runs until Ctrl-C; with --detach it goes on behind, and says in server.log of the home folder
    what it has to say. Starting it twice is no error with --detach.
    """
    if detach:
        server, fresh = start_detached(console)
        _tell(console, server, "answers" if fresh else "runs already and answers")
        return

    def ready(server: Running) -> None:
        _tell(console, server, "answers", ". Ctrl-C stops it.")
        sys.stdout.flush()

    from modelwright import app  # the whole platform, half a second: no other command needs it

    app.serve(console.settings, ready)
    names = instances.by_endpoint(instances.left_running(console.settings))
    console.tell(_STOPPED + (f" {_go_on(console, names)}" if names else ""))


def _tell(console: Console, server: Running, verb: str, further: str = "") -> None:
    """Where the server is, and a link into Studio. Not by rich: it would break a link that is longer than a line."""
    link = studio_link(console, server)
    if console.as_json:
        console.show({**_told(console, server), "Studio": link})
        return
    click.echo(f"Modelwright {verb} at {server.url} (home: {console.settings.home}){further}")
    click.echo(f"Studio, by a link that signs in once: {link}")


@click.command("studio", cls=Command)
@user_option
@pass_console
def studio(console: Console) -> None:
    """Print a link that signs in to Studio, the web UI, once, within half an hour."""
    server = running(console.settings)
    if server is None:
        raise ConfigurationError(
            f"No server runs on {console.settings.home}. Start one: {console.command('up --detach')}"
        )
    link = studio_link(console, server, console.user)
    if console.as_json:
        console.show({"Studio": link})
    else:
        click.echo(link)


def studio_link(console: Console, server: Running, user: str | None = None) -> str:
    """An address that signs in to the running server's Studio, once."""
    from modelwright.studio.session import links, sign_in_address  # more than other commands need

    key = console.key_of(user)
    secret = console.keys.signing("studio links")
    return sign_in_address(server.url, links(secret, server.pid, server.port, time.time), key.id)


def start_detached(console: Console) -> tuple[Running, bool]:
    """A server that outlives this command, and whether it was started now.

    Raises ConfigurationError with what it said when it did not start.
    """
    settings = console.settings
    if (present := running(settings)) is not None:
        return _as_wanted(console, present), False
    try:
        settings.home.mkdir(parents=True, exist_ok=True)
        begin = settings.server_log.stat().st_size if settings.server_log.exists() else 0
        log = settings.server_log.open("ab")
    except OSError as error:
        raise ConfigurationError(
            f"The home folder {settings.home} can't be used: {error.strerror or error}. "
            "Choose another with --home DIR or MODELWRIGHT_HOME."
        ) from error
    command = [sys.executable, "-m", "modelwright", "up", "--home", str(settings.home), "--port", str(settings.port)]
    with log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    try:
        with patience("waiting for the server to answer"):
            server = _await_start(console, process)
    except KeyboardInterrupt:
        stop_with(f"interrupted; the server goes on starting. To stop it: {console.command('down')}", 130)
    if server is not None:
        is_ours = server.pid == process.pid
        if not is_ours:  # somebody else's was quicker; ours must not come up when that one is stopped
            process.terminate()
            process.wait()
        return server, is_ours
    said = settings.server_log.read_bytes()[begin:].decode(errors="replace").strip().splitlines()
    reason = said[-1].removeprefix("modelwright: ") if said else "it said nothing"
    if process.poll() is None:
        reason = f"it does not answer within {START_SECONDS} s (process {process.pid})"
    raise ConfigurationError(f"The server did not start: {reason} (All that it said: {settings.server_log})")


def _await_start(console: Console, process: subprocess.Popen[bytes]) -> Running | None:
    """The server when it answers: ours, or one that somebody else started in the same moment."""
    pause = threading.Event()
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        ended = process.poll() is not None
        if (server := running(console.settings)) is not None:
            return server
        if ended and not held(console.settings):
            return None
        pause.wait(0.02)
    return None


def _as_wanted(console: Console, present: Running) -> Running:
    """Raises ConfigurationError when a port was asked for that the running server does not have."""
    if console.port in (None, 0, present.port):
        return present
    raise ConfigurationError(
        f"A server runs on {console.settings.home} already, on port {present.port} and not {console.port}. "
        f"Stop it first: {console.command('down')}"
    )


@click.command("down", cls=Command)
@click.option("--endpoints", is_flag=True, help="End the instances of endpoints too, until the next start.")
@pass_console
def down(console: Console, endpoints: bool) -> None:
    """Stop the server, and notebooks. Running jobs and endpoints go on, and are taken up again at the next start.

    Instances hold CPU and memory, and answer nobody while no server runs. With --endpoints they end with it, and the
    next start brings others up in their place: endpoints are not deleted.

    Where no server runs there is nothing to stop, and the exit status is 0.
    """
    server = running(console.settings)
    if server is not None:
        _stop_server(console, server)
    said = f"No server runs on {console.settings.home}." if server is None else _STOPPED
    said += _end_notebooks(console)
    left = instances.left_running(console.settings)
    names = instances.by_endpoint(left)
    if left and endpoints:
        with patience(f"waiting for {_counted(names)} to end"):
            stuck = instances.stop(console.settings, left)
        if stuck:
            raise ConfigurationError(f"{said} These did not end: {', '.join(handle.name for handle in stuck)}")
        left, said = [], f"{said} Ended {_counted(names)}; the next start brings them up again."
    elif left:
        said += f" {_go_on(console, names)}"
    told = {"Running": False, "Instances": dict(names) if left else {}}
    console.show(told, lambda: said)


def _end_notebooks(console: Console) -> str:
    """Nobody can reach this server from one any more. What is to be said of it; their folders stay."""
    notebooks = instances.left_running(console.settings, instances.NOTEBOOKS)
    if not notebooks:
        return ""
    with patience("waiting for notebooks to end"):
        stuck = instances.stop(console.settings, notebooks)
    if stuck:
        raise ConfigurationError(f"These notebooks did not end: {', '.join(handle.name for handle in stuck)}")
    return f" Ended {len(notebooks)} notebook{'s' if len(notebooks) > 1 else ''}."


def _stop_server(console: Console, server: Running) -> None:
    try:
        os.kill(server.pid, signal.SIGTERM)
    except ProcessLookupError:
        pass  # it ended in this moment
    except PermissionError:
        raise ConfigurationError(
            f"The server on {console.settings.home} (process {server.pid}) is another user's: only they can stop it."
        ) from None
    with patience(f"waiting for process {server.pid} to finish what it is answering"):
        stopped = _await_stop(console)
    if not stopped:
        raise ConfigurationError(
            f"Process {server.pid} did not stop within {STOP_SECONDS} s. End it: kill -9 {server.pid} (nothing is lost)"
        )


def _go_on(console: Console, names: Mapping[str, int]) -> str:
    what = _counted(names)
    verb = "runs on and is" if what.startswith("1 ") else "run on and are"
    return f"{what[0].upper()}{what[1:]} {verb} taken up again, too. To end them: {console.command('down --endpoints')}"


def _counted(names: Mapping[str, int]) -> str:
    count = sum(names.values())
    which = ", ".join(sorted(names))
    return f"{count} container{'s' if count > 1 else ''} of endpoint{'s' if len(names) > 1 else ''} {which}"


def _await_stop(console: Console) -> bool:
    pause = threading.Event()
    deadline = time.monotonic() + STOP_SECONDS
    while time.monotonic() < deadline:
        if running(console.settings) is None and not held(console.settings):
            return True
        pause.wait(0.02)
    return False


@click.command("status", cls=Command)
@pass_console
def status(console: Console) -> None:
    """Show whether a server runs on this home, and where.

    Exit status 3 when none runs, 1 when one runs but does not answer.
    """
    server = running(console.settings)
    if server is None:
        console.show({"Running": False}, lambda: f"No server runs on {console.settings.home}.")
        sys.exit(NOT_RUNNING)
    with patience(f"waiting for {server.url} to answer"):
        answer = health(server)
    document = {**_told(console, server), "Answers": answer is not None}
    if answer is not None:
        document |= {"Account": answer["account"], "Region": answer["region"]}
    console.fields(document)
    if answer is None:
        console.tell(
            f"Process {server.pid} does not answer within {STATUS_SECONDS} s. See {console.settings.server_log}; "
            f"to start it again: kill -9 {server.pid}; {console.command('up --detach')}"
        )
        sys.exit(1)


def _told(console: Console, server: Running) -> dict[str, Any]:
    """What there is to know of a running server, without asking it."""
    return {"Running": True, **titled(asdict(server)), "Home": str(console.settings.home)}


def health(server: Running) -> dict[str, Any] | None:
    """What the server says of itself, or None when it says nothing."""
    place = urlsplit(server.url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=STATUS_SECONDS)
    try:
        connection.request("GET", HEALTH)
        answer: dict[str, Any] = json.loads(connection.getresponse().read())
        return answer
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()


COMMANDS = (up, down, status, studio)
