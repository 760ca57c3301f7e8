"""What is mounted where, without mounting anything: the host here is a folder of the test."""

from __future__ import annotations

from pathlib import Path

import pytest

from modelwright.runtimes.layout import MOST_BINDS, Bind, Folder, Layout, Link


@pytest.fixture
def host(tmp_path: Path) -> Path:
    host = tmp_path / "host"
    for name in ("usr/bin", "usr/local/bin", "opt/tool"):
        (host / name).mkdir(parents=True)
    (host / "usr/bin/sh").touch()
    (host / "usr/local/bin/old").touch()
    (host / "bin").symlink_to("usr/bin")
    return host


@pytest.fixture
def layout(host: Path, tmp_path: Path) -> Layout:
    (tmp_path / "job").mkdir()
    layout = Layout(tmp_path / "job")
    layout.entries |= {"/usr": Bind(host / "usr"), "/opt": Bind(host / "opt"), "/bin": Link("usr/bin")}
    return layout


def _kinds(layout: Layout) -> dict[str, str]:
    return {step.path: step.kind for step in layout.steps()}


def test_parents_come_first(layout, tmp_path):
    layout.bind(tmp_path, "/a/b/c")
    paths = [step.path for step in layout.steps()]
    assert paths == ["/", "/a", "/a/b", "/a/b/c", "/bin", "/opt", "/usr"]


def test_a_mount_on_something_that_is_there_changes_nothing_else(layout, tmp_path):
    layout.bind(tmp_path, "/usr/local", writable=True)
    assert _kinds(layout) == {
        "/": "tmpfs",
        "/bin": "link",
        "/opt": "ro",
        "/usr": "ro",
        "/usr/local": "rw",
    }


def test_a_new_name_in_a_read_only_folder_makes_that_folder_the_containers_own(layout, host, tmp_path):
    (tmp_path / "new").touch()
    layout.bind(tmp_path / "new", "/usr/local/bin/new")
    assert _kinds(layout) == {
        "/": "tmpfs",
        "/bin": "link",
        "/opt": "ro",
        "/usr": "ro",
        "/usr/local/bin": "tmpfs",
        "/usr/local/bin/new": "ro",
        "/usr/local/bin/old": "ro",
    }
    assert layout.host("/usr/local/bin/old") == host / "usr/local/bin/old"


def test_a_folder_with_many_entries_comes_back_by_links(layout, host, tmp_path):
    for number in range(MOST_BINDS + 1):
        (host / "usr/bin" / f"tool{number}").touch()
    (tmp_path / "new").touch()
    layout.bind(tmp_path / "new", "/usr/bin/new")
    kinds = _kinds(layout)
    assert kinds["/.host/usr/bin"] == "ro"
    assert kinds["/usr/bin/tool7"] == "link"
    assert layout.entries["/usr/bin/tool7"] == Link("/.host/usr/bin/tool7")
    assert kinds["/usr/bin/new"] == "ro"


def test_links_are_followed_as_the_container_sees_them(layout, tmp_path):
    assert layout.resolve("/bin/../bin/./sh") == "/usr/bin/sh"
    layout.bind(tmp_path, "/bin/tools")
    assert "/usr/bin/tools" in layout.entries
    assert layout.exists("/bin/sh")
    assert not layout.exists("/bin/nothing")


def test_a_link_in_a_circle_ends(layout, host):
    (host / "usr/loop").symlink_to("loop")
    assert layout.resolve("/usr/loop/x").startswith("/usr/loop")


def test_the_images_tree_is_merged_with_what_is_there(layout, host, tmp_path):
    tree = tmp_path / "tree"
    (tree / "opt/program/inner").mkdir(parents=True)
    (tree / "opt/program/train.py").touch()
    (tree / "usr/local/bin").mkdir(parents=True)
    (tree / "usr/local/bin/old").write_text("replaced")
    (tree / "usr/local/bin/train").symlink_to("/opt/program/train.py")
    (tree / "workspace").mkdir()
    layout.lay(tree)
    kinds = _kinds(layout)
    assert (kinds["/opt/program"], kinds["/workspace"]) == ("copy", "copy")
    assert (kinds["/opt/tool"], kinds["/usr/local/bin"]) == ("ro", "tmpfs")
    assert layout.host("/usr/local/bin/old") == tree / "usr/local/bin/old"
    assert layout.resolve("/usr/local/bin/train") == "/opt/program/train.py"


def test_mount_points_in_writable_mounts_are_made_there(layout, tmp_path):
    (tmp_path / "ml").mkdir()
    (tmp_path / "channel").mkdir()
    (tmp_path / "config.json").touch()
    layout.bind(tmp_path / "ml", "/opt/ml", writable=True)
    layout.bind(tmp_path / "channel", "/opt/ml/input/data/train")
    layout.bind(tmp_path / "config.json", "/opt/ml/input/config/config.json")
    assert (tmp_path / "ml/input/data/train").is_dir()
    assert (tmp_path / "ml/input/config/config.json").is_file()


def test_mount_points_in_a_copy_are_made_in_its_changes(layout, tmp_path):
    (tmp_path / "source").mkdir()
    layout.copy_on_write(tmp_path / "source", "/opt/ml")
    layout.bind(tmp_path, "/opt/ml/below")
    assert list((tmp_path / "source").iterdir()) == []
    assert (layout.copies[0].upper / "below").is_dir()


def test_a_later_mount_covers_what_was_below(layout, tmp_path):
    layout.bind(tmp_path, "/opt/ml/input")
    layout.bind(tmp_path, "/opt/ml")
    assert "/opt/ml/input" not in layout.entries


def test_hiding(layout, host):
    layout.hide("/opt/tool")
    layout.hide("/usr/bin/sh")
    layout.hide("/not/there")
    kinds = _kinds(layout)
    assert (kinds["/opt/tool"], kinds["/usr/bin/sh"]) == ("tmpfs", "nothing")
    assert "/not/there" not in kinds
    assert isinstance(layout.entries["/opt/tool"], Folder)


def test_copies_are_really_copied_where_nothing_else_works(layout, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("one", "two"):
        (source / name).write_text(name)
    layout.copy_on_write(source, "/opt/all")
    layout.copy_on_write(source / "one", "/opt/single")
    layout.copy_now()
    steps = {step.path: step for step in layout.steps()}
    assert sorted(path.name for path in Path(steps["/opt/all"].source).iterdir()) == ["one", "two"]
    single = Path(steps["/opt/single"].source)
    assert [path.name for path in single.parent.iterdir()] == ["one"]
    single.write_text("changed")
    assert (source / "one").read_text() == "one"


def test_a_source_that_is_not_there(layout, tmp_path):
    with pytest.raises(FileNotFoundError):
        layout.bind(tmp_path / "nothing", "/opt/x")
    with pytest.raises(FileNotFoundError):
        layout.copy_on_write(tmp_path / "nothing", "/opt/x")
