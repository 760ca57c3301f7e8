"""The main process of a build's container: source, phases, artifacts, as the plan says (engine/builds.py makes it).

Runs with the standard library alone, on whatever Python the machine has. It says how far it is in `report.json`, which
it replaces before it prints the line that tells the same; what is printed is the build's log. Commands run in one
shell, as AWS does it: variables and the working directory last. A command that ends the shell fails its phase; the
next shell goes on with the exported variables of the last.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from datetime import datetime, timezone  # UTC itself is younger than some machine's Python
from pathlib import Path
from typing import Any

ROOT = Path(os.environ.get("MODELWRIGHT_BUILD", "/codebuild"))
_IN, _OUT = 8, 9
_LOOP = """\
while IFS= read -r __modelwright_line <&8; do
eval "$__modelwright_line"
__modelwright_status=$?
export -p > "$MODELWRIGHT_STATE/variables.new" && mv "$MODELWRIGHT_STATE/variables.new" "$MODELWRIGHT_STATE/variables"
pwd > "$MODELWRIGHT_STATE/folder"
echo "$__modelwright_status" >&9
done
"""


def main() -> int:
    plan = json.loads((ROOT / "plan.json").read_text())
    build = Build(plan)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(143))  # what runs goes with the container
    build.run()
    return 0


class Build:
    """One build, from the source to the artifacts."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self.plan = plan
        self.phases: list[dict[str, Any]] = []
        self.more: dict[str, Any] = {}
        self.succeeding = True
        self.source = Path(os.environ["CODEBUILD_SRC_DIR"])
        self.shell = Shell(plan["shell"], self.source)

    def run(self) -> None:
        self.report()
        for note in self.plan["notes"]:
            say(note)
        if self.download() and self.steps():
            self.upload()
        self.export()
        self.more["done"] = True
        self.report()

    def download(self) -> bool:
        self.enter("DOWNLOAD_SOURCE")
        for source in self.plan["sources"]:
            folder = Path(source["folder"])
            folder.mkdir(parents=True, exist_ok=True)
            try:
                _unpack(ROOT / source["input"], folder)
            except (OSError, zipfile.BadZipFile, ValueError, RuntimeError) as error:
                return self.leave("CLIENT_ERROR", f"The source {source['location']} can't be unpacked: {error}")
            if source["commit"]:
                _make_clone(source, folder)
        if self.plan["git_credential_helper"]:
            for name, value in (("helper", "!aws codecommit credential-helper $@"), ("UseHttpPath", "true")):
                subprocess.run(["git", "config", "--global", f"credential.{name}", value], check=False)
        return self.leave()

    def steps(self) -> bool:
        """The phases; whether artifacts are to be uploaded."""
        phases = {phase["name"]: phase for phase in self.plan["phases"]}
        for name in ("install", "pre_build", "build", "post_build"):
            phase = phases.get(name, {"commands": [], "finally": [], "on_failure": "", "runtime_versions": {}})
            if not self.phase(name.upper(), phase):
                policy = phase["on_failure"] or ("CONTINUE" if name in ("build", "post_build") else "ABORT")
                if policy == "ABORT":
                    return False
        return True

    def phase(self, name: str, phase: dict[str, Any]) -> bool:
        self.enter(name)
        problem = self.runtimes(phase["runtime_versions"])
        for command in () if problem else phase["commands"]:
            problem = self.command(command)
            if problem:
                break
        if problem:
            self.succeeding = False  # `finally` sees it
        for command in phase["finally"]:
            failed = self.command(command)
            problem = problem or failed
        return self.leave("COMMAND_EXECUTION_ERROR" if problem else "", problem)

    def runtimes(self, wanted: dict[str, str]) -> str:
        for name, version in wanted.items():
            program = _RUNTIMES.get(name, name)
            found = sys.executable if name == "python" and not shutil.which("python3") else shutil.which(program)
            if found is None:
                return f"The runtime {name} {version} is not here: install {program} on this machine, or leave it out."
            shown = "" if name == "docker" else _first_line([found, _VERSION.get(name, "--version")])
            say(f"Runtime {name} {version} was asked for; this environment has {shown or found}")
        return ""

    def command(self, command: str) -> str:
        """Run it; what went wrong."""
        say(f"Running command {command}")
        status = self.shell.run(command, succeeding=self.succeeding)
        if status == 0:
            return ""
        say(f"Command did not exit successfully {command} exit status {status}")
        return f"Error while executing command: {command}. Reason: exit status {status}"

    def upload(self) -> bool:
        """Gather what is to be kept; the engine stores it."""
        self.enter("UPLOAD_ARTIFACTS")
        made: dict[str, Any] = {}
        for artifact in self.plan["artifacts"]:
            try:
                made[artifact["key"]] = self.gather(artifact)
            except (OSError, ValueError) as error:
                return self.leave("CLIENT_ERROR", str(error))
        self.more["artifacts"] = made
        return self.leave()

    def gather(self, artifact: dict[str, Any]) -> dict[str, Any]:
        base = _base(self.source, artifact["base_directory"])
        say(f"Expanding base directory path: {artifact['base_directory'] or '.'}")
        files = _find(base, artifact["files"], artifact["exclude_paths"])
        if not files:
            raise ValueError(f"no matching artifact paths found: {', '.join(artifact['files'])}")
        say(f"Found {len(files)} file(s)")
        target = ROOT / "artifacts" / artifact["key"]
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        names = {relative: os.path.basename(relative) if artifact["discard_paths"] else relative for relative in files}
        if artifact["zip"]:
            with zipfile.ZipFile(target / "artifact.zip", "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as file:
                for relative, name in names.items():
                    file.write(base / relative, name)
        else:
            for relative, name in names.items():
                place = target / "files" / name
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(base / relative, place)
        return {"name": self.shell.value(f'printf %s "{artifact["name"]}"') if artifact["name"] else ""}

    def export(self) -> None:
        names = self.plan["exported"]
        values = {name: self.shell.value(f'printf %s "${{{name}-}}"') for name in names} if names else {}
        self.more["exported"] = values

    def enter(self, name: str) -> None:
        self.phases.append({"phaseType": name, "startTime": time.time()})
        self.report()
        say(f"Entering phase {name}")

    def leave(self, code: str = "", message: str = "") -> bool:
        last = self.phases[-1]
        last["phaseStatus"] = "FAILED" if code else "SUCCEEDED"
        last["endTime"] = time.time()
        last["contexts"] = [{"statusCode": code, "message": message}]
        if code:
            self.succeeding = False
        self.report()
        say(f"Phase complete: {last['phaseType']} State: {last['phaseStatus']}")
        say(f"Phase context status code: {code} Message: {message}")
        return not code

    def report(self) -> None:
        new = ROOT / "report.json.new"
        new.write_text(json.dumps({"phases": self.phases, **self.more}))
        new.replace(ROOT / "report.json")


class Shell:
    """The shell that commands run in; a new one when one has ended."""

    def __init__(self, program: str, folder: Path) -> None:
        self.program = program
        self.state = ROOT / "state"
        self.state.mkdir(exist_ok=True)
        self.loop = self.state / "loop.sh"
        self.loop.write_text(_LOOP)
        self.folder = folder
        self.count = 0
        self.process: subprocess.Popen[bytes] | None = None

    def run(self, command: str, *, succeeding: bool) -> int:
        """The command's exit status."""
        self.count += 1
        script = self.state / f"script-{self.count}.sh"
        script.write_text(f"{command}\n")
        line = f"export CODEBUILD_BUILD_SUCCEEDING={int(succeeding)}; . {shlex.quote(str(script))} 8<&- 9>&-"
        return self.line(line)

    def value(self, command: str) -> str:
        """What a command prints, run where the others are."""
        target = self.state / "value"
        target.write_text("")
        script = self.state / "value.sh"
        script.write_text(f"({command}) > {shlex.quote(str(target))}\n")
        self.line(f". {shlex.quote(str(script))} 8<&- 9>&-")
        return target.read_text(errors="replace")

    def line(self, line: str) -> int:
        if self.process is None:
            self.start()
        with contextlib.suppress(BrokenPipeError):
            os.write(self.commands, f"{line}\n".encode())
        said = b""
        while not said.endswith(b"\n"):
            piece = os.read(self.answers, 64)
            if not piece:
                return self.ended()
            said += piece
        return int(said)

    def start(self) -> None:
        variables, folder = self.state / "variables", self.state / "folder"
        begin = "".join(f". {shlex.quote(str(path))}\n" for path in (variables,) if path.exists())
        where = folder.read_text().rstrip("\n") if folder.exists() else str(self.folder)
        theirs, self.commands = os.pipe()
        self.answers, ours = os.pipe()
        for descriptor, fixed in ((theirs, _IN), (ours, _OUT)):  # a shell knows descriptors of one digit
            os.dup2(descriptor, fixed)
            os.close(descriptor)
        script = f"{begin}. {shlex.quote(str(self.loop))}"
        self.process = subprocess.Popen(
            [self.program, "-c", script],
            stdin=subprocess.DEVNULL,
            cwd=where if os.path.isdir(where) else self.folder,
            env={**os.environ, "MODELWRIGHT_STATE": str(self.state)},
            pass_fds=(_IN, _OUT),
        )
        os.close(_IN)
        os.close(_OUT)

    def ended(self) -> int:
        assert self.process is not None
        status = self.process.wait()
        os.close(self.commands)
        os.close(self.answers)
        self.process = None
        return status if status >= 0 else 128 - status


_RUNTIMES = {"python": "python3", "nodejs": "node", "golang": "go"}
_VERSION = {"golang": "version", "java": "-version"}


def say(text: str) -> None:
    stamp = datetime.now(tz=timezone.utc)  # noqa: UP017
    now = stamp.strftime("%Y/%m/%d %H:%M:%S.%f")
    print(f"[Container] {now} {text}", flush=True)


def _first_line(command: list[str]) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    return done.stdout.strip().partition("\n")[0]


def _unpack(source: Path, folder: Path) -> None:
    """Into the folder; inside this container, so that nothing can be reached that the build may not change anyway."""
    if source.is_dir():
        shutil.copytree(source, folder, dirs_exist_ok=True)
        return
    if not zipfile.is_zipfile(source):
        shutil.copyfile(source, folder / source.name)
        return
    with zipfile.ZipFile(source) as archive:
        for member in archive.infolist():
            mode = member.external_attr >> 16
            if mode & 0o170000 == 0o120000:
                place = folder / member.filename
                place.parent.mkdir(parents=True, exist_ok=True)
                place.symlink_to(archive.read(member).decode())
                continue
            place = Path(archive.extract(member, folder))
            if mode & 0o777 and place.is_file():
                place.chmod(mode & 0o777 | 0o600)


def _make_clone(source: dict[str, Any], folder: Path) -> None:
    """Lay the repository itself under the files of its commit, so that git works in the folder as in a clone.

    A build can do without: where it can't be fetched, that is said, and the build goes on.
    """
    depth = [f"--depth={source['depth']}"] if source["depth"] else []
    branches = [] if depth else ["--tags", "+refs/heads/*:refs/remotes/origin/*"]
    steps = (
        ["init", "-q"],
        ["remote", "add", "origin", source["location"]],
        ["fetch", "-q", *depth, "origin", *branches, source["commit"]],
        ["update-ref", "--no-deref", "HEAD", source["commit"]],
        ["reset", "-q"],
    )
    try:
        for step in steps:
            subprocess.run(
                ["git", "-C", str(folder), *step], check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
    except (OSError, subprocess.CalledProcessError) as error:
        said = (getattr(error, "output", None) or str(error).encode()).decode(errors="replace").strip()
        say(f"Note: {source['location']} is here without its history: {said}")
        shutil.rmtree(folder / ".git", ignore_errors=True)


def _base(source: Path, pattern: str) -> Path:
    if not pattern:
        return source
    if not re.search(r"[*?\[]", pattern):
        base = source / pattern  # may be absolute
    else:
        found = sorted(path for path in source.glob(pattern.lstrip("/")) if path.is_dir())
        base = found[0] if found else source / pattern
    if not base.is_dir():
        raise ValueError(f"base-directory {pattern} is not there")
    return base


def _find(base: Path, patterns: list[str], excluded: list[str]) -> list[str]:
    """Relative paths of the files that the patterns name and nothing excludes, in order."""
    everything = []
    for here, folders, names in os.walk(base):
        folders.sort()
        everything += [os.path.relpath(os.path.join(here, name), base) for name in sorted(names)]
    wanted = [_pattern(base, pattern) for pattern in patterns]
    without = [_pattern(base, pattern) for pattern in excluded]
    return [
        name
        for name in everything
        if any(each.fullmatch(name) for each in wanted)
        and not any(each.fullmatch(name) for each in without)
        and (base / name).is_file()
    ]


def _pattern(base: Path, text: str) -> re.Pattern[str]:
    """`**` crosses folders, `*` and `?` stay within a name."""
    relative = os.path.relpath(text, base) if os.path.isabs(text) else os.path.normpath(text)
    parts = []
    for part in relative.split("/"):
        if part == "**":
            parts.append("(?:[^/]+/)*")
        else:
            parts.append(_segment(part) + "/")
    whole = "".join(parts)
    whole = whole[:-1] if whole.endswith("/") else f"{whole}[^/]+"
    return re.compile(whole, re.DOTALL)


def _segment(text: str) -> str:
    done, place = "", 0
    while place < len(text):
        end = text.find("]", place + 2) if text[place] == "[" else -1
        if end > 0:
            inner = text[place + 1 : end].replace("\\", "\\\\")
            done += f"[^{inner[1:]}]" if inner[0] in "!^" else f"[{inner}]"
            place = end
        else:
            done += {"*": "[^/]*", "?": "[^/]"}.get(text[place]) or re.escape(text[place])
        place += 1
    return done


if __name__ == "__main__":
    sys.exit(main())
