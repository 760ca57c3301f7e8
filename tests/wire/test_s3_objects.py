"""Objects by boto3, over HTTP and through the proxy: what SDKs do all day, and S3's own refusals."""

import base64
import datetime
import hashlib
import http.client
import io
import os
import socket
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from support.server import Server

HARD_KEYS = [
    "a",
    "a/b",
    "a//b",
    "/leading",
    "..",
    "../../etc/passwd",
    "a/../b",
    "./x",
    "schön/한국어/🦆",
    "space and+plus%20",
    "new\nline",
    "quote'\"<&>;|*?",
    "back\\slash",
    "k" * 1024,
    "é" * 512,
    "folder/",
]


@pytest.fixture(scope="module")
def s3(server):
    return server.client("s3")


@pytest.fixture(scope="module", params=[False, True], ids=["endpoint", "proxy"])
def either(server, request):
    """A client by each way in."""
    return server.client("s3", secure=request.param)


@pytest.fixture
def bucket(s3):
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    return name


def refused(call, **parameters):
    with pytest.raises(ClientError) as error:
        call(**parameters)
    response = error.value.response
    return response["Error"]["Code"], response["ResponseMetadata"]["HTTPStatusCode"]


def test_it_works(either, bucket):
    s3 = either
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"hello", ContentType="text/plain", Metadata={"Owner": "me"})
    assert put["ETag"] == '"5d41402abc4b2a76b9719d911017c592"'
    assert put["ChecksumCRC32"] == "NhCmhg=="
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got["Body"].read() == b"hello"
    assert (got["ETag"], got["ContentType"], got["Metadata"]) == (put["ETag"], "text/plain", {"owner": "me"})
    assert (got["ContentLength"], got["ChecksumCRC32"], got["AcceptRanges"]) == (5, "NhCmhg==", "bytes")
    assert abs(got["LastModified"] - datetime.datetime.now(datetime.UTC)) < datetime.timedelta(minutes=1)
    head = s3.head_object(Bucket=bucket, Key="k")
    assert {k: head[k] for k in ("ETag", "ContentLength", "ContentType", "Metadata", "LastModified")} == {
        k: got[k] for k in ("ETag", "ContentLength", "ContentType", "Metadata", "LastModified")
    }
    assert "ChecksumCRC32" not in head
    s3.delete_object(Bucket=bucket, Key="k")
    assert refused(s3.get_object, Bucket=bucket, Key="k") == ("NoSuchKey", 404)
    assert refused(s3.head_object, Bucket=bucket, Key="k") == ("404", 404)


@pytest.mark.parametrize("key", HARD_KEYS, ids=range(len(HARD_KEYS)))
def test_any_key(either, bucket, key):
    s3 = either
    s3.put_object(Bucket=bucket, Key=key, Body=key.encode())
    assert s3.get_object(Bucket=bucket, Key=key)["Body"].read() == key.encode()
    assert [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]] == [key]
    s3.copy_object(Bucket=bucket, Key="copy", CopySource={"Bucket": bucket, "Key": key})
    s3.delete_object(Bucket=bucket, Key=key)
    assert [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["copy"]


def test_a_key_that_is_no_utf8_is_refused(s3, bucket):
    """Else two of them would be the same object."""
    url = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "KEY"})
    status, _, body = fetch(url.replace("KEY", "%FF"), "PUT", b"x")
    assert (status, b"<Code>InvalidURI</Code>" in body) == (400, True)


def test_a_key_may_be_too_long(s3, bucket):
    assert refused(s3.put_object, Bucket=bucket, Key="k" * 1025) == ("KeyTooLongError", 400)
    assert refused(s3.put_object, Bucket=bucket, Key="é" * 513) == ("KeyTooLongError", 400)


def test_content_headers_are_kept(s3, bucket):
    expires = datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)
    headers = {
        "CacheControl": "max-age=60",
        "ContentDisposition": 'attachment; filename="x.txt"',
        "ContentEncoding": "gzip",
        "ContentLanguage": "ko",
        "ContentType": "application/json",
        "WebsiteRedirectLocation": "/other",
    }
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Expires=expires, **headers)
    head = s3.head_object(Bucket=bucket, Key="k")
    assert {name: head[name] for name in headers} == headers
    assert head["Expires"] == expires


