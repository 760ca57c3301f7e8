"""SageMaker images and their versions."""

import pytest

from modelwright.errors import ResourceInUse, ResourceNotFound, ValidationException
from support.doors import IMAGE, ROLE


@pytest.fixture
def image(door):
    door("CreateImage", ImageName="Trainer", RoleArn=ROLE, Description="Trains", Tags=[{"Key": "a", "Value": "b"}])
    return "Trainer"


def version(door, token, image="Trainer", base=IMAGE, **more):
    made = door("CreateImageVersion", ImageName=image, BaseImage=base, ClientToken=token, **more)
    return made["ImageVersionArn"]


def test_it_works(door, image):
    found = door("DescribeImage", ImageName=image)
    assert (found["ImageStatus"], found["Description"]) == ("CREATED", "Trains")
    first = version(door, "one", Aliases=["latest"], MLFramework="sklearn 1.2", JobType="TRAINING")
    assert first.endswith(":image-version/trainer/1")
    assert version(door, "one") == first, "the same token, the same version"
    second = version(door, "two", Aliases=["latest", "good"])
    newest = door("DescribeImageVersion", ImageName=image)
    assert (newest["Version"], newest["BaseImage"], newest["ContainerImage"]) == (2, IMAGE, IMAGE)
    assert door("DescribeImageVersion", ImageName=image, Alias="latest")["ImageVersionArn"] == second
    assert door("DescribeImageVersion", ImageName=image, Version=1)["MLFramework"] == "sklearn 1.2"
    assert door("ListAliases", ImageName=image)["SageMakerImageVersionAliases"] == ["good", "latest"]
    assert door("ListAliases", ImageName=image, Version=1)["SageMakerImageVersionAliases"] == []
    listed = door("ListImageVersions", ImageName=image, SortBy="VERSION", SortOrder="ASCENDING", MaxResults=1)
    assert [each["Version"] for each in listed["ImageVersions"]] == [1]
    assert listed["NextToken"]
    door("DeleteImageVersion", ImageName=image, Alias="good")
    assert version(door, "three").endswith("/3"), "a number is never given again"


def test_update_and_delete(door, image):
    version(door, "one")
    door("UpdateImage", ImageName=image, DisplayName="The trainer", DeleteProperties=["Description"])
    found = door("DescribeImage", ImageName=image)
    assert ("Description" in found, found["DisplayName"]) == (False, "The trainer")
    (listed,) = door("ListImages", NameContains="train", SortBy="IMAGE_NAME")["Images"]
    assert listed["ImageName"] == image
    door("DeleteImage", ImageName=image)
    assert door("ListImages")["Images"] == []
    door("CreateImage", ImageName=image, RoleArn=ROLE)
    assert door("ListImageVersions", ImageName=image)["ImageVersions"] == []


def test_refusals(door, image):
    with pytest.raises(ResourceInUse, match="exists already"):
        door("CreateImage", ImageName="trainer", RoleArn=ROLE)
    with pytest.raises(ResourceNotFound, match="No Image with the name other exists"):
        version(door, "one", image="other")
    with pytest.raises(ValidationException, match="can't be resolved"):
        version(door, "one", base="unknown:1")
    with pytest.raises(ResourceNotFound, match="has no version 7"):
        door("DescribeImageVersion", ImageName=image, Version=7)
    with pytest.raises(ResourceNotFound, match="has no version best"):
        door("DescribeImageVersion", ImageName=image, Alias="best")
    with pytest.raises(ValidationException, match="Say which version"):
        door("DeleteImageVersion", ImageName=image)
