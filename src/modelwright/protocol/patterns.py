r"""Java's regular expressions, which the service models use, as Python's.

What differs: `\p{L}` and its kin, `\d`, `\w` and `\s` are ASCII in Java, a class inside a class, `\h`, `\z`. A pattern
that can't be translated is not checked (a test keeps the list of those in botocore's models).
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache


@cache
def compiled(pattern: str) -> re.Pattern[str] | None:
    """The pattern for `fullmatch`; None when Python can't have it."""
    try:
        return re.compile(_translate(pattern), re.ASCII)
    except (re.error, ValueError, OverflowError, RecursionError):
        return None


_ESCAPE = re.compile(r"\\(?:[pP](?:\{\^?(?P<name>[^}]*)\}|(?P<letter>[A-Z]))|(?P<other>.))", re.DOTALL)


def _translate(pattern: str) -> str:
    """Walk through the pattern once, knowing whether we are in a class."""
    out: list[str] = []
    position, depth = 0, 0
    while position < len(pattern):
        character = pattern[position]
        if character == "\\":
            found = _ESCAPE.match(pattern, position)
            if found is None:
                raise ValueError(pattern)
            out.append(_escape(found, in_class=depth > 0))
            position = found.end()
            continue
        if character == "[":
            if depth:
                out.append(_nested(pattern, position))
            else:
                depth = 1
                out.append("[")
                if pattern.startswith("^", position + 1):
                    out.append("^")
                    position += 1
                if pattern.startswith("]", position + 1):
                    raise ValueError(pattern)
        elif character == "]" and depth:
            depth = 0
            out.append("]")
        elif character == "&" and depth and pattern.startswith("&&", position):
            raise ValueError(pattern)
        else:
            out.append(character)
        position += 1
    return "".join(out)


def _nested(pattern: str, position: int) -> str:
    """A `[` inside a class: Java reads a union; models that have one mean the bracket itself."""
    return "\\["


def _escape(found: re.Match[str], in_class: bool) -> str:
    name = found["name"] or found["letter"]
    if name is not None:
        negated = found[0].startswith("\\P") != ("{^" in found[0])
        ranges = _ranges(name, negated)
        return ranges if in_class else f"[{ranges}]"
    other = found["other"]
    if other == "h":
        return " \t\xa0" if in_class else "[ \t\xa0]"
    if other == "z":
        return r"\Z"
    if other.isalnum() or other in "\n":
        return found[0]
    return re.escape(other)


_POSIX = {
    "Alpha": "a-zA-Z",
    "Alnum": "a-zA-Z0-9",
    "Digit": "0-9",
    "Upper": "A-Z",
    "Lower": "a-z",
    "Punct": "!-/:-@\\[-`{-~",
    "Graph": "!-~",
    "Print": " -~",
    "Blank": " \\t",
    "Space": " \\t-\\r",
    "ASCII": "\\x00-\\x7f",
    "XDigit": "0-9a-fA-F",
}


@cache
def _ranges(name: str, negated: bool) -> str:
    """The inside of a class that holds the characters of a Unicode category or POSIX class."""
    if name in _POSIX and not negated:
        return _POSIX[name]
    category = name.removeprefix("Is")
    if category not in ("L", "M", "N", "P", "S", "Z", "C") and not re.fullmatch("[LMNPSZC][a-z]", category):
        raise ValueError(name)
    wanted = [
        number
        for number in range(sys.maxunicode + 1)
        if unicodedata.category(chr(number)).startswith(category) != negated
    ]
    parts, start = [], wanted[0]
    for previous, number in zip(wanted, [*wanted[1:], -1], strict=True):
        if number != previous + 1:
            parts.append(f"\\U{start:08x}-\\U{previous:08x}" if start != previous else f"\\U{start:08x}")
            start = number
    return "".join(parts)
