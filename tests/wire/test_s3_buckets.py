"""Buckets, listings and multipart uploads by boto3."""

import base64
import hashlib
import os
import uuid
import zlib
from concurrent.futures import ThreadPoolExecutor

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from support.server import Server

PART = 5 << 20


@pytest.fixture(scope="module")
def s3(server):
    return server.client("s3")


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


# Buckets


def test_a_bucket_from_creation_to_deletion(s3):
    assert s3.create_bucket(Bucket="datasets-yolo")["Location"] == "/datasets-yolo"
    listed = {item["Name"]: item for item in s3.list_buckets()["Buckets"]}
    assert "CreationDate" in listed["datasets-yolo"]
    assert s3.head_bucket(Bucket="datasets-yolo")["BucketRegion"] == "us-east-1"
    assert s3.get_bucket_location(Bucket="datasets-yolo")["LocationConstraint"] is None
    s3.put_object(Bucket="datasets-yolo", Key="k", Body=b"")
    assert refused(s3.delete_bucket, Bucket="datasets-yolo") == ("BucketNotEmpty", 409)
    s3.delete_object(Bucket="datasets-yolo", Key="k")
    s3.delete_bucket(Bucket="datasets-yolo")
    assert refused(s3.head_bucket, Bucket="datasets-yolo") == ("404", 404)
    assert refused(s3.list_objects_v2, Bucket="datasets-yolo") == ("NoSuchBucket", 404)
    assert refused(s3.delete_bucket, Bucket="datasets-yolo") == ("NoSuchBucket", 404)
    assert refused(s3.put_object, Bucket="datasets-yolo", Key="k", Body=b"x") == ("NoSuchBucket", 404)


def test_regions(server):
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    seoul = server.client("s3", region="ap-northeast-2")
    assert refused(seoul.create_bucket, Bucket=name) == ("IllegalLocationConstraintException", 400)
    place = {"LocationConstraint": "ap-northeast-2"}
    seoul.create_bucket(Bucket=name, CreateBucketConfiguration=place)
    assert seoul.get_bucket_location(Bucket=name)["LocationConstraint"] == "ap-northeast-2"
    assert refused(seoul.create_bucket, Bucket=name, CreateBucketConfiguration=place) == (
        "BucketAlreadyOwnedByYou",
        409,
    )
    assert [b["Name"] for b in seoul.list_buckets(BucketRegion="ap-northeast-2", Prefix="bucket-")["Buckets"]] == [name]


def test_creating_again_is_fine_where_aws_says_so(s3, bucket):
    s3.put_object(Bucket=bucket, Key="k", Body=b"x")
    s3.create_bucket(Bucket=bucket)
    assert s3.get_object(Bucket=bucket, Key="k")["Body"].read() == b"x"


def test_buckets_are_paged(s3):
    mark = uuid.uuid4().hex[:8]
    names = [f"page-{mark}-{letter}" for letter in "abcde"]
    for name in names:
        s3.create_bucket(Bucket=name)
    pages = s3.get_paginator("list_buckets").paginate(Prefix=f"page-{mark}", PaginationConfig={"PageSize": 2})
    found = [[bucket["Name"] for bucket in page["Buckets"]] for page in pages]
    assert found == [names[:2], names[2:4], names[4:]]
    assert refused(s3.list_buckets, ContinuationToken="%%%")[0] == "InvalidArgument"


@pytest.mark.parametrize("name", ["Upper-Case", "a..b", "192.168.5.4", "xn--bucket"])
def test_bad_names(server, name):
    s3 = server.client("s3", parameter_validation=False)
    assert refused(s3.create_bucket, Bucket=name) == ("InvalidBucketName", 400)


def test_the_owner_may_be_named(s3, bucket):
    s3.head_bucket(Bucket=bucket, ExpectedBucketOwner="111122223333")
    assert refused(s3.head_bucket, Bucket=bucket, ExpectedBucketOwner="999999999999") == ("403", 403)
    assert refused(s3.list_objects_v2, Bucket=bucket, ExpectedBucketOwner="999999999999") == ("AccessDenied", 403)


