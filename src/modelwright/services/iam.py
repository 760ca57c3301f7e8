"""IAM, as far as SDKs need it: roles with their trust and their policies.

Policies are kept and told, never evaluated: who may do what is a matter of users' roles (`services.access`), and users
are in `services.users`. One role is there from the start, the one that everything runs as.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from modelwright.arns import EXECUTION_ROLE, EXECUTION_ROLE_ID, PARTITION, Arn
from modelwright.errors import AwsError
from modelwright.services.access import ADMIN, allows, role_of
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table, refused
from modelwright.store.database import Database, Transaction
from modelwright.store.history import History
from modelwright.store.resources import (
    Query,
    delete_resource,
    find_resource,
    insert_resource,
    list_resources,
    replace_resource,
)

KIND = "Role"
DEFAULT_PAGE = 100
MOST_TAGS = 50

MANAGED_POLICIES = (
    "AdministratorAccess",
    "AmazonEC2ContainerRegistryFullAccess",
    "AmazonEC2ContainerRegistryReadOnly",
    "AmazonS3FullAccess",
    "AmazonS3ReadOnlyAccess",
    "AmazonSageMakerCanvasFullAccess",
    "AmazonSageMakerFeatureStoreAccess",
    "AmazonSageMakerFullAccess",
    "AmazonSageMakerModelRegistryFullAccess",
    "AmazonSageMakerPipelinesIntegrations",
    "AmazonSageMakerReadOnly",
    "AWSCloudFormationFullAccess",
    "AWSCodeBuildAdminAccess",
    "AWSCodeCommitFullAccess",
    "AWSCodePipeline_FullAccess",
    "AWSLambda_FullAccess",
    "AWSStepFunctionsFullAccess",
    "CloudWatchFullAccess",
    "CloudWatchLogsFullAccess",
    "IAMFullAccess",
    "IAMReadOnlyAccess",
    "PowerUserAccess",
    "ReadOnlyAccess",
    "SecretsManagerReadWrite",
    "service-role/AWSLambdaBasicExecutionRole",
)
"""The AWS managed policies that can be named here."""

CREATE_MEMBERS: Table = {
    "Path": HONOURED,
    "RoleName": HONOURED,
    "AssumeRolePolicyDocument": HONOURED,
    "Description": HONOURED,
    "MaxSessionDuration": HONOURED,
    "PermissionsBoundary": refused("Leave it out: policies are not evaluated here."),
    "Tags": HONOURED,
}

SIMULATE_MEMBERS: Table = {
    "PolicySourceArn": HONOURED,
    "ActionNames": HONOURED,
    "ResourceArns": HONOURED,
    "ContextEntries": HONOURED,
    "CallerArn": HONOURED,
    "MaxItems": HONOURED,
    "Marker": HONOURED,
    "ResourceHandlingOption": HONOURED,
    "ResourceOwner": HONOURED,
    "PolicyInputList": refused("Leave it out: policies are not evaluated here."),
    "PermissionsBoundaryPolicyInputList": refused("Leave it out: policies are not evaluated here."),
    "PolicyExclusionList": refused("Leave it out: policies are not evaluated here."),
    "ResourcePolicy": refused("Leave it out: policies are not evaluated here."),
}

_TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "sagemaker.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}

_T = TypeVar("_T")


class Iam:
    """The operations on roles."""

    def __init__(self, *, database: Database, history: History, now: Callable[[], float], account: str) -> None:
        """Makes the execution role of `account` when it is not there yet."""
        self.database = database
        self.history = history
        self.now = now
        with database.write() as transaction:
            if find_resource(transaction, KIND, EXECUTION_ROLE) is None:
                role = _new_role(account, EXECUTION_ROLE, "/", json.dumps(_TRUST), now())
                role["RoleId"] = EXECUTION_ROLE_ID
                role["Description"] = "The role that jobs run as here."
                role["_Attached"] = [_managed_arn("AmazonSageMakerFullAccess")]
                _insert(transaction, role)

    @operation("CreateRole", members=CREATE_MEMBERS)
    def create_role(self, context: Context, parameters: dict[str, Any]) -> Document:
        name = parameters["RoleName"]
        trust = _policy(parameters["AssumeRolePolicyDocument"])
        role = _new_role(context.account, name, parameters.get("Path", "/"), trust, self.now())
        role |= {key: parameters[key] for key in ("Description", "MaxSessionDuration") if key in parameters}
        if parameters.get("Tags"):
            role["Tags"] = _tagged([], parameters["Tags"])
        with self.database.write() as transaction:
            if find_resource(transaction, KIND, name) is not None:
                raise AwsError(f"Role with name {name} already exists.", code="EntityAlreadyExists", status=409)
            _insert(transaction, role)
        return {"Role": _public(role)}

    @operation("GetRole", quick=True)
    def get_role(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            return {"Role": _public(_find(transaction, parameters["RoleName"]))}

    @operation("ListRoles")
    def list_roles(self, _: Context, parameters: dict[str, Any]) -> Document:
        prefix = parameters.get("PathPrefix", "/")
        with self.database.read() as transaction:
            found = list_resources(transaction, Query(KIND, sort="name", descending=False, limit=10_000)).documents
        roles = [role for role in found if role["Path"].startswith(prefix)]
        page, rest = page_of(parameters, roles, lambda role: str(role["RoleName"]))
        # A list leaves out what takes a call a role to find on AWS.
        return {"Roles": [_public(role, "Tags") for role in page], **rest}

    @operation("UpdateRole")
    def update_role(self, _: Context, parameters: dict[str, Any]) -> Document:
        given: Document = {key: parameters[key] for key in ("Description", "MaxSessionDuration") if key in parameters}
        self._change(parameters["RoleName"], lambda role: {**role, **given})
        return {}

    @operation("UpdateAssumeRolePolicy")
    def update_assume_role_policy(self, _: Context, parameters: dict[str, Any]) -> Document:
        trust = _policy(parameters["PolicyDocument"])
        self._change(parameters["RoleName"], lambda role: {**role, "AssumeRolePolicyDocument": trust})
        return {}

    @operation("DeleteRole")
    def delete_role(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Raises DeleteConflict as long as the role has policies, UnmodifiableEntity for the execution role."""
        name = parameters["RoleName"]
        if name == EXECUTION_ROLE:
            message = f"{EXECUTION_ROLE} can't be deleted: everything here runs as it."
            raise AwsError(message, code="UnmodifiableEntity")
        with self.database.write() as transaction:
            role = _find(transaction, name)
            for member, verb in (("_Attached", "detach"), ("_Inline", "delete")):
                if role.get(member):
                    raise AwsError(
                        f"Cannot delete entity, must {verb} all policies first.", code="DeleteConflict", status=409
                    )
            delete_resource(transaction, KIND, name)
        return {}

    @operation("AttachRolePolicy")
    def attach_role_policy(self, _: Context, parameters: dict[str, Any]) -> Document:
        arn = _known(parameters["PolicyArn"])
        self._change(
            parameters["RoleName"], lambda role: {**role, "_Attached": sorted({*role.get("_Attached", []), arn})}
        )
        return {}

    @operation("DetachRolePolicy")
    def detach_role_policy(self, _: Context, parameters: dict[str, Any]) -> Document:
        arn = parameters["PolicyArn"]

        def change(role: Document) -> Document:
            if arn not in role.get("_Attached", []):
                raise _no_such(f"Policy {arn} was not found.")
            return {**role, "_Attached": [each for each in role["_Attached"] if each != arn]}

        self._change(parameters["RoleName"], change)
        return {}

    @operation("ListAttachedRolePolicies", quick=True)
    def list_attached_role_policies(self, _: Context, parameters: dict[str, Any]) -> Document:
        prefix = parameters.get("PathPrefix", "/")
        with self.database.read() as transaction:
            arns = _find(transaction, parameters["RoleName"]).get("_Attached", [])
        arns = [arn for arn in arns if f"/{Arn.parse(arn).name}".startswith(prefix)]
        page, rest = page_of(parameters, arns, str)
        return {
            "AttachedPolicies": [{"PolicyName": arn.rpartition("/")[2], "PolicyArn": arn} for arn in page],
            **rest,
        }

    @operation("PutRolePolicy")
    def put_role_policy(self, _: Context, parameters: dict[str, Any]) -> Document:
        added = {parameters["PolicyName"]: _policy(parameters["PolicyDocument"])}
        self._change(parameters["RoleName"], lambda role: {**role, "_Inline": {**role.get("_Inline", {}), **added}})
        return {}

    @operation("GetRolePolicy", quick=True)
    def get_role_policy(self, _: Context, parameters: dict[str, Any]) -> Document:
        role_name, name = parameters["RoleName"], parameters["PolicyName"]
        with self.database.read() as transaction:
            policies = _find(transaction, role_name).get("_Inline", {})
        if name not in policies:
            raise _no_such(f"The role policy with name {name} cannot be found.")
        return {"RoleName": role_name, "PolicyName": name, "PolicyDocument": quote(policies[name], safe="")}

    @operation("ListRolePolicies", quick=True)
    def list_role_policies(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            names = sorted(_find(transaction, parameters["RoleName"]).get("_Inline", {}))
        page, rest = page_of(parameters, names, str)
        return {"PolicyNames": page, **rest}

    @operation("DeleteRolePolicy")
    def delete_role_policy(self, _: Context, parameters: dict[str, Any]) -> Document:
        name = parameters["PolicyName"]

        def change(role: Document) -> Document:
            if name not in role.get("_Inline", {}):
                raise _no_such(f"The role policy with name {name} cannot be found.")
            return {**role, "_Inline": {key: value for key, value in role["_Inline"].items() if key != name}}

        self._change(parameters["RoleName"], change)
        return {}

    @operation("TagRole")
    def tag_role(self, _: Context, parameters: dict[str, Any]) -> Document:
        tags = parameters["Tags"]
        self._change(parameters["RoleName"], lambda role: {**role, "Tags": _tagged(role.get("Tags", []), tags)})
        return {}

    @operation("UntagRole")
    def untag_role(self, _: Context, parameters: dict[str, Any]) -> Document:
        keys = parameters["TagKeys"]

        def change(role: Document) -> Document:
            tags = [tag for tag in role.get("Tags", []) if tag["Key"] not in keys]
            rest = {key: value for key, value in role.items() if key != "Tags"}
            return {**rest, "Tags": tags} if tags else rest

        self._change(parameters["RoleName"], change)
        return {}

    @operation("ListRoleTags", quick=True)
    def list_role_tags(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            tags = _find(transaction, parameters["RoleName"]).get("Tags", [])
        page, rest = page_of(parameters, sorted(tags, key=lambda tag: str(tag["Key"])), lambda tag: str(tag["Key"]))
        return {"Tags": page, **rest}

    @operation("SimulatePrincipalPolicy", members=SIMULATE_MEMBERS)
    def simulate_principal_policy(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Of a user what their role allows; of a role everything, since who may is asked of users and jobs alone.

        Raises NoSuchEntity for whom there is not.
        """
        arn = Arn.parse(parameters["PolicySourceArn"])
        kind, name = arn.resource_type, arn.name.rpartition("/")[2]
        if arn.service != "iam" or kind not in ("role", "user") or arn.account != context.account:
            raise _no_such(f"{arn} is not a role or a user of account {context.account}.")
        with self.database.read() as transaction:
            holder = None if kind == "role" else find_resource(transaction, "User", name)
            if kind == "role":
                _find(transaction, name)
            elif holder is None:
                raise _no_such(f"The user with name {name} cannot be found.")
        may = ADMIN if holder is None else role_of(holder.get("_Groups", []))
        resources = parameters.get("ResourceArns", ["*"])
        pairs = [(action, resource) for action in parameters["ActionNames"] for resource in resources]
        page, rest = page_of(parameters, pairs, None)
        results = [
            {
                "EvalActionName": action,
                "EvalResourceName": resource,
                "EvalDecision": "allowed" if _may(may, action) else "implicitDeny",
                "MatchedStatements": [],
                "MissingContextValues": [],
            }
            for action, resource in page
        ]
        return {"EvaluationResults": results, **rest}

    @operation("GetPolicy")
    def get_policy(self, _: Context, parameters: dict[str, Any]) -> Document:
        """One of AWS's managed policies."""
        arn = _known(parameters["PolicyArn"])
        with self.database.read() as transaction:
            roles = list_resources(transaction, Query(KIND, limit=10_000)).documents
        path, name = arn.partition(":policy")[2].rsplit("/", 1)
        policy = {
            "PolicyName": name,
            "PolicyId": identifier("ANPA", arn),
            "Arn": arn,
            "Path": f"{path}/",
            "DefaultVersionId": "v1",
            "AttachmentCount": sum(arn in role.get("_Attached", []) for role in roles),
            "PermissionsBoundaryUsageCount": 0,
            "IsAttachable": True,
        }
        return {"Policy": policy}

    def _change(self, name: str, change: Callable[[Document], Document]) -> None:
        with self.database.write() as transaction:
            role = _find(transaction, name, lock=True)
            replace_resource(transaction, KIND, name, change(role), modified=self.now())


def _may(role: str, action: str) -> bool:
    """Whether a role may do what IAM calls `service:Operation`."""
    service, _, name = action.partition(":")
    return allows(role, service, name, {})


def _find(transaction: Transaction, name: str, *, lock: bool = False) -> Document:
    role = find_resource(transaction, KIND, name, lock=lock)
    if role is None:
        raise _no_such(f"The role with name {name} cannot be found.")
    return role


def _no_such(message: str) -> AwsError:
    return AwsError(message, code="NoSuchEntity", status=404)


def _new_role(account: str, name: str, path: str, trust: str, now: float) -> Document:
    return {
        "Path": path,
        "RoleName": name,
        "RoleId": identifier("AROA", f"{account}/{name}/{now}"),
        "Arn": str(Arn("iam", "", account, f"role{path}{name}")),
        "CreateDate": now,
        "AssumeRolePolicyDocument": trust,
        "MaxSessionDuration": 3600,
    }


def _insert(transaction: Transaction, role: Document) -> None:
    insert_resource(transaction, KIND, role["RoleName"], role, created=role["CreateDate"], arn=role["Arn"])


def identifier(prefix: str, entropy: str) -> str:
    """IAM's unique ids: a prefix and 17 upper-case letters and digits."""
    return prefix + base64.b32encode(hashlib.sha256(entropy.encode()).digest()).decode()[:17]


def _public(role: Document, *without: str) -> Document:
    """As IAM answers it: policy documents are URL-encoded."""
    shown = {key: value for key, value in role.items() if not key.startswith("_") and key not in without}
    return {**shown, "AssumeRolePolicyDocument": quote(role["AssumeRolePolicyDocument"], safe="")}


def _policy(text: str) -> str:
    """The policy as text. Raises MalformedPolicyDocument when it is no JSON object with statements."""
    try:
        document = json.loads(text)
    except ValueError as error:
        message = f"The policy is not valid JSON: {error}."
        raise AwsError(message, code="MalformedPolicyDocument") from error
    if not isinstance(document, Mapping) or not document.get("Statement"):
        raise AwsError("The policy must be a JSON object with a Statement.", code="MalformedPolicyDocument")
    return text


def _managed_arn(name: str) -> str:
    return f"arn:{PARTITION}:iam::aws:policy/{name}"


def _known(arn: str) -> str:
    if arn not in map(_managed_arn, MANAGED_POLICIES):
        raise _no_such(
            f"Policy {arn} does not exist or is not attachable. Known here: {', '.join(MANAGED_POLICIES)} "
            f"(as {_managed_arn('NAME')}); give other permissions as an inline policy (PutRolePolicy)."
        )
    return arn


def _tagged(present: Sequence[Document], added: Sequence[Document]) -> list[Document]:
    merged = {tag["Key"]: tag["Value"] for tag in [*present, *added]}
    if len(merged) > MOST_TAGS:
        raise AwsError(f"A role can have {MOST_TAGS} tags, not {len(merged)}.", code="LimitExceeded", status=409)
    return [{"Key": key, "Value": value} for key, value in merged.items()]


def page_of(
    parameters: Mapping[str, Any], items: Sequence[_T], key: Callable[[_T], str] | None
) -> tuple[list[_T], Document]:
    """One page and the rest of the answer. The marker names the last item by its key, or else counts them."""
    start = 0
    marker = parameters.get("Marker")
    if marker is not None:
        try:
            last = unquote(base64.b64decode(marker, altchars=b"-_", validate=True).decode())
            start = int(last) if key is None else sum(key(item) <= last for item in items)
        except (ValueError, binascii.Error):
            raise AwsError("Invalid Marker.", code="ValidationError") from None
    page = list(items[start : start + parameters.get("MaxItems", DEFAULT_PAGE)])
    end = start + len(page)
    if end >= len(items):
        return page, {"IsTruncated": False}
    last = str(end) if key is None else key(page[-1])
    return page, {"IsTruncated": True, "Marker": base64.urlsafe_b64encode(quote(last).encode()).decode()}
