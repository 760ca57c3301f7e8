"""Who signed a request, and whether the signature holds: `verify(request, route, keys=..., now=...) -> Verified`.

Signature Version 4 in the Authorization header, in a presigned URL, and S3's presigned URLs of version 2 as boto3 still
makes them. Refusals carry the code and status of the service that was asked.

What is proved of the body depends on what was signed. A service other than S3 signs the body's hash: give the whole
`request.body`. S3 signs `x-amz-content-sha256`, which may be a hash, a marker for no hash, or one for signed chunks:
the head alone is enough here, and `payload.decoder(verified, request)` checks the body as it comes.

Keys and the present time come in as arguments. Signatures are compared in constant time; signing keys are cached.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import quote, unquote

from modelwright.errors import AwsError
from modelwright.protocol import refusals, spec, timestamps
from modelwright.protocol.messages import Credential, Request
from modelwright.protocol.router import S3, Route, s3_host

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
EMPTY_HASH = hashlib.sha256(b"").hexdigest()
LONGEST_EXPIRY = 7 * 24 * 3600
_DATE = re.compile(r"\d{8}T\d{6}Z")


@dataclass(frozen=True)
class Key:
    """An access key. `token` is the session token that must come with it, None for a key without."""

    access_key: str
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class Verified:
    """What a valid signature says. `region` is '' for version 2, which signs none."""

    access_key: str
    region: str
    payload: str
    """The body's SHA-256 as hex, or one of S3's markers (`UNSIGNED-PAYLOAD`, `STREAMING-...`)."""
    signature: str = ""
    signing_key: bytes = field(default=b"", repr=False)
    timestamp: str = ""
    scope: str = ""


KeyLookup = Callable[[str], Key | None]


def verify(request: Request, route: Route, *, keys: KeyLookup, now: float) -> Verified:
    """Raises AwsError (400 or 403) when the request isn't signed by a known key for this service and time."""
    refuse = refusals.of(route)
    authorization = request.headers.get("authorization", "")
    if authorization:
        if not authorization.startswith(ALGORITHM):
            raise refuse.mechanism()
        return _verify_header(request, route, authorization, keys, now, refuse)
    query = dict(request.query_pairs)
    if "X-Amz-Algorithm" in query or "X-Amz-Signature" in query:
        return _verify_presigned(request, route, query, keys, now, refuse)
    if "AWSAccessKeyId" in query and route.service == S3:
        return _verify_presigned_v2(request, query, keys, now, refuse)
    raise refuse.missing()


# --- version 4 in the header --------------------------------------------------------------------------------------


def _verify_header(
    request: Request, route: Route, authorization: str, keys: KeyLookup, now: float, refuse: refusals.Refusals
) -> Verified:
    fields = _fields(authorization)
    credential, signed, signature = request.credential, fields.get("SignedHeaders"), fields.get("Signature")
    if credential is None or not signed or not signature:
        raise refuse.malformed(
            "Authorization header requires 'Credential' (KEY/DATE/REGION/SERVICE/aws4_request), 'SignedHeaders' and "
            "'Signature' parameters."
        )
    key = _key(credential.access_key, request.headers.get("x-amz-security-token"), keys, refuse)
    timestamp = _timestamp(request.headers, refuse)
    _check_scope(credential, route, timestamp, refuse)
    seconds = _seconds(timestamp, refuse)
    if abs(now - seconds) > refuse.tolerance:
        raise refuse.skewed(timestamp, now)
    payload = request.headers.get("x-amz-content-sha256")
    if payload is None:
        if route.service == S3:
            raise refuse.malformed("Missing required header for this request: x-amz-content-sha256")
        payload = hashlib.sha256(request.body).hexdigest()
    names = signed.lower().split(";")
    _check_signed(names, request, route, refuse)
    return _match(
        request, route, key, credential, timestamp, names, payload, signature, _canonical_query(request.query), refuse
    )


def _fields(authorization: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in authorization[len(ALGORITHM) :].split(","))
    return {name.strip(): value.strip() for name, _, value in pairs}


def _timestamp(headers: Mapping[str, str], refuse: refusals.Refusals) -> str:
    """`x-amz-date`, else the Date header, in the form that is signed."""
    given = headers.get("x-amz-date") or headers.get("date") or ""
    if _DATE.fullmatch(given):
        return given
    seconds = timestamps.read(given) if given else None
    if seconds is None:
        raise refuse.malformed("AWS authentication requires a valid Date or x-amz-date header.")
    return f"{datetime.fromtimestamp(seconds, UTC):%Y%m%dT%H%M%SZ}"


