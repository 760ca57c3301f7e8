"""What is wrong with a pipeline definition: collected while it is read, raised all at once.

A checker gets a `Problems` and a JSON path (`Steps[2].Arguments.Conditions[0]`) and goes on after a problem, so that
whoever wrote the definition mends it in one go. The text begins as AWS's does ("Unable to parse pipeline definition.").
"""

from __future__ import annotations

from dataclasses import dataclass

from modelwright.errors import ValidationException

SHOWN = 20
"""More problems than this are counted, not spelled out."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: `step` is the step's name (empty outside of steps), `path` its place in the JSON."""

    path: str
    reason: str
    step: str = ""

    def __str__(self) -> str:
        where = f"Step '{self.step}', {self.path}" if self.step else self.path
        return f"{where}: {self.reason}" if where else self.reason


class Problems:
    """Collects. Steps are entered by name, so that checkers need not hand the name on."""

    def __init__(self) -> None:
        self.found: list[Problem] = []
        self.step = ""

    def add(self, path: str, reason: str) -> None:
        problem = Problem(path, reason, self.step)
        if problem not in self.found:
            self.found.append(problem)

    def raise_if_any(self) -> None:
        """Raises ValidationException with every problem found."""
        if not self.found:
            return
        if len(self.found) == 1:
            raise ValidationException(f"Unable to parse pipeline definition. {self.found[0]}")
        shown = [f"({number}) {problem}" for number, problem in enumerate(self.found[:SHOWN], 1)]
        more = f" ... and {len(self.found) - SHOWN} more." if len(self.found) > SHOWN else ""
        raise ValidationException(
            f"Unable to parse pipeline definition. {len(self.found)} problems: {' '.join(shown)}{more}"
        )


def shown(value: object, limit: int = 80) -> str:
    """A value as a problem's text quotes it: never longer than a line."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 4] + " ..."
