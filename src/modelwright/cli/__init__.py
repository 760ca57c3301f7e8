"""The command line: `modelwright COMMAND`. Every error is one line that says the way out."""

from __future__ import annotations

import sys

import click
from botocore.exceptions import BotoCoreError, ClientError

from modelwright import __version__
from modelwright.cli import demo, endpoints, images, jobs, models, pipelines, server
from modelwright.cli.console import Group, common_options, stop_with
from modelwright.errors import AwsError, ModelwrightError


@click.group(cls=Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="modelwright")
def cli() -> None:
    """The MLOps loop of Amazon SageMaker on your own machine.

    \b
    Start a server, then run any script or notebook against it, unchanged:
        modelwright up --detach
        modelwright run train.py
    """


cli.params.extend(common_options())
for module in (server, jobs, pipelines, models, endpoints, images, demo):
    for command in module.COMMANDS:
        cli.add_command(command)


def main() -> None:
    """The entry point."""
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        stop_with("interrupted", 130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ClientError as error:
        detail = error.response["Error"]
        stop_with(f"{detail['Code']}: {detail['Message']}")
    except AwsError as error:
        stop_with(f"{error.code}: {error.message}")
    except ModelwrightError as error:
        stop_with(str(error), 2)
    except BotoCoreError as error:
        stop_with(f"the server can't be reached: {error}")
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(141)
