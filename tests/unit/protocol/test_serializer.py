"""What the round trips don't show: errors, S3's peculiarities, and what must not get out."""

from types import SimpleNamespace

import botocore.handlers
import pytest

from modelwright.errors import AwsError, ResourceNotFound
from modelwright.protocol import router, serializer, spec
from modelwright.protocol.messages import Request
from modelwright.protocol.router import Route
from support.wire_clients import read_by_botocore

ERROR = AwsError("Could not find <model> \"x\" & 'y' é\n모델.", code="ValidationException")


def answer(service, operation, result, protocol=None, **options):
    protocol = protocol or spec.head(service).protocols[0]
    return serializer.serialize(Route(service, operation, protocol), result, "the-id", **options)


def refusal(service, operation, error, protocol=None, **options):
    protocol = protocol or spec.head(service).protocols[0]
    return serializer.serialize_error(Route(service, operation, protocol), error, "the-id", **options)


# --- errors ---


@pytest.mark.parametrize(
    ("service", "operation", "protocol"),
    [
        ("sagemaker", "DescribeModel", "json"),
        ("logs", "GetLogEvents", "json"),
        ("iam", "GetRole", "query"),
        ("sts", "GetCallerIdentity", "query"),
        ("s3", "GetObject", "rest-xml"),
        ("route53", "GetHostedZone", "rest-xml"),
        ("scheduler", "GetSchedule", "rest-json"),
        ("sagemaker-runtime", "InvokeEndpoint", "rest-json"),
        ("cloudwatch", "PutMetricData", "smithy-rpc-v2-cbor"),
        ("cloudwatch", "PutMetricData", "json"),
        ("cloudwatch", "PutMetricData", "query"),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_an_error_is_what_botocore_reads(service, operation, protocol, known):
    response = refusal(service, operation if known else "", ERROR, protocol)
    parsed = read_by_botocore(response, spec.operation(service, operation), protocol)
    assert response.status == 400
    assert parsed["Error"]["Code"] == "ValidationException"
    assert parsed["Error"]["Message"] == ERROR.message


def test_an_error_carries_the_request_id():
    for service, operation in (("sagemaker", "ListModels"), ("iam", "GetRole"), ("s3", "GetObject")):
        response = refusal(service, operation, ERROR)
        name = "x-amz-request-id" if service == "s3" else "x-amzn-RequestId"
        assert response.header(name) == "the-id"


def test_members_of_an_error():
    error = AwsError("No such key.", code="NoSuchKey", status=404, members={"Key": "a<b", "_internal": "x"})
    parsed = read_by_botocore(refusal("s3", "GetObject", error), spec.operation("s3", "GetObject"), "rest-xml")
    assert parsed["Error"]["Key"] == "a<b"
    assert "_internal" not in str(parsed)
    response = refusal("sagemaker", "ListModels", AwsError("x", code="ConflictException", members={"Detail": 1}))
    assert b'"Detail":1' in response.body


def test_a_head_request_gets_no_error_body():
    response = refusal("s3", "HeadObject", AwsError("Not Found", code="404", status=404), head=True)
    assert (response.status, response.body) == (404, b"")
    parsed = read_by_botocore(response, spec.operation("s3", "HeadObject"), "rest-xml")
    assert parsed["Error"]["Code"] == "404"


def test_not_modified_has_no_body_and_keeps_its_headers():
    error = AwsError("Not Modified", code="304", status=304, members={"_headers": {"ETag": '"x"'}})
    response = refusal("s3", "GetObject", error)
    assert (response.status, response.body, response.header("etag")) == (304, b"", '"x"')


def test_the_code_is_where_each_sdk_looks_for_it():
    response = refusal("sagemaker", "DescribeModel", ResourceNotFound("gone"))
    assert response.header("x-amzn-errortype") == "ResourceNotFound"
    assert response.body == b'{"__type":"ResourceNotFound","message":"gone"}'
    assert response.header("content-type") == "application/x-amz-json-1.1"


# --- results ---


def test_internal_members_stay_inside():
    response = answer(
        "sagemaker", "CreateModel", {"ModelArn": "arn", "_ClientRequestToken": "x", "Unheard": 1, "X": None}
    )
    assert response.body == b'{"ModelArn":"arn"}'


@pytest.mark.parametrize(
    ("result", "named"),
    [
        ({"ModelArn": "arn:aws:sagemaker:eu-west-1:111122223333:model/m", "Unheard": 1}, "Unheard"),
        ({}, "modelArn"),
        ({"ModelArn": 1}, "modelArn"),
    ],
)
def test_strictness(result, named):
    with pytest.raises(ValueError, match=named):
        answer("sagemaker", "CreateModel", result, strict=True)
    good = {"ModelArn": "arn:aws:sagemaker:eu-west-1:111122223333:model/m", "_internal": 1}
    assert answer("sagemaker", "CreateModel", good, strict=True).status == 200
    with pytest.raises(ValueError, match="Unheard"):
        answer("sagemaker", "DeleteModel", {"Unheard": 1}, strict=True)


def test_an_operation_without_a_result():
    response = answer("sagemaker", "DeleteModel", {})
    assert (response.status, response.body) == (200, b"")
    assert answer("s3", "DeleteObject", {}).status == 204


def test_times_are_written_as_aws_writes_them():
    assert (
        b'"CreationTime":1700000000.123' in answer("sagemaker", "DescribeModel", {"CreationTime": 1700000000.1234}).body
    )
    assert b'"CreationTime":1700000000}' in answer("sagemaker", "DescribeModel", {"CreationTime": 1700000000.0}).body
    role = {"Role": {"CreateDate": 1700000000.5}}
    assert b"<CreateDate>2023-11-14T22:13:20.500Z</CreateDate>" in answer("iam", "GetRole", role).body
    assert answer("s3", "HeadObject", {"LastModified": 1700000000.9}).header("Last-Modified") == (
        "Tue, 14 Nov 2023 22:13:20 GMT"
    )


def test_a_lone_surrogate_breaks_nothing():
    for service, operation, result in (
        ("sagemaker", "DescribeModel", {"ModelName": "\ud800"}),
        ("iam", "GetRole", {"Role": {"Path": "\ud800"}}),
        ("s3", "HeadObject", {"ContentType": "\ud800"}),
        ("cloudwatch", "GetDashboard", {"DashboardBody": "\ud800"}),
    ):
        assert answer(service, operation, result).status == 200


# --- S3 ---


def test_a_stream_is_passed_through():
    stream = object()
    response = answer("s3", "GetObject", {"Body": stream, "ContentLength": 3, "_status": 206, "Metadata": {"a": "b"}})
    assert (response.body, response.status) == (stream, 206)
    assert (response.header("content-length"), response.header("x-amz-meta-a")) == ("3", "b")


def test_no_header_can_be_smuggled_in():
    response = answer("s3", "HeadObject", {"ContentType": "a\r\nx-evil: 1", "Metadata": {"m": "b\nx-evil: 1"}})
    assert all("\r" not in value and "\n" not in value for _, value in response.headers)
    response = answer("s3", "HeadObject", {"ContentDisposition": "attachment; filename=모델"})
    assert response.header("content-disposition").encode("latin-1").decode() == "attachment; filename=모델"


def test_names_of_s3s_documents():
    body = answer("s3", "ListObjectsV2", {"Name": "b"}).body
    assert (
        b'<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>b</Name></ListBucketResult>' in body
    )
    assert b"<ListAllMyBucketsResult" in answer("s3", "ListBuckets", {"Buckets": []}).body
    assert b"<CopyObjectResult" in answer("s3", "CopyObject", {"CopyObjectResult": {"ETag": "x"}}).body
    assert b"<InitiateMultipartUploadResult" in answer("s3", "CreateMultipartUpload", {"UploadId": "u"}).body


@pytest.mark.parametrize(("location", "expected"), [({"LocationConstraint": "eu-west-1"}, "eu-west-1"), ({}, "")])
def test_the_location_of_a_bucket(location, expected):
    body = answer("s3", "GetBucketLocation", location).body.decode()
    assert body.endswith(
        f'<LocationConstraint xmlns="http://s3.amazonaws.com/doc/2006-03-01/">{expected}</LocationConstraint>'
    )
    parsed = {}
    botocore.handlers.parse_get_bucket_location(parsed, SimpleNamespace(raw=1, content=body.encode()))
    assert parsed["LocationConstraint"] == (expected or None)


@pytest.mark.parametrize("operation", ["ListObjects", "ListObjectsV2", "ListObjectVersions", "ListMultipartUploads"])
def test_keys_that_xml_can_not_hold_are_url_encoded(operation):
    key = "a b/\x01+%é모\n"
    item = {"ListObjectVersions": "Versions", "ListMultipartUploads": "Uploads"}.get(operation, "Contents")
    result = {
        "EncodingType": "url",
        "Prefix": key,
        "Delimiter": "/",
        item: [{"Key": key}],
        "CommonPrefixes": [{"Prefix": key}],
    }
    parsed = read_by_botocore(answer("s3", operation, result), spec.operation("s3", operation), "rest-xml")
    assert parsed[item][0]["Key"] == "a%20b/%01%2B%25%C3%A9%EB%AA%A8%0A"
    decode = DECODERS.get(operation)
    if decode is not None:
        decode(parsed, context={"encoding_type_auto_set": True})
        assert parsed[item][0]["Key"] == parsed["CommonPrefixes"][0]["Prefix"] == key


DECODERS = {
    "ListObjects": botocore.handlers.decode_list_object,
    "ListObjectsV2": botocore.handlers.decode_list_object_v2,
    "ListObjectVersions": botocore.handlers.decode_list_object_versions,
}


def test_a_control_character_in_plain_xml_is_a_reference():
    assert b"<Key>a&#1;b&#13;</Key>" in answer("s3", "ListObjects", {"Contents": [{"Key": "a\x01b\r"}]}).body


# --- what is asked in headers ---


def test_an_unknown_header_of_s3s_is_named_by_validation():
    from modelwright.protocol import parser
    from modelwright.protocol.validation import validate

    request = Request("PUT", "/b/k", "", {"host": "localhost", "x-amz-freeze": "1", "x-amz-meta-a": "b"})
    route = router.route(request)
    parameters = parser.parse(route, request)
    with pytest.raises(AwsError, match="x-amz-freeze") as caught:
        validate("s3", "PutObject", parameters)
    assert caught.value.code == "UnsupportedOperation"
