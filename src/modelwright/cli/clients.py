"""`modelwright env`, `run`, `kernel`: how scripts, notebooks and shells reach the server by environment alone."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import NoReturn

import click

from modelwright.cli.commands import Command, pass_console, user_option
from modelwright.cli.console import Console, stop_with
from modelwright.errors import ConfigurationError
from modelwright.server import environment

NOTEBOOK_RUNNER = Path(__file__).with_name("notebook.py")
NOT_EXECUTABLE, NOT_FOUND = 126, 127
"""As the shell's own: what `env` and `nohup` answer, too."""

USAGE = {
    "sh": 'eval "$({command})"',
    "fish": "{command} | source",
    "powershell": "{command} | Out-String | Invoke-Expression",
}


@click.command("env", cls=Command)
@click.option(
    "--shell",
    type=click.Choice(environment.SHELLS),
    help="For which shell, or as which file.  [default: the shell that $SHELL names, else sh]",
)
@click.option("--unset", is_flag=True, help="Print how to take it back: to AWS again.")
@user_option
@pass_console
def env(console: Console, shell: str | None, unset: bool) -> None:
    """Print the environment that makes AWS clients use this server.

    \b
    sh, bash, zsh:  eval "$(modelwright env)"
    fish:           modelwright env | source
    PowerShell:     modelwright env --shell powershell | Out-String | Invoke-Expression
    a .env file:    modelwright env --shell dotenv > .env
    back to AWS:    eval "$(modelwright env --unset)"
    """
    variables = console.environment()
    shell = "json" if console.as_json else shell or environment.shell_of(os.environ)
    click.echo(environment.render(variables, shell, unset=unset), nl=False)
    if sys.stdout.isatty() and shell in USAGE:
        command = console.command("env" + (" --unset" if unset else ""))
        console.tell(f"# To have it in this shell: {USAGE[shell].format(command=command)}")


@click.command("run", cls=Command, context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
@click.option(
    "--output", metavar="FILE", help="Where to write the executed notebook.  [default: beside it, *.out.ipynb]"
)
@click.option(
    "--python", default="python3", show_default=True, metavar="PATH", help="The Python for a script or notebook."
)
@click.argument("command", nargs=-1, required=True, metavar="SCRIPT.py|NOTEBOOK.ipynb|[--] COMMAND [ARGUMENTS]...")
@user_option
@pass_console
def run(console: Console, output: str | None, python: str, command: tuple[str, ...]) -> None:
    """Run a script, a notebook or any command against this server.

    \b
    modelwright run train.py --epochs 3
    modelwright run pipeline.ipynb
    modelwright run -- aws s3 ls

    It ends with the exit status of what it ran; a notebook's is 1 when a cell fails. A notebook needs nbclient and
    ipykernel in its Python. Options for `run` itself stand before what is run.
    """
    argv = list(command)
    is_notebook = argv[0].endswith(".ipynb")
    if output is not None and not is_notebook:
        raise click.UsageError(f"--output is for a notebook, and {argv[0]} is none.")
    if is_notebook and len(argv) > 1:
        raise click.UsageError(f"A notebook takes no arguments: {' '.join(argv[1:])}")
    if (is_notebook or argv[0].endswith(".py")) and not Path(argv[0]).is_file():
        raise ConfigurationError(f"There is no file {argv[0]} in {Path.cwd()}.")
    if is_notebook:
        argv = [python, str(NOTEBOOK_RUNNER), argv[0], output or str(Path(argv[0]).with_suffix(".out.ipynb"))]
    elif argv[0].endswith(".py"):
        argv = [python, *argv]
    variables = environment.applied(os.environ, console.environment())
    _become(argv, variables)


def _become(argv: list[str], variables: dict[str, str]) -> NoReturn:
    """Replace this process by the user's program: its signals, terminal and exit status are its own."""
    sys.stdout.flush()
    try:
        os.execvpe(argv[0], argv, variables)  # noqa: S606  # the user's own command, as typed
    except FileNotFoundError:
        if shutil.which(argv[0]) is None:
            stop_with(f"There is no command {argv[0]} here. Is it installed, and on the PATH?", NOT_FOUND)
        stop_with(f"{argv[0]} names an interpreter in its first line that is not here.", NOT_FOUND)
    except PermissionError:
        stop_with(f"{argv[0]} is not executable. Make it so: chmod +x {argv[0]}", NOT_EXECUTABLE)
    except OSError as error:
        stop_with(f"{argv[0]} can't be run: {error.strerror or error}", NOT_EXECUTABLE)


@click.command("kernel", cls=Command)
@click.option(
    "--python",
    default="python3",
    show_default=True,
    metavar="PATH",
    help="The Python of the kernel (it needs ipykernel).",
)
@user_option
@pass_console
def kernel(console: Console, python: str) -> None:
    """Add a Jupyter kernel whose notebooks use this server.

    The kernel holds this server's address: after a start on another port, add it again.
    """
    found = shutil.which(python)
    if found is None:
        raise ConfigurationError(f"There is no {python} here. Name a Python that has ipykernel: --python PATH")
    folder = environment.write_kernelspec(console.environment(), found)
    console.show({"Kernel": str(folder)}, lambda: f"Jupyter now has the kernel 'Modelwright' ({folder})")


COMMANDS = (env, run, kernel)
