"""Metric math: what it computes, and how it says no."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.metrics.expressions import FUNCTIONS, Empty, Names, TimeSeries, Unknown, Wrong, evaluate

TIMES = (0, 60, 120)
SERIES = {
    "a": TimeSeries({0: 1.0, 60: 2.0, 120: 4.0}, 60, TIMES),
    "b": TimeSeries({0: 10.0, 120: 0.0}, 60, TIMES),
    "slow": TimeSeries({0: 1.0}, 120, TIMES),
    "both": [TimeSeries({0: 1.0}, 60, TIMES), TimeSeries({0: 2.0}, 60, TIMES)],
    "none": TimeSeries({}, 60, TIMES),
}


def find(name):
    if name not in SERIES:
        raise Wrong(f"there is no query with the id '{name}'")
    return SERIES[name]


NAMES = Names(find, lambda words: [SERIES[name] for name in ("a", "b") if words in name])


def value(expression):
    found = evaluate(expression, NAMES)
    if isinstance(found, list):
        return [each.points for each in found]
    return found.points if isinstance(found, TimeSeries) else found


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("a", {0: 1, 60: 2, 120: 4}),
        ("100 * a / b", {0: 10}),
        ("a + b", {0: 11, 120: 4}),
        ("-a ^ 2", {0: -1, 60: -4, 120: -16}),
        ("(a - 1) * 2", {0: 0, 60: 2, 120: 6}),
        ("2 ^ 3 ^ 2 + 0 * a", {0: 512, 60: 512, 120: 512}),
        ("SUM(METRICS())", {0: 11, 60: 2, 120: 4}),
        ("AVG([a, b])", {0: 5.5, 60: 2, 120: 2}),
        ("MAX(METRICS('b'))", {0: 10, 120: 0}),
        ("a / SUM(a)", {0: 1 / 7, 60: 2 / 7, 120: 4 / 7}),
        ("SUM(a)", 7),
        ("MIN([a, b])", {0: 1, 60: 2, 120: 0}),
        ("FILL(b, 5)", {0: 10, 60: 5, 120: 0}),
        ("FILL(b, REPEAT)", {0: 10, 60: 10, 120: 0}),
        ("RATE(a)", {60: 1 / 60, 120: 2 / 60}),
        ("DIFF(a)", {60: 1, 120: 2}),
        ("RUNNING_SUM(a)", {0: 1, 60: 3, 120: 7}),
        ("a / PERIOD(a) * 60", {0: 1, 60: 2, 120: 4}),
        ("IF(a > 1, a)", {60: 2, 120: 4}),
        ("IF(a >= 2, 1, 0)", {0: 0, 60: 1, 120: 1}),
        ("CEIL(a / 3) + FLOOR(0.5) + ABS(-1)", {0: 2, 60: 2, 120: 3}),
        ("METRIC_COUNT(METRICS()) * a", {0: 2, 60: 4, 120: 8}),
        ("both * 2", [{0: 2}, {0: 4}]),
        ("both + both", [{0: 2}, {0: 4}]),
        ("STDDEV(both)", {0: 0.5}),
        ("none + a", {}),
    ],
)
def test_it_works(expression, expected):
    found = value(expression)
    if isinstance(expected, dict):
        assert found == {time: pytest.approx(number) for time, number in expected.items()}
    else:
        assert found == expected


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("nobody + 1", "there is no query with the id 'nobody'"),
        ("a +", "unexpected its end"),
        ("(a", "'\\)' is missing"),
        ("a a", "unexpected 'a'"),
        ("a ? b", "unexpected"),
        ("SUM(a, b)", "SUM takes one argument, not 2"),
        ("SUM(3)", "needs a time series"),
        ("a + slow", "different periods"),
        ("both + [a, b, a]", "arrays of 2 and 3"),
        ("1 / 0", "no such number"),
        ("IF(1, 2)", "IF needs a time series"),
        ("(" * 60 + "a" + ")" * 60, "too deeply"),
    ],
)
def test_what_is_wrong_is_said(expression, why):
    with pytest.raises(Wrong, match=why):
        value(expression)


@pytest.mark.parametrize(
    "expression", ["ANOMALY_DETECTION_BAND(a)", "SEARCH('x', 'Sum', 60)", "FILL(a, LINEAR)", "a && b"]
)
def test_what_is_not_here_is_named(expression):
    with pytest.raises(Unknown, match=expression.split("(")[0].replace("a ", "").replace(" b", "")):
        value(expression)


def test_of_nothing_there_is_no_sum():
    with pytest.raises(Empty):
        value("SUM(none)")


@given(st.text(alphabet="ab 0123456789.+-*/^(),[]<>=!'\"SUMAVGIFLxe", max_size=25))
def test_any_text_is_a_value_or_one_of_our_errors(text):
    with contextlib.suppress(Wrong, Unknown, Empty):
        evaluate(text, NAMES)


def test_the_list_of_functions_is_whole():
    assert {"SUM", "AVG", "FILL", "METRICS", "IF"} <= set(FUNCTIONS)
