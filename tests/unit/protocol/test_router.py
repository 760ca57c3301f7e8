"""Every operation's request, as botocore's client makes and signs it, finds back to its operation."""

import pytest

from modelwright.errors import AwsError, UnsupportedOperation
from modelwright.protocol import router, spec
from modelwright.protocol.messages import Request
from support.wire_clients import LOCAL, client, prepared, received
from support.wire_shapes import for_botocore, minimal

SERVICES = [
    "sagemaker",
    "s3",
    "sts",
    "iam",
    "logs",
    "ecr",
    "sagemaker-runtime",
    "sagemaker-metrics",
    "sagemaker-featurestore-runtime",
    "scheduler",
    "lambda",
    "events",
    "cloudformation",
    "codepipeline",
    "codebuild",
    "codecommit",
    "codeconnections",
    "codestar-connections",
    "sqs",
    "cloudwatch",
]
SHADOWED = {
    # Deprecated operations whose requests look like those of the ones that took their place.
    ("s3", "GetBucketLifecycle"): "GetBucketLifecycleConfiguration",
    ("s3", "PutBucketLifecycle"): "PutBucketLifecycleConfiguration",
    ("s3", "GetBucketNotification"): "GetBucketNotificationConfiguration",
    ("s3", "PutBucketNotification"): "PutBucketNotificationConfiguration",
    # Told apart by the host name alone, which is s3express's.
    ("s3", "ListDirectoryBuckets"): "ListBuckets",
    ("s3", "CreateSession"): "CreateSession",
    ("lambda", "InvokeAsync"): "InvokeAsync",
}


def sent(service, operation, endpoint):
    shape = spec.operation(service, operation).input_shape
    parameters = for_botocore(shape, minimal(shape))
    if service == "s3" and "CopySource" in parameters:
        parameters["CopySource"] = "bucket/key"
    for name in ("Bucket", "AccountId"):
        if name in parameters:
            parameters[name] = "a-bucket" if name == "Bucket" else "111122223333"
    return received(prepared(client(service, endpoint), operation, parameters))


@pytest.mark.parametrize("endpoint", [LOCAL, None], ids=["local", "amazonaws.com"])
@pytest.mark.parametrize("service", SERVICES)
def test_every_operation_finds_its_way(service, endpoint):
    wrong = []
    for operation in spec.service(service).operation_names:
        if (service, operation) in UNSIGNED or spec.operation(service, operation).has_event_stream_input:
            continue
        if service == "s3" and operation in ("ListDirectoryBuckets", "CreateSession") and endpoint is None:
            continue  # s3express's host names are not ours
        request = sent(service, operation, endpoint)
        found = router.route(request)
        if (found.service, found.operation) != (service, SHADOWED.get((service, operation), operation)):
            wrong.append((operation, found))
    assert wrong == []


UNSIGNED = {("s3", "WriteGetObjectResponse")}


def get(path, query="", **headers):
    return Request("GET", path, query, {name.replace("_", "-"): value for name, value in headers.items()})


