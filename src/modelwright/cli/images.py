"""`modelwright images`: what jobs' image URIs stand for on this machine. Works with or without a running server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from modelwright.cli.commands import Group, pass_console
from modelwright.cli.completion import image_names
from modelwright.cli.console import Console, titled
from modelwright.cli.tables import Column
from modelwright.errors import ConfigurationError
from modelwright.images.base import Progress
from modelwright.images.library import LocalImages
from modelwright.images.store import Record

COLUMNS = (
    Column("NAME", "Name"),
    Column("PUSHED", "Pushed", spare=True),
    Column("DIGEST", "Short", spare=True),
    Column("BASE", "Base", spare=True),
)


@click.group("images", cls=Group)
def images() -> None:
    """Build, add, list, show and remove images."""


@images.command("build")
@click.argument("folder", metavar="DIR", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("-t", "--tag", "uri", required=True, metavar="URI", help="The name that jobs will use.")
@click.option(
    "-f", "--file", type=click.Path(dir_okay=False, path_type=Path), help="The Dockerfile.  [default: DIR/Dockerfile]"
)
@click.option("--build-arg", "arguments", multiple=True, metavar="NAME=VALUE", help="Set an ARG of the Dockerfile.")
@click.option("--target", metavar="STAGE", help="Build up to this stage.")
@click.option("--no-cache", is_flag=True, help="Use nothing that earlier builds made.")
@pass_console
def build(
    console: Console,
    folder: Path,
    uri: str,
    file: Path | None,
    arguments: tuple[str, ...],
    target: str | None,
    no_cache: bool,
) -> None:
    """Build an image from the Dockerfile in DIR."""
    given = {}
    for argument in arguments:
        name, separator, value = argument.partition("=")
        if not separator:
            raise ConfigurationError(f"--build-arg {argument}: must be NAME=VALUE.")
        given[name] = value
    with progress_of(console, f"building {uri}") as progress:
        record = library(console).build(
            folder, uri, progress, dockerfile=file, arguments=given, target=target, fresh=no_cache
        )
    show_record(console, uri, record)


@images.command("add")
@click.argument("uri")
@click.argument("source")
@pass_console
def add(console: Console, uri: str, source: str) -> None:
    """Give the image SOURCE (made if need be) the further name URI."""
    with progress_of(console, f"adding {uri}") as progress:
        record = library(console).add(uri, source, progress)
    show_record(console, uri, record)


@images.command("list")
@pass_console
def list_images(console: Console) -> None:
    """List the images that were built or added here."""
    found = [
        {
            "Name": str(tag) if tag.tag else f"{tag.repository} (untagged)",
            "Digest": tag.record.digest,
            "Short": tag.record.digest.removeprefix("sha256:")[:12],
            "Base": tag.record.base,
            "Pushed": datetime.fromtimestamp(tag.pushed, UTC),
        }
        for tag in library(console).store.names()
    ]
    console.rows(found, COLUMNS, f"No images yet. Build one: {console.command('images build DIR -t NAME:TAG')}")


@images.command("show")
@click.argument("uri", shell_complete=image_names)
@pass_console
def show(console: Console, uri: str) -> None:
    """Show what an image is made of."""
    show_record(console, uri, library(console).show(uri))


@images.command("remove")
@click.argument("uri", shell_complete=image_names)
@pass_console
def remove(console: Console, uri: str) -> None:
    """Take a name away; with its last name an image is gone."""
    names = [str(tag) for tag in library(console).remove(uri)]
    console.show({"Removed": names}, lambda: f"removed {', '.join(names)}")


@images.command("prune")
@click.option(
    "--untagged",
    is_flag=True,
    help="Also images that lost their tag to another. Model versions and endpoints may need them.",
)
@pass_console
def prune(console: Console, *, untagged: bool) -> None:
    """Delete what no image is made of any more; framework images are made anew when a job names them."""
    deleted = library(console).prune(untagged=untagged)
    console.show({"Deleted": deleted}, lambda: f"deleted {deleted} trees and environments")


def library(console: Console) -> LocalImages:
    return LocalImages(console.settings)


def show_record(console: Console, uri: str, record: Record) -> None:
    """A record's members in AWS's manner."""
    members = asdict(record) | {"config": titled(record.config), "created": datetime.fromtimestamp(record.created, UTC)}
    console.fields({"Uri": uri, **titled(members)})


@contextmanager
def progress_of(console: Console, title: str) -> Iterator[Progress]:
    """Where the lines of a build go: with a moving title on a terminal; on stderr under --json."""
    if not console.terminal.is_terminal or console.as_json:
        yield lambda line: click.echo(line, err=console.as_json)
        return
    with console.terminal.status(title) as status:

        def progress(line: str) -> None:
            console.terminal.print(line, style="" if line.startswith("[") else "dim", markup=False)
            status.update(title)

        yield progress


COMMANDS = (images,)
