"""`LocalImages`: the images of one home folder, and what a URI resolves to.

In this order: an image built or added here; a framework image of AWS's by its repository name, as an equivalent local
environment; else an error that names the URI and the command that would add it. The command line and the server use
the same class on the same folder, at once if need be.

    images/index.json       names (store.py)
    images/layers/          trees by content of the build (build.py)
    images/environments/    virtual environments by content (environments.py)
"""

from __future__ import annotations

import sys
from pathlib import Path

from modelwright.config import Settings
from modelwright.errors import ValidationException
from modelwright.images.base import Progress
from modelwright.images.environments import PYTHON_VERSION, Environment, Environments
from modelwright.images.frameworks import KNOWN, TORCH, Recipe, recipe_for
from modelwright.images.provision import find_recipe, make_recipe, recipe_digest
from modelwright.images.store import ImageStore, Record
from modelwright.images.uris import Reference, parse_reference
from modelwright.runtimes.base import Image


class LocalImages:
    """Implements `Images` (base.py) on the home folder of `settings`."""

    def __init__(self, settings: Settings) -> None:
        self.store = ImageStore(settings.images)
        self._folder = settings.images
        self._layers = settings.images / "layers"
        self._environments = Environments(settings.images / "environments", settings.cache / "pip", (TORCH,))

    def ready(self, uri: str) -> Image | None:
        reference = parse_reference(uri)
        record = self.store.find(reference)
        if record is not None:
            return self._stored_image(uri, record)
        recipe = self._recipe(uri, reference)
        environment = find_recipe(self._environments, recipe)
        return None if environment is None else self._framework_image(uri, recipe, environment)

    def resolve(self, uri: str, progress: Progress) -> Image:
        found = self.ready(uri)
        if found is not None:
            return found
        recipe = self._recipe(uri, parse_reference(uri))
        return self._framework_image(uri, recipe, make_recipe(self._environments, recipe, progress))

    def _recipe(self, uri: str, reference: Reference) -> Recipe:
        recipe = recipe_for(reference, PYTHON_VERSION)
        if recipe is None:
            raise ValidationException(
                f"There is no image '{uri}' here. Build it from a folder with a Dockerfile: "
                f"modelwright images build DIR -t {uri} (framework images of AWS need no building: {', '.join(KNOWN)})."
            )
        return recipe

    def _framework_image(self, uri: str, recipe: Recipe, environment: Environment) -> Image:
        variables = {**recipe.environment, "PIP_CONSTRAINT": str(self._environments.constraints_file())}
        return Image(
            uri=uri,
            reference=recipe_digest(environment, variables),
            python=environment.path,
            environment=variables,
            visible=visible_folders(environment),
            notes=recipe.notes,
        )

    def _stored_image(self, uri: str, record: Record) -> Image:
        raise NotImplementedError


def visible_folders(environment: Environment) -> tuple[Path, ...]:
    """What an environment needs beside itself: its parents, and a Python that lies outside /usr."""
    base = Path(sys.base_prefix).resolve()
    outside = () if base.is_relative_to("/usr") or base == Path(base.anchor) else (base,)
    return (*environment.parents, *outside)