def test_without_a_type_it_is_binary(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k")
    head = s3.head_object(Bucket=bucket, Key="k")
    assert (head["ContentType"], head["ContentLength"]) == ("binary/octet-stream", 0)
    assert head["ETag"] == f'"{hashlib.md5(b"").hexdigest()}"'
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b""


@pytest.mark.parametrize(
    ("asked", "expected", "told"),
    [
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=3-", b"3456789", "bytes 3-9/10"),
        ("bytes=-4", b"6789", "bytes 6-9/10"),
        ("bytes=-100", b"0123456789", "bytes 0-9/10"),
        ("bytes=8-100", b"89", "bytes 8-9/10"),
        ("bytes=0-0", b"0", "bytes 0-0/10"),
    ],
)
def test_ranges(s3, bucket, asked, expected, told):
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    got = s3.get_object(Bucket=bucket, Key="k", Range=asked)
    assert got["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert (got["Body"].read(), got["ContentRange"], got["ContentLength"]) == (expected, told, len(expected))
    head = s3.head_object(Bucket=bucket, Key="k", Range=asked)
    assert (head["ContentLength"], head["ResponseMetadata"]["HTTPStatusCode"]) == (len(expected), 206)


@pytest.mark.parametrize("asked", ["bytes=5-2", "bytes=0-1,4-5", "lines=0-1", "bytes=", "bytes=a-b", "nonsense"])
def test_what_is_no_range_is_ignored(s3, bucket, asked):
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    got = s3.get_object(Bucket=bucket, Key="k", Range=asked)
    assert (got["ResponseMetadata"]["HTTPStatusCode"], got["Body"].read()) == (200, b"0123456789")


def test_ranges_beyond_the_end(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"0123456789")
    s3.put_object(Bucket=bucket, Key="empty", Body=b"")
    for key, asked in (("k", "bytes=10-"), ("k", "bytes=-0"), ("empty", "bytes=0-0")):
        assert refused(s3.get_object, Bucket=bucket, Key=key, Range=asked) == ("InvalidRange", 416)


def test_reading_on_conditions(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    modified = s3.head_object(Bucket=bucket, Key="k")["LastModified"]
    hour = datetime.timedelta(hours=1)
    for call, suffix in ((s3.get_object, ""), (s3.head_object, "")):
        what = {"Bucket": bucket, "Key": f"k{suffix}"}
        for fine in (
            {"IfMatch": etag},
            {"IfMatch": "*"},
            {"IfNoneMatch": '"other"'},
            {"IfModifiedSince": modified - hour},
            {"IfUnmodifiedSince": modified},
            {"IfMatch": etag, "IfUnmodifiedSince": modified - hour},
            {"IfNoneMatch": '"other"', "IfModifiedSince": modified + hour},
        ):
            call(**what, **fine)
        for unchanged in (
            {"IfNoneMatch": etag},
            {"IfNoneMatch": "*"},
            {"IfModifiedSince": modified},
            {"IfNoneMatch": etag, "IfModifiedSince": modified - hour},
        ):
            assert refused(call, **what, **unchanged) == ("304", 304)
        for failed in ({"IfMatch": '"other"'}, {"IfUnmodifiedSince": modified - hour}):
            assert refused(call, **what, **failed)[1] == 412
    assert refused(s3.get_object, Bucket=bucket, Key="k", IfMatch="x") == ("PreconditionFailed", 412)


def test_writing_on_conditions(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"1", IfNoneMatch="*")["ETag"]
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfNoneMatch="*") == ("PreconditionFailed", 412)
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfMatch='"x"') == ("PreconditionFailed", 412)
    assert refused(s3.put_object, Bucket=bucket, Key="absent", Body=b"2", IfMatch=etag) == ("NoSuchKey", 404)
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"2", IfNoneMatch=etag)[0] == "NotImplemented"
    s3.put_object(Bucket=bucket, Key="k", Body=b"2", IfMatch=etag)
    assert refused(s3.delete_object, Bucket=bucket, Key="k", IfMatch=etag) == ("PreconditionFailed", 412)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"2"


