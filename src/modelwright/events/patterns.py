"""EventBridge's event patterns: text -> a compiled pattern that an event matches or not. Pure.

A pattern has the event's structure. Fields side by side must all match, of the values of a field one, of an event's
array one element; of what lies in an array of objects, all fields must match in the same element. A value is a literal
or a match expression (`{"prefix": "us-"}`, ...); `$or` holds alternatives. Compiling is validation: a `Pattern` can't
be malformed. Source: "Comparison operators for use in event patterns" and "Creating event patterns" of EventBridge.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelwright.events import wildcards
from modelwright.events.problems import InvalidEventPattern

Test = Callable[[Any], bool]
"""Of one value without structure: a string, number, true, false or null."""

MOST_COMBINATIONS = 1000
"""Into so many patterns without `$or` may a pattern unfold."""
NUMERIC_LIMIT = 5e9
"""AWS compares numbers of at most this size."""

_MISSING: Mapping[str, Any] = {}
_RESERVED_IN_OR = frozenset(
    ("exactly", "prefix", "suffix", "numeric", "anything-but", "exists", "equals-ignore-case", "wildcard", "cidr")
)


@dataclass(frozen=True)
class _Leaf:
    """A field with values: one of them must hold."""

    path: tuple[str, ...]
    tests: tuple[Test, ...]
    absent: bool
    """Whether it also matches when the event has no such field."""


@dataclass(frozen=True)
class _Fields:
    """Fields that must all match, and for each `$or` one of its alternatives."""

    fields: tuple[tuple[str, _Fields | _Leaf], ...]
    choices: tuple[tuple[_Fields, ...], ...]

    @property
    def combinations(self) -> int:
        count = 1
        for _, field in self.fields:
            count *= field.combinations if isinstance(field, _Fields) else 1
        for alternatives in self.choices:
            count *= sum(each.combinations for each in alternatives)
        return count


@dataclass(frozen=True)
class Pattern:
    """A compiled event pattern."""

    _root: _Fields

    def matches(self, event: Mapping[str, Any]) -> bool:
        """Whether the event, a whole envelope, matches."""
        return _matches(self._root, event, event)

    def literals(self, field: str) -> frozenset[str] | None:
        """The strings of which a top-level field must be one for an event to match; None where that isn't all."""
        for name, found in self._root.fields:
            if name == field and isinstance(found, _Leaf):
                texts = [test.value for test in found.tests if isinstance(test, _Equals)]
                if not found.absent and len(texts) == len(found.tests) and all(isinstance(t, str) for t in texts):
                    return frozenset(texts)
        return None


