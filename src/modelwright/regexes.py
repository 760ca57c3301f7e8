"""Regular expressions that others write: AllowedPattern of templates, metric definitions, filters of logs, and those
of AWS's service models.

They run in the server, over text that users write, and some search for ever ("catastrophic backtracking"). So they are
matched by `regex`: it knows what AWS's services know beyond Python's `re` (`\\p{Alpha}`), avoids most such searches and
ends the others. A match that takes long lets the other threads go on, and a Regex has one second for all of those.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import regex

BRIEF = 0.05
"""Seconds for a match (`each`) that runs on the server's event loop: all other requests wait meanwhile."""
_QUICK = 0.001
"""Seconds that a match may keep the interpreter for itself. Most need a hundredth of it."""
_SECONDS = 1.0


class InvalidRegex(ValueError):
    """It is no regular expression; the text says why."""


class SlowRegex(Exception):
    """A regular expression takes too long. The text says which, and what to do."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"the regular expression {text!r} takes too long: make it simpler, so that there is one way only in which "
            "it can match a text"
        )


class Regex:
    """A compiled one, for one purpose: a request, or a job's log. One for many has `each` seconds for a match instead.

    Raises InvalidRegex.
    """

    def __init__(self, text: str, *, each: float | None = None) -> None:
        self.text = text
        self._each = each
        self._left = _SECONDS
        try:
            self._compiled = regex.compile(text)
        except regex.error as error:
            raise InvalidRegex(str(error)) from None
        except (RecursionError, OverflowError, MemoryError):
            raise InvalidRegex("it is too large or too deep") from None

    def fullmatch(self, text: str) -> bool:
        """Whether it matches all of a text. Raises SlowRegex."""
        return self._run(self._compiled.fullmatch, text) is not None

    def search(self, text: str) -> bool:
        """Whether it matches anywhere in a text. Raises SlowRegex."""
        return self._run(self._compiled.search, text) is not None

    def numbers(self, text: str) -> list[float]:
        """The finite numbers that it finds: each match's first group, or all of it. Raises SlowRegex."""
        found = self._run(self._compiled.findall, text)
        numbers = [_number(groups[0] if isinstance(groups, tuple) else groups) for groups in found]
        return [number for number in numbers if number is not None]

    def _run(self, match: Callable[..., Any], text: str) -> Any:
        try:
            return match(text, timeout=_QUICK)
        except TimeoutError:
            pass
        began = time.thread_time()
        try:
            return match(text, timeout=self._each or max(self._left, _QUICK), concurrent=True)
        except TimeoutError:
            raise SlowRegex(self.text) from None
        finally:
            self._left -= time.thread_time() - began


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None
