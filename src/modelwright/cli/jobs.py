"""`modelwright jobs` and `modelwright logs`: training and processing jobs."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import click
from botocore.exceptions import ClientError

from modelwright.cli.commands import ActingCommand, ActingGroup, pass_console
from modelwright.cli.completion import job_names
from modelwright.cli.console import MISSING, Console, as_json, pages, stop_with, without_metadata
from modelwright.cli.tables import Column, elapsed
from modelwright.errors import ConfigurationError

ENDED = ("Completed", "Failed", "Stopped")
STATUSES = ("InProgress", "Completed", "Failed", "Stopping", "Stopped")
FOLLOW_SECONDS = 0.5
COLUMNS = (
    Column("KIND", "Kind", spare=True),
    Column("NAME", "Name"),
    Column("STATUS", "Status"),
    Column("CREATED", "CreationTime", spare=True),
    Column("TOOK", "Elapsed", spare=True),
)


@dataclass(frozen=True)
class JobKind:
    """How one kind of job is called over the wire."""

    noun: str
    """`training`: what the user types."""
    name: str
    """`TrainingJob`: what AWS's members begin with."""
    method: str
    """`training_job`: what boto3's methods end with."""
    group: str
    """Its log group."""

    def describe(self, client: Any, job: str) -> dict[str, Any] | None:
        """The job's document, or None when there is none of that name and kind."""
        try:
            answer = getattr(client, f"describe_{self.method}")(**{f"{self.name}Name": job})
        except ClientError as error:
            if error.response["Error"]["Code"] in MISSING:
                return None
            raise
        document: dict[str, Any] = without_metadata(answer)
        return document

    def list(self, client: Any, limit: int, **filters: Any) -> list[dict[str, Any]]:
        """The newest jobs' summaries."""
        return pages(client, f"list_{self.method}s", f"{self.name}Summaries", limit, **filters)

    def name_of(self, document: dict[str, Any]) -> str:
        return str(document[f"{self.name}Name"])

    def status_of(self, document: dict[str, Any]) -> str:
        return str(document[f"{self.name}Status"])

    def end_of(self, document: dict[str, Any]) -> Any:
        """When it ended, or None while it goes on."""
        if self.status_of(document) not in ENDED:
            return None
        ended = document.get("TrainingEndTime") or document.get("ProcessingEndTime")
        return ended or document.get("LastModifiedTime")


KINDS = (
    JobKind("training", "TrainingJob", "training_job", "/aws/sagemaker/TrainingJobs"),
    JobKind("processing", "ProcessingJob", "processing_job", "/aws/sagemaker/ProcessingJobs"),
)


@click.group("jobs", cls=ActingGroup)
def jobs() -> None:
    """List, show and stop training and processing jobs."""


