"""The classes of Modelwright's commands: options that all of them take, abbreviations, suggestions, late imports."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from difflib import get_close_matches
from typing import Any

import click

from modelwright.cli.console import Console

SETTINGS = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
pass_console = click.make_pass_decorator(Console, ensure=True)


class Command(click.Command):
    """A command that takes the common options behind its own name too (`modelwright jobs list --json`)."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        keywords["context_settings"] = {**SETTINGS, **(keywords.get("context_settings") or {})}
        super().__init__(*arguments, **keywords)
        self.params.extend(common_options())


class Group(click.Group):
    """A group of such commands; an abbreviation that fits only one of them is enough.

    `later` names commands by the module that makes them (its COMMANDS): it is imported when one of them is used.
    """

    command_class = Command
    group_class = type

    def __init__(self, *arguments: Any, later: Mapping[str, str] | None = None, **keywords: Any) -> None:
        keywords["context_settings"] = {**SETTINGS, **(keywords.get("context_settings") or {})}
        super().__init__(*arguments, **keywords)
        self._later = dict(later or {})

    def list_commands(self, _: click.Context) -> list[str]:
        return sorted({*self.commands, *self._later})

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        names = self.list_commands(context)
        if name not in names:
            fitting = [candidate for candidate in names if candidate.startswith(name)]
            if len(fitting) != 1:
                return None
            name = fitting[0]
        if name not in self.commands:
            for command in importlib.import_module(self._later[name]).COMMANDS:
                self.add_command(command)
        return self.commands[name]

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = arguments[0]
        command = self.get_command(context, name)
        if command is None and not context.resilient_parsing and not name.startswith("-"):
            raise click.UsageError(self._unknown(context, name), context)
        if command is None:
            return super().resolve_command(context, arguments)
        return command.name, command, arguments[1:]

    def _unknown(self, context: click.Context, name: str) -> str:
        names = self.list_commands(context)
        fitting = [candidate for candidate in names if candidate.startswith(name)]
        if fitting:
            return f"'{name}' may be {_either(fitting)}."
        close = get_close_matches(name, names)
        return f"There is no command '{name}'." + (f" Did you mean {_either(close)}?" if close else "")


class ActingCommand(Command):
    """A command that acts over the wire, as the home's owner or as the user that `--user` names."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        user_option(self)  # click adds an option to a command too


class ActingGroup(Group):
    """A group of such commands."""

    command_class = ActingCommand


def _either(names: list[str]) -> str:
    return " or ".join((", ".join(names[:-1]), names[-1])) if len(names) > 1 else names[0]


def common_options() -> list[click.Option]:
    """--home and --json: kept in the invocation's Console."""
    return [
        click.Option(
            ["--home"],
            metavar="DIR",
            expose_value=False,
            callback=_keep("home"),
            help="The home folder.  [env: MODELWRIGHT_HOME; default: ~/.modelwright]",
        ),
        click.Option(
            ["--json", "as_json"], is_flag=True, expose_value=False, callback=_keep("as_json"), help="Print JSON."
        ),
    ]


def port_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """--port, for the commands that start a server: the others find it by its home."""
    return click.option(
        "--port",
        metavar="N",
        type=click.IntRange(0, 65535),
        expose_value=False,
        callback=_keep("port"),
        help="The server's port; 0 takes a free one.  [env: MODELWRIGHT_PORT; default: 7070]",
    )(function)


def user_option(function: Callable[..., Any]) -> Callable[..., Any]:
    """--user, for the commands that act by an access key or hand one on: the audit log knows who it was."""
    return click.option(
        "--user",
        metavar="NAME",
        envvar="MODELWRIGHT_USER",
        expose_value=False,
        callback=_keep("user"),
        help="As this user, instead of the home's owner.  [env: MODELWRIGHT_USER]",
    )(function)


def _keep(attribute: str) -> Callable[[click.Context, click.Parameter, Any], None]:
    def callback(context: click.Context, _: click.Parameter, value: Any) -> None:
        console = context.ensure_object(Console)
        if value is not None and value is not False:
            setattr(console, attribute, value)

    return callback
