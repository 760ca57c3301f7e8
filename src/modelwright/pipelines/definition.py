"""A pipeline definition: JSON text -> `Definition`. Parsing is validation, and every problem is told at once.

The language is AWS's pipeline definition, version 2020-12-01 ("Amazon SageMaker Pipelines: pipeline definition JSON
schema", and what SDK v2 and v3 write beyond it). All step types parse; which of them run is the engine's business.
What a step's arguments may hold is its operation's business and is checked when the step runs.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Protocol

from modelwright.pipelines.expressions import EXECUTION_VARIABLES, Json, Reference, check, located_references
from modelwright.pipelines.graph import dependencies, find_cycle, order
from modelwright.pipelines.parameters import Parameter, parse_parameters
from modelwright.pipelines.problems import Problems, shown
from modelwright.pipelines.steps import Dependency, Step, parse_steps

VERSION = "2020-12-01"
MAX_STEPS = 50
"""AWS's quota "Maximum number of steps allowed in a pipeline", steps of branches included."""

MAX_DEPTH = 100
"""Far beyond any real definition; what reads arguments later may then recurse."""

_MEMBERS = ("Version", "Metadata", "Parameters", "PipelineExperimentConfig", "MlflowConfig", "Steps")


@dataclass(frozen=True)
class Definition:
    """A pipeline as it runs. `steps` is flat and in the definition's order; `graph` has what each step waits for."""

    steps: Mapping[str, Step]
    parameters: Mapping[str, Parameter] = field(default_factory=dict)
    experiment: Mapping[str, Any] = field(default_factory=dict)
    """PipelineExperimentConfig, expressions unresolved; empty: none."""
    mlflow: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, Any] = field(default_factory=dict)
    graph: Mapping[str, tuple[Dependency, ...]] = field(default_factory=dict)
    order: tuple[str, ...] = ()
    """Every step's name after those that it waits for."""


