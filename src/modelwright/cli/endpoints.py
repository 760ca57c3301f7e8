"""`modelwright endpoints`: real-time endpoints, and a file's answer from one."""

from __future__ import annotations

import mimetypes
import sys
from pathlib import Path
from typing import Any

import click

from modelwright.cli.commands import ActingGroup, pass_console
from modelwright.cli.console import Console, expected, pages
from modelwright.cli.tables import Column

_TYPES = {
    ".npy": "application/x-npy",
    ".csv": "text/csv",
    ".json": "application/json",
    ".jsonl": "application/jsonlines",
}


COLUMNS = (
    Column("ENDPOINT", "EndpointName"),
    Column("STATUS", "EndpointStatus"),
    Column("CREATED", "CreationTime", spare=True),
)


@click.group("endpoints", cls=ActingGroup)
def endpoints() -> None:
    """List, show and invoke real-time endpoints."""


@endpoints.command("list")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, metavar="N", help="At most so many.")
@pass_console
def list_endpoints(console: Console, limit: int) -> None:
    """List endpoints; the newest first."""
    found = pages(console.client("sagemaker"), "list_endpoints", "Endpoints", limit)
    console.rows(found, COLUMNS, "No endpoints yet.")


@endpoints.command("show")
@click.argument("name")
@pass_console
def show_endpoint(console: Console, name: str) -> None:
    """Show an endpoint's status, variants and instances."""
    client = console.client("sagemaker")
    with expected(f"There is no endpoint '{name}'. See: {console.command('endpoints list')}"):
        console.fields(client.describe_endpoint(EndpointName=name))


@endpoints.command("invoke")
@click.argument("name")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option("--content-type", metavar="TYPE", help="Of the file; guessed from its name where it is not given.")
@click.option("--accept", metavar="TYPE", help="The content type to ask for.")
@click.option("--variant", metavar="NAME", help="The production variant to ask; by weight where it is not given.")
@click.option(
    "--container", metavar="NAME", help="Of several containers the one to ask, where they are asked directly."
)
@click.option(
    "-o", "--output", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Write the answer there."
)
@pass_console
def invoke(
    console: Console,
    name: str,
    file: Path,
    content_type: str | None,
    accept: str | None,
    variant: str | None,
    container: str | None,
    output: Path | None,
) -> None:
    """Send FILE (- for standard input) to an endpoint; prints what it answers."""
    body = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
    asked: dict[str, Any] = {"ContentType": content_type or guess_type(file)}
    wanted = (("Accept", accept), ("TargetVariant", variant), ("TargetContainerHostname", container))
    asked |= {key: value for key, value in wanted if value}
    answer = console.client("sagemaker-runtime", seconds=70).invoke_endpoint(EndpointName=name, Body=body, **asked)
    content = answer["Body"].read()
    if output is not None:
        output.write_bytes(content)
        return
    click.echo(content, nl=sys.stdout.isatty() and not content.endswith(b"\n"))


def guess_type(file: Path) -> str:
    """A file's content type, by its name."""
    return _TYPES.get(file.suffix.lower()) or mimetypes.guess_type(file.name)[0] or "application/octet-stream"


COMMANDS = (endpoints,)
