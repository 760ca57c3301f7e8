"""IAM's users, groups and access keys: who there is, with which role.

A role is one of three groups that are always there: `admin`, `developer`, `viewer`. A user without a group may do
nothing, as on AWS; of several groups the mightiest counts. The database knows keys by their ids alone: a secret is
derived when a key is made, told that once, and derived again when a signature is checked.

The owner of the home is the user `admin`, whose key stands in the home's `credentials.json`.
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from typing import Any

from modelwright.arns import Arn
from modelwright.errors import AwsError
from modelwright.services.access import ADMIN, ROLES, role_of
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.iam import identifier, page_of
from modelwright.services.members import HONOURED, Table, refused
from modelwright.store.database import Database, Transaction
from modelwright.store.resources import (
    Query,
    delete_resource,
    find_resource,
    insert_resource,
    list_resources,
    replace_resource,
)

KIND = "User"
OWNER = "admin"
MOST_KEYS = 2
RESERVED = "sagemaker"
"""No user's name begins so: jobs' sessions do."""

_POLICIES = "Leave it out: a user's group is their role, and policies are not evaluated here."

CREATE_MEMBERS: Table = {
    "Path": HONOURED,
    "UserName": HONOURED,
    "PermissionsBoundary": refused(_POLICIES),
    "Tags": HONOURED,
}
LIST_MEMBERS: Table = {"PathPrefix": HONOURED, "Marker": HONOURED, "MaxItems": HONOURED}


class Users:
    """The operations on users."""

    def __init__(
        self,
        *,
        database: Database,
        now: Callable[[], float],
        account: str,
        secret_of: Callable[[str], str],
        owner_key: Callable[[], str],
        changed: Callable[[], None],
    ) -> None:
        """Makes the user `admin` when it is not there yet.

        `secret_of(key id)` derives a secret; `owner_key()` is the id in the home's file; `changed()` is called after
        users or keys have changed.
        """
        self.database = database
        self.now = now
        self._account = account
        self._secret_of = secret_of
        self._owner_key = owner_key
        self._changed = changed
        with database.write() as transaction:
            if find_resource(transaction, KIND, OWNER) is None:
                owner = self._new(OWNER, "/")
                _insert(transaction, {**owner, "_Groups": [ADMIN]})

    def holders(self) -> list[tuple[str, str, tuple[str, ...]]]:
        """(name, role, ids of active keys) of every user."""
        return [
            (
                user["UserName"],
                role_of(user.get("_Groups", [])),
                tuple(key["AccessKeyId"] for key in user.get("_Keys", []) if key["Status"] == "Active"),
            )
            for user in self._all()
        ]

    # Users

    @operation("CreateUser", members=CREATE_MEMBERS)
    def create_user(self, _: Context, parameters: dict[str, Any]) -> Document:
        name = parameters["UserName"]
        if name.lower().startswith(RESERVED):
            raise _invalid(f"A user can't be called '{name}': names that begin with SageMaker are those of jobs.")
        user = self._new(name, parameters.get("Path", "/"))
        if parameters.get("Tags"):
            user["Tags"] = list(parameters["Tags"])
        with self.database.write() as transaction:
            if any(name.lower() == each["UserName"].lower() for each in _users(transaction)):
                raise AwsError(f"User with name {name} already exists.", code="EntityAlreadyExists", status=409)
            _insert(transaction, user)
            transaction.after_commit(self._changed)
        return {"User": _public(user)}

    @operation("GetUser", quick=True)
    def get_user(self, context: Context, parameters: dict[str, Any]) -> Document:
        """The caller without a UserName. A job is no user."""
        name = parameters.get("UserName", context.principal.name)
        with self.database.read() as transaction:
            if "UserName" not in parameters and find_resource(transaction, KIND, name) is None:
                raise AwsError("Must specify userName when calling with non-User credentials", code="ValidationError")
            return {"User": _public(_find(transaction, name))}

    @operation("ListUsers", members=LIST_MEMBERS)
    def list_users(self, _: Context, parameters: dict[str, Any]) -> Document:
        prefix = parameters.get("PathPrefix", "/")
        users = [user for user in self._all() if user["Path"].startswith(prefix)]
        page, rest = page_of(parameters, users, lambda user: str(user["UserName"]))
        return {"Users": [_public(user, "Tags") for user in page], **rest}

    @operation("DeleteUser")
    def delete_user(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Raises DeleteConflict as long as the user has keys or groups, as AWS does."""
        name = parameters["UserName"]
        with self.database.write() as transaction:
            user = _find(transaction, name, lock=True)
            if name == OWNER:
                raise _unmodifiable(f"{OWNER} can't be deleted: it owns this home.")
            for member, text in (("_Keys", "delete access keys"), ("_Groups", "remove users from group")):
                if user.get(member):
                    raise AwsError(f"Cannot delete entity, must {text} first.", code="DeleteConflict", status=409)
            delete_resource(transaction, KIND, name)
            transaction.after_commit(self._changed)
        return {}

    # Groups, which are the roles

    @operation("AddUserToGroup")
    def add_user_to_group(self, _: Context, parameters: dict[str, Any]) -> Document:
        group = _group_name(parameters["GroupName"])
        self._change(
            parameters["UserName"], lambda user: {**user, "_Groups": sorted({*user.get("_Groups", []), group})}
        )
        return {}

    @operation("RemoveUserFromGroup")
    def remove_user_from_group(self, _: Context, parameters: dict[str, Any]) -> Document:
        group, name = _group_name(parameters["GroupName"]), parameters["UserName"]
        if (name, group) == (OWNER, ADMIN):
            raise _unmodifiable(f"{OWNER} stays an admin: it owns this home.")

        def change(user: Document) -> Document:
            if group not in user.get("_Groups", []):
                raise _no_such(f"User {name} is not in group {group}.")
            return {**user, "_Groups": [each for each in user["_Groups"] if each != group]}

        self._change(name, change)
        return {}

    @operation("ListGroups", members=LIST_MEMBERS)
    def list_groups(self, context: Context, parameters: dict[str, Any]) -> Document:
        groups = sorted(ROLES) if parameters.get("PathPrefix", "/") == "/" else []
        page, rest = page_of(parameters, groups, str)
        return {"Groups": [self._group(context, name) for name in page], **rest}

    @operation("GetGroup")
    def get_group(self, context: Context, parameters: dict[str, Any]) -> Document:
        name = _group_name(parameters["GroupName"])
        members = [user for user in self._all() if name in user.get("_Groups", [])]
        page, rest = page_of(parameters, members, lambda user: str(user["UserName"]))
        return {"Group": self._group(context, name), "Users": [_public(user, "Tags") for user in page], **rest}

    @operation("ListGroupsForUser", quick=True)
    def list_groups_for_user(self, context: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            groups = _find(transaction, parameters["UserName"]).get("_Groups", [])
        page, rest = page_of(parameters, groups, str)
        return {"Groups": [self._group(context, name) for name in page], **rest}

    # Access keys

    @operation("CreateAccessKey")
    def create_access_key(self, context: Context, parameters: dict[str, Any]) -> Document:
        """The one time that a secret is told."""
        name = parameters.get("UserName", context.principal.name)
        made: Document = {"AccessKeyId": _key_id(), "Status": "Active", "CreateDate": self.now()}

        def change(user: Document) -> Document:
            if len(self._keys_of(user)) >= MOST_KEYS:
                raise AwsError(
                    f"Cannot exceed quota for AccessKeysPerUser: {MOST_KEYS}. Delete one of {name}'s keys first.",
                    code="LimitExceeded",
                    status=409,
                )
            return {**user, "_Keys": [*user.get("_Keys", []), made]}

        self._change(name, change)
        return {"AccessKey": {"UserName": name, **made, "SecretAccessKey": self._secret_of(made["AccessKeyId"])}}

    @operation("ListAccessKeys", quick=True)
    def list_access_keys(self, context: Context, parameters: dict[str, Any]) -> Document:
        name = parameters.get("UserName", context.principal.name)
        with self.database.read() as transaction:
            keys = self._keys_of(_find(transaction, name))
        page, rest = page_of(parameters, keys, lambda key: str(key["AccessKeyId"]))
        return {"AccessKeyMetadata": [{"UserName": name, **key} for key in page], **rest}

    @operation("UpdateAccessKey")
    def update_access_key(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Active or Inactive. Raises ValidationError for another status."""
        name, key_id, status = (
            parameters.get("UserName", context.principal.name),
            parameters["AccessKeyId"],
            parameters["Status"],
        )
        if status not in ("Active", "Inactive"):
            raise _invalid(f"A key's Status is Active or Inactive, not {status}.")

        def change(user: Document) -> Document:
            self._check_owner(user, key_id)
            keys = [{**key, "Status": status} if key["AccessKeyId"] == key_id else key for key in _own(user, key_id)]
            return {**user, "_Keys": keys}

        self._change(name, change)
        return {}

    @operation("DeleteAccessKey")
    def delete_access_key(self, context: Context, parameters: dict[str, Any]) -> Document:
        name, key_id = parameters.get("UserName", context.principal.name), parameters["AccessKeyId"]
        with self.database.write() as transaction:
            user = _find(transaction, name, lock=True)
            if name == OWNER:  # another key may stand in the file by now
                self._changed()
            self._check_owner(user, key_id)
            left = [key for key in user.get("_Keys", []) if key["AccessKeyId"] != key_id]
            if name != OWNER:
                _own(user, key_id)
            replace_resource(transaction, KIND, name, {**user, "_Keys": left}, modified=self.now())
            transaction.after_commit(self._changed)
        return {}

    def _check_owner(self, user: Document, key_id: str) -> None:
        if user["UserName"] == OWNER and key_id == self._owner_key():
            raise _unmodifiable(
                f"{key_id} is the key that stands in the home's credentials.json. Replace it there: "
                f"modelwright users rotate {OWNER}"
            )

    def _keys_of(self, user: Document) -> list[Document]:
        keys = list(user.get("_Keys", []))
        if user["UserName"] == OWNER and all(key["AccessKeyId"] != self._owner_key() for key in keys):
            keys.append({"AccessKeyId": self._owner_key(), "Status": "Active", "CreateDate": user["CreateDate"]})
        return sorted(keys, key=lambda key: str(key["AccessKeyId"]))

    def _change(self, name: str, change: Callable[[Document], Document]) -> None:
        with self.database.write() as transaction:
            user = _find(transaction, name, lock=True)
            replace_resource(transaction, KIND, name, change(user), modified=self.now())
            transaction.after_commit(self._changed)

    def _all(self) -> list[Document]:
        with self.database.read() as transaction:
            return _users(transaction)

    def _new(self, name: str, path: str) -> Document:
        return {
            "Path": path,
            "UserName": name,
            "UserId": identifier("AIDA", f"{self._account}/{name}/{self.now()}"),
            "Arn": str(Arn("iam", "", self._account, f"user{path}{name}")),
            "CreateDate": self.now(),
        }

    def _group(self, context: Context, name: str) -> Document:
        with self.database.read() as transaction:
            created = _find(transaction, OWNER)["CreateDate"]
        return {
            "Path": "/",
            "GroupName": name,
            "GroupId": identifier("AGPA", f"{context.account}/{name}"),
            "Arn": str(Arn("iam", "", context.account, f"group/{name}")),
            "CreateDate": created,
        }


def _users(transaction: Transaction) -> list[Document]:
    return list_resources(transaction, Query(KIND, sort="name", descending=False, limit=10_000)).documents


def _insert(transaction: Transaction, user: Document) -> None:
    insert_resource(transaction, KIND, user["UserName"], user, created=user["CreateDate"], arn=user["Arn"])


def _find(transaction: Transaction, name: str, *, lock: bool = False) -> Document:
    user = find_resource(transaction, KIND, name, lock=lock)
    if user is None:
        raise _no_such(f"The user with name {name} cannot be found.")
    return user


def _own(user: Document, key_id: str) -> list[Document]:
    keys: list[Document] = user.get("_Keys", [])
    if all(key["AccessKeyId"] != key_id for key in keys):
        raise _no_such(f"The Access Key with id {key_id} cannot be found.")
    return keys


def _public(user: Document, *without: str) -> Document:
    return {key: value for key, value in user.items() if not key.startswith("_") and key not in without}


def _group_name(name: str) -> str:
    if name not in ROLES:
        raise _no_such(f"The group with name {name} cannot be found. The groups here: {', '.join(ROLES)}.")
    return name


def _key_id() -> str:
    return "AKIAMW" + base64.b32encode(secrets.token_bytes(10)).decode()[:14]


def _no_such(message: str) -> AwsError:
    return AwsError(message, code="NoSuchEntity", status=404)


def _unmodifiable(message: str) -> AwsError:
    return AwsError(message, code="UnmodifiableEntity")


def _invalid(message: str) -> AwsError:
    return AwsError(message, code="ValidationError")
