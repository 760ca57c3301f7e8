"""Access keys: who may call, and with which secret. Finding a key is a look in a dict: it happens on every request.

Three kinds. The *home's* two, kept 0600 in `credentials.json`: the owner's (`admin`), and one that jobs of earlier
versions hold. The *users'*: the database says which ids there are and whose, never a secret, because each is derived
from its id by the home's signing secret (in the same file). SigV4 wants secrets in clear, so this one file is what
must be kept secret; the database and its copies hold none. And *sessions*: what jobs, builds and endpoints get, and
what a user gets for a while (GetSessionToken). Those are stored nowhere: the session token says whose it is and, for
users, until when, and is signed.

All act as sessions of the execution role, because the SDKs' `get_execution_role()` reads the role out of an
assumed-role identity; the session's name is the user's, or says which job it was.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import secrets
import string
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from modelwright.arns import EXECUTION_ROLE, EXECUTION_ROLE_ID, Arn
from modelwright.errors import ConfigurationError
from modelwright.services.dispatch import Principal

SESSIONS = {"admin": "admin", "job": "SageMaker"}
"""Whose key -> the name of its role session: jobs are called `SageMaker` on AWS too."""
SIGNING = "signing"

_ID_PREFIX = "AKIAMW"
_SESSION_PREFIX = "ASIAMW"
_ID_LETTERS = string.ascii_uppercase + "234567"
_SECRET_LETTERS = string.ascii_letters + string.digits


@dataclass(frozen=True)
class AccessKey:
    """An access key id, its secret, and whom it stands for. `token` must come with a session's."""

    id: str
    secret: str = field(repr=False)
    principal: Principal
    token: str | None = field(default=None, repr=False)
    expires: float | None = None
    """When a temporary one ends, epoch seconds."""


@dataclass(frozen=True)
class Holder:
    """A user as keys need it: the name, the role, the ids of the keys that are active."""

    user: str
    role: str
    keys: tuple[str, ...] = ()


