import subprocess
import sys

import pytest

from modelwright.errors import AwsError
from modelwright.images.store import ImageStore, Record
from modelwright.images.uris import parse_reference


def record(letter, **members):
    return Record(digest=f"sha256:{letter * 64}", **members)


@pytest.fixture
def clock():
    times = iter(range(1000, 2000))
    return lambda: float(next(times))


@pytest.fixture
def store(tmp_path, clock):
    return ImageStore(tmp_path, clock)


def named(store):
    return [f"{tag.repository}:{tag.tag}" for tag in store.tags()]


def test_a_tag_and_a_digest_find_a_record(store):
    put = store.put(parse_reference("a/b:1"), record("a", config={"x": 1}, notes=("n",)))
    assert store.find(parse_reference("111122223333.dkr.ecr.eu-west-1.amazonaws.com/a/b:1")) == put
    assert store.find(parse_reference(f"a/b@sha256:{'a' * 64}")) == put
    assert store.find(parse_reference("a/b:2")) is None
    assert store.find(parse_reference(f"other@sha256:{'a' * 64}")) is None, "a digest is looked up in its repository"
    assert put.created > 0
    assert put.notes == ("n",)


def test_what_a_tag_left_stays_untagged(store):
    store.put(parse_reference("a:1"), record("a"))
    store.put(parse_reference("a:1"), record("b"))
    assert [tag.record.digest[7] for tag in store.tags("a")] == ["b"]
    assert [str(name) for name in store.names("a")] == [f"a@sha256:{'a' * 64}", "a:1"]
    assert store.find(parse_reference(f"a@sha256:{'a' * 64}")) is not None
    store.put(parse_reference("a:2"), record("a"))
    assert [str(name) for name in store.names("a")] == ["a:1", "a:2"], "it has a tag again"
    store.put(parse_reference("a:1"), record("a"))
    assert [str(name) for name in store.names("a")] == [f"a@sha256:{'b' * 64}", "a:1", "a:2"]
    store.put(parse_reference("a:1"), record("c"))
    assert len(store.names("a")) == 3, "the other tag has it still"


def test_what_is_untagged_goes_by_its_digest_and_what_has_no_name_is_gone(store):
    for letter in "ab":
        store.put(parse_reference("a:1"), record(letter))
    assert [str(name) for name in store.remove(parse_reference(f"a@sha256:{'a' * 64}"))] == [f"a@sha256:{'a' * 64}"]
    assert [found.digest[7] for found in store.records()] == ["b"]
    store.remove(parse_reference("a:1"))
    assert store.records() == store.names() == []


def test_the_same_again_changes_nothing(store):
    first = store.put(parse_reference("a:1"), record("a"))
    pushed = store.tags()[0].pushed
    assert store.put(parse_reference("a:1"), record("a")) == first
    assert store.tags()[0].pushed == pushed


def test_remove_by_tag_and_by_digest(store):
    for tag in ("1", "2", "3"):
        store.put(parse_reference(f"a:{tag}"), record("a"))
    assert [tag.tag for tag in store.remove(parse_reference("a:2"))] == ["2"]
    assert [tag.tag for tag in store.remove(parse_reference(f"a@sha256:{'a' * 64}"))] == ["1", "3"]
    assert store.remove(parse_reference("a:1")) == []
    assert store.records() == []
    assert [repository.name for repository in store.repositories()] == ["a"], "the repository stays"


def test_another_process_sees_it_at_once(tmp_path, store):
    other = ImageStore(tmp_path)
    assert other.tags() == []
    store.put(parse_reference("a:1"), record("a"))
    assert named(other) == ["a:1"]
    store.put(parse_reference("b:1"), record("b"))
    assert named(other) == ["a:1", "b:1"]


def test_writers_at_once_lose_nothing(tmp_path):
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from modelwright.images.store import ImageStore, Record\n"
        "from modelwright.images.uris import Reference\n"
        "store = ImageStore(Path(sys.argv[1]))\n"
        "for number in range(10):\n"
        "    store.put(Reference(sys.argv[2], str(number)), Record(digest='sha256:' + sys.argv[2] * 64))\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program, str(tmp_path), letter]) for letter in "abcd"]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0, 0]
    assert len(ImageStore(tmp_path).tags()) == 40


def test_repositories(store):
    assert store.create_repository("r", {"x": 1}).document == {"x": 1}
    assert store.create_repository("r", {}) is None
    assert store.update_repository("r", lambda document: document.update(y=2)).document == {"x": 1, "y": 2}
    assert store.update_repository("none", dict.clear) is None
    store.put(parse_reference("r:1"), record("a"))
    with pytest.raises(AwsError, match="still contains images") as caught:
        store.delete_repository("r", force=False)
    assert caught.value.code == "RepositoryNotEmptyException"
    assert store.delete_repository("r", force=True).name == "r"
    assert (store.repositories(), store.tags(), store.records()) == ([], [], [])
    assert store.delete_repository("r", force=True) is None


def test_immutable_tags(store):
    store.create_repository("r", {"imageTagMutability": "IMMUTABLE"})
    store.put(parse_reference("r:1"), record("a"))
    store.put(parse_reference("r:1"), record("a"))
    with pytest.raises(AwsError, match="immutable") as caught:
        store.put(parse_reference("r:1"), record("b"))
    assert caught.value.code == "ImageTagAlreadyExistsException"
    assert [found.digest[7] for found in store.records()] == ["a"]
