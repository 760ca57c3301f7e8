"""What an action of a pipeline looks like to its provider, and the other way round.

`start` begins it and may be called again for the same action at any time: what it does elsewhere carries the action's
id as its token, and what is there already is adopted. `poll` says how it stands; before it looks it asks to be called
again when what it looks at changes.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from modelwright.engine.values import Call
from modelwright.errors import AwsError, InternalFailure, ModelwrightError
from modelwright.lifecycles.codepipeline_state import ActionRun
from modelwright.objects.base import ObjectStore

Place = Mapping[str, str]
"""`{"bucket": ..., "key": ...}` of an artifact, and its `etag` once it has been made."""


class ActionFailed(ModelwrightError):
    """The action has failed: `code` is one of AWS's FailureTypes, the text says why."""

    def __init__(self, message: str, code: str = "JobFailed") -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Outcome:
    """What is known now, and whether that is the end (see `lifecycles.codepipeline.ActionRun.detail`)."""

    detail: Mapping[str, Any] = field(default_factory=dict)
    status: Literal["InProgress", "Succeeded", "Failed"] = "InProgress"


@dataclass(frozen=True)
class Task:
    """One action execution."""

    pipeline: str
    account: str
    region: str
    bucket: str
    """Where artifacts go."""
    action: ActionRun
    configuration: Mapping[str, str]
    """With the variables' values in it."""
    inputs: Mapping[str, Place]
    revision: Mapping[str, str]
    """Of a source, what StartPipelineExecution asked for: `type` and `value`; else empty."""
    changes_of: Callable[[str], None]
    """Poll again when something is appended to this event stream."""

    @property
    def id(self) -> str:
        return self.action.id

    @property
    def outputs(self) -> list[str]:
        """The names of the output artifacts."""
        return [artifact["name"] for artifact in self.action.declaration.get("outputArtifacts", [])]

    @property
    def state(self) -> Mapping[str, Any]:
        """What the provider's action has kept."""
        kept: Mapping[str, Any] = self.action.detail.get("state", {})
        return kept

    def place(self, artifact: str, suffix: str = "") -> dict[str, str]:
        """Where an output artifact goes, in AWS's layout: always the same place for the same action execution."""
        digest = hashlib.sha256(f"{self.id}/{artifact}".encode()).hexdigest()[:7]
        return {"bucket": self.bucket, "key": f"{self.pipeline[:20]}/{artifact[:10]}/{digest}{suffix}"}


class Action(Protocol):
    """What a provider does."""

    def start(self, task: Task) -> Outcome:
        """Begin it, or find that it has begun. Raises ActionFailed, AwsError."""
        ...

    def poll(self, task: Task) -> Outcome | None:
        """How it stands; None: as before. Raises ActionFailed, AwsError."""
        ...


class Remotes(Protocol):
    """Git repositories elsewhere, by OWNER/NAME (see `remotes`)."""

    def __contains__(self, name: str, /) -> bool: ...

    def archive(self, name: str, branch: str, commit: str | None, target: Path) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Tools:
    """What the actions work with."""

    call: Call
    objects: ObjectStore
    now: Callable[[], float]
    archive: Callable[[str, str, Path], None]
    """Writes the tree of a commit as a ZIP archive: (repository's id, commit, target)."""
    remotes: Remotes


def no_archive(repository: str, commit: str, target: Path) -> None:
    """Where there are no repositories."""
    raise InternalFailure(f"there is nobody who could write the commit {commit} of {repository} to {target}")


def check_tag(artifact: str, place: Place, found: str | None) -> None:
    """Raises ActionFailed when an artifact isn't what it was when it was made."""
    if found != place["etag"]:
        raise ActionFailed(
            f"The artifact '{artifact}' (s3://{place['bucket']}/{place['key']}) is not what was made in this "
            f"execution: its ETag was {place['etag']} and is {found or 'gone'} now. Release the change again.",
            "ConfigurationError",
        )


def _md5() -> Any:
    return hashlib.md5(usedforsecurity=False)


class Artifacts:
    """Files in artifacts, which are zip archives in S3."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    def file(self, task: Task, artifact: str, path: str) -> bytes:
        """The content of one file of an input artifact. Raises ActionFailed."""
        if artifact not in task.inputs:
            raise ActionFailed(f"'{artifact}' is none of the action's input artifacts.", "ConfigurationError")
        place = task.inputs[artifact]
        try:
            with self._objects.path(place["bucket"], place["key"]).open("rb") as stored:
                if "etag" in place:  # compared with the bytes that are read: the object may be another by now
                    check_tag(artifact, place, hashlib.file_digest(stored, _md5).hexdigest())
                with zipfile.ZipFile(stored) as archive:
                    return archive.read(path)
        except KeyError:
            raise ActionFailed(f"The artifact '{artifact}' has no file '{path}'.", "ConfigurationError") from None
        except zipfile.BadZipFile:
            raise ActionFailed(f"The artifact '{artifact}' is not a ZIP archive.", "ConfigurationError") from None
        except AwsError as error:
            raise ActionFailed(f"The artifact '{artifact}' can't be read: {error.message}") from error

    def put(self, place: Place, files: Mapping[str, bytes]) -> None:
        """Store an artifact. Raises AwsError."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
        self._objects.put_bytes(place["bucket"], place["key"], buffer.getvalue())
