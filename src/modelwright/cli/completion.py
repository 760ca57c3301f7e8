"""`modelwright completion`: completion in the user's shell, of commands, options and the names that the server knows.

The script is click's own. Names are asked for over the wire at the press of Tab: quickly or not at all.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem, get_completion_class

from modelwright.cli.commands import Command, pass_console
from modelwright.cli.console import Console, version_of
from modelwright.errors import ConfigurationError

SHELLS = ("bash", "zsh", "fish")
TAB_SECONDS = 2.0
MOST_NAMES = 50

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(SHELLS), required=False)
@pass_console
def completion(console: Console, shell: str | None) -> None:
    """Print the script that completes commands, options and names in your shell.

    \b
    bash (4.4 or newer), in ~/.bashrc:  eval "$(modelwright completion bash)"
    zsh, in ~/.zshrc after compinit:    eval "$(modelwright completion zsh)"
    fish:  modelwright completion fish > ~/.config/fish/completions/modelwright.fish

    Without SHELL it is the one that $SHELL names.
    """
    shell = shell or Path(os.environ.get("SHELL", "")).name
    maker = get_completion_class(shell)
    if shell not in SHELLS or maker is None:
        raise ConfigurationError(f"There is no completion for the shell '{shell}'. Name one of {', '.join(SHELLS)}.")
    root = click.get_current_context().find_root().command
    script = maker(root, {}, "modelwright", "_MODELWRIGHT_COMPLETE").source()
    console.show({"Shell": shell, "Script": script}, lambda: script)


def _names(find: Callable[[Console, str], Iterable[str]]) -> Completer:
    """A completer of the names that `find` finds. A server that does not answer completes nothing."""

    def complete(context: click.Context, _: click.Parameter, begun: str) -> list[CompletionItem]:
        try:
            found = find(context.ensure_object(Console), begun)
            return [CompletionItem(name) for name in found if name.startswith(begun)]
        except Exception:  # whatever it is, a press of Tab is no place to tell
            return []

    return complete


def _listing(
    operation: str, summaries: str, member: str, begins: str = "NameContains"
) -> Callable[[Console, str], Iterable[str]]:
    def find(console: Console, begun: str) -> Iterable[str]:
        answer = _ask(console, operation, MaxResults=MOST_NAMES, **({begins: begun} if begun else {}))
        return [summary[member] for summary in answer[summaries]]

    return find


def _ask(console: Console, operation: str, **parameters: Any) -> dict[str, Any]:
    client = console.client("sagemaker", seconds=TAB_SECONDS)
    answer: dict[str, Any] = getattr(client, operation)(**parameters)
    return answer


_training_jobs = _listing("list_training_jobs", "TrainingJobSummaries", "TrainingJobName")
_processing_jobs = _listing("list_processing_jobs", "ProcessingJobSummaries", "ProcessingJobName")


def _executions(console: Console, _: str) -> Iterable[str]:
    answer = _ask(console, "search", Resource="PipelineExecution", SortBy="CreationTime", MaxResults=MOST_NAMES)
    return [each["PipelineExecution"]["PipelineExecutionArn"].rsplit("/", 1)[1] for each in answer["Results"]]


def _versions(console: Console, _: str) -> Iterable[str]:
    answer = _ask(console, "list_model_packages", ModelPackageType="Both", MaxResults=MOST_NAMES)
    return [version_of(summary) for summary in answer["ModelPackageSummaryList"]]


def _images(console: Console, _: str) -> Iterable[str]:
    from modelwright.images.library import LocalImages

    return [str(tag) for tag in LocalImages(console.settings).store.tags()]


def _deployments(console: Console, _: str) -> Iterable[str]:
    client = console.client("codepipeline", seconds=TAB_SECONDS)
    return [summary["name"] for summary in client.list_pipelines(maxResults=MOST_NAMES)["pipelines"]]


def _builds(console: Console, _: str) -> Iterable[str]:
    ids: list[str] = console.client("codebuild", seconds=TAB_SECONDS).list_builds()["ids"]
    return [*_build_projects(console, ""), *ids[:MOST_NAMES]]


def _stacks(console: Console, _: str) -> Iterable[str]:
    found = console.client("cloudformation", seconds=TAB_SECONDS).describe_stacks()["Stacks"]
    return [stack["StackName"] for stack in found]


def _build_projects(console: Console, _: str) -> Iterable[str]:
    names: list[str] = console.client("codebuild", seconds=TAB_SECONDS).list_projects()["projects"]
    return names


job_names = _names(lambda console, begun: [*_training_jobs(console, begun), *_processing_jobs(console, begun)])
pipeline_names = _names(_listing("list_pipelines", "PipelineSummaries", "PipelineName", "PipelineNamePrefix"))
group_names = _names(_listing("list_model_package_groups", "ModelPackageGroupSummaryList", "ModelPackageGroupName"))
execution_names = _names(_executions)
version_names = _names(_versions)
image_names = _names(_images)
deployment_names = _names(_deployments)
project_names = _names(_listing("list_projects", "ProjectSummaryList", "ProjectName"))
build_names = _names(_builds)
build_project_names = _names(_build_projects)
stack_names = _names(_stacks)

COMMANDS = (completion,)