def test_of_many_creators_one_wins(server, bucket):
    clients = [server.client("s3") for _ in range(6)]
    barrier = threading.Barrier(6)

    def create(number):
        barrier.wait()
        try:
            clients[number].put_object(Bucket=bucket, Key="lock", Body=b"%d" % number, IfNoneMatch="*")
        except ClientError as error:
            return error.response["Error"]["Code"]
        return number

    with ThreadPoolExecutor(6) as pool:
        outcomes = list(pool.map(create, range(6)))
    (winner,) = [outcome for outcome in outcomes if isinstance(outcome, int)]
    assert outcomes.count("PreconditionFailed") == 5
    assert clients[0].get_object(Bucket=bucket, Key="lock")["Body"].read() == b"%d" % winner


ALGORITHMS = ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_checksums_are_verified_kept_and_told(either, bucket, algorithm):
    s3 = either
    data = os.urandom(200_000)
    put = s3.put_object(Bucket=bucket, Key="k", Body=io.BytesIO(data), ChecksumAlgorithm=algorithm)
    member = f"Checksum{algorithm}"
    got = s3.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert got["Body"].read() == data  # boto3 verifies it again
    assert got[member] == put[member]
    assert got["ChecksumType"] == "FULL_OBJECT"
    (item,) = s3.list_objects_v2(Bucket=bucket)["Contents"]
    assert item["ChecksumAlgorithm"] == [algorithm]
    attributes = s3.get_object_attributes(Bucket=bucket, Key="k", ObjectAttributes=["Checksum", "ObjectSize", "ETag"])
    assert attributes["Checksum"] == {member: put[member], "ChecksumType": "FULL_OBJECT"}
    assert (attributes["ObjectSize"], attributes["ETag"]) == (len(data), put["ETag"].strip('"'))


def test_a_wrong_checksum_is_refused_and_leaves_the_old_object(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"old")
    wrong = base64.b64encode(b"0" * 32).decode()
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"new", ChecksumSHA256=wrong) == ("BadDigest", 400)
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"new", ChecksumSHA256="x")[0] == "InvalidRequest"
    md5 = base64.b64encode(hashlib.md5(b"other").digest()).decode()
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"new", ContentMD5=md5) == ("BadDigest", 400)
    assert refused(s3.put_object, Bucket=bucket, Key="k", Body=b"new", ContentMD5="x") == ("InvalidDigest", 400)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"old"
    right = base64.b64encode(hashlib.md5(b"new").digest()).decode()
    s3.put_object(Bucket=bucket, Key="k", Body=b"new", ContentMD5=right)


def test_without_a_checksum_s3_computes_its_own(server, bucket):
    s3 = server.client("s3", request_checksum_calculation="when_required")
    s3.put_object(Bucket=bucket, Key="k", Body=b"123456789")
    head = s3.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED")
    assert (head["ChecksumCRC64NVME"], head["ChecksumType"]) == ("rosUhgp5mIg=", "FULL_OBJECT")


