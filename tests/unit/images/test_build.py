"""Dockerfiles replayed for real: trees, environments, cache, refusals."""

import re
import shutil
import subprocess
import tarfile

import pytest

from modelwright.errors import AwsError, ConfigurationError
from modelwright.images.dockerfile import DockerfileError
from support.wheels import make_wheel

NEEDS_SANDBOX = pytest.mark.skipif(
    subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "true"], capture_output=True, check=False
    ).returncode
    != 0,
    reason="this machine allows no mount namespaces",
)


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "context"
    path.mkdir()
    return path


@pytest.fixture
def build(images, folder, told):
    def build(dockerfile, uri="it", **options):
        (folder / "Dockerfile").write_text(dockerfile)
        return images.build(folder, uri, told.append, **options)

    return build


@pytest.fixture
def built(build, images):
    """Build, and give the image."""

    def built(dockerfile, **options):
        build(dockerfile, **options)
        return images.ready("it")

    return built


def run(image, *command):
    return subprocess.run(
        command, env={"PATH": f"{image.python}/bin:/usr/bin:/bin"}, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_it_works(built, folder, wheels):
    make_wheel(wheels, "lower")
    (folder / "requirements.txt").write_text("lower\n")
    (folder / "train.py").write_text("import lower\n")
    image = built(
        "FROM python:3.11-slim\n"
        'ENV PATH="/opt/program:${PATH}" MODE=fast\n'
        "WORKDIR /opt/program\n"
        "COPY requirements.txt .\n"
        "RUN pip install --no-cache-dir -r requirements.txt\n"
        "COPY train.py ./\n"
        'ENTRYPOINT ["python", "train.py"]\n'
        'CMD ["--epochs", "1"]\n'
    )
    assert (image.root / "opt/program/train.py").read_text() == "import lower\n"
    assert run(image, "python", "-c", "import lower; print(lower.VERSION)") == "1.0"
    assert image.environment["MODE"] == "fast"
    assert image.environment["PATH"].startswith("/opt/program:/usr/local/sbin:")
    assert (image.entrypoint, image.command) == (("python", "train.py"), ("--epochs", "1"))
    assert image.working_directory == "/opt/program"


def test_again_nothing_is_made_and_the_digest_is_the_same(build, folder, wheels, settings, told):
    make_wheel(wheels, "lower")
    (folder / "train.py").write_text("1")
    text = "FROM python:3.11\nCOPY train.py /opt/\nRUN pip install lower\n"
    first = build(text)
    before = sorted(settings.images.rglob("*"))
    told.clear()
    assert build(text) == first
    assert sorted(settings.images.rglob("*")) == before
    assert all(line.startswith("[") for line in told), "only the steps are told"
    assert build(f"# a comment changes nothing\n{text}").digest == first.digest
    (folder / "train.py").write_text("2")
    assert build(text).digest != first.digest


def test_a_change_keeps_the_steps_before_it(build, folder, wheels, told):
    make_wheel(wheels, "lower")
    (folder / "train.py").write_text("1")
    build("FROM python:3.11\nRUN pip install lower\nCOPY train.py /opt/\n")
    (folder / "train.py").write_text("2")
    told.clear()
    build("FROM python:3.11\nRUN pip install lower\nCOPY train.py /opt/\n")
    assert not any("installed" in line for line in told)


def test_fresh_uses_nothing_of_before(build, wheels, told):
    make_wheel(wheels, "lower")
    text = "FROM python:3.11\nRUN pip install lower\n"
    build(text)
    told.clear()
    build(text, fresh=True)
    assert "Successfully installed lower-1.0" in told


def test_a_changed_requirements_file_is_installed_anew(built, folder, wheels):
    make_wheel(wheels, "lower", "1.0")
    make_wheel(wheels, "lower", "2.0")
    text = "FROM python:3.11\nCOPY *.txt /tmp/\nRUN pip install -r /tmp/requirements.txt\n"
    (folder / "requirements.txt").write_text("-r inner.txt\n")
    versions = []
    for number in ("1.0", "2.0"):
        (folder / "inner.txt").write_text(f"lower=={number}\n")
        versions.append(run(built(text), "python", "-c", "import lower; print(lower.VERSION)"))
    assert versions == ["1.0", "2.0"]


def test_a_local_package_of_the_image(built, folder, wheels):
    make_wheel(folder / "dist", "own", "3.0")
    image = built("FROM python:3.11\nWORKDIR /src\nCOPY dist dist/\nRUN pip install ./dist/own-3.0-py3-none-any.whl\n")
    assert run(image, "python", "-c", "import own; print(own.VERSION)") == "3.0"


def test_stages_and_arguments(built, folder):
    (folder / "a").write_text("a")
    text = (
        "ARG BASE=nowhere\n"
        "FROM ${BASE} AS one\n"
        "ARG NAME=x\n"
        "ENV KEPT=${NAME}-$MISSING\n"
        "COPY a /made/${NAME}\n"
        "FROM scratch AS unused\n"
        "COPY nothing-there /\n"
        "FROM scratch\n"
        "COPY --from=one /made /from/one\n"
        "COPY --from=0 /made/y /from/number\n"
    )
    image = built(text, arguments={"BASE": "scratch", "NAME": "y"})
    assert (image.root / "from/one/y").read_text() == "a"
    assert (image.root / "from/number").read_text() == "a"
    assert image.python is None
    assert built(text, arguments={"BASE": "scratch", "NAME": "y"}, target="one").environment["KEPT"] == "y-"


def test_from_an_image_built_here(built, build, folder):
    (folder / "a").write_text("a")
    build('FROM scratch\nCOPY a /one\nENV A=1\nENTRYPOINT ["run"]\nCMD ["it"]\nLABEL l=1', "base:1")
    image = built("FROM 111122223333.dkr.ecr.us-east-1.amazonaws.com/base:1\nCOPY a /two\nENV B=2\n")
    assert sorted(path.name for path in image.root.iterdir()) == ["one", "two"]
    assert (image.environment["A"], image.environment["B"]) == ("1", "2")
    assert (image.entrypoint, image.command) == (("run",), ("it",))
    assert built('FROM base:1\nENTRYPOINT ["other"]\n').command == (), "a new entry point forgets the base's command"


def test_shell_forms(built):
    image = built('FROM scratch\nSHELL ["/bin/bash", "-ec"]\nENTRYPOINT exec train $X\nCMD echo \'a b\'\n')
    assert image.entrypoint == ("/bin/bash", "-ec", "exec train $X")
    assert image.command == ("/bin/bash", "-ec", "echo 'a b'")


def test_the_bases_python_is_the_environments(built):
    image = built('FROM python:3.11\nENTRYPOINT ["/usr/local/bin/python3", "-u"]\n')
    assert image.entrypoint == ("python3", "-u")


class TestCopy:
    def test_targets(self, built, folder):
        for name in ("a", "b", "d/c", "d/e/f"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(name)
        (folder / "d/link").symlink_to("c")
        (folder / "b").chmod(0o755)
        image = built(
            "FROM scratch\nWORKDIR /w\nCOPY a b sub/\nCOPY a renamed\nCOPY d .\nCOPY d/e /x/y\nCOPY a /x\n"
            'COPY --chmod=600 ["a", "/m"]\nCOPY <<EOF /text\n$HOME\'\nEOF\n'
        )
        found = {str(path.relative_to(image.root)) for path in image.root.rglob("*") if not path.is_dir()}
        assert found == {"w/sub/a", "w/sub/b", "w/renamed", "w/c", "w/link", "w/e/f", "x/y/f", "x/a", "m", "text"}
        assert (image.root / "w/link").is_symlink()
        assert (image.root / "w/sub/b").stat().st_mode & 0o777 == 0o755
        assert (image.root / "m").stat().st_mode & 0o777 == 0o600
        assert (image.root / "text").read_text() == "'\n"

    def test_a_system_folder_of_the_host_is_a_folder(self, built, folder):
        (folder / "train").write_text("x")
        assert (built("FROM scratch\nCOPY train /usr/bin\n").root / "usr/bin/train").is_file()

    def test_what_earlier_images_have_is_never_changed(self, built, folder):
        (folder / "a").write_text("one")
        first = built("FROM scratch\nCOPY a /a\n")
        (folder / "b").write_text("two")
        second = built("FROM scratch\nCOPY a /a\nCOPY b /a\n")
        assert (first.root / "a").read_text() == "one"
        assert (second.root / "a").read_text() == "two"

    def test_links_in_the_image_lead_nowhere_else(self, built, folder, tmp_path):
        outside = tmp_path / "outside"
        outside.mkdir()
        (folder / "d").mkdir()
        (folder / "d/etc").symlink_to(outside)
        (folder / "d/up").symlink_to("../../../../..")
        (folder / "a").write_text("x")
        image = built("FROM scratch\nCOPY d /\nCOPY a /etc/\nCOPY a /up/b\n")
        assert list(outside.iterdir()) == []
        assert (image.root / str(outside).lstrip("/") / "a").read_text() == "x"
        assert (image.root / "b").read_text() == "x"

    def test_add_unpacks_archives(self, built, folder):
        (folder / "inner").write_text("x")
        with tarfile.open(folder / "a.tar.gz", "w:gz") as tar:
            tar.add(folder / "inner", "deep/inner")
        image = built("FROM scratch\nADD a.tar.gz inner /to/\nCOPY a.tar.gz /as-is\n")
        assert (image.root / "to/deep/inner").read_text() == "x"
        assert (image.root / "to/inner").read_text() == "x"
        assert tarfile.is_tarfile(image.root / "as-is")


@NEEDS_SANDBOX
class TestRun:
    def test_what_it_writes_is_the_next_tree(self, built, folder):
        (folder / "train").write_text("#!/bin/sh\necho hi\n")
        (folder / "old").write_text("old")
        image = built(
            "FROM python:3.11\nENV A=1\nARG B=2\nWORKDIR /srv\nCOPY train /usr/local/bin/\nCOPY old /srv/\n"
            "RUN chmod +x /usr/local/bin/train && echo $A$B > made && rm old && mkdir -p /opt/x /data/y "
            "&& touch /data/y/z /tmp/gone && ln -s /data /opt/x/data\n"
        )
        found = {
            str(path.relative_to(image.root))
            for path in image.root.rglob("*")
            if not path.is_dir() or path.is_symlink()
        }
        assert found == {"usr/local/bin/train", "srv/made", "data/y/z", "opt/x/data"}
        assert (image.root / "srv/made").read_text() == "12\n"
        assert (image.root / "usr/local/bin/train").stat().st_mode & 0o111 == 0o111

    def test_pip_in_a_script_installs_into_the_environment(self, built, wheels):
        make_wheel(wheels, "lower")
        shutil.copytree(wheels, wheels.parent / "context" / "wheels")
        image = built(
            "FROM python:3.11\nCOPY wheels /wheels\n"
            "RUN for n in lower; do pip install --no-index --find-links /wheels $n; done && python -c 'import lower'\n"
        )
        assert run(image, "python", "-c", "import lower; print(lower.VERSION)") == "1.0"
        assert not (image.root / "home").exists()

    def test_neither_the_host_nor_earlier_steps_change(self, built, folder, tmp_path):
        (folder / "a").write_text("one")
        first = built("FROM scratch\nCOPY a /srv/a\n")
        built(
            "FROM scratch\nCOPY a /srv/a\nRUN echo two > /srv/a; echo x > /etc/modelwright-test; rm -f /usr/bin/env\n"
        )
        assert (first.root / "srv/a").read_text() == "one"
        assert not (tmp_path.parents[-1] / "etc/modelwright-test").exists()
        assert shutil.which("env")

    def test_here_documents_and_shells(self, built):
        image = built(
            "FROM scratch\nRUN <<EOF\nset -e\necho one > /one\necho two > /two\nEOF\n"
            'SHELL ["/bin/bash", "-c"]\nRUN [[ a == a* ]] && echo ${BASH_VERSION:+bash} > /three\n'
        )
        assert [(image.root / name).read_text() for name in ("one", "two", "three")] == ["one\n", "two\n", "bash\n"]

    def test_debian_packages_in_a_script(self, build, built):
        if shutil.which("dpkg-query") is None:
            pytest.skip("this machine has no Debian packages")
        image = built("FROM scratch\nRUN apt-get update | cat && apt-get -y install coreutils=1 && echo ok > /ok\n")
        assert [path.name for path in image.root.iterdir()] == ["ok"]
        with pytest.raises(AwsError, match="lacks the Debian packages: no-such-package"):
            build("FROM scratch\nRUN (apt-get install -y coreutils no-such-package)\n")

    def test_a_failure_names_the_line_and_what_was_printed(self, build):
        with pytest.raises(AwsError, match=r"(?s)Dockerfile line 2: RUN echo wrong.*wrong.*exit code 3") as caught:
            build("FROM scratch\nRUN echo wrong >&2 ; exit 3\n")
        assert caught.value.code == "ImageBuildFailed"

    def test_it_is_not_run_again(self, built, folder):
        text = "FROM python:3.11\nRUN head -c 8 /dev/urandom | od -An -tx1 > /random\n"
        assert (built(text).root / "random").read_text() == (built(text).root / "random").read_text()


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("FROM alpine:3\n", 1, "no such base image"),
        ("FROM scratch\nCOPY nothing /\n", 2, "there is no such file"),
        ("FROM scratch\nCOPY ../x /\n", 2, "leads out of"),
        ("FROM scratch\nCOPY Dockerfile Dockerfile /x\n", 2, "write /x/"),
        ("FROM scratch\nCOPY --parents Dockerfile /\n", 2, "--parents is not supported"),
        ("FROM scratch\nADD https://example.com/x /\n", 2, "only files are added"),
        ("FROM scratch AS a\nFROM scratch\nCOPY --from=a /x /\n", 3, "no files of its own"),
        ("FROM scratch\nONBUILD RUN true\n", 2, "ONBUILD can't be honoured"),
        ("FROM scratch\nRUN --mount=type=secret,id=x cat x\n", 2, "--mount=type=secret"),
        ("FROM scratch\nSTOPSIGNAL SIGINT\n", 2, "SIGTERM"),
        ("ARG B\nFROM $B\n", 2, "comes to nothing"),
        ("FROM scratch\n\nENV A='B\n", 3, "not closed"),
    ],
)
def test_refusals_name_the_line(build, text, line, problem):
    with pytest.raises(DockerfileError, match=f"Dockerfile line {line}: .*{re.escape(problem)}"):
        build(text)


