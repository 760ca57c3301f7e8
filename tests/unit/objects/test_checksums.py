"""Checksums: known values, and that parts combine to the whole."""

import base64
import hashlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.objects import checksums

CHECK = b"123456789"
KNOWN = {
    "CRC32": "cbf43926",
    "CRC32C": "e3069283",
    "CRC64NVME": "ae8b14860a799888",
    "SHA1": hashlib.sha1(CHECK).hexdigest(),
    "SHA256": hashlib.sha256(CHECK).hexdigest(),
    "SHA512": hashlib.sha512(CHECK).hexdigest(),
    "MD5": hashlib.md5(CHECK).hexdigest(),
    "XXHASH64": "8cb841db40e6ae83",
}


@pytest.mark.parametrize("algorithm", checksums.ALGORITHMS)
def test_the_digest_does_not_depend_on_the_pieces(algorithm):
    whole, pieces = checksums.new(algorithm), checksums.new(algorithm)
    whole.update(CHECK)
    for piece in (b"", CHECK[:4], memoryview(CHECK)[4:5], bytearray(CHECK[5:])):
        pieces.update(piece)
    digest = whole.digest()
    assert digest == pieces.digest()
    assert digest.hex() == KNOWN.get(algorithm, digest.hex())
    assert checksums.decode(algorithm, checksums.encode(digest)) == digest


@pytest.mark.parametrize("text", ["", "!!!!", "AAAA", base64.b64encode(b"12345").decode(), "AAAAAA==-3"])
def test_what_is_no_checksum_is_not_decoded(text):
    assert checksums.decode("CRC32", text) is None


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=6))
def test_full_object_checksums_come_from_the_parts(parts):
    for algorithm in checksums.FULL_OBJECT_ALGORITHMS:
        pairs = []
        for part in parts:
            hasher = checksums.Hasher([algorithm])
            hasher.update(part)
            pairs.append((hasher.values()[algorithm], len(part)))
        whole = checksums.new(algorithm)
        whole.update(b"".join(parts))
        assert checksums.full_object(algorithm, pairs) == whole.digest()


def test_composite_and_etag_are_digests_of_digests():
    parts = [b"a" * 16, b"b" * 16]
    assert checksums.multipart_etag(parts) == hashlib.md5(b"".join(parts)).hexdigest() + "-2"
    expected = base64.b64encode(zlib.crc32(b"".join(parts)).to_bytes(4, "big")).decode()
    assert checksums.composite("CRC32", parts) == f"{expected}-2"


def test_one_pass_gives_md5_and_the_rest():
    hasher = checksums.Hasher(["MD5", "SHA256"])
    hasher.update(CHECK)
    assert hasher.size == 9
    assert hasher.md5() == hashlib.md5(CHECK).digest()
    assert hasher.values() == {"MD5": hashlib.md5(CHECK).digest(), "SHA256": hashlib.sha256(CHECK).digest()}
