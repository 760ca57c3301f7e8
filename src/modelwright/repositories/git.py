"""The `git` program, run so that nothing but our arguments says what it does.

Its rule: no configuration of the user's or the machine's is read, no hook is run, and what clients name (references,
paths, commits) goes by standard input or behind a check that makes it unable to be an option. Git is a program of this
machine like tar: it is started, never linked.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from modelwright.errors import AwsError

MINIMUM = (2, 25)
INSTALL = "Install 2.25 or newer (on Debian or Ubuntu: apt install git)."

_CONFIGURATION = (
    "core.hooksPath=/dev/null",
    "core.logAllRefUpdates=always",  # who moved a reference is read from there
    "core.quotePath=false",
    "safe.directory=*",  # a home on a volume of another user's
    "receive.fsckObjects=true",
    *(
        f"receive.fsck.{what}=warn"  # old histories have them, and they hurt nobody
        for what in ("badTimezone", "missingEmail", "missingSpaceBeforeDate", "zeroPaddedFilemode")
    ),
    "receive.denyDeleteCurrent=refuse",
    "uploadpack.allowFilter=true",
    "uploadpack.allowAnySHA1InWant=true",
    "gc.pruneExpire=3.months.ago",  # a pipeline may still ask for a commit that no branch has any more
)
_DURABLE = ("core.fsync=committed,reference",)


class GitFailed(Exception):
    """Git ended with an error; the text is what it said."""


class Git:
    """How git is run. `home` is a folder without any configuration in it; `fsync` is for power losses."""

    def __init__(self, home: Path, *, fsync: bool = True) -> None:
        self._home = home
        self._options = [part for option in (*_CONFIGURATION, *(_DURABLE if fsync else ())) for part in ("-c", option)]

    def command(self, *arguments: str) -> list[str]:
        """The whole command line. Raises AwsError where this machine has no git that would do."""
        return [self._executable, *self._options, *arguments]

    def environ(self, repository: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The whole environment."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self._home),
            "XDG_CONFIG_HOME": str(self._home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_ATTR_NOSYSTEM": "1",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_LITERAL_PATHSPECS": "1",
            "GIT_DIR": str(repository),
            "LC_ALL": "C",
            "TZ": "UTC",
            **(more or {}),
        }

    def run(
        self,
        repository: Path,
        *arguments: str,
        given: bytes = b"",
        environ: Mapping[str, str] | None = None,
        keep: tuple[int, ...] = (),
    ) -> bytes:
        """What git says on its standard output. `keep` are descriptors that it holds open. Raises GitFailed."""
        done = subprocess.run(  # see the module's rule
            self.command(*arguments),
            input=given,
            capture_output=True,
            env=self.environ(repository, environ),
            cwd=self._home,
            pass_fds=keep,
            check=False,
        )
        if done.returncode != 0:
            raise GitFailed(done.stderr.decode("utf-8", "replace").strip() or f"git ended with {done.returncode}")
        return done.stdout

    @cached_property
    def _executable(self) -> str:
        said = problem()
        found = shutil.which("git")
        if said or found is None:
            raise AwsError(said, code="OperationNotAllowedException")
        return found


def problem() -> str:
    """Why this machine's git can't keep repositories; empty when it can."""
    found = shutil.which("git")
    version = installed_version(found) if found else None
    if version is None:
        return f"CodeCommit's repositories are kept by git, which this machine lacks. {INSTALL}"
    if version < MINIMUM:
        return f"CodeCommit's repositories are kept by git, which is {_dotted(version)} here: too old. {INSTALL}"
    return ""


def installed_version(executable: str) -> tuple[int, ...] | None:
    """The version of a git program, None where it doesn't say one."""
    try:
        environ = {"PATH": os.environ.get("PATH", os.defpath)}
        said = subprocess.run([executable, "version"], capture_output=True, check=False, timeout=30, env=environ)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.match(rb"git version (\d+)\.(\d+)", said.stdout)
    return (int(found[1]), int(found[2])) if found else None


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))
