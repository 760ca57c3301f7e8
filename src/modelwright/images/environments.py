"""Virtual environments by content: made once, layered, never changed afterwards.

An environment's id is a hash of its parent's id and of what was put in (pip arguments, files): asking for the same
again finds it at once. A child sees its parent's packages through one `.pth` file, so that torch lies on the disk once
however many images have it; pip in the child takes the parent's packages as installed and puts newer ones in the child.

A virtual environment holds absolute paths, so it is built in its final folder, under a lock; `environment.json` is
written last and says that it is whole. What a killed build left behind is removed by the next one.

What goes into an environment is not decided here (frameworks.py, build.py).
"""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from modelwright.errors import ConfigurationError
from modelwright.images.base import Progress
from modelwright.images.locks import locked, write_atomically
from modelwright.images.pip import Pip

_FORMAT = "2"
_MARKER = "environment.json"
_CONSTRAINTS = "constraints.txt"
_MANY_MODULES = 200
_PARENT_FILE = "_modelwright_parent.pth"
PYTHON_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
"""The only Python that environments have: Modelwright's own."""


@dataclass(frozen=True)
class Environment:
    """A finished environment. `parents`: the folders that it is layered on, the nearest first."""

    id: str
    path: Path
    parents: tuple[Path, ...] = ()

    @property
    def site_packages(self) -> Path:
        return site_packages(self.path)

    @property
    def constraints(self) -> Path:
        """What every pip install over this environment is constrained to, by the next layer and inside jobs."""
        return self.path / _CONSTRAINTS

    def version_of(self, package: str) -> str | None:
        """The version of a package that is installed in it or below, without its local part (`+cpu`)."""
        for path in (self.path, *self.parents):
            for found in site_packages(path).glob(f"{package}-*.dist-info"):
                return found.name.removeprefix(f"{package}-").removesuffix(".dist-info").partition("+")[0]
        return None


class Environments:
    """The environments of one home folder. Safe for several threads and processes at once."""

    def __init__(self, folder: Path, pip_cache: Path, held: Mapping[str, str] | None = None) -> None:
        """`held`: packages that a pip install must not move, with the version to take where there is none yet."""
        self._folder = folder
        self._pip_cache = pip_cache
        self._held = dict(held or {})

    def seed_id(self) -> str:
        """The environment with nothing but pip in it: the ground of all others."""
        interpreter = f"{base_interpreter()} {PYTHON_VERSION} {platform.machine()}"
        return _hash(_FORMAT, "seed", interpreter, json.dumps(self._held, sort_keys=True))

    def child_id(self, parent: str, *ingredients: str) -> str:
        """The id of an environment that lays `ingredients` (text that stands for them) over `parent`. Pure."""
        return _hash(_FORMAT, parent, *ingredients)

    def find(self, identity: str) -> Environment | None:
        """The environment, if it has been finished, its interpreter is still there and it has not been moved."""
        path = self._folder / identity
        try:
            marker = json.loads((path / _MARKER).read_text())
        except (FileNotFoundError, NotADirectoryError):
            return None
        if marker.get("path") != str(path) or not (path / "bin" / "python").exists():
            return None
        return Environment(identity, path, tuple(self._folder / parent for parent in marker["parents"]))

    def seed(self, progress: Progress) -> Environment:
        """The ground environment, made on first use (half a second)."""
        return self._make(self.seed_id(), None, lambda environment, _: _install_pip(environment.path), progress)

    def child(
        self,
        parent: Environment,
        identity: str,
        fill: Callable[[Environment, Pip], None],
        progress: Progress,
    ) -> Environment:
        """The environment `identity`; if there is none yet, an empty one over `parent` that `fill` has filled."""
        return self._make(
            identity, parent, lambda e, lock: fill(e, Pip(e.path, self._pip_cache, progress, lock)), progress
        )

    def names(self) -> list[str]:
        """Of everything that lies here, finished or not."""
        if not self._folder.is_dir():
            return []
        return [entry.name for entry in self._folder.iterdir() if entry.is_dir()]

    def remove(self, identity: str) -> None:
        """Delete it; the marker goes first, so that half an environment is never taken for a whole one."""
        (self._folder / identity / _MARKER).unlink(missing_ok=True)
        shutil.rmtree(self._folder / identity, ignore_errors=True)

    def _make(
        self,
        identity: str,
        parent: Environment | None,
        fill: Callable[[Environment, int], None],
        progress: Progress,
    ) -> Environment:
        found = self.find(identity)
        if found is not None:
            return found
        with locked(self._folder / f"{identity}.lock", lambda: progress("Waiting: it is already being built.")) as lock:
            found = self.find(identity)
            if found is not None:
                return found
            parents = () if parent is None else (parent.path, *parent.parents)
            environment = Environment(identity, self._folder / identity, parents)
            self.remove(identity)
            try:
                make_skeleton(environment.path, None if parent is None else parent.path)
                if parent is None:
                    fill(environment, lock)  # pip itself: compiled when it first runs
                else:
                    adopt_commands(environment.path, parent.path)
                    fill(environment, lock)
                    compile_modules(environment.path)
                held = {name: environment.version_of(name) or version for name, version in self._held.items()}
                environment.constraints.write_text("".join(f"{name}=={held[name]}\n" for name in held))
            except BaseException:
                self.remove(identity)
                raise
            marker = {"parents": [path.name for path in parents], "path": str(environment.path)}
            write_atomically(environment.path / _MARKER, json.dumps(marker))
            return environment