class Operations(Hashable, Protocol):
    """What is known of the operations behind the steps. Yields nothing, and None, for types it knows nothing of."""

    def check_arguments(self, step_type: str, arguments: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
        """(path below the arguments, reason) of what the Create operation would refuse."""
        ...

    def check_property(self, step_type: str, path: Sequence[str | int]) -> str | None:
        """Why the Describe operation's answer can't have something at this path."""
        ...


@lru_cache(maxsize=128)
def parse(text: str, operations: Operations | None = None) -> Definition:
    """Parse a definition's JSON text. Raises ValidationException with every problem: step, path and reason.

    `operations` is asked about every step's arguments and references; leave it out for a text that was checked before.
    The result is shared: the same text gives the same object.
    """
    problems = Problems()
    try:
        document = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        problems.add("", f"It is not JSON: {error}.")
        document = {}
    else:
        if not isinstance(document, dict):
            problems.add("", "Expecting start of Json Object.")
            document = {}
    problems.raise_if_any()
    if _depth(document) > MAX_DEPTH:
        problems.add("", f"It is nested too deeply: more than {MAX_DEPTH} objects and arrays inside each other.")
        problems.raise_if_any()
    definition = _parse_document(document, problems)
    if operations is not None:
        _ask(operations, definition, problems)
    problems.raise_if_any()
    return replace(definition, order=tuple(order(definition.graph)))


def _ask(operations: Operations, definition: Definition, problems: Problems) -> None:
    known = {each.name: each.type for step in definition.steps.values() for each in (step, *step.body)}
    for step in definition.steps.values():
        for each in (step, *step.body):
            problems.step = each.name
            for place, reason in operations.check_arguments(each.type, each.arguments):
                problems.add(f"{each.path}.Arguments{place}", reason)
            for place, reference in _located(each):
                if reference.namespace == "Steps" and reference.property_file is None:
                    reason = operations.check_property(known.get(reference.name, ""), reference.path) or ""
                    if reason:
                        problems.add(place, f"'{reference.text}': {reason}")


def _located(step: Step) -> Iterator[tuple[str, Reference]]:
    """Every reference of a step with its place in the definition."""
    yield from located_references(step.arguments, f"{step.path}.Arguments")
    yield from located_references(list(step.conditions), f"{step.path}.Arguments.Conditions")
    yield from located_references(step.extra, step.path)


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large a number")
    return number


def _depth(document: Json) -> int:
    depth, level = 0, [document]
    while level:
        depth += 1
        nested = [value for value in level if isinstance(value, dict | list)]
        level = [inner for value in nested for inner in (value.values() if isinstance(value, dict) else value)]
    return depth


def _parse_document(document: Mapping[str, Any], problems: Problems) -> Definition:
    for member in sorted(set(document) - set(_MEMBERS)):
        problems.add(member, f"unknown member; known: {', '.join(_MEMBERS)}.")
    if document.get("Version") != VERSION:
        problems.add("Version", f"{shown(document.get('Version'))} must be '{VERSION}'.")
    parameters = parse_parameters(document.get("Parameters") or [], "Parameters", problems)
    steps = _by_name(list(parse_steps(document.get("Steps"), "Steps", problems)), problems)
    if not steps and document.get("Steps") == []:
        problems.add("Steps", "a pipeline needs at least one step.")
    parts = {}
    for member in ("Metadata", "PipelineExperimentConfig", "MlflowConfig"):
        parts[member] = document.get(member) or {}
        if not isinstance(parts[member], dict):
            problems.add(member, "Expecting start of Json Object.")
            parts[member] = {}
    for member in ("PipelineExperimentConfig", "MlflowConfig"):
        check(parts[member], member, problems)
        _check_references(located_references(parts[member], member), _Names(parameters, {}), problems)
    _check_steps(steps, parameters, problems)
    return Definition(
        steps=steps,
        parameters=parameters,
        experiment=parts["PipelineExperimentConfig"],
        mlflow=parts["MlflowConfig"],
        metadata=parts["Metadata"],
        graph={name: dependencies(step) for name, step in steps.items()},
    )


def _by_name(steps: list[Step], problems: Problems) -> dict[str, Step]:
    found: dict[str, Step] = {}
    taken: dict[str, str] = {}
    for step in steps:
        for each in (step, *step.body):
            problems.step = each.name
            if each.name in taken:
                problems.add(f"{each.path}.Name", f"another step has this name: {taken[each.name]}.")
            taken.setdefault(each.name, each.path)
        found.setdefault(step.name, step)
    for step in steps:
        for each in step.body:
            for name, path in taken.items():
                if re.fullmatch(f"{re.escape(each.name)}-[0-9]+", name):
                    problems.step = name
                    problems.add(f"{path}.Name", f"runs of the ForEach step '{step.name}' are named so.")
    problems.step = ""
    if len(taken) > MAX_STEPS:
        problems.add("Steps", f"{len(taken)} steps; a pipeline can have {MAX_STEPS}.")
    return found


@dataclass(frozen=True)
class _Names:
    """What an expression may refer to where it stands."""

    parameters: Mapping[str, Parameter]
    steps: Mapping[str, Step]
    own: tuple[str, ...] = ()
    """The step itself, and the ForEach step whose body it is in."""
    body: Mapping[str, Step] = field(default_factory=dict)


def _check_steps(steps: Mapping[str, Step], parameters: Mapping[str, Parameter], problems: Problems) -> None:
    for step in steps.values():
        problems.step = step.name
        body = {inner.name: inner for inner in step.body}
        _check_step(step, _Names(parameters, steps, (step.name,), body), problems)
        for inner in step.body:
            problems.step = inner.name
            _check_step(inner, _Names(parameters, {**steps, **body}, (inner.name, step.name)), problems)
        problems.step = step.name
        inner_cycle = find_cycle({inner.name: dependencies(inner) for inner in step.body})
        if inner_cycle:
            problems.add(step.path, f"steps wait for each other: {' -> '.join(inner_cycle)}.")
    problems.step = ""
    graph = {name: dependencies(step) for name, step in steps.items()}
    graph = {name: tuple(d for d in waits if d.step != name) for name, waits in graph.items()}  # told by itself
    cycle = find_cycle(graph)
    if cycle:
        problems.add("Steps", f"steps wait for each other: {' -> '.join(cycle)}.")


def _check_step(step: Step, names: _Names, problems: Problems) -> None:
    for index, dependency in enumerate(step.depends_on):
        _check_target(dependency.step, f"{step.path}.DependsOn[{index}]", names, problems)
    _check_references(_located(step), names, problems)


def _check_references(located: Iterable[tuple[str, Reference]], names: _Names, problems: Problems) -> None:
    for place, reference in located:
        reason = _wrong(reference, place, names)
        if reason:
            problems.add(place, f"'{reference.text}': {reason}")
        elif reference.namespace == "Steps":
            _check_target(reference.name, place, names, problems)


def _wrong(reference: Reference, place: str, names: _Names) -> str | None:
    """What is wrong with a reference, apart from which step it names."""
    name = reference.name
    if reference.namespace == "Parameters" and name not in names.parameters:
        return f"there is no parameter '{name}'; defined: {', '.join(names.parameters) or 'none'}."
    if reference.namespace == "Execution" and name not in EXECUTION_VARIABLES:
        return f"there is no execution variable '{name}'; known: {', '.join(sorted(EXECUTION_VARIABLES))}."
    if reference.namespace == "ForEach" and (len(names.own) < 2 or name != "CurrentItem"):
        return "only ForEach.CurrentItem, and only inside a ForEachBody."
    if reference.namespace == "IterationOutput" and name not in names.body:
        return "only a step of the ForEachBody, and only in the Selector of its ForEach step."
    step = names.steps.get(name) if reference.namespace == "Steps" else None
    if step is not None and step.type == "ForEach" and reference.path[0] == "IterationOutputs":
        if len(reference.path) < 3 or not isinstance(reference.path[1], int):
            return "must name an iteration and a step of the body: IterationOutputs[0].STEP..."
        if reference.path[2] not in {inner.name for inner in step.body}:
            return f"'{reference.path[2]}' is no step of the body of '{name}'."
    if reference.namespace == "Steps" and reference.path[0] == "PropertyFiles":
        file = reference.property_file
        if not place.endswith(".PropertyFile"):
            return "a property file is read by Std:JsonGet."
        if step is not None and file not in step.property_files:
            return f"step '{name}' has no property file '{file}'; it has: {', '.join(step.property_files) or 'none'}."
    return None


def _check_target(name: str, path: str, names: _Names, problems: Problems) -> None:
    """Whether a step may wait for the step `name`."""
    target = names.steps.get(name)
    if name in names.own:
        problems.add(path, "a step can't wait for itself, nor a body for its ForEach step.")
    elif target is None:
        problems.add(path, f"there is no step '{name}'; defined: {', '.join(names.steps) or 'none'}.")
    elif target.type == "Fail":
        problems.add(path, f"{names.own[0]} can not depends on {name}: a Fail step ends the execution.")
