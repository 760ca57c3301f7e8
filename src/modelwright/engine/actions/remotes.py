"""Git repositories elsewhere, which a CodeStarSourceConnection action names by OWNER/NAME.

Each has a bare copy in the cache folder that a fetch brings up to date; git itself does all of it.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from modelwright.engine.actions.base import ActionFailed

SECONDS = 600
"""How long one git command may take."""
_FORMAT = "%H%x00%an%x00%ae%x00%at%x00%cn%x00%ce%x00%ct%x00%B"


class Remotes:
    """`urls` by OWNER/NAME, copies below `folder`. Safe to use from many threads."""

    def __init__(self, urls: Mapping[str, str], folder: Path) -> None:
        self._urls = dict(urls)
        self._folder = folder
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._urls

    def archive(self, name: str, branch: str, commit: str | None, target: Path) -> dict[str, Any]:
        """Write the tree of a branch's last commit, or of `commit`, as a ZIP archive; the commit as GetCommit tells it.

        Raises ActionFailed.
        """
        url = self._urls[name]
        copy = self._folder / hashlib.sha256(url.encode()).hexdigest()[:16]
        with self._guard:
            lock = self._locks.setdefault(name, threading.Lock())
        with lock:
            if not (copy / "HEAD").exists():
                copy.mkdir(parents=True, exist_ok=True)
                self._git(copy, "init", "--quiet", "--bare")
            reference = f"refs/heads/{branch}"
            self._git(copy, "fetch", "--quiet", "--force", "--end-of-options", url, f"+{reference}:{reference}")
            wanted = commit or reference
            told = self._git(copy, "log", "-1", f"--format={_FORMAT}", "--end-of-options", wanted, "--")
            self._git(copy, "archive", "--format=zip", f"--output={target}", told.partition("\0")[0])
        identity, *people, message = told.split("\0")
        author, committer = (
            {"name": people[i], "email": people[i + 1], "date": f"{people[i + 2]} +0000"} for i in (0, 3)
        )
        return {"commitId": identity, "author": author, "committer": committer, "message": message.strip()}

    def _git(self, folder: Path, *arguments: str) -> str:
        command = ["git", "-c", "protocol.ext.allow=never", "-C", str(folder), *arguments]
        environ = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1", "LC_ALL": "C"}
        try:
            done = subprocess.run(
                command, env=environ, capture_output=True, timeout=SECONDS, check=False, stdin=subprocess.DEVNULL
            )
        except FileNotFoundError:
            raise ActionFailed("git is not installed on this machine.", "SystemUnavailable") from None
        except subprocess.TimeoutExpired:
            raise ActionFailed(f"git {arguments[0]} did not end within {SECONDS} s.", "RevisionUnavailable") from None
        if done.returncode != 0:
            said = done.stderr.decode(errors="replace").strip()
            raise ActionFailed(f"git {arguments[0]} failed: {said}", "RevisionUnavailable")
        return done.stdout.decode(errors="replace")
