"""Outputs of jobs that may have made anything of their folders."""

import io
import os
import tarfile

import pytest

from modelwright.engine.outputs import Mirror, Tree, upload_archive, upload_tree, weight
from modelwright.objects.directory import DirectoryStore


@pytest.fixture
def objects(tmp_path):
    store = DirectoryStore(tmp_path / "objects", fsync=False)
    store.create_bucket("bucket", "eu-west-1")
    yield store
    store.close()


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "job" / "ml" / "model"
    folder.mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (folder / "a").write_text("a")
    (folder / "sub").mkdir()
    (folder / "sub" / "b").write_text("b")
    return folder


def keys(objects):
    return {info.key: objects.read("bucket", info.key) for info in objects.list("bucket")}


def members(objects, key):
    with tarfile.open(fileobj=io.BytesIO(objects.read("bucket", key))) as archive:
        return {member.name: member for member in archive.getmembers()}


def test_a_tree_becomes_single_objects(objects, folder):
    assert upload_tree(objects, Tree(folder), "s3://bucket/out/") == []
    assert keys(objects) == {"out/a": b"a", "out/sub/b": b"b"}


def test_an_upload_may_be_repeated(objects, folder):
    upload_tree(objects, Tree(folder), "s3://bucket/out/")
    upload_tree(objects, Tree(folder), "s3://bucket/out/")
    assert keys(objects) == {"out/a": b"a", "out/sub/b": b"b"}


def test_links_inside_count_as_their_files_and_others_are_left_out(objects, folder, tmp_path):
    (folder / "inside").symlink_to("sub/b")
    (folder / "outside").symlink_to(tmp_path / "secret")
    (folder / "up").symlink_to("..")
    (folder / "nowhere").symlink_to("nothing")
    (folder / "loop").symlink_to("loop")
    (folder / "here").symlink_to("sub")
    os.mkfifo(folder / "pipe")
    notes = upload_tree(objects, Tree(folder), "s3://bucket/")
    assert set(keys(objects)) == {"a", "sub/b", "inside"}
    assert sorted(note.split(" ")[0] for note in notes) == ["here", "loop", "outside", "pipe", "up"]


def test_an_archive_has_the_files_at_its_root(objects, folder, tmp_path):
    (folder / "run.sh").write_text("x")
    (folder / "run.sh").chmod(0o755)
    (folder / "inside").symlink_to("sub/b")
    (folder / "outside").symlink_to(tmp_path / "secret")
    (folder / "absolute").symlink_to(folder / "a")
    (folder / "한국어").write_text("x")
    os.mkfifo(folder / "pipe")
    notes = upload_archive(objects, Tree(folder), "s3://bucket/model.tar.gz", tmp_path / "scratch")
    found = members(objects, "model.tar.gz")
    assert sorted(found) == ["a", "inside", "run.sh", "sub", "sub/b", "한국어"]
    assert found["inside"].linkname == "sub/b"
    assert found["run.sh"].mode == 0o755
    assert {member.uname for member in found.values()} == {"root"}
    assert sorted(note.split(" ")[0] for note in notes) == ["absolute", "outside", "pipe"]


@pytest.mark.parametrize("exists", [True, False])
def test_an_empty_archive_is_one_too(objects, tmp_path, exists):
    if exists:
        (tmp_path / "empty").mkdir()
    upload_archive(objects, Tree(tmp_path, "empty"), "s3://bucket/model.tar.gz", tmp_path / "scratch")
    assert members(objects, "model.tar.gz") == {}


@pytest.mark.parametrize("relative", ["model", "model/sub"])
def test_a_folder_that_the_job_has_replaced_by_a_link_is_empty(objects, folder, tmp_path, relative):
    """`ln -s /etc /opt/ml/model` must not upload this machine's /etc."""
    base = folder.parent
    os.rename(folder, base / "gone")
    other = tmp_path / "other"
    (other / "sub").mkdir(parents=True)
    (other / "sub" / "x").write_text("secret")
    folder.symlink_to(other)
    tree = Tree(base, relative)
    assert tree.path() is None
    assert tree.open() is None
    assert upload_tree(objects, tree, "s3://bucket/") == []
    assert weight(tree, 1) == 0
    mirror = Mirror(tree, "s3://bucket/")
    mirror.sync(objects)
    assert mirror.finish(objects) == []
    assert keys(objects) == {}


def test_a_mirror_uploads_what_has_changed(objects, folder, tmp_path):
    mirror = Mirror(Tree(folder.parent, "model"), "s3://bucket/m/")
    (folder / "outside").symlink_to(tmp_path / "secret")
    (folder / "inside").symlink_to("a")
    mirror.sync(objects)
    assert keys(objects) == {"m/a": b"a", "m/sub/b": b"b"}
    before = objects.head("bucket", "m/a").modified
    (folder / "sub" / "b").write_text("changed")
    mirror.sync(objects)
    assert keys(objects) == {"m/a": b"a", "m/sub/b": b"changed"}
    assert objects.head("bucket", "m/a").modified == before, "it was not uploaded again"
    assert len(mirror.finish(objects)) == 1
    assert set(keys(objects)) == {"m/a", "m/sub/b", "m/inside"}
    assert (folder / "a").exists()


def test_weight_stops_counting(folder):
    assert weight(Tree(folder), 1 << 20) == 2 * 4096 + 2
    assert weight(Tree(folder), 1) == 4097
