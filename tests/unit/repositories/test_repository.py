"""Git's objects, references and archives, against the real git."""

import os
import stat
import threading
import uuid
from pathlib import Path
from zipfile import ZipFile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelwright.errors import AwsError
from modelwright.repositories import git as git_module
from modelwright.repositories.git import GitFailed
from modelwright.repositories.home import Repositories
from modelwright.repositories.names import is_reference, split_path
from modelwright.repositories.objects import (
    EXECUTABLE,
    FILE,
    SYMLINK,
    TREE,
    Entry,
    Identity,
    NewObject,
    format_commit,
    format_tree,
    parse_commit,
    parse_tree,
)
from modelwright.repositories.repository import ReferenceMoved, ReferenceRefused, resolve
from support.git import commit, git

ME = Identity("Ann", "ann@x", 1_790_000_000, "+0900")
WHO = "arn:aws:sts::111122223333:assumed-role/R/ann"


@pytest.fixture
def repositories(tmp_path):
    return Repositories(tmp_path / "repositories", fsync=False)


@pytest.fixture
def identity():
    return str(uuid.uuid4())


@pytest.fixture
def repository(repositories, identity):
    return repositories.create(identity)


def write(repository, files, parents=(), message="m"):
    """A commit with these files at the root."""
    blobs = {name: NewObject("blob", content) for name, (content, _) in files.items()}
    tree = NewObject("tree", format_tree((n.encode(), Entry(files[n][1], blobs[n].id)) for n in files))
    new = NewObject("commit", format_commit(tree.id, parents, ME, ME, message))
    repository.write([*blobs.values(), tree, new])
    return new.id


@pytest.fixture
def first(repository):
    found = write(repository, {"a": (b"1\n", FILE)})
    repository.set_reference("refs/heads/main", found, None, WHO)
    return found


def test_what_we_write_git_reads(repository, first, tmp_path):
    git("clone", "-q", str(repository.path), str(tmp_path / "w"))
    assert (tmp_path / "w" / "a").read_text() == "1\n"
    assert git("log", "--format=%an %ae %ad %B", "--date=raw", cwd=tmp_path / "w").split() == [
        "Ann", "ann@x", "1790000000", "+0900", "m",
    ]  # fmt: skip
    git("fsck", "--strict", cwd=repository.path)


def test_what_git_writes_we_read(repository, tmp_path):
    work = tmp_path / "w"
    git("clone", "-q", str(repository.path), str(work))
    (work / "link").symlink_to("b.txt")
    tip = commit(work, "Größe\n\nmore", b_txt="x", d__e_txt="y")
    git("push", "-q", "origin", "HEAD:main", cwd=work)
    with repository.reader() as reader:
        found = reader.commit(tip)
        assert found.message == "Größe\n\nmore\n"
        assert (found.author.name, found.author.email, found.parents) == ("Ann", "ann@x", ())
        tree = reader.tree(found.tree)
        assert {name: entry.mode for name, entry in tree.items()} == {b"b.txt": FILE, b"d": TREE, b"link": SYMLINK}
        assert reader.read(tree[b"b.txt"].id) == ("blob", b"x")
        assert reader.header("0" * 40) is None
        assert reader.commit(found.tree) is None


names = st.binary(min_size=1, max_size=8).filter(lambda name: b"\0" not in name and b"/" not in name)
entries = st.builds(
    Entry, st.sampled_from([FILE, EXECUTABLE, TREE]), st.binary(min_size=20, max_size=20).map(bytes.hex)
)


@given(st.dictionaries(names, entries, max_size=6))
def test_trees_go_back_and_forth(found):
    assert parse_tree(format_tree(found.items())) == found


def test_folders_sort_as_if_they_ended_in_a_slash():
    some = "1" * 40
    tree = format_tree([(b"a", Entry(TREE, some)), (b"a.b", Entry(FILE, some)), (b"a0", Entry(FILE, some))])
    assert list(parse_tree(tree)) == [b"a.b", b"a", b"a0"]


@pytest.mark.parametrize(
    "head", [b"tree x", b"tree x\nauthor nobody", b"tree x\nauthor A <a> notime\nencoding nonsense"]
)
def test_odd_commits_are_read(head):
    assert parse_commit("1" * 40, head + b"\n\ntext").message == "text"


def test_references_move_only_from_where_they_were_seen(repository, first):
    second = write(repository, {"a": (b"2\n", FILE)}, [first])
    third = write(repository, {"a": (b"3\n", FILE)}, [first])
    repository.set_reference("refs/heads/main", second, first, WHO)
    with pytest.raises(ReferenceMoved):
        repository.set_reference("refs/heads/main", third, first, WHO)
    with pytest.raises(ReferenceMoved):
        repository.set_reference("refs/heads/main", third, None, WHO)
    with pytest.raises(ReferenceMoved):
        repository.delete_reference("refs/heads/main", first, WHO)
    assert repository.references() == {"refs/heads/main": second}
    with pytest.raises(ReferenceRefused, match="refs/heads/main"):
        repository.set_reference("refs/heads/main/below", third, None, WHO)


def test_the_log_says_who(repository, first):
    second = write(repository, {"a": (b"2\n", FILE)}, [first])
    repository.set_reference("refs/heads/main", second, first, "<odd>\n name")
    assert [(u.old, u.new, u.who) for u in repository.log_of("refs/heads/main")] == [
        ("", first, WHO),
        (first, second, "odd name"),
    ]
    assert repository.log_of("refs/heads/none") == []


