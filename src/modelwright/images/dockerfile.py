"""Dockerfile text -> stages of instructions, as Docker reads it. Pure.

Line continuations, comments, the escape directive, here-documents, flags, the JSON and shell forms, and the words of
`$variable` substitution are handled here; what an instruction does is build.py's. Every error names its line.
Source: Docker's "Dockerfile reference".
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from modelwright.errors import ValidationException

INSTRUCTIONS = frozenset(
    [
        *("ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "MAINTAINER"),
        *("ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"),
    ]
)
_WITH_FLAGS = frozenset({"ADD", "COPY", "FROM", "RUN", "HEALTHCHECK"})
_WITH_HEREDOCS = frozenset({"ADD", "COPY", "RUN"})
_DIRECTIVE = re.compile(r"#\s*(\w+)\s*=\s*(\S+)\s*$")
_FLAG = re.compile(r"--([a-z-]+)(?:=(\S*))?(?:\s+|$)")
_HEREDOC = re.compile(r"(?<!<)<<(-?)(['\"]?)([A-Za-z_][A-Za-z0-9_]*)\2")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class DockerfileError(ValidationException):
    """A Dockerfile that can't be read or can't be honoured; the text begins with the file and the line."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(f"Dockerfile line {line}: {message}")
        self.line = line


@dataclass(frozen=True)
class Heredoc:
    """`<<NAME`: the lines up to NAME. `expand` is False when the name was quoted."""

    name: str
    content: str
    expand: bool


@dataclass(frozen=True)
class Instruction:
    """One instruction; `text` is what follows the name and the flags, continuation lines joined."""

    line: int
    name: str
    text: str
    flags: tuple[tuple[str, str], ...] = ()
    heredocs: tuple[Heredoc, ...] = ()

    def flag(self, name: str) -> str | None:
        return next((value for key, value in self.flags if key == name), None)


@dataclass(frozen=True)
class Stage:
    """From one FROM to the next. `base` is the image or stage as written, variables and all."""

    origin: Instruction
    base: str
    name: str | None
    instructions: tuple[Instruction, ...]


@dataclass(frozen=True)
class Dockerfile:
    """`arguments`: the ARG instructions before the first FROM, which only FROM lines may use."""

    arguments: tuple[Instruction, ...]
    stages: tuple[Stage, ...]
    escape: str = "\\"


def parse_dockerfile(text: str) -> Dockerfile:
    """Raises DockerfileError naming the line."""
    escape, instructions = _read(text)
    arguments: list[Instruction] = []
    stages: list[Stage] = []
    current: list[Instruction] = []
    for instruction in instructions:
        if instruction.name == "FROM":
            current = []
            stages.append(_stage(instruction))
        elif stages:
            current.append(instruction)
            last = stages[-1]
            stages[-1] = Stage(last.origin, last.base, last.name, tuple(current))
        elif instruction.name == "ARG":
            arguments.append(instruction)
        else:
            raise DockerfileError(
                instruction.line, f"{instruction.name} before the first FROM; only ARG may stand there."
            )
    if not stages:
        raise DockerfileError(1, "there is no FROM in it.")
    return Dockerfile(tuple(arguments), tuple(stages), escape)


def json_form(text: str) -> list[str] | None:
    """The list of a JSON form (`["python", "train.py"]`); None when it is the shell form."""
    if not text.startswith("["):
        return None
    try:
        words = json.loads(text)
    except ValueError:
        return None
    return words if isinstance(words, list) and all(isinstance(word, str) for word in words) else None


def split_words(text: str, escape: str = "\\") -> list[str]:
    """Words between white space, quotes kept: `a="b c" d` -> [`a="b c"`, `d`]."""
    words, word, quote, position = [], "", "", 0
    while position < len(text):
        letter = text[position]
        if letter == escape and quote != "'" and position + 1 < len(text):
            word += text[position : position + 2]
            position += 2
            continue
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"":
            quote = letter
        if letter.isspace() and not quote:
            if word:
                words.append(word)
            word = ""
        else:
            word += letter
        position += 1
    return [*words, word] if word else words


def expand(text: str, variables: Mapping[str, str], escape: str = "\\", *, line: int = 0) -> str:
    """Substitute `$name`, `${name}`, `${name:-word}`, `${name:+word}` and take quotes off, as Docker does."""
    return _Expansion(text, variables, escape, line).whole()


def key_values(instruction: Instruction, lookup: Callable[[str], str], escape: str = "\\") -> list[tuple[str, str]]:
    """`a=1 b="2 3"`, or ENV's and LABEL's old form `a the rest`. `lookup` expands a word."""
    words = split_words(instruction.text, escape)
    if not words:
        raise DockerfileError(instruction.line, f"{instruction.name} needs NAME=VALUE.")
    if "=" not in words[0]:
        name, _, value = instruction.text.strip().partition(" ")
        if not value.strip():
            raise DockerfileError(instruction.line, f"{instruction.name} {name} has no value: write {name}=VALUE.")
        return [(lookup(name), lookup(value.strip()))]
    pairs = []
    for word in words:
        name, separator, value = word.partition("=")
        if not separator or not name:
            raise DockerfileError(instruction.line, f"{instruction.name}: '{word}' is not NAME=VALUE.")
        pairs.append((lookup(name), lookup(value)))
    return pairs