def compile_pattern(text: str) -> Pattern:
    """Raises InvalidEventPattern, AWS's error, when `text` is no event pattern."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidEventPattern(f"it is not valid JSON: {error}") from None
    if not isinstance(found, dict):
        raise InvalidEventPattern("Filter is not an object")
    root = _compile_fields(found, (), within_or=False)
    if root.combinations > MOST_COMBINATIONS:
        raise InvalidEventPattern(
            f"Rule is too complex: its $or alternatives make {root.combinations} combinations; the limit is "
            f"{MOST_COMBINATIONS}"
        )
    return Pattern(root)


# Compiling


def _compile_fields(found: Mapping[str, Any], path: tuple[str, ...], *, within_or: bool) -> _Fields:
    if not found:
        raise InvalidEventPattern("Empty objects are not allowed", path)
    fields: list[tuple[str, _Fields | _Leaf]] = []
    choices = []
    for name, value in found.items():
        here = (*path, name)
        if name == "$or":
            choices.append(_compile_or(value, path))
        elif within_or and name in _RESERVED_IN_OR:
            raise InvalidEventPattern(f"{name} is a reserved field name which cannot be used inside $or", here)
        elif isinstance(value, dict):
            fields.append((name, _compile_fields(value, here, within_or=within_or)))
        elif isinstance(value, list):
            fields.append((name, _compile_leaf(value, here)))
        else:
            raise InvalidEventPattern(f'"{name}" must be an object or an array', path)
    return _Fields(tuple(fields), tuple(choices))


def _compile_or(value: Any, path: tuple[str, ...]) -> tuple[_Fields, ...]:
    here = (*path, "$or")
    if not isinstance(value, list):
        raise InvalidEventPattern("It must be an Array followed with $or", here)
    if not all(isinstance(each, dict) for each in value):
        raise InvalidEventPattern("Only JSON object is allowed in array of $or relationship", here)
    if len(value) < 2:
        raise InvalidEventPattern("There must have at least 2 Objects in $or relationship", here)
    return tuple(_compile_fields(each, path, within_or=True) for each in value)


def _compile_leaf(values: Sequence[Any], path: tuple[str, ...]) -> _Leaf:
    if not values:
        raise InvalidEventPattern("Empty arrays are not allowed", path)
    tests: list[Test] = []
    absent = False
    for value in values:
        if isinstance(value, dict):
            if value == {"exists": False}:
                absent = True
            else:
                tests.append(_compile_expression(value, path))
        elif isinstance(value, list):
            raise InvalidEventPattern("Match value must be String, number, true, false, or null", path)
        else:
            tests.append(_Equals(value))
    return _Leaf(path, tuple(tests), absent)


def _compile_expression(found: Mapping[str, Any], path: tuple[str, ...]) -> Test:
    if not found:
        raise InvalidEventPattern("Match expression name not found", path)
    name, value = next(iter(found.items()))
    make = _EXPRESSIONS.get(name)
    if make is None:
        raise InvalidEventPattern(f"Unrecognized match type {name}", path)
    if len(found) > 1:
        raise InvalidEventPattern("Only one key allowed in match expression", path)
    return make(value, path)


def _prefix(value: Any, path: tuple[str, ...]) -> Test:
    if (folded := _ignoring_case(value, path, "prefix")) is not None:
        return lambda found: isinstance(found, str) and found.lower().startswith(folded)
    text = _string(value, path, "prefix match pattern")
    return lambda found: isinstance(found, str) and found.startswith(text)


def _suffix(value: Any, path: tuple[str, ...]) -> Test:
    if (folded := _ignoring_case(value, path, "suffix")) is not None:
        return lambda found: isinstance(found, str) and found.lower().endswith(folded)
    text = _string(value, path, "suffix match pattern")
    return lambda found: isinstance(found, str) and found.endswith(text)


def _ignoring_case(value: Any, path: tuple[str, ...], of: str) -> str | None:
    if not isinstance(value, dict):
        return None
    if list(value) != ["equals-ignore-case"]:
        raise InvalidEventPattern(f"{of} match pattern must be a string or {{'equals-ignore-case': string}}", path)
    return _string(value["equals-ignore-case"], path, f"{of} match pattern").lower()


def _equals_ignore_case(value: Any, path: tuple[str, ...]) -> Test:
    folded = _string(value, path, "equals-ignore-case match pattern").lower()
    return lambda found: isinstance(found, str) and found.lower() == folded


def _wildcard(value: Any, path: tuple[str, ...]) -> Test:
    text = _string(value, path, "wildcard match pattern")
    try:
        parts = wildcards.parse(text)
    except ValueError as error:
        raise InvalidEventPattern(str(error), path) from None
    return lambda found: isinstance(found, str) and wildcards.matches(parts, found)


def _exists(value: Any, path: tuple[str, ...]) -> Test:
    if value is not True:  # false is no test of a value
        raise InvalidEventPattern("exists match pattern must be either true or false", path)
    return lambda found: True


def _cidr(value: Any, path: tuple[str, ...]) -> Test:
    text = _string(value, path, "cidr match pattern")
    if text.count("/") != 1:
        raise InvalidEventPattern(f"Malformed CIDR '{text}', one '/' required", path)
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError as error:
        raise InvalidEventPattern(f"Malformed CIDR: {error}", path) from None

    def within(found: Any) -> bool:
        if not isinstance(found, str):
            return False
        try:
            return ipaddress.ip_address(found) in network
        except ValueError:
            return False

    return within


def _numeric(value: Any, path: tuple[str, ...]) -> Test:
    """`["=", x]`, `["<", x]`, `[">", x]`, `[">", x, "<", y]`, the comparisons also with `=`."""
    if not isinstance(value, list) or not value:
        raise InvalidEventPattern("Value of numeric must be an array of comparisons and numbers", path)
    if len(value) not in (2, 4):
        raise InvalidEventPattern("numeric must hold an operator and a number, or two of each", path)
    comparisons = [(value[i], _number(value[i + 1], path)) for i in range(0, len(value), 2)]
    for operator, _ in comparisons:
        if operator not in _COMPARISONS:
            raise InvalidEventPattern(f"Unrecognized numeric range operator: {operator}", path)
    if len(comparisons) == 2:
        (first, bottom), (second, top) = comparisons
        if not first.startswith(">") or not second.startswith("<"):
            raise InvalidEventPattern("A numeric range is written with its bottom first: ['>', 0, '<=', 5]", path)
        if bottom >= top:
            raise InvalidEventPattern("Bottom must be less than top", path)
    tests = [(_COMPARISONS[operator], number) for operator, number in comparisons]

    def holds(found: Any) -> bool:
        numeric = isinstance(found, int | float) and not isinstance(found, bool) and abs(found) <= NUMERIC_LIMIT
        return numeric and all(compare(found, number) for compare, number in tests)

    return holds


def _anything_but(value: Any, path: tuple[str, ...]) -> Test:
    if isinstance(value, dict):
        return _anything_but_expression(value, path)
    values = value if isinstance(value, list) else [value]
    if not values:
        raise InvalidEventPattern("Empty arrays are not allowed", path)
    strings = all(isinstance(each, str) for each in values)
    numbers = all(isinstance(each, int | float) and not isinstance(each, bool) for each in values)
    if not strings and not numbers:
        raise InvalidEventPattern("Inside anything-but list, either all values are number or all are string", path)
    excluded = [_Equals(each) for each in values]
    return lambda found: not any(test(found) for test in excluded)


def _anything_but_expression(found: Mapping[str, Any], path: tuple[str, ...]) -> Test:
    if len(found) != 1:
        raise InvalidEventPattern("Only one key allowed in match expression", path)
    name, value = next(iter(found.items()))
    if name not in ("prefix", "suffix", "equals-ignore-case", "wildcard"):
        raise InvalidEventPattern(f"Unsupported anything-but pattern: {name}", path)
    values = value if isinstance(value, list) else [value]
    if not values:
        raise InvalidEventPattern("Empty arrays are not allowed", path)
    excluded = [_EXPRESSIONS[name](each, path) for each in values]
    return lambda text: not any(test(text) for test in excluded)


_EXPRESSIONS: Mapping[str, Callable[[Any, tuple[str, ...]], Test]] = {
    "prefix": _prefix,
    "suffix": _suffix,
    "equals-ignore-case": _equals_ignore_case,
    "wildcard": _wildcard,
    "exists": _exists,
    "cidr": _cidr,
    "numeric": _numeric,
    "anything-but": _anything_but,
}

_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "=": lambda found, number: found == number,
    "<": lambda found, number: found < number,
    "<=": lambda found, number: found <= number,
    ">": lambda found, number: found > number,
    ">=": lambda found, number: found >= number,
}


@dataclass(frozen=True)
class _Equals:
    """A literal. Numbers are compared as they are written: 300 is not 300.0."""

    value: Any

    def __call__(self, found: Any) -> bool:
        return type(found) is type(self.value) and bool(found == self.value)


def _string(value: Any, path: tuple[str, ...], what: str) -> str:
    if not isinstance(value, str):
        raise InvalidEventPattern(f"{what} must be a string", path)
    return value


def _number(value: Any, path: tuple[str, ...]) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidEventPattern(f"Value of a numeric comparison must be numeric, not {value!r}", path)
    if not abs(value) <= NUMERIC_LIMIT:
        raise InvalidEventPattern("Value must be between -5.0E9 and 5.0E9, inclusive", path)
    return value


# Matching


def _matches(pattern: _Fields, value: Mapping[str, Any], event: Mapping[str, Any]) -> bool:
    return all(
        _leaf_matches(field, value, name, event)
        if isinstance(field, _Leaf)
        else any(_matches(field, each, event) for each in _objects(value.get(name)))
        for name, field in pattern.fields
    ) and all(any(_matches(each, value, event) for each in alternatives) for alternatives in pattern.choices)


def _leaf_matches(leaf: _Leaf, value: Mapping[str, Any], name: str, event: Mapping[str, Any]) -> bool:
    if leaf.absent and not _has_leaf(event, leaf.path):
        return True
    return name in value and any(test(each) for each in _leaves(value[name]) for test in leaf.tests)


def _objects(value: Any) -> Iterator[Mapping[str, Any]]:
    """The objects that a field holds; one without fields where it holds none, because fields may have to be absent."""
    found: list[Mapping[str, Any]] = [each for each in _elements(value) if isinstance(each, dict)]
    yield from found or [_MISSING]


def _leaves(value: Any) -> Iterator[Any]:
    return (each for each in _elements(value) if not isinstance(each, dict))


def _elements(value: Any) -> Iterator[Any]:
    if isinstance(value, list | tuple):
        for each in value:
            yield from _elements(each)
    else:
        yield value


def _has_leaf(value: Any, path: tuple[str, ...]) -> bool:
    """Whether there is a value without structure at the path, in whichever elements of arrays on the way."""
    if not path:
        return any(True for _ in _leaves(value))
    return any(
        isinstance(each, dict) and path[0] in each and _has_leaf(each[path[0]], path[1:]) for each in _elements(value)
    )
