"""Write the pages of docs/ that are made from the code: operations.md, cli.md, settings.md.

`python scripts/generate.py` writes them; `tests/unit/test_docs.py` fails when one is stale.
"""

from __future__ import annotations

import ast
import inspect
from dataclasses import MISSING, fields
from itertools import groupby, pairwise
from pathlib import Path

import click

from modelwright import app, config
from modelwright.cli import cli
from modelwright.config import Settings
from modelwright.services.members import rows

DOCS = Path(__file__).parents[1] / "docs"
MADE = "<!-- Made by scripts/generate.py: don't edit. -->\n"


def pages() -> dict[str, str]:
    """File name -> text."""
    return {"operations.md": operations(), "cli.md": command_line(), "settings.md": settings()}


def operations() -> str:
    lines = [
        MADE,
        "# Supported operations\n",
        "Every other operation of AWS's answers `UnsupportedOperation` and names itself. An operation that is here",
        "does what AWS's does; a member that it can't honour is refused by name.\n",
    ]
    with app.sample() as platform:
        tables = {pair: platform.dispatcher.members(*pair) for pair in platform.dispatcher.operations()}
    for service, pairs in groupby(tables, key=lambda pair: pair[0]):
        lines.append(f"\n## {service}\n")
        for pair in pairs:
            lines.append(f"- `{pair[1]}`")
            lines += [
                f"  - `{member}`: {rule.fate}. {rule.why}".rstrip()
                for member, rule in rows(tables[pair] or {})
                if rule.fate != "honoured"
            ]
    return "\n".join(lines) + "\n"


def command_line() -> str:
    lines = [MADE, "# The command line\n"]
    walk(cli, "modelwright", lines)
    return "\n".join(lines) + "\n"


def walk(command: click.Command, name: str, lines: list[str]) -> None:
    context = click.Context(command, info_name=name, **{**command.context_settings, "terminal_width": 100})
    lines += [f"\n## `{name}`\n", "```text", command.get_help(context), "```"]
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            walk(command.get_command(context, child), f"{name} {child}", lines)


def settings() -> str:
    tree = ast.parse(inspect.getsource(config))
    body = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Settings").body
    said = {
        first.target.id: after.value.value
        for first, after in pairwise(body)
        if isinstance(first, ast.AnnAssign)
        and isinstance(first.target, ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
    }
    lines = [
        MADE,
        "# Settings\n",
        "In `config.toml` of the home folder, in the environment as `MODELWRIGHT_<NAME>`, or on the command line",
        "(`--home`, `--port`); the later wins.\n",
        "| setting | default | what it is |",
        "| --- | --- | --- |",
    ]
    for field in fields(Settings):
        default = "`~/.modelwright`" if field.default is MISSING else f"`{field.default!r}`"
        lines.append(f"| `{field.name}` | {default} | {said[field.name]} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for name, text in pages().items():
        (DOCS / name).write_text(text)