def _seconds(timestamp: str, refuse: refusals.Refusals) -> float:
    try:
        return datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise refuse.malformed(f"'{timestamp}' is not a date and time (YYYYMMDDTHHMMSSZ).") from None


def _key(access_key: str, token: str | None, keys: KeyLookup, refuse: refusals.Refusals) -> Key:
    key = keys(access_key)
    if key is None:
        raise refuse.unknown_key()
    if not hmac.compare_digest((token or "").encode(), (key.token or "").encode()):
        raise refuse.invalid_token()
    return key


def _check_scope(credential: Credential, route: Route, timestamp: str, refuse: refusals.Refusals) -> None:
    if credential.date != timestamp[:8]:
        raise refuse.scope(f"Date in Credential scope does not match YYYYMMDD of the request's date '{timestamp}'.")
    expected = spec.head(route.service).signing_name
    if credential.service != expected:
        raise refuse.scope(f"Credential should be scoped to correct service: '{expected}'.")


def _check_signed(names: Iterable[str], request: Request, route: Route, refuse: refusals.Refusals) -> None:
    """The host must be signed; of S3's requests every `x-amz-` header, so that nobody on the way can add one."""
    if "host" not in names:
        raise refuse.malformed("'host' must be among the SignedHeaders.")
    if route.service == S3:
        loose = sorted(name for name in request.headers if name.startswith("x-amz-") and name not in names)
        if loose:
            raise AwsError(
                f"There were headers present in the request which were not signed: {', '.join(loose)}",
                code="AccessDenied",
                status=403,
            )


# --- version 4 in the query string --------------------------------------------------------------------------------


def _verify_presigned(
    request: Request,
    route: Route,
    query: Mapping[str, str],
    keys: KeyLookup,
    now: float,
    refuse: refusals.Refusals,
) -> Verified:
    required = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-Date", "X-Amz-SignedHeaders")
    credential = request.credential
    if any(not query.get(name) for name in required) or query["X-Amz-Algorithm"] != ALGORITHM or credential is None:
        raise refuse.malformed_query(
            f"Query-string authentication version 4 requires the X-Amz-Algorithm ({ALGORITHM}), X-Amz-Credential, "
            "X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
        )
    key = _key(credential.access_key, query.get("X-Amz-Security-Token"), keys, refuse)
    timestamp = query["X-Amz-Date"]
    seconds = _seconds(timestamp, refuse)
    _check_scope(credential, route, timestamp, refuse)
    expires = query.get("X-Amz-Expires", "" if route.service == S3 else "900")
    if not expires.isdecimal() or int(expires) > LONGEST_EXPIRY:
        raise refuse.malformed_query(f"X-Amz-Expires must be a number of seconds up to {LONGEST_EXPIRY} (a week).")
    if now > seconds + int(expires):
        raise refuse.expired(seconds + int(expires), now)
    if seconds > now + refuse.tolerance:
        raise refuse.skewed(timestamp, now)
    payload = query.get("X-Amz-Content-Sha256") or request.headers.get("x-amz-content-sha256")
    if payload is None:
        payload = UNSIGNED if route.service == S3 else hashlib.sha256(request.body).hexdigest()
    names = query["X-Amz-SignedHeaders"].lower().split(";")
    _check_signed([*names, "x-amz-content-sha256"], request, route, refuse)
    canonical_query = _canonical_query(request.query, without="X-Amz-Signature")
    return _match(
        request, route, key, credential, timestamp, names, payload, query["X-Amz-Signature"], canonical_query, refuse
    )


# --- the signature of version 4 -----------------------------------------------------------------------------------


def _match(
    request: Request,
    route: Route,
    key: Key,
    credential: Credential,
    timestamp: str,
    names: Iterable[str],
    payload: str,
    signature: str,
    canonical_query: str,
    refuse: refusals.Refusals,
) -> Verified:
    scope = f"{credential.date}/{credential.region}/{credential.service}/aws4_request"
    signing_key = _signing_key(key.secret, credential.date, credential.region, credential.service)
    names = list(names)
    headers = "".join(f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in names)
    for path in _canonical_paths(request.path, route.service):
        canonical = "\n".join((request.method, path, canonical_query, headers, ";".join(names), payload))
        to_sign = "\n".join((ALGORITHM, timestamp, scope, hashlib.sha256(canonical.encode()).hexdigest()))
        expected = hmac.digest(signing_key, to_sign.encode(), "sha256").hex()
        if hmac.compare_digest(expected.encode(), signature.encode()):
            return Verified(credential.access_key, credential.region, payload, expected, signing_key, timestamp, scope)
    raise refuse.mismatch()


