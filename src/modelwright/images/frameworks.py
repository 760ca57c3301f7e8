"""AWS's framework images by repository name -> the pip requirements of an equivalent environment here. Pure.

Every requirement that decides is an exact pin. A tag asks for versions; the nearest that this Python can install is
taken: the asked one, or the lowest above it that has wheels for this Python (`_FLOORS`). When that differs, the
recipe's notes say so, for the job's log. Layers are ordered from what changes least to what changes most, so that two
frameworks (pytorch-training and pytorch-inference, say) share what they have in common.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from modelwright.errors import ValidationException
from modelwright.images.uris import Reference

_Entry = TypeVar("_Entry")

COMMON = ("boto3==1.44.5", "requests==2.32.5", "PyYAML==6.0.3", "psutil==7.1.3")
"""In every framework image; boto3 recent enough to honour AWS_ENDPOINT_URL."""

AWS_CLI = ("awscli==1.46.3",)
"""In CodeBuild's images. Its first version is the one that pip installs; it still has `aws ecr get-login`."""

NOTEBOOK = ("jupyterlab==4.6.6", "ipykernel==7.4.0", "sagemaker==2.257.7")
"""In the image of notebook instances, with the SDK that existing notebooks use."""

TORCH = "torch==2.13.0"
"""The one torch: an exact pin, because any range would fetch gigabytes of CUDA for another build of it."""

_SCIENCE = ("numpy==2.3.5", "scipy==1.16.3", "pandas==2.3.3", "scikit-learn==1.7.2", "pillow==12.0.0", "tqdm==4.67.1")

# What AWS's tags mean: framework version -> what to install with it.
_SKLEARN = {
    "0.20": {"scikit-learn": "0.20.3", "numpy": "1.16.5", "scipy": "1.2.2", "pandas": "0.25.0"},
    "0.23": {"scikit-learn": "0.23.2", "numpy": "1.19.2", "scipy": "1.5.3", "pandas": "1.1.3"},
    "1.0": {"scikit-learn": "1.0.2", "numpy": "1.19.2", "scipy": "1.5.3", "pandas": "1.1.3"},
    "1.2": {"scikit-learn": "1.2.1", "numpy": "1.24.4", "scipy": "1.10.1", "pandas": "1.5.3"},
    "1.4": {"scikit-learn": "1.4.2", "numpy": "1.26.4", "scipy": "1.12.0", "pandas": "2.2.3"},
}
_XGBOOST = {
    "0.90": "0.90",
    "1.0": "1.0.2",
    "1.2": "1.2.1",
    "1.3": "1.3.3",
    "1.5": "1.5.2",
    "1.7": "1.7.6",
    "3.0": "3.0.5",
}

# The lowest versions that have wheels for a Python, and that work with each other there.
_FLOORS = {
    "3.11": {
        "numpy": "1.24.4",
        "scipy": "1.10.1",
        "pandas": "1.5.3",
        "scikit-learn": "1.2.1",
        "xgboost": "1.7.6",
        "tensorflow-cpu": "2.12.1",
    },
    "3.12": {
        "numpy": "1.26.4",
        "scipy": "1.11.4",
        "pandas": "2.1.4",
        "scikit-learn": "1.3.2",
        "xgboost": "1.7.6",
        "tensorflow-cpu": "2.16.2",
    },
    "3.13": {
        "numpy": "2.1.3",
        "scipy": "1.14.1",
        "pandas": "2.2.3",
        "scikit-learn": "1.5.2",
        "xgboost": "2.1.4",
        "tensorflow-cpu": "2.20.0",
    },
    "3.14": {
        "numpy": "2.3.5",
        "scipy": "1.16.3",
        "pandas": "2.3.3",
        "scikit-learn": "1.7.2",
        "xgboost": "3.1.2",
    },
}

KNOWN = (
    "sagemaker-scikit-learn",
    "sagemaker-xgboost",
    "pytorch-training",
    "pytorch-inference",
    "huggingface-pytorch-training",
    "huggingface-pytorch-inference",
    "tensorflow-training",
    "sagemaker-base-python-310",
    "aws/codebuild/standard",
    "aws/codebuild/amazonlinux-x86_64-standard",
    "aws/sagemaker/notebook",
)
"""Repository names that resolve (sagemaker-base-python-* with any version)."""


@dataclass(frozen=True)
class Recipe:
    """An environment for a framework image. `layers`: pip requirements, the lowest layer first."""

    title: str
    framework: str
    layers: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)


def recipe_for(reference: Reference, python: str) -> Recipe | None:
    """The recipe of an AWS framework image for Python `python` ("3.11"); None when it is no such image.

    Raises ValidationException for a framework that has no build for this Python.
    """
    name = reference.name
    if re.fullmatch(r"aws/codebuild/(standard|amazonlinux[a-z0-9_-]*-standard)", reference.repository):
        recipe = Recipe(f"CodeBuild's {name}", "codebuild", (COMMON, AWS_CLI))
    elif reference.repository == "aws/sagemaker/notebook":
        recipe = Recipe("JupyterLab", "notebook", (COMMON, AWS_CLI, NOTEBOOK))
    elif name in ("sagemaker-scikit-learn", "sagemaker-xgboost"):
        recipe = _scikit_learn(reference, python) if name == "sagemaker-scikit-learn" else _xgboost(reference, python)
    elif not reference.ecr:
        # These names are common words: without AWS's registry in front they are somebody's own image.
        return None
    elif name in ("pytorch-training", "pytorch-inference"):
        recipe = _pytorch(reference)
    elif name in ("huggingface-pytorch-training", "huggingface-pytorch-inference"):
        recipe = _huggingface(reference)
    elif name == "tensorflow-training":
        recipe = _tensorflow(reference, python)
    elif name.startswith("sagemaker-base-python"):
        recipe = Recipe("Python", "python", (COMMON,))
    else:
        return None
    notes = (*recipe.notes, *_python_note(reference, python))
    environment = {"PYTHONUNBUFFERED": "1", "LANG": "C.UTF-8", "MODELWRIGHT_FRAMEWORK": recipe.framework}
    return Recipe(f"{recipe.title} (Python {python})", recipe.framework, recipe.layers, notes, environment)


