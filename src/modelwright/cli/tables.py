"""How results look on a terminal: tables, documents, statuses, times.

Everything here draws text and asks nobody. Lines are never folded: a name that a reader wants to copy stays in one
piece, and a narrow terminal gets fewer columns instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

COLOURS = {
    "Succeeded": "green",
    "Completed": "green",
    "Approved": "green",
    "InService": "green",
    "Failed": "red",
    "Rejected": "red",
    "Executing": "blue",
    "InProgress": "blue",
    "Starting": "blue",
    "Creating": "blue",
    "Updating": "blue",
    "RollingBack": "yellow",
    "Deleting": "yellow",
    "Stopping": "yellow",
    "Stopped": "yellow",
    "PendingManualApproval": "yellow",
    "SUCCEEDED": "green",
    "FAILED": "red",
    "FAULT": "red",
    "TIMED_OUT": "red",
    "STOPPED": "yellow",
    "IN_PROGRESS": "blue",
    **{f"{verb}_COMPLETE": "green" for verb in ("CREATE", "UPDATE", "DELETE")},
    **{f"{verb}_COMPLETE": "yellow" for verb in ("ROLLBACK", "UPDATE_ROLLBACK")},
    **{f"{verb}_FAILED": "red" for verb in ("CREATE", "UPDATE", "DELETE", "ROLLBACK", "UPDATE_ROLLBACK")},
    **{f"{verb}_IN_PROGRESS": "blue" for verb in ("CREATE", "UPDATE", "DELETE", "ROLLBACK", "UPDATE_ROLLBACK")},
    "REVIEW_IN_PROGRESS": "yellow",
    "DELETE_SKIPPED": "yellow",
}
GAP = "  "


@dataclass(frozen=True)
class Column:
    """A column of a table: its heading, and the member of each document that it shows."""

    heading: str
    member: str
    spare: bool = False
    """Whether a narrow terminal can do without it; of several, the last goes first."""


def table(documents: Sequence[Mapping[str, Any]], columns: Sequence[Column], width: int) -> Text:
    """A row a document. Spare columns that don't fit into `width` are left out."""
    shown = list(columns)
    drawn = _table(documents, shown)
    while _width(drawn) > width and any(column.spare for column in shown):
        shown.remove([column for column in shown if column.spare][-1])
        drawn = _table(documents, shown)
    return drawn


def _table(documents: Sequence[Mapping[str, Any]], columns: Sequence[Column]) -> Text:
    heads = [Text(column.heading, style="bold") for column in columns]
    return grid([heads, *([cell(document.get(column.member)) for column in columns] for document in documents)])


def _width(drawn: Text) -> int:
    return max(line.cell_len for line in drawn.split("\n"))


def grid(rows: Sequence[Sequence[Text]]) -> Text:
    """Rows below each other, their cells aligned; no line ends in spaces."""
    widths = [max(item.cell_len for item in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        line = Text()
        for item, width in zip(row, widths, strict=True):
            line.append_text(item)
            line.append(" " * (width - item.cell_len) + GAP)
        line.rstrip()
        lines.append(line)
    return Text("\n").join(lines)


def fields(document: Mapping[str, Any]) -> Text:
    """One document, a line a member; members of members are indented."""
    return Text("\n").join(_mapping(document))


def _mapping(document: Mapping[str, Any]) -> list[Text]:
    flat = {name: value for name, value in document.items() if not _nests(value)}
    width = max((len(name) for name in flat), default=0)
    lines: list[Text] = []
    for name, value in document.items():
        label = Text(name, style="bold")
        if name in flat:
            label.append(" " * (width - len(name)) + GAP)
            lines += _beside(label, list(_scalar(value).split("\n", allow_blank=True)))
        else:
            lines.append(label)
            lines += [Text(GAP).append_text(line) for line in _nested(value)]
    return lines


def _nested(value: Any) -> list[Text]:
    if isinstance(value, Mapping):
        return _mapping(value)
    if len(value) > 1 and all(isinstance(item, Mapping) and not any(map(_nests, item.values())) for item in value):
        names = list(dict.fromkeys(name for item in value for name in item))
        return list(table(value, [Column(name, name) for name in names], 1 << 20).split("\n"))
    lines: list[Text] = []
    for item in value:
        inner = _nested(item) if _nests(item) else list(_scalar(item).split("\n", allow_blank=True))
        lines += _beside(Text("- "), inner)
    return lines


def _beside(label: Text, lines: Sequence[Text]) -> list[Text]:
    """The lines right of the label, the second and later ones below the first."""
    first, *others = lines or [Text()]
    head = label.copy().append_text(first)
    return [head, *(Text(" " * label.cell_len).append_text(line) for line in others)]


def _nests(value: Any) -> bool:
    """Whether a value takes lines of its own."""
    if isinstance(value, Mapping):
        return bool(value)
    return isinstance(value, list | tuple) and any(isinstance(item, Mapping | list | tuple) for item in value)


def _scalar(value: Any) -> Text:
    if isinstance(value, list | tuple) and value:
        return Text(", ".join(str(item) for item in value))
    return cell(value)


def cell(value: Any) -> Text:
    """How a value looks: statuses in their colour, times in the reader's own zone."""
    if value is None or value in ("", {}, [], ()):
        return Text("-", style="dim")
    if isinstance(value, bool):
        return Text("yes" if value else "no")
    if isinstance(value, datetime):
        return Text(value.astimezone().strftime("%Y-%m-%d %H:%M:%S"))
    return Text(str(value), style=COLOURS.get(str(value), ""))


def elapsed(start: datetime | None, end: datetime | None) -> str:
    """`1 h 02 min`, `3 min 05 s`, `4.2 s`."""
    if start is None:
        return "-"
    seconds = max(0.0, ((end or datetime.now(UTC)) - start).total_seconds())
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"
