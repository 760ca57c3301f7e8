"""Every error that Modelwright raises on purpose, in one tree.

    ModelwrightError
    ├── ConfigurationError            a setting, a file or this machine is not as it must be (CLI: one line, exit 2)
    ├── StaleVersion                  somebody else appended to the stream first: read again and decide again
    └── AwsError                      has an AWS code and HTTP status; reaches the client as AWS would send it
        ├── ValidationException           400  a member is missing, of the wrong type, or out of range
        ├── ResourceNotFound              400  SageMaker's not-found (its code has no "Exception")
        ├── ResourceInUse                 400  the name is taken, or the state forbids the change
        ├── ResourceLimitExceeded         400
        ├── ConflictException             400
        ├── ResourceNotFoundException     400  CloudWatch Logs, EventBridge, ...
        ├── ResourceAlreadyExistsException 400
        ├── InvalidParameterException     400
        ├── AccessDeniedException         400
        ├── UnsupportedOperation          400  Modelwright does not have this operation, or this field
        └── InternalFailure               500  a defect of Modelwright's

A service whose code is not here raises `AwsError(code, message, status)` itself; S3's and IAM's codes are many and
belong to their own modules. Raise where you know, catch where you can act.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

OPERATIONS_PAGE = "docs/operations.md"


class ModelwrightError(Exception):
    """Something that Modelwright noticed itself, with a text for the user."""


class ConfigurationError(ModelwrightError):
    """A setting, a file or this machine is not as it must be; the text says what to do."""


class StaleVersion(ModelwrightError):
    """The stream has moved on since it was read."""


class AwsError(ModelwrightError):
    """An error that the client sees in AWS's shape.

    `code` is what boto3 shows as `Error.Code`, `status` the HTTP status, `members` further members of the modelled
    error shape (S3's `BucketName`, say).
    """

    default_code: ClassVar[str] = "InternalFailure"
    default_status: ClassVar[int] = 400

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        members: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.status = status or self.default_status
        self.members = dict(members or {})


class ValidationException(AwsError):
    """A member is missing, has the wrong type, or is out of range."""

    default_code = "ValidationException"


class ResourceNotFound(AwsError):
    """SageMaker: no resource of that name."""

    default_code = "ResourceNotFound"


class ResourceInUse(AwsError):
    """SageMaker: the name is taken, or the resource's state forbids the change."""

    default_code = "ResourceInUse"


class ResourceLimitExceeded(AwsError):
    """A quota of the service would be exceeded."""

    default_code = "ResourceLimitExceeded"


class ConflictException(AwsError):
    """The request conflicts with the resource's present state."""

    default_code = "ConflictException"


class ResourceNotFoundException(AwsError):
    """CloudWatch Logs, EventBridge and others: no resource of that name."""

    default_code = "ResourceNotFoundException"


class ResourceAlreadyExistsException(AwsError):
    """CloudWatch Logs, EventBridge and others: the name is taken."""

    default_code = "ResourceAlreadyExistsException"


class InvalidParameterException(AwsError):
    """CloudWatch Logs, ECR and others: a parameter is not as it must be."""

    default_code = "InvalidParameterException"


class AccessDeniedException(AwsError):
    """The caller may not do this."""

    default_code = "AccessDeniedException"


class UnsupportedOperation(AwsError):
    """Modelwright does not have this operation, or this field of it; the text names it."""

    default_code = "UnsupportedOperation"

    @classmethod
    def operation(cls, service: str, operation: str) -> UnsupportedOperation:
        """The error for an operation of AWS's that Modelwright does not have."""
        return cls(f"Modelwright does not support {service}:{operation}. Supported operations: {OPERATIONS_PAGE}")

    @classmethod
    def member(cls, operation: str, path: str, instead: str) -> UnsupportedOperation:
        """The error for a member that an otherwise supported operation can't honour."""
        return cls(f"Modelwright does not support {path} in {operation}. {instead}")


class InternalFailure(AwsError):
    """A defect of Modelwright's; the server's log has the traceback under the request id."""

    default_code = "InternalFailure"
    default_status = 500
