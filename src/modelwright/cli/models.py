"""`modelwright models`: the model registry, with approval and rejection."""

from __future__ import annotations

from typing import Any

import click

from modelwright.cli.commands import ActingGroup, pass_console
from modelwright.cli.completion import group_names, version_names
from modelwright.cli.console import Console, expected, pages, version_of, without_metadata
from modelwright.cli.tables import Column
from modelwright.errors import ConfigurationError

COLUMNS = (
    Column("VERSION", "Name"),
    Column("APPROVAL", "ModelApprovalStatus"),
    Column("CREATED", "CreationTime", spare=True),
    Column("DESCRIPTION", "ModelPackageDescription", spare=True),
)


@click.group("models", cls=ActingGroup)
def models() -> None:
    """List, show, approve and reject versions in the model registry."""


@models.command("list")
@click.argument("group", required=False, shell_complete=group_names)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, metavar="N", help="At most so many.")
@pass_console
def list_models(console: Console, group: str | None, limit: int) -> None:
    """List versions of a model package group, or of all; the newest first."""
    kind = {"ModelPackageGroupName": group} if group else {"ModelPackageType": "Both"}
    client = console.client("sagemaker")
    with expected(f"There is no model package group '{group}'. See: {console.command('models list')}"):
        found = pages(client, "list_model_packages", "ModelPackageSummaryList", limit, **kind)
    console.rows(
        [{"Name": version_of(summary), **summary} for summary in found],
        COLUMNS,
        f"No versions in {group} yet." if group else "No model versions yet.",
    )


@models.command("show")
@click.argument("version", shell_complete=version_names)
@pass_console
def show_model(console: Console, version: str) -> None:
    """Show all that is known of a version. VERSION is GROUP/NUMBER or an ARN."""
    console.fields(_describe(console, console.client("sagemaker"), version))


@models.command("approve")
@click.argument("version", shell_complete=version_names)
@click.option("-m", "--comment", metavar="TEXT", help="Why; kept with the version.")
@pass_console
def approve_model(console: Console, version: str, comment: str | None) -> None:
    """Approve a version. VERSION is GROUP/NUMBER or an ARN."""
    _decide(console, version, "Approved", comment)


@models.command("reject")
@click.argument("version", shell_complete=version_names)
@click.option("-m", "--comment", metavar="TEXT", help="Why; kept with the version.")
@pass_console
def reject_model(console: Console, version: str, comment: str | None) -> None:
    """Reject a version. VERSION is GROUP/NUMBER or an ARN."""
    _decide(console, version, "Rejected", comment)


def _decide(console: Console, version: str, status: str, comment: str | None) -> None:
    client = console.client("sagemaker")
    before = _describe(console, client, version)
    described = {"ApprovalDescription": comment} if comment else {}
    client.update_model_package(ModelPackageArn=before["ModelPackageArn"], ModelApprovalStatus=status, **described)
    document = without_metadata(client.describe_model_package(ModelPackageName=before["ModelPackageArn"]))
    was = before.get("ModelApprovalStatus")
    earlier = f" (it was {was})" if was != status else " (as it was)"
    console.show(document, lambda: f"{version_of(document)} is {document['ModelApprovalStatus']}{earlier}")


def _describe(console: Console, client: Any, version: str) -> dict[str, Any]:
    """The version's document. Raises ConfigurationError when there is no such version."""
    missing = f"There is no model version '{version}' (GROUP/NUMBER or an ARN). See: {console.command('models list')}"
    group, separator, number = version.partition("/")
    name = version
    with expected(missing):
        if separator and number.isdigit() and not version.startswith("arn:"):
            # The ARN is told by the list: it carries the region of whoever made the version.
            found = pages(client, "list_model_packages", "ModelPackageSummaryList", ModelPackageGroupName=group)
            arns = {summary["ModelPackageVersion"]: summary["ModelPackageArn"] for summary in found}
            if int(number) not in arns:
                raise ConfigurationError(missing)
            name = arns[int(number)]
        document: dict[str, Any] = without_metadata(client.describe_model_package(ModelPackageName=name))
    return document


COMMANDS = (models,)
