"""What every command shares: the settings, the running server, and how results are printed.

Commands act over the wire with boto3, like anybody else's scripts. A command returns nothing; it prints a table or,
with `--json`, the documents as AWS answers them: on stdout is the result and nothing else, on stderr all the rest.

boto3 and rich are imported when they are needed and not before: `up`, `status`, `down` and every press of Tab would
wait for them (a quarter of a second) and use neither.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from modelwright.config import Settings
from modelwright.errors import ConfigurationError
from modelwright.server.running import Running, running

if TYPE_CHECKING:
    from rich.console import Console as RichConsole
    from rich.console import RenderableType

    from modelwright.cli.tables import Column
    from modelwright.server.keys import AccessKey, Keys

PATIENCE_SECONDS = 2.0
"""Whatever takes longer says what it waits for."""
CONNECT_SECONDS = 5
ANSWER_SECONDS = 60
NOT_RUNNING = 3
"""The exit status when no server runs on the home."""


class NoServerError(ConfigurationError):
    """No server runs on this home."""


class Console:
    """One invocation of the command line."""

    def __init__(self) -> None:
        self.home: str | None = None
        self.port: int | None = None
        self.as_json = False
        self.user: str | None = None
        self._found: dict[str, AccessKey] = {}

    @functools.cached_property
    def settings(self) -> Settings:
        return Settings.load({"home": self.home, "port": self.port})

    @functools.cached_property
    def terminal(self) -> RichConsole:
        """Where there is no terminal every column is shown: other programs read it."""
        from rich.console import Console as RichConsole

        console = RichConsole(highlight=False)
        return console if console.is_terminal else RichConsole(highlight=False, width=10_000)

    @functools.cached_property
    def server(self) -> Running:
        """The running server. Raises NoServerError when none runs on this home."""
        server = running(self.settings)
        if server is None:
            raise NoServerError(
                f"No server runs on {self.settings.home}. Start one: {self.command('up --detach')} "
                "(or name another home: --home DIR)"
            )
        return server

    @property
    def url(self) -> str:
        return self.server.url

    @functools.cached_property
    def keys(self) -> Keys:
        from modelwright.server.keys import Keys

        return Keys.open(self.settings.credentials, self.settings.account)

    def key_of(self, user: str | None) -> AccessKey:
        """A user's active access key; the owner's without a name. Whoever may read the home's secrets may have it.

        Raises ConfigurationError when there is no such user, or no key.
        """
        if user is None or user == "admin":
            return self.keys.admin
        if user in self._found:
            return self._found[user]
        from botocore.exceptions import ClientError

        from modelwright.server.keys import AccessKey, principal

        try:
            found = self._client("iam", self.keys.admin).list_access_keys(UserName=user)["AccessKeyMetadata"]
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchEntity":
                raise
            raise ConfigurationError(f"There is no user '{user}'. See: {self.command('users list')}") from None
        active = [key["AccessKeyId"] for key in found if key["Status"] == "Active"]
        if not active:
            raise ConfigurationError(f"{user} has no active key. Make one: {self.command(f'users rotate {user}')}")
        key = AccessKey(active[0], self.keys.secret_of(active[0]), principal(self.settings.account, user, ""))
        self._found[user] = key
        return key

    def command(self, arguments: str) -> str:
        """A command line for the reader that means this home."""
        return f"modelwright {arguments}" + (f" --home {self.home}" if self.home else "")

    def client(self, service: str, *, seconds: float = ANSWER_SECONDS) -> Any:
        """A boto3 client of the running server, with the key of whom `--user` names, else the owner's.

        `seconds` is how long it waits.
        """
        return self._client(service, self.key_of(self.user), seconds)

    def _client(self, service: str, key: AccessKey, seconds: float = ANSWER_SECONDS) -> Any:
        import boto3
        from botocore.config import Config

        client = boto3.session.Session(
            aws_access_key_id=key.id,
            aws_secret_access_key=key.secret,
            region_name=self.settings.region,
        ).client(
            service,  # type: ignore[call-overload]  # the stubs want a literal
            endpoint_url=self.url,
            config=Config(
                retries={"total_max_attempts": 1},
                proxies={},
                connect_timeout=min(seconds, CONNECT_SECONDS),
                read_timeout=seconds,
            ),
        )
        self._announce(client)
        return client

    def _announce(self, client: Any) -> None:
        """Say what is waited for when a call takes long."""
        waiting = contextlib.ExitStack()

        def begin(model: Any, **_: Any) -> None:
            waiting.enter_context(patience(f"waiting for {self.url} to answer {model.name}"))

        def end(**_: Any) -> None:
            waiting.close()

        client.meta.events.register("before-call", begin)
        client.meta.events.register("after-call", end)
        client.meta.events.register("after-call-error", end)

    def environment(self) -> dict[str, str]:
        """What makes a client of the running server out of this process's environment."""
        from modelwright.server.authority import Authority
        from modelwright.server.environment import client_environment

        authority = Authority.open(self.settings.authority)
        return client_environment(self.settings, self.url, self.key_of(self.user), authority, os.environ)

    def show(self, document: Any, draw: Callable[[], RenderableType] | None = None) -> None:
        """Print a document: as JSON when asked for (or when there is no better form), else as `draw` draws it."""
        if self.as_json or draw is None:
            click.echo(as_json(document))
        else:
            self.print(draw())

    def print(self, drawn: RenderableType) -> None:
        """Print what was drawn; long lines are the terminal's to wrap."""
        if isinstance(drawn, str):
            click.echo(drawn)
            return
        self.terminal.print(drawn, soft_wrap=True, markup=False)

    def tell(self, text: str) -> None:
        """A remark that is no part of the result."""
        click.echo(text, err=True)

    def rows(self, documents: Sequence[dict[str, Any]], columns: Sequence[Column], empty: str) -> None:
        """A table with a row a document; where there is none, `empty` is said beside an empty result."""
        if not documents and not self.as_json:
            self.tell(empty)
            return
        from modelwright.cli.tables import table

        self.show(documents, lambda: table(documents, columns, self.terminal.width))

    def fields(self, document: dict[str, Any]) -> None:
        """One document, a line a member."""
        from modelwright.cli.tables import fields

        document = without_metadata(document)
        self.show(document, lambda: fields(document))


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


