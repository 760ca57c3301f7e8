"""The embedded store: buckets and objects, conditions, copies, tags, and what stays on the disk."""

import errno
import hashlib
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from modelwright.errors import AwsError
from modelwright.objects.attributes import ALWAYS, Attributes, Condition
from modelwright.objects.directory import DirectoryStore

HARD_KEYS = [
    "a",
    "a/b",
    "a/",
    "a//b",
    "/",
    "/a",
    "//",
    "..",
    "../../../../etc/passwd",
    "a/../b",
    ".",
    "./a",
    "con",
    "NUL:",
    "index.db",
    "schön/한국어/🦆",
    "new\nline\ttab\x01\x7f",
    "trailing space ",
    "quote'\"<&>;|*?%20+",
    "back\\slash",
    "x" * 1024,
    "é" * 512,
    "\x00",
]


def blobs(tmp_path):
    return [path for path in (tmp_path / "objects" / "blobs").rglob("*") if path.is_file()]


def everything_below(path):
    return {str(found.relative_to(path)) for found in path.rglob("*")}


def code(error):
    return error.value.code, error.value.status


def write(store, key, data, bucket="bucket", **more):
    writer = store.begin()
    writer.write([data])
    return store.put(bucket, key, writer, **more)


def test_it_works(store):
    info = store.put_bytes("bucket", "key", b"content")
    assert (info.size, info.etag) == (7, hashlib.md5(b"content").hexdigest())
    assert list(info.checksums) == ["ChecksumCRC64NVME"]
    assert store.head("bucket", "key") == info
    assert store.read("bucket", "key") == b"content"
    assert [found.key for found in store.list("bucket")] == ["key"]
    assert store.delete("bucket", "key")
    assert not store.delete("bucket", "key")
    with pytest.raises(AwsError) as error:
        store.read("bucket", "key")
    assert code(error) == ("NoSuchKey", 404)


def test_any_key_is_just_a_name(store, tmp_path):
    before = everything_below(tmp_path) - everything_below(tmp_path / "objects")
    for key in HARD_KEYS:
        store.put_bytes("bucket", key, key.encode())
    assert [info.key for info in store.list("bucket")] == sorted(HARD_KEYS, key=str.encode)
    for key in HARD_KEYS:
        assert store.read("bucket", key) == key.encode()
    outside = {path for path in tmp_path.rglob("*") if not path.is_relative_to(tmp_path / "objects")}
    assert {str(path.relative_to(tmp_path)) for path in outside} <= before
    for key in HARD_KEYS:
        store.delete("bucket", key)
    assert list(store.list("bucket")) == []
    assert blobs(tmp_path) == []


def test_everything_survives_a_restart(store, tmp_path):
    attributes = Attributes({"ContentType": "text/plain"}, {"a": "ü"}, {"t": "v"})
    info = write(store, "k", b"x", attributes=attributes)
    store.close()
    again = DirectoryStore(tmp_path / "objects")
    assert again.head("bucket", "k") == info
    assert again.head("bucket", "k").tags == {"t": "v"}
    assert again.read("bucket", "k") == b"x"
    assert again.buckets.find("bucket").region == "us-east-1"
    again.close()


def test_overwriting_frees_the_old_bytes_but_not_under_a_reader(store, tmp_path):
    store.put_bytes("bucket", "k", b"old")
    info, file = store.open("bucket", "k")
    path = store.path("bucket", "k")
    store.put_bytes("bucket", "k", b"new")
    with file:
        assert (info.size, file.read()) == (3, b"old")
    assert path.read_bytes() == b"old"
    assert store.read("bucket", "k") == b"new"
    assert len(blobs(tmp_path)) == 1


def test_an_abandoned_write_leaves_nothing(store, tmp_path):
    writer = store.begin()
    writer.write([b"half"])
    writer.discard()
    writer.discard()
    store.begin().discard()
    assert blobs(tmp_path) == []
    assert list(store.list("bucket")) == []


def test_a_refused_write_leaves_nothing(store, tmp_path):
    def refuse(sealed):
        raise AwsError("no", code="BadDigest")

    with pytest.raises(AwsError, match="no"):
        write(store, "k", b"x", check=refuse)
    with pytest.raises(AwsError) as error:
        write(store, "k", b"x", bucket="nowhere")
    assert code(error) == ("NoSuchBucket", 404)
    assert blobs(tmp_path) == []


def test_conditions(store, tmp_path):
    etag = write(store, "k", b"1", condition=Condition(absent=True)).etag
    with pytest.raises(AwsError) as error:
        write(store, "k", b"2", condition=Condition(absent=True))
    assert code(error) == ("PreconditionFailed", 412)
    with pytest.raises(AwsError) as error:
        write(store, "k", b"2", condition=Condition(if_match='"other"'))
    assert code(error) == ("PreconditionFailed", 412)
    with pytest.raises(AwsError) as error:
        write(store, "absent", b"2", condition=Condition(if_match=etag))
    assert code(error) == ("NoSuchKey", 404)
    assert store.read("bucket", "k") == b"1"
    write(store, "k", b"2", condition=Condition(if_match=f'"{etag}"'))
    write(store, "k", b"3", condition=Condition(if_match="*"))
    assert store.read("bucket", "k") == b"3"
    with pytest.raises(AwsError):
        store.delete("bucket", "k", Condition(if_match=etag))
    assert len(blobs(tmp_path)) == 1


