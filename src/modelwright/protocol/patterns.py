r"""Java's regular expressions, which the service models use, as Python's.

What differs: `\p{L}` and its kin, `\d`, `\w` and `\s` are ASCII in Java, `\Q...\E`, `\h`, `\z`, `\x{...}`, characters
beyond 16 bits as surrogate pairs, flags in the middle, `[\w-_]` with a hyphen that is one, `${1,64}`. A pattern that
can't be translated is not checked (a test keeps the list of those in botocore's models). Some are such that a text can
keep `re` busy for ever: those with a repeated group are matched by Regex, which ends.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from collections.abc import Callable
from functools import cache
from itertools import groupby

from modelwright.regexes import BRIEF, Regex, SlowRegex

_REPEATED_GROUP = re.compile(r"\)[*+{]")


@cache
def matcher(pattern: str) -> Callable[[str], bool]:
    """Whether a text fits a pattern; any text fits one that Python can't have."""
    found = compiled(pattern)
    if found is None:
        return lambda text: True
    if not _REPEATED_GROUP.search(found.pattern):
        return lambda text: found.fullmatch(text) is not None
    flags = "".join(letter for letter in "aimsx" if found.flags & re.RegexFlag[letter.upper()])
    ending = Regex(f"(?{flags}){found.pattern}", each=BRIEF)

    def fits(text: str) -> bool:
        try:
            return ending.fullmatch(text)
        except SlowRegex:
            return False

    return fits


@cache
def compiled(pattern: str) -> re.Pattern[str] | None:
    """The pattern for `fullmatch`; None when Python can't have it."""
    try:
        return re.compile(*_Translation(pattern).result())
    except (re.error, ValueError, OverflowError, RecursionError):
        return None


