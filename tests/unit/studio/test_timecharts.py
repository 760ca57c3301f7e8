"""Lines over time: where they lie, where they have gaps, what they are called."""

import pytest

from modelwright.studio.timecharts import HEIGHT, WIDTH, time_chart


def made(points, **more):
    return time_chart("Calls", "", {"a": points}, 0, 600, 60, **{"total": True, **more})


def test_it_works():
    chart = made({0: 1, 60: 4, 600: 2})
    (line,) = chart.lines
    assert (chart.high, line.told, line.count) == (4, 7, 3)
    assert line.pieces == (f"0.0,{HEIGHT * 0.75} {WIDTH / 10},0.0",)
    assert line.dots[2] == (WIDTH, HEIGHT / 2)


def test_a_gap_is_no_line():
    (line,) = made({0: 1, 60: 1, 300: 1, 360: 1, 420: 1, 600: 1}).lines
    assert [len(piece.split()) for piece in line.pieces] == [2, 3]


def test_the_newest_value_stands_for_a_latency():
    assert made({0: 5, 60: 3}, total=False).lines[0].told == 3


@pytest.mark.parametrize("points", [{}, {60: 0}])
def test_nothing(points):
    chart = made(points)
    assert chart.empty is (not points)
    assert chart.high == 1


def test_many_points_have_no_dots():
    assert made(dict.fromkeys(range(0, 6000, 60), 1)).lines[0].dots == ()
