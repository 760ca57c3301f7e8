"""What a build step makes out of another: the image so far. And the configuration that an image carries."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from modelwright.images.environments import Environment
from modelwright.images.trees import Tree

DEFAULT_SHELL = ("/bin/sh", "-c")


@dataclass(frozen=True)
class Config:
    """The part of an image's configuration that is honoured here."""

    environment: Mapping[str, str] = field(default_factory=dict)
    entrypoint: tuple[str, ...] | None = None
    command: tuple[str, ...] | None = None
    working_directory: str = "/"
    user: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    exposed: tuple[str, ...] = ()
    shell: tuple[str, ...] = DEFAULT_SHELL

    @classmethod
    def load(cls, stored: Mapping[str, Any]) -> Config:
        lists = {name: tuple(stored[name]) for name in ("entrypoint", "command") if stored.get(name) is not None}
        return cls(**{**stored, **lists, "exposed": tuple(stored["exposed"]), "shell": tuple(stored["shell"])})

    def stored(self) -> dict[str, Any]:
        """Plain JSON; `load` reads it."""
        stored: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return stored


@dataclass(frozen=True)
class State:
    """An image, finished or not. `notes` go into the log of every job that runs it."""

    key: str
    """Stands for all that led here; equal keys made equal images."""
    tree: Tree | None = None
    environment: Environment | None = None
    config: Config = Config()
    notes: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Of the content, however it came about."""
        content = {
            "tree": self.tree.digest if self.tree else None,
            "environment": self.environment.id if self.environment else None,
            "config": self.config.stored(),
        }
        return f"sha256:{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}"


def next_key(key: str, *parts: object) -> str:
    """The key of what a step makes: of the key before and of all that the step depends on."""
    return hashlib.sha256(json.dumps([key, *parts], sort_keys=True, default=str).encode()).hexdigest()[:40]
