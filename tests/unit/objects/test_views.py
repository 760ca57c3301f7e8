"""Views: folders of hard links that never change."""

import os
import time

import pytest

from modelwright.errors import AwsError, ValidationException
from modelwright.objects import directory
from modelwright.objects.directory import DirectoryStore
from modelwright.objects.views import KEEP, KEEP_KNOWN


def tree(path):
    return {
        str(found.relative_to(path)): found.read_bytes() if found.is_file() else None
        for found in sorted(path.rglob("*"))
    }


def fill(store, **objects):
    for key, data in objects.items():
        store.put_bytes("bucket", key, data)


OBJECTS = {"data/a.txt": b"1", "data/sub/b.txt": b"2", "data/sub/deep/c": b"3", "data2/x": b"4", "other": b"5"}


@pytest.fixture(params=["taken from the living tree", "linked"])
def filled(store, request):
    fill(store, **OBJECTS)
    if request.param == "linked":
        store._views.forget()
    return store


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("data/", {"a.txt": b"1", "sub": None, "sub/b.txt": b"2", "sub/deep": None, "sub/deep/c": b"3"}),
        ("data/sub/", {"b.txt": b"2", "deep": None, "deep/c": b"3"}),
        ("data/a.txt", {"a.txt": b"1"}),
        ("data/s", {"sub": None, "sub/b.txt": b"2", "sub/deep": None, "sub/deep/c": b"3"}),
        ("data2", {"data2": None, "data2/x": b"4"}),
        ("oth", {"other": b"5"}),
    ],
)
def test_names_are_relative_to_the_prefixs_folder(filled, prefix, expected):
    assert tree(filled.view("bucket", prefix)) == expected


def test_the_empty_prefix_is_the_whole_bucket(filled):
    files = {name: data for name, data in tree(filled.view("bucket", "")).items() if data is not None}
    assert files == OBJECTS


def test_the_same_content_is_the_same_folder(filled):
    first = filled.view("bucket", "data/")
    assert filled.view("bucket", "data/") == first
    fill(filled, unrelated=b"x")
    assert filled.view("bucket", "data/") == first


def test_a_view_never_changes(filled):
    before = filled.view("bucket", "data/")
    content = tree(before)
    fill(filled, **{"data/a.txt": b"changed", "data/new": b"n", "data/sub/deep/new": b"m"})
    filled.delete("bucket", "data/sub/b.txt")
    after = filled.view("bucket", "data/")
    assert tree(before) == content
    assert tree(after) == {
        "a.txt": b"changed",
        "new": b"n",
        "sub": None,
        "sub/deep": None,
        "sub/deep/c": b"3",
        "sub/deep/new": b"m",
    }
    assert tree(filled.view("bucket", "data/sub/")) == {"deep": None, "deep/c": b"3", "deep/new": b"m"}


def test_overlapping_views(filled):
    inner = tree(filled.view("bucket", "data/sub/"))
    outer = tree(filled.view("bucket", "data/"))
    assert inner == {name.removeprefix("sub/"): data for name, data in outer.items() if name.startswith("sub/")}


def test_folders_may_have_keys_of_their_own(store):
    fill(store, **{"d/": b"", "d/empty/": b"", "d/full/": b"", "d/full/x": b"1"})
    expected = {"empty": None, "full": None, "full/x": b"1"}
    assert tree(store.view("bucket", "d/")) == expected
    store._views.forget()
    fill(store, **{"d/y": b"2"})
    assert tree(store.view("bucket", "d/")) == {**expected, "y": b"2"}


def test_deleting_the_last_object_of_a_folder_keeps_the_folder_that_has_a_key(store):
    fill(store, **{"d/sub/": b"", "d/sub/x": b"", "d/y": b""})
    store.delete("bucket", "d/sub/x")
    assert tree(store.view("bucket", "d/")) == {"sub": None, "y": b""}


def test_a_view_costs_no_bytes(store):
    fill(store, **{"d/x": b"x" * 1000})
    with store.open("bucket", "d/x")[1] as file:
        assert os.fstat(file.fileno()).st_ino == (store.view("bucket", "d/") / "x").stat().st_ino


def test_a_folder_of_many_is_taken_whole(store, monkeypatch):
    for number in range(200):
        store.put_bytes("bucket", f"many/{number % 7}/{number}", b"x")
    monkeypatch.setattr(store._views, "_link", None)
    assert sum(1 for path in store.view("bucket", "many/").rglob("*") if path.is_file()) == 200


def test_a_damaged_living_tree_costs_time_only(store, tmp_path):
    fill(store, **OBJECTS)
    living = tmp_path / "objects" / "live" / "bucket"
    (living / "data" / "a.txt").unlink()
    (living / "data" / "a.txt").write_bytes(b"wrong")
    (living / "data" / "stray").write_bytes(b"stray")
    (living / "data" / "sub" / "b.txt").unlink()
    assert tree(store.view("bucket", "data/"))["a.txt"] == b"1"
    assert "stray" not in tree(store.view("bucket", "data/"))