def test_copies(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", ContentType="a/b", Metadata={"m": "1"}, Tagging="t=1")
    source = {"Bucket": bucket, "Key": "k"}
    etag = s3.copy_object(Bucket=bucket, Key="copy", CopySource=source, Metadata={"ignored": "yes"})["CopyObjectResult"]
    assert etag["ETag"] == s3.head_object(Bucket=bucket, Key="k")["ETag"]
    copy = s3.head_object(Bucket=bucket, Key="copy")
    assert (copy["ContentType"], copy["Metadata"]) == ("a/b", {"m": "1"})
    assert s3.get_object_tagging(Bucket=bucket, Key="copy")["TagSet"] == [{"Key": "t", "Value": "1"}]
    s3.copy_object(
        Bucket=bucket,
        Key="replaced",
        CopySource=f"/{bucket}/k",
        MetadataDirective="REPLACE",
        Metadata={"n": "2"},
        ContentType="c/d",
        TaggingDirective="REPLACE",
        Tagging="u=2",
    )
    replaced = s3.head_object(Bucket=bucket, Key="replaced")
    assert (replaced["ContentType"], replaced["Metadata"]) == ("c/d", {"n": "2"})
    assert s3.get_object_tagging(Bucket=bucket, Key="replaced")["TagSet"] == [{"Key": "u", "Value": "2"}]


def test_copies_onto_itself_must_change_something(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    source = {"Bucket": bucket, "Key": "k"}
    assert refused(s3.copy_object, Bucket=bucket, Key="k", CopySource=source) == ("InvalidRequest", 400)
    s3.copy_object(Bucket=bucket, Key="k", CopySource=source, MetadataDirective="REPLACE", Metadata={"a": "b"})
    head = s3.head_object(Bucket=bucket, Key="k")
    assert head["Metadata"] == {"a": "b"}
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def test_copies_on_conditions(s3, bucket):
    etag = s3.put_object(Bucket=bucket, Key="k", Body=b"x")["ETag"]
    what = {"Bucket": bucket, "Key": "copy", "CopySource": {"Bucket": bucket, "Key": "k"}}
    assert refused(s3.copy_object, **what, CopySourceIfMatch='"x"') == ("PreconditionFailed", 412)
    assert refused(s3.copy_object, **what, CopySourceIfNoneMatch=etag) == ("PreconditionFailed", 412)
    s3.copy_object(**what, CopySourceIfMatch=etag)
    assert refused(s3.copy_object, **what, IfNoneMatch="*") == ("PreconditionFailed", 412)


def test_copies_between_buckets_and_what_is_not_there(s3, bucket):
    other = f"{bucket}-2"
    s3.create_bucket(Bucket=other)
    s3.put_object(Bucket=bucket, Key="k +ü", Body=b"x")
    s3.copy_object(Bucket=other, Key="k", CopySource={"Bucket": bucket, "Key": "k +ü"})
    assert s3.get_object(Bucket=other, Key="k")["Body"].read() == b"x"
    missing = {"Bucket": bucket, "Key": "absent"}
    assert refused(s3.copy_object, Bucket=other, Key="k", CopySource=missing) == ("NoSuchKey", 404)
    nowhere = {"Bucket": "nowhere-at-all", "Key": "k"}
    assert refused(s3.copy_object, Bucket=other, Key="k", CopySource=nowhere) == ("NoSuchBucket", 404)
    assert refused(s3.copy_object, Bucket=other, Key="k", CopySource="nokey")[0] == "InvalidArgument"


def test_deleting_many(s3, bucket):
    for key in ("a", "b", "ü & <x>"):
        s3.put_object(Bucket=bucket, Key=key, Body=b"")
    keys = ["a", "absent", "ü & <x>"]
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": key} for key in keys]})
    assert [item["Key"] for item in answer["Deleted"]] == keys
    assert "Errors" not in answer
    answer = s3.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "b"}, {"Key": "k" * 1025}], "Quiet": True})
    assert "Deleted" not in answer
    assert [item["Code"] for item in answer["Errors"]] == ["KeyTooLongError"]
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)
    many = {"Objects": [{"Key": str(number)} for number in range(1001)]}
    assert refused(s3.delete_objects, Bucket=bucket, Delete=many) == ("MalformedXML", 400)


