"""What a RUN's shell text comes to: simple commands that are understood here, or something for the sandbox. Pure.

Most Dockerfiles for machine learning say `pip install`, `apt-get install` and `rm -rf` of caches, and no more. Those
need no sandbox: pip works on the image's environment directly, Debian packages are the host's, caches aren't kept.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from modelwright.images.dockerfile import DockerfileError, expand

_PIP = re.compile(r"(?:/usr/local/bin/|/opt/conda/bin/|/usr/bin/)?pip[0-9.]*")
_PYTHON = re.compile(r"(?:/usr/local/bin/|/opt/conda/bin/|/usr/bin/)?python[0-9.]*")
_CACHES = re.compile(r"(/var/lib/apt|/var/cache|~/\.cache|\$HOME/\.cache|/root/\.cache|/tmp)(/.*)?")
_SHELL = re.compile(r"[|<>()`]|(?<!&)&(?!&)")
_QUOTED = re.compile(r"'[^']*'|\"(?:[^\"\\`$]|\\.|\$(?!\())*\"")
_GLOB = re.compile(r"[*?\[]")
_PIP_ELSEWHERE = ("--target", "-t", "--prefix", "--root", "--editable", "-e", "--user", "--dry-run", "--report")
_PIP_DROPPED = ("--no-cache-dir", "--no-cache", "-q", "-qq", "--quiet", "--break-system-packages", "--no-compile")


@dataclass(frozen=True)
class PipInstall:
    """`pip install ARGUMENTS`."""

    arguments: tuple[str, ...]


@dataclass(frozen=True)
class DebianInstall:
    """`apt-get install PACKAGES`."""

    packages: tuple[str, ...]


@dataclass(frozen=True)
class MakeFolder:
    """`mkdir -p PATHS`."""

    paths: tuple[str, ...]


@dataclass(frozen=True)
class Nothing:
    """It has no effect that an image here would keep: caches and package lists."""


Command = PipInstall | DebianInstall | MakeFolder | Nothing


def understand(script: str, variables: Mapping[str, str], line: int = 0) -> list[Command] | None:
    """The script's commands, in order; None when anything in it needs a shell."""
    if _SHELL.search(_QUOTED.sub("", script)):
        return None
    commands: list[Command] = []
    for words in _split(script):
        try:
            plain = [expand(word, variables, line=line) for word in words]
        except DockerfileError:
            return None
        if plain[0] == "set" and all(word.startswith("-") for word in plain[1:]):
            continue
        command = _command(plain)
        if command is None:
            return None
        commands.append(command)
    return commands


def _split(script: str) -> list[list[str]]:
    """Simple commands as words with their quotes; `&&`, `;` and new lines separate."""
    text = re.sub(r"\\\n", " ", script).replace("\n", " ; ")
    lexer = shlex.shlex(text, posix=False, punctuation_chars=";&")
    lexer.whitespace_split = True
    lexer.commenters = ""
    commands: list[list[str]] = [[]]
    try:
        for token in lexer:
            if token in ("&&", ";"):
                commands.append([])
            else:
                commands[-1].append(token)
    except ValueError:
        return [["unreadable"]]
    return [command for command in commands if command]


def _command(words: list[str]) -> Command | None:
    if words[0] == "sudo" and len(words) > 1:
        words = words[1:]
    name, rest = words[0], words[1:]
    if _PYTHON.fullmatch(name) and rest[:2] == ["-m", "pip"]:
        return _pip(rest[2:])
    if _PIP.fullmatch(name):
        return _pip(rest)
    if name in ("apt-get", "apt"):
        return _apt(rest)
    if name == "mkdir" and rest[:1] == ["-p"] and len(rest) > 1 and not any(_GLOB.search(path) for path in rest):
        return MakeFolder(tuple(rest[1:]))
    if name == "rm" and all(word.startswith("-") or _CACHES.fullmatch(word) for word in rest):
        return Nothing()
    return Nothing() if name in ("true", ":", "echo") or words[:2] == ["ldconfig"] else None


def _pip(words: list[str]) -> Command | None:
    if words[:2] in (["cache", "purge"], ["config", "list"]) or words in (["--version"], ["check"], ["list"]):
        return Nothing()
    verb = next((index for index, word in enumerate(words) if not word.startswith("-")), None)
    if verb is None or words[verb] != "install":
        return None
    arguments = [word for word in (*words[:verb], *words[verb + 1 :]) if word not in _PIP_DROPPED]
    if any(word.split("=", 1)[0] in _PIP_ELSEWHERE for word in arguments):
        return None
    if any(_GLOB.search(word) and not re.search(r"[=<>~!\[]", word) for word in arguments):
        return None
    return PipInstall(tuple(arguments))


def _apt(words: list[str]) -> Command | None:
    plain = [word for word in words if not word.startswith("-")]
    if not plain:
        return None
    verb, names = plain[0], plain[1:]
    if verb == "install":
        return DebianInstall(tuple(names))
    quiet = ("update", "upgrade", "dist-upgrade", "full-upgrade", "clean", "autoclean", "autoremove")
    return Nothing() if verb in quiet else None
