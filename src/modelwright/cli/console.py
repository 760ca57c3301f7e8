"""What every command shares: the settings, the running server, and how results are printed.

Commands act over the wire with boto3, like anybody else's scripts. A command returns nothing; it prints a table or,
with `--json`, the documents as AWS answers them.
"""

from __future__ import annotations

import functools
import json
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import click
from botocore.config import Config
from rich.console import Console as RichConsole
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from modelwright.config import Settings
from modelwright.errors import ConfigurationError
from modelwright.server.authority import Authority
from modelwright.server.environment import client_environment
from modelwright.server.keys import Keys
from modelwright.server.running import running

COLOURS = {
    "Succeeded": "green",
    "Completed": "green",
    "Approved": "green",
    "InService": "green",
    "Failed": "red",
    "Rejected": "red",
    "Executing": "blue",
    "InProgress": "blue",
    "Starting": "blue",
    "Creating": "blue",
    "Updating": "blue",
    "RollingBack": "yellow",
    "Stopping": "yellow",
    "Stopped": "yellow",
    "PendingManualApproval": "yellow",
}


@dataclass
class Console:
    """One invocation of the command line."""

    home: str | None = None
    port: int | None = None
    as_json: bool = False

    @functools.cached_property
    def settings(self) -> Settings:
        return Settings.load({"home": self.home, "port": self.port})

    @functools.cached_property
    def terminal(self) -> RichConsole:
        """Where there is no terminal nothing is folded: other programs read it."""
        console = RichConsole(highlight=False)
        return console if console.is_terminal else RichConsole(highlight=False, width=10_000)

    @functools.cached_property
    def url(self) -> str:
        """The running server's. Raises ConfigurationError when none runs on this home."""
        server = running(self.settings)
        if server is None:
            raise ConfigurationError(
                f"No server runs on {self.settings.home}. Start one: modelwright up --detach"
                + (f" --home {self.settings.home}" if self.home else "")
            )
        return server.url

    @functools.cached_property
    def keys(self) -> Keys:
        return Keys.open(self.settings.credentials, self.settings.account)

    def client(self, service: str) -> Any:
        """A boto3 client of the running server, with the administrator's key."""
        return boto3.client(
            service,  # type: ignore[call-overload]  # the stubs want a literal
            endpoint_url=self.url,
            region_name=self.settings.region,
            aws_access_key_id=self.keys.admin.id,
            aws_secret_access_key=self.keys.admin.secret,
            config=Config(retries={"total_max_attempts": 2}, proxies={}),
        )

    def environment(self) -> dict[str, str]:
        """What makes a client of the running server out of this process's environment."""
        authority = Authority.open(self.settings.authority)
        return client_environment(self.settings, self.url, self.keys.admin, authority, os.environ)

    def show(self, document: Any, table: Callable[[], RenderableType] | None = None) -> None:
        """Print a document: as JSON when asked for (or when there is no better form), else as `table` draws it."""
        if self.as_json or table is None:
            document = without_metadata(document)
            click.echo(json.dumps(document, indent=2, default=_plain, ensure_ascii=False))
        else:
            self.terminal.print(table())

    def rows(self, documents: Sequence[dict[str, Any]], columns: Sequence[tuple[str, str]], empty: str) -> None:
        """A table with a row a document; `columns` are (heading, member)."""

        def table() -> Table | str:
            if not documents:
                return empty
            result = Table(box=None, header_style="bold", pad_edge=False)
            for heading, _ in columns:
                result.add_column(heading, overflow="fold")
            for document in documents:
                result.add_row(*(cell(document.get(member)) for _, member in columns))
            return result

        self.show(documents, table)

    def fields(self, document: dict[str, Any]) -> None:
        """One document, a line a member."""

        def table() -> Table:
            result = Table(box=None, show_header=False, pad_edge=False)
            result.add_column(style="bold")
            result.add_column(overflow="fold")
            for member, value in without_metadata(document).items():
                if isinstance(value, dict | list):
                    value = json.dumps(value, indent=2, default=_plain, ensure_ascii=False)
                result.add_row(member, cell(value))
            return result

        self.show(document, table)


def cell(value: Any) -> Text:
    """How a value looks in a table: statuses in their colour, times in the reader's own zone."""
    if value is None:
        return Text("-", style="dim")
    if isinstance(value, datetime):
        return Text(value.astimezone().strftime("%Y-%m-%d %H:%M:%S"))
    return Text(str(value), style=COLOURS.get(str(value), ""))


def elapsed(start: datetime | None, end: datetime | None) -> str:
    """`1 h 02 min`, `3 min 05 s`, `4.2 s`."""
    if start is None:
        return "-"
    seconds = ((end or datetime.now(UTC)) - start).total_seconds()
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


def pages(client: Any, operation: str, member: str, limit: int | None = None, **parameters: Any) -> list[Any]:
    """The first `limit` (None: all) items of a List operation."""
    items: list[Any] = []
    token: dict[str, str] = {}
    while True:
        answer = getattr(client, operation)(**parameters, **token)
        items.extend(answer[member])
        if limit is not None and len(items) >= limit:
            return items[:limit]
        if not answer.get("NextToken"):
            return items
        token = {"NextToken": answer["NextToken"]}


def without_metadata(document: Any) -> Any:
    """A boto3 answer less its ResponseMetadata."""
    if isinstance(document, dict):
        return {key: value for key, value in document.items() if key != "ResponseMetadata"}
    return document


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


class Command(click.Command):
    """A command that takes the common options behind its own name too (`modelwright jobs list --json`)."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        own = {parameter.name for parameter in self.params}
        self.params.extend(option for option in common_options() if option.name not in own)


class Group(click.Group):
    """A group of such commands; an abbreviation that fits only one of them is enough."""

    command_class = Command
    group_class = type

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        found = super().get_command(context, name)
        if found is not None:
            return found
        fitting = [candidate for candidate in self.list_commands(context) if candidate.startswith(name)]
        return super().get_command(context, fitting[0]) if len(fitting) == 1 else None


def common_options() -> Iterable[click.Option]:
    """--home, --port, --json: kept in the invocation's Console."""

    def keep(attribute: str) -> Callable[[click.Context, click.Parameter, Any], None]:
        def callback(context: click.Context, _: click.Parameter, value: Any) -> None:
            console = context.ensure_object(Console)
            if value is not None and value is not False:
                setattr(console, attribute, value)

        return callback

    return (
        click.Option(
            ["--home"],
            metavar="DIR",
            expose_value=False,
            callback=keep("home"),
            help="The home folder. [env: MODELWRIGHT_HOME; default: ~/.modelwright]",
        ),
        click.Option(
            ["--port"],
            type=click.IntRange(0, 65535),
            expose_value=False,
            callback=keep("port"),
            help="The server's port; 0 takes a free one. [env: MODELWRIGHT_PORT; default: 7070]",
        ),
        click.Option(
            ["--json", "as_json"],
            is_flag=True,
            expose_value=False,
            callback=keep("as_json"),
            help="Print JSON.",
        ),
    )


pass_console = click.make_pass_decorator(Console, ensure=True)


def stop_with(message: str, code: int = 1) -> None:
    """End with one line for the user."""
    click.echo(f"modelwright: {message}", err=True)
    sys.exit(code)