def test_multipart_objects_and_copies_are_in_views(store):
    fill(store, **{"d/x": b"1"})
    store.copy(("bucket", "d/x"), ("bucket", "d/copy"), lambda info: info)
    assert tree(store.view("bucket", "d/")) == {"x": b"1", "copy": b"1"}


@pytest.mark.parametrize(
    ("keys", "named"),
    [
        (["d/a", "d/a/b"], "'a'"),
        (["d/a", "d/a/"], "'a'"),
        (["d/../x"], "'../x'"),
        (["d/./x"], "'./x'"),
        (["d//x"], "'/x'"),
        (["d/x//y"], "'x//y'"),
        (["d/nul\x00"], "nul"),
        (["d/" + "n" * 300], "nnn"),
    ],
)
def test_what_no_folder_can_hold_is_named(store, keys, named):
    fill(store, **dict.fromkeys(keys, b"x"))
    with pytest.raises(ValidationException) as error:
        store.view("bucket", "d/")
    assert named in str(error.value)


def test_nothing_under_the_prefix(store):
    with pytest.raises(AwsError) as error:
        store.view("bucket", "nothing/")
    assert error.value.code == "NoSuchKey"
    with pytest.raises(AwsError) as error:
        store.view("nowhere", "")
    assert error.value.code == "NoSuchBucket"


def test_views_outlive_a_restart(store, tmp_path):
    fill(store, **OBJECTS)
    first = store.view("bucket", "data/sub/")
    store.close()
    again = DirectoryStore(tmp_path / "objects")
    assert again.view("bucket", "data/sub/") == first
    assert len(tree(again.view("bucket", "data/"))) == 5
    again.close()


def test_old_views_go_when_nobody_uses_them(tmp_path):
    clock = [time.time()]
    in_use = []
    store = DirectoryStore(tmp_path / "objects", now=lambda: clock[0], in_use=lambda: in_use)
    store.cleaned()
    store.create_bucket("bucket", "us-east-1")
    fill(store, **OBJECTS)
    used, idle = store.view("bucket", "data/"), store.view("bucket", "data2/")
    in_use.append(used)
    assert store.sweep_views() == 0
    clock[0] += KEEP_KNOWN + 1
    assert store.sweep_views() == 1
    assert used.is_dir()
    assert not idle.exists()
    assert tree(store.view("bucket", "data2/")) == {"x": b"4"}
    store.close()


def test_a_file_for_a_job_outlives_the_object(tmp_path):
    clock = [time.time()]
    store = DirectoryStore(tmp_path / "objects", now=lambda: clock[0], fsync=False)
    store.cleaned()
    store.create_bucket("bucket", "us-east-1")
    fill(store, **{"a/../b": b"1"})
    path = store.path("bucket", "a/../b")
    assert store.path("bucket", "a/../b") == path
    store.delete("bucket", "a/../b")
    assert path.read_bytes() == b"1"
    clock[0] += KEEP - 60
    assert store.sweep_views() == 0
    clock[0] += 120
    assert store.sweep_views() == 1
    assert not path.exists()
    with pytest.raises(AwsError):
        store.path("bucket", "a/../b")
    store.close()


def test_without_knowing_who_uses_them_views_stay_for_the_longest_job(tmp_path):
    clock = [time.time()]
    store = DirectoryStore(tmp_path / "objects", now=lambda: clock[0])
    store.cleaned()
    store.create_bucket("bucket", "us-east-1")
    fill(store, **OBJECTS)
    view = store.view("bucket", "data/")
    clock[0] += KEEP - 60
    assert store.sweep_views() == 0
    assert store.view("bucket", "data/") == view
    clock[0] += KEEP - 60
    assert store.sweep_views() == 0
    clock[0] += 120
    assert store.sweep_views() == 1
    assert not view.exists()
    store.close()


def test_a_copied_home_forgets_the_living_tree(store, tmp_path):
    import shutil

    fill(store, **OBJECTS)
    store.close()
    shutil.copytree(tmp_path / "objects", tmp_path / "moved")
    moved = DirectoryStore(tmp_path / "moved")
    assert not any((tmp_path / "moved" / "live").iterdir())
    assert len(tree(moved.view("bucket", "data/"))) == 5
    moved.close()


@pytest.mark.parametrize("rebooted", [False, True])
def test_views_are_not_trusted_after_a_power_loss(tmp_path, monkeypatch, rebooted):
    store = DirectoryStore(tmp_path / "objects", fsync=False)
    store.create_bucket("bucket", "us-east-1")
    fill(store, **OBJECTS)
    view = store.view("bucket", "data/")
    store._index.close()
    if rebooted:
        monkeypatch.setattr(directory, "_boot", lambda: "another")
    again = DirectoryStore(tmp_path / "objects", fsync=False)
    assert view.exists() == (not rebooted)
    assert len(tree(again.view("bucket", "data/"))) == 5
    again.close()
