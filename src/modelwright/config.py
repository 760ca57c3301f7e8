"""Settings: one frozen dataclass, from the home folder's `config.toml`, the environment and the command line.

A setting `x` is `x = ...` in the file and `MODELWRIGHT_X` in the environment; the command line wins over the
environment, the environment over the file. The home folder's layout is here too, so that nobody else spells a path.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from modelwright.errors import ConfigurationError

DEFAULT_PORT = 7070


@dataclass(frozen=True)
class Settings:
    """All that can be set. Paths below `home` are properties."""

    home: Path
    """Where everything is kept: metadata, objects, jobs, images, keys."""
    host: str = "127.0.0.1"
    """Address to listen on; the CONNECT proxy works only on a loopback address."""
    port: int = DEFAULT_PORT
    """Port to listen on; 0 takes a free one."""
    account: str = "111122223333"
    """The twelve-digit AWS account id that ARNs carry."""
    region: str = "us-east-1"
    """The region that `modelwright env` sets where the client has none of its own."""
    database: str = ""
    """SQLAlchemy URL of the metadata; empty: SQLite in the home folder."""
    fsync: bool = True
    """Whether an acknowledged S3 write must survive a power loss (it survives kill -9 either way)."""
    sandbox: str = "auto"
    """How the process runtime isolates a job: auto, bubblewrap, unshare or none."""
    cpus: float = 0
    """vCPUs that jobs may use together; 0: all that this machine has."""
    memory: float = 0
    """GiB of memory that jobs may use together; 0: all that this machine has."""
    connections: str = ""
    """Git repositories that a CodeStarSourceConnection action may name: OWNER/NAME=URL, separated by blanks."""

    @classmethod
    def load(cls, overrides: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None) -> Settings:
        """Merge file, environment and `overrides` (None values are no override).

        Raises ConfigurationError naming the setting, where it came from and what it may be.
        """
        environ = os.environ if environ is None else environ
        given = {key: value for key, value in (overrides or {}).items() if value is not None}
        home = Path(given.pop("home", None) or environ.get("MODELWRIGHT_HOME") or Path.home() / ".modelwright")
        home = home.expanduser().absolute()
        values: dict[str, Any] = {}
        for source, raw in (
            (str(home / "config.toml"), _read_file(home / "config.toml")),
            ("the environment", _read_environment(environ)),
            ("the command line", given),
        ):
            values.update({name: _convert(name, value, source) for name, value in raw.items()})
        settings = cls(home=home, **values)
        settings._check()
        return settings

    def _check(self) -> None:
        if not re.fullmatch(r"\d{12}", self.account):
            raise ConfigurationError(f"account = '{self.account}': an AWS account id has twelve digits.")
        if not 0 <= self.port <= 65535:
            raise ConfigurationError(f"port = {self.port}: must be between 0 (a free one) and 65535.")
        if self.sandbox not in ("auto", "bubblewrap", "unshare", "none"):
            raise ConfigurationError(f"sandbox = '{self.sandbox}': must be auto, bubblewrap, unshare or none.")
        if self.cpus < 0 or self.memory < 0:
            raise ConfigurationError("cpus and memory must not be negative (0: all that this machine has).")
        for entry in self.connections.split():
            name, _, url = entry.partition("=")
            if not url or not re.fullmatch(r"[^/\s]+(/[^/\s]+)+", name):
                raise ConfigurationError(f"connections: '{entry}' must be OWNER/NAME=URL.")

    @property
    def remotes(self) -> dict[str, str]:
        """`connections`: URLs by OWNER/NAME."""
        return {name: url for name, _, url in (entry.partition("=") for entry in self.connections.split())}

    @property
    def database_url(self) -> str:
        return self.database or f"sqlite:///{self.home / 'modelwright.db'}"

    @property
    def objects(self) -> Path:
        return self.home / "objects"

    @property
    def repositories(self) -> Path:
        """CodeCommit's git repositories."""
        return self.home / "repositories"

    @property
    def notebook_host(self) -> str:
        """Where notebooks listen: the server's own address, where it has just one."""
        return "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104

    @property
    def notebooks(self) -> Path:
        """The notebook instances' folders, which stay when they are stopped."""
        return self.home / "notebooks"

    @property
    def project_templates(self) -> Path:
        """Your own project templates: `NAME.yml` and `seeds/`."""
        return self.home / "project-templates"

    @property
    def jobs(self) -> Path:
        return self.home / "jobs"

    @property
    def images(self) -> Path:
        return self.home / "images"

    @property
    def cache(self) -> Path:
        return self.home / "cache"

    @property
    def authority(self) -> Path:
        """The folder of the certificate authority."""
        return self.home / "ca"

    @property
    def credentials(self) -> Path:
        return self.home / "credentials.json"

    @property
    def server_file(self) -> Path:
        """Where a running server says how to reach it."""
        return self.home / "server.json"

    @property
    def server_lock(self) -> Path:
        """Locked as long as a server runs on this home."""
        return self.home / "server.lock"

    @property
    def server_log(self) -> Path:
        return self.home / "server.log"


def _read_file(path: Path) -> dict[str, Any]:
    try:
        values = tomllib.loads(path.read_text())
    except FileNotFoundError:
        return {}
    except NotADirectoryError as error:
        raise ConfigurationError(
            f"The home folder {path.parent} can't be used: it is, or lies in, a file. "
            "Choose another with --home DIR or MODELWRIGHT_HOME."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ConfigurationError(f"{path} can't be read: {error}") from error
    names = _names()
    for name in values:
        if name not in names:
            raise ConfigurationError(f"{path}: unknown setting '{name}'. Known: {', '.join(sorted(names))}.")
    return values


def _read_environment(environ: Mapping[str, str]) -> dict[str, str]:
    return {name: environ[key] for name in _names() if (key := f"MODELWRIGHT_{name.upper()}") in environ}


def _names() -> set[str]:
    return {field.name for field in fields(Settings)} - {"home"}


def _convert(name: str, value: Any, source: str) -> Any:
    kind = {field.name: field.type for field in fields(Settings)}[name]
    try:
        if kind == "bool" and isinstance(value, str):
            return {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}[value.lower()]
        if kind == "bool" and isinstance(value, bool):
            return value
        if kind == "int" and not isinstance(value, bool):
            return int(value)
        if kind == "float" and not isinstance(value, bool):
            return float(value)
        if kind == "str" and isinstance(value, str | int) and not isinstance(value, bool):
            return str(value)
    except (KeyError, ValueError, TypeError):
        pass
    wanted = {"int": "a whole number", "float": "a number", "bool": "true or false", "str": "a text"}[str(kind)]
    raise ConfigurationError(f"{name} = {value!r} (from {source}): must be {wanted}.")