def test_bucket_tags(s3, bucket):
    assert refused(s3.get_bucket_tagging, Bucket=bucket) == ("NoSuchTagSet", 404)
    tags = {"TagSet": [{"Key": "team", "Value": "pose"}]}
    s3.put_bucket_tagging(Bucket=bucket, Tagging=tags)
    assert s3.get_bucket_tagging(Bucket=bucket)["TagSet"] == tags["TagSet"]
    s3.delete_bucket_tagging(Bucket=bucket)
    assert refused(s3.get_bucket_tagging, Bucket=bucket) == ("NoSuchTagSet", 404)


def test_what_there_is_to_say_of_every_bucket(s3, bucket):
    assert "Status" not in s3.get_bucket_versioning(Bucket=bucket)
    assert s3.get_bucket_acl(Bucket=bucket)["Grants"][0]["Permission"] == "FULL_CONTROL"
    assert s3.get_bucket_request_payment(Bucket=bucket)["Payer"] == "BucketOwner"
    controls = s3.get_bucket_ownership_controls(Bucket=bucket)["OwnershipControls"]
    assert controls["Rules"] == [{"ObjectOwnership": "BucketOwnerEnforced"}]
    block = s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"]
    assert set(block.values()) == {True}
    for call, code in (
        (s3.get_bucket_policy, "NoSuchBucketPolicy"),
        (s3.get_bucket_encryption, "ServerSideEncryptionConfigurationNotFoundError"),
        (s3.get_bucket_lifecycle_configuration, "NoSuchLifecycleConfiguration"),
        (s3.get_bucket_cors, "NoSuchCORSConfiguration"),
        (s3.get_bucket_website, "NoSuchWebsiteConfiguration"),
        (s3.get_bucket_replication, "ReplicationConfigurationNotFoundError"),
        (s3.get_object_lock_configuration, "ObjectLockConfigurationNotFoundError"),
    ):
        assert refused(call, Bucket=bucket) == (code, 404)
    for call in (s3.get_bucket_logging, s3.get_bucket_notification_configuration):
        call(Bucket=bucket)


# Listings

KEYS = ["a", "a/1", "a/2", "a/b/c", "b c", "b+c", "schön/x", "z\x01", "z/"]


@pytest.fixture(scope="module")
def filled(s3):
    name = f"bucket-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    for key in KEYS:
        s3.put_object(Bucket=name, Key=key, Body=key.encode())
    return name


ORDER = sorted(KEYS, key=str.encode)


def contents(page):
    return [item["Key"] for item in page.get("Contents", [])]


def prefixes(page):
    return [item["Prefix"] for item in page.get("CommonPrefixes", [])]


def test_everything_in_byte_order(s3, filled):
    page = s3.list_objects_v2(Bucket=filled)
    assert contents(page) == ORDER
    assert (page["KeyCount"], page["MaxKeys"], page["IsTruncated"], page["Name"]) == (len(KEYS), 1000, False, filled)
    first = page["Contents"][0]
    assert (first["Size"], first["StorageClass"]) == (1, "STANDARD")
    assert first["ETag"] == f'"{hashlib.md5(b"a").hexdigest()}"'
    assert "Owner" not in first
    assert "Owner" in s3.list_objects_v2(Bucket=filled, FetchOwner=True)["Contents"][0]
    assert contents(s3.list_objects(Bucket=filled)) == ORDER


