import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.errors import ValidationException
from modelwright.pipelines.graph import find_cycle, order
from modelwright.pipelines.selection import select
from modelwright.pipelines.steps import Dependency


def graph(**waits):
    return {name: tuple(Dependency(step) for step in steps) for name, steps in waits.items()}


@given(st.integers(1, 12).flatmap(lambda n: st.lists(st.sets(st.integers(0, n - 1)), min_size=n, max_size=n)))
def test_either_an_order_or_a_cycle(edges):
    made = graph(**{f"s{number}": [f"s{target}" for target in targets] for number, targets in enumerate(edges)})
    cycle = find_cycle(made)
    if cycle is None:
        placed = order(made)
        assert sorted(placed) == sorted(made)
        for name, waits in made.items():
            assert all(placed.index(dependency.step) < placed.index(name) for dependency in waits)
    else:
        assert cycle[0] == cycle[-1]
        for name, after in itertools.pairwise(cycle):
            assert Dependency(after) in made[name]
        with pytest.raises(ValueError, match="wait for each other"):
            order(made)


def test_order_stays_as_written_where_it_can():
    assert order(graph(C=[], A=[], B=["D"], D=["C"])) == ["C", "A", "D", "B"]


LINE = graph(Process=[], Train=["Process"], Eval=["Process", "Train"], Cond=["Eval"], Register=["Cond", "Train"])


@pytest.mark.parametrize(
    ("chosen", "needed"),
    [
        (["Process"], set()),
        (["Train", "Eval"], {"Process"}),
        (["Eval"], {"Process", "Train"}),
        (["Register"], {"Cond", "Train"}),
        (list(LINE), set()),
    ],
)
def test_selection_tells_what_it_needs(chosen, needed):
    assert select(LINE, chosen) == needed


@pytest.mark.parametrize(
    ("chosen", "reason"),
    [
        (["Train", "Cond"], "'Eval' must be selected too"),
        (["Process", "Register"], "'Cond', 'Eval', 'Train' must be selected too"),
        (["X"], "no step 'X'"),
        (["Train", "Train"], "more than once"),
    ],
)
def test_selections_that_leave_gaps_are_refused(chosen, reason):
    with pytest.raises(ValidationException, match=reason):
        select(LINE, chosen)