@pytest.mark.parametrize(
    ("host", "path", "labels"),
    [
        ("127.0.0.1:7070", "/b/k", {"Bucket": "b", "Key": "k"}),
        ("localhost:7070", "/b/a/b%20c", {"Bucket": "b", "Key": "a/b c"}),
        ("localhost:7070", "/b//k/", {"Bucket": "b", "Key": "/k/"}),
        ("localhost:7070", "/b/a/../k", {"Bucket": "b", "Key": "a/../k"}),
        ("s3.us-east-1.amazonaws.com", "/b/k", {"Bucket": "b", "Key": "k"}),
        ("s3.amazonaws.com", "/b/k%2Fx", {"Bucket": "b", "Key": "k/x"}),
        ("b.s3.amazonaws.com", "/k", {"Bucket": "b", "Key": "k"}),
        ("b.s3.us-east-1.amazonaws.com", "/k", {"Bucket": "b", "Key": "k"}),
        ("b.s3-us-west-2.amazonaws.com", "/k", {"Bucket": "b", "Key": "k"}),
        ("my.dotted.bucket.s3.us-east-1.amazonaws.com", "/k", {"Bucket": "my.dotted.bucket", "Key": "k"}),
        ("s3.s3.us-east-1.amazonaws.com", "/k", {"Bucket": "s3", "Key": "k"}),
        ("b.s3.dualstack.eu-west-1.amazonaws.com", "/k", {"Bucket": "b", "Key": "k"}),
        ("b.s3-accelerate.amazonaws.com", "/k", {"Bucket": "b", "Key": "k"}),
        ("b.s3.cn-north-1.amazonaws.com.cn", "/k", {"Bucket": "b", "Key": "k"}),
        ("b.s3.us-gov-west-1.amazonaws.com", "/k", {"Bucket": "b", "Key": "k"}),
        ("B.localhost:7070", "/k", {"Bucket": "b", "Key": "k"}),
        ("b.127.0.0.1:7070", "/k", {"Bucket": "b", "Key": "k"}),
        ("s3.localhost:7070", "/b/k", {"Bucket": "b", "Key": "k"}),
    ],
)
def test_s3s_bucket_and_key_from_host_and_path(host, path, labels):
    route = router.route(get(path, host=host))
    assert (route.service, route.operation, route.labels) == ("s3", "GetObject", labels)


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "operation"),
    [
        ("GET", "/", "", {}, "ListBuckets"),
        ("GET", "/b", "", {}, "ListObjects"),
        ("GET", "/b/", "prefix=x&delimiter=/", {}, "ListObjects"),
        ("GET", "/b", "list-type=2&prefix=", {}, "ListObjectsV2"),
        ("GET", "/b", "location", {}, "GetBucketLocation"),
        ("GET", "/b", "location=", {}, "GetBucketLocation"),
        ("GET", "/b", "uploads", {}, "ListMultipartUploads"),
        ("GET", "/b", "versions", {}, "ListObjectVersions"),
        ("GET", "/b", "analytics", {}, "ListBucketAnalyticsConfigurations"),
        ("GET", "/b", "analytics&id=1", {}, "GetBucketAnalyticsConfiguration"),
        ("HEAD", "/b", "", {}, "HeadBucket"),
        ("HEAD", "/b/k", "partNumber=1", {}, "HeadObject"),
        ("PUT", "/b", "", {}, "CreateBucket"),
        ("PUT", "/b/k", "", {}, "PutObject"),
        ("PUT", "/b/k", "x-id=PutObject", {}, "PutObject"),
        ("PUT", "/b/k", "", {"x-amz-copy-source": "/a/b"}, "CopyObject"),
        ("PUT", "/b/k", "uploadId=u&partNumber=1", {}, "UploadPart"),
        ("PUT", "/b/k", "uploadId=u&partNumber=1", {"x-amz-copy-source": "/a/b"}, "UploadPartCopy"),
        ("POST", "/b/k", "uploads", {}, "CreateMultipartUpload"),
        ("POST", "/b/k", "uploadId=u", {}, "CompleteMultipartUpload"),
        ("DELETE", "/b/k", "uploadId=u", {}, "AbortMultipartUpload"),
        ("GET", "/b/k", "uploadId=u", {}, "ListParts"),
        ("GET", "/b/k", "tagging", {}, "GetObjectTagging"),
        ("GET", "/b/k", "response-content-type=text/plain", {}, "GetObject"),
        ("GET", "/b/k", "cachebuster=17", {}, "GetObject"),
        ("POST", "/b", "delete", {}, "DeleteObjects"),
        ("DELETE", "/b", "", {}, "DeleteBucket"),
    ],
)
def test_s3s_operations_by_method_parameters_and_headers(method, path, query, headers, operation):
    route = router.route(Request(method, path, query, {"host": "localhost:7070", **headers}))
    assert (route.service, route.operation) == ("s3", operation)


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("DELETE", "/b/k", "a-new-subresource"),
        ("DELETE", "/b", "analytics"),  # an id must name the one to delete; this is not DeleteBucket
        ("PUT", "/b/k", "partNumber=1"),
        ("PUT", "/b/k", "uploadId=1"),
        ("GET", "/b/k", "uploads"),
        ("GET", "/b", "list-type=3"),
    ],
)
def test_a_subresource_that_an_operation_does_not_have_is_refused(method, path, query):
    with pytest.raises(UnsupportedOperation, match=query.partition("=")[0]):
        router.route(Request(method, path, query, {"host": "localhost"}))


def test_a_method_that_s3_does_not_have():
    with pytest.raises(AwsError, match="PATCH") as caught:
        router.route(Request("PATCH", "/b/k", "", {"host": "localhost"}))
    assert (caught.value.code, caught.value.status) == ("MethodNotAllowed", 405)


