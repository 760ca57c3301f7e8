"""Model package groups: the Model Registry's folders, one a model, whose packages are numbered versions."""

from __future__ import annotations

import json
from typing import Any

from modelwright.arns import sagemaker_arn
from modelwright.errors import ConflictException, ValidationException
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table, refused
from modelwright.services.sagemaker.base import (
    SageMakerService,
    answer,
    is_short,
    list_query,
    pick,
    taken,
    user_context,
)
from modelwright.services.sagemaker.package_names import GROUP, PACKAGE, find_group
from modelwright.store.resources import (
    Query,
    count_resources,
    delete_resource,
    insert_resource,
    list_resources,
    put_tags,
    replace_resource,
)

MEMBERS: Table = {
    "ModelPackageGroupName": HONOURED,
    "ModelPackageGroupDescription": HONOURED,
    "Tags": HONOURED,
    "ManagedConfiguration": refused("Leave it out: there is no managed storage here."),
}

LIST_MEMBERS: Table = {
    "CreationTimeAfter": HONOURED,
    "CreationTimeBefore": HONOURED,
    "MaxResults": HONOURED,
    "NameContains": HONOURED,
    "NextToken": HONOURED,
    "SortBy": HONOURED,
    "SortOrder": HONOURED,
    "CrossAccountFilterOption": refused("There is one account here.", "SameAccount"),
}


class ModelPackageGroups(SageMakerService):
    """CreateModelPackageGroup and what belongs to it."""

    @operation("CreateModelPackageGroup", members=MEMBERS)
    def create(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises ValidationException when there is a group of this name."""
        name = parameters["ModelPackageGroupName"]
        arn = sagemaker_arn(context.region, context.account, "model-package-group", name)
        now = self.now()
        document = {
            **pick(parameters, "ModelPackageGroupName", "ModelPackageGroupDescription"),
            "ModelPackageGroupArn": arn,
            "CreationTime": now,
            "CreatedBy": user_context(context),
            "ModelPackageGroupStatus": "Completed",
            "_LastVersion": 0,
        }
        with self.database.write() as transaction:
            if taken(transaction, GROUP, name, arn):
                raise ValidationException(f"Model Package Group already exists: {arn}")
            insert_resource(transaction, GROUP, name, document, created=now, arn=arn, status="Completed")
            put_tags(transaction, arn, parameters.get("Tags", []))
        return {"ModelPackageGroupArn": arn}

    @operation("DescribeModelPackageGroup", quick=True)
    def describe(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            return find_group(transaction, parameters["ModelPackageGroupName"])

    @operation("ListModelPackageGroups", quick=is_short, members=LIST_MEMBERS)
    def list(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            page = list_resources(transaction, list_query(GROUP, parameters))
        return answer("ModelPackageGroupSummaryList", page, _summary)

    @operation("DeleteModelPackageGroup")
    def delete(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Raises ConflictException as long as the group has versions."""
        with self.database.write() as transaction:
            group = find_group(transaction, parameters["ModelPackageGroupName"], lock=True)
            name = group["ModelPackageGroupName"]
            versions = count_resources(transaction, Query(PACKAGE, parent=name))
            if versions:
                raise ConflictException(
                    f"Model Package Group {group['ModelPackageGroupArn']} can't be deleted: it has {versions} model "
                    "package(s). Delete them first."
                )
            delete_resource(transaction, GROUP, name)
        return {}

    @operation("PutModelPackageGroupPolicy")
    def put_policy(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Keep a resource policy. It is for other accounts, of which there are none here."""
        policy = parameters["ResourcePolicy"]
        try:
            valid = isinstance(json.loads(policy), dict)
        except ValueError:
            valid = False
        if not valid:
            raise ValidationException("ResourcePolicy is not a valid policy: it must be a JSON object.")
        with self.database.write() as transaction:
            group = find_group(transaction, parameters["ModelPackageGroupName"], lock=True)
            self._replace(transaction, {**group, "_ResourcePolicy": policy})
        return {"ModelPackageGroupArn": group["ModelPackageGroupArn"]}

    @operation("GetModelPackageGroupPolicy", quick=True)
    def get_policy(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            group = find_group(transaction, parameters["ModelPackageGroupName"])
        return {"ResourcePolicy": _policy(group)}

    @operation("DeleteModelPackageGroupPolicy")
    def delete_policy(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.write() as transaction:
            group = find_group(transaction, parameters["ModelPackageGroupName"], lock=True)
            _policy(group)
            self._replace(transaction, {key: value for key, value in group.items() if key != "_ResourcePolicy"})
        return {}

    def _replace(self, transaction: Any, group: Document) -> None:
        replace_resource(transaction, GROUP, group["ModelPackageGroupName"], group, modified=self.now())


def _policy(group: Document) -> str:
    policy: str | None = group.get("_ResourcePolicy")
    if policy is None:
        raise ValidationException(f"{group['ModelPackageGroupArn']} has no resource policy.")
    return policy


def _summary(group: Document) -> Document:
    return pick(
        group,
        "ModelPackageGroupName",
        "ModelPackageGroupArn",
        "ModelPackageGroupDescription",
        "CreationTime",
        "ModelPackageGroupStatus",
    )
