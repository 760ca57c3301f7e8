"""Schedule expressions: when they are due, and what is wrong with those that are none."""

from datetime import UTC, datetime

import pytest

from modelwright.errors import ValidationException
from modelwright.events.schedules import parse


def at(text):
    return datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC).timestamp()


def due(expression, begin, count=3):
    """The first times after `begin`, without the seconds (they are 0)."""
    schedule, time, found = parse(expression), at(begin), []
    for _ in range(count):
        time = schedule.after(time, at(begin))
        if time is None:
            return [*found, None]
        found.append(datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M"))
    return found


@pytest.mark.parametrize(
    ("expression", "begin", "found"),
    [
        ("cron(0 10 * * ? *)", "2026-11-23 09:59:59", ["2026-11-23 10:00", "2026-11-24 10:00", "2026-11-25 10:00"]),
        ("cron(0 10 * * ? *)", "2026-11-23 10:00:00", ["2026-11-24 10:00"]),
        ("cron(15 12 * * ? *)", "2026-11-23 12:14:00", ["2026-11-23 12:15"]),
        ("cron(0 18 ? * MON-FRI *)", "2026-11-27 18:00:00", ["2026-11-30 18:00", "2026-12-01 18:00"]),
        ("cron(0 8 1 * ? *)", "2026-11-23 00:00:00", ["2026-12-01 08:00", "2027-01-01 08:00"]),
        ("cron(0/15 * * * ? *)", "2026-11-23 23:31:00", ["2026-11-23 23:45", "2026-11-24 00:00"]),
        ("cron(0/5 8-17 ? * 2-6 *)", "2026-11-27 17:55:00", ["2026-11-30 08:00", "2026-11-30 08:05"]),
        ("cron(*/20 0 1 JAN,jul ? *)", "2026-11-23 00:00:00", ["2027-01-01 00:00", "2027-01-01 00:20"]),
        ("cron(0 0 L * ? *)", "2027-02-01 00:00:00", ["2027-02-28 00:00", "2027-03-31 00:00"]),
        ("cron(0 0 1W * ? *)", "2026-11-02 00:00:01", ["2026-12-01 00:00", "2027-01-01 00:00", "2027-02-01 00:00"]),
        ("cron(0 0 15W 8 ? 2026)", "2026-01-01 00:00:00", ["2026-08-14 00:00", None]),
        ("cron(0 0 ? * 6L *)", "2026-11-23 00:00:00", ["2026-11-27 00:00", "2026-12-25 00:00"]),
        ("cron(0 0 ? * TUE#2 *)", "2026-11-23 00:00:00", ["2026-12-08 00:00", "2027-01-12 00:00"]),
        ("cron(0 0 ? * L *)", "2026-11-23 00:00:00", ["2026-11-28 00:00"]),
        ("cron(0 0 29 2 ? *)", "2026-11-23 00:00:00", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        ("cron(0 0 31 * ? *)", "2026-11-23 00:00:00", ["2026-12-31 00:00", "2027-01-31 00:00", "2027-03-31 00:00"]),
        ("cron(0 0 1 1 ? 2030-2031)", "2026-11-23 00:00:00", ["2030-01-01 00:00", "2031-01-01 00:00", None]),
        ("cron(0 0 1 1 ? 2020)", "2026-11-23 00:00:00", [None]),
        ("rate(1 minute)", "2026-11-23 09:00:00", ["2026-11-23 09:01", "2026-11-23 09:02"]),
        ("rate(12 hours)", "2026-11-23 09:00:00", ["2026-11-23 21:00", "2026-11-24 09:00"]),
        ("rate(1 day)", "2026-11-23 09:00:00", ["2026-11-24 09:00"]),
    ],
)
def test_when_it_is_due(expression, begin, found):
    assert due(expression, begin, len(found)) == found


def test_a_rate_keeps_its_beat_after_a_pause():
    rate = parse("rate(5 minutes)")
    assert rate.after(1000.0, 1000.0) == 1300.0
    assert rate.after(1300.0, 1000.0) == 1600.0
    assert rate.after(9999.0, 1000.0) == 10_000.0, "what was missed is not made up for"
    assert rate.after(900.0, 1000.0) == 1300.0, "not before it began"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "write rate"), ("every day", "write rate"), ("rate(5 seconds)", "write rate"),
        ("rate(-1 day)", "write rate"), ("rate(999999 days)", "write rate"), ("cron(0 0 1 13 ? *)", "month"),
        ("rate(0 days)", "1 or more"), ("rate(1 minutes)", "rate(1 minute)"), ("rate(5 minute)", "rate(5 minutes)"),
        ("cron(0 12 * * ?)", "six fields"), ("cron(0 12 * * * *)", "must be ?"), ("cron(0 12 ? * ? *)", "must be ?"),
        ("cron(60 12 * * ? *)", "60 is not within 0 and 59"), ("cron(0 24 * * ? *)", "hours 24"),
        ("cron(0 0 0 * ? *)", "day-of-month 0"), ("cron(0 0 ? * 8 *)", "day-of-week 8"),
        ("cron(0 0 ? * FUN *)", "'FUN' is not a number or a name"), ("cron(5-1 0 * * ? *)", "ends before it begins"),
        ("cron(0/0 0 * * ? *)", "step"), ("cron(0 0 ? * MON#6 *)", "1 to 5"), ("cron(0 0 1 1 ? 1969)", "1970"),
        ("cron(\u0661 0 * * ? *)", "not a number"), ("cron(1, 0 * * ? *)", "'' is not a number"),
    ],
)  # fmt: skip
def test_what_is_no_schedule(text, why):
    with pytest.raises(ValidationException) as caught:
        parse(text)
    assert caught.value.message.startswith("Parameter ScheduleExpression is not valid")
    assert why in caught.value.message
