"""aws-chunked bodies as clients make them, cut anywhere; and what is wrong with one is noticed."""

import contextlib
import hashlib
import hmac
import io
import tracemalloc

import pytest
from botocore.httpchecksum import AwsChunkedWrapper, CrtCrc32Checksum
from hypothesis import given, settings
from hypothesis import strategies as st

from modelwright.errors import AwsError
from modelwright.protocol import payload
from modelwright.protocol.messages import Request
from modelwright.protocol.sigv4 import EMPTY_HASH, Verified

KEY, STAMP, SCOPE, SEED = b"k" * 32, "20261123T100000Z", "20261123/us-east-1/s3/aws4_request", "5eed"
UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
SIGNED = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"


def decoder(marker, length=None, trailer=""):
    headers = {}
    if length is not None:
        headers["x-amz-decoded-content-length"] = str(length)
    if trailer:
        headers["x-amz-trailer"] = trailer
    verified = Verified("AK", "us-east-1", marker, SEED, KEY, STAMP, SCOPE)
    return payload.decoder(verified, Request("PUT", "/b/k", "", headers))


def decode(made, wire, cuts=()):
    out = []
    for start, end in zip((0, *cuts), (*cuts, len(wire)), strict=True):
        out += made.feed(wire[start:end])
    made.finish()
    return b"".join(out)


def botocores(data, size=None):
    return AwsChunkedWrapper(
        io.BytesIO(data), checksum_cls=CrtCrc32Checksum, checksum_name="x-amz-checksum-crc32", chunk_size=size
    ).read()


def digest(kind, previous, rest):
    return hmac.new(KEY, f"{kind}\n{STAMP}\n{SCOPE}\n{previous}\n{rest}".encode(), "sha256").hexdigest()


def signed(data, size, trailers=None):
    wire, previous = b"", SEED
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    for chunk in [*chunks, b""]:
        rest = f"{EMPTY_HASH}\n{hashlib.sha256(chunk).hexdigest()}"
        previous = digest("AWS4-HMAC-SHA256-PAYLOAD", previous, rest)
        wire += b"%x;chunk-signature=%s\r\n" % (len(chunk), previous.encode()) + chunk + (b"\r\n" if chunk else b"")
    if trailers:
        text = "".join(f"{name}:{value}\n" for name, value in trailers.items())
        last = digest("AWS4-HMAC-SHA256-TRAILER", previous, hashlib.sha256(text.encode()).hexdigest())
        wire += text.replace("\n", "\r\n").encode() + f"x-amz-trailer-signature:{last}\r\n".encode()
    return wire + b"\r\n"


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(1, 50), st.data())
def test_what_botocore_chunks_cut_anywhere(data, size, draw):
    wire = botocores(data, size)
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    made = decoder(UNSIGNED_TRAILER, len(data), "x-amz-checksum-crc32")
    assert decode(made, wire, cuts) == data
    checksum = CrtCrc32Checksum()
    checksum.update(data)
    assert made.trailers == {"x-amz-checksum-crc32": checksum.b64digest()}


@settings(deadline=None)
@given(st.binary(max_size=200), st.integers(1, 50), st.booleans(), st.data())
def test_signed_chunks_cut_anywhere(data, size, has_trailer, draw):
    trailers = {"x-amz-checksum-crc32c": "AAAAAA=="} if has_trailer else None
    wire = signed(data, size, trailers)
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(wire)), max_size=8)))
    made = decoder(SIGNED_TRAILER if has_trailer else SIGNED, len(data), "x-amz-checksum-crc32c" if has_trailer else "")
    assert decode(made, wire, cuts) == data
    assert made.trailers == (trailers or {})


@pytest.mark.parametrize("ending", [b"0\r\n\r\n", b"0\r\n"])
def test_chunks_without_a_trailer(ending):
    made = decoder(UNSIGNED_TRAILER, 3)
    assert decode(made, b"3\r\nabc\r\n" + ending) == b"abc"


def test_an_empty_line_between_the_last_chunk_and_the_trailer():
    made = decoder(UNSIGNED_TRAILER, 3, "x-amz-checksum-crc32")
    assert decode(made, b"3\r\nabc\r\n0\r\n\r\nx-amz-checksum-crc32:AA==\r\n\r\n") == b"abc"
    assert made.trailers == {"x-amz-checksum-crc32": "AA=="}


def refused(made, wire):
    with pytest.raises(AwsError) as caught:
        decode(made, wire)
    return caught.value.code


