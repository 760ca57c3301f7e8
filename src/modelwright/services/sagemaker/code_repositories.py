"""Git repositories under a name of SageMaker's: where they are and which branch, nothing of their content.

Nothing here clones them by itself; the credentials that a `SecretArn` names are therefore not looked at.
"""

from __future__ import annotations

from typing import Any

from modelwright.arns import sagemaker_arn
from modelwright.errors import ValidationException
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table, recorded
from modelwright.services.sagemaker.base import SageMakerService, answer, is_short, list_query, pick, taken
from modelwright.store.database import Transaction
from modelwright.store.resources import (
    delete_resource,
    find_resource,
    insert_resource,
    list_resources,
    put_tags,
    replace_resource,
)

KIND = "CodeRepository"
_SECRET = recorded("There are no secrets here, and nothing clones by itself: git asks for its own credentials.")
CREATE_MEMBERS: Table = {
    "CodeRepositoryName": HONOURED,
    "GitConfig": {"RepositoryUrl": HONOURED, "Branch": HONOURED, "SecretArn": _SECRET},
    "Tags": HONOURED,
}
UPDATE_MEMBERS: Table = {"CodeRepositoryName": HONOURED, "GitConfig": {"SecretArn": _SECRET}}


class CodeRepositories(SageMakerService):
    """CreateCodeRepository and what belongs to it."""

    @operation("CreateCodeRepository", members=CREATE_MEMBERS)
    def create(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises ValidationException when the name is used."""
        name, now = parameters["CodeRepositoryName"], self.now()
        arn = sagemaker_arn(context.region, context.account, "code-repository", name)
        document = {
            "CodeRepositoryName": name,
            "CodeRepositoryArn": arn,
            "CreationTime": now,
            "LastModifiedTime": now,
            "GitConfig": parameters["GitConfig"],
        }
        with self.database.write() as transaction:
            if taken(transaction, KIND, name, arn):
                raise ValidationException(f"Cannot create already existing code repository: {arn}")
            insert_resource(transaction, KIND, name, document, created=now, arn=arn)
            put_tags(transaction, arn, parameters.get("Tags", []))
        return {"CodeRepositoryArn": arn}

    @operation("DescribeCodeRepository", quick=True)
    def describe(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            return _find(transaction, parameters["CodeRepositoryName"])

    @operation("ListCodeRepositories", quick=is_short)
    def list(self, _: Context, parameters: dict[str, Any]) -> Document:
        """By name, as AWS has it, unless told otherwise."""
        with self.database.read() as transaction:
            page = list_resources(transaction, list_query(KIND, parameters, sort_by="Name", sort_order="Ascending"))
        members = ("CodeRepositoryName", "CodeRepositoryArn", "CreationTime", "LastModifiedTime", "GitConfig")
        return answer("CodeRepositorySummaryList", page, lambda one: pick(one, *members))

    @operation("UpdateCodeRepository", members=UPDATE_MEMBERS)
    def update(self, _: Context, parameters: dict[str, Any]) -> Document:
        name, now = parameters["CodeRepositoryName"], self.now()
        with self.database.write() as transaction:
            found = _find(transaction, name)
            git = {**found["GitConfig"], **parameters.get("GitConfig", {})}
            changed = {**found, "GitConfig": git, "LastModifiedTime": now}
            replace_resource(transaction, KIND, name, changed, modified=now)
        return {"CodeRepositoryArn": found["CodeRepositoryArn"]}

    @operation("DeleteCodeRepository")
    def delete(self, _: Context, parameters: dict[str, Any]) -> Document:
        """The git repository itself stays."""
        with self.database.write() as transaction:
            _find(transaction, parameters["CodeRepositoryName"])
            delete_resource(transaction, KIND, parameters["CodeRepositoryName"])
        return {}


def _find(transaction: Transaction, name: str) -> Document:
    found = find_resource(transaction, KIND, name)
    if found is None:
        raise ValidationException(f"Could not find code repository '{name}'.")
    return found
