"""How a container is closed off: by the kernel's namespaces (`unshare`), by bubblewrap, or not at all.

What a sandbox needs is tried once, really, in the way that a job will use it; `doctor` shows the same answers. Each
kind gets a layout as files in the job's folder: the launcher's plan, or bubblewrap's arguments. Either way the
container ends when its main process ends, with that one's exit code, and takes all its other processes along.
"""

from __future__ import annotations

import fcntl
import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from modelwright.errors import ConfigurationError
from modelwright.runtimes.launcher import COVERED
from modelwright.runtimes.launching import launch
from modelwright.runtimes.layout import Copy, Layout
from modelwright.runtimes.processes import MARK

Kind = Literal["unshare", "bubblewrap", "none"]

KINDS: tuple[Literal["unshare", "bubblewrap"], ...] = ("unshare", "bubblewrap")
"""Best first: with the same isolation, the launcher's direct system calls take a fifth of bubblewrap's time. bubblewrap
works in places where they don't: where only its own binary may make namespaces (set-uid, or by an AppArmor profile)."""

INIT = """\
case $1 in
*/*) [ -e "$1" ] || { echo "modelwright: $1: there is no such file in the container" >&2; exit 127; }
     [ -f "$1" ] && [ -x "$1" ] || { echo "modelwright: $1: is not an executable file" >&2; exit 126; } ;;
*) command -v -- "$1" >/dev/null || { echo "modelwright: $1: command not found; PATH is $PATH" >&2; exit 127; } ;;
esac
(exec "$@")
exit $?
"""
"""The container's first process: starts the main one, collects orphans, and ends all of them by ending itself."""

CAPABILITIES = ("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID")
"""What root may do in a container: what unpacking archives and switching users needs, as with Docker."""


@dataclass(frozen=True)
class Sandbox:
    """What this machine can do."""

    kind: Kind
    overlay: bool = False
    """Copy-on-write folders are overlays (they cost nothing); else they are copied."""
    user_namespace: bool = False
    """Mounting needs a user namespace: this is not root."""
    problems: tuple[str, ...] = ()
    """Why it isn't better."""


@functools.cache
def choose(setting: str) -> Sandbox:
    """The best sandbox that works here, or the one that is asked for. Raises ConfigurationError when that doesn't."""
    problems: list[str] = []
    for kind in KINDS:
        if setting in ("auto", kind):
            sandbox, problem = probe(kind)
            if sandbox is not None:
                return replace(sandbox, problems=(*problems, *sandbox.problems))
            problems.append(problem)
    if setting in ("auto", "none"):
        return Sandbox("none", problems=tuple(problems))
    raise ConfigurationError(f"sandbox = '{setting}' does not work on this machine: {problems[0]}")


@functools.cache
def probe(kind: Literal["unshare", "bubblewrap"]) -> tuple[Sandbox | None, str]:
    """Whether such a sandbox works here, and what is wrong when it doesn't."""
    if not sys.platform.startswith("linux"):
        return None, f"{kind}: needs Linux"
    missing = [tool for tool in ("bwrap", "mount", "unshare") if shutil.which(tool) is None]
    if kind == "bubblewrap" and missing:
        return None, f"{kind}: {', '.join(missing)} not found"
    problem = ""
    for overlay in (True, False):
        candidate = Sandbox(kind, overlay, os.geteuid() != 0, (f"overlays: {problem}",) if problem else ())
        problem = _try(candidate)
        if not problem:
            return candidate, ""
    return None, f"{kind}: {problem}"


@functools.cache
def network_problem(setting: str) -> str:
    """Why a container can't have a network of its own here, reached from outside; empty when it can."""
    found = choose(setting)
    if found.kind != "unshare":
        return "; ".join(found.problems) or f"sandbox = '{setting}' has no networks of its own"
    problem = _try(found, network={"door": True, "gate": None})
    return f"networks: {problem}" if problem else ""


def plan(
    sandbox: Sandbox,
    layout: Layout,
    argv: Sequence[str],
    environment: Mapping[str, str],
    working_directory: str,
    *,
    cgroups: Sequence[Path] = (),
    cpus: Collection[int] = (),
    data_limit: int | None = None,
    network: Mapping[str, Any] | None = None,
) -> None:
    """Write what the launcher reads: kind `unshare`. `network` is of its own, with a `door` and perhaps a `gate`."""
    (layout.job / "root").mkdir()
    content = {
        "steps": [
            (
                step.kind,
                step.path,
                _overlay_options(sandbox, layout, step.copy) if step.copy else step.source,
                step.folder,
                step.copy.file if step.copy else "",
            )
            for step in layout.steps()
        ],
        "user_namespace": sandbox.user_namespace,
        "argv": list(argv),
        "environment": dict(environment),
        "working_directory": working_directory,
        "cgroups": [str(cgroup) for cgroup in cgroups],
        "cpus": sorted(cpus),
        "data_limit": data_limit,
        "network": network,
    }
    _write(layout.job / "plan.json", json.dumps(content))