@lru_cache(maxsize=1024)
def _signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    key = ("AWS4" + secret).encode()
    for part in (date, region, service, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key


def _canonical_paths(path: str, service: str) -> Iterable[str]:
    """S3 signs the path as it is sent; the others a normalised path that is encoded once more.

    A client may have sent a character bare that its signer encoded, so the fully encoded form counts too.
    """
    path = path or "/"
    if service == S3:
        yield path
        encoded = quote(unquote(path, errors="surrogateescape"), safe="/~", errors="surrogateescape")
        if encoded != path:
            yield encoded
        return
    yield "/" if path == "/" else quote(_normalise(path), safe="/~")


def _normalise(path: str) -> str:
    """Without `.`, `..` and empty segments."""
    segments: list[str] = []
    for segment in path.split("/"):
        if segment == "..":
            if segments:
                segments.pop()
        elif segment not in ("", "."):
            segments.append(segment)
    slash = "/" if path.endswith("/") and segments else ""
    return "/" + "/".join(segments) + slash


def _canonical_query(query: str, without: str = "") -> str:
    if not query:
        return ""
    pairs = []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if part and name != without:
            pairs.append((_recode(name), _recode(value)))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _recode(text: str) -> str:
    """Percent-encoded in the one way that is signed."""
    if text.isalnum() and text.isascii():
        return text
    decoded = unquote(text.replace("+", "%20"), errors="surrogateescape")
    return quote(decoded, safe="-_.~", errors="surrogateescape")


# --- version 2 in the query string (S3) ---------------------------------------------------------------------------

_V2_RESOURCES = frozenset(
    "accelerate acl analytics cors defaultObjectAcl delete inventory lifecycle location logging metrics notification "
    "object-lock partNumber policy replication requestPayment response-cache-control response-content-disposition "
    "response-content-encoding response-content-language response-content-type response-expires restore select "
    "select-type storageClass tagging torrent uploadId uploads versionId versioning versions website".split()
)


def _verify_presigned_v2(
    request: Request, query: Mapping[str, str], keys: KeyLookup, now: float, refuse: refusals.Refusals
) -> Verified:
    expires, signature = query.get("Expires", ""), query.get("Signature", "")
    if not signature or not expires.isdecimal():
        raise AwsError(
            "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters",
            code="AccessDenied",
            status=403,
        )
    # What was a header when the URL was made is a parameter of it: the signature covers both alike.
    headers = {name.lower(): value for name, value in query.items() if _v2_header(name.lower())}
    headers |= {name: value for name, value in request.headers.items() if _v2_header(name)}
    key = _key(query["AWSAccessKeyId"], headers.get("x-amz-security-token"), keys, refuse)
    if now > int(expires):
        raise refuse.expired(int(expires), now)
    amz = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers) if name.startswith("x-amz-"))
    to_sign = (
        f"{request.method}\n{headers.get('content-md5', '').strip()}\n{headers.get('content-type', '').strip()}\n"
        f"{expires}\n{amz}{_v2_resource(request)}"
    )
    expected = b64encode(hmac.digest(key.secret.encode(), to_sign.encode(), "sha1"))
    if not hmac.compare_digest(expected, signature.encode()):
        raise refuse.mismatch()
    payload = request.headers.get("x-amz-content-sha256", UNSIGNED)
    return Verified(key.access_key, "", payload)


def _v2_header(name: str) -> bool:
    return name.startswith("x-amz-") or name in ("content-md5", "content-type")


def _v2_resource(request: Request) -> str:
    bucket = s3_host(request.host)
    path = f"/{bucket}{request.path}" if bucket else request.path
    pairs = [part.split("=", 1) for part in request.query.split("&") if part]
    signed = sorted((pair for pair in pairs if pair[0] in _V2_RESOURCES), key=lambda pair: pair[0])
    if not signed:
        return path
    return path + "?" + "&".join("=".join((pair[0], *map(unquote, pair[1:]))) for pair in signed)
