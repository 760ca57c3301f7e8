"""pip in one environment: with the user's own pip configuration, a shared cache, and its lines as progress."""

from __future__ import annotations

import os
import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path

from modelwright.errors import AwsError
from modelwright.images.base import Progress

_NOT_FOR_PIP = (
    "PYTHONPATH",
    "PYTHONHOME",
    "VIRTUAL_ENV",
    "PIP_USER",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_ROOT",
    "PIP_REQUIRE_VIRTUALENV",
    "PIP_CONSTRAINT",
)
_NOISE = ("Looking in ", "WARNING: Location ", "Requirement already satisfied")
_KEPT_LINES = 15


def pip_variables(cache: Path) -> dict[str, str]:
    """What makes pip quiet, unattended and cached."""
    return {
        "PIP_CACHE_DIR": str(cache),
        "PIP_COMPILE": "0",  # a child environment is compiled as a whole when it is finished
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
        "PIP_NO_WARN_SCRIPT_LOCATION": "1",
        "PIP_PROGRESS_BAR": "off",
        "PIP_ROOT_USER_ACTION": "ignore",
    }


def build_failed(message: str) -> AwsError:
    """The error for an image that can't be made."""
    return AwsError(message, code="ImageBuildFailed")


class Pip:
    """Runs pip inside the environment at `path`; its configuration files and PIP_* variables are the user's."""

    def __init__(self, path: Path, cache: Path, progress: Progress, lock: int | None = None) -> None:
        self._path = path
        self._inherit = () if lock is None else (lock,)
        self._cache = cache
        self._progress = progress

    def install(
        self,
        arguments: Sequence[str],
        *,
        constraints: Path | None = None,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`pip install ARGUMENTS`. Raises AwsError (ImageBuildFailed) with the last lines that pip printed."""
        extra = ["--constraint", str(constraints)] if constraints is not None else []
        self.run(["install", *arguments, *extra], folder=folder, environment=environment)

    def run(
        self,
        arguments: Sequence[str],
        *,
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`pip ARGUMENTS`, its lines told to `progress`."""
        command = [str(self._path / "bin" / "python"), "-m", "pip", *arguments]
        variables = {key: value for key, value in os.environ.items() if key not in _NOT_FOR_PIP}
        variables |= dict(environment or {})
        variables |= {
            **pip_variables(self._cache),
            "PYTHONNOUSERSITE": "1",
            "PATH": f"{self._path / 'bin'}{os.pathsep}{variables.get('PATH', os.defpath)}",
        }
        last = run_streaming(command, self._tell, folder=folder, environment=variables, inherit=self._inherit)
        if last is not None:
            raise build_failed(f"pip {' '.join(arguments)} failed:\n{last}")

    def _tell(self, line: str) -> None:
        if not line.startswith(_NOISE):
            self._progress(line)


def run_streaming(
    command: Sequence[str],
    progress: Progress,
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
    inherit: Sequence[int] = (),
) -> str | None:
    """Run a command, a line of its output at a time to `progress`; None when it succeeded, else its last lines.

    The command dies with its caller's thread of control: an exception (Ctrl-C) kills it before it goes on.
    """
    kept: deque[str] = deque(maxlen=_KEPT_LINES)
    with subprocess.Popen(
        list(command),
        cwd=folder,
        env=dict(environment) if environment is not None else None,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        pass_fds=inherit,
    ) as process:
        try:
            for line in process.stdout or ():
                kept.append(line.rstrip())
                progress(line.rstrip())
        except BaseException:
            process.kill()
            raise
    if process.returncode == 0:
        return None
    return "\n".join([*kept, f"(exit code {process.returncode})"])
