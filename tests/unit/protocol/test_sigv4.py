"""Signatures that botocore makes are verified; anything else is refused in the manner of the service asked."""

import calendar
import datetime
import hashlib
import hmac
from urllib.parse import quote, urlsplit

import pytest
from botocore.auth import HmacV1QueryAuth, S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.errors import AwsError
from modelwright.protocol import router
from modelwright.protocol.messages import Request
from modelwright.protocol.sigv4 import Key, verify
from support.wire_clients import ACCESS_KEY, LOCAL, SECRET, client, prepared, received

NOW = 1_795_430_000.0
KEYS = {ACCESS_KEY: Key(ACCESS_KEY, SECRET), "AKTEMP": Key("AKTEMP", SECRET, "the-token")}


@pytest.fixture(autouse=True)
def _clock(monkeypatch):
    moment = datetime.datetime.fromtimestamp(NOW, datetime.UTC)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda remove_tzinfo=True: moment.replace(tzinfo=None))
    monkeypatch.setattr("botocore.auth.time.time", lambda: NOW)


def sign(
    auth,
    method="POST",
    url=f"{LOCAL}/",
    data=b"{}",
    headers=(),
    service="sagemaker",
    key=ACCESS_KEY,
    secret=SECRET,
    token=None,
    **options,
):
    request = AWSRequest(method=method, url=url, data=data, headers=dict(headers))
    request.context["payload_signing_enabled"] = options.pop("sign_payload", True)
    auth(Credentials(key, secret, token), service, "us-east-1", **options).add_auth(request)
    return received(request.prepare())


def json_call(**options):
    headers = {"X-Amz-Target": "SageMaker.ListModels", "Content-Type": "application/x-amz-json-1.1"}
    return sign(SigV4Auth, headers=headers, **options)


def query_call(**options):
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    body = b"Action=GetRole&Version=2010-05-08&RoleName=r"
    return sign(SigV4Auth, headers=form, data=body, service="iam", **options)


def s3_call(method="GET", url=f"{LOCAL}/b/k", data=b"", headers=(), **options):
    return sign(S3SigV4Auth, method, url, data, headers, "s3", **options)


CALLS = {"json": json_call, "query": query_call, "s3": s3_call}


def check(request, now=NOW):
    try:
        route = router.route(request)
    except AwsError:
        route = router.hint(request)
    return verify(request, route, keys=KEYS.get, now=now)


def refused(request, now=NOW):
    with pytest.raises(AwsError) as caught:
        check(request, now)
    return caught.value.code, caught.value.status


def changed(request, *, headers=None, **others):
    fields = {name: getattr(request, name) for name in ("method", "path", "query", "headers", "body")}
    return Request(**{**fields, **others, "headers": {**request.headers, **(headers or {})}})


# --- in the header ---


@pytest.mark.parametrize("family", CALLS)
def test_it_works(family):
    verified = check(CALLS[family]())
    assert (verified.access_key, verified.region) == (ACCESS_KEY, "us-east-1")


@pytest.mark.parametrize("family", CALLS)
def test_a_session_token_must_be_the_keys(family):
    assert check(CALLS[family](key="AKTEMP", token="the-token")).access_key == "AKTEMP"
    expected = {
        "json": ("UnrecognizedClientException", 400),
        "query": ("InvalidClientTokenId", 403),
        "s3": ("InvalidToken", 400),
    }[family]
    assert refused(CALLS[family](key="AKTEMP", token="another")) == expected
    assert refused(CALLS[family](key="AKTEMP")) == expected
    assert refused(CALLS[family](token="unasked")) == expected


REFUSALS = {
    "unknown key": {
        "json": ("UnrecognizedClientException", 400),
        "query": ("InvalidClientTokenId", 403),
        "s3": ("InvalidAccessKeyId", 403),
    },
    "wrong secret": {
        "json": ("InvalidSignatureException", 400),
        "query": ("SignatureDoesNotMatch", 403),
        "s3": ("SignatureDoesNotMatch", 403),
    },
    "skew": {
        "json": ("InvalidSignatureException", 400),
        "query": ("SignatureDoesNotMatch", 403),
        "s3": ("RequestTimeTooSkewed", 403),
    },
    "none": {
        "json": ("MissingAuthenticationTokenException", 400),
        "query": ("MissingAuthenticationToken", 403),
        "s3": ("AccessDenied", 403),
    },
    "malformed": {
        "json": ("IncompleteSignatureException", 400),
        "query": ("IncompleteSignature", 400),
        "s3": ("AuthorizationHeaderMalformed", 400),
    },
}


@pytest.mark.parametrize("family", CALLS)
def test_an_unknown_key(family):
    assert refused(CALLS[family](key="AKNOBODY")) == REFUSALS["unknown key"][family]