@jobs.command("list")
@click.option(
    "--status", type=click.Choice(STATUSES, case_sensitive=False), metavar="STATUS", help="Only jobs of this status."
)
@click.option("--kind", type=click.Choice([kind.noun for kind in KINDS]), help="Only jobs of this kind.")
@click.option("--name", metavar="PART", help="Only jobs whose names contain this.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, metavar="N", help="At most so many.")
@pass_console
def list_jobs(console: Console, status: str | None, kind: str | None, name: str | None, limit: int) -> None:
    """List jobs, the newest first.

    STATUS is InProgress, Completed, Failed, Stopping or Stopped.
    """
    client = console.client("sagemaker")
    given = {"StatusEquals": status, "NameContains": name}
    filters = {member: value for member, value in given.items() if value}
    found = [
        {
            "Kind": one.noun,
            "Name": one.name_of(summary),
            "Status": one.status_of(summary),
            "CreationTime": summary["CreationTime"],
            "Elapsed": elapsed(summary["CreationTime"], one.end_of(summary)),
            "Arn": summary[f"{one.name}Arn"],
        }
        for one in KINDS
        if kind in (None, one.noun)
        for summary in one.list(client, limit, **filters)
    ]
    found.sort(key=lambda job: job["CreationTime"], reverse=True)
    console.rows(found[:limit], COLUMNS, "No such jobs." if filters or kind else "No jobs yet.")


@jobs.command("show")
@click.argument("job", shell_complete=job_names)
@pass_console
def show_job(console: Console, job: str) -> None:
    """Show all that is known of a job. JOB is a name or an ARN."""
    _, document = find_job(console, console.client("sagemaker"), job)
    console.fields(document)


@jobs.command("stop")
@click.argument("job", shell_complete=job_names)
@pass_console
def stop_job(console: Console, job: str) -> None:
    """Stop a job: its program gets SIGTERM, then two minutes. JOB is a name or an ARN."""
    client = console.client("sagemaker")
    kind, document = find_job(console, client, job)
    name = kind.name_of(document)
    getattr(client, f"stop_{kind.method}")(**{f"{kind.name}Name": name})
    console.show({"Stopping": name}, lambda: f"{name} is stopping")


@click.command("logs", cls=ActingCommand)
@click.argument("job", shell_complete=job_names)
@click.option("-f", "--follow", is_flag=True, help="Go on until the job has ended; its end is the exit status.")
@pass_console
def logs(console: Console, job: str, follow: bool) -> None:
    """Show what a job printed. JOB is a name or an ARN.

    With --json an array of events; with --json and --follow an object a line, as they come. The exit status of
    --follow is 1 when the job fails or is stopped. Ctrl-C ends the following, not the job.
    """
    client = console.client("sagemaker")
    kind, document = find_job(console, client, job)
    tail = LogTail(console.client("logs"), kind.group, kind.name_of(document))
    if follow:
        try:
            _follow(console, client, kind, document, tail)
        except KeyboardInterrupt:
            stop = console.command(f"jobs stop {kind.name_of(document)}")
            stop_with(f"interrupted; the job goes on. To end it: {stop}", 130)
    elif console.as_json:
        console.show(list(tail.read()))
    else:
        lines = 0
        for lines, event in enumerate(tail.read(), 1):  # noqa: B007  # the count is wanted
            click.echo(event["message"])
        if not lines:
            console.tell(f"{kind.name_of(document)} ({kind.status_of(document)}) has printed nothing.")


def _follow(console: Console, client: Any, kind: JobKind, document: dict[str, Any], tail: LogTail) -> None:
    """Print events and, on stderr, what the job is doing, until it has ended. Ends the program with 1 if it failed."""
    name = kind.name_of(document)
    pause = threading.Event()
    told = None
    while True:
        status = kind.status_of(document)
        doing = _doing(document)
        if doing not in (None, told) and status not in ENDED:
            console.tell(f"-- {name}: {doing}")
            told = doing
        for event in tail.read():
            click.echo(as_json(event, indent=None) if console.as_json else event["message"])
        sys.stdout.flush()
        if status in ENDED:
            break
        pause.wait(FOLLOW_SECONDS)
        document = kind.describe(client, name) or document
    reason = document.get("FailureReason") or document.get("ExitMessage")
    if status != "Completed":
        stop_with(f"{name} {status}" + (f": {reason}" if reason else ""))
    console.tell(f"-- {name} {status} after {elapsed(document['CreationTime'], kind.end_of(document))}")


def _doing(document: dict[str, Any]) -> str | None:
    """What a training job says of its present part, where it says so."""
    transitions = document.get("SecondaryStatusTransitions") or [{}]
    last = transitions[-1]
    return " - ".join(text for text in (last.get("Status"), last.get("StatusMessage")) if text) or None


class LogTail:
    """Reads a job's log streams on from where it last stopped."""

    def __init__(self, client: Any, group: str, job: str) -> None:
        self._client = client
        self._group = group
        self._job = job
        self._tokens: dict[str, str] = {}

    def read(self) -> Iterator[dict[str, Any]]:
        """Every new event: its time (ms), message and stream."""
        with contextlib.suppress(self._client.exceptions.ResourceNotFoundException):  # nothing printed yet
            streams = pages(
                self._client,
                "describe_log_streams",
                "logStreams",
                logGroupName=self._group,
                logStreamNamePrefix=f"{self._job}/",
            )
            for stream in streams:
                yield from self._read_stream(stream["logStreamName"])

    def _read_stream(self, stream: str) -> Iterator[dict[str, Any]]:
        while True:
            token = {"nextToken": self._tokens[stream]} if stream in self._tokens else {}
            answer = self._client.get_log_events(
                logGroupName=self._group, logStreamName=stream, startFromHead=True, **token
            )
            for event in answer["events"]:
                yield {"timestamp": event["timestamp"], "message": event["message"], "logStreamName": stream}
            if answer["nextForwardToken"] == self._tokens.get(stream):
                return
            self._tokens[stream] = answer["nextForwardToken"]


def find_job(console: Console, client: Any, job: str) -> tuple[JobKind, dict[str, Any]]:
    """By name or ARN. Names in ARNs are in small letters, whatever the job was called: letter case does not matter.

    Raises ConfigurationError when there is no such job.
    """
    name = job.rsplit("/", 1)[-1]
    for kind in KINDS:
        document = kind.describe(client, name)
        if document is not None:
            return kind, document
    for kind in KINDS:
        for summary in kind.list(client, 100, NameContains=name[:63]):
            if kind.name_of(summary).lower() == name.lower():
                document = kind.describe(client, kind.name_of(summary))
                if document is not None:
                    return kind, document
    raise ConfigurationError(f"There is no job '{name}'. See: {console.command('jobs list')}")


COMMANDS = (jobs, logs)
