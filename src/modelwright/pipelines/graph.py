"""The graph of a pipeline's steps: who waits for whom, in which order, which part is chosen.

A step waits for what its DependsOn names, for every step that its arguments refer to, and for the condition whose
branch it is in. An explicit trigger (DependsOn with `Trigger`) stands above the same step's data reference.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from modelwright.pipelines.expressions import references
from modelwright.pipelines.steps import Dependency, Step


def dependencies(step: Step) -> tuple[Dependency, ...]:
    """All that a step waits for, each step once; its branch's condition last."""
    found = {dependency.step: dependency for dependency in step.depends_on}
    for name in _referred(step):
        found.setdefault(name, Dependency(name))
    if step.branch is not None:
        found.setdefault(step.branch.condition, Dependency(step.branch.condition))
    return tuple(found.values())


def _referred(step: Step) -> Iterator[str]:
    inside = {body.name for body in step.body}
    for part in (step.arguments, step.conditions, step.extra):
        for reference in references(part):
            if reference.namespace == "Steps" and reference.name not in inside:
                yield reference.name
    for body in step.body:
        for dependency in dependencies(body):
            if dependency.step not in inside:
                yield dependency.step


def find_cycle(graph: Mapping[str, tuple[Dependency, ...]]) -> list[str] | None:
    """The steps of a cycle in the order in which they wait for each other (first = last), or None."""
    done: set[str] = set()
    for start in graph:
        trail: list[str] = []
        on_trail: set[str] = set()
        work: list[tuple[str, Iterator[Dependency]]] = [(start, iter(graph[start]))]
        if start in done:
            continue
        trail.append(start)
        on_trail.add(start)
        while work:
            name, rest = work[-1]
            dependency = next(rest, None)
            if dependency is None:
                work.pop()
                trail.pop()
                on_trail.discard(name)
                done.add(name)
            elif dependency.step in on_trail:
                return [*trail[trail.index(dependency.step) :], dependency.step]
            elif dependency.step in graph and dependency.step not in done:
                trail.append(dependency.step)
                on_trail.add(dependency.step)
                work.append((dependency.step, iter(graph[dependency.step])))
    return None


def order(graph: Mapping[str, tuple[Dependency, ...]]) -> list[str]:
    """Every step after all that it waits for; steps that could swap places stay as the definition has them."""
    placed: dict[str, None] = {}
    waiting = list(graph)
    while waiting:
        ready = [n for n in waiting if all(d.step in placed or d.step not in graph for d in graph[n])]
        if not ready:
            raise ValueError(f"the steps {waiting} wait for each other")
        placed.update(dict.fromkeys(ready))
        waiting = [name for name in waiting if name not in placed]
    return list(placed)
