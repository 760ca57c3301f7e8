"""Selective execution: a part of a pipeline's steps runs, what they need of the others comes from an earlier execution.

Source: AWS's page "Selective execution of pipeline steps".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from modelwright.errors import ValidationException
from modelwright.pipelines.steps import Dependency

Graph = Mapping[str, tuple[Dependency, ...]]


def select(graph: Graph, chosen: Sequence[str]) -> frozenset[str]:
    """The steps that are not chosen and whose results the chosen ones need.

    Raises ValidationException: an unknown step, one chosen twice, or a step left out that lies between two chosen ones.
    """
    for name in chosen:
        if name not in graph:
            raise ValidationException(f"Invalid SelectedSteps: there is no step '{name}'; defined: {', '.join(graph)}.")
        if chosen.count(name) > 1:
            raise ValidationException(f"Invalid SelectedSteps: step '{name}' comes more than once.")
    left_out = (_above(graph, chosen) & _below(graph, chosen)) - set(chosen)
    if left_out:
        raise ValidationException(
            f"Invalid SelectedSteps: {_listed(left_out)} must be selected too, for a selected step waits for it and it "
            "waits for another."
        )
    return frozenset(dependency.step for name in chosen for dependency in graph[name]) - set(chosen)


def _above(graph: Graph, names: Iterable[str]) -> set[str]:
    """All that these steps wait for, directly or not."""
    found: set[str] = set()
    work = list(names)
    while work:
        for dependency in graph[work.pop()]:
            if dependency.step not in found:
                found.add(dependency.step)
                work.append(dependency.step)
    return found


def _below(graph: Graph, names: Iterable[str]) -> set[str]:
    """All that wait for these steps, directly or not."""
    reversed_graph: dict[str, list[Dependency]] = {name: [] for name in graph}
    for name, waits in graph.items():
        for dependency in waits:
            reversed_graph[dependency.step].append(Dependency(name))
    return _above({name: tuple(waits) for name, waits in reversed_graph.items()}, names)


def needs_source(chosen: Sequence[str], needed: Iterable[str]) -> ValidationException:
    """The error for steps that need results and no execution to take them from."""
    return ValidationException(
        f"Invalid SourcePipelineExecutionArn: null. The selected steps [{', '.join(chosen)}] have dependencies on "
        f"[{', '.join(sorted(needed))}]"
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in sorted(names))
