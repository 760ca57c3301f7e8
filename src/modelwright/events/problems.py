"""The errors of EventBridge's languages."""

from __future__ import annotations

from modelwright.errors import AwsError


class InvalidEventPattern(AwsError):
    """The event pattern is not valid."""

    default_code = "InvalidEventPatternException"

    def __init__(self, reason: str, path: tuple[str, ...] = ()) -> None:
        where = f" (at {'.'.join(path)})" if path else ""
        super().__init__(f"Event pattern is not valid. Reason: {reason}{where}")
