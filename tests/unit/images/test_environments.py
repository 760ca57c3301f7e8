"""Real virtual environments and real pip, on wheels made here."""

import os
import subprocess
import sys
import threading

import pytest

from modelwright.errors import AwsError
from modelwright.images.environments import Environments
from modelwright.images.provision import Install, make_install, pins_torch
from support.wheels import make_wheel


@pytest.fixture
def environments(tmp_path):
    return Environments(tmp_path / "environments", tmp_path / "cache", {"torch": "2.13.0"})


@pytest.fixture
def seed(environments):
    return environments.seed(print)


def install(environments, parent, *arguments, told=print):
    return make_install(environments, parent, Install(arguments), told)


def run(environment, *command):
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    clean["PATH"] = f"{environment.path}/bin:{clean['PATH']}"
    return subprocess.run(command, env=clean, capture_output=True, text=True, check=True).stdout.strip()


def version(environment, name):
    return run(environment, "python", "-c", f"import {name}; print({name}.VERSION)")


def test_the_seed_has_pip_and_nothing_of_the_host(environments, seed):
    assert run(seed, "python", "-c", "import sys; print(sys.prefix)") == str(seed.path)
    assert "pip" in run(seed, "pip", "--version")
    with pytest.raises(subprocess.CalledProcessError):
        run(seed, "python", "-c", "import sqlalchemy")


def test_a_child_sees_its_parents_packages_and_may_have_newer_ones(environments, seed, wheels):
    make_wheel(wheels, "lower", "1.0", command=True)
    make_wheel(wheels, "upper", "1.0", requires=["lower"])
    parent = install(environments, seed, "lower")
    child = install(environments, parent, "upper")
    grandchild = environments.child(child, "grandchild", lambda *_: None, print)
    assert not list(child.site_packages.glob("lower*")), "pip must take the parent's package as installed"
    assert version(grandchild, "upper") == "1.0"
    assert version(grandchild, "lower") == "1.0"
    assert grandchild.parents == (child.path, parent.path, seed.path)

    make_wheel(wheels, "lower", "2.0", command=True)
    newer = install(environments, child, "lower==2.0")
    assert (version(newer, "lower"), version(child, "lower")) == ("2.0", "1.0")


def test_commands_of_a_parent_run_with_the_childs_packages(environments, seed, wheels):
    make_wheel(wheels, "tool", command=True, body="    import extra\n    print(extra.VERSION)\n")
    make_wheel(wheels, "extra", "5.0")
    parent = install(environments, seed, "tool")
    child = install(environments, parent, "extra")
    assert run(child, "tool") == "tool 1.0\n5.0"
    assert run(child, str(child.path / "bin" / "python"), "-m", "pip", "show", "tool").startswith("Name: tool")


def test_the_same_again_is_found_at_once(environments, seed, wheels, told):
    make_wheel(wheels, "lower")
    first = install(environments, seed, "lower", told=told.append)
    assert "Successfully installed lower-1.0" in told
    told.clear()
    assert install(environments, seed, "lower", told=told.append) == first
    assert told == []


def test_a_failed_install_leaves_nothing_and_tells_pips_last_lines(environments, seed, wheels, tmp_path):
    with pytest.raises(AwsError, match=r"(?s)pip install.*No matching distribution found for missing") as caught:
        install(environments, seed, "missing")
    assert caught.value.code == "ImageBuildFailed"
    assert environments.names() == [seed.id]


def test_what_a_killed_build_left_is_removed(environments, seed, wheels, tmp_path):
    make_wheel(wheels, "lower")
    identity = environments.child_id(seed.id, "x")
    program = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from modelwright.images.environments import Environments\n"
        "e = Environments(Path(sys.argv[1]), Path(sys.argv[2]), {'torch': '2.13.0'})\n"
        "def fill(environment, pip):\n"
        "    (environment.path / 'half').touch()\n"
        "    os.kill(os.getpid(), 9)\n"
        "e.child(e.seed(print), sys.argv[3], fill, print)\n"
    )
    arguments = [str(tmp_path / "environments"), str(tmp_path / "cache"), identity]
    assert subprocess.run([sys.executable, "-c", program, *arguments], check=False).returncode == -9
    assert (tmp_path / "environments" / identity / "half").exists()
    assert environments.find(identity) is None
    whole = environments.child(seed, identity, lambda _, pip: pip.install(["lower"]), print)
    assert version(whole, "lower") == "1.0"
    assert not (whole.path / "half").exists()


def test_of_two_at_once_one_builds_and_the_other_waits(environments, seed):
    entered, go_on, waiting = threading.Event(), threading.Event(), threading.Event()
    built = []

    def fill(environment, _):
        built.append(environment)
        entered.set()
        assert go_on.wait(30)

    first = threading.Thread(target=environments.child, args=(seed, "one", fill, print))
    first.start()
    assert entered.wait(30)
    found = []
    second = threading.Thread(
        target=lambda: found.append(environments.child(seed, "one", fill, lambda line: waiting.set()))
    )
    second.start()
    assert waiting.wait(30), "the second is told that it waits"
    go_on.set()
    first.join(30)
    second.join(30)
    assert len(built) == 1
    assert found[0].id == "one"


def test_torch_stays_where_it_is(environments, seed, wheels):
    """The newest would bring gigabytes of CUDA: a constraint holds the one that is there, else the recipe's."""
    for number in ("2.13.0", "2.14.0", "2.1.0"):
        make_wheel(wheels, "torch", number)
    make_wheel(wheels, "needs-torch", requires=["torch>=2"])
    assert version(install(environments, seed, "needs-torch"), "torch") == "2.13.0"
    older = install(environments, seed, "torch==2.1.0")
    over = install(environments, older, "needs-torch")
    assert version(over, "torch") == "2.1.0"
    assert over.constraints.read_text() == "torch==2.1.0\n"
    with pytest.raises(AwsError, match="torch"):
        install(environments, older, "torch>2.13")


@pytest.mark.parametrize(
    ("line", "own"),
    [
        ("torch", False),
        ("torch>=2", False),
        ("torchvision==0.1", False),
        ("torch-geometric<3", False),
        ("torch==2.1.0", True),
        ("torch[opt] ~= 2.1", True),
        ("torch>=2,<2.5", True),
        ("torch @ file:///x.whl", True),
        ("torch # ==", False),
    ],
)
def test_what_counts_as_a_torch_of_the_users_own(line, own):
    assert pins_torch([line]) is own


def test_a_moved_home_is_noticed(environments, seed, tmp_path):
    (tmp_path / "environments").rename(tmp_path / "elsewhere")
    assert Environments(tmp_path / "elsewhere", tmp_path / "cache", {"torch": "2.13.0"}).find(seed.id) is None


def test_a_pin_of_the_users_in_a_requirements_file_counts(environments, seed, wheels, tmp_path):
    make_wheel(wheels, "torch", "2.1.0")
    (tmp_path / "requirements.txt").write_text("# ours\ntorch == 2.1.0\n")
    found = make_install(environments, seed, Install(("-r", "requirements.txt"), folder=tmp_path), print)
    assert version(found, "torch") == "2.1.0"
