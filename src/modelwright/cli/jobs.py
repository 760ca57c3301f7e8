"""`modelwright jobs` and `modelwright logs`: training and processing jobs."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click
from botocore.exceptions import ClientError

from modelwright.cli.console import Console, Group, elapsed, pages, pass_console, without_metadata
from modelwright.errors import ConfigurationError

ENDED = ("Completed", "Failed", "Stopped")


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
            if error.response["Error"]["Code"] in ("ValidationException", "ResourceNotFound"):
                return None
            raise
        document: dict[str, Any] = without_metadata(answer)
        return document


KINDS = (
    JobKind("training", "TrainingJob", "training_job", "/aws/sagemaker/TrainingJobs"),
    JobKind("processing", "ProcessingJob", "processing_job", "/aws/sagemaker/ProcessingJobs"),
)


@click.group("jobs", cls=Group)
def jobs() -> None:
    """List, show and stop training and processing jobs."""


@jobs.command("list")
@click.option("--status", help="Only jobs of this status (InProgress, Completed, Failed, Stopping, Stopped).")
@click.option("--kind", type=click.Choice([kind.noun for kind in KINDS]), help="Only jobs of this kind.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="At most so many.")
@pass_console
def list_jobs(console: Console, status: str | None, kind: str | None, limit: int) -> None:
    """The newest jobs first."""
    client = console.client("sagemaker")
    filters = {"StatusEquals": status} if status else {}
    found = []
    for one in KINDS:
        if kind in (None, one.noun):
            summaries = pages(client, f"list_{one.method}s", f"{one.name}Summaries", limit, **filters)
            found += [
                {
                    "Kind": one.noun,
                    "Name": summary[f"{one.name}Name"],
                    "Status": summary[f"{one.name}Status"],
                    "CreationTime": summary["CreationTime"],
                    "Elapsed": elapsed(summary["CreationTime"], end_of(summary, one)),
                }
                for summary in summaries
            ]
    found.sort(key=lambda job: job["CreationTime"], reverse=True)
    columns = [("KIND", "Kind"), ("NAME", "Name"), ("STATUS", "Status"), ("CREATED", "CreationTime")]
    console.rows(found[:limit], [*columns, ("TOOK", "Elapsed")], "No jobs yet.")


@jobs.command("show")
@click.argument("name")
@pass_console
def show_job(console: Console, name: str) -> None:
    """All that is known of a job."""
    _, document = find_job(console.client("sagemaker"), name)
    console.fields(document)


@jobs.command("stop")
@click.argument("name")
@pass_console
def stop_job(console: Console, name: str) -> None:
    """Stop a job: its program gets SIGTERM, then two minutes."""
    client = console.client("sagemaker")
    kind, _ = find_job(client, name)
    getattr(client, f"stop_{kind.method}")(**{f"{kind.name}Name": name})
    console.show({"Stopping": name}, lambda: f"{name} is stopping")


@click.command("logs")
@click.argument("name")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job has ended.")
@pass_console
def logs(console: Console, name: str, follow: bool) -> None:
    """What a job printed."""
    sagemaker = console.client("sagemaker")
    kind, document = find_job(sagemaker, name)
    tail = LogTail(console.client("logs"), kind.group, name)
    pause = threading.Event()
    while True:
        ended = document[f"{kind.name}Status"] in ENDED
        tail.read(click.echo)
        if ended or not follow:
            return
        pause.wait(1)
        document = kind.describe(sagemaker, name) or document


class LogTail:
    """Reads a job's log streams on from where it last stopped."""

    def __init__(self, client: Any, group: str, job: str) -> None:
        self._client = client
        self._group = group
        self._job = job
        self._tokens: dict[str, str] = {}

    def read(self, show: Callable[[str], object]) -> None:
        """Hand every new line to `show`."""
        try:
            streams = pages(
                self._client,
                "describe_log_streams",
                "logStreams",
                logGroupName=self._group,
                logStreamNamePrefix=f"{self._job}/",
            )
            for stream in streams:
                self._read_stream(stream["logStreamName"], show)
        except ClientError as error:
            if error.response["Error"]["Code"] != "ResourceNotFoundException":  # else: nothing printed yet
                raise

    def _read_stream(self, stream: str, show: Callable[[str], object]) -> None:
        while True:
            token = {"nextToken": self._tokens[stream]} if stream in self._tokens else {}
            answer = self._client.get_log_events(
                logGroupName=self._group, logStreamName=stream, startFromHead=True, **token
            )
            for event in answer["events"]:
                show(event["message"])
            if answer["nextForwardToken"] == self._tokens.get(stream):
                return
            self._tokens[stream] = answer["nextForwardToken"]


def find_job(client: Any, name: str) -> tuple[JobKind, dict[str, Any]]:
    """Raises ConfigurationError when there is no job of that name."""
    for kind in KINDS:
        document = kind.describe(client, name)
        if document is not None:
            return kind, document
    raise ConfigurationError(f"There is no job '{name}'. See: modelwright jobs list")


def end_of(document: dict[str, Any], kind: JobKind) -> Any:
    """When it ended, or None while it goes on."""
    if document[f"{kind.name}Status"] not in ENDED:
        return None
    return document.get("TrainingEndTime") or document.get("ProcessingEndTime") or document.get("LastModifiedTime")


COMMANDS = (jobs, logs)
