"""Tags of any SageMaker resource, by its ARN."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from modelwright.errors import ValidationException
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.sagemaker.base import SageMakerService
from modelwright.store.database import Transaction
from modelwright.store.resources import find_by_arn, get_tags, put_tags, remove_tags

DEFAULT_PAGE = 100


class Tags(SageMakerService):
    """AddTags, ListTags, DeleteTags."""

    @operation("AddTags")
    def add(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Add tags or change their values. Answers all that the resource has then."""
        arn = parameters["ResourceArn"]
        for tag in parameters["Tags"]:
            if tag["Key"].lower().startswith("aws:"):
                raise ValidationException(f"Tag key '{tag['Key']}': the prefix aws: is reserved.")
        with self.database.write() as transaction:
            _check_resource(transaction, arn)
            put_tags(transaction, arn, parameters["Tags"])
            return {"Tags": get_tags(transaction, arn)}

    @operation("ListTags", quick=True)
    def list(self, _: Context, parameters: dict[str, Any]) -> Document:
        """A page of tags in the order in which they were given."""
        arn = parameters["ResourceArn"]
        start = _position(parameters.get("NextToken"))
        end = start + parameters.get("MaxResults", DEFAULT_PAGE)
        with self.database.read() as transaction:
            _check_resource(transaction, arn)
            tags = get_tags(transaction, arn)
        result: Document = {"Tags": tags[start:end]}
        if end < len(tags):
            result["NextToken"] = base64.urlsafe_b64encode(str(end).encode()).decode()
        return result

    @operation("DeleteTags")
    def delete(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Remove tags; a key that is not there is no error."""
        arn = parameters["ResourceArn"]
        with self.database.write() as transaction:
            _check_resource(transaction, arn)
            remove_tags(transaction, arn, parameters["TagKeys"])
        return {}


def _check_resource(transaction: Transaction, arn: str) -> None:
    found = find_by_arn(transaction, arn)
    if found is None:
        raise ValidationException(f"Could not find resource: {arn}")
    if "ModelPackageVersion" in found[2]:
        raise ValidationException(f"{arn} is a version of a group, and has its tags: use the group's ARN.")


def _position(token: str | None) -> int:
    if token is None:
        return 0
    try:
        position = int(base64.urlsafe_b64decode(token))
    except (ValueError, binascii.Error):
        position = -1
    if position < 0:
        raise ValidationException("NextToken is not valid for this request: pass on the token of its previous page.")
    return position
