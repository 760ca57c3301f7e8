"""Containers without a sandbox: for macOS and for machines that allow neither user namespaces nor root.

The container is an ordinary process in a folder of its own. `/opt/ml` is one place for the whole machine, so it is left
alone: the folder has its own, and the command, the environment and the working directory are changed to name that one
(AWS's toolkits also follow SAGEMAKER_BASE_DIR). A path written down inside a program is not changed. Inputs are
copied, sharing blocks where the file system can, so that nothing that the container does can harm a stored object; but
it can read and change whatever the user who runs the server can.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

from modelwright.config import Settings
from modelwright.runtimes.base import ContainerSpec
from modelwright.runtimes.contents import PATH, base_environment, own_environment
from modelwright.runtimes.layout import copy_tree
from modelwright.runtimes.processes import MARK, UNBOXED
from modelwright.runtimes.sandbox import INIT


def prepare(spec: ContainerSpec, folder: Path, settings: Settings) -> list[str]:
    """Write what the container needs into its folder. Returns the command, for `shim.sh`."""
    tree = folder / "root"
    (tree / "opt" / "ml").mkdir(parents=True)
    for name in ("tmp", "home"):
        (folder / name).mkdir()
    pip_cache = settings.cache / "pip"
    pip_cache.mkdir(parents=True, exist_ok=True)
    if spec.image.root is not None:
        copy_tree(spec.image.root, tree)
    for mount in sorted(spec.mounts, key=lambda mount: mount.target.count("/")):
        target = Path(f"{tree}/{mount.target}")
        target.parent.mkdir(parents=True, exist_ok=True)
        mount.source.stat()
        if mount.mode == "rw":
            if target.is_dir():
                target.rmdir()
            target.symlink_to(mount.source)
        else:
            copy_tree(mount.source, target)
    moved = _Moved(tree, {mount.target for mount in spec.mounts})
    own = {"TMPDIR": str(folder / "tmp"), "PIP_CACHE_DIR": str(pip_cache)}
    environment = base_environment(str(folder / "home")) | own | dict(spec.image.environment) | dict(spec.environment)
    environment = {name: moved.text(value) for name, value in environment.items()}
    environment |= {"SAGEMAKER_BASE_DIR": str(tree / "opt" / "ml"), MARK: str(folder)}
    paths = [f"{tree}{part}" for part in PATH.split(":") if Path(f"{tree}{part}").is_dir()]
    if spec.image.python is not None:
        own_environment(folder / "python", spec.image.python, spec.image.python)
        paths = [f"{folder}/python/bin", f"{spec.image.python}/bin", *paths]
    environment["PATH"] = ":".join([*paths, environment.get("PATH", os.environ.get("PATH", PATH))])
    wanted = spec.working_directory or spec.image.working_directory
    working_directory = Path(f"{tree}{wanted}")
    working_directory.mkdir(parents=True, exist_ok=True)
    (folder / UNBOXED).touch()
    with open(folder / "arguments", "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.writelines(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())
    script = '. /dev/fd/3; exec 3<&-; cd -- "$1" || exit 125; shift\n' + INIT
    argv = [moved.text(word) for word in spec.argv]
    with open(folder / "log", "a") as log:
        log.write(f"modelwright: this machine has no sandbox; the container's /opt/ml is {tree}/opt/ml\n")
    return ["/bin/sh", "-c", script, "modelwright", str(working_directory), *argv]


class _Moved:
    """Changes paths of the container into those of its tree."""

    def __init__(self, tree: Path, targets: set[str]) -> None:
        self._tree = tree
        ordered = sorted({"/opt/ml", *targets}, key=len, reverse=True)
        self._pattern = re.compile(rf"(?<![\w./-])(?:{'|'.join(map(re.escape, ordered))})(?![\w.-])")

    def text(self, text: str) -> str:
        if text.startswith("/") and ":" not in text and self._is_own(text):
            return f"{self._tree}{text}"
        return self._pattern.sub(lambda found: f"{self._tree}{found[0]}", text)

    def _is_own(self, path: str) -> bool:
        """It is in the image's tree, and this machine has nothing of that name."""
        return os.path.lexists(f"{self._tree}{path}") and not os.path.lexists(path)
