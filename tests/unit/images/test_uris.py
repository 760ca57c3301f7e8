import pytest

from modelwright.errors import ValidationException
from modelwright.images.uris import Reference, parse_reference


@pytest.mark.parametrize(
    "uri",
    [
        "pose-train:v1",
        "111122223333.dkr.ecr.us-east-1.amazonaws.com/pose-train:v1",
        "999988887777.dkr.ecr.eu-west-3.amazonaws.com/pose-train:v1",
        "999988887777.dkr.ecr.cn-north-1.amazonaws.com.cn/pose-train:v1",
        "999988887777.dkr.ecr-fips.us-gov-west-1.amazonaws.com/pose-train:v1",
        "docker.io/library/pose-train:v1",
    ],
)
def test_account_region_and_docker_hub_dont_count(uri):
    reference = parse_reference(uri)
    assert (reference.repository, reference.tag) == ("pose-train", "v1")


def test_other_registries_count():
    assert parse_reference("localhost:5000/a/b").repository == "localhost:5000/a/b"
    assert parse_reference("nvcr.io/nvidia/pytorch:24.01-py3") == Reference("nvcr.io/nvidia/pytorch", "24.01-py3")
    assert parse_reference("team/image") == Reference("team/image", "latest")


def test_public_ecr_is_known_as_ecr_and_its_copy_of_docker_hub_as_docker_hub():
    public = parse_reference("public.ecr.aws/deep-learning-containers/pytorch-training:2.1-cpu-py310")
    assert (public.name, public.tag, public.ecr) == ("pytorch-training", "2.1-cpu-py310", True)
    assert parse_reference("public.ecr.aws/docker/library/python:3.11-slim").repository == "python"


def test_a_long_one_that_is_none_is_refused_at_once():
    with pytest.raises(ValidationException, match="is not an image URI"):
        parse_reference("a-" * 120 + "!")


def test_a_digest_names_the_content():
    digest = "sha256:" + "a" * 64
    assert parse_reference(f"x@{digest}").digest == digest
    assert parse_reference(f"x:1@{digest}") == Reference("x", "1", digest)
    assert str(parse_reference(f"x@{digest}")) == f"x@{digest}"


@pytest.mark.parametrize(
    "uri", ["", "UPPER", "x:", "x:a b", "x@sha256:123", "x@", "-x", "x/", "a" * 257, "../x", "x:y:z"]
)
def test_what_is_no_uri_is_refused_by_name(uri):
    with pytest.raises(ValidationException, match="is not an image URI"):
        parse_reference(uri)