def _scikit_learn(reference: Reference, python: str) -> Recipe:
    asked = _asked_version(reference)
    wanted = _entry(_SKLEARN, asked)
    pins = {name: _nearest(name, version, python) for name, version in wanted.items()}
    version = pins["scikit-learn"]
    notes = _version_note("scikit-learn", asked or "latest", version, same=version == wanted["scikit-learn"])
    layers = (COMMON, tuple(f"{name}=={pin}" for name, pin in pins.items()))
    return Recipe(f"scikit-learn {version}", "sklearn", layers, notes)


def _xgboost(reference: Reference, python: str) -> Recipe:
    asked = _asked_version(reference)
    wanted = _entry(_XGBOOST, asked)
    version = _nearest("xgboost", wanted, python)
    # From 2.1.1 on there is a build without CUDA, a fiftieth of the size.
    package = "xgboost-cpu" if _key(version) >= (2, 1, 1) else "xgboost"
    base = {name: _nearest(name, pin, python) for name, pin in _SKLEARN["1.2"].items()}
    layers = (COMMON, tuple(f"{name}=={pin}" for name, pin in base.items()), (f"{package}=={version}",))
    notes = _version_note("xgboost", asked or "latest", version, same=version == wanted)
    return Recipe(f"XGBoost {version}", "xgboost", layers, notes)


def _pytorch(reference: Reference) -> Recipe:
    version = TORCH.partition("==")[2]
    asked = _asked_version(reference)
    notes = _version_note("PyTorch", asked or "latest", version, same=asked == version)
    return Recipe(f"PyTorch {version}", "pytorch", (COMMON, (TORCH,), _SCIENCE), notes)


def _huggingface(reference: Reference) -> Recipe:
    below = _pytorch(reference)
    pins = ("transformers==4.57.3", "datasets==4.4.1", "accelerate==1.12.0")
    version = pins[0].partition("==")[2]
    found = re.search(r"transformers(\d[\d.]*\d)", reference.tag)
    asked = found[1] if found else "latest"
    notes = (*below.notes, *_version_note("transformers", asked, version, same=asked == version))
    return Recipe(f"Transformers {version}", "huggingface", (*below.layers, pins), notes)


def _tensorflow(reference: Reference, python: str) -> Recipe:
    asked = _asked_version(reference)
    wanted = asked if asked and asked.count(".") == 2 else f"{asked or '2.19'}.0"
    if "tensorflow-cpu" not in _FLOORS.get(python, {}):
        raise ValidationException(
            f"TensorFlow has no build for Python {python}, so {reference} can't be made here. Use the container "
            "runtime, or install Modelwright with Python 3.11, 3.12 or 3.13."
        )
    version = _nearest("tensorflow-cpu", wanted, python)
    notes = _version_note("TensorFlow", wanted, version, same=version == wanted)
    return Recipe(f"TensorFlow {version}", "tensorflow", (COMMON, (f"tensorflow-cpu=={version}",)), notes)


def _asked_version(reference: Reference) -> str | None:
    """`1.2` of `1.2-1-cpu-py3`, `2.1.0` of `2.1.0-cpu-py310-ubuntu20.04-sagemaker`."""
    found = re.match(r"(\d+(?:\.\d+)*)(?:[-_+]|$)", reference.tag)
    return found[1] if found else None


def _entry(table: Mapping[str, _Entry], asked: str | None) -> _Entry:
    """What a tag's version means: that entry, else the next one above it, else the highest."""
    if asked is None:
        return table[max(table, key=_key)]
    above = [version for version in table if _key(version) >= _key(asked)[:2]]
    return table[min(above, key=_key)] if above else table[max(table, key=_key)]


def _nearest(package: str, wanted: str, python: str) -> str:
    floors = _FLOORS.get(python) or _FLOORS[max(_FLOORS, key=_key)]
    return max(wanted, floors[package], key=_key)


def _version_note(what: str, asked: str, taken: str, *, same: bool) -> tuple[str, ...]:
    if same or asked == "latest":
        return ()
    return (f"{what} {asked} was asked for; {taken} is the nearest that can be installed here.",)


def _python_note(reference: Reference, python: str) -> tuple[str, ...]:
    found = re.search(r"py(\d)(\d+)\b", f"{reference.name.replace('-python-', '-py')}-{reference.tag}")
    if found is None or f"{found[1]}.{found[2]}" == python:
        return ()
    return (f"Python {found[1]}.{found[2]} was asked for; this environment has Python {python}.",)


def _key(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))