def test_prefix_and_delimiter(s3, filled):
    page = s3.list_objects_v2(Bucket=filled, Delimiter="/")
    assert (contents(page), prefixes(page)) == (["a", "b c", "b+c", "z\x01"], ["a/", "schön/", "z/"])
    assert page["KeyCount"] == 7
    page = s3.list_objects_v2(Bucket=filled, Prefix="a/", Delimiter="/")
    assert (contents(page), prefixes(page)) == (["a/1", "a/2"], ["a/b/"])
    assert contents(s3.list_objects_v2(Bucket=filled, Prefix="b")) == ["b c", "b+c"]
    page = s3.list_objects_v2(Bucket=filled, Prefix="nothing")
    assert (contents(page), page["KeyCount"]) == ([], 0)


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("operation", ["list_objects_v2", "list_objects", "list_object_versions"])
@pytest.mark.parametrize("delimiter", ["", "/"])
def test_pages(s3, filled, operation, size, delimiter):
    more = {"Delimiter": delimiter} if delimiter else {}
    whole = getattr(s3, operation)(Bucket=filled, **more)
    pages = list(s3.get_paginator(operation).paginate(Bucket=filled, PaginationConfig={"PageSize": size}, **more))
    items = "Versions" if "versions" in operation else "Contents"
    assert [i["Key"] for page in pages for i in page.get(items, [])] == [i["Key"] for i in whole[items]]
    assert [name for page in pages for name in prefixes(page)] == prefixes(whole)
    assert all(len(page.get(items, [])) + len(prefixes(page)) == size for page in pages[:-1])


def test_starting_in_the_middle(s3, filled):
    assert contents(s3.list_objects_v2(Bucket=filled, StartAfter="a/2")) == ORDER[ORDER.index("a/2") + 1 :]
    assert contents(s3.list_objects(Bucket=filled, Marker="a/2")) == ORDER[ORDER.index("a/2") + 1 :]
    page = s3.list_objects_v2(Bucket=filled, MaxKeys=0)
    assert (contents(page), page["IsTruncated"]) == ([], False)
    assert refused(s3.list_objects_v2, Bucket=filled, ContinuationToken="?")[0] == "InvalidArgument"
    assert refused(s3.list_objects_v2, Bucket=filled, MaxKeys=-1)[0] == "InvalidArgument"


def test_more_than_a_page_holds(s3, bucket):
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: s3.put_object(Bucket=bucket, Key=f"{n:04}"), range(1001)))
    page = s3.list_objects_v2(Bucket=bucket, MaxKeys=5000)
    assert (page["KeyCount"], page["MaxKeys"], page["IsTruncated"]) == (1000, 1000, True)
    rest = s3.list_objects_v2(Bucket=bucket, ContinuationToken=page["NextContinuationToken"])
    assert contents(rest) == ["1000"]
    keys = [{"Key": item["Key"]} for item in page["Contents"]]
    assert len(s3.delete_objects(Bucket=bucket, Delete={"Objects": keys})["Deleted"]) == 1000
    assert contents(s3.list_objects_v2(Bucket=bucket)) == ["1000"]


def test_a_token_is_good_after_a_restart(tmp_path):
    server = Server(tmp_path / "home").start()
    s3 = server.client("s3")
    s3.create_bucket(Bucket="bucket")
    for key in "abc":
        s3.put_object(Bucket="bucket", Key=key)
    page = s3.list_objects_v2(Bucket="bucket", MaxKeys=1)
    server.stop()
    server.start()
    rest = server.client("s3").list_objects_v2(Bucket="bucket", ContinuationToken=page["NextContinuationToken"])
    assert contents(rest) == ["b", "c"]
    server.stop()


def test_every_object_is_its_only_version(s3, filled):
    versions = s3.list_object_versions(Bucket=filled, Prefix="a/")["Versions"]
    assert [(v["Key"], v["VersionId"], v["IsLatest"]) for v in versions] == [
        ("a/1", "null", True),
        ("a/2", "null", True),
        ("a/b/c", "null", True),
    ]


# Multipart uploads


def begin(s3, bucket, key="big", **more):
    return s3.create_multipart_upload(Bucket=bucket, Key=key, **more)["UploadId"]


def send(s3, bucket, upload, number, data, key="big", **more):
    answer = s3.upload_part(Bucket=bucket, Key=key, UploadId=upload, PartNumber=number, Body=data, **more)
    return {"PartNumber": number, "ETag": answer["ETag"]}, answer


