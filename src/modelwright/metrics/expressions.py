"""Metric math: `100 * errors / calls`, `SUM(METRICS())`, `FILL(m1, 0)`. Pure.

A value is a number, a time series, or several of them. Operators work point by point, on the points that both sides
have; functions are CloudWatch's. What is not here is refused with its name, so that nobody gets another number than
was asked for.
"""

from __future__ import annotations

import itertools
import math
import operator
import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Points = Mapping[int, float]


@dataclass(frozen=True)
class TimeSeries:
    """Values by time. `period` is the seconds from one to the next; `times` are all those that there could be."""

    points: Points
    period: int
    times: Sequence[int] = ()


Value = float | TimeSeries | list[TimeSeries]


class Wrong(Exception):
    """The expression can't be read or computed; the text says why."""


class Unknown(Exception):
    """The expression uses what is not supported here; the text names it."""


@dataclass(frozen=True)
class Names:
    """What an expression may refer to: `find` by id, `metrics` those that are metrics (for METRICS)."""

    find: Callable[[str], Value]
    metrics: Callable[[str], list[TimeSeries]]


def evaluate(expression: str, names: Names) -> Value:
    """Raises Wrong, Unknown."""
    parser = _Parser(_tokens(expression), names)
    value = parser.comparison()
    if parser.kind != "end":
        raise Wrong(f"unexpected '{parser.text}'")
    return value


_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)|(?P<name>[A-Za-z][A-Za-z0-9_]*)"
    r"|(?P<text>\"[^\"]*\"|'[^']*')|(?P<sign>==|!=|<=|>=|&&|\|\||[-+*/^(),<>\[\]]))"
)
Token = tuple[str, str]


def _tokens(expression: str) -> list[Token]:
    found: list[Token] = []
    position = 0
    text = expression.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise Wrong(f"unexpected '{text[position:].strip()[:20]}'")
        found.append((str(match.lastgroup), match[str(match.lastgroup)]))
        position = match.end()
    return [*found, ("end", "its end")]


_DEEPEST = 50


class _Parser:
    """Computes while it reads: an expression is used once."""

    def __init__(self, tokens: list[Token], names: Names) -> None:
        self._tokens = tokens
        self._at = 0
        self._names = names
        self._depth = 0

    @property
    def kind(self) -> str:
        return self._tokens[self._at][0]

    @property
    def text(self) -> str:
        return self._tokens[self._at][1]

    def comparison(self) -> Value:
        left = self._sum()
        while self.text in _COMPARISONS:
            compare = _COMPARISONS[self._next()]
            left = _pointwise(_truth(compare), left, self._sum())
        if self.text in ("&&", "||"):
            raise Unknown(f"the operator {self.text}")
        return left

    def _sum(self) -> Value:
        left = self._product()
        while self.text in ("+", "-"):
            work = operator.add if self._next() == "+" else operator.sub
            left = _pointwise(work, left, self._product())
        return left

    def _product(self) -> Value:
        left = self._power()
        while self.text in ("*", "/"):
            work = operator.mul if self._next() == "*" else operator.truediv
            left = _pointwise(work, left, self._power())
        return left

    def _power(self) -> Value:
        if self.text == "-":
            self._next()
            return _pointwise(operator.mul, -1.0, self._power())
        left = self._atom()
        if self.text == "^":
            self._next()
            return _pointwise(_raised, left, self._power())
        return left

    def _atom(self) -> Value:
        kind, text = self.kind, self._next()
        if kind == "number":
            return float(text)
        if text == "(":
            inner = self._nested()
            self._expect(")")
            return inner
        if text == "[":
            items = self._arguments("]")
            return [each for item in items for each in _many(item, "[...]")]
        if kind == "name" and self.text == "(":
            self._next()
            return self._function(text)
        if kind == "name":
            return self._names.find(text)
        raise Wrong(f"unexpected {text if kind == 'end' else repr(text)}")

    def _nested(self) -> Value:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise Wrong("it is nested too deeply")
        value = self.comparison()
        self._depth -= 1
        return value

    def _function(self, name: str) -> Value:
        if name == "METRICS":
            words = ""
            if self.kind == "text":
                words = self._next()[1:-1]
            self._expect(")")
            return list(self._names.metrics(words))
        if name == "FILL":
            return self._fill()
        function = _FUNCTIONS.get(name)
        if function is None:
            raise Unknown(f"the function {name}")
        arguments = self._arguments(")")
        return function(arguments)

    def _fill(self) -> Value:
        value = self._nested()
        self._expect(",")
        if self.kind == "name" and self.text in ("REPEAT", "LINEAR"):
            how = self._next()
            self._expect(")")
            if how == "LINEAR":
                raise Unknown("FILL(..., LINEAR)")
            return _each(value, _repeated, "FILL")
        filling = self._nested()
        self._expect(")")
        if not isinstance(filling, float):
            raise Unknown("FILL with a time series as its filling")
        return _each(value, lambda one: _filled(one, filling), "FILL")

    def _arguments(self, closing: str) -> list[Value]:
        found: list[Value] = []
        while self.text != closing:
            if found:
                self._expect(",")
            found.append(self._nested())
        self._next()
        return found

    def _expect(self, text: str) -> None:
        if self.text != text or self.kind == "text":
            raise Wrong(f"'{text}' is missing before {self.text if self.kind == 'end' else repr(self.text)}")
        self._next()

    def _next(self) -> str:
        text = self.text
        if self.kind != "end":
            self._at += 1
        return text