@pytest.mark.parametrize("family", CALLS)
def test_a_wrong_secret(family):
    assert refused(CALLS[family](secret="wrong")) == REFUSALS["wrong secret"][family]


@pytest.mark.parametrize("family", CALLS)
@pytest.mark.parametrize("minutes", [-16, 16])
def test_a_skewed_clock(family, minutes):
    request = CALLS[family]()
    assert check(request, NOW + minutes / 16 * 14 * 60)
    assert refused(request, NOW + minutes * 60) == REFUSALS["skew"][family]


@pytest.mark.parametrize("family", CALLS)
def test_no_signature_at_all(family):
    request = CALLS[family]()
    headers = {name: value for name, value in request.headers.items() if name != "authorization"}
    host = {"iam": "iam.amazonaws.com"}.get("iam" if family == "query" else "", "localhost")
    bare = Request(request.method, request.path, request.query, {**headers, "host": host}, request.body)
    assert refused(bare) == REFUSALS["none"][family]


@pytest.mark.parametrize("family", CALLS)
@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.partition(", Signature")[0],
        lambda text: text.replace("SignedHeaders=", "Headers="),
        lambda text: text.replace("host;", "").replace("=host", "=x"),
        lambda text: text.replace("/aws4_request", ""),
    ],
)
def test_a_malformed_header(family, change):
    request = CALLS[family]()
    broken = changed(request, headers={"authorization": change(request.headers["authorization"])})
    hint = router.hint(request)
    with pytest.raises(AwsError) as caught:
        verify(broken, hint, keys=KEYS.get, now=NOW)
    assert (caught.value.code, caught.value.status) == REFUSALS["malformed"][family]


@pytest.mark.parametrize("family", CALLS)
def test_a_date_that_is_none(family):
    request = changed(CALLS[family](), headers={"x-amz-date": "yesterday"})
    assert refused(request) == REFUSALS["malformed"][family]


@pytest.mark.parametrize("family", CALLS)
def test_a_scope_of_another_day(family):
    request = CALLS[family]()
    other = request.headers["authorization"].replace("/2026", "/2025")
    assert refused(changed(request, headers={"authorization": other}))[1] in (400, 403)


@pytest.mark.parametrize("authorization", ["AWS AKID:c2lnbmF0dXJl", "Bearer token", "Basic dXNlcjpwYXNz"])
def test_another_mechanism(authorization):
    assert refused(Request("GET", "/b/k", "", {"host": "localhost", "authorization": authorization})) == (
        "InvalidRequest",
        400,
    )


def test_signed_for_another_service():
    code, _ = refused(json_call(service="iam"))
    assert code == "InvalidSignatureException"


@pytest.mark.parametrize(
    "change",
    [
        {"method": "PUT"},
        {"path": "/elsewhere"},
        {"query": "a=1"},
        {"body": b'{"NameContains": "x"}'},
        {"headers": {"x-amz-target": "SageMaker.ListPipelines"}},
        {"headers": {"host": "elsewhere"}},
        {"headers": {"x-amz-date": "20261123T113321Z"}},
    ],
)
def test_whatever_is_changed_on_the_way_is_noticed(change):
    assert refused(changed(json_call(), **change))[0] in ("InvalidSignatureException",)


def test_an_unsigned_amz_header_of_s3s_is_refused():
    assert refused(changed(s3_call(), headers={"x-amz-meta-x": "1"})) == ("AccessDenied", 403)
    assert check(changed(s3_call(), headers={"x-amzn-trace-id": "1", "user-agent": "x"}))


def test_s3_needs_the_payloads_hash():
    assert refused(sign(SigV4Auth, "GET", f"{LOCAL}/b/k", b"", service="s3")) == ("AuthorizationHeaderMalformed", 400)


def test_s3_takes_the_head_alone():
    request = s3_call("PUT", data=b"data")
    assert check(changed(request, body=b"")).payload == hashlib.sha256(b"data").hexdigest()
    assert check(s3_call("PUT", url="https://s3.us-east-1.amazonaws.com/b/k", data=b"x", sign_payload=False)).payload


@pytest.mark.parametrize(
    "path",
    [
        "/b/a b",
        "/b/a+b",
        "/b/a%b",
        "/b/ü/모델",
        "/b/a~b",
        "/b//a",
        "/b/a/../c",
        "/b/a/./c",
        "/b/a=b&c",
        "/b/a*b(c)'d!",
        "/b/k/",
        "/b/a:b@c,d;e",
    ],
)
def test_any_key_can_be_signed(path):
    assert check(s3_call(url=LOCAL + quote(path, safe="/~")))


@pytest.mark.parametrize(
    "query", ["prefix=a%20b", "prefix=a%2Bb", "prefix=%EB%AA%A8", "b=2&a=1&a=0", "delete", "x=~_-."]
)
def test_any_query_can_be_signed(query):
    assert check(s3_call(url=f"{LOCAL}/b?{query}"))