def complete(s3, bucket, upload, *parts, key="big", **more):
    return s3.complete_multipart_upload(
        Bucket=bucket, Key=key, UploadId=upload, MultipartUpload={"Parts": list(parts)}, **more
    )


def test_a_multipart_upload(s3, bucket):
    upload = begin(s3, bucket, ContentType="a/b", Metadata={"m": "1"}, Tagging="t=1")
    datas = [os.urandom(PART), os.urandom(PART), b"end"]
    parts = [send(s3, bucket, upload, number, data)[0] for number, data in enumerate(datas, 1)]
    (listed,) = s3.list_multipart_uploads(Bucket=bucket)["Uploads"]
    assert (listed["Key"], listed["UploadId"]) == ("big", upload)
    shown = s3.list_parts(Bucket=bucket, Key="big", UploadId=upload)
    assert [(p["PartNumber"], p["Size"], p["ETag"]) for p in shown["Parts"]] == [
        (part["PartNumber"], len(data), part["ETag"]) for part, data in zip(parts, datas, strict=True)
    ]
    assert refused(s3.head_object, Bucket=bucket, Key="big") == ("404", 404)
    done = complete(s3, bucket, upload, *parts)
    digest = hashlib.md5(b"".join(hashlib.md5(data).digest() for data in datas)).hexdigest()
    assert done["ETag"] == f'"{digest}-3"'
    assert complete(s3, bucket, upload, *parts)["ETag"] == done["ETag"]
    got = s3.get_object(Bucket=bucket, Key="big")
    assert got["Body"].read() == b"".join(datas)
    assert (got["ContentType"], got["Metadata"], got["TagCount"]) == ("a/b", {"m": "1"}, 1)
    assert "Uploads" not in s3.list_multipart_uploads(Bucket=bucket)
    second = s3.get_object(Bucket=bucket, Key="big", PartNumber=2)
    assert second["ResponseMetadata"]["HTTPStatusCode"] == 206
    assert (second["Body"].read(), second["PartsCount"]) == (datas[1], 3)
    assert second["ContentRange"] == f"bytes {PART}-{2 * PART - 1}/{2 * PART + 3}"
    assert refused(s3.get_object, Bucket=bucket, Key="big", PartNumber=4) == ("InvalidPartNumber", 416)
    assert s3.get_object_attributes(Bucket=bucket, Key="big", ObjectAttributes=["ObjectParts"])["ObjectParts"] == {
        "TotalPartsCount": 3,
        "PartNumberMarker": 0,
        "NextPartNumberMarker": 3,
        "MaxParts": 1000,
        "IsTruncated": False,
    }


def test_refusals_on_the_way(s3, bucket):
    upload = begin(s3, bucket)
    one, _ = send(s3, bucket, upload, 1, b"small")
    two, _ = send(s3, bucket, upload, 2, b"end")
    with pytest.raises(ClientError) as error:
        complete(s3, bucket, upload)
    assert error.value.response["Error"]["Code"] == "MalformedXML"
    for parts, code in (([one, two], "EntityTooSmall"), ([two, one], "InvalidPartOrder")):
        with pytest.raises(ClientError) as error:
            complete(s3, bucket, upload, *parts)
        assert error.value.response["Error"]["Code"] == code
    for wrong in ({"PartNumber": 3, "ETag": one["ETag"]}, {"PartNumber": 1, "ETag": '"x"'}):
        with pytest.raises(ClientError) as error:
            complete(s3, bucket, upload, wrong)
        assert error.value.response["Error"]["Code"] == "InvalidPart"
    what = {"Bucket": bucket, "Key": "big", "Body": b"x"}
    assert refused(s3.upload_part, **what, UploadId=upload, PartNumber=10001) == ("InvalidArgument", 400)
    assert refused(s3.upload_part, **what, UploadId="no-such", PartNumber=1) == ("NoSuchUpload", 404)
    wrong = base64.b64encode(b"0000").decode()
    assert refused(s3.upload_part, **what, UploadId=upload, PartNumber=1, ChecksumCRC32=wrong)[0] == "BadDigest"
    assert len(s3.list_parts(Bucket=bucket, Key="big", UploadId=upload)["Parts"]) == 2
    assert refused(s3.create_multipart_upload, Bucket=bucket, Key="k", ChecksumAlgorithm="SHA1",
                   ChecksumType="FULL_OBJECT")[0] == "InvalidRequest"  # fmt: skip


