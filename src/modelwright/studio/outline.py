"""A pipeline's definition as pages show it: parameters for a form, steps and edges for the graph. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


class Parameter(Protocol):
    """A parameter of a parsed definition."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def default(self) -> Any: ...
    @property
    def enum(self) -> Sequence[Any]: ...
    def convert(self, text: str) -> Any:
        """The typed value. Raises ValueError with the reason."""
        ...


class Dependency(Protocol):
    @property
    def step(self) -> str: ...


class Branch(Protocol):
    @property
    def condition(self) -> str: ...
    @property
    def outcome(self) -> bool: ...


class PropertyFile(Protocol):
    """A JSON file that a step writes for others to read: `path` below the output."""

    @property
    def output(self) -> str: ...
    @property
    def path(self) -> str: ...


class Step(Protocol):
    """A step of a parsed definition."""

    @property
    def name(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def display_name(self) -> str | None: ...
    @property
    def description(self) -> str | None: ...
    @property
    def arguments(self) -> Mapping[str, Any]: ...
    @property
    def branch(self) -> Branch | None: ...
    @property
    def conditions(self) -> Sequence[Mapping[str, Any]]: ...
    @property
    def property_files(self) -> Mapping[str, PropertyFile]: ...


class Definition(Protocol):
    """What the parser of definitions gives."""

    @property
    def steps(self) -> Mapping[str, Step]: ...
    @property
    def parameters(self) -> Mapping[str, Parameter]: ...
    @property
    def graph(self) -> Mapping[str, Sequence[Dependency]]: ...
    @property
    def order(self) -> Sequence[str]: ...


Parse = Callable[[str], Definition]


@dataclass(frozen=True)
class Edge:
    """`label` is `true` or `false` on a condition's branches."""

    source: str
    target: str
    label: str


def edges(definition: Definition) -> list[Edge]:
    """Who waits for whom. A step that only waits through others keeps its direct edge: it is what was written."""
    found = []
    for name, dependencies in definition.graph.items():
        branch = definition.steps[name].branch if name in definition.steps else None
        for dependency in dependencies:
            label = ""
            if branch is not None and branch.condition == dependency.step:
                label = "true" if branch.outcome else "false"
            found.append(Edge(dependency.step, name, label))
    return found


def graph(definition: Definition, statuses: Mapping[str, str], labels: Mapping[str, str]) -> dict[str, Any]:
    """What the script lays out. `statuses` by step; `labels`: step type -> its name in the reader's language."""
    return {
        "nodes": [
            {
                "name": name,
                "title": definition.steps[name].display_name or name,
                "type": labels.get(definition.steps[name].type, definition.steps[name].type),
                "status": statuses.get(name, ""),
            }
            for name in definition.order
        ],
        "edges": [[edge.source, edge.target, edge.label] for edge in edges(definition)],
    }


def problems(definition: Definition, given: Mapping[str, str]) -> dict[str, tuple[str, str]]:
    """Parameter -> what is wrong with the text that was given for it: a text of ours, and the choices there are."""
    found = {}
    for parameter in definition.parameters.values():
        text = given.get(parameter.name, "")
        if text == "" and parameter.default is None:
            found[parameter.name] = ("A value is needed.", "")
        elif text != "" or parameter.type != "String":
            try:
                parameter.convert(text)
            except ValueError:
                if parameter.enum:
                    found[parameter.name] = ("Choose one of: {choices}", ", ".join(map(shown, parameter.enum)))
                else:
                    found[parameter.name] = (_WRONG.get(parameter.type, "This value can't be used."), "")
    return found


def shown(value: Any) -> str:
    """A parameter's value as it is typed into a field."""
    return str(value).lower() if isinstance(value, bool) else str(value)


_WRONG = {
    "Integer": "Enter a whole number.",
    "Float": "Enter a number.",
    "Boolean": "Enter true or false.",
}
