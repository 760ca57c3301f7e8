"""A store in a temporary folder, and short words for what the tests do with it."""

import pytest

from modelwright.objects.directory import DirectoryStore


@pytest.fixture
def store(tmp_path):
    store = DirectoryStore(tmp_path / "objects", fsync=False)
    store.create_bucket("bucket", "us-east-1")
    yield store
    store.close()
