"""`modelwright models`: the model registry, with approval and rejection."""

from __future__ import annotations

from typing import Any

import click

from modelwright.arns import Arn
from modelwright.cli.console import Console, Group, pages, pass_console, without_metadata
from modelwright.errors import ConfigurationError


@click.group("models", cls=Group)
def models() -> None:
    """List, show, approve and reject versions in the model registry."""


@models.command("list")
@click.argument("group", required=False)
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="At most so many.")
@pass_console
def list_models(console: Console, group: str | None, limit: int) -> None:
    """Versions of a model package group, or of all; the newest first."""
    found = pages(
        console.client("sagemaker"),
        "list_model_packages",
        "ModelPackageSummaryList",
        limit,
        ModelPackageType="Versioned",
        **({"ModelPackageGroupName": group} if group else {}),
    )
    for summary in found:
        summary["Name"] = f"{summary['ModelPackageGroupName']}/{summary['ModelPackageVersion']}"
    columns = [("VERSION", "Name"), ("APPROVAL", "ModelApprovalStatus"), ("CREATED", "CreationTime")]
    console.rows(found, [*columns, ("DESCRIPTION", "ModelPackageDescription")], "No model versions yet.")


@models.command("show")
@click.argument("version")
@pass_console
def show_model(console: Console, version: str) -> None:
    """A version (GROUP/NUMBER or an ARN)."""
    client = console.client("sagemaker")
    console.fields(client.describe_model_package(ModelPackageName=model_package_arn(client, version)))


@models.command("approve")
@click.argument("version")
@click.option("-m", "--comment", help="Why; kept with the version.")
@pass_console
def approve_model(console: Console, version: str, comment: str | None) -> None:
    """Approve a version (GROUP/NUMBER or an ARN)."""
    decide(console, version, "Approved", comment)


@models.command("reject")
@click.argument("version")
@click.option("-m", "--comment", help="Why; kept with the version.")
@pass_console
def reject_model(console: Console, version: str, comment: str | None) -> None:
    """Reject a version (GROUP/NUMBER or an ARN)."""
    decide(console, version, "Rejected", comment)


def decide(console: Console, version: str, status: str, comment: str | None) -> None:
    """Set the approval status of a version."""
    client = console.client("sagemaker")
    arn = model_package_arn(client, version)
    client.update_model_package(
        ModelPackageArn=arn,
        ModelApprovalStatus=status,
        **({"ApprovalDescription": comment} if comment else {}),
    )
    document = without_metadata(client.describe_model_package(ModelPackageName=arn))
    console.show(document, lambda: f"{Arn.parse(arn).name} is {document['ModelApprovalStatus']}")


def model_package_arn(client: Any, version: str) -> str:
    """Raises ConfigurationError unless `version` is an ARN or GROUP/NUMBER of a group that exists."""
    if version.startswith("arn:"):
        return version
    group, separator, number = version.partition("/")
    if not separator or not number.isdigit():
        raise ConfigurationError(f"'{version}' is neither GROUP/NUMBER nor an ARN. See: modelwright models list")
    arn: str = client.describe_model_package_group(ModelPackageGroupName=group)["ModelPackageGroupArn"]
    return f"{arn.replace(':model-package-group/', ':model-package/')}/{number}"


COMMANDS = (models,)
