"""Kill -9 at any moment: what was acknowledged is there, nothing is half there, nothing is left over."""

import hashlib
import random
import signal
import subprocess
import sys

import pytest

from modelwright.objects.directory import DirectoryStore

WRITER = """
import hashlib, itertools, sys
from pathlib import Path
from modelwright.objects.attributes import Attributes
from modelwright.objects.directory import DirectoryStore
from modelwright.objects.uploads import Chosen, MINIMUM_PART

store = DirectoryStore(Path(sys.argv[1]))
store.create_bucket("bucket", "us-east-1")
print("ready", flush=True)
for number in itertools.count(int(sys.argv[2])):
    data = b"%d " % number * (1 + number * 7919 % 30000)
    key = f"k{number % 20}"
    if number % 7 == 6:
        store.delete("bucket", key)
        print("deleted", key, number, flush=True)
    elif number % 11 == 10:
        upload = store.uploads.create("bucket", key, Attributes(), None, None)
        writer = store.uploads.begin_part("bucket", key, upload.id, number=1, length=len(data))
        writer.write([data])
        part = writer.commit(lambda *_: None)
        store.uploads.complete("bucket", key, upload.id, [Chosen(1, part.etag)])
        print("put", key, number, flush=True)
    else:
        store.put_bytes("bucket", key, data)
        print("put", key, number, flush=True)
    if number % 25 == 0:
        store.view("bucket", "")
"""


def content(number):
    return b"%d " % number * (1 + number * 7919 % 30000)


@pytest.mark.parametrize("seed", range(3))
def test_kill_at_random_moments(tmp_path, seed):
    moment = random.Random(seed)
    acknowledged = {}
    number = 1
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path / "objects"), str(number)], stdout=subprocess.PIPE, text=True
        )
        wanted = moment.randrange(1, 120)
        last = None
        for line in process.stdout:
            if line.startswith("ready"):
                continue
            what, key, text = line.split()
            last = int(text)
            acknowledged[key] = last if what == "put" else None
            if last - number >= wanted:
                process.send_signal(signal.SIGKILL)
                break
        rest = process.stdout.read().splitlines()
        process.wait()
        process.stdout.close()
        for line in rest:
            if len(words := line.split()) == 3:
                last = int(words[2])
                acknowledged[words[1]] = last if words[0] == "put" else None
        store = DirectoryStore(tmp_path / "objects")
        assert store.cleaned(30)
        possible = last + 1  # done, maybe, but not yet told
        for key in {f"k{n}" for n in range(20)}:
            expected = acknowledged.get(key)
            found = {info.key: info for info in store.list("bucket", key)}.get(key)
            data = None if found is None else store.read("bucket", key)
            allowed = [None if expected is None else content(expected)]
            if key == f"k{possible % 20}":
                allowed.append(None if possible % 7 == 6 else content(possible))
            assert data in allowed
            if data in allowed[1:]:
                acknowledged[key] = None if data is None else possible
            if found is not None and "-" not in found.etag:
                assert found.etag == hashlib.md5(data).hexdigest()
        files = [path for path in (tmp_path / "objects" / "blobs").rglob("*") if path.is_file()]
        uploads = store.uploads.in_bucket("bucket")
        needed = len(list(store.list("bucket"))) + sum(len(store.uploads.parts(upload.id)) for upload in uploads)
        assert len(files) == needed
        for info in store.list("bucket"):
            assert (store.view("bucket", info.key) / info.key).read_bytes() == store.read("bucket", info.key)
        store.close()
        number = possible + 1


def test_a_store_that_was_closed_needs_no_cleaning(tmp_path):
    store = DirectoryStore(tmp_path / "objects")
    store.create_bucket("bucket", "us-east-1")
    store.put_bytes("bucket", "k", b"x")
    store.close()
    again = DirectoryStore(tmp_path / "objects")
    again.cleaned()
    assert again.read("bucket", "k") == b"x"
    again.close()
