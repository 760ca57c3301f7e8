"""STS: who is calling. Identities are checked by the wire's SigV4; here they are only told.

Temporary credentials (AssumeRole, GetSessionToken, ...) are not supported: every key belongs to the one account and
nothing is permitted to one role and denied to another, so a role that could be assumed would be a role in name only.
"""

from __future__ import annotations

from typing import Any

from modelwright.services.dispatch import Context, Document, operation


class Sts:
    """The Security Token Service."""

    @operation("GetCallerIdentity", quick=True)
    def get_caller_identity(self, context: Context, _: dict[str, Any]) -> Document:
        """The principal whose key signed the request."""
        return {"UserId": context.principal.user_id, "Account": context.account, "Arn": context.principal.arn}
