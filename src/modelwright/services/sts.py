"""STS: who is calling, and keys of one's own that end by themselves. Keys are checked by the wire's SigV4.

Roles are not assumed here (AssumeRole): nothing is permitted to one role and denied to another, so a role that could
be assumed would be one in name only, and its session's name anybody's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from modelwright.errors import AwsError
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, refused

DEFAULT = 43_200
"""Seconds; the model of the service knows the least and the most."""
_MFA = refused("There are no MFA devices here: leave it out.")


@dataclass(frozen=True)
class Temporary:
    """A session key."""

    id: str
    secret: str = field(repr=False)
    token: str = field(repr=False)


Issue = Callable[[str, int], Temporary | None]
"""(user, when it ends) -> a key of the user's; None where there is no such user."""


class Sts:
    """The Security Token Service."""

    def __init__(self, *, issue: Issue, now: Callable[[], float]) -> None:
        self._issue = issue
        self._now = now

    @operation("GetCallerIdentity", quick=True)
    def get_caller_identity(self, context: Context, _: dict[str, Any]) -> Document:
        """The principal whose key signed the request."""
        return {"UserId": context.principal.user_id, "Account": context.account, "Arn": context.principal.arn}

    @operation("GetSessionToken", members={"DurationSeconds": HONOURED, "SerialNumber": _MFA, "TokenCode": _MFA})
    def get_session_token(self, context: Context, parameters: dict[str, Any]) -> Document:
        """A key that may do what the caller may, and ends. Raises AccessDenied for those who have no key of a user."""
        expires = int(self._now()) + parameters.get("DurationSeconds", DEFAULT)
        who = context.principal
        key = None if who.access_key.startswith("ASIA") else self._issue(who.name, expires)
        if key is None:
            raise AwsError("Cannot call GetSessionToken with session credentials", code="AccessDenied", status=403)
        return {
            "Credentials": {
                "AccessKeyId": key.id,
                "SecretAccessKey": key.secret,
                "SessionToken": key.token,
                "Expiration": float(expires),
            }
        }
