"""Access keys: who may call, and with which secret.

One key for people (`admin`) and one that the engine hands to jobs (`job`), both generated at the first start and kept
0600 in the home folder. Both act as the execution role, because the SDKs' `get_execution_role()` reads the role out of
an assumed-role identity; the session's name says which of the two it was. Finding a key is a look in a dict: it
happens on every request.
"""

from __future__ import annotations

import json
import os
import secrets
import string
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelwright.arns import EXECUTION_ROLE, EXECUTION_ROLE_ID, Arn
from modelwright.errors import ConfigurationError
from modelwright.services.dispatch import Principal

SESSIONS = {"admin": "admin", "job": "SageMaker"}
"""Whose key -> the name of its role session: jobs are called `SageMaker` on AWS too."""

_ID_PREFIX = "AKIAMW"
_ID_LETTERS = string.ascii_uppercase + "234567"
_SECRET_LETTERS = string.ascii_letters + string.digits


@dataclass(frozen=True)
class AccessKey:
    """An access key id, its secret, and whom it stands for."""

    id: str
    secret: str
    principal: Principal


class Keys:
    """The keys of one home folder. Immutable once opened."""

    def __init__(self, by_holder: Mapping[str, AccessKey]) -> None:
        self._by_holder = dict(by_holder)
        self._by_id = {key.id: key for key in by_holder.values()}

    @classmethod
    def open(cls, path: Path, account: str) -> Keys:
        """Read the keys, or make them where there are none.

        Raises ConfigurationError when the file is damaged or can't be written.
        """
        try:
            held = _read(path)
            if not held:
                held = {holder: _generate() for holder in SESSIONS}
                _write(path, held)
        except OSError as error:
            raise ConfigurationError(
                f"The access keys can't be kept in {path}: {error.strerror or error}. "
                "Make the folder writable or choose another with --home."
            ) from error
        return cls({holder: AccessKey(*pair, _principal(account, holder, pair[0])) for holder, pair in held.items()})

    @property
    def admin(self) -> AccessKey:
        """For people: `modelwright env`, `modelwright run`, the command line."""
        return self._by_holder["admin"]

    @property
    def job(self) -> AccessKey:
        """For code that runs in a job."""
        return self._by_holder["job"]

    def find(self, key_id: str) -> AccessKey | None:
        """The key of that id, or None."""
        return self._by_id.get(key_id)


def _principal(account: str, holder: str, key_id: str) -> Principal:
    session = SESSIONS[holder]
    arn = str(Arn("sts", "", account, f"assumed-role/{EXECUTION_ROLE}/{session}"))
    return Principal(arn=arn, user_id=f"{EXECUTION_ROLE_ID}:{session}", access_key=key_id)


def _generate() -> tuple[str, str]:
    key_id = _ID_PREFIX + "".join(secrets.choice(_ID_LETTERS) for _ in range(20 - len(_ID_PREFIX)))
    return key_id, "".join(secrets.choice(_SECRET_LETTERS) for _ in range(40))


def _read(path: Path) -> dict[str, tuple[str, str]]:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise ConfigurationError(_damaged(path)) from error
    try:
        held = {holder: (content[holder]["AccessKeyId"], content[holder]["SecretAccessKey"]) for holder in SESSIONS}
    except (KeyError, TypeError) as error:
        raise ConfigurationError(_damaged(path)) from error
    if not all(isinstance(text, str) and text for pair in held.values() for text in pair):
        raise ConfigurationError(_damaged(path))
    return held


def _damaged(path: Path) -> str:
    return f"{path} does not hold Modelwright's access keys. Delete it: the next start makes new ones."


def _write(path: Path, held: Mapping[str, tuple[str, str]]) -> None:
    content = {holder: {"AccessKeyId": pair[0], "SecretAccessKey": pair[1]} for holder, pair in held.items()}
    write_private(path, json.dumps(content, indent=2).encode() + b"\n")


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read: whole or not at all, never readable by others on the way."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # made 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
