"""How a container is closed off: by bubblewrap, by util-linux' unshare, or not at all.

What a sandbox needs is tried once, really, in the way that a job will use it; `doctor` shows the same answers. Each
kind turns a layout into one command that the shim runs, plus files in the job's folder that the command reads. The
command ends when the container's main process ends, with its exit code, and takes all its other processes along.
"""

from __future__ import annotations

import functools
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modelwright.errors import ConfigurationError
from modelwright.runtimes.layout import Layout, Special

Kind = Literal["bubblewrap", "unshare", "none"]

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
    for kind in ("bubblewrap", "unshare"):
        if setting in ("auto", kind):
            sandbox, problem = probe(kind)
            if sandbox is not None:
                return Sandbox(sandbox.kind, sandbox.overlay, sandbox.user_namespace, (*problems, *sandbox.problems))
            problems.append(problem)
    if setting in ("auto", "none"):
        return Sandbox("none", problems=tuple(problems))
    raise ConfigurationError(f"sandbox = '{setting}' does not work on this machine: {problems[0]}")


@functools.cache
def probe(kind: Literal["bubblewrap", "unshare"]) -> tuple[Sandbox | None, str]:
    """Whether such a sandbox works here, and what is wrong when it doesn't."""
    tools = {"bubblewrap": ("bwrap", "mount", "unshare"), "unshare": ("unshare", "setpriv", "chroot", "mount")}[kind]
    if not sys.platform.startswith("linux"):
        return None, f"{kind} needs Linux"
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        return None, f"{kind}: {', '.join(missing)} not found"
    user = os.geteuid() != 0
    problem = ""
    for overlay in (True, False):
        candidate = Sandbox(kind, overlay, user, (f"overlays don't work: {problem}",) if problem else ())
        problem = _try(candidate)
        if not problem:
            return candidate, ""
    return None, f"{kind}: {problem}"


def command(
    sandbox: Sandbox, layout: Layout, argv: Sequence[str], environment: Mapping[str, str], working_directory: str
) -> list[str]:
    """The command that runs `argv` in the sandbox; writes the files that it reads into the job's folder."""
    if sandbox.kind == "bubblewrap":
        return _bubblewrap(sandbox, layout, argv, environment, working_directory)
    return _unshare(sandbox, layout, argv, environment, working_directory)


def wrapper(sandbox: Sandbox, layout: Layout) -> list[str]:
    """What the shim itself is started by: the mount namespace that its overlays need."""
    if not layout.copies or not sandbox.overlay or sandbox.kind != "bubblewrap":
        return []
    user = ["--user", "--map-root-user"] if sandbox.user_namespace else []
    return ["unshare", *user, "--mount", "--propagation", "private"]


def _bubblewrap(
    sandbox: Sandbox, layout: Layout, argv: Sequence[str], environment: Mapping[str, str], working_directory: str
) -> list[str]:
    # By a file: a command line can be read by everybody on this machine, and the environment holds keys.
    arguments = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--die-with-parent", "--as-pid-1", "--clearenv"]
    if not sandbox.user_namespace:
        arguments += ["--cap-drop", "ALL"]
        arguments += [word for name in CAPABILITIES for word in ("--cap-add", f"CAP_{name}")]
    else:
        arguments += ["--unshare-user", "--uid", str(os.geteuid()), "--gid", str(os.getegid())]
    mounts = layout.materialise()
    for path, source, writable in mounts:
        if isinstance(source, Path):
            arguments += ["--bind" if writable else "--ro-bind", str(source), path]
        elif source.kind == "device":
            arguments += ["--dev-bind", path, path]
        elif source.kind == "nothing":
            arguments += ["--ro-bind", "/dev/null", path]
        else:
            arguments += [f"--{source.kind}", path]
    for name, value in environment.items():
        arguments += ["--setenv", name, value]
    arguments += ["--chdir", working_directory]
    _write(layout.job / "arguments", "".join(f"{argument}\0" for argument in arguments))
    if layout.copies and sandbox.overlay:
        _write(layout.job / "overlays", "".join(_overlay_lines(sandbox, layout)))
    return ["bwrap", "--args", "3", "--", "/bin/sh", "-c", INIT, "modelwright", *argv]


def _unshare(
    sandbox: Sandbox, layout: Layout, argv: Sequence[str], environment: Mapping[str, str], working_directory: str
) -> list[str]:
    root = layout.job / "root"
    root.mkdir(exist_ok=True)
    lines = list(_overlay_lines(sandbox, layout)) if sandbox.overlay else []
    lines += _mount_lines(layout, root, covered=not sandbox.user_namespace)
    _write(layout.job / "mounts", "".join(lines))
    _write(layout.job / "arguments", "".join(f"export {k}={shlex.quote(v)}\n" for k, v in environment.items()))
    user = ["--user", "--map-root-user"] if sandbox.user_namespace else []
    bounding = "-all" if sandbox.user_namespace else ",".join(("-all", *(f"+{name.lower()}" for name in CAPABILITIES)))
    outside = (
        'bounding=$1 inside=$2; shift 2; mount -a -T mounts && exec chroot root setpriv --bounding-set "$bounding" '
        '--inh-caps -all --no-new-privs env -i /bin/sh -c "$inside" modelwright "$@"; exit 125'
    )
    # The environment is set when the host's tools have done their work: it may name libraries to load.
    inside = '. /proc/self/fd/3; exec 3<&-; cd -- "$1" || exit 125; shift\n' + INIT
    return [
        *("setpriv", "--pdeathsig", "KILL"),
        *("unshare", *user, "--mount", "--pid", "--ipc", "--uts", "--propagation", "private", "--fork", "--kill-child"),
        *("/bin/sh", "-c", outside, "modelwright", bounding, inside, working_directory, *argv),
    ]