def test_debian_packages_are_the_hosts(build):
    if shutil.which("dpkg-query") is None:
        pytest.skip("this machine has no Debian packages")
    build("FROM python:3.11\nRUN apt-get update && apt-get install -y coreutils && rm -rf /var/lib/apt/lists/*\n")
    with pytest.raises(AwsError, match=r"line 2: .*lacks: no-such-package.*container runtime"):
        build("FROM python:3.11\nRUN apt-get install -y coreutils no-such-package=1.0\n")


def test_pip_without_python(build):
    with pytest.raises(AwsError, match="no Python in FROM scratch"):
        build("FROM scratch\nRUN pip install x\n")


def test_no_dockerfile(images, tmp_path):
    with pytest.raises(ConfigurationError, match="Dockerfile can't be read"):
        images.build(tmp_path, "it", print)


def test_what_has_no_meaning_here_is_told(build, told):
    build(
        'FROM scratch\nVOLUME /x\nHEALTHCHECK CMD true\nUSER nobody\nEXPOSE 8080/tcp\nLABEL a="b c"\n',
        arguments={"Z": "1"},
    )
    notes = [line for line in told if line.startswith("Note: ")]
    assert [note.split()[1] for note in notes] == ["the", "VOLUME", "HEALTHCHECK", "USER"]


def test_a_python_that_isnt_here_is_noted_in_every_job(built):
    (note,) = built("FROM python:3.8\n").notes
    assert note.startswith("Python 3.8 was asked for; this environment has Python 3.1")