def bubblewrap(
    sandbox: Sandbox,
    layout: Layout,
    argv: Sequence[str],
    environment: Mapping[str, str],
    working_directory: str,
    *,
    cut_off: bool = False,
) -> list[str]:
    """The command that runs `argv`, for `shim.sh`; writes the files that it reads: kind `bubblewrap`."""
    # By a file: a command line can be read by everybody on this machine, and the environment holds keys.
    arguments = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent", "--as-pid-1", "--clearenv"]
    if cut_off:
        arguments.append("--unshare-net")
    if not sandbox.user_namespace:
        arguments += ["--cap-drop", "ALL"]
        arguments += [word for name in CAPABILITIES for word in ("--cap-add", f"CAP_{name}")]
    else:
        arguments += ["--unshare-user", "--uid", str(os.geteuid()), "--gid", str(os.getegid())]
    overlays = []
    for step in layout.steps():
        if step.kind in ("ro", "rw"):
            arguments += ["--bind" if step.kind == "rw" else "--ro-bind", step.source, step.path]
        elif step.copy is not None:
            merged = step.copy.folder / "merged"
            merged.mkdir()
            overlays.append(f"overlay {_escaped(merged)} overlay {_overlay_options(sandbox, layout, step.copy)} 0 0\n")
            arguments += ["--bind", str(merged / step.copy.file), step.path]
        elif step.kind == "link":
            arguments += ["--symlink", step.source, step.path]
        elif step.kind == "device":
            arguments += ["--dev-bind", step.path, step.path]
        elif step.kind == "nothing":
            arguments += ["--ro-bind", "/dev/null", step.path]
        elif step.path != "/":  # which is a tmpfs anyway
            arguments += ["--dir" if step.kind == "folder" else f"--{step.kind}", step.path]
            for name in COVERED if step.kind == "proc" else ():
                if Path("/proc", name).exists():
                    arguments += ["--ro-bind", f"/proc/{name}", f"/proc/{name}"]
    for name, value in {**environment, MARK: str(layout.job)}.items():
        arguments += ["--setenv", name, value]
    arguments += ["--chdir", working_directory]
    _write(layout.job / "arguments", "".join(f"{argument}\0" for argument in arguments))
    if overlays:
        _write(layout.job / "overlays", "".join(overlays))
    return ["bwrap", "--args", "3", "--", "/bin/sh", "-c", INIT, "modelwright", *argv]


def wrapper(sandbox: Sandbox, layout: Layout) -> list[str]:
    """What the shim itself is started by: the mount namespace that its overlays need."""
    if not layout.copies or not sandbox.overlay or sandbox.kind != "bubblewrap":
        return []
    user = ["--user", "--map-root-user"] if sandbox.user_namespace else []
    return ["unshare", *user, "--mount", "--propagation", "private"]


def _overlay_options(sandbox: Sandbox, layout: Layout, copy: Copy) -> str:
    lower = str(copy.source)
    if any(character in lower for character in ',:\\ \t\n"#'):  # which would end an option or a word
        (copy.folder / "lower").symlink_to(lower)
        lower = "lower"
    # Relative to the job's folder, for the same reason. "volatile": nothing here outlives the job, and without it the
    # kernel would write the whole file system to disk when the container ends.
    folder = copy.folder.relative_to(layout.job)
    lower = f"{folder}/lower" if lower == "lower" else lower
    more = ",userxattr" if sandbox.user_namespace else ""
    return f"lowerdir={lower},upperdir={folder}/upper,workdir={folder}/work,volatile{more}"


def _escaped(path: Path) -> str:
    """As fstab wants it."""
    return "".join(f"\\{ord(c):03o}" if c in " \t\n\\#" else c for c in str(path))


def _write(path: Path, text: str) -> None:
    with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)


def _try(sandbox: Sandbox, network: Mapping[str, Any] | None = None) -> str:
    """What goes wrong when such a sandbox is used; empty when nothing does."""
    folder = Path(tempfile.mkdtemp(prefix="modelwright-probe-"))
    try:
        (folder / "input").mkdir()
        layout = Layout(folder)
        layout.system()
        if sandbox.overlay:
            layout.copy_on_write(folder / "input", "/opt/ml")
        else:
            layout.bind(folder / "input", "/opt/ml", writable=True)
        argv = ["/bin/sh", "-c", "echo probe > /opt/ml/probe"]
        if sandbox.kind == "bubblewrap":
            said = _try_bubblewrap(sandbox, layout, argv)
        else:
            said = _try_unshare(sandbox, layout, argv, network)
        written = layout.copies[0].upper if sandbox.overlay else folder / "input"
        return "" if (written / "probe").exists() else said or "nothing was run"
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    finally:
        remove_tree(folder)


def _try_bubblewrap(sandbox: Sandbox, layout: Layout, argv: list[str]) -> str:
    run = bubblewrap(sandbox, layout, argv, {"PATH": os.defpath}, "/")
    script = '[ ! -e overlays ] || mount -a -T overlays || exit; exec "$@" 3<arguments'
    command = [*wrapper(sandbox, layout), "/bin/sh", "-c", script, "modelwright", *run]
    with open(layout.job / "log", "wb") as log:
        subprocess.run(
            command, cwd=layout.job, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=20, check=False
        )
    return _last_words(layout.job)


def _try_unshare(sandbox: Sandbox, layout: Layout, argv: list[str], network: Mapping[str, Any] | None) -> str:
    plan(sandbox, layout, argv, {"PATH": os.defpath}, "/", network=network)
    with open(layout.job / "lock", "wb") as lock, open(layout.job / "log", "wb") as log:
        fcntl.flock(lock, fcntl.LOCK_EX)
        launch(layout.job, lock.fileno(), log.fileno())
    with open(layout.job / "lock", "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)  # until the shim has ended
    return _last_words(layout.job)


def _last_words(folder: Path) -> str:
    return (folder / "log").read_text(errors="replace").strip().replace("\n", "; ")


def remove_tree(folder: Path) -> None:
    """Remove a folder, whatever a container did to the permissions in it."""

    def force(_function: object, path: str, _error: object) -> None:
        os.chmod(os.path.dirname(path), 0o700)
        if os.path.isdir(path) and not os.path.islink(path):
            os.chmod(path, 0o700)
            shutil.rmtree(path, onerror=force)
        elif os.path.lexists(path):
            os.unlink(path)

    shutil.rmtree(folder, onerror=force)
