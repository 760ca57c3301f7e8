"""Filter patterns of CloudWatch Logs: which messages FilterLogEvents returns. Pure.

Terms, `"quoted phrases"`, `?any of these`, `-not this` and `%regular expressions%`, all in upper and lower case as
written. As on AWS, `?` terms are ignored beside others. Patterns over JSON (`{...}`) and over columns (`[...]`) are
refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from modelwright.errors import InvalidParameterException, UnsupportedOperation
from modelwright.regexes import InvalidRegex, Regex, SlowRegex

Matches = Callable[[str], bool]

_TERM = re.compile(r'\s*([-?]?)(?:"((?:[^"\\]|\\.)*)"|%((?:[^%\\]|\\.)*)%|([^\s"%]+))')


class Pattern(NamedTuple):
    """A parsed pattern: the test that a message must pass, and texts that each such message contains."""

    matches: Matches
    texts: tuple[str, ...] = ()


def parse_pattern(pattern: str) -> Pattern:
    """Raises InvalidParameterException, or UnsupportedOperation."""
    text = pattern.strip()
    if text.startswith(("{", "[")):
        what = "JSON pattern" if text.startswith("{") else "column pattern"
        raise UnsupportedOperation.member(
            "FilterLogEvents", f"filterPattern = {text!r} (a {what})", "Use terms, phrases in quotes, or %regex%."
        )
    texts: list[str] = []
    required: list[Matches] = []
    excluded: list[Matches] = []
    optional: list[Matches] = []
    position = 0
    while position < len(text):
        found = _TERM.match(text, position)
        if found is None:
            raise InvalidParameterException(f"Invalid filter pattern: it can't be read from '{text[position:]}' on.")
        position = found.end()
        sign, phrase, expression, word = found.groups()
        tests = {"": required, "-": excluded, "?": optional}[sign]
        if expression is not None:
            tests.append(_expression_test(expression))
            continue
        wanted = _text(phrase, word)
        tests.append(partial(_contains, wanted))
        if not sign:
            texts.append(wanted)
    if required or excluded:
        return Pattern(lambda m: all(t(m) for t in required) and not any(t(m) for t in excluded), tuple(texts))
    if optional:
        return Pattern(lambda message: any(test(message) for test in optional))
    return Pattern(lambda message: True)


def _contains(text: str, message: str) -> bool:
    return text in message


def _expression_test(expression: str) -> Matches:
    try:
        search = Regex(expression).search
    except InvalidRegex as error:
        raise InvalidParameterException(
            f"Invalid filter pattern: the regular expression %{expression}% is not valid: {error}."
        ) from error

    def test(message: str) -> bool:
        try:
            return search(message)
        except SlowRegex as error:
            raise InvalidParameterException(f"Invalid filter pattern: {error}.") from None

    return test


def _text(phrase: str | None, word: str | None) -> str:
    if word is not None and not re.fullmatch(r"\w+", word):
        raise InvalidParameterException(
            f"Invalid character(s) in term '{word}': terms with other characters than letters, digits and _ must be "
            "in double quotes."
        )
    return word if word is not None else re.sub(r"\\(.)", r"\1", phrase or "")
