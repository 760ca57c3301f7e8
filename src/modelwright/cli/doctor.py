"""`modelwright doctor`: what this machine can do for jobs."""

from __future__ import annotations

from dataclasses import asdict

import click
from rich.text import Text

from modelwright.cli.commands import Command, pass_console
from modelwright.cli.console import Console, patience, titled
from modelwright.cli.tables import grid
from modelwright.repositories import git
from modelwright.runtimes import host


@click.command("doctor", cls=Command)
@pass_console
def doctor(console: Console) -> None:
    """Show what this machine can do, what is lost, and what to install.

    ! marks what is lost or could be better; jobs run without it too. Needs no server.
    """
    with patience("trying the sandbox and the limits"):
        findings = [*host.examine(console.settings), _git()]

    def drawing() -> Text:
        marks = {True: Text("✔", style="green"), False: Text("!", style="yellow")}
        return grid([[marks[each.good], Text(each.topic, style="bold"), Text(each.text)] for each in findings])

    console.show([titled(asdict(finding)) for finding in findings], drawing)


def _git() -> host.Finding:
    said = git.problem()
    return host.Finding("git", not said, said or "found; CodeCommit's repositories are kept by it")


COMMANDS = (doctor,)
