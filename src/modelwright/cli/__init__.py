"""The command line: `modelwright COMMAND`. Every error is one line that says the way out."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

import click

from modelwright import __version__
from modelwright.cli.commands import Group, common_options, port_option
from modelwright.cli.console import NOT_RUNNING, NoServerError, stop_with
from modelwright.errors import AwsError, ModelwrightError

EPILOG = """\
A command may be shortened as long as it fits only one (modelwright exec list).

\b
Exit status:
    0         done
    1         refused by the server, or what was waited for failed
    2         the command line, a setting, a file or this machine is wrong
    3         no server runs on the home
    130       interrupted by Ctrl-C
    126, 127  what `modelwright run` was to run can't be started; else it ends with the status of that
"""

MODULES = {
    "server": ("up", "down", "status", "studio"),
    "clients": ("env", "run", "kernel"),
    "doctor": ("doctor",),
    "jobs": ("jobs", "logs"),
    "pipelines": ("pipelines",),
    "executions": ("executions",),
    "models": ("models",),
    "endpoints": ("endpoints",),
    "projects": ("projects",),
    "deployments": ("deployments",),
    "builds": ("builds",),
    "stacks": ("stacks",),
    "images": ("images",),
    "users": ("users",),
    "audit": ("audit",),
    "demo": ("demo",),
    "completion": ("completion",),
}
"""Which module makes which commands: each is imported when one of its commands is used, so that `up` is quick."""


@click.group(
    cls=Group,
    later={name: f"{__name__}.{module}" for module, names in MODULES.items() for name in names},
    epilog=EPILOG,
)
@click.version_option(__version__, prog_name="modelwright")
@port_option
def cli() -> None:
    """The MLOps loop of Amazon SageMaker on your own machine.

    \b
    Start a server, then run any script or notebook against it, unchanged:
        modelwright up --detach
        modelwright run train.py
    """


cli.params.extend(common_options())


def main() -> None:
    """The entry point."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a mark that this terminal can't show
    try:
        cli(prog_name="modelwright", standalone_mode=False)
        sys.stdout.flush()
    except click.exceptions.Abort:
        stop_with("interrupted", 130)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx is not None else "modelwright"
        stop_with(f"{error.format_message()} See: {path} --help", error.exit_code)
    except click.ClickException as error:
        stop_with(error.format_message(), error.exit_code)
    except NoServerError as error:
        stop_with(str(error), NOT_RUNNING)
    except AwsError as error:
        stop_with(error.message)
    except ModelwrightError as error:
        stop_with(str(error), 2)
    except BrokenPipeError:
        # The reader (`head`, say) has seen enough. Nothing is left to be flushed into the pipe at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)  # as click does while a command runs
    except Exception as error:
        _stop_with_the_wires(error)


def _stop_with_the_wires(error: Exception) -> NoReturn:
    """boto3's errors, which are imported only when there is an error."""
    from botocore import exceptions

    if isinstance(error, exceptions.ClientError):
        detail = error.response["Error"]
        stop_with(f"{detail['Code']}: {detail['Message']}" + WAYS_OUT.get(detail["Code"], ""))
    if isinstance(error, exceptions.ReadTimeoutError):
        stop_with(f"The server does not answer ({error}). See its server.log in the home folder; modelwright status")
    if isinstance(error, exceptions.ConnectionError):
        stop_with(f"The server can't be reached: {error}. See: modelwright status", NOT_RUNNING)
    if isinstance(error, exceptions.ParamValidationError):
        stop_with(str(error), 2)
    if isinstance(error, OSError):
        stop_with(f"{error.filename or 'this machine'}: {error.strerror or error}", 2)
    raise error


WAYS_OUT = dict.fromkeys(
    ("InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch"),
    " The server was started with other keys than the home folder holds: modelwright down, then up.",
)
"""What to do about an error of AWS's whose text does not say it."""