def test_abort(s3, bucket):
    upload = begin(s3, bucket)
    send(s3, bucket, upload, 1, b"x")
    s3.abort_multipart_upload(Bucket=bucket, Key="big", UploadId=upload)
    what = {"Bucket": bucket, "Key": "big", "UploadId": upload}
    assert refused(s3.list_parts, **what) == ("NoSuchUpload", 404)
    assert refused(s3.abort_multipart_upload, **what) == ("NoSuchUpload", 404)
    assert refused(s3.upload_part, **what, PartNumber=1, Body=b"x") == ("NoSuchUpload", 404)


def test_conditions_at_the_end(s3, bucket):
    s3.put_object(Bucket=bucket, Key="big", Body=b"there")
    upload = begin(s3, bucket)
    part, _ = send(s3, bucket, upload, 1, b"x")
    with pytest.raises(ClientError) as error:
        complete(s3, bucket, upload, part, IfNoneMatch="*")
    assert error.value.response["Error"]["Code"] == "PreconditionFailed"
    assert s3.get_object(Bucket=bucket, Key="big")["Body"].read() == b"there"
    complete(s3, bucket, upload, part, IfMatch="*")
    assert s3.get_object(Bucket=bucket, Key="big")["Body"].read() == b"x"


def crc(data):
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def test_checksum_of_the_whole(s3, bucket):
    upload = begin(s3, bucket, ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    datas = [os.urandom(PART), b"end"]
    parts = []
    for number, data in enumerate(datas, 1):
        part, answer = send(s3, bucket, upload, number, data, ChecksumAlgorithm="CRC32")
        parts.append({**part, "ChecksumCRC32": answer["ChecksumCRC32"]})
    with pytest.raises(ClientError) as error:
        complete(s3, bucket, upload, *parts, ChecksumCRC32="AAAAAA==", ChecksumType="FULL_OBJECT")
    assert error.value.response["Error"]["Code"] == "BadDigest"
    whole = crc(b"".join(datas))
    done = complete(s3, bucket, upload, *parts, ChecksumCRC32=whole, ChecksumType="FULL_OBJECT")
    assert (done["ChecksumCRC32"], done["ChecksumType"]) == (whole, "FULL_OBJECT")


def test_checksum_of_checksums(s3, bucket):
    upload = begin(s3, bucket, ChecksumAlgorithm="SHA256")
    datas = [os.urandom(PART), b"end"]
    parts = []
    for number, data in enumerate(datas, 1):
        part, answer = send(s3, bucket, upload, number, data, ChecksumAlgorithm="SHA256")
        parts.append({**part, "ChecksumSHA256": answer["ChecksumSHA256"]})
    with pytest.raises(ClientError) as error:
        complete(s3, bucket, upload, *[{k: v for k, v in part.items() if k != "ChecksumSHA256"} for part in parts])
    assert error.value.response["Error"]["Code"] == "InvalidRequest"
    done = complete(s3, bucket, upload, *parts)
    digest = hashlib.sha256(b"".join(hashlib.sha256(data).digest() for data in datas)).digest()
    assert done["ChecksumSHA256"] == base64.b64encode(digest).decode() + "-2"
    assert done["ChecksumType"] == "COMPOSITE"
    attributes = s3.get_object_attributes(Bucket=bucket, Key="big", ObjectAttributes=["ObjectParts"])["ObjectParts"]
    assert [part["ChecksumSHA256"] for part in attributes["Parts"]] == [part["ChecksumSHA256"] for part in parts]


def test_parts_from_other_objects(s3, bucket):
    source = os.urandom(PART + 100)
    s3.put_object(Bucket=bucket, Key="source", Body=source)
    upload = begin(s3, bucket)
    what = {"Bucket": bucket, "Key": "big", "UploadId": upload, "CopySource": {"Bucket": bucket, "Key": "source"}}
    one = s3.upload_part_copy(**what, PartNumber=1, CopySourceRange=f"bytes=100-{PART + 99}")["CopyPartResult"]
    two = s3.upload_part_copy(**what, PartNumber=2)["CopyPartResult"]
    assert (
        refused(s3.upload_part_copy, **what, PartNumber=3, CopySourceRange="bytes=0-99999999")[0] == "InvalidArgument"
    )
    assert refused(s3.upload_part_copy, **what, PartNumber=3, CopySourceIfMatch="x")[0] == "PreconditionFailed"
    complete(s3, bucket, upload, {"PartNumber": 1, "ETag": one["ETag"]}, {"PartNumber": 2, "ETag": two["ETag"]})
    assert s3.get_object(Bucket=bucket, Key="big")["Body"].read() == source[100:] + source


def test_uploads_are_listed_and_paged(s3, bucket):
    uploads = {key: begin(s3, bucket, key) for key in ("a/1", "a/2", "b", "c")}
    twice = begin(s3, bucket, "b")
    page = s3.list_multipart_uploads(Bucket=bucket)
    assert [item["Key"] for item in page["Uploads"]] == ["a/1", "a/2", "b", "b", "c"]
    assert {item["UploadId"] for item in page["Uploads"]} == {*uploads.values(), twice}
    page = s3.list_multipart_uploads(Bucket=bucket, Delimiter="/")
    assert ([item["Key"] for item in page["Uploads"]], prefixes(page)) == (["b", "b", "c"], ["a/"])
    paged = s3.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, PaginationConfig={"PageSize": 2})
    assert [[item["Key"] for item in p["Uploads"]] for p in paged] == [["a/1", "a/2"], ["b", "b"], ["c"]]
    upload = uploads["c"]
    for number in (1, 2, 3):
        send(s3, bucket, upload, number, b"x", key="c")
    paged = s3.get_paginator("list_parts").paginate(
        Bucket=bucket, Key="c", UploadId=upload, PaginationConfig={"PageSize": 2}
    )
    assert [[part["PartNumber"] for part in p["Parts"]] for p in paged] == [[1, 2], [3]]


