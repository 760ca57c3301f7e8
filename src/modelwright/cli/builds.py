"""`modelwright builds`: builds of CodeBuild: list, show, logs, start, stop, retry."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import Any

import click
from rich.text import Text

from modelwright.cli.commands import ActingGroup, pass_console
from modelwright.cli.completion import build_names, build_project_names
from modelwright.cli.console import Console, as_json, stop_with, without_metadata
from modelwright.cli.tables import GAP, Column, cell, elapsed, grid
from modelwright.errors import ConfigurationError

COLUMNS = (
    Column("BUILD", "id"),
    Column("STATUS", "buildStatus"),
    Column("PHASE", "currentPhase", spare=True),
    Column("STARTED", "startTime", spare=True),
    Column("TOOK", "Elapsed", spare=True),
    Column("BY", "initiator", spare=True),
)
MARKS = {"SUCCEEDED": "✔", "FAILED": "✘", "FAULT": "✘", "TIMED_OUT": "✘", "STOPPED": "■", "IN_PROGRESS": "●"}
FOLLOW_SECONDS = 0.5
_AT_ONCE = 100
"""Builds that BatchGetBuilds describes in one call."""


@click.group("builds", cls=ActingGroup)
def builds() -> None:
    """List and show builds and what they printed; start, stop and retry them."""


@builds.command("list")
@click.option("--project", metavar="NAME", shell_complete=build_project_names, help="Only builds of this project.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="At most so many.")
@pass_console
def list_builds(console: Console, project: str | None, limit: int) -> None:
    """List builds, the newest first."""
    client = console.client("codebuild")
    ids = _ids(console, client, project, limit)
    found: dict[str, dict[str, Any]] = {}
    for start in range(0, len(ids), _AT_ONCE):
        for build in client.batch_get_builds(ids=ids[start : start + _AT_ONCE])["builds"]:
            found[build["id"]] = {**build, "Elapsed": elapsed(build["startTime"], build.get("endTime"))}
    empty = f"No builds of '{project}' yet." if project else "No builds yet."
    console.rows([found[name] for name in ids if name in found], COLUMNS, empty)


@builds.command("show")
@click.argument("build", shell_complete=build_names)
@pass_console
def show_build(console: Console, build: str) -> None:
    """Show a build's phases, with the reason of each failure. BUILD is an id, an ARN, or a project: its newest."""
    document = _find(console, console.client("codebuild"), build)
    console.show(document, lambda: Text("\n").join(drawing(document)))


@builds.command("logs")
@click.argument("build", shell_complete=build_names)
@click.option("-f", "--follow", is_flag=True, help="Go on until the build has ended; its end is the exit status.")
@pass_console
def build_logs(console: Console, build: str, follow: bool) -> None:
    """Show what a build printed. BUILD is an id, an ARN, or a project: its newest.

    With --json an array of events; with --json and --follow an object a line, as they come. The exit status of
    --follow is 1 unless the build succeeds. Ctrl-C ends the following, not the build.
    """
    client = console.client("codebuild")
    document = _find(console, client, build)
    if follow:
        _follow(console, client, document)
        return
    events = list(Tail(console, document).read())
    if console.as_json:
        console.show(events)
        return
    for event in events:
        click.echo(event["message"])
    if not events:
        console.tell(f"{document['id']} ({document['buildStatus']}) has printed nothing.")


@builds.command("start")
@click.argument("project", shell_complete=build_project_names)
@click.option("--variable", "variables", multiple=True, metavar="NAME=VALUE", help="A variable of the environment.")
@click.option("--source-version", metavar="VERSION", help="A commit, branch or tag of the source.")
@click.option("-f", "--follow", is_flag=True, help="Show what it prints until it has ended.")
@pass_console
def start_build(
    console: Console, project: str, variables: tuple[str, ...], source_version: str | None, follow: bool
) -> None:
    """Start a build of a project."""
    client = console.client("codebuild")
    asked: dict[str, Any] = {"projectName": project}
    if variables:
        asked["environmentVariablesOverride"] = [_variable(text) for text in variables]
    if source_version:
        asked["sourceVersion"] = source_version
    with _known(console, client, f"There is no build project '{project}'.", project):
        document = without_metadata(client.start_build(**asked))["build"]
    _tell_started(console, client, document, follow)


@builds.command("stop")
@click.argument("build", shell_complete=build_names)
@pass_console
def stop_build(console: Console, build: str) -> None:
    """Stop a build. BUILD is an id, an ARN, or a project: its newest."""
    client = console.client("codebuild")
    document = _find(console, client, build)
    if document["buildComplete"]:
        raise ConfigurationError(f"{document['id']} is over: it has {document['buildStatus']}.")
    client.stop_build(id=document["id"])
    console.show({"Stopping": document["id"]}, lambda: f"{document['id']} is stopping")


@builds.command("retry")
@click.argument("build", shell_complete=build_names)
@click.option("-f", "--follow", is_flag=True, help="Show what it prints until it has ended.")
@pass_console
def retry_build(console: Console, build: str, follow: bool) -> None:
    """Start a build again with what it was started with. BUILD is an id, an ARN, or a project: its newest."""
    client = console.client("codebuild")
    document = without_metadata(client.retry_build(id=_find(console, client, build)["id"]))["build"]
    _tell_started(console, client, document, follow)


def _tell_started(console: Console, client: Any, document: dict[str, Any], follow: bool) -> None:
    if follow:
        _follow(console, client, document)
    else:
        logs = console.command(f"builds logs -f {document['id']}")
        console.show(document, lambda: f"{document['id']} has started. What it prints: {logs}")


