"""AWS::IAM::Role and AWS::IAM::Policy. Policies are kept and told, never evaluated (`services.iam`)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from modelwright.engine.stack_tags import as_list, tags_of
from modelwright.engine.stack_types import GONE, Act, Read, Unchangeable, adopting, matches, only
from modelwright.errors import AwsError, ValidationException

_HOUR = 3600


class Role:
    """A role, with the policies that its properties name."""

    _known = (
        *("RoleName", "Path", "AssumeRolePolicyDocument", "Description", "MaxSessionDuration"),
        *("ManagedPolicyArns", "Policies", "PermissionsBoundary", "Tags"),
    )

    def create(self, act: Act, name: str, properties: Mapping[str, Any], _: Read, region: str = "") -> None:
        only(properties, *self._known)
        given: dict[str, Any] = {"RoleName": name, "AssumeRolePolicyDocument": _trust(properties)}
        given |= {key: properties[key] for key in ("Path", "Description", "PermissionsBoundary") if key in properties}
        if "MaxSessionDuration" in properties:
            given["MaxSessionDuration"] = _duration(properties)
        if properties.get("Tags"):
            given["Tags"] = as_list(tags_of(properties))
        adopting(act, "iam", "CreateRole", given)
        self._give(act, name, properties)

    def describe(self, act: Act, name: str) -> dict[str, Any]:
        return dict(act("iam", "GetRole", {"RoleName": name})["Role"])

    def update(self, act: Act, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        only(new, *self._known)
        if new.get("PermissionsBoundary") != old.get("PermissionsBoundary"):
            raise Unchangeable("PermissionsBoundary: policies are not evaluated here. Leave it out.")
        if new.get("AssumeRolePolicyDocument") != old.get("AssumeRolePolicyDocument"):
            act("iam", "UpdateAssumeRolePolicy", {"RoleName": name, "PolicyDocument": _trust(new)})
        described = {"Description": new.get("Description", ""), "MaxSessionDuration": _duration(new)}
        act("iam", "UpdateRole", {"RoleName": name, **described})
        self._give(act, name, new)
        for arn in sorted(set(old.get("ManagedPolicyArns", [])) - set(new.get("ManagedPolicyArns", []))):
            _unless_gone(act, "DetachRolePolicy", {"RoleName": name, "PolicyArn": arn})
        kept = {policy["PolicyName"] for policy in new.get("Policies", [])}
        for policy in old.get("Policies", []):
            if policy["PolicyName"] not in kept:
                _unless_gone(act, "DeleteRolePolicy", {"RoleName": name, "PolicyName": policy["PolicyName"]})

    def delete(self, act: Act, name: str, properties: Mapping[str, Any]) -> None:
        """Policies that others have given it keep it, as on AWS."""
        for arn in properties.get("ManagedPolicyArns", []):
            _unless_gone(act, "DetachRolePolicy", {"RoleName": name, "PolicyArn": arn})
        for policy in properties.get("Policies", []):
            _unless_gone(act, "DeleteRolePolicy", {"RoleName": name, "PolicyName": policy["PolicyName"]})
        act("iam", "DeleteRole", {"RoleName": name})

    def _give(self, act: Act, name: str, properties: Mapping[str, Any]) -> None:
        for arn in properties.get("ManagedPolicyArns", []):
            act("iam", "AttachRolePolicy", {"RoleName": name, "PolicyArn": arn})
        for policy in properties.get("Policies", []):
            only(policy, "PolicyName", "PolicyDocument")
            _put(act, name, policy)


class Policy:
    """An inline policy of one or several roles."""

    def create(self, act: Act, name: str, properties: Mapping[str, Any], _: Read, region: str = "") -> None:
        self._check(properties)
        for role in properties["Roles"]:
            _put(act, role, properties)

    def describe(self, act: Act, name: str) -> dict[str, Any]:
        """There is nothing but the roles' own policies; its name here is the stack's for it."""
        return {"Name": name}

    def update(self, act: Act, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        self.create(act, name, new, _no_objects)
        kept = new["Roles"] if new["PolicyName"] == old["PolicyName"] else []
        left = [role for role in old.get("Roles", []) if role not in kept]
        self.delete(act, name, {**old, "Roles": left})

    def delete(self, act: Act, name: str, properties: Mapping[str, Any]) -> None:
        for role in properties.get("Roles", []):
            _unless_gone(act, "DeleteRolePolicy", {"RoleName": role, "PolicyName": properties["PolicyName"]})

    def _check(self, properties: Mapping[str, Any]) -> None:
        for key in ("Users", "Groups"):
            if properties.get(key):
                raise ValidationException(
                    f"{key}: what users may do is their role's here (`modelwright users`). Give Roles alone."
                )
        only(properties, "PolicyName", "PolicyDocument", "Roles", "Users", "Groups")
        for key in ("PolicyName", "PolicyDocument"):
            if key not in properties:
                raise ValidationException(f"Model validation failed: required key [{key}] not found")
        if not properties.get("Roles"):
            raise ValidationException("At least one of [Groups,Roles,Users] must be non-empty.")


def _no_objects(bucket: str, key: str) -> bytes:
    raise AssertionError("a policy needs no object")


def _put(act: Act, role: str, policy: Mapping[str, Any]) -> None:
    document = policy["PolicyDocument"]
    text = document if isinstance(document, str) else json.dumps(document)
    act("iam", "PutRolePolicy", {"RoleName": role, "PolicyName": policy["PolicyName"], "PolicyDocument": text})


def _trust(properties: Mapping[str, Any]) -> str:
    document = properties.get("AssumeRolePolicyDocument")
    if document is None:
        raise ValidationException("Model validation failed: required key [AssumeRolePolicyDocument] not found")
    return document if isinstance(document, str) else json.dumps(document)


def _duration(properties: Mapping[str, Any]) -> int:
    given = str(properties.get("MaxSessionDuration", _HOUR))
    if not given.isdigit():
        raise ValidationException(f"Value of property MaxSessionDuration must be of type Number, not '{given}'")
    return int(given)


def _unless_gone(act: Act, operation: str, parameters: Mapping[str, Any]) -> None:
    try:
        act("iam", operation, parameters)
    except AwsError as error:
        if not matches(error, GONE):
            raise
