"""Names, ids and ARNs in AWS's formats. Pure: randomness and time come in as arguments, or from the caller.

Documents inside Modelwright hold times as epoch seconds (float); the wire turns them into what a protocol wants.
"""

from __future__ import annotations

import hashlib
import re
import string
from dataclasses import dataclass

from modelwright.errors import ValidationException

PARTITION = "aws"
EXECUTION_ROLE = "ModelwrightExecutionRole"
"""The role that everything runs as."""
EXECUTION_ROLE_ID = "AROAMODELWRIGHTEXEC01"
"""Its unique id, as IAM and STS tell it."""
_ALPHANUMERIC = string.ascii_letters + string.digits
_LOWER_ALPHANUMERIC = string.ascii_lowercase + string.digits


@dataclass(frozen=True)
class Arn:
    """`arn:aws:SERVICE:REGION:ACCOUNT:RESOURCE`; `resource` is `type/name`, `type:name` or just a name."""

    service: str
    region: str
    account: str
    resource: str

    @classmethod
    def parse(cls, text: str) -> Arn:
        """Raises ValidationException when `text` is no ARN."""
        parts = text.split(":", 5)
        if len(parts) != 6 or parts[0] != "arn" or not parts[2] or not parts[5]:
            raise ValidationException(f"'{text}' is not an ARN (arn:aws:service:region:account:resource).")
        return cls(service=parts[2], region=parts[3], account=parts[4], resource=parts[5])

    @property
    def resource_type(self) -> str:
        """`training-job` of `training-job/name`; empty for S3's bare names."""
        head, separator, _ = self.resource.replace(":", "/", 1).partition("/")
        return head if separator else ""

    @property
    def name(self) -> str:
        """What follows the resource type: `group/3` of `model-package/group/3`."""
        _, separator, tail = self.resource.replace(":", "/", 1).partition("/")
        return tail if separator else self.resource

    def __str__(self) -> str:
        return f"arn:{PARTITION}:{self.service}:{self.region}:{self.account}:{self.resource}"


def sagemaker_arn(region: str, account: str, resource_type: str, name: str) -> str:
    """SageMaker's ARNs: the name in lower case, as AWS writes it."""
    return str(Arn("sagemaker", region, account, f"{resource_type}/{name.lower()}"))


def role_arn(account: str, role: str) -> str:
    """IAM is global: no region."""
    return str(Arn("iam", "", account, f"role/{role}"))


def execution_id(entropy: bytes) -> str:
    """A pipeline execution's id: 12 lower-case letters and digits, a pure function of `entropy`."""
    return _encode(entropy, _LOWER_ALPHANUMERIC, 12)


def step_job_name(execution: str, step: str, attempt: int, *, limit: int = 63) -> str:
    """The name of the job that a step starts: `pipelines-<execution>-<step>-<10 letters or digits>`.

    The same arguments always give the same name: that is what makes starting a step safe to repeat.
    """
    tail = _encode(f"{execution}/{step}/{attempt}".encode(), _ALPHANUMERIC, 10)
    room = limit - len("pipelines-") - len(execution) - len(tail) - 2
    readable = re.sub(r"[^a-zA-Z0-9]+", "-", step)[:room].strip("-") or "step"
    return f"pipelines-{execution}-{readable}-{tail}"


def _encode(entropy: bytes, alphabet: str, length: int) -> str:
    number = int.from_bytes(hashlib.sha256(entropy).digest(), "big")
    letters = []
    for _ in range(length):
        number, digit = divmod(number, len(alphabet))
        letters.append(alphabet[digit])
    return "".join(letters)
