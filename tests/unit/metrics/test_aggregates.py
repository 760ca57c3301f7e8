"""Aggregates: the five statistics exactly, percentiles within one percent."""

import random

import pytest

from modelwright.metrics.aggregates import (
    Aggregate,
    is_known_elsewhere,
    is_statistic,
    loads,
    merged,
    of_set,
    of_values,
)


def stored(part):
    return loads(part.count, part.total, part.low, part.high, part.dumps())


def test_it_works():
    part = of_values([4, 1, 3, 2])
    told = {name: part.statistic(name) for name in ("SampleCount", "Sum", "Average", "Minimum", "Maximum")}
    assert told == {"SampleCount": 4, "Sum": 10, "Average": 2.5, "Minimum": 1, "Maximum": 4}


def test_percentiles_are_within_one_percent_however_large_the_values_are():
    dice = random.Random(1)
    values = [dice.lognormvariate(5, 3) for _ in range(5000)]
    part = stored(merged(of_values(values[at::7]) for at in range(7)))
    ordered = sorted(values)
    for percent in (1, 25, 50, 90, 99, 99.9):
        exact = ordered[int(-(-len(ordered) * percent // 100)) - 1]
        assert part.statistic(f"p{percent}") == pytest.approx(exact, rel=0.0101)
    assert part.statistic("p0") == min(values)
    assert part.statistic("p100") == pytest.approx(max(values), rel=0.02)
    assert len(part.histogram) < 1500


def test_nothing_at_all_is_a_value_too():
    part = of_values([0, 0, 0, 7])
    assert (part.statistic("p50"), part.statistic("p100")) == (0, 7)


def test_without_the_values_there_are_no_percentiles():
    assert of_set(3, 6, 1, 3).statistic("p50") is None
    assert of_set(3, 6, 2, 2).statistic("p50") == 2
    mixed = merged([of_values([1, 2]), of_set(3, 6, 1, 3)])
    assert (mixed.statistic("p50"), mixed.statistic("SampleCount")) == (None, 5)
    negative = Aggregate()
    negative.add(-1)
    assert (negative.statistic("p50"), negative.statistic("Minimum")) == (None, -1)


def test_which_statistics_there_are():
    assert all(map(is_statistic, ("Sum", "p50", "p99.9", "p0", "p100", "p0.1")))
    assert not any(map(is_statistic, ("sum", "p101", "p", "tm90", "P50", "p-1")))
    assert all(map(is_known_elsewhere, ("tm90", "TM(10%:90%)", "IQM", "PR(:300)")))
