"""What the engine needs of images: an image URI becomes something that a runtime can start."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from modelwright.runtimes.base import Image

Progress = Callable[[str], None]
"""Called with one line of what is going on; for the job's log, its status message, or a terminal."""


class Images(Protocol):
    """Where images come from."""

    def ready(self, uri: str) -> Image | None:
        """The image when it can be used at once, without building anything; else None. Quick.

        Raises ValidationException, with the command that would add it, for a URI that can't be resolved at all.
        """
        ...

    def digest(self, uri: str) -> str | None:
        """Of the content that the URI names, where that was built or added here; None of anything else."""
        ...

    def pinned(self, uri: str, digest: str) -> str:
        """The URI of exactly that content; the same URI where the image is none that is kept here, as AWS's framework
        images are not. Raises ValidationException when the content is gone."""
        ...

    def resolve(self, uri: str, progress: Progress) -> Image:
        """The image, made on first use (minutes, told to `progress`). Raises as `ready`, and AwsError when it can't
        be made, with the last lines of what failed. Two callers at once: one builds, the other waits."""
        ...

    def record(self, uri: str, progress: Progress) -> Mapping[str, Any]:
        """What a URI names, as plain JSON. Raises as `resolve`."""
        ...

    def publish(self, uri: str, record: Mapping[str, Any]) -> None:
        """Give an image that such a record describes a name. Raises AwsError where its tag is immutable."""
        ...
