"""What the round trips don't show: what is odd, broken or hostile."""

import base64
import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.errors import AwsError, UnsupportedOperation
from modelwright.protocol import cbor, parser, router, sigv4, spec, timestamps
from modelwright.protocol.messages import Request
from modelwright.protocol.router import Route
from modelwright.protocol.validation import validate

CREATE = Route("sagemaker", "CreateTrainingJob", "json")


def parsed(route, body=b"", path="/", query="", **headers):
    request = Request("POST", path, query, {name.replace("_", "-"): text for name, text in headers.items()}, body)
    return parser.parse(route, request)


# --- JSON ---


def test_null_is_absent_and_unknown_members_are_kept_for_validation():
    body = json.dumps({"TrainingJobName": "x", "Tags": None, "Coffee": 1, "StoppingCondition": {"Milk": None}})
    assert parsed(CREATE, body.encode()) == {"TrainingJobName": "x", "Coffee": 1, "StoppingCondition": {}}


def test_an_empty_body_has_no_parameters():
    assert parsed(Route("sagemaker", "ListModels", "json")) == {}
    assert parsed(Route("sts", "GetCallerIdentity", "query")) == {}
    assert parsed(Route("cloudwatch", "ListDashboards", "smithy-rpc-v2-cbor")) == {}


def test_times_come_as_numbers_or_text():
    route = Route("sagemaker", "ListTrainingJobs", "json")
    for given_time in (1700000000, 1700000000.0, "2023-11-14T22:13:20Z", "Tue, 14 Nov 2023 22:13:20 GMT", "1700000000"):
        found = parsed(route, json.dumps({"CreationTimeAfter": given_time}).encode())
        assert found == {"CreationTimeAfter": 1700000000.0}
        validate("sagemaker", "ListTrainingJobs", found)


@pytest.mark.parametrize("text", ["NaN", "1e400", '"yesterday"', "1e15", "true", "[]"])
def test_a_time_that_is_none_is_named_by_validation(text):
    found = parsed(Route("sagemaker", "ListTrainingJobs", "json"), b'{"CreationTimeAfter": %s}' % text.encode())
    with pytest.raises(AwsError, match="'creationTimeAfter' failed to satisfy constraint: Member must be a time"):
        validate("sagemaker", "ListTrainingJobs", found)


def test_base64_that_is_none_is_named_by_validation():
    route = Route("lambda", "UpdateFunctionCode", "rest-json", {"FunctionName": "f"})
    found = parsed(route, b'{"ZipFile": "?"}')
    with pytest.raises(AwsError, match="'zipFile' failed to satisfy constraint: Member must be binary data"):
        validate("lambda", "UpdateFunctionCode", found)
    assert parsed(route, b'{"ZipFile": "%s"}' % base64.b64encode(b"zip"))["ZipFile"] == b"zip"


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b'"text"', b"null", b"\xff\xfe\x00", b"{'a': 1}", b'{"a": 1} x', b"[" * 100000, b'{"Tags":' * 100000],
)
def test_a_body_that_is_no_json_object(body):
    with pytest.raises(AwsError) as caught:
        parsed(CREATE, body)
    assert (caught.value.code, caught.value.status) == ("SerializationException", 400)


# --- XML ---


def delete_objects(body):
    return parsed(Route("s3", "DeleteObjects", "rest-xml", {"Bucket": "b"}), body)


def test_xml_with_or_without_namespace_and_declaration():
    inner = b"<Object><Key>a&amp;b</Key></Object><Object><Key>c</Key></Object><Quiet>true</Quiet>"
    expected = {"Bucket": "b", "Delete": {"Objects": [{"Key": "a&b"}, {"Key": "c"}], "Quiet": True}}
    assert delete_objects(b"<Delete>" + inner + b"</Delete>") == expected
    declared = b'<?xml version="1.0" encoding="UTF-8"?><Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
    assert delete_objects(declared + inner + b"</Delete>") == expected


def test_an_unknown_element_is_kept_for_validation():
    found = delete_objects(b"<Delete><Object><Key>k</Key></Object><Coffee><Milk>1</Milk></Coffee></Delete>")
    assert found["Delete"]["Coffee"] == {"Milk": "1"}
    with pytest.raises(UnsupportedOperation, match=r"delete\.Coffee"):
        validate("s3", "DeleteObjects", found)


