"""What a FROM may name, beside an earlier stage: `scratch`, Python, Debian, AWS's framework images, images built here.

The system below an image of the process runtime is always this machine's, and its Python Modelwright's own: a base
image is an environment to start from, and notes about what was asked for and what it is instead.
"""

from __future__ import annotations

import re

from modelwright.images.base import Progress
from modelwright.images.dockerfile import DockerfileError
from modelwright.images.environments import PYTHON_VERSION, Environments
from modelwright.images.frameworks import KNOWN, recipe_for
from modelwright.images.provision import make_recipe
from modelwright.images.state import Config, State, next_key
from modelwright.images.store import Record
from modelwright.images.trees import Trees
from modelwright.images.uris import Reference

_SYSTEMS = ("debian", "ubuntu", "buildpack-deps")
_ALSO_PYTORCH = ("pytorch/pytorch",)


def base_state(
    reference: Reference,
    record: Record | None,
    environments: Environments,
    trees: Trees,
    progress: Progress,
    *,
    line: int,
) -> State:
    """The state to start from; `record` is the image of that name that was built here, if there is one.

    Raises DockerfileError naming the known bases when it is none of them.
    """
    if record is not None:
        return stored_state(record, environments, trees)
    if str(reference) == "scratch:latest":
        return State(next_key("scratch"))
    if reference.repository == "python" or reference.repository in _SYSTEMS:
        seed = environments.seed(progress)
        return State(next_key(seed.id), environment=seed, notes=_notes(reference))
    torch = Reference("pytorch-training", reference.tag, ecr=True)
    recipe = recipe_for(torch if reference.repository in _ALSO_PYTORCH else reference, PYTHON_VERSION)
    if recipe is None:
        raise DockerfileError(
            line,
            f"FROM {reference}: the process runtime has no such base image. It has python:*, debian:*, ubuntu:*, "
            f"scratch, images built here, and AWS's {', '.join(KNOWN)}. The container runtime builds from any image.",
        )
    environment = make_recipe(environments, recipe, progress)
    key = next_key(environment.id, recipe.environment)
    return State(key, environment=environment, config=Config(environment=recipe.environment), notes=recipe.notes)


def stored_state(record: Record, environments: Environments, trees: Trees) -> State:
    """The state that a build ended with."""
    return State(
        key=next_key(record.digest),
        tree=trees.find(record.tree) if record.tree else None,
        environment=environments.find(record.environment) if record.environment else None,
        config=Config.load(record.config),
        notes=record.notes,
    )


def _notes(reference: Reference) -> tuple[str, ...]:
    if reference.repository != "python":
        return (
            f"{reference} was asked for; the process runtime has this machine's own system, and a Python of its own.",
        )
    asked = re.match(r"(\d+\.\d+)", reference.tag)
    if asked is None or asked[1] == PYTHON_VERSION:
        return ()
    return (f"Python {asked[1]} was asked for; this environment has Python {PYTHON_VERSION}.",)
