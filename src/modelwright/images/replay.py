"""A RUN that is more than pip: the command runs in a sandbox, and what it wrote becomes the next tree.

Inside, the image's tree lies over the host's system as a job will see it, only writable: what is written below /usr,
/etc and /opt is caught by overlays, everything else lies in a root of its own. The image's environment is writable at
its own path, so pip in a script installs into it. Root is not needed where user namespaces are allowed.

It differs from a job's sandbox (runtimes/) in what matters here: a job's writes are thrown away, these are kept.
"""

from __future__ import annotations

import os
import shlex
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from modelwright.config import Settings
from modelwright.images.base import Progress
from modelwright.images.environments import Environment, interpreter_folders
from modelwright.images.pip import build_failed, pip_variables, run_streaming
from modelwright.images.trees import copy_tree, inside, make_folder

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SHIMS = "/run/modelwright"
_CAUGHT = ("usr", "etc", "opt")
_LINKED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
_NOT_KEPT = ("tmp", "proc", "dev", "sys", "run")
_CAPABILITIES = "-all,+chown,+dac_override,+fowner,+fsetid,+kill,+setgid,+setuid,+setfcap"
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")


def replay(
    settings: Settings,
    command: Sequence[str],
    root: Path,
    environment: Environment | None,
    *,
    variables: Mapping[str, str],
    working_directory: str,
    packages: str | None,
    progress: Progress,
) -> None:
    """Run `command` and leave what it wrote in the tree `root` and in `environment`.

    `packages`: the Debian packages that this machine has, for apt-get's stand-in; None where the command needs none.
    Raises AwsError (ImageBuildFailed) with the last lines that it printed, or where this machine has no such sandbox.
    """
    _check(settings)
    scratch = settings.images / "builds"  # not /tmp: overlays want the trees' own file system
    scratch.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="run-", dir=scratch, ignore_cleanup_errors=True) as name:
        box = _Box(Path(name), environment)
        box.spread(root)
        inside(box.root, working_directory).mkdir(parents=True, exist_ok=True)
        given = {"HOME": "/root", "LANG": "C.UTF-8", **pip_variables(settings.cache / "pip"), **variables}
        search = [given.get("PATH", PATH)]
        if environment is not None:
            search.insert(0, f"{environment.path}/bin")
        if packages is not None:
            box.add_apt(packages)
            search.insert(0, _SHIMS)
        given["PATH"] = ":".join(search)
        last = run_streaming(box.command(settings, command, given, working_directory), progress, environment={**_HOST})
        if last is not None:
            raise build_failed(f"it failed:\n{last}")
        box.gather(root)


_HOST = {"PATH": os.environ.get("PATH", os.defpath)}


def _check(settings: Settings) -> None:
    problem = ""
    if not sys.platform.startswith("linux"):
        problem = "it needs Linux"
    elif settings.sandbox == "none":
        problem = "the setting is sandbox = none"
    elif missing := [tool for tool in ("unshare", "mount", "chroot", "setpriv") if shutil.which(tool) is None]:
        problem = f"{', '.join(missing)} not found"
    if problem:
        raise build_failed(
            f"It needs a sandbox that catches what it writes, and there is none here: {problem}. Installing packages "
            "with pip needs none; the container runtime builds anything."
        )