def site_packages(environment: Path) -> Path:
    """Where an environment's packages lie."""
    return environment / "lib" / f"python{PYTHON_VERSION}" / "site-packages"


def base_interpreter() -> Path:
    """The interpreter that environments point at: Modelwright's, outside any virtual environment."""
    return Path(getattr(sys, "_base_executable", "") or sys.executable).resolve()


def interpreter_folders() -> tuple[Path, ...]:
    """What must be visible for the interpreter to work, where that isn't the host's system itself."""
    base = Path(sys.base_prefix).resolve()
    return () if base.is_relative_to("/usr") or base == Path(base.anchor) else (base,)


def make_skeleton(path: Path, parent: Path | None) -> None:
    """An empty virtual environment, as `python -m venv --without-pip` makes it, only a hundred times faster."""
    base = base_interpreter()
    (path / "bin").mkdir(parents=True)
    site_packages(path).mkdir(parents=True)
    (path / "lib64").symlink_to("lib")
    (path / "bin" / "python").symlink_to(base)
    for name in ("python3", f"python{PYTHON_VERSION}"):
        (path / "bin" / name).symlink_to("python")
    (path / "pyvenv.cfg").write_text(
        f"home = {base.parent}\ninclude-system-site-packages = false\nversion = {platform.python_version()}\n"
    )
    if parent is not None:
        # addsitedir, not a bare path: the parent's own .pth files (its parent's among them) must work too.
        line = f"import site; site.addsitedir({str(site_packages(parent))!r})\n"
        (site_packages(path) / _PARENT_FILE).write_text(line)


def compile_modules(path: Path) -> None:
    """Write the bytecode, which a job can't do in a folder that it may only read; tests are left out.

    pip would do it too (we tell it not to), but with one process, and half of what it compiles are packages' tests.
    """
    modules = sum(1 for _ in site_packages(path).rglob("*.py"))
    if modules == 0:
        return
    workers = "0" if modules > _MANY_MODULES else "1"
    command = [str(path / "bin" / "python"), "-m", "compileall", "-qq", "-j", workers, "-x", r"[/\\]tests?[/\\]"]
    subprocess.run([*command, str(site_packages(path))], check=False, stdout=subprocess.DEVNULL)


def adopt_commands(path: Path, parent: Path) -> None:
    """Give an environment the commands of its parent, run by its own interpreter so that they see its packages."""
    for command in (parent / "bin").iterdir():
        own = path / "bin" / command.name
        if own.exists() or own.is_symlink() or command.is_dir():
            continue
        text = _script(command, parent)
        if text is None:
            own.symlink_to(command)
        else:
            own.write_bytes(text.replace(f"{parent}/bin/".encode(), f"{path}/bin/".encode(), 1))
            own.chmod(0o755)


def _script(command: Path, environment: Path) -> bytes | None:
    """The text of a script that the environment's Python runs; its path is in the first or (long ones) second line."""
    with command.open("rb") as file:
        head = file.readline() + file.readline()
        if head.startswith(b"#!") and f"{environment}/bin/".encode() in head:
            return head + file.read()
    return None


def _install_pip(environment: Path) -> None:
    """Unpack pip (and, where Python still ships it, setuptools) from the interpreter's own bundled wheels."""
    spec = find_spec("ensurepip")
    locations = (spec.submodule_search_locations if spec else None) or []
    folders = [Path(location) / "_bundled" for location in locations]
    folders.append(Path("/usr/share/python-wheels"))  # Debian keeps them there
    wheels = [wheel for folder in folders for wheel in sorted(folder.glob("*.whl"))]
    names = [wheel.name.split("-", 1)[0] for wheel in wheels]
    if "pip" not in names:
        raise ConfigurationError(
            f"{base_interpreter()} comes without pip's wheel, so no environment can be made. "
            f"On Debian and Ubuntu: apt-get install python3-venv."
        )
    for name in ("pip", "setuptools"):
        if name in names:
            with zipfile.ZipFile(wheels[names.index(name)]) as archive:
                archive.extractall(site_packages(environment))
    python = environment / "bin" / "python"
    for name in ("pip", "pip3", f"pip{PYTHON_VERSION}"):
        script = environment / "bin" / name
        script.write_text(f"#!{python}\nimport sys\nfrom pip._internal.cli.main import main\n\nsys.exit(main())\n")
        script.chmod(0o755)


def _hash(*parts: str) -> str:
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def digest_of_files(files: Sequence[Path]) -> str:
    """One hash of the files' names and bytes."""
    whole = hashlib.sha256()
    for file in files:
        whole.update(json.dumps([file.name, hashlib.sha256(file.read_bytes()).hexdigest()]).encode())
    return whole.hexdigest()
