"""The project templates that there are: those that come with the package, and your own in the home folder.

A template is a CloudFormation template, `NAME.yml`, whose first `Description` says what it makes; Service Catalog calls
it a product. Where one of its CodeCommit repositories names a seed (`Code.S3.Key` = `SEED.zip` in the bucket
`sagemaker-servicecatalog-seedcode-REGION`), the folder `SEED` is zipped into that bucket when a project is created, so
that the template reads the same here and on AWS. An own template of a built-in's name takes its place.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from modelwright.errors import ConfigurationError, ValidationException
from modelwright.templates.problems import TemplateError
from modelwright.templates.template import parse

BUILT_IN = Path(__file__).parent
OWN_PARAMETERS = ("SageMakerProjectName", "SageMakerProjectId")
"""Filled in by CreateProject, as AWS does it."""
_SEED = re.compile(r"^[ \t]*Key:[ \t]*[\"']?([A-Za-z0-9._-]+)\.zip[\"']?[ \t]*$", re.MULTILINE)


@dataclass(frozen=True)
class Template:
    """One template. `owner` is `Modelwright` or, for your own, `this home`."""

    name: str
    owner: str
    path: Path
    seeds_folder: Path
    body: str
    description: str
    declared: Mapping[str, Mapping[str, Any]]
    """Its `Parameters`, as they are written."""

    @property
    def product_id(self) -> str:
        return "prod-" + _digest(self.name)

    @property
    def artifact_id(self) -> str:
        """Changes with the template: Service Catalog's version of the product."""
        return "pa-" + _digest(self.body)

    @property
    def parameters(self) -> Mapping[str, Mapping[str, Any]]:
        """Those that who creates a project gives."""
        return {name: rules for name, rules in self.declared.items() if name not in OWN_PARAMETERS}

    def seeds(self) -> list[str]:
        """The names of the seed folders that its repositories begin with."""
        return sorted(set(_SEED.findall(self.body)))

    def seed(self, name: str) -> bytes:
        """A seed folder as a zip: the same bytes each time. Raises ConfigurationError where there is no such folder."""
        folder = self.seeds_folder / name
        if not folder.is_dir():
            raise ConfigurationError(
                f"The project template '{self.name}' has no seed code '{name}': {folder} is missing."
            )
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in sorted(folder.rglob("*")):
                if file.is_file() and "__pycache__" not in file.parts:
                    entry = zipfile.ZipInfo(file.relative_to(folder).as_posix(), (1980, 1, 1, 0, 0, 0))
                    entry.external_attr = (0o100755 if file.stat().st_mode & 0o100 else 0o100644) << 16
                    entry.compress_type = zipfile.ZIP_DEFLATED
                    archive.writestr(entry, file.read_bytes())
        return target.getvalue()


class Catalog:
    """All templates. The home's folder is read each time: a template that was just put there is there."""

    def __init__(self, own: Path) -> None:
        """`own` holds your templates: `NAME.yml`, and `seeds/SEED/`. It need not exist."""
        self._own = own

    def templates(self) -> list[Template]:
        """By name. A file that is no template is left out; `find` says what is wrong with it."""
        found = {
            template.name: template for template in _readable(BUILT_IN / "templates", BUILT_IN / "seeds", "Modelwright")
        }
        found |= {template.name: template for template in _readable(self._own, self._own / "seeds", "this home")}
        return [found[name] for name in sorted(found)]

    def problems(self) -> list[str]:
        """What is wrong with those of your own files that are no templates."""
        found = []
        for path in sorted(self._own.glob("*.yml")):
            try:
                read(path, self._own / "seeds", "this home")
            except ValidationException as error:
                found.append(error.message)
        return found

    def find(self, name_or_id: str) -> Template:
        """By name or product id. Raises ValidationException naming those that there are."""
        templates = self.templates()
        for template in templates:
            if name_or_id in (template.name, template.product_id):
                return template
        broken = self._own / f"{name_or_id}.yml"
        if broken.is_file():
            read(broken, self._own / "seeds", "this home")
        names = ", ".join(f"{template.name} ({template.product_id})" for template in templates)
        raise ValidationException(f"There is no project template '{name_or_id}'. There are: {names}.")


def read(path: Path, seeds: Path, owner: str) -> Template:
    """Raises ValidationException when the file is no CloudFormation template."""
    try:
        body = path.read_text()
    except (OSError, ValueError) as error:
        raise ValidationException(f"The project template {path.name} can't be read: {error}") from error
    description, declared = _parsed(path.name, body)
    return Template(path.stem, owner, path, seeds, body, description, declared)


@lru_cache(maxsize=64)
def _parsed(name: str, body: str) -> tuple[str, Mapping[str, Mapping[str, Any]]]:
    """Description and parameters. A template that no stack could be made of is none; it is looked at once."""
    try:
        content = yaml.load(body, _Loader)  # noqa: S506  # a SafeLoader: it makes nothing but plain values
        if not isinstance(content, dict) or not isinstance(content.get("Resources"), dict):
            raise ValidationException(
                f"The project template {name} is no CloudFormation template: it has no Resources."
            )
        parse(body)
    except (ValueError, yaml.YAMLError) as error:
        raise ValidationException(f"The project template {name} can't be read: {error}") from error
    except TemplateError as error:
        raise ValidationException(f"The project template {name} can't be made into a stack: {error.message}") from error
    return str(content.get("Description") or "").strip(), content.get("Parameters") or {}


def _readable(folder: Path, seeds: Path, owner: str) -> Iterator[Template]:
    for path in sorted(folder.glob("*.yml")):
        try:
            yield read(path, seeds, owner)
        except ValidationException:
            continue


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:13]


class _Loader(yaml.SafeLoader):
    """Plain YAML; of CloudFormation's short forms (`!Ref`, ...) only the argument is kept: nothing here needs more."""


def _argument(loader: yaml.SafeLoader, _: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return loader.construct_scalar(node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    assert isinstance(node, yaml.MappingNode)
    return loader.construct_mapping(node, deep=True)


_Loader.add_multi_constructor("!", _argument)
