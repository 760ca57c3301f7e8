"""What a writer says of an object beside its bytes, and on which condition the write may happen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from modelwright.objects import errors
from modelwright.objects.index import Entry


@dataclass(frozen=True)
class Attributes:
    """As in ObjectInfo."""

    headers: Mapping[str, str] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


NOTHING = Attributes()


@dataclass(frozen=True)
class Condition:
    """Judged in the transaction that writes, so of two conditional writers one wins.

    `if_match`: an ETag or `*`; `absent`: If-None-Match: *.
    """

    if_match: str | None = None
    absent: bool = False

    def check(self, key: str, current: Entry | None) -> None:
        """Raises PreconditionFailed, or NoSuchKey where there is nothing to match."""
        if self.absent and current is not None:
            raise errors.precondition_failed("If-None-Match")
        if self.if_match is not None:
            if current is None:
                raise errors.no_such_key(key)
            if self.if_match.strip() != "*" and self.if_match.strip().strip('"') != current.info.etag:
                raise errors.precondition_failed("If-Match")


ALWAYS = Condition()
