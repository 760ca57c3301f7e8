"""Who may call: identity by every way in, and AWS's own refusals as boto3 shows them."""

import datetime
from dataclasses import replace

import botocore.auth
import botocore.crt.auth
import pytest
from botocore import UNSIGNED
from botocore.exceptions import ClientError

WAYS = pytest.mark.parametrize("secure", [False, True], ids=["endpoint", "proxy"])


@WAYS
def test_who_am_i(sample, secure):
    answer = sample.client("sts", secure=secure).get_caller_identity()
    assert answer["Arn"] == "arn:aws:sts::111122223333:assumed-role/ModelwrightExecutionRole/admin"
    assert answer["Account"] == "111122223333"
    assert answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"] == answer["ResponseMetadata"]["RequestId"]
    assert answer["ResponseMetadata"]["HTTPHeaders"]["date"].endswith(" GMT")


def test_a_job_is_somebody_else(sample):
    answer = sample.client("sts", key=sample.keys.job).get_caller_identity()
    assert answer["Arn"] == "arn:aws:sts::111122223333:assumed-role/ModelwrightExecutionRole/SageMaker"


@WAYS
def test_the_region_is_the_clients(sample, secure):
    client = sample.client("sagemaker", secure=secure, region="ap-northeast-2")
    assert client.list_models()["Models"][0]["ModelName"] == "ap-northeast-2"


CALLS = {
    "sts": lambda client: client.get_caller_identity(),
    "sagemaker": lambda client: client.describe_model(ModelName="m"),
    "s3": lambda client: client.put_object(Bucket="bucket", Key="key", Body=b"content"),
}


def refused(client, service):
    with pytest.raises(ClientError) as caught:
        CALLS[service](client)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


@WAYS
@pytest.mark.parametrize(
    ("service", "code", "status"),
    [
        ("sts", "InvalidClientTokenId", 403),
        ("sagemaker", "UnrecognizedClientException", 400),
        ("s3", "InvalidAccessKeyId", 403),
    ],
)
def test_an_unknown_key(sample, service, code, status, secure):
    key = replace(sample.keys.admin, id="AKIAIOSFODNN7EXAMPLE")
    assert refused(sample.client(service, key=key, secure=secure), service) == (code, status)


@WAYS
@pytest.mark.parametrize(
    ("service", "code", "status"),
    [
        ("sts", "SignatureDoesNotMatch", 403),
        ("sagemaker", "InvalidSignatureException", 400),
        ("s3", "SignatureDoesNotMatch", 403),
    ],
)
def test_a_wrong_secret(sample, service, code, status, secure):
    key = replace(sample.keys.admin, secret="wrong")
    assert refused(sample.client(service, key=key, secure=secure), service) == (code, status)


@pytest.mark.parametrize("minutes", [-20, 20])
@pytest.mark.parametrize(
    ("service", "code", "status"),
    [
        ("sts", "SignatureDoesNotMatch", 403),
        ("sagemaker", "InvalidSignatureException", 400),
        ("s3", "RequestTimeTooSkewed", 403),
    ],
)
def test_a_wrong_clock(sample, monkeypatch, service, code, status, minutes):
    wrong = datetime.datetime.now(datetime.UTC) + datetime.timedelta(minutes=minutes)
    client = sample.client(service)
    for signers in (botocore.auth, botocore.crt.auth):  # botocore takes awscrt's where that is installed
        monkeypatch.setattr(signers, "get_current_datetime", lambda *_, **__: wrong)
    assert refused(client, service) == (code, status)


@pytest.mark.parametrize(
    ("service", "code", "status"),
    [
        ("sts", "MissingAuthenticationToken", 403),
        ("sagemaker", "MissingAuthenticationTokenException", 400),
        ("s3", "AccessDenied", 403),
    ],
)
def test_no_signature(sample, service, code, status):
    assert refused(sample.client(service, signature_version=UNSIGNED), service) == (code, status)


def test_a_refusal_is_not_tried_again(sample):
    client = sample.client(
        "sts", retries={"mode": "standard", "max_attempts": 4}, key=replace(sample.keys.admin, secret="x")
    )
    with pytest.raises(ClientError) as caught:
        client.get_caller_identity()
    assert caught.value.response["ResponseMetadata"]["RetryAttempts"] == 0
