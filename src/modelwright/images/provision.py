"""Recipes and pip installs become environments: which layer has what, under which id."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelwright.images.base import Progress
from modelwright.images.environments import Environment, Environments, digest_of_files
from modelwright.images.frameworks import Recipe
from modelwright.images.pip import Pip

_TOOLKIT = Path(__file__).parent / "toolkit"
_TOOLKIT_PACKAGE = "modelwright_toolkit"
_TOOLKIT_COMMANDS = {"train": "train", "serve": "serve"}
_OWN_TORCH = re.compile(r"^\s*torch(?![\w.-])[^#\n]*(==|@|<|~=)", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Install:
    """One `pip install`. `inputs`: a hash of the files that the arguments name, which are relative to `folder`.

    `actual`: the arguments to really use, where they differ from what names the same thing on every machine.
    """

    arguments: tuple[str, ...]
    inputs: str = ""
    actual: tuple[str, ...] | None = None
    folder: Path | None = None
    environment: Mapping[str, str] | None = None


def find_recipe(environments: Environments, recipe: Recipe) -> Environment | None:
    """The recipe's environment, if it has been made."""
    return environments.find(_recipe_ids(environments, recipe)[-1])


def make_recipe(environments: Environments, recipe: Recipe, progress: Progress) -> Environment:
    """The recipe's environment, made a layer at a time. Raises AwsError with pip's last lines."""
    environment = environments.seed(progress)
    ids = _recipe_ids(environments, recipe)
    for identity, requirements in zip(ids, recipe.layers, strict=False):
        if environments.find(identity) is None:
            progress(f"Preparing {recipe.title}: {', '.join(requirements)}")
        environment = make_install(environments, environment, Install(requirements), progress)
    return environments.child(environment, ids[-1], lambda e, _: _add_toolkit(e), progress)


def find_install(environments: Environments, parent: Environment, install: Install) -> Environment | None:
    """The environment with `install` over `parent`, if it has been made."""
    return environments.find(_install_id(environments, parent.id, install))


def make_install(environments: Environments, parent: Environment, install: Install, progress: Progress) -> Environment:
    """The environment with `install` over `parent`."""
    identity = _install_id(environments, parent.id, install)
    return environments.child(parent, identity, lambda _, pip: _install(pip, install, parent.constraints), progress)


def pins_torch(arguments: Sequence[str], folder: Path | None = None) -> bool:
    """Whether pip arguments, or requirement files among them, set a bound of their own to torch's version."""
    texts = list(arguments)
    for flag, value in itertools.pairwise(arguments):
        if flag in ("-r", "--requirement", "-c", "--constraint"):
            file = (folder or Path()) / value
            texts.append(file.read_text(errors="replace") if file.is_file() else "")
    return any(_OWN_TORCH.search(text) for text in texts)


def _recipe_ids(environments: Environments, recipe: Recipe) -> list[str]:
    ids = [environments.seed_id()]
    for requirements in recipe.layers:
        ids.append(_install_id(environments, ids[-1], Install(requirements)))
    toolkit = digest_of_files(_toolkit_files())
    return [*ids[1:], environments.child_id(ids[-1], "toolkit", toolkit)]


def _install_id(environments: Environments, parent: str, install: Install) -> str:
    return environments.child_id(parent, "pip", json.dumps(install.arguments), install.inputs)


def _install(pip: Pip, install: Install, parent_constraints: Path) -> None:
    arguments = install.arguments if install.actual is None else install.actual
    # An unpinned torch somewhere below a requirement would bring gigabytes of CUDA: only a bound of the user's may.
    constraints = None if pins_torch(arguments, install.folder) else parent_constraints
    pip.install(arguments, constraints=constraints, folder=install.folder, environment=install.environment)


def _toolkit_files() -> list[Path]:
    return sorted(_TOOLKIT.glob("*.py"))


def launchers(environment: Environment) -> Path | None:
    """The folder with `train` and `serve`, if the environment has the toolkit in it or below."""
    folders = (path / "launchers" for path in (environment.path, *environment.parents))
    return next((folder for folder in folders if folder.is_dir()), None)


def _add_toolkit(environment: Environment) -> None:
    """Put the launchers into the environment: a package of our own, and a command for each in a folder of its own.

    The commands look their Python up on the path, so that over a child environment they see its packages.
    """
    package = environment.site_packages / _TOOLKIT_PACKAGE
    package.mkdir()
    for file in _toolkit_files():
        shutil.copyfile(file, package / file.name)
    folder = environment.path / "launchers"
    folder.mkdir()
    for command, module in _TOOLKIT_COMMANDS.items():
        script = folder / command
        script.write_text(
            f"#!/usr/bin/env python3\nimport sys\n\nfrom {_TOOLKIT_PACKAGE}.{module} import main\n\nsys.exit(main())\n"
        )
        script.chmod(0o755)