@pytest.mark.parametrize(
    "body",
    [
        b"<Delete>",
        b"text",
        b"<a></b>",
        b"\xff",
        b'<?xml version="1.0" encoding="nonsense"?><Delete/>',
        b'<!DOCTYPE d [<!ENTITY a "aaaa">]><Delete><Quiet>&a;</Quiet></Delete>',
        b'<!DOCTYPE d SYSTEM "file:///etc/passwd"><Delete/>',
        '<!DOCTYPE d [<!ENTITY a "aaaa">]><Delete/>'.encode("utf-16"),
        b"<a>" * 100000,
    ],
)
def test_a_body_that_is_no_xml_or_has_a_document_type(body):
    with pytest.raises(AwsError) as caught:
        delete_objects(body)
    assert (caught.value.code, caught.value.status) == ("MalformedXML", 400)


def test_deep_xml_of_a_known_sort_of_nesting():
    body = b"<Delete>" + b"<X>" * 50000 + b"</X>" * 50000 + b"</Delete>"
    with pytest.raises(AwsError) as caught:
        delete_objects(body)
    assert caught.value.status == 400


# --- forms ---


def test_forms_keep_what_they_do_not_know():
    route = Route("iam", "TagRole", "query")
    body = b"Action=TagRole&Version=2010-05-08&RoleName=r&Tags.member.2.Key=b&Tags.member.1.Key=a&Coffee=1&Milk.a.b=2"
    found = parsed(route, body)
    assert found == {"RoleName": "r", "Tags": [{"Key": "a"}, {"Key": "b"}], "Coffee": "1", "Milk": {"a": {"b": "2"}}}


def test_a_form_in_the_query_string():
    route = Route("sts", "GetSessionToken", "query")
    query = "Action=GetSessionToken&Version=2011-06-15&DurationSeconds=900&X-Amz-Signature=0"
    assert parsed(route, query=query) == {"DurationSeconds": 900}


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"Tags.member.1.Key=a&Tags.member.1.Value=b&Tags.coffee=1", "'tags'"),
        (b"Tags.member.one.Key=a", "'tags'"),
        (b"Tags=coffee", "'tags'"),
        (b"Tags.member.1=coffee", "'tags.1.member'"),
        (b"Tags.member." + b"9" * 5000 + b".Key=a", "'tags'"),
        (b"RoleName.member.1=a", "'roleName'"),
        (b"RoleName=a&RoleName.b=c", "'roleName'"),
    ],
)
def test_a_form_of_another_shape_is_named_by_validation(body, named):
    with pytest.raises(AwsError, match=named):
        validate("iam", "TagRole", parsed(Route("iam", "TagRole", "query"), body))


@pytest.mark.parametrize("body", [b"a" + b".a" * 100000 + b"=1", b"Tags" + b".member.1" * 60000 + b"=1"])
def test_a_form_that_is_too_deep(body):
    with pytest.raises(AwsError) as caught:
        parsed(Route("iam", "TagRole", "query"), body)
    assert caught.value.code == "SerializationException"


def test_a_number_that_is_none_is_named_by_validation():
    found = parsed(Route("sts", "GetSessionToken", "query"), b"DurationSeconds=soon")
    with pytest.raises(AwsError, match="'durationSeconds' failed to satisfy constraint: Member must be an integer"):
        validate("sts", "GetSessionToken", found)


# --- headers and query strings ---


def test_headers_of_a_put():
    route = Route("s3", "PutObject", "rest-xml", {"Bucket": "b", "Key": "k"})
    found = parsed(
        route,
        content_type="text/plain",
        content_length="3",
        expires="Tue, 14 Nov 2023 22:13:20 GMT",
        **{"x-amz-meta-color": "blue", "x-amz-checksum-crc32": "AAAAAA==", "x-amz-date": "20261123T100000Z"},
    )
    assert found["Metadata"] == {"color": "blue"}
    assert found["ContentLength"] == 3
    assert found["ChecksumCRC32"] == "AAAAAA=="
    assert "Body" not in found


def test_a_presigned_url_carries_headers_as_parameters():
    route = Route("s3", "PutObject", "rest-xml", {"Bucket": "b", "Key": "k"})
    found = parsed(route, query="x-amz-meta-color=blue&x-amz-acl=private&X-Amz-Signature=0&Signature=1")
    assert (found["Metadata"], found["ACL"]) == ({"color": "blue"}, "private")


def test_lists_in_headers():
    route = Route("s3", "GetObjectAttributes", "rest-xml", {"Bucket": "b", "Key": "k"})
    found = parsed(route, **{"x-amz-object-attributes": "ETag, ObjectSize"})
    assert found["ObjectAttributes"] == ["ETag", "ObjectSize"]


def test_which_operations_stream():
    assert parser.streaming_member("s3", "PutObject") == "Body"
    assert parser.streaming_member("s3", "UploadPart") == "Body"
    assert parser.streaming_member("s3", "DeleteObjects") is None
    assert parser.streaming_member("sagemaker-runtime", "InvokeEndpoint") is None
    assert parser.streaming_member("sts", "GetCallerIdentity") is None