def _overlay_lines(sandbox: Sandbox, layout: Layout) -> list[str]:
    # Relative paths, so that no character of a path can end an option. "volatile": nothing here outlives the job,
    # and without it the kernel would write the whole file system to disk when the container ends.
    more = ",userxattr" if sandbox.user_namespace else ""
    lines = []
    for copy in layout.copies:
        folder = copy.folder.relative_to(layout.job)
        options = f"lowerdir={folder}/lower,upperdir={folder}/upper,workdir={folder}/work,volatile{more}"
        lines.append(f"overlay {_escaped(copy.merged)} overlay {options} 0 0\n")
    return lines


def _mount_lines(layout: Layout, root: Path, *, covered: bool) -> list[str]:
    table = _mount_table()
    lines = []
    for path, source, writable in layout.materialise():
        target = Path(f"{root}{path}")
        if isinstance(source, Special):
            lines += _special_lines(source, path, target, layout.job, covered=covered)
            continue
        lines.append(f"{_escaped(source)} {_escaped(target)} none rbind 0 0\n")
        if writable:
            continue
        real = os.path.realpath(source)
        inner = [mounted for mounted in table if mounted.startswith(f"{real}/")]
        for mounted in (None, *inner):
            point = target if mounted is None else target / mounted[len(real) + 1 :]
            flags = table[_mount_of(real, table)] if mounted is None else table[mounted]
            lines.append(f"none {_escaped(point)} none remount,bind,ro{flags} 0 0\n")
    return lines


def _special_lines(source: Special, path: str, target: Path, job: Path, *, covered: bool) -> list[str]:
    if source.kind == "proc":
        lines = [f"proc {_escaped(target)} proc nosuid,nodev,noexec 0 0\n"]
        for name in ("sys", "sysrq-trigger", "irq", "bus") if covered else ():
            if Path("/proc", name).exists():
                lines.append(f"{_escaped(target / name)} {_escaped(target / name)} none bind,ro 0 0\n")
        return lines
    if source.kind == "dev":
        dev = job / "dev"
        (dev / "shm").mkdir(parents=True, exist_ok=True)
        for name, to in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
            (dev / name).symlink_to(f"/proc/self/fd{to}")
        lines = [f"{_escaped(dev)} {_escaped(target)} none bind 0 0\n"]
        for name in ("null", "zero", "full", "random", "urandom", "tty"):
            (dev / name).touch()
            lines.append(f"/dev/{name} {_escaped(target / name)} none bind 0 0\n")
        return [*lines, f"tmpfs {_escaped(target / 'shm')} tmpfs mode=1777,nosuid,nodev 0 0\n"]
    if source.kind == "nothing":
        return [f"/dev/null {_escaped(target)} none bind 0 0\n"]
    return [f"{_escaped(Path(path))} {_escaped(target)} none rbind 0 0\n"]


def _mount_table() -> dict[str, str]:
    """Mount point -> the flags that a remount in a user namespace must repeat."""
    table = {}
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        words = line.split()
        point = words[4].encode().decode("unicode_escape")
        keep = ("nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime")
        table[point] = "".join(f",{flag}" for flag in words[5].split(",") if flag in keep)
    return table


def _mount_of(path: str, table: Mapping[str, str]) -> str:
    while path not in table:
        path = os.path.dirname(path)
    return path


def _escaped(path: Path) -> str:
    """As fstab wants it."""
    return "".join(f"\\{ord(c):03o}" if c in " \t\n\\#" else c for c in str(path))


def _write(path: Path, text: str) -> None:
    with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(text)


def _try(sandbox: Sandbox) -> str:
    """What goes wrong when such a sandbox is used; empty when nothing does."""
    with tempfile.TemporaryDirectory(prefix="modelwright-probe-") as folder:
        job = Path(folder)
        (job / "input").mkdir()
        layout = Layout(job)
        layout.system()
        if sandbox.overlay:
            layout.copy_on_write(job / "input", "/opt/ml")
        else:
            layout.bind(job / "input", "/opt/ml", writable=True)
        argv = command(sandbox, layout, ["/bin/sh", "-c", "echo probe > /opt/ml/probe"], {"PATH": os.defpath}, "/")
        script = '[ ! -e overlays ] || mount -a -T overlays || exit; exec "$@" 3<arguments'
        try:
            done = subprocess.run(
                [*wrapper(sandbox, layout), "/bin/sh", "-c", script, "modelwright", *argv],
                cwd=job,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=20,
                check=False,
                text=True,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        written = layout.copies[0].upper if sandbox.overlay else job / "input"
        if done.returncode == 0 and (written / "probe").exists():
            return ""
        _make_removable(job)
        return done.stderr.strip().replace("\n", "; ") or f"exit code {done.returncode}"


def _make_removable(folder: Path) -> None:
    for path, _, _ in os.walk(folder):
        if not os.path.islink(path):
            os.chmod(path, 0o700)
