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
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, unquote

from modelwright.errors import AwsError
from modelwright.protocol import refusals, spec, timestamps
from modelwright.protocol.messages import Credential, Request
from modelwright.protocol.router import S3, Route, s3_host

ALGORITHM = "AWS4-HMAC-SHA256"
UNSIGNED = "UNSIGNED-PAYLOAD"
EMPTY_HASH = hashlib.sha256(b"").hexdigest()
LONGEST_EXPIRY = 7 * 24 * 3600
_DATE = re.compile(r"[0-9]{8}T[0-9]{6}Z")


@dataclass(frozen=True)
class Key:
    """An access key. `token` is the session token that must come with it, None for a key without."""

    access_key: str
    secret: str = field(repr=False)
    token: str | None = field(default=None, repr=False)
    expires: float | None = None
    """When it ends, epoch seconds."""


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
    check = _Check(request, route, keys, now)
    authorization = request.headers.get("authorization", "")
    if authorization:
        if not authorization.startswith(ALGORITHM):
            raise check.refuse.mechanism()
        return check.header(authorization)
    query = dict(request.query_pairs)
    if "X-Amz-Algorithm" in query or "X-Amz-Signature" in query:
        return check.presigned(query)
    if "AWSAccessKeyId" in query and route.service == S3:
        return check.presigned_v2(query)
    raise check.refuse.missing()


class _Claim(NamedTuple):
    """What a request of version 4 says of its signature."""

    credential: Credential
    timestamp: str
    names: list[str]
    """The signed headers."""
    payload: str
    signature: str