def test_of_many_conditional_writers_one_wins(store):
    barrier = threading.Barrier(8)

    def put(number):
        barrier.wait()
        try:
            write(store, "k", b"%d" % number, condition=Condition(absent=True))
        except AwsError as error:
            return error.code
        return number

    with ThreadPoolExecutor(8) as pool:
        outcomes = list(pool.map(put, range(8)))
    (winner,) = [outcome for outcome in outcomes if isinstance(outcome, int)]
    assert outcomes.count("PreconditionFailed") == 7
    assert store.read("bucket", "k") == b"%d" % winner


def test_compare_and_swap_loses_no_update(store):
    store.put_bytes("bucket", "counter", b"0")

    def add(_):
        while True:
            info, file = store.open("bucket", "counter")
            with file:
                value = int(file.read())
            try:
                write(store, "counter", b"%d" % (value + 1), condition=Condition(if_match=info.etag))
            except AwsError:
                continue
            return

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(40)))
    assert store.read("bucket", "counter") == b"40"


def test_readers_see_the_old_or_the_new_never_a_mixture(store):
    store.put_bytes("bucket", "k", b"a" * 100_000)
    done = threading.Event()

    def overwrite():
        for letter in b"bcdefghijklmnopqrstuvwxyz" * 4:
            store.put_bytes("bucket", "k", bytes([letter]) * 100_000)
        done.set()

    writer = threading.Thread(target=overwrite)
    writer.start()
    while not done.is_set():
        info, file = store.open("bucket", "k")
        with file:
            data = file.read()
        assert hashlib.md5(data).hexdigest() == info.etag
        assert len(set(data)) == 1
    writer.join()


def test_buckets(store):
    assert store.buckets.create("another", "eu-west-1", {"a": "b"})
    assert not store.create_bucket("another", "us-east-1")
    assert [(bucket.name, bucket.region) for bucket in store.buckets.all()] == [
        ("another", "eu-west-1"),
        ("bucket", "us-east-1"),
    ]
    store.buckets.tag("another", {"c": "d"})
    assert store.buckets.find("another").tags == {"c": "d"}
    store.put_bytes("another", "k", b"")
    with pytest.raises(AwsError) as error:
        store.buckets.delete("another")
    assert code(error) == ("BucketNotEmpty", 409)
    store.delete("another", "k")
    store.buckets.delete("another")
    for use in (store.buckets.find, store.buckets.delete, lambda name: store.buckets.tag(name, {}), store.list):
        with pytest.raises(AwsError) as error:
            use("another")
        assert code(error) == ("NoSuchBucket", 404)


@pytest.mark.parametrize(
    "name",
    [
        "ab",
        "a" * 64,
        "Upper",
        "under_score",
        "-a-",
        "a.",
        ".ab",
        "a..b",
        "192.168.1.1",
        "xn--abc",
        "abc-s3alias",
        "a b",
    ],
)
def test_bucket_names_that_s3_refuses(store, name):
    with pytest.raises(AwsError) as error:
        store.create_bucket(name, "us-east-1")
    assert code(error) == ("InvalidBucketName", 400)


@pytest.mark.parametrize("name", ["abc", "a" * 63, "datasets-yolo", "sagemaker-us-east-1-111122223333", "a.b-c.1"])
def test_bucket_names_that_s3_takes(store, name):
    assert store.create_bucket(name, "us-east-1")


def keep(info):
    return Attributes(info.headers, info.metadata, info.tags)


def test_a_copy_shares_the_bytes(store):
    store.create_bucket("other", "us-east-1")
    source = write(store, "k", b"x" * 1000, attributes=Attributes({"ContentType": "a/b"}, {"m": "1"}))
    copy = store.copy(("bucket", "k"), ("other", "deep/k"), keep)
    assert (copy.etag, copy.checksums, copy.metadata) == (source.etag, source.checksums, source.metadata)
    with store.open("bucket", "k")[1] as one, store.open("other", "deep/k")[1] as two:
        assert os.fstat(one.fileno()).st_ino == os.fstat(two.fileno()).st_ino
    store.delete("bucket", "k")
    assert store.read("other", "deep/k") == b"x" * 1000


def test_a_copy_may_change_checksum_and_metadata(store):
    store.put_bytes("bucket", "k", b"123456789")
    copy = store.copy(("bucket", "k"), ("bucket", "k"), lambda info: Attributes({}, {"new": "1"}), algorithm="CRC32")
    assert copy.checksums == {"ChecksumCRC32": "y/Q5Jg=="}
    assert copy.metadata == {"new": "1"}
    assert store.read("bucket", "k") == b"123456789"


