"""`docker` inside a build, against contexts and callers that mean no good: an error that says why, and nothing else."""

import io
import json
import os
import socket
import subprocess
import sys
import tarfile

import pytest

from modelwright.config import Settings
from modelwright.engine import build_tools
from modelwright.engine.docker import DockerDesk
from modelwright.images.library import LocalImages
from support.waiting import until

TOOL = os.path.join(os.path.dirname(build_tools.__file__), "docker.py")
SCRATCH = "FROM scratch\nCOPY . /app\n"


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    """A build's folder, with a desk that answers it."""
    home = tmp_path_factory.mktemp("desk")
    settings = Settings.load({"home": home / "home"}, {})
    desk = DockerDesk(images=LocalImages(settings), settings=settings, call=lambda *_: {})
    folder = home / "build"
    folder.mkdir()
    desk.open("build/p:1", folder, "eu-west-1")
    yield folder
    desk.close_all()


@pytest.fixture
def context(tmp_path):
    place = tmp_path / "context"
    place.mkdir()
    (place / "Dockerfile").write_text(SCRATCH)
    (place / "good.txt").write_text("good")
    return place


@pytest.fixture
def docker(build):
    def docker(*words, cwd=None):
        environ = {"PATH": os.environ["PATH"], "HOME": str(build), "MODELWRIGHT_BUILD": str(build)}
        done = subprocess.run(
            [sys.executable, "-IS", TOOL, *map(str, words)],
            cwd=cwd, env=environ, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert "Traceback" not in done.stdout + done.stderr
        return done

    return docker


def left(build):
    """What requests have left behind."""
    contexts = build / "contexts"
    places = list(contexts.iterdir()) if contexts.exists() else []
    return [each for each in places if each.exists()] + list((build / "docker").glob("context-*"))


def test_it_works(docker, context, build):
    done = docker("buildx", "build", "--cache-from", "first:0", "-t", "first:1", context)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Successfully tagged first:1" in done.stdout
    assert "first " in docker("images").stdout
    assert docker("image", "rm", "first:1").stdout == "Untagged: first:1\n"
    assert "first " not in docker("images").stdout
    assert "An image does not exist locally" in docker("rmi", "first:1").stderr
    until(lambda: not left(build))


def test_what_leads_out_of_the_context_stays_out(docker, context):
    (context / "passwd").symlink_to("/etc/passwd")
    (context / "up").symlink_to("../..")
    (context / "inside").symlink_to("good.txt")
    os.mkfifo(context / "pipe")
    done = docker("build", "-t", "it:2", context)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("passwd", "up", "pipe"):
        assert f"Note: ./{name} is left out of the context" in done.stdout
    assert "inside" not in done.stdout
    (context / "Dockerfile").write_text("FROM scratch\nCOPY passwd /app/passwd\n")
    refused = docker("build", "-t", "it:2", context)
    assert refused.returncode == 1
    assert "line 2" in refused.stderr
    assert "passwd" in refused.stderr


@pytest.mark.parametrize(
    ("dockerfile", "words"),
    [
        ("FROM scratch\nCOPY gone.txt /app/\n", ("line 2", "gone.txt")),
        ("FROM scratch\nCOPY ../secret /app/\n", ("line 2", "../secret")),
        ("FROM scratch\nFLY away\n", ("line 2", "FLY")),
        ("FROM nowhere.example/x:1\n", ("nowhere.example/x:1",)),
        ("", ("FROM",)),
    ],
)
def test_a_dockerfile_that_is_wrong(docker, context, dockerfile, words):
    (context / "Dockerfile").write_text(dockerfile)
    done = docker("build", "-t", "it:3", context)
    assert done.returncode == 1
    for word in words:
        assert word in done.stderr, done.stderr


def test_what_is_not_there(docker, context, tmp_path):
    for words, said in (
        (("build", tmp_path / "none"), "the context must be a folder"),
        (("build", "-f", tmp_path / "none", context), "can't be read"),
        (("build", "-t", "UPPER/case:x y", context), "UPPER/case"),
        (("tag", "never:1", "it:4"), "An image does not exist locally with the tag: never:1"),
        (("build", "--squash", context), "--squash"),
        (("run", "it:1"), "'docker run' is not supported"),
        (("push", "it:1"), "in no registry of ECR"),
    ):
        done = docker(*words)
        assert done.returncode != 0, words
        assert said in done.stderr, done.stderr


def test_a_file_that_can_t_be_read(docker, context):
    (context / "locked").mkdir()
    (context / "locked" / "file").write_text("x")
    (context / "Dockerfile").write_bytes(b"FROM scratch\n\xff\xfe\n")
    assert "can't be read" in docker("build", context).stderr
    if os.geteuid() == 0:
        pytest.skip("root reads everything")
    (context / "Dockerfile").write_text(SCRATCH)
    (context / "locked").chmod(0)
    done = docker("build", context)
    (context / "locked").chmod(0o700)
    assert "unable to prepare context" in done.stderr


def ask(build, request, archive=None):
    """A caller of one's own, without our tool: the last thing that the desk says; None: it hangs up."""
    if archive is not None:
        (build / "docker" / "mine.tar").write_bytes(archive)
    place = os.open(build / "docker", os.O_RDONLY)
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(f"/proc/self/fd/{place}/docker.sock")
            connection.sendall(request if isinstance(request, bytes) else json.dumps(request).encode() + b"\n")
            with connection.makefile("rb") as answers:
                lines = answers.readlines()
    finally:
        os.close(place)
    return json.loads(lines[-1]) if lines else None


def packed(*members):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as file:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if content is None:
                info.type, info.linkname = tarfile.LNKTYPE, "/etc/passwd"
            else:
                info.size = len(content)
            file.addfile(info, io.BytesIO(content or b""))
    return buffer.getvalue()


BUILD = {
    "verb": "build", "context": "mine.tar", "dockerfile": SCRATCH, "tags": ["own:1"], "arguments": {},
    "target": None, "fresh": False,
}  # fmt: skip


def test_archives_of_ones_own_reach_nothing(build, tmp_path):
    outside = tmp_path / "outside"
    hostile = packed(("../../../escaped", b"x"), (str(outside), b"x"), ("hard", None), ("fine", b"y"))
    assert ask(build, BUILD, hostile) == {"status": 0}
    assert not outside.exists()
    assert not list(build.parent.rglob("escaped"))
    until(lambda: not list((build / "contexts").iterdir()))
    broken = ask(build, BUILD, b"no archive")
    assert broken["status"] == 1
    assert "can't be read" in broken["error"]
    cut = ask(build, BUILD, packed(("fine", b"y" * 4096))[:2000])
    assert cut["status"] == 1


def test_a_link_instead_of_an_archive_is_not_followed(build):
    target = build / "docker" / "link.tar"
    target.symlink_to("/etc/passwd")
    answer = ask(build, {**BUILD, "context": "link.tar"})
    target.unlink()
    assert answer["status"] == 1
    assert "root:" not in answer["error"]
    assert ask(build, {**BUILD, "context": "../images.json"})["status"] == 1


def test_nonsense_gets_an_error_or_no_answer(build, docker):
    for request in (
        *(b"\n", b"nonsense\n", b"[1]\n", b'{"verb": "none"}\n', b"[" * 100_000 + b"\n"),
        *(b'{"verb": "build", "tags": 7}\n', b'{"verb": "tag", "source": 1, "target": 2}\n'),
        json.dumps({**BUILD, "dockerfile": "\ud800"}).encode() + b"\n",
        json.dumps({**BUILD, "target": {"a": 1}}).encode() + b"\n",
    ):
        answer = ask(build, request, packed(("fine", b"y")))
        assert answer is None or answer["status"] == 1, request[:100]
    assert docker("images").returncode == 0, "the next one is answered"
