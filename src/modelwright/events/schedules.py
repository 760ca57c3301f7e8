"""Schedule expressions of rules: `rate(5 minutes)`, `cron(0 18 ? * MON-FRI *)`. Times are UTC, in whole seconds. Pure.

Source: AWS's pages "Setting a schedule pattern for scheduled rules (legacy) in Amazon EventBridge" and "Cron
expressions".
"""

from __future__ import annotations

import calendar
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Protocol

from modelwright.errors import ValidationException

_RATE = re.compile(r"rate\((\d{1,5}) (minute|hour|day)(s?)\)")
_CRON = re.compile(r"cron\((.*)\)")
_SECONDS = {"minute": 60, "hour": 3600, "day": 86_400}
_MONTHS = {name.upper(): number for number, name in enumerate(calendar.month_abbr) if name}
_DAYS = {name: number for number, name in enumerate(("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"), 1)}
_FIRST_YEAR, _LAST_YEAR = 1970, 2199


class Schedule(Protocol):
    """When something is due, again and again."""

    def after(self, time: float, anchor: float) -> float | None:
        """The first time after `time`, for what began at `anchor`; None: never again."""
        ...


def parse(text: str) -> Schedule:
    """Raises ValidationException that says what is wrong."""
    if found := _RATE.fullmatch(text):
        number, unit, plural = int(found[1]), found[2], found[3]
        if number < 1:
            raise _invalid(text, "the value must be 1 or more")
        if (number == 1) == bool(plural):
            raise _invalid(text, f"write rate(1 {unit}) for one, and rate({max(number, 2)} {unit}s) for more")
        return Rate(number * _SECONDS[unit])
    if found := _CRON.fullmatch(text):
        fields = found[1].split()
        if len(fields) != 6:
            raise _invalid(text, "cron has six fields: minutes hours day-of-month month day-of-week year")
        return _cron(text, fields)
    raise _invalid(text, "write rate(5 minutes) or cron(0 12 * * ? *)")


@dataclass(frozen=True)
class Rate:
    """Every so many seconds from when it began."""

    seconds: int

    def after(self, time: float, anchor: float) -> float | None:
        return anchor + self.seconds * max(1, math.floor((time - anchor) / self.seconds) + 1)


@dataclass(frozen=True)
class Cron:
    """The minutes that six fields name."""

    minutes: frozenset[int]
    hours: frozenset[int]
    months: frozenset[int]
    years: frozenset[int]
    on: Callable[[date], bool]

    def after(self, time: float, anchor: float) -> float | None:
        begin = datetime.fromtimestamp(time, UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
        day, first = begin.date(), (begin.hour, begin.minute)
        while day.year <= _LAST_YEAR:
            if day.year not in self.years:
                day, first = date(day.year + 1, 1, 1), (0, 0)
                continue
            if day.month in self.months and self.on(day):
                for hour in sorted(self.hours):
                    for minute in sorted(self.minutes):
                        if (hour, minute) >= first:
                            return datetime(day.year, day.month, day.day, hour, minute, tzinfo=UTC).timestamp()
            day, first = day + timedelta(days=1), (0, 0)
        return None


def _cron(text: str, fields: list[str]) -> Cron:
    minutes, hours, of_month, months, of_week, years = fields
    if (of_month == "?") == (of_week == "?"):
        raise _invalid(text, "one of day-of-month and day-of-week must be ?, and the other say the days")
    on = _day_of_month(text, of_month) if of_week == "?" else _day_of_week(text, of_week)
    return Cron(
        _numbers(text, "minutes", minutes, 0, 59),
        _numbers(text, "hours", hours, 0, 23),
        _numbers(text, "month", months, 1, 12, _MONTHS),
        _numbers(text, "year", years, _FIRST_YEAR, _LAST_YEAR),
        on,
    )


def _day_of_month(text: str, field: str) -> Callable[[date], bool]:
    if field == "L":
        return lambda day: day.day == _last(day)
    if found := re.fullmatch(r"(\d{1,2})W", field):
        (wanted,) = _numbers(text, "day-of-month", found[1], 1, 31)
        return lambda day: wanted <= _last(day) and day.day == _nearest_weekday(day, wanted)
    days = _numbers(text, "day-of-month", field, 1, 31)
    return lambda day: day.day in days


def _day_of_week(text: str, field: str) -> Callable[[date], bool]:
    if field == "L":
        return lambda day: _weekday(day) == _DAYS["SAT"]
    if found := re.fullmatch(r"(\w+)(?:L|#(\d))", field):
        (wanted,) = _numbers(text, "day-of-week", found[1], 1, 7, _DAYS)
        if found[2] is None:
            return lambda day: _weekday(day) == wanted and day.day + 7 > _last(day)
        nth = int(found[2])
        if not 1 <= nth <= 5:
            raise _invalid(text, f"day-of-week {field}: # takes a number from 1 to 5")
        return lambda day: _weekday(day) == wanted and (day.day - 1) // 7 == nth - 1
    days = _numbers(text, "day-of-week", field, 1, 7, _DAYS)
    return lambda day: _weekday(day) in days


def _numbers(
    text: str, what: str, field: str, least: int, most: int, names: Mapping[str, int] | None = None
) -> frozenset[int]:
    """`*`, `5`, `1-5`, `*/10`, `5/10`, `1-30/10`, and several of these with commas."""

    def number(word: str) -> int:
        found = (names or {}).get(word.upper())
        if found is None and (not word.isascii() or not word.isdigit()):
            raise _invalid(text, f"{what} {field}: {word!r} is not a number{' or a name' if names else ''}")
        found = int(word) if found is None else found
        if not least <= found <= most:
            raise _invalid(text, f"{what} {field}: {word} is not within {least} and {most}")
        return found

    values: set[int] = set()
    for part in field.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        if span == "*":
            low, high = least, most
        else:
            low = number(first)
            high = number(last) if dash else most if slash else low
        if low > high:
            raise _invalid(text, f"{what} {field}: {span} ends before it begins")
        if slash and (not step.isascii() or not step.isdigit() or int(step) < 1):
            raise _invalid(text, f"{what} {field}: the step {step!r} must be 1 or more")
        values.update(range(low, high + 1, int(step) if slash else 1))
    return frozenset(values)


def _weekday(day: date) -> int:
    """1 is Sunday."""
    return day.isoweekday() % 7 + 1


def _last(day: date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


def _nearest_weekday(day: date, wanted: int) -> int:
    """The weekday (Monday to Friday) nearest to a day of the month, within the month."""
    weekday = date(day.year, day.month, wanted).isoweekday()
    if weekday == 6:
        return wanted - 1 if wanted > 1 else wanted + 2
    if weekday == 7:
        return wanted + 1 if wanted < _last(day) else wanted - 2
    return wanted


def _invalid(text: str, why: str) -> ValidationException:
    return ValidationException(f"Parameter ScheduleExpression is not valid: {text}: {why}.")