_PAIR = re.compile(r"\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_QUOTED = re.compile(r"\\Q(.*?)(?:\\E|\Z)", re.DOTALL)
_FLAGS = re.compile(r"\(\?([ismx]+)\)")
_TOKEN = re.compile(
    r"\\(?:(?P<negated>[pP])(?:\{(?P<name>[^}]*)\}|(?P<letter>[A-Z]))"
    r"|x\{(?P<long>[0-9a-fA-F]+)\}|x(?P<byte>[0-9a-fA-F]{2})|u(?P<short>[0-9a-fA-F]{4})|U(?P<wide>[0-9a-fA-F]{8})"
    r"|(?P<escaped>.))|(?P<plain>.)",
    re.DOTALL,
)
_SPACES = {"h": " \\t\xa0", "R": "\\r\\n"}
_MISPLACED_QUANTIFIER = re.compile(r"\{\d+(?:,\d*)?\}")


class _Translation:
    """Walks through a pattern once."""

    def __init__(self, pattern: str) -> None:
        pattern = _QUOTED.sub(lambda found: re.escape(found[1]), pattern)
        self.flags = re.ASCII
        pattern = _FLAGS.sub(self._flag, pattern)
        self.pattern = _PAIR.sub(_join, pattern)
        self.position = 0

    def _flag(self, found: re.Match[str]) -> str:
        for letter in found[1]:
            self.flags |= {"i": re.IGNORECASE, "s": re.DOTALL, "m": re.MULTILINE, "x": re.VERBOSE}[letter]
        return ""

    def result(self) -> tuple[str, int]:
        out: list[str] = []
        while self.position < len(self.pattern):
            token = self._next()
            if token["plain"] == "[":
                out.append(self._class())
            elif token["plain"] == "$":
                out.append("$")
                misplaced = _MISPLACED_QUANTIFIER.match(self.pattern, self.position)
                self.position = misplaced.end() if misplaced else self.position
            elif token["plain"]:
                out.append(token["plain"])
            else:
                characters, several = _meaning(token)
                is_class = several and (token["escaped"] is None or token["escaped"] in _SPACES)
                out.append(f"[{characters}]" if is_class else characters)
        return "".join(out), self.flags

    def _next(self) -> re.Match[str]:
        token = _TOKEN.match(self.pattern, self.position)
        if token is None:
            raise ValueError(self.pattern)
        self.position = token.end()
        return token

    def _class(self) -> str:
        """The inside of `[...]`, up to and with the closing bracket."""
        out = "["
        if self.pattern.startswith("^", self.position):
            out, self.position = "[^", self.position + 1
        previous = ""  # a single character that may begin a range
        while (token := self._next())["plain"] != "]" or out in ("[", "[^"):
            if token["plain"] == "[" or self.pattern.startswith("&&", token.start()):
                raise ValueError("a union or an intersection")
            if token["plain"] == "-" and previous and not self._ends_range():
                end, _ = _meaning(self._next())
                out, previous = f"{out}-{end}", ""
                continue
            characters, several = _meaning(token)
            out, previous = out + characters, "" if several else characters
        return out + "]"

    def _ends_range(self) -> bool:
        """Whether what follows a hyphen can't be the end of a range."""
        token = _TOKEN.match(self.pattern, self.position)
        return token is None or token["plain"] in ("]", "[") or _meaning(token)[1]


def _join(found: re.Match[str]) -> str:
    high, low = int(found[1], 16), int(found[2], 16)
    return f"\\U{0x10000 + (high - 0xD800) * 0x400 + (low - 0xDC00):08x}"


def _meaning(token: re.Match[str]) -> tuple[str, bool]:
    """A token's text for the inside of a class, and whether it stands for several characters."""
    name = token["name"] or token["letter"]
    if name is not None:
        negated = (token["negated"] == "P") != name.startswith("^")
        return _ranges(name.removeprefix("^"), negated), True
    number = token["long"] or token["byte"] or token["short"] or token["wide"]
    if number:
        return f"\\U{int(number, 16):08x}", False
    if token["plain"]:
        return re.escape(token["plain"]) if token["plain"] in "\\]^-[&~|" else token["plain"], False
    escaped = token["escaped"]
    if escaped in _SPACES:
        return _SPACES[escaped], True
    if escaped == "z":
        return r"\Z", True
    if escaped in "dDwWsSbBAZG" or escaped.isdigit():
        return f"\\{escaped}", True
    return (f"\\{escaped}" if escaped in "tnrfav" else re.escape(escaped)), False


_POSIX = {
    "ASCII": "\\x00-\\x7f",
    "Alnum": "a-zA-Z0-9",
    "Alpha": "a-zA-Z",
    "Blank": " \\t",
    "Cntrl": "\\x00-\\x1f\\x7f",
    "Digit": "0-9",
    "Graph": "!-~",
    "Lower": "a-z",
    "Print": " -~",
    "Punct": "!-/:-@\\[-`{-~",
    "Space": " \\t-\\r",
    "Upper": "A-Z",
    "XDigit": "0-9a-fA-F",
    "all": "\\x00-\\U0010ffff",
}
_CATEGORIES = {"LD": ("L", "Nd"), "Alphabetic": ("L", "Nl"), "WhiteSpace": ("Z",), "Whitespace": ("Z",)}


@cache
def _ranges(name: str, negated: bool) -> str:
    """The inside of a class that holds the characters of a POSIX class or Unicode category."""
    if name in _POSIX and not negated:
        return _POSIX[name]
    category = name.removeprefix("Is")
    categories = _CATEGORIES.get(category, (category,))
    if not all(re.fullmatch("[LMNPSZC][a-z]?", each) for each in categories):
        raise ValueError(f"unknown category {name}")
    parts = []
    for is_wanted, runs in groupby(_runs(), lambda run: run[2].startswith(categories) != negated):
        if is_wanted:
            several = list(runs)
            parts.append(f"\\U{several[0][0]:08x}-\\U{several[-1][1]:08x}")
    return "".join(parts)


@cache
def _runs() -> list[tuple[int, int, str]]:
    """(first, last, category) of all characters. Nothing is assigned between plane 4 and 13, plane 15 on is private."""
    runs = []
    for some in (range(0x40000), range(0xE0000, 0xE1000)):
        for category, run in groupby(some, lambda number: unicodedata.category(chr(number))):
            numbers = list(run)
            runs.append((numbers[0], numbers[-1], category))
        if some.stop == 0x40000:
            runs.append((0x40000, 0xDFFFF, "Cn"))
    return [*runs, (0xE1000, 0xEFFFF, "Cn"), (0xF0000, sys.maxunicode, "Co")]