def _stage(instruction: Instruction) -> Stage:
    words = instruction.text.split()
    if len(words) == 3 and words[1].upper() == "AS":
        return Stage(instruction, words[0], words[2].lower(), ())
    if len(words) != 1:
        raise DockerfileError(instruction.line, "FROM takes IMAGE or IMAGE AS NAME.")
    return Stage(instruction, words[0], None, ())


def _read(text: str) -> tuple[str, list[Instruction]]:
    lines = text.lstrip("\ufeff").splitlines()
    escape = _escape(lines)
    found: list[Instruction] = []
    position = 0
    while position < len(lines):
        stripped = lines[position].strip()
        if not stripped or stripped.startswith("#"):
            position += 1
            continue
        start = position
        logical, position = _logical_line(lines, position, escape)
        instruction = _instruction(logical.strip(), start + 1)
        if instruction.name in _WITH_HEREDOCS and json_form(instruction.text) is None:
            heredocs, position = _heredocs(instruction, lines, position)
            instruction = Instruction(start + 1, instruction.name, instruction.text, instruction.flags, heredocs)
        found.append(instruction)
    return escape, found


def _escape(lines: Sequence[str]) -> str:
    for line in lines:
        directive = _DIRECTIVE.match(line.strip())
        if directive is None:
            break
        if directive[1].lower() == "escape":
            return directive[2]
    return "\\"


def _logical_line(lines: Sequence[str], position: int, escape: str) -> tuple[str, int]:
    """Join continuation lines; comments and empty lines between them are left out, as Docker does."""
    joined = ""
    while position < len(lines):
        line = lines[position]
        position += 1
        if joined and (not line.strip() or line.strip().startswith("#")):
            continue
        trimmed = line.rstrip()
        if trimmed.endswith(escape) and not trimmed.endswith(escape * 2):
            joined += trimmed[:-1]
            continue
        return joined + line, position
    return joined, position


def _instruction(text: str, line: int) -> Instruction:
    head = text.split(None, 1)
    name, rest = head[0].upper(), head[1].strip() if len(head) > 1 else ""
    if name not in INSTRUCTIONS:
        raise DockerfileError(line, f"unknown instruction {head[0]}.")
    flags: list[tuple[str, str]] = []
    while name in _WITH_FLAGS and (found := _FLAG.match(rest)):
        flags.append((found[1], found[2] if found[2] is not None else "true"))
        rest = rest[found.end() :]
    if not rest:
        raise DockerfileError(line, f"{name} needs an argument.")
    return Instruction(line, name, rest, tuple(flags))


def _heredocs(instruction: Instruction, lines: Sequence[str], position: int) -> tuple[tuple[Heredoc, ...], int]:
    heredocs = []
    for dash, quote, name in _HEREDOC.findall(instruction.text):
        content = []
        while position < len(lines) and (lines[position].lstrip("\t") if dash else lines[position]) != name:
            content.append(lines[position].lstrip("\t") if dash else lines[position])
            position += 1
        if position == len(lines):
            raise DockerfileError(instruction.line, f"the here-document <<{name} has no end.")
        position += 1
        heredocs.append(Heredoc(name, "".join(f"{line}\n" for line in content), not quote))
    return tuple(heredocs), position


@dataclass
class _Expansion:
    text: str
    variables: Mapping[str, str]
    escape: str
    line: int
    position: int = field(default=0)

    def whole(self) -> str:
        return self._until("")

    def _until(self, end: str) -> str:
        """Everything up to the letter `end` (outside quotes), or to the end of the text."""
        done, quoted = "", False
        while self.position < len(self.text):
            letter = self.text[self.position]
            if letter == end and not quoted:
                self.position += 1
                return done
            if letter == '"':
                quoted = not quoted
                self.position += 1
            elif letter == "'" and not quoted:
                closing = self.text.find("'", self.position + 1)
                if closing < 0:
                    raise DockerfileError(self.line, f"a single quote is not closed in: {self.text}")
                done += self.text[self.position + 1 : closing]
                self.position = closing + 1
            elif letter == self.escape and self.position + 1 < len(self.text):
                following = self.text[self.position + 1]
                done += following if not quoted or following in f'"${self.escape}' else letter + following
                self.position += 2
            elif letter == "$":
                self.position += 1
                done += self._variable()
            else:
                done += letter
                self.position += 1
        if quoted or end:
            raise DockerfileError(self.line, f"a quote or brace is not closed in: {self.text}")
        return done

    def _variable(self) -> str:
        braced = self.text.startswith("{", self.position)
        found = _NAME.match(self.text, self.position + braced)
        if found is None:
            if braced:
                raise DockerfileError(self.line, f"not a variable in: {self.text}")
            return "$"
        self.position = found.end()
        value = self.variables.get(found[0])
        if not braced:
            return value or ""
        rest = self.text[self.position : self.position + 2]
        if rest.startswith("}"):
            self.position += 1
            return value or ""
        if rest in (":-", ":+"):
            self.position += 2
            word = self._until("}")
            return (value or word) if rest == ":-" else (word if value else "")
        raise DockerfileError(self.line, f"${{{found[0]}...}} is not a form of substitution that Dockerfiles have.")
