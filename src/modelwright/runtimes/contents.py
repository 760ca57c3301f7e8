"""What a sandboxed container is made of: layout, environment and command, from its spec.

Besides the image's tree and the spec's mounts it has a home and a /tmp of its own on disk, pip's cache shared with the
other containers, and its own changeable copy of the image's Python environment: what `pip install` changes in there,
this container alone sees.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from modelwright.config import Settings
from modelwright.runtimes.base import ContainerSpec, Image
from modelwright.runtimes.layout import Layout

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

SECRETS = (
    "/etc/shadow",
    "/etc/shadow-",
    "/etc/gshadow",
    "/etc/gshadow-",
    "/etc/ssh",
    "/etc/ssl/private",
    "/etc/sudoers",
)
"""What only root may read in the folders that a container sees: hidden where the server (and a container) is root."""

PIP_CACHE = "/var/cache/modelwright/pip"

PYTHON = "/var/lib/modelwright/python"
"""The container's own Python environment, where the image's can't be made changeable by an overlay."""


@dataclass(frozen=True)
class Contents:
    """A container that is ready to be put into a sandbox."""

    layout: Layout
    argv: tuple[str, ...]
    environment: dict[str, str]
    working_directory: str


def prepare(spec: ContainerSpec, folder: Path, settings: Settings, *, overlay: bool) -> Contents:
    """Write what the container needs into its folder. Raises FileNotFoundError for a source that isn't there."""
    home = home_directory()
    layout = Layout(folder)
    layout.system()
    layout.hide(str(settings.home))
    for secret in SECRETS if os.geteuid() == 0 else ():
        layout.hide(secret)
    for name, target in (("tmp", "/tmp"), ("home", home), ("ml", "/opt/ml")):  # noqa: S108
        (folder / name).mkdir(exist_ok=True)
        layout.bind(folder / name, target, writable=True)
    (folder / "tmp").chmod(0o1777)
    pip_cache = settings.cache / "pip"
    pip_cache.mkdir(parents=True, exist_ok=True)
    layout.bind(pip_cache, PIP_CACHE, writable=True)
    environment = base_environment(home) | dict(spec.image.environment) | dict(spec.environment)
    paths = _python(layout, spec.image, environment, overlay=overlay)
    environment["PATH"] = ":".join([*paths, environment.get("PATH", PATH)])
    for path in (*spec.image.visible, *_pip_files(environment)):
        if not layout.exists(str(path)):
            layout.bind(path, str(path))
    if spec.image.root is not None:
        layout.lay(spec.image.root)
    for mount in sorted(spec.mounts, key=lambda mount: mount.target.count("/")):
        if mount.mode == "cow":
            layout.copy_on_write(mount.source, mount.target)
        else:
            layout.bind(mount.source, mount.target, writable=mount.mode == "rw")
    working_directory = spec.working_directory or spec.image.working_directory
    if not layout.exists(working_directory):
        (folder / "workspace").mkdir()
        layout.bind(folder / "workspace", working_directory, writable=True)
    if not overlay:
        layout.copy_now()
    return Contents(layout, spec.argv, environment, working_directory)


def home_directory() -> str:
    """The user's home, where a container has one of its own."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_dir
    except KeyError:
        return "/root"


def base_environment(home: str) -> dict[str, str]:
    """What every container has unless its image or its spec says otherwise. This machine's settings for pip count."""
    pip = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
    return {"LANG": "C.UTF-8", "PYTHONUNBUFFERED": "1"} | pip | {"HOME": home, "PIP_CACHE_DIR": PIP_CACHE}


def interpreter_folders(python: Path) -> Iterator[Path]:
    """The installations that a virtual environment takes its interpreter from, as far as they aren't in /usr."""
    homes = [Path(os.path.realpath(python / "bin" / "python")).parent]
    try:
        for line in (python / "pyvenv.cfg").read_text().splitlines():
            key, _, value = line.partition("=")
            if key.strip() == "home":
                homes.append(Path(value.strip()))
    except FileNotFoundError:
        pass
    for home in dict.fromkeys(homes):
        if home.name == "bin" and home.parent not in (Path("/usr"), Path("/")) and home.is_dir():
            yield home.parent


def own_environment(folder: Path, python: Path, seen_at: Path) -> None:
    """A virtual environment in `folder` on top of the one at `python`, which the container sees at `seen_at`.

    pip there takes the packages of the one below as installed, and puts what it installs on top of them.
    """
    library = next((python / "lib").glob("python3.*"))
    packages = folder / "lib" / library.name / "site-packages"
    packages.mkdir(parents=True)
    below = seen_at / "lib" / library.name / "site-packages"
    (packages / "_image.pth").write_text(f"import site; site.addsitedir({str(below)!r})\n")
    (folder / "pyvenv.cfg").write_text((python / "pyvenv.cfg").read_text())
    (folder / "bin").mkdir()
    for name in ("python", "python3", library.name):
        (folder / "bin" / name).symlink_to(os.path.realpath(python / "bin" / "python"))
    for name in ("pip", "pip3"):
        (folder / "bin" / name).write_text('#!/bin/sh\nexec "${0%/*}/python" -m pip "$@"\n')
        (folder / "bin" / name).chmod(0o755)


def _python(layout: Layout, image: Image, environment: dict[str, str], *, overlay: bool) -> list[str]:
    """Make the image's Python environment changeable. Returns what comes first on the path."""
    for python in filter(None, (image.python, *image.visible)):
        if (python / "pyvenv.cfg").exists():
            for installation in interpreter_folders(python):
                layout.bind(installation, str(installation))
    if image.python is None:
        return []
    if overlay:
        layout.copy_on_write(image.python, str(image.python))
        return [f"{image.python}/bin"]
    layout.bind(image.python, str(image.python))
    own_environment(layout.job / "python", image.python, image.python)
    layout.bind(layout.job / "python", PYTHON, writable=True)
    # For the image's own commands, whose first line names the image's interpreter.
    packages = next((layout.job / "python" / "lib").glob("python3.*")).name
    search = [f"{PYTHON}/lib/{packages}/site-packages", environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = ":".join(filter(None, search))
    return [f"{PYTHON}/bin", f"{image.python}/bin"]


def _pip_files(environment: dict[str, str]) -> Iterator[Path]:
    """This machine's files that pip's settings name, and the user's pip configuration."""
    for name, value in environment.items():
        if name.startswith("PIP_") and name != "PIP_CACHE_DIR":
            yield from (Path(word) for word in value.split() if word.startswith("/") and os.path.exists(word))
    for name in (".config/pip/pip.conf", ".pip/pip.conf"):
        configured = Path(home_directory(), name)
        if configured.is_file():
            yield configured
