import os

import pytest

from modelwright.images.context import Context, digest


@pytest.fixture
def folder(tmp_path):
    for name in ("train.py", "src/a.py", "src/deep/b.py", "data/big.bin", ".git/config", "notes.md", "README.md"):
        file = tmp_path / "context" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
    return tmp_path / "context"


def names(context, pattern="."):
    return [member for source in context.find(pattern) for member in (source.members or (source.path.name,))]


def test_files_folders_and_patterns(folder):
    context = Context(folder)
    assert names(context, "train.py") == ["train.py"]
    assert names(context, "/train.py") == ["train.py"], "a source is below the context, with or without a slash"
    assert names(context, "src") == ["a.py", "deep", "deep/b.py"]
    assert names(context, "*.md") == ["README.md", "notes.md"]
    assert names(context, "src/*/b.p?") == ["b.py"]
    assert names(context, "**/*.py") == ["a.py", "b.py", "train.py"]
    assert context.find("nothing") == []


def test_dockerignore(folder):
    context = Context(folder, "# comment\n.git\n*.md\n!README.md\n/data/*\n**/deep\n")
    assert names(context) == ["README.md", "data", "src", "src/a.py", "train.py"]
    assert context.find("notes.md") == []
    assert context.find("data/big.bin") == []


def test_an_exception_brings_back_what_is_in_an_ignored_folder(folder):
    assert names(Context(folder, "*\n!src/a.py\n")) == ["src", "src/a.py"]


def test_nothing_outside_is_found(folder):
    (folder.parent / "secret").write_text("x")
    (folder / "link").symlink_to("../secret")
    for pattern in ("../secret", "src/../../secret", "link"):
        with pytest.raises(ValueError, match=r"secret|link"):
            Context(folder).find(pattern)


def test_the_digest_is_of_content_kind_and_executable_bit_alone(folder):
    context = Context(folder)
    first = digest(context.find("."))
    os.utime(folder / "train.py", (1, 1))
    assert digest(context.find(".")) == first
    (folder / "train.py").chmod(0o755)
    executable = digest(context.find("."))
    (folder / "train.py").write_text("other")
    assert len({first, executable, digest(context.find("."))}) == 3
