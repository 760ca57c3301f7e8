"""Users: who may use this home, in which role. For administrators; a new key is shown once, on the answer's page."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from modelwright.errors import AwsError
from modelwright.studio.view import Route, View

ROLES = ("admin", "developer", "viewer")
OWNER = "admin"


def routes() -> list[Route]:
    return [("/settings/users", ("GET", "POST"), show)]


async def show(view: View) -> Response:
    """The list; a form that was sent is done first."""
    problem, key = "", None
    if view.request.method == "POST":
        try:
            key = await _do(view, view.field("do"), view.field("name").strip())
        except AwsError as error:
            if error.code.startswith("AccessDenied"):
                raise
            problem = error.message
        if not problem and key is None:
            return view.go("settings", "users")
    users = [await _with_keys(view, user) for user in await _all(view)]
    return view.page(
        "users.html", users=users, roles=ROLES, owner=OWNER, problem=problem, key=key, profile=_profile(key)
    )


def _profile(key: dict[str, Any] | None) -> str:
    """The lines for ~/.aws/credentials."""
    if key is None:
        return ""
    return (
        f"[{key['UserName']}]\naws_access_key_id = {key['AccessKeyId']}\n"
        f"aws_secret_access_key = {key['SecretAccessKey']}"
    )


async def _do(view: View, what: str, name: str) -> dict[str, Any] | None:
    """The key that was made, where one was. Raises AwsError."""
    if what in ("add", "role") and view.field("role") not in ROLES:
        raise AwsError(view.texts("Choose a role."))
    if what == "add":
        await view.call("CreateUser", "iam", UserName=name)
        await view.call("AddUserToGroup", "iam", UserName=name, GroupName=view.field("role"))
        return await _new_key(view, name)
    if what == "role":
        role = view.field("role")
        groups = (await view.call("ListGroupsForUser", "iam", UserName=name))["Groups"]
        await view.call("AddUserToGroup", "iam", UserName=name, GroupName=role)
        for group in (each["GroupName"] for each in groups if each["GroupName"] != role):
            await view.call("RemoveUserFromGroup", "iam", UserName=name, GroupName=group)
    elif what == "rotate":
        return await _rotate(view, name)
    elif what == "remove":
        await _remove(view, name)
    return None


async def _rotate(view: View, name: str) -> dict[str, Any]:
    """The old keys end when the new one is there; AWS allows two, so of two the older goes first."""
    if name == OWNER:
        raise AwsError(view.texts("The owner’s key stands in the home folder: modelwright users rotate admin"))
    keys = (await view.call("ListAccessKeys", "iam", UserName=name))["AccessKeyMetadata"]
    keys.sort(key=lambda each: each["CreateDate"])
    if len(keys) > 1:
        await view.call("DeleteAccessKey", "iam", UserName=name, AccessKeyId=keys.pop(0)["AccessKeyId"])
    made = await _new_key(view, name)
    for each in keys:
        await view.call("DeleteAccessKey", "iam", UserName=name, AccessKeyId=each["AccessKeyId"])
    return made


async def _remove(view: View, name: str) -> None:
    if name == OWNER:
        raise AwsError(view.texts("The owner of this home stays."))
    for each in (await view.call("ListAccessKeys", "iam", UserName=name))["AccessKeyMetadata"]:
        await view.call("DeleteAccessKey", "iam", UserName=name, AccessKeyId=each["AccessKeyId"])
    for group in (await view.call("ListGroupsForUser", "iam", UserName=name))["Groups"]:
        await view.call("RemoveUserFromGroup", "iam", UserName=name, GroupName=group["GroupName"])
    await view.call("DeleteUser", "iam", UserName=name)


async def _new_key(view: View, name: str) -> dict[str, Any]:
    made: dict[str, Any] = (await view.call("CreateAccessKey", "iam", UserName=name))["AccessKey"]
    return made


async def _all(view: View) -> list[dict[str, Any]]:
    """Raises AwsError, AccessDenied, for who may not manage users."""
    if not view.may("CreateUser", "iam"):
        raise AwsError(view.texts("Only an admin manages users."), code="AccessDenied", status=403)
    found: list[dict[str, Any]] = []
    marker = None
    while True:
        answer = await view.call("ListUsers", "iam", Marker=marker)
        found += answer["Users"]
        marker = answer.get("Marker")
        if marker is None:
            return found


async def _with_keys(view: View, user: dict[str, Any]) -> dict[str, Any]:
    name = user["UserName"]
    groups = [each["GroupName"] for each in (await view.call("ListGroupsForUser", "iam", UserName=name))["Groups"]]
    keys = (await view.call("ListAccessKeys", "iam", UserName=name))["AccessKeyMetadata"]
    return {**user, "Role": next((role for role in ROLES if role in groups), ""), "Keys": keys}
