"""A buildspec parsed. Parsing is validation: what comes out can be run, and every problem is told with its place.

Source: AWS's page "Build specification reference for CodeBuild". What can't be honoured here (values out of Parameter
Store or Secrets Manager, another user, retries, batches) is a problem that names it; what has no effect without
something that isn't here (caches, test reports) is kept as a note for the build's log.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import yaml

PHASES = ("install", "pre_build", "build", "post_build")
LIMIT = 1 << 20
"""Bytes of a buildspec; AWS's own are far smaller."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SHELLS = {"sh": "/bin/sh", "/bin/sh": "/bin/sh", "bash": "/bin/bash", "/bin/bash": "/bin/bash"}
OnFailure = Literal["", "ABORT", "CONTINUE"]


class BuildspecError(ValueError):
    """The buildspec can't be run; the text has a line a problem."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Phase:
    """One of `PHASES`. `finally_` always runs, after the commands."""

    name: str
    commands: tuple[str, ...] = ()
    finally_: tuple[str, ...] = ()
    on_failure: OnFailure = ""
    """Empty: a build that fails goes on with post_build, other phases end the build."""
    runtime_versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Artifacts:
    """Which files are kept. Patterns are relative to `base_directory`, itself a pattern relative to the source."""

    files: tuple[str, ...]
    name: str = ""
    base_directory: str = ""
    discard_paths: bool = False
    exclude_paths: tuple[str, ...] = ()


@dataclass(frozen=True)
class Specification:
    """All that a build does."""

    phases: tuple[Phase, ...]
    shell: str = "/bin/sh"
    variables: Mapping[str, str] = field(default_factory=dict)
    exported: tuple[str, ...] = ()
    git_credential_helper: bool = False
    artifacts: Artifacts | None = None
    secondary_artifacts: Mapping[str, Artifacts] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def parse(text: str) -> Specification:
    """Raises BuildspecError with all problems."""
    try:
        document = yaml.safe_load(text)
        lines = _lines(yaml.compose(text, yaml.SafeLoader))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark is not None else ""
        raise BuildspecError([f"{place}{getattr(error, 'problem', None) or error}"]) from error
    reader = _Reader(lines)
    found = reader.specification(document)
    if reader.problems:
        raise BuildspecError(reader.problems)
    return found


class _Reader:
    """Reads the document and collects what is wrong."""

    def __init__(self, lines: Mapping[str, int]) -> None:
        self.lines = lines
        self.problems: list[str] = []
        self.notes: list[str] = []

    def specification(self, document: Any) -> Specification:
        if not isinstance(document, dict):
            self._wrong("buildspec", "must be a YAML mapping that begins with 'version: 0.2'")
            return Specification(())
        known = ("version", "run-as", "env", "proxy", "batch", "phases", "reports", "artifacts", "cache")
        whole = self._mapping(document, "", known)
        if str(whole.get("version")) != "0.2":
            self._wrong("version", f"is {whole.get('version')!r}: only 0.2 is supported")
        self._run_as(whole, "")
        if "batch" in whole:
            self._wrong("batch", "batch builds are not supported: start the builds one by one")
        if "proxy" in whole:
            self._wrong("proxy", "explicit proxy servers are not supported: builds use this machine's network")
        for name in ("reports", "cache"):
            if name in whole:
                self.notes.append(_NOTES[name])
        env = self._env(whole.get("env"))
        phases = self._phases(whole.get("phases"))
        artifacts, secondary = self._all_artifacts(whole.get("artifacts"))
        return Specification(phases, artifacts=artifacts, secondary_artifacts=secondary, notes=tuple(self.notes), **env)

    def _env(self, value: Any) -> dict[str, Any]:
        known = (
            *("shell", "variables", "parameter-store", "secrets-manager", "exported-variables"),
            "git-credential-helper",
        )
        env = self._mapping(value, "env", known)
        for name in ("parameter-store", "secrets-manager"):
            if env.get(name):
                self._wrong(f"env.{name}", "is not supported here: give the values as variables of the build")
        shell = str(env.get("shell", "sh"))
        if shell not in _SHELLS:
            self._wrong("env.shell", f"is {shell!r}: builds here have sh and bash")
        variables = {}
        for name, each in self._mapping(env.get("variables"), "env.variables").items():
            variables[self._variable(name, f"env.variables.{name}")] = self._text(each, f"env.variables.{name}")
        exported = self._texts(env.get("exported-variables"), "env.exported-variables")
        for i, name in enumerate(exported):
            self._variable(name, f"env.exported-variables[{i}]")
        helper = self._flag(env.get("git-credential-helper", False), "env.git-credential-helper")
        return {
            "shell": _SHELLS.get(shell, "/bin/sh"),
            "variables": variables,
            "exported": tuple(dict.fromkeys(exported)),
            "git_credential_helper": helper,
        }

    def _phases(self, value: Any) -> tuple[Phase, ...]:
        if value is None:
            self._wrong("phases", f"is missing: one of {', '.join(PHASES)} at least is needed")
            return ()
        phases = self._mapping(value, "phases", PHASES)
        if isinstance(value, dict) and not value:
            self._wrong("phases", f"is empty: one of {', '.join(PHASES)} at least is needed")
        return tuple(self._phase(name, phases[name]) for name in PHASES if name in phases)

    def _phase(self, name: str, value: Any) -> Phase:
        place = f"phases.{name}"
        known = ("run-as", "on-failure", "commands", "finally", "steps", "runtime-versions")
        phase = self._mapping(value, place, known)
        self._run_as(phase, place)
        if "steps" in phase:
            self._wrong(f"{place}.steps", "is not supported: use commands")
        on_failure = str(phase.get("on-failure", ""))
        if on_failure not in ("", "ABORT", "CONTINUE"):
            self._wrong(f"{place}.on-failure", f"is {on_failure!r}: ABORT and CONTINUE are supported")
        versions = self._mapping(phase.get("runtime-versions"), f"{place}.runtime-versions")
        if versions and name != "install":
            self._wrong(f"{place}.runtime-versions", "belongs into phases.install")
        commands = self._texts(phase.get("commands"), f"{place}.commands")
        finally_ = self._texts(phase.get("finally"), f"{place}.finally")
        if not commands and not finally_ and not versions:
            self._wrong(f"{place}.commands", "is missing or empty")
        found: OnFailure = "CONTINUE" if on_failure == "CONTINUE" else "ABORT" if on_failure == "ABORT" else ""
        texts = {key: self._text(each, f"{place}.runtime-versions.{key}") for key, each in versions.items()}
        return Phase(name, commands, finally_, found, texts)

    def _all_artifacts(self, value: Any) -> tuple[Artifacts | None, dict[str, Artifacts]]:
        if value is None:
            return None, {}
        own = ("files", "name", "base-directory", "discard-paths", "exclude-paths")
        known = (*own, "secondary-artifacts", "s3-prefix", "enable-symlinks")
        whole = self._mapping(value, "artifacts", known)
        secondary = {}
        for name, each in self._mapping(whole.get("secondary-artifacts"), "artifacts.secondary-artifacts").items():
            place = f"artifacts.secondary-artifacts.{name}"
            secondary[str(name)] = self._artifacts(self._mapping(each, place, known), place)
        if "files" not in whole and secondary:
            return None, secondary
        return self._artifacts(whole, "artifacts"), secondary

    def _artifacts(self, value: Mapping[str, Any], place: str) -> Artifacts:
        for name in ("s3-prefix", "enable-symlinks"):
            if name in value and value[name] not in (False, "no", "false"):
                self._wrong(f"{place}.{name}", "is not supported: leave it out")
        files = self._texts(value.get("files"), f"{place}.files")
        if not files:
            self._wrong(f"{place}.files", "is missing: name the files, '**/*' for all")
        return Artifacts(
            files=files,
            name=self._text(value.get("name", ""), f"{place}.name"),
            base_directory=self._text(value.get("base-directory", ""), f"{place}.base-directory"),
            discard_paths=self._flag(value.get("discard-paths", False), f"{place}.discard-paths"),
            exclude_paths=self._texts(value.get("exclude-paths"), f"{place}.exclude-paths"),
        )

    def _run_as(self, value: Mapping[str, Any], place: str) -> None:
        user = value.get("run-as")
        if user not in (None, "root"):
            where = f"{place}.run-as" if place else "run-as"
            self._wrong(where, f"is {user!r}: builds run as one user here; leave it out")

    def _mapping(self, value: Any, place: str, known: tuple[str, ...] | None = None) -> dict[str, Any]:
        if value is None:
            return {}
        if not isinstance(value, dict):
            self._wrong(place, "must be a mapping")
            return {}
        for name in value:
            if known is not None and name not in known:
                self._wrong(f"{place}.{name}" if place else str(name), f"is not known; known: {', '.join(known)}")
        return {str(name): each for name, each in value.items()}

    def _texts(self, value: Any, place: str) -> tuple[str, ...]:
        if value is None:
            return ()
        if isinstance(value, str):
            return (value,)
        if not isinstance(value, list):
            self._wrong(place, "must be a list of texts")
            return ()
        return tuple(self._text(each, f"{place}[{i}]") for i, each in enumerate(value))

    def _text(self, value: Any, place: str) -> str:
        if isinstance(value, bool):
            return "true" if value else "false"
        if isinstance(value, str | int | float):
            text = str(value)
            if "\0" in text:
                self._wrong(place, "has a NUL character")
            return text
        hint = " (quote a command that has ': ' in it)" if isinstance(value, dict) else ""
        self._wrong(place, f"must be a text{hint}")
        return ""

    def _flag(self, value: Any, place: str) -> bool:
        if value in (True, "yes", "true"):
            return True
        if value not in (False, "no", "false"):
            self._wrong(place, f"is {value!r}: must be yes or no")
        return False

    def _variable(self, name: str, place: str) -> str:
        if not _NAME.fullmatch(name):
            self._wrong(place, f"{name!r} can't be the name of a variable")
        return name

    def _wrong(self, place: str, what: str) -> None:
        line, around = None, place
        while line is None and around:  # what is missing is told with the line of what it is missing in
            line = self.lines.get(around)
            around = around.rpartition("[" if around.endswith("]") else ".")[0]
        self.problems.append(f"{place}{f' (line {line})' if line else ''}: {what}")


def _lines(root: yaml.Node | None) -> dict[str, int]:
    """The line of each place (`phases.build.commands[0]`) in the document."""
    found: dict[str, int] = {}
    seen: set[int] = set()

    def note(node: yaml.Node, place: str) -> None:
        if id(node) in seen:
            return  # an alias: its anchor has told it
        seen.add(id(node))
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                here = f"{place}.{key.value}" if place else str(key.value)
                found[here] = key.start_mark.line + 1
                note(value, here)
        elif isinstance(node, yaml.SequenceNode):
            for i, item in enumerate(node.value):
                found[f"{place}[{i}]"] = item.start_mark.line + 1
                note(item, f"{place}[{i}]")

    if root is not None:
        note(root, "")
    return found


_NOTES = {
    "reports": "The buildspec's reports are not kept: there are no report groups here. Keep the files as artifacts.",
    "cache": "The buildspec's cache has no effect: the project has none. pip's downloads are shared by all builds.",
}
