"""Source actions: what is there now becomes the output artifact, and its revision the execution's."""

from __future__ import annotations

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
            "summary": found.metadata.get(SUMMARY_KEY, f"Amazon S3 version id: {found.etag}"),
        }
        variables = {"BucketName": bucket, "ObjectKey": key, "ETag": found.etag, "VersionId": "null"}
        return succeeded(artifact, place, revision, variables)

    def poll(self, task: Task) -> Outcome | None:
        return None


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
