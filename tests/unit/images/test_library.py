"""What a URI resolves to, in order; and what is kept and pruned."""

import shutil
import subprocess

import pytest

from modelwright.errors import AwsError, ConfigurationError, ValidationException
from modelwright.images import frameworks
from modelwright.images.library import LocalImages
from modelwright.images.locks import locked
from support.wheels import make_wheel

BASE = "236514542706.dkr.ecr.us-west-2.amazonaws.com/sagemaker-base-python-310:1.0"
OWN = "111122223333.dkr.ecr.us-east-1.amazonaws.com/pose:v1"


@pytest.fixture
def registry(wheels):
    """The packages of a framework image, as small ones of ours."""
    for requirement in frameworks.COMMON:
        make_wheel(wheels, *requirement.split("=="))
    return wheels


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "context"
    path.mkdir()
    (path / "Dockerfile").write_text("FROM python:3.11\nCOPY Dockerfile /opt/x\n")
    return path


def test_an_unknown_uri_is_refused_with_the_way_out(images):
    for ask in (images.ready, lambda uri: images.resolve(uri, print)):
        with pytest.raises(ValidationException) as caught:
            ask(OWN)
        assert OWN in caught.value.message
        assert f"modelwright images build DIR -t {OWN}" in caught.value.message
    with pytest.raises(ValidationException, match="is not an image URI"):
        images.ready("NO URI")


def test_a_framework_image_is_made_on_first_use(images, registry, told):
    assert images.ready(BASE) is None
    image = images.resolve(BASE, told.append)
    assert any(line.startswith("Preparing Python") for line in told)
    assert images.ready(BASE) == image
    assert image.notes[0].startswith("Python 3.10 was asked for")
    assert image.environment["MODELWRIGHT_FRAMEWORK"] == "python"
    told.clear()
    assert images.resolve(BASE, told.append) == image
    assert told == []


def test_its_commands_are_found_and_an_images_own_win(images, registry, folder, told):
    image = images.resolve(BASE, told.append)
    path = image.environment["PATH"]
    found = subprocess.run(["which", "train", "serve"], env={"PATH": path}, capture_output=True, text=True, check=True)
    assert [line.rsplit("/", 2)[-2:] for line in found.stdout.split()] == [
        ["launchers", "train"],
        ["launchers", "serve"],
    ]
    run = subprocess.run(
        ["train"],
        env={"PATH": f"{image.python}/bin:{path}", "SAGEMAKER_BASE_DIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "No sagemaker_program" in run.stderr
    (folder / "Dockerfile").write_text(f'FROM {BASE}\nENV PATH="/opt/program:$PATH"\n')
    images.build(folder, OWN, told.append)
    own = images.ready(OWN).environment["PATH"].split(":")
    assert own[0] == "/opt/program"
    assert own[-1] == path.split(":")[-1]


def test_what_was_built_here_comes_first(images, registry, folder):
    images.build(folder, BASE, print)
    assert (images.ready(BASE).root / "opt/x").is_file()


def test_a_further_name(images, registry, folder):
    record = images.build(folder, "one:1", print)
    assert images.add("two:2", "one:1", print) == record
    assert images.ready("two:2").reference == record.digest
    added = images.add("base:latest", BASE, print)
    assert images.ready("base").python == images.ready(BASE).python
    assert images.show("base") == added
    with pytest.raises(ValidationException, match="There is no image 'none:1'"):
        images.add("x", "none:1", print)
    with pytest.raises(ValidationException, match="give the image a tag"):
        images.add(f"x@sha256:{'a' * 64}", "one:1", print)


def test_remove(images, folder):
    images.build(folder, OWN, print)
    assert [tag.tag for tag in images.remove("pose:v1")] == ["v1"]
    for act in (images.ready, images.show, images.remove):
        with pytest.raises(ValidationException, match="There is no image"):
            act(OWN)


def test_prune_keeps_what_images_are_made_of(images, folder, settings, wheels, registry):
    make_wheel(wheels, "lower")
    (folder / "Dockerfile").write_text(
        "FROM python:3.11\nRUN pip install lower\nCOPY Dockerfile /a\nCOPY Dockerfile /b\n"
    )
    images.build(folder, OWN, print)
    images.resolve(BASE, print)
    assert images.prune() > 0
    assert images.prune() == 0
    kept = images.ready(OWN)
    assert (kept.root / "a").exists()
    assert all(path.exists() for path in kept.visible)
    assert images.ready(BASE) is None
    images.remove(OWN)
    images.prune()
    assert not [path for path in (settings.images / "environments").iterdir() if path.is_dir()]


def test_a_digest_stays_what_it_was_when_the_tag_moves_on(images, folder, settings):
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /a\n")
    assert images.digest(OWN) is None
    first = images.build(folder, OWN, print).digest
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /b\n")
    second = images.build(folder, OWN, print).digest
    assert images.digest(OWN) == second != first
    images.prune()
    assert (images.ready(images.pinned(OWN, first)).root / "a").exists()
    assert (images.ready(images.pinned(OWN, second)).root / "b").exists()
    assert images.pinned(BASE, first) == BASE, "AWS's images are not kept here by their digest"
    assert images.prune(untagged=True) == 1
    with pytest.raises(ValidationException, match=f"There is no image {first} here; {OWN} is {second} now"):
        images.pinned(OWN, first)
    images.remove(OWN)
    assert images.digest("not a name") is images.digest(OWN) is None


def test_prune_never_under_a_server_or_a_job(images, folder, settings):
    images.build(folder, OWN, print)
    images.remove(OWN)
    for lock in (settings.server_lock, settings.jobs / "training-job.x" / "lock"):
        with locked(lock), pytest.raises(ConfigurationError, match="modelwright down"):
            images.prune()
    assert images.prune() > 0


def test_a_damaged_image_says_so(images, folder, settings):
    images.build(folder, OWN, print)
    shutil.rmtree(settings.images / "layers")
    with pytest.raises(AwsError, match=f"is damaged.*modelwright images build DIR -t {OWN}"):
        images.ready(OWN)


def test_two_libraries_on_one_home(images, settings, folder):
    record = images.build(folder, OWN, print)
    assert LocalImages(settings).ready(OWN).reference == record.digest