@settings(deadline=None, max_examples=200)
@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
def test_a_real_client_can_use_any_key(key):
    request = received(prepared(client("s3"), "GetObject", {"Bucket": "bucket", "Key": key}))
    date = request.headers["x-amz-date"]
    now = calendar.timegm(datetime.datetime.strptime(date, "%Y%m%dT%H%M%SZ").timetuple())
    route = router.route(request)
    assert route.labels == {"Bucket": "bucket", "Key": key}
    assert verify(request, route, keys=KEYS.get, now=now)


def test_paths_of_other_services_are_normalised_and_encoded_twice():
    for path in ("/endpoints/my%20endpoint/invocations", "/a/../endpoints/e/invocations", "/endpoints//e/invocations"):
        request = sign(SigV4Auth, "POST", LOCAL + path, b"data")
        assert verify(request, router.Route("sagemaker-runtime", "InvokeEndpoint", "rest-json"), keys=KEYS.get, now=NOW)


def test_values_with_many_spaces_are_signed_as_one():
    assert check(changed(json_call(), headers={"content-type": "application/x-amz-json-1.1  "}))


def test_a_date_header_will_do():
    assert check(json_call()).timestamp
    request = AWSRequest("GET", f"{LOCAL}/b/k", headers={"Date": "now"})
    request.context["payload_signing_enabled"] = True
    S3SigV4Auth(Credentials(ACCESS_KEY, SECRET), "s3", "us-east-1").add_auth(request)
    assert "X-Amz-Date" not in request.headers
    assert check(received(request.prepare()))


# --- presigned, version 4 ---


def presigned(method="GET", url=f"{LOCAL}/b/k?response-content-type=text%2Fplain", expires=600, **options):
    return sign(S3SigV4QueryAuth, method, url, b"", service="s3", expires=expires, **options)


def test_a_presigned_url():
    verified = check(presigned())
    assert (verified.access_key, verified.payload) == (ACCESS_KEY, "UNSIGNED-PAYLOAD")
    assert check(presigned(), NOW + 599)
    assert check(presigned(key="AKTEMP", token="the-token"))


def test_a_presigned_url_after_its_time():
    with pytest.raises(AwsError, match="Request has expired") as caught:
        check(presigned(), NOW + 601)
    assert (caught.value.code, caught.value.status) == ("AccessDenied", 403)
    assert caught.value.members["Expires"] == "2026-11-23T10:43:20Z"


def test_a_presigned_url_before_its_time():
    assert refused(presigned(), NOW - 3600) == ("RequestTimeTooSkewed", 403)


def test_a_presigned_url_with_another_secret_key_or_token():
    assert refused(presigned(secret="wrong")) == ("SignatureDoesNotMatch", 403)
    assert refused(presigned(key="AKNOBODY")) == ("InvalidAccessKeyId", 403)
    assert refused(presigned(key="AKTEMP", token="another")) == ("InvalidToken", 400)


@pytest.mark.parametrize(
    "change",
    [
        lambda query: query.replace("text", "html"),
        lambda query: query.replace("X-Amz-Expires=600", "X-Amz-Expires=60000"),
        lambda query: query + "&versionId=1",
    ],
)
def test_a_changed_presigned_url(change):
    request = presigned()
    assert refused(changed(request, query=change(request.query))) == ("SignatureDoesNotMatch", 403)
    assert refused(changed(request, method="PUT")) == ("SignatureDoesNotMatch", 403)


@pytest.mark.parametrize(
    "change",
    [
        lambda query: query.replace("X-Amz-Expires=600", "X-Amz-Expires=604801"),
        lambda query: query.replace("X-Amz-Expires=600", "X-Amz-Expires=soon"),
        lambda query: query.replace("X-Amz-Expires=600", "X-Amz-Expires=" + "9" * 5000),
        lambda query: query.replace("&X-Amz-Expires=600", ""),
        lambda query: query.partition("&X-Amz-Signature")[0],
        lambda query: query.replace("X-Amz-Credential", "X-Amz-Nobody"),
        lambda query: query.replace("X-Amz-Algorithm=AWS4-HMAC-SHA256", "X-Amz-Algorithm=ROT13"),
    ],
)
def test_a_broken_presigned_url(change):
    request = presigned()
    assert refused(changed(request, query=change(request.query))) == ("AuthorizationQueryParametersError", 400)


def test_a_presigned_call_of_sts():
    url = f"{LOCAL}/?Action=GetCallerIdentity&Version=2011-06-15"
    request = sign(SigV4QueryAuth, "GET", url, b"", service="sts", expires=60)
    assert check(request).access_key == ACCESS_KEY
    assert refused(request, NOW + 61) == ("RequestExpired", 400)


# --- presigned, version 2 ---


