"""`LocalImages`: the images of one home folder, and what a URI resolves to.

In this order: an image built or added here; a framework image of AWS's by its repository name, as an equivalent local
environment; else an error that names the URI and the command that would add it. The command line and the server use
the same class on the same folder, at once if need be.

    images/index.json       names (store.py)
    images/layers/          trees by content of the build (build.py)
    images/environments/    virtual environments by content (environments.py)
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from modelwright.config import Settings
from modelwright.errors import ConfigurationError, ValidationException
from modelwright.images.base import Progress
from modelwright.images.bases import base_state, stored_state
from modelwright.images.build import Builder
from modelwright.images.context import Context
from modelwright.images.dockerfile import parse_dockerfile
from modelwright.images.environments import PYTHON_VERSION, Environment, Environments, interpreter_folders
from modelwright.images.frameworks import KNOWN, TORCH, Recipe, recipe_for
from modelwright.images.locks import is_locked, locked
from modelwright.images.pip import build_failed
from modelwright.images.provision import find_recipe, launchers, make_recipe
from modelwright.images.replay import PATH
from modelwright.images.state import Config, State, next_key
from modelwright.images.store import ImageStore, Record, Tag
from modelwright.images.trees import Trees
from modelwright.images.uris import Reference, parse_reference
from modelwright.runtimes.base import Image


class LocalImages:
    """Implements `Images` (base.py) on the home folder of `settings`."""

    def __init__(self, settings: Settings) -> None:
        self.store = ImageStore(settings.images)
        self._settings = settings
        self._lock = settings.images / "prune.lock"
        self._trees = Trees(settings.images / "layers")
        held = dict([TORCH.split("==")])
        self._environments = Environments(settings.images / "environments", settings.cache / "pip", held)

    def ready(self, uri: str) -> Image | None:
        reference = parse_reference(uri)
        record = self.store.find(reference)
        if record is not None:
            return self._stored(uri, record)
        recipe = _recipe(uri, reference)
        environment = find_recipe(self._environments, recipe)
        return None if environment is None else self._framework(uri, recipe, environment)

    def digest(self, uri: str) -> str | None:
        try:
            found = self.store.find(parse_reference(uri))
        except ValidationException:
            return None
        return None if found is None else found.digest

    def pinned(self, uri: str, digest: str) -> str:
        reference = parse_reference(uri)
        if self.store.repository(reference.repository) is None:
            return uri
        exact = replace(reference, digest=digest.lower())
        if self.store.find(exact) is None:
            raise ValidationException(
                f"There is no image {digest} here; {uri} is {self.digest(uri) or 'gone'} now. A model package keeps "
                "the image it was registered with, an endpoint that of its last update: register or update it again to "
                "have another."
            )
        return str(exact)

    def resolve(self, uri: str, progress: Progress) -> Image:
        found = self.ready(uri)
        if found is not None:
            return found
        recipe = _recipe(uri, parse_reference(uri))
        return self._framework(uri, recipe, make_recipe(self._environments, recipe, progress))

    def build(
        self,
        folder: Path,
        uri: str,
        progress: Progress,
        *,
        dockerfile: Path | None = None,
        arguments: Mapping[str, str] | None = None,
        target: str | None = None,
        fresh: bool = False,
    ) -> Record:
        """Build the Dockerfile of `folder` and name the result `uri`.

        `fresh` uses nothing that earlier builds made. Raises ConfigurationError when there is no such file or folder,
        DockerfileError (a ValidationException with the line) and AwsError (ImageBuildFailed) from a step.
        """
        reference = _taggable(uri)
        made = self.make(folder, progress, dockerfile=dockerfile, arguments=arguments, target=target, fresh=fresh)
        return self.store.put(reference, made)

    def make(
        self,
        folder: Path,
        progress: Progress,
        *,
        dockerfile: Path | None = None,
        arguments: Mapping[str, str] | None = None,
        target: str | None = None,
        fresh: bool = False,
        names: Mapping[str, Record] | None = None,
    ) -> Record:
        """The same without a name. `names`: further images that the Dockerfile may start from, by `REPOSITORY:TAG`."""
        file = dockerfile or folder / "Dockerfile"
        text = _read_text(file)
        ignore = next(
            (path for path in (Path(f"{file}.dockerignore"), folder / ".dockerignore") if path.is_file()), None
        )
        builder = Builder(
            settings=self._settings,
            environments=self._environments,
            trees=self._trees,
            base=lambda name, line: self._base(name, line, progress, names or {}),
            dockerfile=parse_dockerfile(text),
            context=Context(folder, _read_text(ignore) if ignore else ""),
            arguments=arguments or {},
            progress=progress,
            fresh=fresh,
        )
        with locked(self._lock, shared=True):
            state = builder.build(target)
            return _record(state, builder.origin)

    def record(self, uri: str, progress: Progress) -> dict[str, Any]:
        """What a URI names, as plain JSON; a framework image is made on first use. Raises as `resolve`."""
        origin = parse_reference(uri)
        found = self.store.find(origin)
        if found is None:
            recipe = _recipe(uri, origin)
            with locked(self._lock, shared=True):
                found = _record(_recipe_state(recipe, make_recipe(self._environments, recipe, progress)), uri)
        return asdict(found)

    def publish(self, uri: str, record: Mapping[str, Any]) -> None:
        """Name an image that `record` or a build has told of. Raises AwsError where the tag is immutable."""
        self.store.put(_taggable(uri), Record(**{**record, "notes": tuple(record["notes"])}))

    def add(self, uri: str, source: str, progress: Progress) -> Record:
        """Give the image that `source` names (built on first use) a further name."""
        reference = _taggable(uri)
        origin = parse_reference(source)
        record = self.store.find(origin)
        if record is not None:
            return self.store.put(reference, record)
        recipe = _recipe(source, origin)
        with locked(self._lock, shared=True):
            state = _recipe_state(recipe, make_recipe(self._environments, recipe, progress))
            return self.store.put(reference, _record(state, source))

    def remove(self, uri: str) -> list[Tag]:
        """Take a name away. Raises ValidationException when there is no such image."""
        taken = self.store.remove(parse_reference(uri))
        if not taken:
            raise ValidationException(f"There is no image '{uri}' here: modelwright images list shows what there is.")
        return taken

    def show(self, uri: str) -> Record:
        """What a name stands for. Raises ValidationException when it was not built or added here."""
        record = self.store.find(parse_reference(uri))
        if record is None:
            raise ValidationException(f"There is no image '{uri}' here: modelwright images list shows what there is.")
        return record

    def prune(self, *, untagged: bool = False) -> int:
        """Delete trees and environments that no image of the store is made of; how many. With `untagged` also those of
        images that have lost their tag; a model package may have been registered with one.

        Framework images made for jobs go too and come back on their next use. Waits for builds. Raises
        ConfigurationError while a server or a job runs on this home, which may be using them.
        """
        busy = next((path for path in self._locks() if is_locked(path)), None)
        if busy is not None:
            raise ConfigurationError(
                f"A server or a job runs on {self._settings.home} ({busy} is locked) and may use what would be "
                "deleted: modelwright down, wait for its jobs, and try again."
            )
        with locked(self._lock):
            for tag in self.store.names() if untagged else ():
                if not tag.tag:
                    self.store.remove(Reference(tag.repository, "", tag.record.digest))
            records = self.store.records()
            kept_trees = {record.tree for record in records}
            found = (self._environments.find(record.environment) for record in records if record.environment)
            kept = {
                path.name for environment in found if environment for path in (environment.path, *environment.parents)
            }
            environments = [name for name in self._environments.names() if name not in kept]
            trees = [key for key in self._trees.names() if key not in kept_trees]
            for name in environments:
                self._environments.remove(name)
            for key in trees:
                self._trees.remove(key)
            shutil.rmtree(self._settings.images / "builds", ignore_errors=True)  # of builds that were killed
            return len(environments) + len(trees)

    def _locks(self) -> list[Path]:
        """What a server, and each job's container, hold as long as they live."""
        return [self._settings.server_lock, *self._settings.jobs.glob("*/lock")]

    def _base(self, name: str, line: int, progress: Progress, names: Mapping[str, Record]) -> State:
        reference = parse_reference(name)
        record = names.get(str(reference)) or self.store.find(reference)
        return base_state(reference, record, self._environments, self._trees, progress, line=line)

    def _stored(self, uri: str, record: Record) -> Image:
        state = stored_state(record, self._environments, self._trees)
        if (state.tree is None) != (record.tree is None) or (state.environment is None) != (record.environment is None):
            raise build_failed(
                f"The image '{uri}' is damaged: its files below {self._settings.images} are gone, or its Python is. "
                f"Build it again: modelwright images build DIR -t {uri}"
            )
        return self._image(uri, record.digest, state)

    def _framework(self, uri: str, recipe: Recipe, environment: Environment) -> Image:
        config = Config(environment=recipe.environment)
        state = State(environment.id, environment=environment, config=config, notes=recipe.notes)
        return self._image(uri, state.digest, state)

    def _image(self, uri: str, digest: str, state: State) -> Image:
        config, environment = state.config, state.environment
        variables = dict(config.environment)
        if environment is not None:
            variables.setdefault("PIP_CONSTRAINT", str(environment.constraints))
            # A job imports little of what it installs: compiling all of it would take half of the time.
            variables.setdefault("PIP_COMPILE", "0")
            # Last on the path: an image's own `train` and `serve` win over ours.
            commands = launchers(environment)
            if commands is not None:
                variables["PATH"] = f"{variables.get('PATH', PATH)}:{commands}"
        return Image(
            uri=uri,
            reference=digest,
            root=state.tree.root if state.tree else None,
            python=environment.path if environment else None,
            environment=variables,
            entrypoint=config.entrypoint or (),
            command=config.command or (),
            working_directory=config.working_directory,
            visible=(*environment.parents, *interpreter_folders()) if environment else (),
            labels=dict(config.labels),
            notes=state.notes,
        )


def _record(state: State, base: str) -> Record:
    return Record(
        digest=state.digest,
        tree=state.tree.key if state.tree else None,
        environment=state.environment.id if state.environment else None,
        config=state.config.stored(),
        size=state.tree.size if state.tree else 0,
        base=base,
        notes=state.notes,
    )


def _recipe_state(recipe: Recipe, environment: Environment) -> State:
    config = Config(environment=recipe.environment)
    return State(next_key(environment.id), environment=environment, config=config, notes=recipe.notes)


def _recipe(uri: str, reference: Reference) -> Recipe:
    recipe = recipe_for(reference, PYTHON_VERSION)
    if recipe is None:
        raise ValidationException(
            f"There is no image '{uri}' here. Build it from a folder with a Dockerfile: "
            f"modelwright images build DIR -t {uri} (framework images of AWS need no building: {', '.join(KNOWN)})."
        )
    return recipe


def _taggable(uri: str) -> Reference:
    reference = parse_reference(uri)
    if reference.digest is not None:
        raise ValidationException(f"'{uri}' names a content: give the image a tag (REPOSITORY:TAG).")
    return reference


def _read_text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} can't be read: {error}") from error
