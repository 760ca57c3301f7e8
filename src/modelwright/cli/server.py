"""`modelwright up`, `down`, `status`, `env`, `run`, `kernel`, `doctor`: the server and how others reach it."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from dataclasses import asdict
from pathlib import Path

import click
from rich.table import Table

from modelwright import app
from modelwright.cli.console import Command as BaseCommand
from modelwright.cli.console import Console, pass_console
from modelwright.errors import ConfigurationError
from modelwright.runtimes import host
from modelwright.server import environment
from modelwright.server.running import Running, running

START_SECONDS = 30
STOP_SECONDS = 30
NOTEBOOK_RUNNER = Path(__file__).with_name("notebook.py")


@click.command("up", cls=BaseCommand)
@click.option("--detach", is_flag=True, help="Return when it answers, and leave it running.")
@pass_console
def up(console: Console, detach: bool) -> None:
    """Start the server."""
    if not detach:
        app.serve(console.settings, lambda server: _tell(console, server))
        return
    _tell(console, start_detached(console))


def _tell(console: Console, server: Running) -> None:
    link = app.studio_link(console.settings, server)
    if console.as_json:
        console.show({**asdict(server), "studio": link})
        return
    # Not by rich: it would break a link that is longer than a line.
    click.echo(f"Modelwright answers at {server.url} (home: {console.settings.home})")
    click.echo(f"Studio, by a link that signs in once: {link}")


@click.command("studio", cls=BaseCommand)
@pass_console
def studio(console: Console) -> None:
    """Print a link that signs in to Studio, once, within half an hour."""
    server = running(console.settings)
    if server is None:
        raise ConfigurationError(f"No server runs on {console.settings.home}. Start one: modelwright up --detach")
    link = app.studio_link(console.settings, server)
    if console.as_json:
        console.show({"studio": link})
    else:
        click.echo(link)


def start_detached(console: Console) -> Running:
    """Start a server that outlives this command. Raises ConfigurationError with what it said when it didn't start."""
    settings = console.settings
    present = running(settings)
    if present is not None:
        return present
    settings.home.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "modelwright", "up", "--home", str(settings.home), "--port", str(settings.port)]
    begin = settings.server_log.stat().st_size if settings.server_log.exists() else 0
    with settings.server_log.open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
    pause = threading.Event()
    for _ in range(START_SECONDS * 20):
        server = running(settings)
        if server is not None:
            return server
        if process.poll() is not None:
            break
        pause.wait(0.05)
    said = settings.server_log.read_bytes()[begin:].decode(errors="replace").strip().splitlines()
    reason = said[-1].removeprefix("modelwright: ") if said else f"see {settings.server_log}"
    raise ConfigurationError(f"The server did not start: {reason}")


@click.command("down", cls=BaseCommand)
@pass_console
def down(console: Console) -> None:
    """Stop the server. Running jobs go on, and are taken up again at the next start."""
    server = running(console.settings)
    if server is None:
        console.show({"Running": False}, lambda: f"No server runs on {console.settings.home}.")
        return
    os.kill(server.pid, signal.SIGTERM)
    pause = threading.Event()
    for _ in range(STOP_SECONDS * 20):
        if running(console.settings) is None:
            console.show({"Running": False}, lambda: "Stopped.")
            return
        pause.wait(0.05)
    raise ConfigurationError(f"Process {server.pid} did not stop within {STOP_SECONDS} s: kill -9 {server.pid}")


@click.command("status", cls=BaseCommand)
@pass_console
def status(console: Console) -> None:
    """Whether a server runs on this home, and where. Exit status 3 when none does."""
    server = running(console.settings)
    if server is None:
        console.show({"Running": False}, lambda: f"No server runs on {console.settings.home}.")
        sys.exit(3)
    console.fields({"Running": True, **asdict(server), "Home": str(console.settings.home)})


@click.command("env", cls=BaseCommand)
@click.option(
    "--shell",
    type=click.Choice(environment.SHELLS),
    help="For which shell.  [default: the one that $SHELL names, else sh]",
)
@click.option("--unset", is_flag=True, help="Print how to take it back: to AWS again.")
@pass_console
def env(console: Console, shell: str | None, unset: bool) -> None:
    """Print the environment that makes AWS clients use this server: eval "$(modelwright env)"."""
    variables = console.environment()
    shell = "json" if console.as_json else shell or environment.shell_of(os.environ)
    click.echo(environment.render(variables, shell, unset=unset), nl=False)


@click.command(
    "run",
    cls=BaseCommand,
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.option(
    "--output", metavar="FILE", help="Where to write the executed notebook.  [default: beside it, *.out.ipynb]"
)
@click.option("--python", default="python3", show_default=True, help="The Python that runs a script or notebook.")
@click.argument("command", nargs=-1, required=True, metavar="SCRIPT.py|NOTEBOOK.ipynb|-- COMMAND [ARGUMENTS]...")
@pass_console
def run(console: Console, output: str | None, python: str, command: tuple[str, ...]) -> None:
    """Run a script, a notebook or any command against this server."""
    variables = environment.applied(os.environ, console.environment())
    argv = list(command)
    if argv[0].endswith((".py", ".ipynb")) and not Path(argv[0]).is_file():
        raise ConfigurationError(f"There is no file {argv[0]}.")
    if argv[0].endswith(".ipynb"):
        written = output or str(Path(argv[0]).with_suffix(".out.ipynb"))
        argv = [python, str(NOTEBOOK_RUNNER), argv[0], written]
    elif argv[0].endswith(".py"):
        argv = [python, *argv]
    if shutil.which(argv[0]) is None:
        raise ConfigurationError(f"There is no command {argv[0]}.")
    sys.stdout.flush()
    os.execvpe(argv[0], argv, variables)  # noqa: S606  # the user's own command, as typed


@click.command("kernel", cls=BaseCommand)
@click.option("--python", default="python3", show_default=True, help="The Python of the kernel (it needs ipykernel).")
@pass_console
def kernel(console: Console, python: str) -> None:
    """Add a Jupyter kernel whose notebooks use this server."""
    variables = console.environment()
    folder = environment.write_kernelspec(variables, python)
    console.show({"Kernel": str(folder)}, lambda: f"Jupyter now has the kernel 'Modelwright' ({folder})")


@click.command("doctor", cls=BaseCommand)
@pass_console
def doctor(console: Console) -> None:
    """What this machine can do, what is lost, and what to install."""
    findings = host.examine(console.settings)

    def table() -> Table:
        result = Table(box=None, show_header=False, pad_edge=False)
        for finding in findings:
            mark = "[green]✔[/green]" if finding.good else "[yellow]![/yellow]"
            result.add_row(mark, finding.topic, finding.text)
        return result

    console.show([{"topic": f.topic, "good": f.good, "text": f.text} for f in findings], table)


COMMANDS = (up, down, status, studio, env, run, kernel, doctor)