class Keys:
    """The keys of one home folder."""

    def __init__(self, path: Path, account: str, held: Mapping[str, tuple[str, str]]) -> None:
        self._path = path
        self._account = account
        self._signing = held[SIGNING][1].encode()
        self._holders: tuple[Holder, ...] = ()
        self._is_over: Callable[[str], bool] = lambda _: False
        self._take(held)

    @classmethod
    def open(cls, path: Path, account: str) -> Keys:
        """Read the keys, or make them where there are none.

        Raises ConfigurationError when the file is damaged or can't be written.
        """
        try:
            held = _read(path)
            missing = [holder for holder in (*SESSIONS, SIGNING) if holder not in held]
            if missing:  # all at the first start; the signing secret in a home of an earlier version
                held = {**held, **{holder: _generate() for holder in missing}}
                _write(path, held)
        except OSError as error:
            raise ConfigurationError(
                f"The access keys can't be kept in {path}: {error.strerror or error}. "
                "Make the folder writable or choose another with --home."
            ) from error
        return cls(path, account, held)

    @property
    def admin(self) -> AccessKey:
        """The owner's: `modelwright env`, `modelwright run`, the command line."""
        return self._home["admin"]

    @property
    def job(self) -> AccessKey:
        """What jobs of earlier versions hold."""
        return self._home["job"]

    def signing(self, purpose: str) -> bytes:
        """A secret of this home for one purpose."""
        return hmac.digest(self._signing, purpose.encode(), hashlib.sha256)

    def secret_of(self, key_id: str) -> str:
        """The secret of a user's key."""
        return base64.b64encode(self.signing(f"access key {key_id}")[:30]).decode()

    def holders(self, holders: Iterable[Holder]) -> None:
        """These are the users from now on."""
        self._holders = tuple(holders)
        self._index()

    def over(self, is_over: Callable[[str], bool]) -> None:
        """`is_over(event stream)` says whether a job has ended: its session has expired then."""
        self._is_over = is_over

    def find(self, key_id: str, token: str | None = None) -> AccessKey | None:
        """The key of that id, or None. `token` is the session token that came with it."""
        if token and key_id.startswith(_SESSION_PREFIX):
            return self._session(key_id, token)
        return self._by_id.get(key_id)

    def role_of(self, arn: str) -> str:
        """The role that a user has now, by the ARN of their principal; empty for others."""
        return self._roles.get(arn, "")

    def session(self, name: str, role: str) -> AccessKey:
        """A key for a job: `name` is its event stream. The same job gets the same key again."""
        key_id, secret, token = self._derived(_body([name, role]))
        return AccessKey(key_id, secret, principal(self._account, session_name(name), role, key_id), token)

    def temporary(self, user: str, expires: int) -> AccessKey | None:
        """A new session key of a user's, good until then; None where there is no such user (any more)."""
        return self._temporary(_body([user, "", expires, secrets.token_hex(8)]))

    def replace_admin(self, pair: tuple[str, str]) -> None:
        """Write another key of the owner's into the file; the server takes it when the old one is deleted."""
        _write(self._path, {**_read(self._path), "admin": pair})

    def reread(self) -> None:
        """Look at the file again."""
        self._take(_read(self._path))

    def _session(self, key_id: str, token: str) -> AccessKey | None:
        body = token.partition(".")[0]
        if not hmac.compare_digest(f"{body}.{_text(self.signing(f'session token {body}'))}".encode(), token.encode()):
            return None
        name, role, *more = _content(body)
        key = self._temporary(body) if more else self.session(name, role)
        if key is not None and not more and self._is_over(name):
            key = replace(key, expires=0.0)
        return key if key is not None and key.id == key_id else None

    def _temporary(self, body: str) -> AccessKey | None:
        user, _, expires, _ = _content(body)
        role = self._roles.get(principal(self._account, user, "").arn)
        if role is None:
            return None
        key_id, secret, token = self._derived(body)
        return AccessKey(key_id, secret, principal(self._account, user, role, key_id), token, expires)

    def _derived(self, body: str) -> tuple[str, str, str]:
        """(id, secret, token) of a session."""
        token = f"{body}.{_text(self.signing(f'session token {body}'))}"
        letters = base64.b32encode(self.signing(f"session id {token}")).decode()
        key_id = _SESSION_PREFIX + letters[: 20 - len(_SESSION_PREFIX)]
        return key_id, base64.b64encode(self.signing(f"session secret {token}")[:30]).decode(), token

    def _take(self, held: Mapping[str, tuple[str, str]]) -> None:
        self._home = {
            holder: AccessKey(*held[holder], principal(self._account, name, holder, held[holder][0]))
            for holder, name in SESSIONS.items()
        }
        self._index()

    def _index(self) -> None:
        by_id = {key.id: key for key in self._home.values()}
        for holder in self._holders:
            for key_id in holder.keys:
                who = principal(self._account, holder.user, holder.role, key_id)
                by_id.setdefault(key_id, AccessKey(key_id, self.secret_of(key_id), who))
        self._by_id = by_id
        self._roles = {principal(self._account, each.user, "").arn: each.role for each in self._holders}
        self._roles[self._home["admin"].principal.arn] = "admin"


def principal(account: str, name: str, role: str, key_id: str = "") -> Principal:
    """Somebody (or a job) as a session of the execution role."""
    arn = str(Arn("sts", "", account, f"assumed-role/{EXECUTION_ROLE}/{name}"))
    return Principal(arn=arn, user_id=f"{EXECUTION_ROLE_ID}:{name}", access_key=key_id, role=role)


def session_name(stream: str) -> str:
    """How a job's session is called: no user's name begins so."""
    return "SageMaker-" + stream.replace("/", "-").replace(":", "-")


def _body(content: list[str | int]) -> str:
    return _text(json.dumps(content, separators=(",", ":")).encode())


def _content(body: str) -> list[Any]:
    found: list[Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return found


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


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
        expected = (*SESSIONS, SIGNING) if SIGNING in content else tuple(SESSIONS)
        held = {holder: (content[holder]["AccessKeyId"], content[holder]["SecretAccessKey"]) for holder in expected}
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
