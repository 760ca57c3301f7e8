"""Small objects after a power loss: what was acknowledged comes back out of the index."""

import os

import pytest

from modelwright.objects import journal
from modelwright.objects.attributes import Attributes
from modelwright.objects.directory import DirectoryStore
from modelwright.objects.journal import SMALL

OBJECTS = {f"k{n}": b"%d" % n * n * 100 for n in range(10)}


@pytest.fixture
def never(monkeypatch):
    """The files are not synced in time."""
    monkeypatch.setattr(journal, "_DELAY", 3600)


def copies(store):
    return {blob for (blob,) in store._index.reader.execute("SELECT blob FROM journal")}


def lose_power(store, damage):
    """The index is as it was committed, unsynced files are not."""
    for blob in copies(store):
        path = store._blobs.path(blob)
        os.chmod(path, 0o644)
        damage(path)
    store._index.close()


def truncate(path):
    path.write_bytes(b"")


def zero(path):
    path.write_bytes(b"\0" * path.stat().st_size)


def remove(path):
    path.unlink()


@pytest.mark.parametrize("damage", [truncate, zero, remove])
def test_what_was_lost_is_repaired(tmp_path, never, damage):
    store = DirectoryStore(tmp_path / "objects")
    store.create_bucket("bucket", "us-east-1")
    for key, data in OBJECTS.items():
        store.put_bytes("bucket", key, data)
    store.put_bytes("bucket", "large", b"x" * (SMALL + 1))
    view = store.view("bucket", "k")
    assert len(copies(store)) == len(OBJECTS)
    lose_power(store, damage)
    again = DirectoryStore(tmp_path / "objects")
    assert {key: again.read("bucket", key) for key in OBJECTS} == OBJECTS
    assert again.read("bucket", "large") == b"x" * (SMALL + 1)
    assert not view.exists()
    assert (again.view("bucket", "k") / "k5").read_bytes() == OBJECTS["k5"]
    again.close()
    assert (tmp_path / "objects" / "index.db").exists()


def test_what_was_deleted_does_not_come_back(tmp_path, never):
    store = DirectoryStore(tmp_path / "objects")
    store.create_bucket("bucket", "us-east-1")
    store.put_bytes("bucket", "gone", b"1")
    store.put_bytes("bucket", "changed", b"1")
    store.put_bytes("bucket", "changed", b"2")
    store.delete("bucket", "gone")
    assert len(copies(store)) == 1
    lose_power(store, remove)
    again = DirectoryStore(tmp_path / "objects")
    assert again.cleaned(30)
    assert [info.key for info in again.list("bucket")] == ["changed"]
    assert again.read("bucket", "changed") == b"2"
    assert len([path for path in (tmp_path / "objects" / "blobs").rglob("*") if path.is_file()]) == 1
    again.close()


def test_a_copy_outlives_its_source(tmp_path, never):
    store = DirectoryStore(tmp_path / "objects")
    store.create_bucket("bucket", "us-east-1")
    store.put_bytes("bucket", "k", b"1")
    synced = []
    original = store._blobs.synced
    store._blobs.synced = lambda fd, blob: (synced.append(blob), original(fd, blob))
    store.copy(("bucket", "k"), ("bucket", "copy"), lambda info: Attributes())
    assert len(synced) == 1  # the copy has no place in the journal, so its bytes had to be safe before
    store.close()


@pytest.mark.parametrize("whole", [True, False])
def test_copies_go_when_the_files_are_synced(tmp_path, monkeypatch, never, whole):
    if not whole:
        monkeypatch.setattr(journal, "_sync_file_system", lambda blobs: False)
    store = DirectoryStore(tmp_path / "objects")
    store.create_bucket("bucket", "us-east-1")
    for key, data in OBJECTS.items():
        store.put_bytes("bucket", key, data)
    store._journal.flush()
    assert copies(store) == set()
    lose_power(store, remove)
    again = DirectoryStore(tmp_path / "objects")
    assert {key: again.read("bucket", key) for key in OBJECTS} == OBJECTS
    again.close()


def test_they_go_by_themselves(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "_DELAY", 0.001)
    flushed = []
    monkeypatch.setattr(journal, "_sync_file_system", lambda blobs: bool(flushed.append(1)) or True)
    store = DirectoryStore(tmp_path / "objects")
    store.create_bucket("bucket", "us-east-1")
    store.put_bytes("bucket", "k", b"1")
    while copies(store):
        pass
    assert flushed
    store.close()


def test_without_fsync_there_are_no_copies(tmp_path, never):
    store = DirectoryStore(tmp_path / "objects", fsync=False)
    store.create_bucket("bucket", "us-east-1")
    store.put_bytes("bucket", "k", b"1")
    assert copies(store) == set()
    store.close()
