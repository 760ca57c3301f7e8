"""Whom the platform acts for, while it acts: `with on_behalf_of(arns)` around what is called for them.

What somebody may not do they may not have done by a pipeline of theirs either; so an act of the platform's that only
an administrator may do needs the names of administrators on it. A context variable, because the names belong to the
act and not to any of the twenty operations that it may be made of.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_acting_for: ContextVar[tuple[str, ...]] = ContextVar("acting_for", default=())


@contextmanager
def on_behalf_of(arns: Iterable[str]) -> Iterator[None]:
    """What is called in the block is called for these, all of them (their principals' ARNs)."""
    token = _acting_for.set(tuple(dict.fromkeys(arn for arn in arns if arn)))
    try:
        yield
    finally:
        _acting_for.reset(token)


def behalf() -> tuple[str, ...]:
    """Whom the platform acts for now; nobody in particular where it is empty."""
    return _acting_for.get()
