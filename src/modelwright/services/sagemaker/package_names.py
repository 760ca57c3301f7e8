"""How model packages and their groups are named in requests: by name, by ARN, by `group/version`.

A versioned package's resource name is `group/version`, an unversioned one's is its own name.
"""

from __future__ import annotations

from modelwright.arns import Arn
from modelwright.errors import ValidationException
from modelwright.services.dispatch import Document
from modelwright.store.database import Transaction
from modelwright.store.resources import find_by_arn, find_resource

GROUP = "ModelPackageGroup"
PACKAGE = "ModelPackage"


def find_group(transaction: Transaction, name_or_arn: str, *, lock: bool = False) -> Document:
    """Raises ValidationException when there is no such group."""
    found = _find(transaction, GROUP, "model-package-group", name_or_arn, lock)
    if found is None:
        raise ValidationException(f"ModelPackageGroup {name_or_arn} does not exist.")
    return found


def find_package(transaction: Transaction, name_or_arn: str, *, lock: bool = False) -> Document:
    """Raises ValidationException when there is no such package."""
    found = _find(transaction, PACKAGE, "model-package", name_or_arn, lock)
    if found is None:
        raise ValidationException(f"ModelPackage {name_or_arn} does not exist.")
    return found


def package_name(package: Document) -> str:
    """The resource's name."""
    name: str = package["ModelPackageName"]
    return name


def _find(transaction: Transaction, kind: str, arn_type: str, name_or_arn: str, lock: bool) -> Document | None:
    name = name_or_arn
    if name_or_arn.startswith("arn:"):
        if Arn.parse(name_or_arn).resource_type != arn_type:
            raise ValidationException(f"{name_or_arn} is not the ARN of a {kind} (.../{arn_type}/...).")
        # The name of an ARN is in lower case, the resource's own need not be.
        found = find_by_arn(transaction, name_or_arn)
        if found is None or found[0] != kind:
            return None
        name = found[1]
    return find_resource(transaction, kind, name, lock=lock)