@dataclass
class _Box:
    """`root`: the container's own root folder. `upper/usr` and so on: what was written over the host's folders."""

    folder: Path
    environment: Environment | None

    @property
    def root(self) -> Path:
        return self.folder / "root"

    def spread(self, tree: Path) -> None:
        """Lay out the root, with the tree in the places that catch what is written."""
        self.root.mkdir()
        for name in _CAUGHT:
            for kind in ("upper", "work"):
                (self.folder / kind / name).mkdir(parents=True)
        for name in _LINKED:
            host = Path("/", name)
            if host.is_symlink():
                (self.root / name).symlink_to(os.readlink(host))
        for name in (*_CAUGHT, *_NOT_KEPT, "root", "home", "var", "var/tmp", "srv", "mnt"):
            (self.root / name).mkdir()
        (self.root / "tmp").chmod(0o1777)
        for entry in os.scandir(tree):
            place = self._place(entry.name)
            if entry.is_dir(follow_symlinks=False):
                make_folder(place)
                copy_tree(Path(entry.path), place, link=False)
            else:
                place.unlink(missing_ok=True)
                shutil.copy2(entry.path, place, follow_symlinks=False)

    def add_apt(self, packages: str) -> None:
        """A stand-in for apt-get that says yes to what this machine has, and names what it lacks."""
        shims = self.root / _SHIMS.lstrip("/")
        shims.mkdir()
        (shims / "packages").write_text(packages)
        for name in ("apt-get", "apt"):
            (shims / name).write_text(_APT)
            (shims / name).chmod(0o755)

    def command(
        self, settings: Settings, command: Sequence[str], variables: Mapping[str, str], working_directory: str
    ) -> list[str]:
        """The whole command line: a mount namespace, the mounts, a changed root, fewer rights, the command."""
        user = os.geteuid() != 0
        words = ["unshare", *(("--user", "--map-root-user") if user else ()), "--mount", "--pid", "--fork"]
        words += ["--kill-child", "--propagation", "private", "/bin/sh", "-ec"]
        limits = "-all" if user else _CAPABILITIES
        start = f'cd -- "$1"; shift; exec setpriv --bounding-set {limits} --inh-caps -all --no-new-privs "$@"'
        assignments = [f"{name}={value}" for name, value in variables.items()]
        inner = ["env", "-i", *assignments, "/bin/sh", "-ec", start, "modelwright", working_directory, *command]
        script = "\n".join(
            [*self._mounts(settings, user), f"exec chroot {shlex.quote(str(self.root))} {shlex.join(inner)}"]
        )
        return [*words, script]

    def gather(self, tree: Path) -> None:
        """Make the tree what was written; whiteouts and our own mount points stay behind."""
        for entry in list(os.scandir(tree)):
            shutil.rmtree(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)
        for name in _NOT_KEPT:
            shutil.rmtree(self.root / name, ignore_errors=True)
        for path in self._bound():
            _remove_empty_up(self.root / str(path).lstrip("/"), self.root)
        for name in (*_LINKED, *_CAUGHT, "root", "home", "var/tmp", "var", "srv", "mnt"):
            place = self.root / name
            if place.is_symlink():
                place.unlink()
            elif place.is_dir() and not any(place.iterdir()):
                place.rmdir()
        copy_tree(self.root, tree, link=True)
        for name in _CAUGHT:
            upper = self.folder / "upper" / name
            if any(upper.iterdir()):
                make_folder(tree / name)
                copy_tree(upper, tree / name, link=True)

    def _place(self, name: str) -> Path:
        link = self.root / name
        real = os.readlink(link) if link.is_symlink() else name
        head, _, rest = real.lstrip("/").partition("/")
        return self.folder / "upper" / head / rest if head in _CAUGHT else self.root / real.lstrip("/")

    def _bound(self) -> list[Path]:
        """Host folders that the environment needs, where they aren't in what is caught anyway."""
        if self.environment is None:
            return []
        needed = [self.environment.path, *self.environment.parents, *interpreter_folders()]
        return [path for path in dict.fromkeys(needed) if path.parts[1] != "usr"]

    def _mounts(self, settings: Settings, user: bool) -> Iterator[str]:
        extra = ",userxattr" if user else ""
        root = shlex.quote(str(self.root))
        yield f"cd {shlex.quote(str(self.folder))}"
        for name in _CAUGHT:
            options = f"lowerdir=/{name},upperdir=upper/{name},workdir=work/{name}{extra}"
            yield f"mount -t overlay overlay -o {options} root/{name}"
        names = os.path.realpath("/etc/resolv.conf")
        if not names.startswith("/etc/") and os.path.isfile(names):  # a link into /run, which the container has its own
            target = f"{root}{shlex.quote(names)}"
            yield f"mkdir -p $(dirname {target}) && touch {target} && mount --bind {shlex.quote(names)} {target}"
        yield "mount -t tmpfs tmpfs root/dev && mkdir -m 1777 root/dev/shm"
        for device in _DEVICES:
            yield f"touch root/dev/{device} && mount --bind /dev/{device} root/dev/{device}"
        for name, to in (("fd", ""), ("stdin", "/0"), ("stdout", "/1"), ("stderr", "/2")):
            yield f"ln -s /proc/self/fd{to} root/dev/{name}"
        yield "mount -t proc proc root/proc"
        for path in (*self._bound(), settings.cache / "pip"):
            path.mkdir(parents=True, exist_ok=True)
            target = shlex.quote(f"{self.root}{path}")
            yield f"mkdir -p {target} && mount --rbind {shlex.quote(str(path))} {target}"
            writable = self.environment is not None and path in (self.environment.path, settings.cache / "pip")
            if not writable and not user:
                yield f"mount -o remount,bind,ro {target}"


_APT = f"""\
#!/bin/sh
verb= missing=
for word; do
    case $verb:$word in
    *:-*) ;;
    :*) verb=$word ;;
    install:*) grep -qxF -- "${{word%%[=:]*}}" {_SHIMS}/packages || missing="$missing $word" ;;
    esac
done
[ -z "$missing" ] && exit
echo "this machine lacks the Debian packages:$missing (apt-get install$missing)" >&2
exit 100
"""


def _remove_empty_up(path: Path, top: Path) -> None:
    """Remove a mount point and the folders above it that hold nothing else."""
    while path != top and path.is_dir() and not path.is_symlink() and not any(path.iterdir()):
        path.rmdir()
        path = path.parent
    if path != top and path.exists() and stat.S_ISREG(path.lstat().st_mode) and path.stat().st_size == 0:
        path.unlink()
