"""Checks and reasons that several operations share."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from modelwright.errors import ValidationException

ONE_MACHINE = "Everything runs on one machine here: AWS's {} has no meaning for it."
NO_ENCRYPTION = "Nothing here is encrypted with KMS keys; the disk's encryption is the host's."
NO_INSTANCES = "No instances are reserved here; the job takes its share of this machine."
ROLE = "Only its form is checked: everything is permitted to the roles of this account."
EXPERIMENTS = "Experiments are not kept here yet; the job itself is the same."


def check_s3_uri(uri: str, path: str) -> None:
    """AWS's model also lets https through, which nothing here (and no SDK) uses for a job."""
    if not re.fullmatch(r"s3://[a-zA-Z0-9][a-zA-Z0-9._-]{1,253}[a-zA-Z0-9](/.*)?", uri, re.DOTALL):
        raise ValidationException(f"{path} = '{uri}' is not a valid S3 URI: it must be s3://bucket/key.")


def check_instance_type(known: Callable[[str], bool], name: str) -> None:
    if not known(name):
        raise ValidationException(f"Instance type '{name}' is not known here: its vCPUs and memory are in no table.")


def check_unique(names: Sequence[str], path: str, member: str) -> None:
    for name in names:
        if names.count(name) > 1:
            raise ValidationException(f"{path}: {member} '{name}' comes more than once; it must be unique.")


def check_local_path(path: str | None, where: str) -> None:
    """Paths of a processing container, as AWS restricts them."""
    if path is None:
        raise ValidationException(f"{where}.LocalPath is missing: it is where the container finds the files.")
    parts = path.rstrip("/").split("/")
    if parts[:4] != ["", "opt", "ml", "processing"] or len(parts) < 5 or ".." in parts:
        raise ValidationException(f"{where}.LocalPath = '{path}': it must begin with /opt/ml/processing/.")
