"""Whoever must hear of an object hears of it, whatever happens to the process that wrote it."""

import signal
import subprocess
import sys

import pytest

from modelwright.objects.attributes import Attributes
from modelwright.objects.directory import DirectoryStore
from modelwright.objects.uploads import Chosen

DIES = """
import os, signal, sys
from pathlib import Path
from modelwright.objects.directory import DirectoryStore

store = DirectoryStore(Path(sys.argv[1]), fsync=False)
store.create_bucket("bucket", "us-east-1")
store.subscribe(lambda bucket, key: key.startswith("in/"), lambda _: os.kill(os.getpid(), signal.SIGKILL))
store.put_bytes("bucket", "out/unheard", b"x")
store.put_bytes("bucket", "in/one", b"hello")
"""


@pytest.fixture
def listen():
    def listen(store, wanted="in/"):
        heard = []
        store.subscribe(lambda bucket, key: key.startswith(wanted), lambda info: heard.append((info.key, info.size)))
        return heard

    return listen


def test_what_is_wanted_is_told_once(store, listen):
    heard = listen(store)
    store.put_bytes("bucket", "in/one", b"a")
    store.put_bytes("bucket", "out/two", b"ab")
    upload = store.uploads.create("bucket", "in/three", Attributes(), None, None)
    writer = store.uploads.begin_part("bucket", "in/three", upload.id, number=1, length=3)
    writer.write([b"abc"])
    part = writer.commit(lambda *_: None)
    store.uploads.complete("bucket", "in/three", upload.id, [Chosen(1, part.etag)])
    assert heard == [("in/one", 1), ("in/three", 3)]
    store.tell_untold()
    assert len(heard) == 2


def test_the_next_process_tells_what_a_killed_one_could_not(tmp_path, listen):
    done = subprocess.run([sys.executable, "-c", DIES, str(tmp_path / "objects")], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    store = DirectoryStore(tmp_path / "objects", fsync=False)
    heard = listen(store)
    store.tell_untold()
    store.tell_untold()
    store.close()
    assert heard == [("in/one", 5)]


def test_what_could_not_be_told_is_told_later(tmp_path, listen):
    store = DirectoryStore(tmp_path / "objects", fsync=False)
    store.create_bucket("bucket", "us-east-1")

    def fail(_):
        raise RuntimeError("not now")

    store.subscribe(lambda *_: True, fail)
    for key, data in (("in/kept", b"a"), ("in/replaced", b"a"), ("in/deleted", b"a"), ("in/replaced", b"abc")):
        store.put_bytes("bucket", key, data)
    store.delete("bucket", "in/deleted")
    store.close()
    store = DirectoryStore(tmp_path / "objects", fsync=False)
    heard = listen(store)
    store.tell_untold()
    assert sorted(heard) == [("in/kept", 1), ("in/replaced", 3)], "an object as it is now, and none that is gone"
    heard.clear()
    store.tell_untold()
    assert heard == []
    store.close()
