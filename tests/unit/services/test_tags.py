import pytest

from modelwright.errors import ValidationException
from support.doors import REGION, package, training_job

ARN = f"arn:aws:sagemaker:{REGION}:111122223333:training-job/job-1"


def tag(key, value="v"):
    return {"Key": key, "Value": value}


@pytest.fixture
def job(door):
    door("CreateTrainingJob", **training_job(Tags=[tag("team", "pose")]))


def test_it_works(door, job):
    assert door("ListTags", ResourceArn=ARN) == {"Tags": [tag("team", "pose")]}
    added = door("AddTags", ResourceArn=ARN, Tags=[tag("cost"), tag("team", "hand")])
    assert added == {"Tags": [tag("team", "hand"), tag("cost")]}
    door("DeleteTags", ResourceArn=ARN, TagKeys=["team", "never-there"])
    assert door("ListTags", ResourceArn=ARN) == {"Tags": [tag("cost")]}


def test_pages(door, job):
    door("AddTags", ResourceArn=ARN, Tags=[tag(f"k{i}") for i in range(49)])
    first = door("ListTags", ResourceArn=ARN, MaxResults=50)
    assert len(first["Tags"]) == 50
    assert "NextToken" not in first


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"ResourceArn": ARN[:-1] + "2", "Tags": [tag("a")]}, "Could not find resource"),
        ({"ResourceArn": ARN, "Tags": [tag("aws:x")]}, "aws: is reserved"),
        ({"ResourceArn": ARN, "Tags": [tag("a"), tag("a")]}, "a key comes more than once"),
        ({"ResourceArn": ARN, "Tags": [tag(f"k{i}") for i in range(50)]}, "51 tags; the limit is 50"),
    ],
)
def test_bad_input_is_refused(door, job, parameters, message):
    with pytest.raises(ValidationException, match=message):
        door("AddTags", **parameters)
    assert door("ListTags", ResourceArn=ARN) == {"Tags": [tag("team", "pose")]}


def test_a_broken_token_is_refused(door, job):
    for token in ("?", "LTE="):
        with pytest.raises(ValidationException, match="NextToken"):
            door("ListTags", ResourceArn=ARN, NextToken=token)


def test_a_version_has_the_tags_of_its_group(door):
    door("CreateModelPackageGroup", ModelPackageGroupName="poses", Tags=[tag("a")])
    arn = door("CreateModelPackage", **package())["ModelPackageArn"]
    with pytest.raises(ValidationException, match="use the group's ARN"):
        door("ListTags", ResourceArn=arn)
