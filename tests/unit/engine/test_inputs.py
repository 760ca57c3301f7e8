"""What an S3 prefix means to a job."""

import json

import pytest

from modelwright.engine.inputs import find_view, mount_input, restore, split_uri
from modelwright.engine.opt_ml import Input
from modelwright.errors import AwsError, ValidationException
from modelwright.objects.directory import DirectoryStore

KEYS = ("data/train/a.csv", "data/train/sub/b.csv", "data/train-2/c.csv", "data/one.csv", "part-0", "part-1")


@pytest.fixture
def objects(tmp_path):
    store = DirectoryStore(tmp_path / "objects", fsync=False)
    store.create_bucket("bucket", "eu-west-1")
    for key in KEYS:
        store.put_bytes("bucket", key, key.encode())
    yield store
    store.close()


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("s3://bucket/data/train/", ["a.csv", "sub/b.csv"]),
        ("s3://bucket/data/train", ["a.csv", "sub/b.csv"]),
        ("s3://bucket/data/one.csv", ["one.csv"]),
        ("s3://bucket/part-", ["part-0", "part-1"]),
        ("s3://bucket/data", ["one.csv", "train-2/c.csv", "train/a.csv", "train/sub/b.csv"]),
        ("s3://bucket", sorted(KEYS)),
        ("s3://bucket/", sorted(KEYS)),
    ],
)
def test_a_prefix(objects, uri, expected):
    assert files(find_view(objects, uri)) == expected


@pytest.mark.parametrize(("uri", "words"), [("s3://bucket/x", "No S3 objects found"), ("s3://nobucket/x", "bucket")])
def test_nothing_there(objects, uri, words):
    with pytest.raises(AwsError, match=words):
        find_view(objects, uri)


@pytest.mark.parametrize("uri", ["", "bucket/key", "http://bucket/key", "s3://"])
def test_not_an_s3_uri(uri):
    with pytest.raises(ValidationException, match="must be s3://bucket/key"):
        split_uri(uri)


def test_keys_may_have_any_character():
    assert split_uri("s3://bucket/a?b#c//d ") == ("bucket", "a?b#c//d ")


def manifest(objects, tmp_path, content):
    objects.put_bytes("bucket", "m", content if isinstance(content, bytes) else json.dumps(content).encode())
    return mount_input(objects, Input("../x", "/opt/ml/input/data/x", "s3://bucket/m", manifest=True), tmp_path / "s")


def test_a_manifest(objects, tmp_path):
    content = [{"prefix": "s3://bucket/data/"}, "train/a.csv", "one.csv"]
    mount = manifest(objects, tmp_path, content)
    assert files(mount.source) == ["one.csv", "train/a.csv"]
    assert (mount.target, mount.mode) == ("/opt/ml/input/data/x", "cow")
    assert mount.source.is_relative_to(tmp_path / "s")
    assert manifest(objects, tmp_path, content) == mount, "and again"


@pytest.mark.parametrize("content", [b"no json", {}, [], ["a"], [{"prefix": 1}], [{"prefix": "s3://bucket/"}, 1], 7])
def test_a_manifest_that_is_none(objects, tmp_path, content):
    with pytest.raises(ValidationException, match="must be a JSON list"):
        manifest(objects, tmp_path, content)


def test_a_manifest_that_names_what_is_not_there(objects, tmp_path):
    with pytest.raises(AwsError, match="not exist"):
        manifest(objects, tmp_path, [{"prefix": "s3://bucket/data/"}, "none"])


def test_restore_copies(objects, tmp_path):
    assert restore(objects, "s3://bucket/data/train/", tmp_path / "checkpoints") == 2
    assert files(tmp_path / "checkpoints") == ["a.csv", "sub/b.csv"]
    (tmp_path / "checkpoints" / "a.csv").write_text("changed")
    assert objects.read("bucket", "data/train/a.csv") == b"data/train/a.csv"
    assert restore(objects, "s3://bucket/none/", tmp_path / "none") == 0
