"""The one door's check: may this caller do this? Else AWS's AccessDenied, in the manner of the service that was asked.

`services.access` knows what roles may; here it is asked for the caller, or for those whom the platform acts for, and
what can't be told by a call's own parameters is looked up (`Rule`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modelwright.errors import AccessDeniedException, AwsError
from modelwright.services.access import ADMIN, ROLES, SERVICE, allows
from modelwright.services.dispatch import Context
from modelwright.services.subjects import action, subject

Rule = Callable[[str, str, Mapping[str, Any], str], str | None]
"""(service, operation, parameters, role) -> why only an admin may, or None. Not asked about admins."""

_QUERY = frozenset({"iam", "sts", "cloudformation", "cloudwatch", "sqs", "sns"})
_REST = frozenset({"sagemaker-runtime", "sagemaker-metrics", "sagemaker-featurestore-runtime", "lambda", "scheduler"})


class Guard:
    """`services.dispatch.Guard` over the roles of users."""

    def __init__(self, role_of: Callable[[str], str], rules: Sequence[Rule] = ()) -> None:
        """`role_of(arn)` is the role that somebody has now; empty for those who are no users (any more)."""
        self._role_of = role_of
        self._rules = rules

    def check(self, context: Context, service: str, operation: str, parameters: Mapping[str, Any]) -> None:
        role = self.role(context)
        if role == ADMIN:
            return
        if not allows(role, service, operation, parameters):
            raise denied(context, service, operation, parameters, _who(context, role, service, operation, parameters))
        for rule in self._rules:
            why = rule(service, operation, parameters, role)
            if why is not None:
                raise denied(context, service, operation, parameters, f"{why} An admin may.")

    def role(self, context: Context) -> str:
        """What the caller acts as: the platform, acting for administrators alone, as one of them."""
        role = context.principal.role
        if role == SERVICE and context.behalf and all(self._role_of(arn) == ADMIN for arn in context.behalf):
            return ADMIN
        return role


def denied(context: Context, service: str, operation: str, parameters: Mapping[str, Any], why: str) -> AwsError:
    """The error, in AWS's words and the service's own code."""
    name = action(service, operation)
    resource = subject(service, operation, parameters, context.region, context.account).arn
    actor = context.principal.arn
    message = (
        f"User: {actor} is not authorized to perform: {name} on resource: {resource} because no identity-based policy "
        f"allows the {name} action. {why}"
    )
    if service == "s3" or service in _QUERY:
        return AwsError(message, code="AccessDenied", status=403)
    return AccessDeniedException(message, status=403 if service in _REST else 400)


def _who(context: Context, role: str, service: str, operation: str, parameters: Mapping[str, Any]) -> str:
    """What the caller is, and who may."""
    able = [each for each in ROLES if allows(each, service, operation, parameters)]
    may = " or ".join(_with_article(each) for each in reversed(able))
    if role == SERVICE:
        names = ", ".join(arn.rpartition("/")[2] for arn in context.behalf) or "nobody in particular"
        return f"The platform acts for {names} here. {may[:1].upper()}{may[1:]} may."
    kind = _with_article(role) if role else "without a role"
    return f"{context.principal.name} is {kind}; {may} may."


def _with_article(role: str) -> str:
    return f"an {role}" if role[:1] in "aeiou" else f"a {role}"