class _Check:
    """One request's check, in the three ways that it can be signed."""

    def __init__(self, request: Request, route: Route, keys: KeyLookup, now: float) -> None:
        self.request = request
        self.route = route
        self.keys = keys
        self.now = now
        self.refuse = refusals.of(route)

    # --- version 4 in the header ---

    def header(self, authorization: str) -> Verified:
        fields = _fields(authorization)
        request, credential = self.request, self.request.credential
        signed, signature = fields.get("SignedHeaders"), fields.get("Signature")
        if credential is None or not signed or not signature:
            raise self.refuse.malformed(
                "Authorization header requires 'Credential' (KEY/DATE/REGION/SERVICE/aws4_request), 'SignedHeaders' "
                "and 'Signature' parameters."
            )
        key = self._key(credential.access_key, request.headers.get("x-amz-security-token"))
        timestamp = self._timestamp()
        self._check_scope(credential, timestamp)
        if abs(self.now - self._seconds(timestamp)) > self.refuse.tolerance:
            raise self.refuse.skewed(timestamp, self.now)
        payload = request.headers.get("x-amz-content-sha256")
        if payload is None:
            if self.route.service == S3:
                raise self.refuse.malformed("Missing required header for this request: x-amz-content-sha256")
            payload = hashlib.sha256(request.body).hexdigest()
        names = signed.lower().split(";")
        self._check_signed(names)
        return self._match(key, _Claim(credential, timestamp, names, payload, signature))

    def _timestamp(self) -> str:
        """`x-amz-date`, else the Date header, in the form that is signed."""
        given = self.request.headers.get("x-amz-date") or self.request.headers.get("date") or ""
        if _DATE.fullmatch(given):
            return given
        seconds = timestamps.read(given) if given else None
        if seconds is None:
            raise self.refuse.malformed("AWS authentication requires a valid Date or x-amz-date header.")
        return f"{datetime.fromtimestamp(seconds, UTC):%Y%m%dT%H%M%SZ}"

    # --- version 4 in the query string ---

    def presigned(self, query: Mapping[str, str]) -> Verified:
        request, credential, is_s3 = self.request, self.request.credential, self.route.service == S3
        if (
            any(not query.get(name) for name in _PRESIGNED)
            or query["X-Amz-Algorithm"] != ALGORITHM
            or credential is None
        ):
            raise self.refuse.malformed_query(
                f"Query-string authentication version 4 requires the X-Amz-Algorithm ({ALGORITHM}), X-Amz-Credential, "
                "X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters."
            )
        key = self._key(credential.access_key, query.get("X-Amz-Security-Token"))
        timestamp = query["X-Amz-Date"]
        seconds = self._seconds(timestamp)
        self._check_scope(credential, timestamp)
        expires = query.get("X-Amz-Expires", "" if is_s3 else "900")
        if not expires.isdecimal() or len(expires) > 9 or int(expires) > LONGEST_EXPIRY:
            raise self.refuse.malformed_query(
                f"X-Amz-Expires must be a number of seconds up to {LONGEST_EXPIRY} (a week)."
            )
        if self.now > seconds + int(expires):
            raise self.refuse.expired(seconds + int(expires), self.now)
        if seconds > self.now + self.refuse.tolerance:
            raise self.refuse.skewed(timestamp, self.now)
        payload = query.get("X-Amz-Content-Sha256") or request.headers.get("x-amz-content-sha256")
        if payload is None:
            payload = UNSIGNED if is_s3 else hashlib.sha256(request.body).hexdigest()
        names = query["X-Amz-SignedHeaders"].lower().split(";")
        self._check_signed([*names, "x-amz-content-sha256"])
        return self._match(key, _Claim(credential, timestamp, names, payload, query["X-Amz-Signature"]))

    # --- what both need ---

    def _key(self, access_key: str, token: str | None) -> Key:
        key = self.keys(access_key)
        if key is None:
            raise self.refuse.unknown_key()
        if not hmac.compare_digest((token or "").encode(), (key.token or "").encode()):
            raise self.refuse.invalid_token()
        if key.expires is not None and self.now >= key.expires:
            raise self.refuse.expired_token()
        return key

    def _seconds(self, timestamp: str) -> float:
        try:
            return _epoch(timestamp)
        except ValueError:
            raise self.refuse.malformed(f"'{timestamp}' is not a date and time (YYYYMMDDTHHMMSSZ).") from None

    def _check_scope(self, credential: Credential, timestamp: str) -> None:
        if credential.date != timestamp[:8]:
            raise self.refuse.scope(
                f"Date in Credential scope does not match YYYYMMDD of the request's date '{timestamp}'."
            )
        expected = spec.head(self.route.service).signing_name
        if credential.service != expected:
            raise self.refuse.scope(f"Credential should be scoped to correct service: '{expected}'.")

    def _check_signed(self, names: Collection[str]) -> None:
        """The host must be signed; of S3's requests every `x-amz-` header, so that nobody on the way can add one."""
        if "host" not in names:
            raise self.refuse.malformed("'host' must be among the SignedHeaders.")
        if self.route.service == S3:
            loose = sorted(name for name in self.request.headers if name.startswith("x-amz-") and name not in names)
            if loose:
                raise AwsError(
                    f"There were headers present in the request which were not signed: {', '.join(loose)}",
                    code="AccessDenied",
                    status=403,
                )

    def _match(self, key: Key, claim: _Claim) -> Verified:
        """Compute the signature that the request must have."""
        credential, request = claim.credential, self.request
        scope = f"{credential.date}/{credential.region}/{credential.service}/aws4_request"
        signing_key = _signing_key(key.secret, credential.date, credential.region, credential.service)
        query = _canonical_query(request.query)
        headers = "".join(f"{name}:{' '.join(request.headers.get(name, '').split())}\n" for name in claim.names)
        for path in _canonical_paths(request.path, self.route.service):
            canonical = "\n".join((request.method, path, query, headers, ";".join(claim.names), claim.payload))
            digest = hashlib.sha256(canonical.encode("utf-8", "surrogateescape")).hexdigest()
            to_sign = "\n".join((ALGORITHM, claim.timestamp, scope, digest))
            expected = hmac.digest(signing_key, to_sign.encode(), "sha256").hex()
            if hmac.compare_digest(expected.encode(), claim.signature.encode()):
                return Verified(
                    access_key=key.access_key,
                    region=credential.region,
                    payload=claim.payload,
                    signature=expected,
                    signing_key=signing_key,
                    timestamp=claim.timestamp,
                    scope=scope,
                )
        raise self.refuse.mismatch()

    # --- version 2 in the query string (S3) ---

    def presigned_v2(self, query: Mapping[str, str]) -> Verified:
        request = self.request
        expires, signature = query.get("Expires", ""), query.get("Signature", "")
        if not signature or not expires.isdecimal() or len(expires) > 12:
            raise AwsError(
                "Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters",
                code="AccessDenied",
                status=403,
            )
        # What was a header when the URL was made is a parameter of it: the signature covers both alike.
        headers = {name.lower(): value for name, value in query.items() if _v2_header(name.lower())}
        headers |= {name: value for name, value in request.headers.items() if _v2_header(name)}
        key = self._key(query["AWSAccessKeyId"], headers.get("x-amz-security-token"))
        if self.now > int(expires):
            raise self.refuse.expired(int(expires), self.now)
        amz = "".join(f"{name}:{headers[name].strip()}\n" for name in sorted(headers) if name.startswith("x-amz-"))
        head = (
            f"{request.method}\n{headers.get('content-md5', '').strip()}\n{headers.get('content-type', '').strip()}\n"
            f"{expires}\n{amz}"
        )
        for resource in _v2_resources(request):
            expected = b64encode(hmac.digest(key.secret.encode(), (head + resource).encode(), "sha1"))
            if hmac.compare_digest(expected, signature.encode()):
                return Verified(key.access_key, "", request.headers.get("x-amz-content-sha256", UNSIGNED))
        raise self.refuse.mismatch()