def test_tags(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x", Tagging="project=pose&empty=")
    expected = [{"Key": "project", "Value": "pose"}, {"Key": "empty", "Value": ""}]
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == expected
    assert s3.get_object(Bucket=bucket, Key="k")["TagCount"] == 2
    s3.put_object_tagging(Bucket=bucket, Key="k", Tagging={"TagSet": [{"Key": "ü", "Value": "<&>"}]})
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == [{"Key": "ü", "Value": "<&>"}]
    s3.delete_object_tagging(Bucket=bucket, Key="k")
    assert s3.get_object_tagging(Bucket=bucket, Key="k")["TagSet"] == []
    twice = {"TagSet": [{"Key": "a", "Value": "1"}, {"Key": "a", "Value": "2"}]}
    assert refused(s3.put_object_tagging, Bucket=bucket, Key="k", Tagging=twice)[0] == "InvalidTag"
    eleven = {"TagSet": [{"Key": str(n), "Value": ""} for n in range(11)]}
    assert refused(s3.put_object_tagging, Bucket=bucket, Key="k", Tagging=eleven)[0] == "BadRequest"
    assert refused(s3.get_object_tagging, Bucket=bucket, Key="absent") == ("NoSuchKey", 404)


def test_encryption_that_the_sdks_ask_for_is_told_again(s3, bucket):
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms", SSEKMSKeyId="alias/mine")
    assert (put["ServerSideEncryption"], put["SSEKMSKeyId"]) == ("aws:kms", "alias/mine")
    head = s3.head_object(Bucket=bucket, Key="k")
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", "alias/mine")
    put = s3.put_object(Bucket=bucket, Key="k", Body=b"x", ServerSideEncryption="aws:kms")
    assert put["SSEKMSKeyId"] == "arn:aws:kms:us-east-1:111122223333:alias/aws/s3"


@pytest.mark.parametrize(
    ("parameters", "code", "named"),
    [
        ({"ACL": "public-read"}, "AccessControlListNotSupported", "ACL"),
        ({"GrantRead": "id=1"}, "AccessControlListNotSupported", "ACL"),
        ({"StorageClass": "GLACIER"}, "UnsupportedOperation", "GLACIER"),
        ({"ServerSideEncryption": "aws:kms:dsse"}, "UnsupportedOperation", "aws:kms:dsse"),
        ({"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}, "UnsupportedOperation", "SSECustomer"),
        ({"ObjectLockMode": "GOVERNANCE"}, "UnsupportedOperation", "ObjectLockMode"),
        ({"ExpectedBucketOwner": "999999999999"}, "AccessDenied", ""),
        ({"Metadata": {"big": "x" * 2048}}, "MetadataTooLarge", ""),
        ({"Tagging": "novalue%"}, "InvalidArgument", "x-amz-tagging"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(server, bucket, parameters, code, named):
    s3 = server.client("s3", secure="SSECustomerKey" in parameters)
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket=bucket, Key="k", Body=b"x", **parameters)
    assert error.value.response["Error"]["Code"] == code
    assert named in str(error.value)
    assert "Contents" not in s3.list_objects_v2(Bucket=bucket)


def test_what_says_the_same_as_leaving_it_out_is_fine(s3, bucket):
    s3.put_object(
        Bucket=bucket,
        Key="k",
        Body=b"x",
        ACL="bucket-owner-full-control",
        StorageClass="STANDARD",
        ExpectedBucketOwner="111122223333",
        RequestPayer="requester",
    )
    s3.get_object(Bucket=bucket, Key="k", VersionId="null")
    assert refused(s3.get_object, Bucket=bucket, Key="k", VersionId="abc") == ("NoSuchVersion", 404)
    assert s3.get_object_acl(Bucket=bucket, Key="k")["Grants"][0]["Permission"] == "FULL_CONTROL"


def test_unsupported_operations_say_so(s3, bucket):
    with pytest.raises(ClientError) as error:
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    assert error.value.response["Error"]["Code"] == "UnsupportedOperation"
    assert "PutBucketVersioning" in str(error.value)


def test_streams_of_unknown_length(either, bucket):
    s3 = either

    class Pipe(io.RawIOBase):
        left = 3_000_000

        def readable(self):
            return True

        def readinto(self, buffer):
            size = min(len(buffer), self.left)
            buffer[:size] = b"x" * size
            self.left -= size
            return size

    s3.upload_fileobj(Pipe(), bucket, "k")
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x" * 3_000_000


def fetch(url, method="GET", data=None, headers=None):
    """As somebody would who was given the URL."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=30)
    try:
        connection.request(method, f"{place.path}?{place.query}", body=data, headers=headers or {})
        response = connection.getresponse()
        return response.status, dict(response.headers), response.read()
    finally:
        connection.close()


@pytest.mark.parametrize("version", ["s3", "s3v4"])
def test_presigned_urls(server, bucket, version):
    s3 = server.client("s3", signature_version=version)
    put = s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "dir/k ü+"})
    assert fetch(put, "PUT", b"presigned")[0] == 200
    get = s3.generate_presigned_url(
        "get_object",
        {
            "Bucket": bucket,
            "Key": "dir/k ü+",
            "ResponseContentType": "text/x",
            "ResponseContentDisposition": 'attachment; filename="y"',
        },
    )
    status, headers, body = fetch(get)
    assert (status, body) == (200, b"presigned")
    assert (headers["content-type"], headers["content-disposition"]) == ("text/x", 'attachment; filename="y"')
    status, headers, body = fetch(get, headers={"Range": "bytes=0-2"})
    assert (status, body) == (206, b"pre")


def test_many_small_ones_and_a_big_one(either, bucket, tmp_path):
    s3 = either
    data = os.urandom(1 << 20) * 30
    big = tmp_path / "big"
    big.write_bytes(data)
    s3.upload_file(str(big), bucket, "big")
    assert s3.head_object(Bucket=bucket, Key="big")["ETag"].endswith('-4"')
    s3.download_file(bucket, "big", str(tmp_path / "again"))
    assert (tmp_path / "again").read_bytes() == data
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: s3.put_object(Bucket=bucket, Key=f"n/{n}", Body=b"%d" % n), range(50)))
        found = pool.map(lambda n: s3.get_object(Bucket=bucket, Key=f"n/{n}")["Body"].read(), range(50))
    assert list(found) == [b"%d" % n for n in range(50)]


def test_virtual_host_style(server, bucket):
    s3 = server.client("s3", secure=True, s3={"addressing_style": "virtual"})
    s3.put_object(Bucket=bucket, Key="a/b", Body=b"x")
    assert s3.get_object(Bucket=bucket, Key="a/b")["Body"].read() == b"x"
    assert [item["Key"] for item in s3.list_objects(Bucket=bucket)["Contents"]] == ["a/b"]
    assert s3.head_bucket(Bucket=bucket)["BucketRegion"] == "us-east-1"


def test_acknowledged_writes_survive_a_kill(tmp_path):
    server = Server(tmp_path / "home").start()
    s3 = server.client("s3")
    s3.create_bucket(Bucket="bucket")
    for number in range(20):
        s3.put_object(Bucket="bucket", Key=str(number), Body=b"%d" % number)
    server.kill()
    server.start()
    s3 = server.client("s3")
    for number in range(20):
        assert s3.get_object(Bucket="bucket", Key=str(number))["Body"].read() == b"%d" % number
    server.stop()


def test_an_upload_that_breaks_off_is_not_there(server, s3, bucket):
    url = urlsplit(s3.generate_presigned_url("put_object", {"Bucket": bucket, "Key": "half"}))
    with socket.create_connection((url.hostname, url.port)) as connection:
        connection.sendall(
            f"PUT {url.path}?{url.query} HTTP/1.1\r\nHost: {url.netloc}\r\nContent-Length: 100\r\n\r\nhalf".encode()
        )
    s3.put_object(Bucket=bucket, Key="after", Body=b"x")
    assert [item["Key"] for item in s3.list_objects_v2(Bucket=bucket)["Contents"]] == ["after"]


def test_retries_are_not_needed(server, bucket):
    """A client that may not try again gets through a hundred mixed calls."""
    s3 = server.client("s3", retries={"total_max_attempts": 1}, **Config(max_pool_connections=4)._user_provided_options)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: s3.put_object(Bucket=bucket, Key=str(n % 10), Body=b"x" * n * 1000), range(100)))
    assert len(s3.list_objects_v2(Bucket=bucket)["Contents"]) == 10
