"""Replays a Dockerfile: the same file that Docker would build, step by step, into a tree and an environment.

Every step has a key (the key before, its text, what it copies), and what it made is kept under that key, so building
again with nothing changed is instant, as with Docker. What can't be honoured is an error that names the line; what is
harmless to leave out (volumes, owners of files) is told and goes on.
"""

from __future__ import annotations

import functools
import platform
import re
import shlex
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from posixpath import join, normpath

from modelwright.config import Settings
from modelwright.errors import AwsError
from modelwright.images import commands, packages
from modelwright.images.base import Progress
from modelwright.images.context import Context, digest
from modelwright.images.copying import find_copy, is_folder
from modelwright.images.dockerfile import (
    Dockerfile,
    DockerfileError,
    Instruction,
    Stage,
    expand,
    json_form,
    key_values,
    split_words,
)
from modelwright.images.environments import Environment, Environments
from modelwright.images.pip import Pip, build_failed
from modelwright.images.provision import Install, find_install, make_install
from modelwright.images.replay import PATH, replay
from modelwright.images.state import DEFAULT_SHELL, State, next_key
from modelwright.images.trees import Tree, Trees, inside, make_folder

_NOT_FOR_PIP = ("PATH", "HOME", "PYTHON")
_PYTHON_ELSEWHERE = re.compile(r"(?:/usr/local/bin|/usr/bin|/opt/conda/bin)/((?:python|pip)[0-9.]*)")


@dataclass
class Builder:
    """Builds one Dockerfile. `base` finds what a FROM names: (image as written, line) -> its state."""

    settings: Settings
    environments: Environments
    trees: Trees
    base: Callable[[str, int], State]
    dockerfile: Dockerfile
    context: Context
    arguments: Mapping[str, str]
    progress: Progress
    fresh: bool = False
    origin: str = ""
    """What the built stage's FROM named, when it is built."""
    _states: dict[int, State] = field(default_factory=dict)
    _done: int = 0

    def build(self, target: str | None = None) -> State:
        """The image of the last stage, or of the one named `target`. Raises DockerfileError, AwsError."""
        last = len(self.dockerfile.stages) - 1 if target is None else self._stage_index(target)
        if last is None:
            raise DockerfileError(1, f"there is no stage named {target}.")
        self._check_arguments()
        return self._state(last)

    def _check_arguments(self) -> None:
        declared = {
            word.split("=", 1)[0]
            for instruction in (
                *self.dockerfile.arguments,
                *(i for s in self.dockerfile.stages for i in s.instructions),
            )
            if instruction.name == "ARG"
            for word in split_words(instruction.text, self.dockerfile.escape)
        }
        for name in self.arguments:
            if name not in declared:
                self.progress(f"Note: the build argument {name} is not used by this Dockerfile.")

    def _stage_index(self, name: str) -> int | None:
        names = [stage.name for stage in self.dockerfile.stages]
        if name.lower() in names:
            return len(names) - 1 - names[::-1].index(name.lower())
        return int(name) if name.isdigit() and int(name) < len(names) else None

    def _state(self, index: int) -> State:
        if index not in self._states:
            stage = self.dockerfile.stages[index]
            run = _StageRun(self, stage, index, self._origin(stage, index))
            self._states[index] = run.run()
        return self._states[index]

    def _origin(self, stage: Stage, index: int) -> State:
        wanted = expand(stage.base, self.outer_arguments(), self.dockerfile.escape, line=stage.origin.line)
        for flag, _ in stage.origin.flags:
            if flag != "platform":
                raise DockerfileError(stage.origin.line, f"FROM --{flag} does not exist.")
        if not wanted:
            raise DockerfileError(stage.origin.line, f"FROM {stage.base} comes to nothing: give the ARG a value.")
        self.tell(stage.origin)
        self.origin = wanted
        earlier = [i for i in range(index) if self.dockerfile.stages[i].name == wanted.lower()]
        state = self._state(earlier[-1]) if earlier else self.base(wanted, stage.origin.line)
        for note in () if earlier else state.notes:
            self.progress(f"Note: {note}")
        return replace(state, key=next_key(state.key, uuid.uuid4().hex)) if self.fresh else state

    def outer_arguments(self) -> dict[str, str]:
        machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
        values = {"TARGETOS": "linux", "TARGETARCH": machine, "TARGETPLATFORM": f"linux/{machine}"}
        values |= {"BUILDOS": "linux", "BUILDARCH": machine, "BUILDPLATFORM": f"linux/{machine}"}
        for instruction in self.dockerfile.arguments:
            for word in split_words(instruction.text, self.dockerfile.escape):
                name, separator, default = word.partition("=")
                if name in self.arguments:
                    values[name] = self.arguments[name]
                elif separator:
                    values[name] = expand(default, values, self.dockerfile.escape, line=instruction.line)
        return values

    def source(self, name: str, index: int, line: int) -> Context:
        """The files that COPY --from=NAME copies from: an earlier stage's, or another image's."""
        earlier = self._stage_index(name)
        if earlier is not None and earlier >= index:
            raise DockerfileError(line, f"COPY --from={name}: that stage comes later, or is this one.")
        state = self._state(earlier) if earlier is not None else self.base(name, line)
        if state.tree is None:
            raise DockerfileError(line, f"COPY --from={name}: it has no files of its own to copy from.")
        return Context(state.tree.root)

    def tell(self, instruction: Instruction) -> None:
        """Say which step begins."""
        self._done += 1
        total = len(self.dockerfile.stages) + sum(len(stage.instructions) for stage in self.dockerfile.stages)
        text = re.sub(r"\s+", " ", f"{instruction.name} {instruction.text}")
        self.progress(f"[{self._done}/{total}] {text[:160]}")


