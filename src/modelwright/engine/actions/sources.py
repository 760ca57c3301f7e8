"""Source actions: what is there now becomes the output artifact, and its revision the execution's."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from modelwright.engine.actions.base import ActionFailed, Outcome, Task, Tools
from modelwright.errors import AwsError

SUMMARY_KEY = "codepipeline-artifact-revision-summary"
"""Metadata of an S3 object that says what is in it."""
_TRIES = 5


class S3:
    """Source, S3: one object, which is a ZIP archive."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def start(self, task: Task) -> Outcome:
        bucket, key = task.configuration["S3Bucket"], task.configuration["S3ObjectKey"]
        if task.revision:
            key = task.revision["value"]
        objects, (artifact,) = self._tools.objects, task.outputs
        place = task.place(artifact, ".zip" if key.endswith(".zip") else "")
        try:
            for _ in range(_TRIES):
                found = objects.head(bucket, key)
                objects.put_file(place["bucket"], place["key"], objects.path(bucket, key))
                if objects.head(bucket, key).etag == found.etag:
                    break
        except AwsError as error:
            raise ActionFailed(f"s3://{bucket}/{key}: {error.message}", "RevisionUnavailable") from error
        revision = {
            "id": found.etag,
            "change": found.etag,
            "created": found.modified,
            "summary": found.metadata.get(SUMMARY_KEY, f"s3://{bucket}/{key}, ETag {found.etag}"),
        }
        variables = {"BucketName": bucket, "ObjectKey": key, "ETag": found.etag, "VersionId": "null"}
        return succeeded(artifact, place, revision, variables)

    def poll(self, task: Task) -> Outcome | None:
        return None


class CodeCommit:
    """Source, CodeCommit: the tree of a branch's last commit, or of the commit that was asked for."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def start(self, task: Task) -> Outcome:
        configuration = task.configuration
        commit, place = fetch(self._tools, task, configuration["RepositoryName"], configuration["BranchName"])
        variables = {
            "RepositoryName": configuration["RepositoryName"],
            "BranchName": configuration["BranchName"],
            "CommitId": commit["commitId"],
            "CommitMessage": commit["message"],
            "AuthorDate": _iso(commit["author"]),
            "AuthorName": commit["author"].get("name", ""),
            "AuthorEmail": commit["author"].get("email", ""),
            "CommitterDate": _iso(commit["committer"]),
        }
        return succeeded(task.outputs[0], place, _revision(commit), variables)

    def poll(self, task: Task) -> Outcome | None:
        return None


class Connection:
    """Source, CodeStarSourceConnection: OWNER/NAME is a repository of the settings, else our own CodeCommit's NAME."""

    def __init__(self, tools: Tools) -> None:
        self._tools = tools

    def start(self, task: Task) -> Outcome:
        configuration = task.configuration
        full, branch = configuration["FullRepositoryId"], configuration["BranchName"]
        if full in self._tools.remotes:
            commit, place = self._fetch_remote(task, full, branch)
        else:
            commit, place = fetch(self._tools, task, full.rpartition("/")[2], branch)
        variables = {
            "FullRepositoryName": full,
            "BranchName": branch,
            "CommitId": commit["commitId"],
            "CommitMessage": commit["message"],
            "AuthorDate": _iso(commit["author"]),
            "AuthorDisplayName": commit["author"].get("name", ""),
            "AuthorEmail": commit["author"].get("email", ""),
            "ConnectionArn": configuration["ConnectionArn"],
        }
        return succeeded(task.outputs[0], place, _revision(commit), variables)

    def poll(self, task: Task) -> Outcome | None:
        return None

    def _fetch_remote(self, task: Task, full: str, branch: str) -> tuple[dict[str, Any], dict[str, str]]:
        place = task.place(task.outputs[0], ".zip")
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder, "source.zip")
            commit = self._tools.remotes.archive(full, branch, task.revision.get("value"), archive)
            self._tools.objects.put_file(place["bucket"], place["key"], archive)
        return commit, place


def fetch(tools: Tools, task: Task, repository: str, branch: str) -> tuple[dict[str, Any], dict[str, str]]:
    """(GetCommit's answer, where the artifact lies). Raises ActionFailed."""

    def ask(operation: str, **more: str) -> dict[str, Any]:
        parameters = {"repositoryName": repository, **more}
        return tools.call(task.region, "codecommit", operation, parameters)

    place = task.place(task.outputs[0], ".zip")
    try:
        identity = ask("GetRepository")["repositoryMetadata"]["repositoryId"]
        asked = task.revision.get("value")
        wanted = asked or ask("GetBranch", branchName=branch)["branch"]["commitId"]
        commit = ask("GetCommit", commitId=wanted)["commit"]
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder, "source.zip")
            tools.archive(identity, commit["commitId"], archive)
            tools.objects.put_file(place["bucket"], place["key"], archive)
    except AwsError as error:
        code = "ConfigurationError" if "DoesNotExist" in error.code else "RevisionUnavailable"
        raise ActionFailed(f"Repository {repository}, branch {branch}: {error.message}", code) from error
    return commit, place


def _revision(commit: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": commit["commitId"],
        "change": commit["commitId"],
        "created": _seconds(commit["committer"]),
        "summary": commit["message"].strip() or commit["commitId"],
    }


def _seconds(person: dict[str, str]) -> float:
    """CodeCommit tells times as git does: seconds, and the zone's offset."""
    return float(person["date"].split()[0])


def _iso(person: dict[str, str]) -> str:
    return datetime.fromtimestamp(_seconds(person), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def succeeded(artifact: str, place: dict[str, str], revision: dict[str, Any], variables: dict[str, str]) -> Outcome:
    """How a source action ends."""
    detail = {
        "external_id": revision["id"],
        "summary": revision["summary"],
        "external_url": revision.get("url"),
        "outputs": {artifact: place},
        "variables": variables,
        "revision": revision,
    }
    return Outcome({key: value for key, value in detail.items() if value is not None}, "Succeeded")