def presigned_v2(
    method="GET", url=f"{LOCAL}/b/k", headers=(), auth_path=None, key=ACCESS_KEY, secret=SECRET, token=None
):
    request = AWSRequest(method=method, url=url, headers=dict(headers), auth_path=auth_path)
    HmacV1QueryAuth(Credentials(key, secret, token), expires=600).add_auth(request)
    made = request.prepare()
    parts = urlsplit(made.url)
    return Request(method, parts.path, parts.query, {"host": parts.netloc})


@pytest.mark.parametrize(
    ("url", "auth_path"),
    [
        (f"{LOCAL}/b/k", None),
        (f"{LOCAL}/b/a%20b", None),
        (f"{LOCAL}/b/k?versionId=1&response-content-type=text%2Fplain&x=1", None),
        (f"{LOCAL}/b?uploads", None),
        ("https://b.s3.amazonaws.com/k", "/b/k"),
    ],
)
def test_a_presigned_url_of_version_2(url, auth_path):
    request = presigned_v2(url=url, auth_path=auth_path)
    assert check(request).payload == "UNSIGNED-PAYLOAD"
    with pytest.raises(AwsError, match="Request has expired"):
        check(request, NOW + 601)


def test_version_2_signs_headers_that_it_moved_to_the_query():
    headers = {"Content-Type": "text/plain", "x-amz-meta-color": "blue", "x-amz-acl": "private", "Content-MD5": "x=="}
    request = presigned_v2("PUT", headers=headers)
    assert check(request)
    assert check(changed(request, headers={"content-type": "text/plain"}))
    assert refused(changed(request, headers={"content-type": "text/html"})) == ("SignatureDoesNotMatch", 403)
    assert refused(changed(request, query=request.query.replace("blue", "red"))) == ("SignatureDoesNotMatch", 403)


def test_version_2_refusals():
    assert refused(presigned_v2(secret="wrong")) == ("SignatureDoesNotMatch", 403)
    assert refused(presigned_v2(key="AKNOBODY")) == ("InvalidAccessKeyId", 403)
    assert check(presigned_v2(key="AKTEMP", token="the-token"))
    assert refused(presigned_v2(key="AKTEMP", token="other")) == ("InvalidToken", 400)
    request = presigned_v2()
    assert refused(changed(request, method="DELETE")) == ("SignatureDoesNotMatch", 403)
    assert refused(changed(request, query="AWSAccessKeyId=x&Signature=y&Expires=soon")) == ("AccessDenied", 403)
    assert refused(changed(request, query="AWSAccessKeyId=x&Expires=1")) == ("AccessDenied", 403)


@pytest.mark.parametrize("version", ["s3", "s3v4"])
@pytest.mark.parametrize("style", ["path", "virtual"])
def test_what_boto3_presigns(version, style, monkeypatch):
    endpoint = None if style == "virtual" else LOCAL
    boto = client("s3", endpoint, signature_version=version, s3=Frozen({"addressing_style": style}))
    for operation, parameters in (
        ("get_object", {"Bucket": "bucket", "Key": "a b/c"}),
        ("put_object", {"Bucket": "bucket", "Key": "k", "ContentType": "text/plain", "Metadata": {"a": "b"}}),
        ("list_objects_v2", {"Bucket": "bucket", "Prefix": "p"}),
    ):
        url = urlsplit(boto.generate_presigned_url(operation, Params=parameters))
        headers = {"host": url.netloc}
        if operation == "put_object" and version == "s3v4":
            headers |= {"content-type": "text/plain", "x-amz-meta-a": "b"}
        method = "PUT" if operation == "put_object" else "GET"
        request = Request(method, url.path, url.query, headers)
        now = check_time(request)
        assert router.route(request).operation == operation.title().replace("_", "")
        assert check(request, now)


class Frozen(dict):
    """A dictionary that the cache of clients can take."""

    def __hash__(self):
        return hash(tuple(self.items()))


def check_time(request):
    """When the URL was made, by the clock that the C signer or botocore used."""
    query = dict(request.query_pairs)
    if "X-Amz-Date" in query:
        return calendar.timegm(datetime.datetime.strptime(query["X-Amz-Date"], "%Y%m%dT%H%M%SZ").timetuple())
    return float(query["Expires"]) - 1


def test_the_signing_key_is_made_once():
    from modelwright.protocol.sigv4 import _signing_key

    _signing_key.cache_clear()
    check(json_call())
    check(json_call())
    assert _signing_key.cache_info().misses == 1
    key = _signing_key(SECRET, "20261123", "us-east-1", "sagemaker")
    expected = b"AWS4" + SECRET.encode()
    for part in (b"20261123", b"us-east-1", b"sagemaker", b"aws4_request"):
        expected = hmac.new(expected, part, "sha256").digest()
    assert key == expected