def test_specifiers(repository, first):
    repository.set_reference("refs/tags/v1", first, None, WHO)
    with repository.reader() as reader:

        def meant(specifier, default="main"):
            return resolve(repository, reader, specifier, default)

        for specifier in (first, "main", "HEAD", "refs/heads/main", "v1", "refs/tags/v1"):
            assert meant(specifier) == first
        for specifier in (
            "main~0",
            "main^{commit}",
            ":a",
            "main:a",
            "@",
            "-x",
            "--all",
            "",
            "a\nb",
            first[:10],
            "x" * 300,
        ):
            assert meant(specifier) is None, specifier
        assert meant("HEAD", None) is None


@pytest.mark.parametrize("name", ["main", "feature/a-b", "v1.0", "한국어"])
def test_names_of_branches(name):
    assert is_reference(name)


@pytest.mark.parametrize(
    "name",
    ["", "-x", ".a", "a/.b", "a..b", "a b", "a~1", "a^", "a:b", "a?", "a*", "a[", "a\\b", "a\nb", "a//b", "a/", "/a",
     "a.lock", "a.lock/b", "a.", "@", "a@{1}", "HEAD", "refs/heads/a", "x" * 257, "\ud800"],
)  # fmt: skip
def test_what_is_no_name_of_a_branch(name):
    assert not is_reference(name)


@pytest.mark.parametrize(
    "path", ["..", "a/../b", "./a", "a//b", ".git/config", "a/.GIT/x", "a\0b", "\ud800", "x" * 256]
)
def test_what_is_no_path(path):
    assert split_path(path) is None


def test_differences(repository, first):
    second = write(repository, {"b": (b"1\n", EXECUTABLE), "c": (b"new", FILE)}, [first])
    with repository.reader() as reader:
        before, after = (reader.commit(each).tree for each in (first, second))
    found = [(c.kind, c.before and c.before[0], c.after and c.after[0]) for c in repository.changes(before, after)]
    assert sorted(found, key=str) == [("A", None, "c"), ("M", "a", "b")]
    assert repository.changes(before, before) == []


# Archives


def test_the_same_commit_is_the_same_archive(repositories, repository, identity, tmp_path):
    files = {"a.sh": (b"#!/bin/sh\n", EXECUTABLE), "l": (b"a.sh", SYMLINK), "x": (os.urandom(3_000_000), FILE)}
    tip = write(repository, files)
    for name in ("1.zip", "2.zip"):
        repositories.archive(identity, tip, tmp_path / name)
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    with ZipFile(tmp_path / "1.zip") as archive:
        modes = {info.filename: info.external_attr >> 16 for info in archive.infolist()}
        assert archive.read("x") == files["x"][0]
        assert archive.testzip() is None
    assert modes == {"a.sh": stat.S_IFREG | 0o755, "l": stat.S_IFLNK | 0o777, "x": stat.S_IFREG | 0o644}
    with pytest.raises(AwsError) as refused:
        repositories.archive(identity, "0" * 40, tmp_path / "3.zip")
    assert refused.value.code == "CommitDoesNotExistException"
    assert sorted(path.name for path in tmp_path.glob("*.zip")) == ["1.zip", "2.zip"]


# The home


def test_what_nobody_knows_is_swept(repositories, identity):
    repositories.create(identity)
    lost = repositories.create(str(uuid.uuid4()))
    repositories.sweep([identity])
    assert not lost.path.exists()
    assert repositories.open(identity).path.exists()


def test_an_id_is_no_path(repositories):
    with pytest.raises(ValueError, match="badly formed"):
        repositories.open("../../etc")


def test_nothing_of_the_users_configuration_counts(repositories, identity, monkeypatch, tmp_path):
    home = tmp_path / "user"
    home.mkdir()
    (home / ".gitconfig").write_text("[init]\n\ttemplateDir = /nowhere\n[core]\n\thooksPath = /tmp\n[broken\n")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_DIR", "/nowhere")
    repository = repositories.create(identity)
    assert repository.references() == {}
    assert not (repository.path / "hooks").exists()


def test_hooks_are_not_run(repository, first, tmp_path):
    hook = repository.path / "hooks" / "reference-transaction"
    hook.parent.mkdir()
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    hook.chmod(0o755)
    repository.set_reference("refs/heads/other", first, None, WHO)
    assert not (tmp_path / "ran").exists()


def test_without_git_it_says_so(repositories, identity, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(AwsError, match="apt install git") as refused:
        repositories.create(identity)
    assert refused.value.code == "OperationNotAllowedException"


def test_an_old_git_is_not_enough(monkeypatch):
    monkeypatch.setattr(git_module, "installed_version", lambda _: (2, 20))
    assert "2.20 here" in git_module.problem()


def test_broken_objects_are_refused(repository):
    with pytest.raises(GitFailed):
        repository.write([NewObject("tree", format_tree([(b".git", Entry(FILE, "1" * 40))]))])


def test_settled_waits_for_who_writes(repository):
    assert repository.settled(wait=False)
    with repository.writing():
        assert not repository.settled(wait=False)
        waiting = threading.Thread(target=repository.settled, kwargs={"wait": True})
        waiting.start()
        assert waiting.is_alive()
    waiting.join(10)
    assert not waiting.is_alive()


def test_a_repository_that_is_gone_is_settled(repositories):
    assert repositories.open(str(uuid.uuid4())).settled(wait=True)
    assert not Path(repositories.open(str(uuid.uuid4())).path).exists()
