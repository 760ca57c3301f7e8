"""What comes back when something is wrong: with the request, or with us."""

import json
import socket
import urllib.error
import urllib.request
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError


def failure(call):
    with pytest.raises(ClientError) as caught:
        call()
    return caught.value.response


def test_an_operation_that_we_do_not_have(sample):
    client = sample.client("sagemaker", retries={"mode": "standard", "max_attempts": 5})
    answer = failure(lambda: client.create_notebook_instance(
        NotebookInstanceName="n", InstanceType="ml.t3.medium", RoleArn="arn:aws:iam::111122223333:role/r"))  # fmt: skip
    assert answer["Error"]["Code"] == "UnsupportedOperation"
    assert "sagemaker:CreateNotebookInstance" in answer["Error"]["Message"]
    assert "docs/operations.md" in answer["Error"]["Message"]
    assert 400 <= answer["ResponseMetadata"]["HTTPStatusCode"] < 500
    assert answer["ResponseMetadata"]["RetryAttempts"] == 0


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize(
    ("service", "call"),
    [
        ("lambda", lambda client: client.list_functions()),
        ("ec2", lambda client: client.describe_instances()),
        ("dynamodb", lambda client: client.list_tables()),
        ("sqs", lambda client: client.list_queues()),
        ("cloudwatch", lambda client: client.list_metrics()),
        ("s3", lambda client: client.list_buckets()),
        ("glue", lambda client: client.get_databases()),
    ],
)
def test_a_service_that_we_do_not_have_never_leaks_to_aws(sample, service, call, secure):
    answer = failure(lambda: call(sample.client(service, secure=secure)))
    assert answer["Error"]["Code"] == "UnsupportedOperation"
    assert service in answer["Error"]["Message"]
    assert 400 <= answer["ResponseMetadata"]["HTTPStatusCode"] < 500


def test_parameters_that_the_model_refuses(sample):
    client = sample.client("sagemaker", parameter_validation=False)
    answer = failure(lambda: client.describe_model(ModelName="not a name"))
    assert answer["Error"]["Code"] == "ValidationException"
    assert "modelName" in answer["Error"]["Message"]


def test_a_defect_of_ours(sample):
    answer = failure(lambda: sample.client("sagemaker").delete_model(ModelName="m"))
    assert answer["Error"]["Code"] == "InternalFailure"
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert "secret" not in answer["Error"]["Message"]
    request_id = answer["ResponseMetadata"]["RequestId"]
    assert request_id in answer["Error"]["Message"]
    told = sample.said().partition(request_id)[2]
    assert "RuntimeError: a defect with a secret in its text" in told


def test_health(sample, server):
    with urllib.request.urlopen(f"{sample.url}/modelwright/health") as answer:
        assert json.load(answer) == {"sample": True}
    with urllib.request.urlopen(f"{server.url}/modelwright/health") as answer:
        health = json.load(answer)
    assert health.keys() >= {"version", "home", "region", "account"}
    assert health["home"] == str(server.settings.home)


def test_a_container_engine_hears_why(sample):
    request = urllib.request.Request(
        f"{sample.url}/v2/", headers={"Host": "111122223333.dkr.ecr.us-east-1.amazonaws.com"}
    )
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    with caught.value as answer:
        assert json.load(answer)["errors"][0]["code"] == "UNSUPPORTED"


def ask(server, request):
    """Raw bytes in, raw bytes out, to the end."""
    parts = urlsplit(server.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as sock:
        sock.sendall(request)
        return b"".join(iter(lambda: sock.recv(65536), b""))


def head(first, *lines):
    return b"\r\n".join([first, b"Connection: close", *lines, b"", b""])


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"\x00\x01\x02\x03\r\n\r\n", 400),
        (b"GET\r\n\r\n", 400),
        (b"GET / HTTP/9.9\r\n\r\n", 400),
        (head(b"GET /%zz HTTP/1.1", b"Host: x"), 403),
        (head(b"GET /\xff\xfe HTTP/1.1", b"Host: x"), 400),
        (head(b"GET / HTTP/1.1", b"Host: \xff"), 403),
        (head(b"GET /b/k?x=%ff&%00 HTTP/1.1", b"Host: x"), None),
        (head(b"BREW / HTTP/1.1", b"Host: x"), None),
        (head(b"POST / HTTP/1.1", b"X-Amz-Target: \xff.\xfe", b"Content-Length: 0"), 400),
        (head(b"POST / HTTP/1.1", b"X-Amz-Target: SageMaker", b"Content-Length: 0"), 400),
        (head(b"POST / HTTP/1.1", b"X-Amz-Target: SageMaker.No", b"Content-Length: 0"), 400),
        (
            head(b"POST / HTTP/1.1", b"Content-Type: application/x-www-form-urlencoded", b"Content-Length: 3")
            + b"\xff=%",
            None,
        ),
        (head(b"PUT /b/k HTTP/1.1", b"Content-Length: 5") + b"hello", 403),
        (head(b"PUT /b/k HTTP/1.1", b"Authorization: AWS4-HMAC-SHA256 Credential=,", b"Content-Length: 0"), 400),
        (head(b"GET /b/k?X-Amz-Signature=1 HTTP/1.1", b"Host: x"), 400),
        (head(b"GET /b/k?AWSAccessKeyId=x&Signature=y&Expires=z HTTP/1.1", b"Host: x"), 403),
        (b"GET /modelwright/health HTTP/1.0\r\n\r\n", 200),
    ],
)
def test_malformed_requests_are_the_clients_fault(sample, request_, status):
    answer = ask(sample, request_)
    found = int(answer.split(b" ", 2)[1])
    assert 400 <= found < 500 if status is None else found == status
    assert b"Traceback" not in answer


def test_half_a_request_does_no_harm(sample):
    parts = urlsplit(sample.url)
    for half in (
        b"POST / HT",
        b"POST / HTTP/1.1\r\nHost: x\r\n",
        b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nabc",
    ):
        with socket.create_connection((parts.hostname, parts.port)) as sock:
            sock.sendall(half)
    assert sample.client("sts").get_caller_identity()["Account"] == "111122223333"


def test_a_body_that_is_too_large(sample):
    huge = b"x" * (33 * 1024 * 1024)
    parts = urlsplit(sample.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as sock:
        sock.sendall(
            head(b"POST / HTTP/1.1", b"X-Amz-Target: SageMaker.DescribeModel", b"Content-Length: %d" % len(huge))
        )
        try:
            sock.sendall(huge)
            answer = b"".join(iter(lambda: sock.recv(65536), b""))
        except (BrokenPipeError, ConnectionResetError):
            return  # it hung up on us, which is an answer too
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"RequestEntityTooLargeException" in answer