def _follow(console: Console, client: Any, document: dict[str, Any]) -> None:
    """Print events and, on stderr, each new phase, until it has ended. Ends the program with 1 unless it succeeded."""
    pause, told, name, tail = threading.Event(), "", document["id"], Tail(console, document)
    try:
        while True:
            if document["currentPhase"] != told and not document["buildComplete"]:
                told = document["currentPhase"]
                console.tell(f"-- {name}: {told}")
            for event in tail.read():
                click.echo(as_json(event, indent=None) if console.as_json else event["message"])
            sys.stdout.flush()
            if document["buildComplete"]:
                break
            pause.wait(FOLLOW_SECONDS)
            document = _find(console, client, name)
    except KeyboardInterrupt:
        stop_with(f"interrupted; the build goes on. To end it: {console.command(f'builds stop {name}')}", 130)
    if document["buildStatus"] != "SUCCEEDED":
        reasons = [text for phase in document["phases"] for text in _reasons(phase)]
        stop_with(f"{name} {document['buildStatus']}" + (f": {reasons[0]}" if reasons else ""))
    console.tell(f"-- {name} SUCCEEDED after {elapsed(document['startTime'], document['endTime'])}")


class Tail:
    """Reads a build's log stream on from where it last stopped."""

    def __init__(self, console: Console, document: dict[str, Any]) -> None:
        logs = document.get("logs", {})
        if "groupName" not in logs:
            raise ConfigurationError(f"{document['id']} keeps no logs: its project has them disabled.")
        self._client = console.client("logs")
        self._place = {"logGroupName": logs["groupName"], "logStreamName": logs["streamName"]}
        self._token: dict[str, str] = {}

    def read(self) -> Iterator[dict[str, Any]]:
        """Every new event: its time (ms) and message."""
        while True:
            try:
                answer = self._client.get_log_events(**self._place, startFromHead=True, **self._token)
            except self._client.exceptions.ResourceNotFoundException:
                return  # nothing printed yet
            for event in answer["events"]:
                yield {"timestamp": event["timestamp"], "message": event["message"]}
            token = {"nextToken": answer["nextForwardToken"]}
            if token == self._token:
                return
            self._token = token


# Asking


def _ids(console: Console, client: Any, project: str | None, limit: int) -> list[str]:
    ids: list[str] = []
    token: dict[str, str] = {}
    while True:
        if project is None:
            answer = client.list_builds(**token)
        else:
            with _known(console, client, f"There is no build project '{project}'.", project):
                answer = client.list_builds_for_project(projectName=project, **token)
        ids += answer["ids"]
        if len(ids) >= limit or "nextToken" not in answer:
            return ids[:limit]
        token = {"nextToken": answer["nextToken"]}


def _find(console: Console, client: Any, name: str) -> dict[str, Any]:
    """By id or ARN; a project's newest by its name. Raises ConfigurationError when there is none."""
    identity = name.rpartition(":build/")[2]
    if ":" not in identity:
        newest = _ids(console, client, identity, 1)
        if not newest:
            raise ConfigurationError(
                f"The project '{identity}' has no builds yet. See: {console.command(f'builds start {identity}')}"
            )
        identity = newest[0]
    found: list[dict[str, Any]] = client.batch_get_builds(ids=[identity])["builds"]
    if not found:
        raise ConfigurationError(f"There is no build '{identity}'. See: {console.command('builds list')}")
    return found[0]


@contextlib.contextmanager
def _known(console: Console, client: Any, text: str, name: str) -> Iterator[None]:
    try:
        yield
    except client.exceptions.ResourceNotFoundException:
        names = client.list_projects()["projects"]
        known = f" There are: {', '.join(names[:10])}." if names else ""
        raise ConfigurationError(f"{text}{known} See: {console.command('builds list')}") from None


def _variable(text: str) -> dict[str, str]:
    name, separator, value = text.partition("=")
    if not separator:
        raise ConfigurationError(f"--variable {text}: must be NAME=VALUE.")
    return {"name": name, "value": value}


# Drawing


def drawing(document: dict[str, Any]) -> list[Text]:
    """A headline; a line a phase, below it what went wrong; what was made."""
    headline = Text(document["id"], style="bold").append(GAP).append_text(cell(document["buildStatus"]))
    headline.append(f"{GAP}{elapsed(document['startTime'], document.get('endTime'))}", style="dim")
    lines = [headline, Text(f"#{document['buildNumber']} by {document['initiator']}", style="dim")]
    if document.get("resolvedSourceVersion"):
        lines.append(Text(f"source {document['resolvedSourceVersion']}", style="dim"))
    rows, reasons = [], []
    for phase in document["phases"]:
        status = phase.get("phaseStatus", "")
        took = elapsed(phase["startTime"], phase["endTime"]) if "endTime" in phase else ""
        mark = Text(f"  {MARKS.get(status, '·')}")
        rows.append([mark, Text(phase["phaseType"]), cell(status), Text(took, style="dim")])
        reasons.append(_reasons(phase))
    for line, texts in zip(grid(rows).split("\n"), reasons, strict=True):
        lines.append(line)
        lines += [Text(f"      {text}", style="red") for text in texts]
    for artifact in (document.get("artifacts", {}), *document.get("secondaryArtifacts", [])):
        if artifact.get("location"):
            lines.append(Text(f"{artifact.get('artifactIdentifier', 'artifact')}: {artifact['location']}"))
    for variable in document.get("exportedEnvironmentVariables", []):
        lines.append(Text(f"exported {variable['name']}={variable['value']}"))
    return lines


def _reasons(phase: dict[str, Any]) -> list[str]:
    return [found["message"] for found in phase.get("contexts", []) if found.get("message")]


COMMANDS = (builds,)