def test_an_upload_goes_on_after_a_kill(tmp_path):
    server = Server(tmp_path / "home").start()
    s3 = server.client("s3")
    s3.create_bucket(Bucket="bucket")
    upload = begin(s3, "bucket")
    first = os.urandom(PART)
    one, _ = send(s3, "bucket", upload, 1, first)
    server.kill()
    server.start()
    s3 = server.client("s3")
    two, _ = send(s3, "bucket", upload, 2, b"end")
    complete(s3, "bucket", upload, one, two)
    assert s3.get_object(Bucket="bucket", Key="big")["Body"].read() == first + b"end"
    server.stop()


def test_the_resource_interface_empties_a_bucket(server, s3, bucket):
    for key in "abc":
        s3.put_object(Bucket=bucket, Key=key)
    key = server.keys.admin
    resource = boto3.session.Session(key.id, key.secret, region_name="us-east-1").resource(
        "s3", endpoint_url=server.url, config=Config(retries={"total_max_attempts": 1})
    )
    found = resource.Bucket(bucket)
    assert found.creation_date is not None
    found.objects.all().delete()
    s3.put_object(Bucket=bucket, Key="again")
    found.object_versions.delete()
    found.delete()
    assert refused(s3.head_bucket, Bucket=bucket) == ("404", 404)
