"""git as a user's: in a folder, with nobody's configuration."""

import os
import subprocess

WHO = {
    "GIT_AUTHOR_NAME": "Ann",
    "GIT_AUTHOR_EMAIL": "ann@x",
    "GIT_COMMITTER_NAME": "Ann",
    "GIT_COMMITTER_EMAIL": "ann@x",
}


class Failed(Exception):
    """git ended with an error."""


def git(*arguments, cwd=None, env=None):
    """What it says on both outputs. Raises Failed."""
    environ = {**(env or os.environ), **WHO, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "GIT_CONFIG_NOSYSTEM": "1"}
    done = subprocess.run(["git", *arguments], cwd=cwd, env=environ, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Failed(done.stderr)
    return done.stdout + done.stderr


def commit(folder, message="change", env=None, **files):
    """Write files into a clone (`__` is a folder, the last `_` a dot), commit; the commit's id."""
    for name, content in files.items():
        path = folder / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    git("add", "-A", cwd=folder, env=env)
    git("commit", "-q", "-m", message, cwd=folder, env=env)
    return git("rev-parse", "HEAD", cwd=folder, env=env).strip()
