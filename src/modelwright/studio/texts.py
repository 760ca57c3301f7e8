"""What Studio says, in the reader's language. English texts are the keys; `korean.py` has the other half.

`t("Run {name}", name=...)` translates and fills in. A text that is missing in Korean is shown in English, and a test
fails.
"""

from __future__ import annotations

from collections.abc import Mapping

from modelwright.studio.korean import KOREAN


class Texts:
    """One language."""

    def __init__(self, code: str, name: str, texts: Mapping[str, str]) -> None:
        self.code = code
        self.name = name
        self._texts = texts

    def __call__(self, english: str, /, **values: object) -> str:
        text = self._texts.get(english, english)
        return text.format(**values) if values else text


LANGUAGES = {"en": Texts("en", "English", {}), "ko": Texts("ko", "한국어", KOREAN)}

SECONDS, MINUTES, HOURS = "{seconds} s", "{minutes} min {seconds} s", "{hours} h {minutes} min"
"""Stretches of time; `page.js` says those that go on."""

STATUSES: Mapping[str, tuple[str, str]] = {
    "Executing": ("run", "Executing"),
    "InProgress": ("run", "In progress"),
    "Starting": ("run", "Starting"),
    "Stopping": ("warn", "Stopping"),
    "Stopped": ("idle", "Stopped"),
    "Succeeded": ("ok", "Succeeded"),
    "Completed": ("ok", "Completed"),
    "Failed": ("bad", "Failed"),
    "CompletedWithFailures": ("bad", "Completed with failures"),
    "PendingManualApproval": ("warn", "Pending manual approval"),
    "Approved": ("ok", "Approved"),
    "Rejected": ("bad", "Rejected"),
    "InService": ("ok", "In service"),
    "Creating": ("run", "Creating"),
    "Updating": ("run", "Updating"),
    "RollingBack": ("warn", "Rolling back"),
    "Deleting": ("warn", "Deleting"),
    "Superseded": ("idle", "Superseded"),
    "Cancelled": ("idle", "Cancelled"),
    "Abandoned": ("bad", "Abandoned"),
    "CreateInProgress": ("run", "Creating"),
    "CreateCompleted": ("ok", "Creation completed"),
    "CreateFailed": ("bad", "Could not be created"),
    "UpdateInProgress": ("run", "Updating"),
    "UpdateCompleted": ("ok", "Updated"),
    "UpdateFailed": ("bad", "Could not be updated"),
    "DeleteInProgress": ("warn", "Deleting"),
    "DeleteFailed": ("bad", "Could not be deleted"),
    "DeleteCompleted": ("idle", "Deleted"),
    "Pending": ("run", "In progress"),
    "": ("idle", "Not started"),
}
"""AWS's status -> (its colour's name everywhere, what it is called)."""

STEP_TYPES: Mapping[str, str] = {
    "Training": "Training",
    "Processing": "Processing",
    "Condition": "Condition",
    "Fail": "Fail",
    "Model": "Create model",
    "RegisterModel": "Register model",
    "Transform": "Batch transform",
    "Tuning": "Tuning",
    "Lambda": "Lambda",
    "Callback": "Callback",
}
"""A step's type -> what it is called."""