@dataclass
class _StageRun:
    """One stage on its way; `state` is the image so far."""

    builder: Builder
    stage: Stage
    index: int
    state: State
    arguments: dict[str, str] = field(default_factory=dict)
    own_command: bool = False

    def run(self) -> State:
        handlers: dict[str, Callable[[Instruction], None]] = {
            name.removeprefix("_do_").upper(): getattr(self, name) for name in dir(self) if name.startswith("_do_")
        }
        for instruction in self.stage.instructions:
            self.builder.tell(instruction)
            handler = handlers.get(instruction.name)
            if handler is None:
                raise DockerfileError(
                    instruction.line, f"{instruction.name} can't be honoured here. {packages.ELSEWHERE}"
                )
            handler(instruction)
        return self.state

    # Configuration

    def _do_arg(self, instruction: Instruction) -> None:
        for word in split_words(instruction.text, self._escape):
            name, separator, default = word.partition("=")
            outer = self.builder.outer_arguments()
            if name in self.builder.arguments:
                self.arguments[name] = self.builder.arguments[name]
            elif separator:
                self.arguments[name] = self._expand(default, instruction)
            elif name in outer:
                self.arguments[name] = outer[name]

    def _do_env(self, instruction: Instruction) -> None:
        pairs = key_values(instruction, lambda word: self._expand(word, instruction), self._escape)
        self._configure(instruction, environment={**self.state.config.environment, **dict(pairs)})

    def _do_label(self, instruction: Instruction) -> None:
        pairs = key_values(instruction, lambda word: self._expand(word, instruction), self._escape)
        self._configure(instruction, labels={**self.state.config.labels, **dict(pairs)})

    def _do_maintainer(self, instruction: Instruction) -> None:
        self._configure(instruction, labels={**self.state.config.labels, "maintainer": instruction.text})

    def _do_expose(self, instruction: Instruction) -> None:
        ports = tuple(self._expand(word, instruction) for word in instruction.text.split())
        self._configure(instruction, exposed=(*self.state.config.exposed, *ports))

    def _do_entrypoint(self, instruction: Instruction) -> None:
        # As Docker has it: a new entry point forgets a command that came from the base image.
        command = self.state.config.command if self.own_command else None
        self._configure(instruction, entrypoint=self._argv(instruction), command=command)

    def _do_cmd(self, instruction: Instruction) -> None:
        self.own_command = True
        self._configure(instruction, command=self._argv(instruction))

    def _do_shell(self, instruction: Instruction) -> None:
        words = json_form(instruction.text)
        if not words:
            raise DockerfileError(instruction.line, 'SHELL needs the JSON form: SHELL ["/bin/bash", "-c"].')
        self._configure(instruction, shell=tuple(words))

    def _do_user(self, instruction: Instruction) -> None:
        user = self._expand(instruction.text, instruction)
        if user.split(":")[0] not in ("root", "0"):
            self._note(f"USER {user}: jobs of the process runtime run as the user that runs Modelwright.")
        self._configure(instruction, user=user)

    def _do_volume(self, instruction: Instruction) -> None:
        self._note("VOLUME has no meaning for jobs: the folder is the image's own.")

    def _do_healthcheck(self, instruction: Instruction) -> None:
        self._note("HEALTHCHECK has no meaning for SageMaker, which asks /ping.")

    def _do_stopsignal(self, instruction: Instruction) -> None:
        if self._expand(instruction.text, instruction).upper().removeprefix("SIG") not in ("TERM", "15"):
            raise DockerfileError(instruction.line, f"STOPSIGNAL {instruction.text}: SageMaker stops jobs by SIGTERM.")

    # Files

    def _do_workdir(self, instruction: Instruction) -> None:
        path = normpath(join(self.state.config.working_directory, self._expand(instruction.text, instruction)))
        self._configure(instruction, working_directory=path)
        if not is_folder(self.state.tree.root if self.state.tree else None, path):
            self._change_tree(lambda root: make_folder(inside(root, path)))

    def _do_copy(self, instruction: Instruction) -> None:
        words = json_form(instruction.text) or split_words(instruction.text, self._escape)
        words = [word if word.startswith("<<") else self._expand(word, instruction) for word in words]
        origin = instruction.flag("from")
        context = self.builder.context
        if origin is not None:
            context = self.builder.source(self._expand(origin, instruction), self.index, instruction.line)
        if instruction.flag("chown") not in (None, "root", "root:root", "0", "0:0"):
            self._note("--chown is left out: files belong to the user that runs Modelwright.")
        texts = [
            (document.name, self._expand_text(document.content, instruction) if document.expand else document.content)
            for document in instruction.heredocs
        ]
        copy = find_copy(instruction, words, context, self.state.config.working_directory, texts)
        self._step(instruction, words, digest(copy.sources), copy.texts, copy.mode)
        try:
            self._change_tree(copy.apply)
        except OSError as error:
            raise DockerfileError(instruction.line, f"{instruction.name}: {error}") from error

    _do_add = _do_copy

    # Commands

    def _do_run(self, instruction: Instruction) -> None:
        self._check_run(instruction)
        variables = {**self.arguments, **self.state.config.environment}
        argv = json_form(instruction.text)
        script = shlex.join(argv) if argv else _script(instruction)
        self._step(instruction, script, self.arguments)
        plain = argv is not None or self.state.config.shell[0] in (*DEFAULT_SHELL, "/bin/bash", "bash")
        known = commands.understand(script, {"HOME": "/root", **variables}, instruction.line) if plain else None
        try:
            if known is None:
                self._replay(argv or [*self.state.config.shell, script], script, variables)
            else:
                for command in known:
                    self._perform(command, variables)
        except AwsError as error:
            if isinstance(error, DockerfileError):
                raise
            raise build_failed(f"Dockerfile line {instruction.line}: RUN {script.strip()[:200]}: {error}") from error

    def _check_run(self, instruction: Instruction) -> None:
        for flag, value in instruction.flags:
            cache = flag == "mount" and ("type=cache" in value.split(",") or "type=tmpfs" in value.split(","))
            if not cache and (flag, value) not in (("network", "default"), ("network", "host")):
                raise DockerfileError(
                    instruction.line, f"RUN --{flag}={value} is not supported here. {packages.ELSEWHERE}"
                )

    def _perform(self, command: commands.Command, variables: Mapping[str, str]) -> None:
        if isinstance(command, commands.PipInstall):
            self._pip_install(command.arguments, variables)
        elif isinstance(command, commands.DebianInstall):
            missing = sorted(set(packages.names(command.packages)) - packages.of_the_host())
            if missing:
                names = " ".join(missing)
                raise build_failed(
                    f"jobs use this machine's own Debian packages, and it lacks: {names}. Install them here "
                    f"(apt-get install {names}). {packages.ELSEWHERE}"
                )
        elif isinstance(command, commands.MakeFolder):
            paths = [join(self.state.config.working_directory, path) for path in command.paths]
            missing = [path for path in paths if not is_folder(self.state.tree.root if self.state.tree else None, path)]
            if missing:
                self.state = replace(self.state, key=next_key(self.state.key, missing))
                self._change_tree(functools.partial(_make_folders, missing))

    def _pip_install(self, arguments: Sequence[str], variables: Mapping[str, str]) -> None:
        parent = self.state.environment
        if parent is None:
            raise build_failed("there is no Python in FROM scratch, so pip can't install into it.")
        actual, files = packages.located(arguments, self.state.tree, self.state.config.working_directory)
        folder = inside(self.state.tree.root, self.state.config.working_directory) if self.state.tree else None
        install = Install(
            arguments=tuple(arguments),
            inputs=packages.digest_of(files),
            actual=tuple(actual),
            folder=folder if folder and folder.is_dir() else None,
            environment={key: value for key, value in variables.items() if not key.startswith(_NOT_FOR_PIP)},
        )
        fresh = next_key(self.state.key) if self.builder.fresh else ""
        install = replace(install, inputs=install.inputs + fresh)
        environments = self.builder.environments
        environment = find_install(environments, parent, install)
        if environment is None:
            environment = make_install(environments, parent, install, self.builder.progress)
        self.state = replace(self.state, environment=environment)

    def _replay(self, argv: Sequence[str], script: str, variables: Mapping[str, str]) -> None:
        key, parent, tree = self.state.key, self.state.environment, self.state.tree

        def run(root: Path, environment: Environment | None) -> None:
            replay(
                self.builder.settings,
                argv,
                root,
                environment,
                variables=variables,
                working_directory=self.state.config.working_directory,
                packages="\n".join(sorted(packages.of_the_host())) if re.search(r"\bapt(-get)?\b", script) else None,
                progress=self.builder.progress,
            )

        if parent is None:
            made = self.builder.trees.make(key, tree, lambda root: run(root, None), writable=True)
            self.state = replace(self.state, tree=made)
            return

        def fill(environment: Environment, _: Pip) -> None:
            self.builder.trees.remove(key)  # of a build that was killed between the two
            self.builder.trees.make(key, tree, lambda root: run(root, environment), writable=True)

        environments = self.builder.environments
        identity = environments.child_id(parent.id, "run", key)
        environment = environments.child(parent, identity, fill, self.builder.progress)
        self.state = replace(self.state, environment=environment, tree=self.builder.trees.find(key))

    # What all of them use

    @property
    def _escape(self) -> str:
        return self.builder.dockerfile.escape

    def _expand(self, text: str, instruction: Instruction) -> str:
        variables = {"PATH": PATH, **self.arguments, **self.state.config.environment}
        return expand(text, variables, self._escape, line=instruction.line)

    def _expand_text(self, text: str, instruction: Instruction) -> str:
        """The same in a here-document, whose quotes are just letters."""
        quoted = re.sub(r"(['\"])", lambda found: f"{self._escape}{found[0]}", text)
        return self._expand(quoted, instruction)

    def _argv(self, instruction: Instruction) -> tuple[str, ...]:
        words = json_form(instruction.text)
        if words is None:
            return (*self.state.config.shell, instruction.text)
        found = _PYTHON_ELSEWHERE.fullmatch(words[0]) if words and self.state.environment else None
        # A base image's Python lies where the base image put it; here it is first on the PATH.
        return (found[1], *words[1:]) if found else tuple(words)

    def _step(self, instruction: Instruction, *parts: object) -> None:
        parts = (instruction.name, instruction.flags, self.state.config.working_directory, *parts)
        self.state = replace(self.state, key=next_key(self.state.key, *parts))

    def _configure(self, instruction: Instruction, **changes: object) -> None:
        config = replace(self.state.config, **changes)  # type: ignore[arg-type]  # each caller passes its own field
        self.state = replace(self.state, config=config, key=next_key(self.state.key, instruction.name, changes))

    def _change_tree(self, change: Callable[[Path], None]) -> None:
        tree: Tree = self.builder.trees.make(self.state.key, self.state.tree, change)
        self.state = replace(self.state, tree=tree)

    def _note(self, text: str) -> None:
        self.builder.progress(f"Note: {text}")


def _script(instruction: Instruction) -> str:
    """The shell text of a RUN: a lone here-document is the script itself, else it follows the command."""
    if re.fullmatch(r"<<-?['\"]?\w+['\"]?", instruction.text.strip()) and len(instruction.heredocs) == 1:
        return instruction.heredocs[0].content
    rest = "".join(f"{document.content}{document.name}\n" for document in instruction.heredocs)
    return f"{instruction.text}\n{rest}" if rest else instruction.text


def _make_folders(paths: Sequence[str], root: Path) -> None:
    for path in paths:
        make_folder(inside(root, path))