def scope(service):
    return f"AWS4-HMAC-SHA256 Credential=AK/20261123/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=0"


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        (Request("POST", "/", "", {"x-amz-target": "SageMaker.MakeCoffee"}), "sagemaker:MakeCoffee"),
        (Request("POST", "/", "", {"x-amz-target": "Coffee.Make"}), "Coffee.Make"),
        (Request("POST", "/", "", {"x-amz-target": ""}), "X-Amz-Target"),
        (Request("POST", "/", "Action=MakeCoffee", {"authorization": scope("iam")}), "iam:MakeCoffee"),
        (Request("POST", "/", "Action=MakeCoffee", {"host": "localhost"}), "MakeCoffee"),
        (Request("POST", "/coffee", "", {"authorization": scope("lambda")}), "POST /coffee"),
        (Request("POST", "/service/Coffee/operation/Make", "", {"smithy-protocol": "rpc-v2-cbor"}), "Coffee"),
        (
            Request(
                "POST", "/service/GraniteServiceVersion20100801/operation/X", "", {"smithy-protocol": "rpc-v2-cbor"}
            ),
            "cloudwatch:X",
        ),
    ],
)
def test_what_no_model_knows_is_refused_by_name(request_, named):
    with pytest.raises(UnsupportedOperation) as caught:
        router.route(request_)
    assert named in caught.value.message
    assert "docs/operations.md" in caught.value.message
    assert caught.value.status == 400


def test_a_query_call_is_found_by_scope_host_or_action_alone():
    form = {"content-type": "application/x-www-form-urlencoded; charset=utf-8"}
    body = b"Action=GetRole&Version=2010-05-08&RoleName=r"
    for headers in ({"authorization": scope("iam")}, {"host": "iam.amazonaws.com"}, {"host": "127.0.0.1:7070"}):
        route = router.route(Request("POST", "/", "", {**form, **headers}, body))
        assert (route.service, route.operation, route.protocol) == ("iam", "GetRole", "query")
    route = router.route(Request("GET", "/", "Action=GetCallerIdentity&Version=2011-06-15", {"host": "localhost"}))
    assert (route.service, route.operation) == ("sts", "GetCallerIdentity")


def test_cloudwatch_answers_in_all_of_its_protocols():
    form = {"content-type": "application/x-www-form-urlencoded", "authorization": scope("monitoring")}
    query = router.route(Request("POST", "/", "", form, b"Action=PutMetricData&Version=2010-08-01"))
    target = {
        "x-amz-target": "GraniteServiceVersion20100801.PutMetricData",
        "content-type": "application/x-amz-json-1.0",
    }
    assert query.protocol == "query"
    found = router.route(Request("POST", "/", "", target))
    assert (found.protocol, found.json_version) == ("json", "1.0")


@pytest.mark.parametrize(
    ("request_", "service", "protocol"),
    [
        (Request("POST", "/", "", {"x-amz-target": "SageMaker.Nothing"}), "sagemaker", "json"),
        (Request("POST", "/", "", {"x-amz-target": "Nothing"}), "sagemaker", "json"),
        (Request("POST", "/", "Action=Nothing", {"authorization": scope("iam")}), "iam", "query"),
        (Request("POST", "/", "Action=Nothing", {}), "sts", "query"),
        (Request("POST", "/x", "", {"host": "lambda.us-east-1.amazonaws.com"}), "lambda", "rest-json"),
        (Request("PATCH", "/b/k", "", {"host": "localhost"}), "s3", "rest-xml"),
        (Request("GET", "/", "", {"authorization": "AWS4-HMAC-SHA256 Credential=nonsense"}), "s3", "rest-xml"),
    ],
)
def test_in_whose_manner_to_answer_what_has_no_route(request_, service, protocol):
    hint = router.hint(request_)
    assert (hint.service, hint.operation, hint.protocol) == (service, "", protocol)


def test_the_region_of_a_request():
    assert router.region(Request("GET", "/", "", {"authorization": scope("iam")})) == "us-east-1"
    assert router.region(Request("GET", "/", "", {"host": "sts.eu-west-1.amazonaws.com"})) == "eu-west-1"
    assert router.region(Request("GET", "/", "", {"host": "sts.amazonaws.com"})) is None
    assert router.region(Request("GET", "/", "", {"host": "localhost"})) is None
