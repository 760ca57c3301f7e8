"""`modelwright users`: who may use this home, in which role."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import click

from modelwright.cli.commands import Group, pass_console
from modelwright.cli.console import Console, without_metadata
from modelwright.cli.tables import Column
from modelwright.errors import ConfigurationError

ROLES = ("admin", "developer", "viewer")
OWNER = "admin"
COLUMNS = (
    Column("USER", "UserName"),
    Column("ROLE", "Role"),
    Column("KEYS", "Keys"),
    Column("CREATED", "CreateDate", spare=True),
)


@click.group("users", cls=Group)
def users() -> None:
    """Add, list and remove users, and give them new access keys.

    An admin may do all. A developer may do all but approve models and deployments and manage users. A viewer reads.
    """


@users.command("add")
@click.argument("name")
@click.option("--role", type=click.Choice(ROLES), required=True, help="What the user may do.")
@pass_console
def add_user(console: Console, name: str, role: str) -> None:
    """Add a user and print the access key, this once."""
    client = console.client("iam")
    with _told(console, name):
        client.create_user(UserName=name)
        client.add_user_to_group(UserName=name, GroupName=role)
        key = client.create_access_key(UserName=name)["AccessKey"]
    _show_key(console, name, {**key, "Role": role})


@users.command("list")
@pass_console
def list_users(console: Console) -> None:
    """List users, their roles and the ids of their keys."""
    client = console.client("iam")
    rows = []
    for user in _all(client, "list_users", "Users"):
        name = user["UserName"]
        groups = [group["GroupName"] for group in client.list_groups_for_user(UserName=name)["Groups"]]
        keys = client.list_access_keys(UserName=name)["AccessKeyMetadata"]
        told = [key["AccessKeyId"] + ("" if key["Status"] == "Active" else " (inactive)") for key in keys]
        role = next((role for role in ROLES if role in groups), "-")
        rows.append({**user, "Role": role, "Keys": ", ".join(told) or "-"})
    console.rows(rows, COLUMNS, "No users.")


@users.command("rotate")
@click.argument("name")
@pass_console
def rotate_user(console: Console, name: str) -> None:
    """Give a user a new access key, print it this once, and end the old ones.

    Sessions in Studio that were opened with an old key end too.
    """
    client = console.client("iam")
    with _told(console, name):
        old = sorted(client.list_access_keys(UserName=name)["AccessKeyMetadata"], key=lambda key: key["CreateDate"])
        ids = [key["AccessKeyId"] for key in old]
        if len(ids) > 1:  # AWS's limit is two
            going = next(key for key in ids if key != console.keys.admin.id)
            client.delete_access_key(UserName=name, AccessKeyId=going)
            ids.remove(going)
        key = client.create_access_key(UserName=name)["AccessKey"]
        if name == OWNER:
            console.keys.replace_admin((key["AccessKeyId"], key["SecretAccessKey"]))
        for key_id in ids:
            client.delete_access_key(UserName=name, AccessKeyId=key_id)
    _show_key(console, name, key)


@users.command("remove")
@click.argument("name")
@pass_console
def remove_user(console: Console, name: str) -> None:
    """Remove a user and their keys. What they made stays."""
    client = console.client("iam")
    if name == OWNER:
        raise ConfigurationError(
            f"{OWNER} owns this home and stays. A new key: {console.command('users rotate admin')}"
        )
    with _told(console, name):
        for key in client.list_access_keys(UserName=name)["AccessKeyMetadata"]:
            client.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
        for group in client.list_groups_for_user(UserName=name)["Groups"]:
            client.remove_user_from_group(UserName=name, GroupName=group["GroupName"])
        client.delete_user(UserName=name)
    console.show({"UserName": name, "Removed": True}, lambda: f"{name} is removed.")


def _all(client: Any, operation: str, member: str) -> list[dict[str, Any]]:
    return [item for page in client.get_paginator(operation).paginate() for item in page[member]]


def _show_key(console: Console, name: str, key: dict[str, Any]) -> None:
    profile = f"[{name}]\naws_access_key_id = {key['AccessKeyId']}\naws_secret_access_key = {key['SecretAccessKey']}"
    text = (
        f"{profile}\n\nThese are the lines for ~/.aws/credentials. The secret is not told again; a new one: "
        f"{console.command(f'users rotate {name}')}"
    )
    console.show(without_metadata(key), lambda: text)


@contextlib.contextmanager
def _told(console: Console, name: str) -> Iterator[None]:
    """Raises ConfigurationError where there is no such user, or one already."""
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code == "NoSuchEntity":
            raise ConfigurationError(f"There is no user '{name}'. See: {console.command('users list')}") from None
        if code == "EntityAlreadyExists":
            message = f"There is a user '{name}' already. A new key: {console.command(f'users rotate {name}')}"
            raise ConfigurationError(message) from None
        raise


COMMANDS = (users,)