def version_of(package: Mapping[str, Any]) -> str:
    """How the command line calls a model package: `GROUP/NUMBER`, or its own name where it has no versions."""
    if "ModelPackageVersion" in package:
        return f"{package['ModelPackageGroupName']}/{package['ModelPackageVersion']}"
    return str(package["ModelPackageName"])


def titled(members: Mapping[str, Any]) -> dict[str, Any]:
    """Our own members, named in AWS's manner (`working_directory` is `WorkingDirectory`); empty ones are left out."""
    return {
        "".join(part.capitalize() for part in name.split("_")): value
        for name, value in members.items()
        if value is not None and value not in ("", [], (), {})
    }


def as_json(document: Any, *, indent: int | None = 2) -> str:
    """A document as JSON; times in ISO 8601, UTC."""
    return json.dumps(without_metadata(document), indent=indent, default=_plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


MISSING = ("ValidationException", "ResourceNotFound")
"""The codes with which SageMaker says that there is none of a name."""


@contextlib.contextmanager
def expected(text: str) -> Iterator[None]:
    """Raises ConfigurationError with `text` when SageMaker answers that what is asked for is not there."""
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        if error.response["Error"]["Code"] not in MISSING:
            raise
        raise ConfigurationError(text) from None


@contextlib.contextmanager
def patience(what: str) -> Iterator[None]:
    """Say on stderr what is being waited for, if it takes long."""
    timer = threading.Timer(PATIENCE_SECONDS, lambda: click.echo(f"{what} ...", err=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def stop_with(message: str, code: int = 1) -> NoReturn:
    """End with one line for the user."""
    sys.stdout.flush()
    click.echo(f"modelwright: {' '.join(message.split())}", err=True)
    sys.exit(code)
