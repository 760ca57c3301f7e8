"""Who speaks git to us: HTTP Basic with an access key id, and a secret or a signature as the password.

The signature is what AWS's own tools send (`aws codecommit credential-helper`, git-remote-codecommit): Signature
Version 4 of a request with the method `GIT`, the repository's path and the host, written as its time, `Z` and the hex
digest. It is good for a quarter of an hour.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from calendar import timegm
from collections.abc import Callable, Sequence
from time import strptime

from modelwright.server.keys import AccessKey
from modelwright.services.dispatch import Principal

VALID_SECONDS = 15 * 60
_SIGNATURE = re.compile(r"(?P<time>(?P<day>\d{8})T\d{6})Z(?P<digest>[0-9a-f]{64})")
_HINT = "`modelwright env` sets what git needs; else use an access key's id and secret as user name and password."


class Refused(Exception):
    """Nobody we know; the text is for the user."""


class Credentials:
    """Checks them. `find(id, session token)` looks up an access key."""

    def __init__(self, find: Callable[[str, str | None], AccessKey | None], now: Callable[[], float]) -> None:
        self._find = find
        self._now = now

    def principal(self, authorization: str, host: str, path: str, regions: Sequence[str]) -> Principal:
        """Whose Authorization header this is. `path` is the repository's. Raises Refused."""
        user, password = _basic(authorization)
        key_id, _, token = user.partition("%")
        key = self._find(key_id, token or None)
        if key is None:
            raise Refused(f"The access key '{key_id}' is not known here. {_HINT}")
        if token != (key.token or ""):
            raise Refused(f"The access key '{key_id}' has no such session token. {_HINT}")
        if key.expires is not None and self._now() >= key.expires:
            raise Refused(f"The session of the access key '{key_id}' has expired: get a new session token.")
        found = _SIGNATURE.fullmatch(password)
        if found is None:
            if hmac.compare_digest(password.encode(), key.secret.encode()):
                return key.principal
            raise Refused(f"The password is not the secret of the access key '{key_id}'. {_HINT}")
        if abs(self._now() - _seconds(found["time"])) > VALID_SECONDS:
            raise Refused("The signature in the password has expired: let git ask its credential helper again.")
        for region in regions:
            for signed in (path, f"{path}/", f"{path}.git"):
                expected = _sign(key.secret, found["time"], found["day"], region, host, signed)
                if hmac.compare_digest(expected, found["digest"]):
                    return key.principal
        raise Refused(f"The signature in the password is not one of the access key '{key_id}'. {_HINT}")


def _basic(authorization: str) -> tuple[str, str]:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        raise Refused(f"An access key is needed. {_HINT}")
    try:
        user, found, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (ValueError, binascii.Error):
        found = ""
    if not found:
        raise Refused(f"The Authorization header can't be read. {_HINT}")
    return user, password


def _seconds(time: str) -> float:
    try:
        return float(timegm(strptime(time, "%Y%m%dT%H%M%S")))
    except ValueError:
        raise Refused("The time in the password is none.") from None


def _sign(secret: str, time: str, day: str, region: str, host: str, path: str) -> str:
    canonical = f"GIT\n{path}\n\nhost:{host}\n\nhost\n"
    scope = f"{day}/{region}/codecommit/aws4_request"
    to_sign = "\n".join(("AWS4-HMAC-SHA256", time, scope, hashlib.sha256(canonical.encode()).hexdigest()))
    key = f"AWS4{secret}".encode()
    for part in (day, region, "codecommit", "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, to_sign.encode(), "sha256").hex()
