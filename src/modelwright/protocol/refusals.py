"""How each family of services says no to a signature: the same reasons, AWS's code, status and text of each.

S3 has codes of its own, the query services (STS, IAM, CloudFormation) theirs, all others answer as JSON services do.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from modelwright.errors import AwsError
from modelwright.protocol.router import S3, Route

_HELP = "The keys of this Modelwright: `modelwright env`."
_MISMATCH = (
    "The request signature we calculated does not match the signature you provided. Check your key and signing method."
)
_MISMATCH_LONG = (
    "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key "
    "and signing method. Consult the service documentation for details."
)
_INVALID = "The security token included in the request is invalid."


def of(route: Route) -> Refusals:
    """The refusals of the service that a route (or a hint) names."""
    if route.service == S3:
        return _S3
    return _QUERY if route.protocol == "query" else _JSON


@dataclass(frozen=True)
class Refusals:
    """Each method returns the error to raise; `tolerance` is how far clocks may differ, in seconds."""

    family: str
    tolerance: float

    def _error(self, message: str, s3: tuple[str, int], query: tuple[str, int], json: tuple[str, int]) -> AwsError:
        code, status = {"s3": s3, "query": query, "json": json}[self.family]
        return AwsError(message, code=code, status=status)

    def missing(self) -> AwsError:
        """No signature at all."""
        message = (
            "Access Denied: the request is not signed." if self.family == "s3" else "Missing Authentication Token."
        )
        return self._error(
            f"{message} {_HELP}",
            ("AccessDenied", 403),
            ("MissingAuthenticationToken", 403),
            ("MissingAuthenticationTokenException", 400),
        )

    def mechanism(self) -> AwsError:
        """A signature of another sort."""
        return self._error(
            "The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.",
            ("InvalidRequest", 400),
            ("IncompleteSignature", 400),
            ("IncompleteSignatureException", 400),
        )

    def malformed(self, why: str) -> AwsError:
        """The Authorization header, or a header it needs, can't be read."""
        return self._error(
            why,
            ("AuthorizationHeaderMalformed", 400),
            ("IncompleteSignature", 400),
            ("IncompleteSignatureException", 400),
        )

    def malformed_query(self, why: str) -> AwsError:
        """The same of a presigned URL."""
        return self._error(
            why,
            ("AuthorizationQueryParametersError", 400),
            ("IncompleteSignature", 400),
            ("IncompleteSignatureException", 400),
        )

    def scope(self, why: str) -> AwsError:
        """Signed for another service or day."""
        return self._error(
            why,
            ("AuthorizationHeaderMalformed", 400),
            ("SignatureDoesNotMatch", 403),
            ("InvalidSignatureException", 400),
        )

    def unknown_key(self) -> AwsError:
        message = "The AWS Access Key Id you provided does not exist in our records."
        return self._error(
            f"{message if self.family == 's3' else _INVALID} {_HELP}",
            ("InvalidAccessKeyId", 403),
            ("InvalidClientTokenId", 403),
            ("UnrecognizedClientException", 400),
        )

    def invalid_token(self) -> AwsError:
        """A session token that isn't the key's, or none where the key has one."""
        message = "The provided token is malformed or otherwise invalid."
        return self._error(
            f"{message if self.family == 's3' else _INVALID} {_HELP}",
            ("InvalidToken", 400),
            ("InvalidClientTokenId", 403),
            ("UnrecognizedClientException", 400),
        )

    def expired_token(self) -> AwsError:
        """A session that has ended."""
        s3 = self.family == "s3"
        return self._error(
            "The provided token has expired." if s3 else "The security token included in the request is expired",
            ("ExpiredToken", 400),
            ("ExpiredToken", 403),
            ("ExpiredTokenException", 400),
        )

    def mismatch(self) -> AwsError:
        return self._error(
            _MISMATCH if self.family == "s3" else _MISMATCH_LONG,
            ("SignatureDoesNotMatch", 403),
            ("SignatureDoesNotMatch", 403),
            ("InvalidSignatureException", 400),
        )

    def skewed(self, timestamp: str, now: float) -> AwsError:
        """The client's clock and ours differ by more than the tolerance."""
        minutes = int(self.tolerance // 60)
        server = f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}"
        order, bound = ("expired", "earlier") if timestamp < server else ("not yet current", "later")
        message = (
            "The difference between the request time and the current time is too large."
            if self.family == "s3"
            else f"Signature {order}: {timestamp} is now {bound} than {server} by more than {minutes} min."
        )
        error = self._error(
            message, ("RequestTimeTooSkewed", 403), ("SignatureDoesNotMatch", 403), ("InvalidSignatureException", 400)
        )
        if self.family == "s3":
            error.members = {
                "RequestTime": timestamp,
                "ServerTime": f"{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%M:%SZ}",
                "MaxAllowedSkewMilliseconds": int(self.tolerance * 1000),
            }
        return error

    def expired(self, expires: float, now: float) -> AwsError:
        """A presigned URL after its time."""
        error = self._error(
            "Request has expired", ("AccessDenied", 403), ("RequestExpired", 400), ("InvalidSignatureException", 400)
        )
        if self.family == "s3":
            error.members = {
                "Expires": f"{datetime.fromtimestamp(min(expires, 253402300799), UTC):%Y-%m-%dT%H:%M:%SZ}",
                "ServerTime": f"{datetime.fromtimestamp(now, UTC):%Y-%m-%dT%H:%M:%SZ}",
            }
        return error


_S3 = Refusals("s3", 15 * 60)
_QUERY = Refusals("query", 15 * 60)
_JSON = Refusals("json", 15 * 60)
