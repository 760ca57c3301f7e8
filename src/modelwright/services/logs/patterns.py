"""Filter patterns of CloudWatch Logs: which messages FilterLogEvents returns. Pure.

Terms, `"quoted phrases"`, `?any of these`, `-not this` and `%regular expressions%`, all in upper and lower case as
written. As on AWS, `?` terms are ignored beside others. Patterns over JSON (`{...}`) and over columns (`[...]`) are
refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from modelwright.errors import InvalidParameterException, UnsupportedOperation

Matches = Callable[[str], bool]

_TERM = re.compile(r'\s*([-?]?)(?:"((?:[^"\\]|\\.)*)"|%((?:[^%\\]|\\.)*)%|([^\s"%]+))')


def parse_pattern(pattern: str) -> Matches:
    """The test that a message must pass. Raises InvalidParameterException, or UnsupportedOperation."""
    text = pattern.strip()
    if text.startswith(("{", "[")):
        what = "JSON pattern" if text.startswith("{") else "column pattern"
        raise UnsupportedOperation.member(
            "FilterLogEvents", f"filterPattern = {text!r} (a {what})", "Use terms, phrases in quotes, or %regex%."
        )
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
        {"": required, "-": excluded, "?": optional}[sign].append(_test(phrase, expression, word))
    if required or excluded:
        return lambda message: all(t(message) for t in required) and not any(t(message) for t in excluded)
    if optional:
        return lambda message: any(t(message) for t in optional)
    return lambda message: True


def _test(phrase: str | None, expression: str | None, word: str | None) -> Matches:
    if expression is not None:
        try:
            search = re.compile(expression).search
        except re.error as error:
            raise InvalidParameterException(
                f"Invalid filter pattern: the regular expression %{expression}% is not valid: {error}."
            ) from error
        return lambda message: search(message) is not None
    if word is not None and not re.fullmatch(r"\w+", word):
        raise InvalidParameterException(
            f"Invalid character(s) in term '{word}': terms with other characters than letters, digits and _ must be "
            "in double quotes."
        )
    wanted = word if word is not None else re.sub(r"\\(.)", r"\1", phrase or "")
    return lambda message: wanted in message
