"""Multipart uploads: where parts lie, what completing costs, and all that can get in its way."""

import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from modelwright.errors import AwsError
from modelwright.objects import checksums
from modelwright.objects.attributes import Attributes, Condition
from modelwright.objects.checksums import COMPOSITE, FULL_OBJECT
from modelwright.objects.directory import DirectoryStore
from modelwright.objects.uploads import MINIMUM_PART, Chosen

SIZE = MINIMUM_PART


def code(error):
    return error.value.code


def begin(store, key="big", algorithm=None, kind=None):
    return store.uploads.create("bucket", key, Attributes({"ContentType": "a/b"}, {"m": "1"}), algorithm, kind)


def send(store, upload, number, data, length=-1):
    writer = store.uploads.begin_part(
        "bucket", upload.key, upload.id, number=number, length=len(data) if length == -1 else length
    )
    try:
        writer.write([data[: len(data) // 2], data[len(data) // 2 :]])
        return writer.commit(lambda *_: None)
    finally:
        writer.discard()


def choose(*parts):
    return [Chosen(part.number, part.etag) for part in parts]


def complete(store, upload, *parts, **more):
    return store.uploads.complete("bucket", upload.key, upload.id, choose(*parts), **more)


def part_of(number, size=SIZE):
    return bytes([number]) * size


def files(tmp_path):
    return [path for path in (tmp_path / "objects" / "blobs").rglob("*") if path.is_file()]


@pytest.fixture
def copied(store, monkeypatch):
    """The concatenations that completing needed."""
    made = []
    blobs = store._blobs
    original = blobs.concatenate
    monkeypatch.setattr(blobs, "concatenate", lambda *a: (made.append(a), original(*a))[1])
    return made


def test_it_works(store, tmp_path, copied):
    upload = begin(store)
    parts = [send(store, upload, number, part_of(number)) for number in (1, 2)] + [send(store, upload, 3, b"end")]
    assert [part.number for part in store.uploads.parts(upload.id)] == [1, 2, 3]
    info = complete(store, upload, *parts)
    data = part_of(1) + part_of(2) + b"end"
    assert store.read("bucket", "big") == data
    digests = b"".join(hashlib.md5(piece).digest() for piece in (part_of(1), part_of(2), b"end"))
    assert info.etag == f"{hashlib.md5(digests).hexdigest()}-3"
    whole = checksums.new("CRC64NVME")
    whole.update(data)
    assert info.checksums == {"ChecksumCRC64NVME": checksums.encode(whole.digest())}
    assert info.checksum_type == FULL_OBJECT
    assert (info.size, info.headers, info.metadata) == (len(data), {"ContentType": "a/b"}, {"m": "1"})
    assert store.parts("bucket", "big") == [(1, SIZE, None), (2, SIZE, None), (3, 3, None)]
    assert store.uploads.in_bucket("bucket") == []
    assert len(files(tmp_path)) == 1
    assert copied == []


def test_parts_in_parallel_and_in_any_order_need_no_copying(store, copied):
    upload = begin(store)
    first = send(store, upload, 1, part_of(1))
    with ThreadPoolExecutor(4) as pool:
        rest = list(pool.map(lambda number: send(store, upload, number, part_of(number)), (5, 3, 2, 4)))
    last = send(store, upload, 6, b"the last")
    complete(store, upload, first, *sorted(rest, key=lambda part: part.number), last)
    assert store.read("bucket", "big") == b"".join(part_of(number) for number in range(1, 6)) + b"the last"
    assert copied == []


def test_the_short_last_part_may_come_first(store):
    upload = begin(store)
    last = send(store, upload, 3, b"end")
    parts = [send(store, upload, number, part_of(number)) for number in (2, 1)]
    complete(store, upload, parts[1], parts[0], last)
    assert store.read("bucket", "big") == part_of(1) + part_of(2) + b"end"


def test_parts_of_different_sizes_are_put_together(store, tmp_path):
    upload = begin(store)
    sizes = [SIZE + 7, SIZE, SIZE + 1000, 5]
    parts = [send(store, upload, number, part_of(number, size)) for number, size in enumerate(sizes, 1)]
    complete(store, upload, *parts)
    assert store.read("bucket", "big") == b"".join(part_of(n, size) for n, size in enumerate(sizes, 1))
    assert len(files(tmp_path)) == 1


def test_unknown_lengths_are_put_together(store):
    upload = begin(store)
    parts = [send(store, upload, number, part_of(number), length=None) for number in (1, 2)]
    complete(store, upload, *parts)
    assert store.read("bucket", "big") == part_of(1) + part_of(2)


def test_a_part_sent_again_replaces_the_first(store, tmp_path):
    upload = begin(store)
    first = send(store, upload, 1, part_of(1))
    again = send(store, upload, 1, part_of(9))
    third = send(store, upload, 1, part_of(8))
    end = send(store, upload, 2, b"end")
    for stale in (first, again):
        with pytest.raises(AwsError) as error:
            complete(store, upload, stale, end)
        assert code(error) == "InvalidPart"
    complete(store, upload, third, end)
    assert store.read("bucket", "big") == part_of(8) + b"end"
    assert len(files(tmp_path)) == 1


def test_a_failed_part_can_be_sent_again_to_its_place(store, copied):
    upload = begin(store)

    def refuse(*_):
        raise AwsError("no", code="BadDigest")

    writer = store.uploads.begin_part("bucket", "big", upload.id, number=1, length=SIZE)
    writer.write([part_of(7)])
    with pytest.raises(AwsError):
        writer.commit(refuse)
    assert store.uploads.parts(upload.id) == []
    complete(store, upload, send(store, upload, 1, part_of(1)), send(store, upload, 2, b"end"))
    assert store.read("bucket", "big") == part_of(1) + b"end"
    assert copied == []


def test_more_bytes_than_announced_never_reach_the_neighbour(store):
    upload = begin(store)
    one, two = send(store, upload, 1, part_of(1)), send(store, upload, 2, part_of(2))
    writer = store.uploads.begin_part("bucket", "big", upload.id, number=3, length=4)
    with pytest.raises(AwsError) as error:
        writer.write([b"12345"])
    assert code(error) == "IncompleteBody"
    writer.discard()
    complete(store, upload, one, two)
    assert store.read("bucket", "big") == part_of(1) + part_of(2)


def test_some_of_the_parts_may_be_left_out(store, tmp_path):
    upload = begin(store)
    parts = [send(store, upload, number, part_of(number)) for number in (1, 2, 3, 4)]
    info = complete(store, upload, parts[0], parts[1])
    assert info.size == 2 * SIZE
    assert store.read("bucket", "big") == part_of(1) + part_of(2)
    other = begin(store, "gaps")
    parts = [send(store, other, number, part_of(number)) for number in (1, 2, 3, 4)]
    complete(store, other, parts[1], parts[3])
    assert store.read("bucket", "gaps") == part_of(2) + part_of(4)
    assert len(files(tmp_path)) == 2


def test_refusals(store):
    upload = begin(store)
    one, two = send(store, upload, 1, b"small"), send(store, upload, 2, b"end")
    with pytest.raises(AwsError) as error:
        complete(store, upload, one, two)
    assert code(error) == "EntityTooSmall"
    with pytest.raises(AwsError) as error:
        complete(store, upload, two, one)
    assert code(error) == "InvalidPartOrder"
    with pytest.raises(AwsError) as error:
        store.uploads.complete("bucket", "big", upload.id, [Chosen(1, one.etag), Chosen(3, two.etag)])
    assert code(error) == "InvalidPart"
    with pytest.raises(AwsError) as error:
        store.uploads.complete("bucket", "big", upload.id, [Chosen(1, "0" * 32)])
    assert code(error) == "InvalidPart"
    with pytest.raises(AwsError) as error:
        store.uploads.complete("bucket", "other", upload.id, choose(one))
    assert code(error) == "NoSuchUpload"
    with pytest.raises(AwsError) as error:
        complete(store, upload, one, condition=Condition(if_match="x"))
    assert code(error) == "NoSuchKey"
    assert complete(store, upload, one).size == 5
    with pytest.raises(AwsError) as error:
        store.uploads.create("nowhere", "k", Attributes(), None, None)
    assert code(error) == "NoSuchBucket"


def test_completing_again_gives_the_same_answer(store):
    upload = begin(store)
    part = send(store, upload, 1, b"x")
    info = complete(store, upload, part)
    assert complete(store, upload, part) == info
    store.put_bytes("bucket", "big", b"something else")
    with pytest.raises(AwsError) as error:
        complete(store, upload, part)
    assert code(error) == "NoSuchUpload"


def test_abort_leaves_nothing(store, tmp_path):
    upload = begin(store)
    send(store, upload, 1, part_of(1))
    send(store, upload, 2, part_of(2, SIZE + 1))
    writer = store.uploads.begin_part("bucket", "big", upload.id, number=3, length=SIZE)
    store.uploads.abort("bucket", "big", upload.id)
    writer.write([part_of(3)])
    with pytest.raises(AwsError) as error:
        writer.commit(lambda *_: None)
    assert code(error) == "NoSuchUpload"
    for late in (lambda: send(store, upload, 4, b"x"), lambda: store.uploads.abort("bucket", "big", upload.id)):
        with pytest.raises(AwsError) as error:
            late()
        assert code(error) == "NoSuchUpload"
    assert files(tmp_path) == []


def test_a_part_on_its_way_cannot_change_the_finished_object(store):
    upload = begin(store)
    one, two = send(store, upload, 1, part_of(1)), send(store, upload, 2, part_of(2))
    late = store.uploads.begin_part("bucket", "big", upload.id, number=3, length=SIZE)
    late.write([part_of(3)[:100]])
    complete(store, upload, one, two)
    late.write([part_of(3)[100:]])
    with pytest.raises(AwsError) as error:
        late.commit(lambda *_: None)
    assert code(error) == "NoSuchUpload"
    assert store.read("bucket", "big") == part_of(1) + part_of(2)


def test_two_completions_at_once_agree(store):
    upload = begin(store)
    parts = [send(store, upload, number, part_of(number)) for number in (1, 2, 3)]
    barrier = threading.Barrier(4)

    def finish(_):
        barrier.wait()
        return complete(store, upload, *parts)

    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(finish, range(4))
    assert all(other == first for other in others)
    assert (
        hashlib.md5(store.read("bucket", "big")).digest() == hashlib.md5(part_of(1) + part_of(2) + part_of(3)).digest()
    )


def test_an_upload_goes_on_after_a_restart(store, tmp_path):
    upload = begin(store, algorithm="SHA256", kind=COMPOSITE)
    one = send(store, upload, 1, part_of(1))
    store.close()
    again = DirectoryStore(tmp_path / "objects")
    assert again.cleaned(30)
    two = send(again, upload, 2, part_of(2))
    end = send(again, upload, 3, b"end")
    chosen = [
        Chosen(part.number, part.etag, {"ChecksumSHA256": checksums.encode(part.checksum)}) for part in (one, two, end)
    ]
    info = again.uploads.complete("bucket", "big", upload.id, chosen)
    assert again.read("bucket", "big") == part_of(1) + part_of(2) + b"end"
    assert info.checksum_type == COMPOSITE
    assert info.checksums["ChecksumSHA256"].endswith("-3")
    again.close()


def test_a_composite_checksum_needs_each_parts_own(store):
    upload = begin(store, algorithm="CRC32", kind=COMPOSITE)
    part = send(store, upload, 1, b"123456789")
    with pytest.raises(AwsError) as error:
        complete(store, upload, part)
    assert code(error) == "InvalidRequest"
    with pytest.raises(AwsError) as error:
        store.uploads.complete("bucket", "big", upload.id, [Chosen(1, part.etag, {"ChecksumCRC32": "AAAAAA=="})])
    assert code(error) == "InvalidPart"
    info = store.uploads.complete("bucket", "big", upload.id, [Chosen(1, part.etag, {"ChecksumCRC32": "y/Q5Jg=="})])
    assert store.parts("bucket", "big") == [(1, 9, "y/Q5Jg==")]
    assert info.checksums["ChecksumCRC32"].endswith("-1")


def test_a_multipart_object_is_copied_as_one_piece(store):
    upload = begin(store)
    complete(store, upload, send(store, upload, 1, part_of(1)), send(store, upload, 2, b"end"))
    copy = store.copy(("bucket", "big"), ("bucket", "copy"), lambda info: Attributes())
    assert copy.etag == hashlib.md5(part_of(1) + b"end").hexdigest()
    assert store.parts("bucket", "copy") == []


def test_a_bucket_goes_with_its_unfinished_uploads(store, tmp_path):
    upload = begin(store)
    send(store, upload, 1, part_of(1))
    store.buckets.delete("bucket")
    assert files(tmp_path) == []
    with pytest.raises(AwsError) as error:
        send(store, upload, 2, b"x")
    assert code(error) == "NoSuchBucket"


def test_finished_blobs_are_read_only(store, tmp_path):
    upload = begin(store)
    complete(store, upload, send(store, upload, 1, part_of(1)))
    (blob,) = files(tmp_path)
    assert not os.stat(blob).st_mode & 0o222
