import threading
import time

import pytest

from modelwright.regexes import InvalidRegex, Regex, SlowRegex

SLOW, TEXT = r"(a|aa)+$", "a" * 80 + "!"
"""Each a more makes it take 1.6 times as long."""


def test_what_it_finds():
    assert Regex("[a-z]+").fullmatch("abc")
    assert not Regex("[a-z]+").fullmatch("abc1")
    assert Regex("c$").search("abc")
    assert Regex(r"\p{Alpha}+").fullmatch("abc"), "as Java's, which AWS's services use"


def test_numbers_are_the_first_group_or_all():
    assert Regex(r"loss=([0-9.]+), (\w+)").numbers("loss=0.5, a loss=1e loss=.25, b") == [0.5, 0.25]
    assert Regex(r"\d+").numbers("1 and 22") == [1.0, 22.0]
    assert Regex(r"(\d)?x (\w+)").numbers("x nan") == []
    assert Regex(r"= (\S+)").numbers("= nan, = inf = word = 3") == [3.0]


@pytest.mark.parametrize("text", ["(", "[", "*a", r"(?P<a", "(" * 5000 + ")" * 5000])
def test_what_is_none(text):
    with pytest.raises(InvalidRegex):
        Regex(text)


def test_one_that_takes_for_ever_is_ended_and_lets_others_go_on():
    ticks, ended = [], threading.Event()

    def tick():
        while not ended.wait(0.01):
            ticks.append(time.monotonic())

    ticking = threading.Thread(target=tick)
    ticking.start()
    slow = Regex(SLOW)
    with pytest.raises(SlowRegex, match=r"'\(a\|aa\)\+\$' takes too long: make it simpler"):
        slow.search(TEXT)
    ended.set()
    ticking.join()
    assert len(ticks) > 10, "it kept the interpreter for itself"
    with pytest.raises(SlowRegex):
        slow.search(TEXT)
    assert slow.search("aaa"), "what is quick still is"
