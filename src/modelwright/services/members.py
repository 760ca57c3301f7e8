"""What becomes of each input member of an operation: honoured, recorded or refused. Never silently ignored.

A table is a tree shaped like the operation's input; lists are transparent (`InputDataConfig.ChannelName` is the name
of each channel). A member that the table does not name is refused, so that a member which AWS adds tomorrow is refused
until somebody has decided about it; `docs/operations.md` is made from the same tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Union

from modelwright.errors import UnsupportedOperation

Fate = Literal["honoured", "recorded", "refused"]


@dataclass(frozen=True)
class Rule:
    """What becomes of one member. `why` is for the reader of the operations page, and the way out when refused."""

    fate: Fate
    why: str = ""
    accepts: tuple[Any, ...] = ()
    """Of a refused member: the values that are nevertheless fine, because they ask for what happens anyway."""


Table = Mapping[str, Union[Rule, "Table"]]

HONOURED = Rule("honoured")


def recorded(why: str) -> Rule:
    """Kept and told back by Describe; it has no meaning on this machine, for this reason."""
    return Rule("recorded", why)


def refused(instead: str, *accepts: Any) -> Rule:
    """An error, unless the value is one of `accepts`. `instead` tells the user what to do."""
    return Rule("refused", instead, accepts)


_NEW = Rule("refused", "Leave it out.")


def check_members(operation: str, table: Table, parameters: Mapping[str, Any]) -> None:
    """Raises UnsupportedOperation naming the first member that can't be honoured."""
    for name in parameters:
        entry = table.get(name)
        if not isinstance(entry, Rule) or entry.fate == "refused":
            break
    else:
        return  # the ordinary call: plain members, all of them fine
    for path, rule, value in _walk(table, parameters, ""):
        if rule.fate == "refused" and value not in rule.accepts:
            raise UnsupportedOperation.member(operation, _describe(path, value, rule), rule.why)


def rows(table: Table, prefix: str = "") -> Iterator[tuple[str, Rule]]:
    """(path, rule) of every leaf, for the operations page and the test that compares tables with AWS's model."""
    for name, entry in table.items():
        if isinstance(entry, Rule):
            yield prefix + name, entry
        else:
            yield from rows(entry, f"{prefix}{name}.")


def _walk(table: Table, value: Any, path: str) -> Iterator[tuple[str, Rule, Any]]:
    if isinstance(value, list):
        for i, item in enumerate(value):
            yield from _walk(table, item, f"{path}[{i}]")
        return
    for name, member in value.items():
        entry = table.get(name, _NEW)
        here = f"{path}.{name}" if path else name
        if isinstance(entry, Rule):
            yield here, entry, member
        else:
            yield from _walk(entry, member, here)


def _describe(path: str, value: Any, rule: Rule) -> str:
    return f"{path} = {value!r}" if rule.accepts and isinstance(value, str | int | float) else path