# Point by point

Work = Callable[[float, float], float]

_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def _truth(compare: Callable[[float, float], bool]) -> Work:
    return lambda a, b: 1.0 if compare(a, b) else 0.0


def _raised(a: float, b: float) -> float:
    return math.pow(a, b) if a >= 0 or b.is_integer() else math.nan


def _one(work: Work, a: float, b: float) -> float | None:
    """None where there is no such number (a division by zero): the point is left out."""
    try:
        found = work(a, b)
    except ArithmeticError:
        return None
    return found if math.isfinite(found) else None


def _pointwise(work: Work, left: Value, right: Value) -> Value:
    if isinstance(left, list) and isinstance(right, list):
        if len(left) != len(right):
            raise Wrong(f"arrays of {len(left)} and {len(right)} time series can't be combined point by point")
        return [_two(work, a, b) for a, b in zip(left, right, strict=True)]
    if isinstance(left, list):
        return [_two(work, each, right) for each in left if not isinstance(right, list)]
    if isinstance(right, list):
        return [_two(work, left, each) for each in right]
    if isinstance(left, float) and isinstance(right, float):
        found = _one(work, left, right)
        if found is None:
            raise Wrong("there is no such number")
        return found
    return _two(work, left, right)


def _two(work: Work, left: float | TimeSeries, right: float | TimeSeries) -> TimeSeries:
    if isinstance(left, float):
        assert isinstance(right, TimeSeries)
        return _mapped(right, lambda value: _one(work, left, value))
    if isinstance(right, float):
        return _mapped(left, lambda value: _one(work, value, right))
    if left.period != right.period:
        raise Wrong(f"time series of different periods ({left.period} and {right.period} s) can't be combined")
    found = {time: _one(work, left.points[time], right.points[time]) for time in left.points if time in right.points}
    return TimeSeries({time: value for time, value in found.items() if value is not None}, left.period, left.times)


def _mapped(one: TimeSeries, work: Callable[[float], float | None]) -> TimeSeries:
    found = {time: work(value) for time, value in one.points.items()}
    return TimeSeries({time: value for time, value in found.items() if value is not None}, one.period, one.times)


def _each(value: Value, work: Callable[[TimeSeries], TimeSeries], name: str) -> Value:
    if isinstance(value, TimeSeries):
        return work(value)
    return [work(each) for each in _many(value, name)]


def _many(value: Value, name: str) -> list[TimeSeries]:
    if isinstance(value, float):
        raise Wrong(f"{name} needs a time series, not a number")
    return value if isinstance(value, list) else [value]


def _filled(one: TimeSeries, filling: float) -> TimeSeries:
    return TimeSeries({time: one.points.get(time, filling) for time in one.times}, one.period, one.times)


def _repeated(one: TimeSeries) -> TimeSeries:
    found: dict[int, float] = {}
    last: float | None = None
    for time in sorted(one.times):
        last = one.points.get(time, last)
        if last is not None:
            found[time] = last
    return TimeSeries(found, one.period, one.times)


# Functions

Function = Callable[[list[Value]], Value]