_PRESIGNED = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Signature", "X-Amz-Date", "X-Amz-SignedHeaders")


def _fields(authorization: str) -> dict[str, str]:
    """What stands before the signature is the same in all requests of a client's day and kind."""
    head, _, signature = authorization[len(ALGORITHM) :].rpartition("Signature=")
    if not head.rstrip().endswith(",") or "," in signature:
        return _read_fields(authorization[len(ALGORITHM) :])
    return {**_read_fields(head), "Signature": signature.strip()}


@lru_cache(maxsize=1024)
def _read_fields(text: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in text.split(","))
    return {name.strip(): value.strip() for name, _, value in pairs}


@lru_cache(maxsize=256)
def _epoch(timestamp: str) -> float:
    """Raises ValueError."""
    if not _DATE.fullmatch(timestamp):
        raise ValueError(timestamp)
    parts = (timestamp[:4], *(timestamp[at : at + 2] for at in (4, 6, 9, 11, 13)))
    year, month, day, hour, minute, second = map(int, parts)
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()


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
    yield _canonical_path(path)


@lru_cache(maxsize=1024)
def _canonical_path(path: str) -> str:
    return "/" if path == "/" else quote(_normalise(path), safe="/~")


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


def _canonical_query(query: str) -> str:
    """Sorted and encoded in one way, without the signature itself."""
    if not query:
        return ""
    pairs = []
    for part in query.split("&"):
        name, _, value = part.partition("=")
        if part and name != "X-Amz-Signature":
            pairs.append((_recode(name), _recode(value)))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _recode(text: str) -> str:
    """Percent-encoded in the one way that is signed."""
    if text.isalnum() and text.isascii():
        return text
    decoded = unquote(text.replace("+", "%20"), errors="surrogateescape")
    return quote(decoded, safe="-_.~", errors="surrogateescape")


_V2_RESOURCES = frozenset({
    "accelerate", "acl", "analytics", "cors", "defaultObjectAcl", "delete", "inventory", "lifecycle", "location",
    "logging", "metrics", "notification", "object-lock", "partNumber", "policy", "replication", "requestPayment",
    "response-cache-control", "response-content-disposition", "response-content-encoding",
    "response-content-language", "response-content-type", "response-expires", "restore", "select", "select-type",
    "storageClass", "tagging", "torrent", "uploadId", "uploads", "versionId", "versioning", "versions", "website",
})  # fmt: skip
"""The parameters that version 2 signs as part of the resource."""


def _v2_header(name: str) -> bool:
    return name.startswith("x-amz-") or name in ("content-md5", "content-type")


def _v2_resources(request: Request) -> Iterable[str]:
    """The signed resource: always with the bucket, which itself some sign as `/bucket` and others as `/bucket/`."""
    bucket = s3_host(request.host)
    path = f"/{bucket}{request.path}" if bucket else request.path
    pairs = [part.split("=", 1) for part in request.query.split("&") if part]
    signed = sorted((pair for pair in pairs if pair[0] in _V2_RESOURCES), key=lambda pair: pair[0])
    query = "?" + "&".join("=".join((pair[0], *map(unquote, pair[1:]))) for pair in signed) if signed else ""
    yield path + query
    if path.count("/") == 1:
        yield f"{path}/{query}"
