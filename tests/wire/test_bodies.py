"""Bodies that stream: what arrives is what was sent, or is refused; and memory stays flat."""

import hashlib
import http.client
import io
import re
import socket
import threading
from urllib.parse import urlsplit

import boto3
import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.exceptions import ClientError, ConnectionClosedError, IncompleteReadError, ResponseStreamingError

WAYS = pytest.mark.parametrize("secure", [False, True], ids=["endpoint", "proxy"])
MIB = 1024 * 1024


def put(server, body, *, secure=False, key="key", **parameters):
    return server.client("s3", secure=secure).put_object(Bucket="bucket", Key=key, Body=body, **parameters)


@WAYS
@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, MIB, 5 * MIB + 1])
def test_what_arrives_is_what_was_sent(sample, size, secure):
    content = bytes(range(256)) * (size // 256 + 1)
    answer = put(sample, content[:size], secure=secure)
    assert answer["VersionId"] == str(size)
    assert answer["ETag"] == f'"{hashlib.md5(content[:size]).hexdigest()}"'


@WAYS
@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256"])
def test_every_checksum(sample, algorithm, secure):
    assert put(sample, b"x" * 300_000, secure=secure, ChecksumAlgorithm=algorithm)["VersionId"] == "300000"


@WAYS
def test_what_the_service_sees_is_free_of_the_wire(sample, secure):
    name = f"seen-{secure}"
    put(
        sample,
        b"x" * 70_000,
        secure=secure,
        key=name,
        ContentEncoding="gzip",
        ContentType="text/plain",
        Metadata={"a": "b"},
    )
    line = re.search(rf"^stored {name} .*$", sample.said(), re.MULTILINE).group()
    assert "('ContentEncoding', 'gzip')" in line
    assert "('ContentLength', 70000)" in line
    assert "('ChecksumAlgorithm', 'CRC32')" in line
    assert "('Metadata', {'a': 'b'})" in line


def test_a_service_never_holds_much(sample):
    put(sample, b"x" * (8 * MIB), key="pieces")
    largest = re.search(r"^stored pieces \d+ (\d+) ", sample.said(), re.MULTILINE).group(1)
    assert int(largest) < 2 * MIB


def signed(server, body, *, declared=None, **headers):
    """A signed PUT by hand: `declared` is what the signature says of the body."""
    request = AWSRequest("PUT", f"{server.url}/bucket/key", data=b"", headers=headers)
    request.headers["X-Amz-Content-SHA256"] = declared or hashlib.sha256(body).hexdigest()
    key = server.keys.admin
    credentials = boto3.session.Session(key.id, key.secret).get_credentials()

    class Signer(botocore.auth.S3SigV4Auth):
        def payload(self, request):
            return request.headers["X-Amz-Content-SHA256"]

        def _modify_request_before_signing(self, request):
            given = request.headers["X-Amz-Content-SHA256"]
            super()._modify_request_before_signing(request)
            del request.headers["X-Amz-Content-SHA256"]
            request.headers["X-Amz-Content-SHA256"] = given

    Signer(credentials, "s3", "us-east-1").add_auth(request)
    return dict(request.headers.items())


def send(server, body, headers):
    parts = urlsplit(server.url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    connection.request("PUT", "/bucket/key", body=body, headers=headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    found = re.search("<Code>(.*?)</Code>", text)
    return answer.status, found.group(1) if found else None


@pytest.mark.parametrize("size", [10, 3 * MIB])
def test_a_body_that_is_not_what_was_signed(sample, size):
    body, other = b"x" * size, b"y" * size
    assert send(sample, body, signed(sample, body)) == (200, None)
    before = sample.said().count("stored key")
    assert send(sample, other, signed(sample, body)) == (400, "XAmzContentSHA256Mismatch")
    assert sample.said().count("stored key") == before


def chunked(*pieces, trailer=b"x-amz-checksum-crc32:DUoRhQ==\r\n"):
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return chunks + b"0\r\n" + trailer + b"\r\n"


def aws_chunked(server, body, length=11, trailer="x-amz-checksum-crc32"):
    headers = {"Content-Encoding": "aws-chunked", "X-Amz-Decoded-Content-Length": str(length)}
    if trailer:
        headers["X-Amz-Trailer"] = trailer
    return send(server, body, signed(server, b"", declared="STREAMING-UNSIGNED-PAYLOAD-TRAILER", **headers))


def test_chunks_with_a_trailer(sample):
    assert aws_chunked(sample, chunked(b"hello ", b"world")) == (200, None)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (chunked(b"hello ", b"World"), (400, "BadDigest")),
        (chunked(b"hello world", trailer=b"x-amz-checksum-crc32:AAAA\r\n"), (400, "InvalidRequest")),
        (chunked(b"hello world", trailer=b""), (400, None)),
        (chunked(b"hello world!"), (400, "IncompleteBody")),
        (chunked(b"hello world")[:-20], (400, "IncompleteBody")),
        (b"zz\r\nhello world", (400, "InvalidRequest")),
        (b"-1\r\nhello world", (400, "InvalidRequest")),
        (b"ffffffffffffffffffff\r\nhello", (400, "IncompleteBody")),
        (b"b\r\nhello worldX\r\n0\r\n\r\n", (400, "InvalidRequest")),
        (b"x" * 100_000, (400, "InvalidRequest")),
        (b"", (400, "IncompleteBody")),
    ],
)
def test_broken_chunks(sample, body, expected):
    before = sample.said().count("stored key")
    status, code = aws_chunked(sample, body)
    assert (status, code if expected[1] else None) == expected
    assert sample.said().count("stored key") == before


def test_a_trailer_that_we_do_not_know(sample):
    assert aws_chunked(sample, chunked(b"hello world"), trailer="x-amz-checksum-md6") == (400, "InvalidRequest")


def test_a_client_that_asks_first_is_told_before_it_sends(sample):
    parts = urlsplit(sample.url)
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as sock:
        sock.sendall(b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\nExpect: 100-continue\r\n\r\n")
        answer = b"".join(iter(lambda: sock.recv(65536), b""))  # it closes: what follows would be out of step
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert b"connection: close" in answer


def test_a_refused_upload_leaves_the_client_usable(sample):
    client = sample.client("s3")
    for _ in range(3):
        with pytest.raises(ClientError, match="UnsupportedOperation"):
            client.upload_part(Bucket="b", Key="k", PartNumber=1, UploadId="u", Body=b"x" * MIB)
        assert client.put_object(Bucket="b", Key="k", Body=b"abc")["VersionId"] == "3"


def test_a_client_that_goes_away_stores_nothing(sample):
    headers = signed(sample, b"x" * MIB)
    parts = urlsplit(sample.url)
    before = sample.said().count("stored key")
    with socket.create_connection((parts.hostname, parts.port), timeout=20) as sock:
        lines = [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join(
            ["PUT /bucket/key HTTP/1.1", f"Host: {parts.netloc}", *lines, f"Content-Length: {MIB}", "", ""]
        )
        sock.sendall(head.encode() + b"x" * (MIB // 2))
    assert sample.client("sts").get_caller_identity()
    assert sample.said().count("stored key") == before
    assert "Traceback" not in sample.said().rpartition("stored")[2]


@WAYS
@pytest.mark.parametrize("size", [0, 1, MIB, 3 * MIB + 7])
def test_what_is_read(sample, size, secure):
    answer = sample.client("s3", secure=secure).get_object(Bucket="bucket", Key=str(size))
    assert answer["ContentLength"] == size
    assert answer["Body"].read() == b"x" * size


def test_a_reader_that_goes_away_is_noticed(sample):
    body = sample.client("s3").get_object(Bucket="bucket", Key=str(10**12))["Body"]
    body.read(10 * MIB)
    body.close()
    pause = threading.Event()
    for _ in range(1500):
        if f"closed {10**12}" in sample.said():
            break
        pause.wait(0.02)
    else:
        pytest.fail("the server goes on reading for nobody")


def test_a_failure_on_the_way_is_no_short_object(sample):
    body = sample.client("s3").get_object(Bucket="bucket", Key=f"{3 * MIB}-broken")["Body"]
    with pytest.raises((IncompleteReadError, ResponseStreamingError, ConnectionClosedError)):
        body.read()
    assert "the disk is gone" in sample.said()


class Endless(io.RawIOBase):
    """A file of zeros that occupies nothing."""

    def __init__(self, size):
        self.left = size

    def readable(self):
        return True

    def readinto(self, buffer):
        count = min(len(buffer), self.left)
        self.left -= count
        buffer[:count] = bytes(count)
        return count


def test_memory_stays_flat(sample):
    size = 400 * MIB
    put(sample, b"", key="warm")
    before = sample.memory()
    client = sample.client("s3", secure=True)
    answer = client.put_object(
        Bucket="bucket", Key="big", Body=io.BufferedReader(Endless(size), MIB), ContentLength=size
    )
    assert answer["VersionId"] == str(size)
    body = client.get_object(Bucket="bucket", Key=str(size))["Body"]
    assert sum(len(piece) for piece in body.iter_chunks(MIB)) == size
    assert sample.memory() - before < 40
    assert sample.memory() < 150


def test_the_bucket_in_the_host_name(sample):
    client = sample.client("s3", secure=True, s3={"addressing_style": "virtual"})
    seen = []
    client.meta.events.register("before-send.s3", lambda request, **_: seen.append(request.url))
    assert client.put_object(Bucket="bucket", Key="in/host", Body=b"abc")["VersionId"] == "3"
    assert seen == ["https://bucket.s3.amazonaws.com/in/host"]
    assert "('Bucket', 'bucket')" in sample.said().rpartition("stored in/host")[2]