# --- anything ---


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_any_bytes_are_parameters_or_aws_error(data):
    service, protocol = data.draw(
        st.sampled_from(
            [
                ("sagemaker", "json"),
                ("s3", "rest-xml"),
                ("iam", "query"),
                ("scheduler", "rest-json"),
                ("cloudwatch", "smithy-rpc-v2-cbor"),
                ("cloudwatch", "query"),
            ]
        )
    )
    operation = data.draw(st.sampled_from(list(spec.service(service).operation_names)))
    body = data.draw(
        st.binary(max_size=40)
        | st.text('{}[]":,ae1.<>/&=%', max_size=40).map(str.encode)
        | st.sampled_from([b"<a><b>1</b></a>", b'{"a": {"b": [1]}}', b"a.member.1=2&a.1=3", b"\xbf\x61a\xff"])
    )
    query = data.draw(st.text("abc=&%.-+", max_size=20))
    with contextlib.suppress(AwsError):
        found = parser.parse(Route(service, operation, protocol), Request("POST", "/x", query, {}, body))
        assert isinstance(found, dict)
        validate(service, operation, found)


@settings(deadline=None, max_examples=300)
@given(
    st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD", "PATCH", ""]),
    st.text(st.characters(max_codepoint=255), max_size=20),
    st.text(st.characters(max_codepoint=255), max_size=30)
    | st.sampled_from(
        [
            "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=a/20261123/r/s3/aws4_request&X-Amz-Signature=a"
            "&X-Amz-Date=20261399T999999Z&X-Amz-SignedHeaders=host",
            "AWSAccessKeyId=AK&Signature=%FF&Expires=99999999999",
        ]
    ),
    st.dictionaries(
        st.sampled_from(["host", "authorization", "x-amz-target", "content-type", "x-amz-date", "smithy-protocol"]),
        st.text(st.characters(max_codepoint=255), max_size=20)
        | st.sampled_from(
            [
                "AWS4-HMAC-SHA256 Credential=AK/20261123/r/s3/aws4_request, SignedHeaders=host, Signature=\xff",
                "AWS4-HMAC-SHA256 Credential=AK/20261199/r/s3/aws4_request, SignedHeaders=host, Signature=x",
                "20261199T000000Z",
                "99999999999999999999999",
                "SageMaker.CreateModel",
                "application/x-www-form-urlencoded",
                "[::1]:80",
                "rpc-v2-cbor",
            ]
        ),
    ),
    st.binary(max_size=20),
)
def test_any_request_is_routed_and_checked_or_an_aws_error(method, path, query, headers, body):
    request = Request(method, path, query, headers, body)
    route = router.hint(request)
    router.region(request)
    with contextlib.suppress(AwsError):
        route = router.route(request)
    key = sigv4.Key("AK", "secret")
    with pytest.raises(AwsError):
        sigv4.verify(request, route, keys=lambda name: key if name == "AK" else None, now=1_795_430_000.0)


# --- CBOR and times ---

CBOR_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**64), 2**64 - 1) | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


@given(CBOR_VALUES.filter(lambda value: "\ud800" not in str(value)))
def test_cbor_there_and_back(value):
    assert cbor.loads(cbor.dumps(value)) == value


@given(st.binary(max_size=30))
def test_any_bytes_are_cbor_or_a_value_error(data):
    with contextlib.suppress(ValueError):
        cbor.loads(data)


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b"\x9f\x01\x02\xff", [1, 2]),
        (b"\xbf\x61a\x01\xff", {"a": 1}),
        (b"\x7f\x61a\x61b\xff", "ab"),
        (b"\x5f\x41a\x41b\xff", b"ab"),
        (b"\xc1\x1a\x65\x53\xf1\x00", 1700000000),
        (b"\xf9\x3c\x00", 1.0),
        (b"\xfa\x3f\x80\x00\x00", 1.0),
        (b"\xf7", None),
    ],
)
def test_cbors_other_forms(data, value):
    assert cbor.loads(data) == value


@given(st.integers(-62135596800000, 253402300799999))
def test_times_survive_iso8601(milliseconds):
    text = timestamps.write(milliseconds / 1000, "iso8601")
    assert len(text) == 24
    assert abs(timestamps.read(text) - milliseconds / 1000) < 0.0006


@given(st.text(max_size=30))
def test_any_text_is_a_time_or_none(text):
    found = timestamps.read(text)
    assert found is None or isinstance(found, float)
