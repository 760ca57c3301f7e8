"""The same calls to moto's server and to ours: where moto has AWS's behaviour, so must we."""

import uuid
import warnings

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

PART = 5 << 20
COMPARED = {
    "Body",
    "BucketName",
    "Code",
    "CommonPrefixes",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentLength",
    "ContentRange",
    "ContentType",
    "CacheControl",
    "Contents",
    "Deleted",
    "Delimiter",
    "ETag",
    "EncodingType",
    "Errors",
    "HTTPStatusCode",
    "IsTruncated",
    "Key",
    "KeyCount",
    "LocationConstraint",
    "MaxKeys",
    "Metadata",
    "Parts",
    "Prefix",
    "StartAfter",
    "TagSet",
    "Value",
    "PartNumber",
    "Size",
    "TagCount",
    "Uploads",
}


@pytest.fixture(scope="module")
def moto():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        server = pytest.importorskip("moto.server", reason="moto is not installed").ThreadedMotoServer(port=0)
        server.start()
    host, port = server.get_host_and_port()
    yield boto3.client(
        "s3",
        endpoint_url=f"http://{host}:{port}",
        region_name="us-east-1",
        aws_access_key_id="a",
        aws_secret_access_key="b",
        config=Config(proxies={}, retries={"total_max_attempts": 1}),
    )
    server.stop()


def told(answer):
    """What is comparable in an answer."""
    if isinstance(answer, dict) and "Code" in answer:
        return answer["Code"]
    if isinstance(answer, dict):
        return {
            key: told(value)
            for key, value in answer.items()
            if value != ""
            and (key in COMPARED or key in ("ResponseMetadata", "CopyObjectResult", "CopyPartResult", "Error"))
        }
    if isinstance(answer, list):
        return [told(item) for item in answer]
    return answer.read() if hasattr(answer, "read") else answer


def listing(s3, bucket):
    for key in ("a", "a/1", "a/2", "a/b/c", "b c", "b+c", "schön/x", "z/"):
        yield s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    for more in (
        {},
        {"Delimiter": "/"},
        {"Prefix": "a/"},
        {"Prefix": "a/", "Delimiter": "/"},
        {"Prefix": "a", "Delimiter": "b"},
        {"Prefix": "none"},
        {"MaxKeys": 3},
        {"MaxKeys": 0},
    ):
        yield s3.list_objects_v2(Bucket=bucket, **more)
        yield s3.list_objects(Bucket=bucket, **more)
    yield s3.list_objects_v2(Bucket=bucket, MaxKeys=2, Delimiter="/")
    yield s3.list_objects_v2(Bucket=bucket, StartAfter="a/2")
    yield s3.list_objects(Bucket=bucket, Marker="a/2")


def reading(s3, bucket):
    yield s3.put_object(
        Bucket=bucket,
        Key="k",
        Body=b"0123456789",
        ContentType="text/plain",
        CacheControl="no-cache",
        ContentLanguage="en",
        ContentEncoding="identity",
        ContentDisposition="inline",
        Metadata={"a": "b"},
        Tagging="x=1&y=2",
    )
    yield s3.get_object(Bucket=bucket, Key="k")
    yield s3.head_object(Bucket=bucket, Key="k")
    for asked in ("bytes=0-3", "bytes=3-", "bytes=-4", "bytes=8-100"):
        yield s3.get_object(Bucket=bucket, Key="k", Range=asked)
    for refused in (
        lambda: s3.get_object(Bucket=bucket, Key="k", Range="bytes=10-"),
        lambda: s3.get_object(Bucket=bucket, Key="k", IfMatch="x"),
        lambda: s3.get_object(Bucket=bucket, Key="k", IfNoneMatch='"781e5e245d69b566979b86e28d23f2c7"'),
        lambda: s3.get_object(Bucket=bucket, Key="absent"),
        lambda: s3.head_object(Bucket=bucket, Key="absent"),
        lambda: s3.get_object(Bucket="no-such-bucket-here", Key="k"),
    ):
        yield refusal(refused)
    yield s3.get_object_tagging(Bucket=bucket, Key="k")


def writing(s3, bucket):
    yield s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")
    yield refusal(lambda: s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*"))
    yield s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": "k"})
    yield refusal(lambda: s3.copy_object(Bucket=bucket, Key="k", CopySource={"Bucket": bucket, "Key": "k"}))
    yield refusal(lambda: s3.copy_object(Bucket=bucket, Key="c", CopySource={"Bucket": bucket, "Key": "absent"}))
    yield s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}]})
    yield s3.delete_object(Bucket=bucket, Key="absent")
    yield refusal(lambda: s3.delete_bucket(Bucket=bucket))
    yield s3.get_bucket_location(Bucket=bucket)
    yield refusal(lambda: s3.get_bucket_tagging(Bucket=bucket))


def multipart(s3, bucket):
    upload = s3.create_multipart_upload(Bucket=bucket, Key="big", ContentType="a/b")["UploadId"]
    what = {"Bucket": bucket, "Key": "big", "UploadId": upload}
    one = s3.upload_part(**what, PartNumber=1, Body=b"1" * PART)
    two = s3.upload_part(**what, PartNumber=2, Body=b"end")
    yield one
    yield s3.list_parts(**what)
    parts = [{"PartNumber": 1, "ETag": one["ETag"]}, {"PartNumber": 2, "ETag": two["ETag"]}]
    wrong = {"Parts": [{"PartNumber": 5, "ETag": one["ETag"]}]}
    yield refusal(lambda: s3.complete_multipart_upload(**what, MultipartUpload=wrong))
    yield s3.complete_multipart_upload(**what, MultipartUpload={"Parts": parts})
    yield s3.head_object(Bucket=bucket, Key="big")
    yield s3.get_object(Bucket=bucket, Key="big", Range=f"bytes={PART - 2}-{PART + 1}")
    other = s3.create_multipart_upload(Bucket=bucket, Key="other")["UploadId"]
    yield s3.abort_multipart_upload(Bucket=bucket, Key="other", UploadId=other)
    yield refusal(lambda: s3.list_parts(Bucket=bucket, Key="other", UploadId=other))


def refusal(call):
    try:
        return call()
    except ClientError as error:
        return error.response


@pytest.mark.parametrize("scenario", [listing, reading, writing, multipart])
def test_the_same_answers(server, moto, scenario):
    ours = server.client("s3")
    bucket = f"same-{uuid.uuid4().hex[:12]}"
    answers = []
    for client in (moto, ours):
        client.create_bucket(Bucket=bucket)
        answers.append([told(answer) for answer in scenario(client, bucket)])
    for number, (theirs, our) in enumerate(zip(*answers, strict=True)):
        assert our == theirs, f"answer {number}"