def _reduction(name: str, work: Callable[[Sequence[float]], float]) -> Function:
    """Of one time series a number, of several the time series of what they have at each time."""

    def reduce(arguments: list[Value]) -> Value:
        value = _single(name, arguments)
        if isinstance(value, TimeSeries):
            if not value.points:
                raise Empty
            return float(work(list(value.points.values())))
        several = _many(value, name)
        if not several:
            raise Empty
        if len({each.period for each in several}) > 1:
            raise Wrong(f"{name}: the time series have different periods")
        at: dict[int, list[float]] = {}
        for each in several:
            for time, number in each.points.items():
                at.setdefault(time, []).append(number)
        first = several[0]
        return TimeSeries({time: float(work(numbers)) for time, numbers in at.items()}, first.period, first.times)

    return reduce


class Empty(Exception):
    """There is no point to compute it from: the result is empty."""


def _pointed(name: str, work: Callable[[float], float]) -> Function:
    def apply(arguments: list[Value]) -> Value:
        value = _single(name, arguments)
        return float(work(value)) if isinstance(value, float) else _each(value, lambda one: _mapped(one, work), name)

    return apply


def _rate(arguments: list[Value]) -> Value:
    return _each(_single("RATE", arguments), lambda one: _steps(one, lambda a, b, gap: (b - a) / gap), "RATE")


def _diff(arguments: list[Value]) -> Value:
    return _each(_single("DIFF", arguments), lambda one: _steps(one, lambda a, b, gap: b - a), "DIFF")


def _steps(one: TimeSeries, work: Callable[[float, float, int], float]) -> TimeSeries:
    times = sorted(one.points)
    found = {b: work(one.points[a], one.points[b], b - a) for a, b in itertools.pairwise(times)}
    return TimeSeries(found, one.period, one.times)


def _running(arguments: list[Value]) -> Value:
    def summed(one: TimeSeries) -> TimeSeries:
        found, total = {}, 0.0
        for time in sorted(one.points):
            total += one.points[time]
            found[time] = total
        return TimeSeries(found, one.period, one.times)

    return _each(_single("RUNNING_SUM", arguments), summed, "RUNNING_SUM")


def _period(arguments: list[Value]) -> Value:
    value = _single("PERIOD", arguments)
    if not isinstance(value, TimeSeries):
        raise Wrong("PERIOD needs a time series")
    return float(value.period)


def _count(arguments: list[Value]) -> Value:
    return float(len(_many(_single("METRIC_COUNT", arguments), "METRIC_COUNT")))


def _if(arguments: list[Value]) -> Value:
    if len(arguments) not in (2, 3):
        raise Wrong("IF needs a condition and one or two values")
    condition, rest = arguments[0], arguments[1:]
    if isinstance(condition, list) or any(isinstance(each, list) for each in rest):
        raise Unknown("IF over arrays of time series")
    series = next((each for each in arguments if isinstance(each, TimeSeries)), None)
    if series is None:
        raise Wrong("IF needs a time series")
    found: dict[int, float] = {}
    for time in series.times or series.points:
        holds = _at(condition, time)
        if holds is None:
            continue
        chosen = rest[0] if holds else rest[1] if len(rest) == 2 else None
        value = None if chosen is None else _at(chosen, time)
        if value is not None:
            found[time] = value
    return TimeSeries(found, series.period, series.times)


def _at(value: Value, time: int) -> float | None:
    assert not isinstance(value, list)
    return value if isinstance(value, float) else value.points.get(time)


def _single(name: str, arguments: list[Value]) -> Value:
    if len(arguments) != 1:
        raise Wrong(f"{name} takes one argument, not {len(arguments)}")
    return arguments[0]


_FUNCTIONS: Mapping[str, Function] = {
    "ABS": _pointed("ABS", abs),
    "AVG": _reduction("AVG", statistics.fmean),
    "CEIL": _pointed("CEIL", math.ceil),
    "DIFF": _diff,
    "FLOOR": _pointed("FLOOR", math.floor),
    "IF": _if,
    "MAX": _reduction("MAX", max),
    "METRIC_COUNT": _count,
    "MIN": _reduction("MIN", min),
    "PERIOD": _period,
    "RATE": _rate,
    "RUNNING_SUM": _running,
    "STDDEV": _reduction("STDDEV", statistics.pstdev),
    "SUM": _reduction("SUM", math.fsum),
}
FUNCTIONS = (*sorted(_FUNCTIONS), "FILL", "METRICS")
"""Those that are there."""
