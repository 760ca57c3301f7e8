"""Who gets which port, and of whom it is known that any will do."""

import pytest

from modelwright.engine.ports import BINDS_TO_PORT, CONTRACT_PORT, Ports, understands_ports
from modelwright.runtimes.base import Image


@pytest.fixture
def tree(tmp_path):
    """An image's files, and a framework's commands beside them."""
    (tmp_path / "launchers").mkdir()
    (tmp_path / "launchers" / "serve").touch()
    (tmp_path / "root" / "opt" / "program").mkdir(parents=True)
    return tmp_path


def image(tree, *, own=False, **more):
    if own:
        (tree / "root" / "opt" / "program" / "serve").touch()
    path = f"/opt/program:/usr/bin:{tree}/launchers"
    return Image("i", "sha256:0", root=tree / "root", environment={"PATH": path}, **more)


def test_our_own_serve_and_labelled_images_listen_anywhere(tree):
    assert understands_ports(Image("framework", "sha256:0"))
    assert understands_ports(image(tree))
    assert not understands_ports(image(tree, own=True))
    assert understands_ports(image(tree, own=True, labels={BINDS_TO_PORT: "true"}))
    assert not understands_ports(image(tree, own=True, labels={BINDS_TO_PORT: "false"}))


def test_an_entrypoint_or_a_serve_of_its_environment_may_know_no_port(tree):
    assert not understands_ports(image(tree, entrypoint=("python", "serve.py")))
    (tree / "venv" / "bin").mkdir(parents=True)
    assert understands_ports(image(tree, python=tree / "venv"))
    (tree / "venv" / "bin" / "serve").touch()
    assert not understands_ports(image(tree, python=tree / "venv"))


def test_nothing_is_given_twice_and_all_is_given_back():
    ports = Ports()
    given = [ports.give(str(number), any_will_do=True) for number in range(20)]
    assert len(set(given)) == 20
    assert CONTRACT_PORT not in given
    ports.keep("old", CONTRACT_PORT)
    assert ports.give("new", any_will_do=False) != CONTRACT_PORT
    assert "port 8080 is held by instance old" in ports.hint(given[0])
    ports.give_back("old")
    assert ports.hint(given[0]) == ""
    ports.close()
