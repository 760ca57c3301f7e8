"""Where periods begin, and which buckets answer for them."""

import pytest

from modelwright.metrics.periods import DAY, HOUR, aligned_start, grouped, is_period, width_for

NOW = 1_790_000_000.0
MINUTE = NOW // 60 * 60


@pytest.mark.parametrize(
    ("ago", "grain"), [(100, 60), (14 * DAY, 60), (16 * DAY, 300), (62 * DAY, 300), (64 * DAY, 3600)]
)
def test_a_start_is_rounded_down_the_coarser_the_older(ago, grain):
    start = aligned_start(NOW - ago, 3600, NOW)
    assert start % grain == 0
    assert 0 <= NOW - ago - start < grain


def test_short_periods_have_their_own_grid():
    assert aligned_start(107, 10, NOW) == 100


def test_the_widest_buckets_that_fit():
    hour = NOW // HOUR * HOUR
    assert width_for(int(hour), 3600, NOW) == 3600
    assert width_for(int(hour) + 60, 3600, NOW) == 60
    assert width_for(int(hour) + 300, 600, NOW) == 300
    assert width_for(int(MINUTE), 60, NOW) == 60
    assert width_for(int(NOW) - 5, 5, NOW) == 1


def test_what_is_kept_in_wider_buckets_only_has_no_short_periods():
    old = aligned_start(NOW - 20 * DAY, 60, NOW)
    assert width_for(old, 60, NOW) is None
    assert width_for(old, 300, NOW) == 300
    assert width_for(int(NOW) - 4 * HOUR, 10, NOW) is None


def test_periods_count_from_the_start():
    assert grouped([60, 120, 180, 240], 60, 120) == {60: [60, 120], 180: [180, 240]}
    assert [each for each in (0, 1, 2, 5, 30, 45, 60, 90, 120) if is_period(each)] == [1, 5, 30, 60, 120]