def test_a_refused_copy_leaves_nothing(store, tmp_path):
    store.put_bytes("bucket", "k", b"x")
    with pytest.raises(AwsError):
        store.copy(("bucket", "k"), ("nowhere", "k"), keep)
    with pytest.raises(AwsError):
        store.copy(("bucket", "k"), ("bucket", "k"), keep, condition=Condition(absent=True))
    with pytest.raises(AwsError):
        store.copy(("bucket", "absent"), ("bucket", "k"), keep)
    assert len(blobs(tmp_path)) == 1


def test_deleting_many_says_each_ones_fate(store, tmp_path):
    store.put_bytes("bucket", "a", b"1")
    store.put_bytes("bucket", "b", b"2")
    there, absent, kept = store.delete_many(
        "bucket", [("a", Condition()), ("x", Condition()), ("b", Condition(if_match="other"))]
    )
    assert (there, absent) == (True, False)
    assert kept.code == "PreconditionFailed"
    assert [info.key for info in store.list("bucket")] == ["b"]
    assert len(blobs(tmp_path)) == 1


def test_tags_leave_the_rest_as_it_is(store):
    info = store.put_bytes("bucket", "k", b"x")
    store.tag("bucket", "k", {"a": "b"})
    assert store.head("bucket", "k").tags == {"a": "b"}
    assert store.head("bucket", "k").modified == info.modified
    store.tag("bucket", "k", {})
    assert store.head("bucket", "k").tags == {}
    with pytest.raises(AwsError) as error:
        store.tag("bucket", "absent", {})
    assert code(error) == ("NoSuchKey", 404)


def test_files_are_copied_or_taken(store, tmp_path):
    source = tmp_path / "model.tar.gz"
    source.write_bytes(b"x" * 3_000_000)
    info = store.put_file("bucket", "copied", source)
    assert source.exists()
    inode = source.stat().st_ino
    moved = store.put_file("bucket", "moved", source, move=True)
    assert not source.exists()
    assert (moved.etag, moved.checksums) == (info.etag, info.checksums)
    with store.open("bucket", "moved")[1] as file:
        assert os.fstat(file.fileno()).st_ino == inode
    assert store.read("bucket", "copied") == store.read("bucket", "moved")


def test_a_file_is_gone_only_when_it_is_stored(store, tmp_path, monkeypatch):
    source = tmp_path / "model.tar.gz"
    source.write_bytes(b"the only copy")
    with monkeypatch.context() as patch:
        patch.setattr(store, "_commit", _die)
        with pytest.raises(KeyboardInterrupt):
            store.put_file("bucket", "k", source, move=True)
    assert source.read_bytes() == b"the only copy"
    store.put_file("bucket", "k", source, move=True)
    assert store.read("bucket", "k") == b"the only copy"
    assert not source.exists()


def _die(*_):
    """As a process does that is killed there."""
    raise KeyboardInterrupt


def test_a_file_with_other_links_is_not_taken(store, tmp_path):
    source, other = tmp_path / "one", tmp_path / "two"
    source.write_bytes(b"before")
    os.link(source, other)
    store.put_file("bucket", "k", source, move=True)
    assert not source.exists()
    other.write_bytes(b"after!")
    assert store.read("bucket", "k") == b"before"


def test_blobs_are_read_only(store, tmp_path):
    store.put_bytes("bucket", "k", b"x")
    assert {path.stat().st_mode & 0o222 for path in blobs(tmp_path)} == {0}


def test_a_full_disk_is_said_and_leaves_nothing(store, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(AwsError) as error:
        store.put_bytes("bucket", "k", b"x")
    assert code(error) == ("InsufficientStorage", 507)
    assert blobs(tmp_path) == []


def test_threads_that_end_give_their_connections_back(store):
    store.put_bytes("bucket", "k", b"x")
    for _ in range(20):
        reader = threading.Thread(target=store.read, args=("bucket", "k"))
        reader.start()
        reader.join()
    assert len(store._index._connections) < 10


def test_watchers_hear_of_every_write_and_deletion(store):
    heard = []
    store.watch(lambda bucket, key: heard.append((bucket, key)))
    store.create_bucket("watched", "us-east-1")
    store.put_bytes("watched", "a/b", b"x")
    store.delete_many("watched", [("a/b", ALWAYS), ("none", ALWAYS)])
    assert heard == [("watched", "a/b")] * 2


def test_a_bucket_that_somebody_else_made_a_moment_ago_is_known(store):
    store.create_bucket("race", "us-east-1")
    store.buckets._known = {}  # as it is for a moment between the maker's commit and its reading
    assert not store.create_bucket("race", "us-east-1")
    store.put_bytes("race", "a", b"x")