@settings(deadline=None)
@given(st.data())
def test_a_changed_byte_of_a_signed_body_is_noticed(draw):
    wire = signed(b"some data in chunks", 7, {"x-amz-checksum-crc32": "AAAAAA=="})
    position = draw.draw(st.integers(0, len(wire) - 1))
    byte = draw.draw(st.integers(0, 255).filter(lambda value: value != wire[position]))
    broken = wire[:position] + bytes([byte]) + wire[position + 1 :]
    made = decoder(SIGNED_TRAILER, 19, "x-amz-checksum-crc32")
    with contextlib.suppress(AwsError):
        assert decode(made, broken) == b"some data in chunks"  # of the framing only: "\r" or the case of a size
        assert made.trailers == {"x-amz-checksum-crc32": "AAAAAA=="}


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_give_data_or_aws_error(wire):
    for marker in (UNSIGNED_TRAILER, SIGNED, SIGNED_TRAILER):
        with contextlib.suppress(AwsError):
            decode(decoder(marker), wire)


def test_a_body_that_ends_too_early_is_no_body():
    wire = botocores(b"x" * 100, 10)
    for end in range(0, len(wire) - 2, 7):
        assert refused(decoder(UNSIGNED_TRAILER, 100, "x-amz-checksum-crc32"), wire[:end]) == "IncompleteBody"
    wire = signed(b"x" * 100, 10)
    for end in range(0, len(wire) - 4, 7):
        assert refused(decoder(SIGNED, 100), wire[:end]) == "IncompleteBody"


def test_a_signed_body_can_not_be_cut_at_a_chunk():
    wire = signed(b"x" * 20, 10)
    first_chunk_only = wire[: wire.index(b"\r\n", 90 + 10) + 2]
    assert refused(decoder(SIGNED), first_chunk_only) == "IncompleteBody"


def test_trailers_of_signed_chunks_must_be_signed():
    wire = signed(b"abc", 3)[:-2] + b"x-amz-checksum-crc32:AA==\r\n\r\n"
    assert refused(decoder(SIGNED_TRAILER, 3, "x-amz-checksum-crc32"), wire) == "SignatureDoesNotMatch"


@pytest.mark.parametrize(
    ("wire", "code"),
    [
        (b"zz\r\nabc\r\n0\r\n\r\n", "InvalidRequest"),
        (b"-3\r\nabc\r\n0\r\n\r\n", "InvalidRequest"),
        (b"\r\n", "InvalidRequest"),
        (b"2\r\nabc\r\n0\r\n\r\n", "InvalidRequest"),
        (b"3\r\nabc\r\n0\r\n\r\nmore", "InvalidRequest"),
        (b"4\r\nabcd\r\n0\r\n\r\n", "IncompleteBody"),
        (b"x" * 9000, "InvalidRequest"),
        (b"0\r\n" + b"a:b\r\n" * 9000, "InvalidRequest"),
    ],
)
def test_a_broken_body(wire, code):
    assert refused(decoder(UNSIGNED_TRAILER, 3), wire) == code


def test_a_length_that_is_no_number():
    with pytest.raises(AwsError, match="x-amz-decoded-content-length"):
        decoder(UNSIGNED_TRAILER, "many")


# --- bodies that are not chunked ---


def test_a_body_with_its_hash():
    made = decoder(hashlib.sha256(b"abc").hexdigest())
    assert decode(made, b"abc", (1,)) == b"abc"
    with pytest.raises(AwsError) as caught:
        decode(decoder(hashlib.sha256(b"abc").hexdigest()), b"abd")
    assert (caught.value.code, caught.value.status) == ("XAmzContentSHA256Mismatch", 400)


def test_a_body_without_one():
    assert decode(decoder("UNSIGNED-PAYLOAD"), b"abc") == b"abc"
    assert decode(decoder("UNSIGNED-PAYLOAD"), b"") == b""


@pytest.mark.parametrize("marker", ["", "x", "g" * 64, "STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD"])
def test_a_marker_that_is_none(marker):
    with pytest.raises(AwsError, match="x-amz-content-sha256 must be") as caught:
        decoder(marker)
    assert caught.value.code == "InvalidArgument"


def test_memory_stays_flat():
    """64 MiB in one chunk of the wire, fed by the socket's pieces."""
    piece = b"x" * 65536
    made = decoder(UNSIGNED_TRAILER, 64 * 1024 * 1024)
    tracemalloc.start()
    try:
        made.feed(b"%x\r\n" % (64 * 1024 * 1024))
        total = sum(len(data) for _ in range(1024) for data in made.feed(piece))
        made.feed(b"\r\n0\r\n\r\n")
        made.finish()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total == 64 * 1024 * 1024
    assert peak < 1024 * 1024
