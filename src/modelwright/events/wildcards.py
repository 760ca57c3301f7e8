r"""Wildcards of event patterns: `*` is any text, `\*` and `\\` are the characters themselves. Pure.

Matching takes time proportional to text and pattern, whatever they hold: no pattern can be made to hang us.
"""

from __future__ import annotations

Parts = tuple[str, ...]
"""What stands between the wildcards: one part more than there are wildcards."""


def parse(text: str) -> Parts:
    """Raises ValueError when it is not well-formed."""
    parts, part, i = list[str](), "", 0
    while i < len(text):
        character = text[i]
        if character == "*":
            if text[i + 1 : i + 2] == "*":
                raise ValueError(f"Consecutive wildcard characters at pos {i}")
            parts.append(part)
            part = ""
        elif character == "\\":
            i += 1
            if text[i : i + 1] not in ("*", "\\"):
                raise ValueError(f"Invalid escape character at pos {i - 1}")
            part += text[i]
        else:
            part += character
        i += 1
    return (*parts, part)


def matches(parts: Parts, text: str) -> bool:
    """Whether the parts follow each other in the text, the first at its beginning, the last at its end."""
    first, *middle = parts
    if not middle:
        return text == first
    last = middle.pop()
    end = len(text) - len(last)
    if end < len(first) or not text.startswith(first) or not text.endswith(last):
        return False
    place = len(first)
    for part in middle:
        found = text.find(part, place, end)
        if found < 0:
            return False
        place = found + len(part)
    return True
