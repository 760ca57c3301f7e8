import pytest

from modelwright.errors import UnsupportedOperation, ValidationException
from support.doors import IMAGE, REGION, ROLE, package

ARN = f"arn:aws:sagemaker:{REGION}:111122223333:model/"
CONTAINER = {"Image": IMAGE, "ModelDataUrl": "s3://results/model.tar.gz", "Environment": {"A": "b"}}


def model(name="pose", **changes):
    return {"ModelName": name, "PrimaryContainer": CONTAINER, "ExecutionRoleArn": ROLE, **changes}


def test_it_works(door, clock):
    assert door("CreateModel", **model("Pose")) == {"ModelArn": ARN + "pose"}
    assert door("DescribeModel", ModelName="Pose") == {
        "ModelName": "Pose",
        "ModelArn": ARN + "pose",
        "PrimaryContainer": {"Mode": "SingleModel", **CONTAINER},
        "ExecutionRoleArn": ROLE,
        "EnableNetworkIsolation": False,
        "CreationTime": clock.time,
    }


def test_several_containers(door):
    containers = [{**CONTAINER, "ContainerHostname": "a"}, {**CONTAINER, "ContainerHostname": "b"}]
    door("CreateModel", ModelName="chain", Containers=containers, InferenceExecutionConfig={"Mode": "Serial"})
    described = door("DescribeModel", ModelName="chain")
    assert [each["ContainerHostname"] for each in described["Containers"]] == ["a", "b"]
    assert "PrimaryContainer" not in described


def test_the_sdk_recognizes_a_model_that_is_there(door):
    door("CreateModel", **model())
    with pytest.raises(ValidationException) as caught:
        door("CreateModel", **model())
    assert caught.value.message == f'Cannot create already existing model "{ARN}pose".'


def test_a_missing_model(door):
    for operation in ("DescribeModel", "DeleteModel"):
        with pytest.raises(ValidationException, match=r'Could not find model "arn:.*:model/nobody"'):
            door(operation, ModelName="nobody")


def test_list_and_delete(door, clock):
    for name in ("b", "a", "c"):
        door("CreateModel", **model(f"model-{name}", Tags=[{"Key": "k", "Value": name}]))
        clock.advance(1)
    door("DeleteModel", ModelName="model-a")
    found = door("ListModels", SortBy="Name", SortOrder="Ascending", NameContains="model")["Models"]
    assert [each["ModelName"] for each in found] == ["model-b", "model-c"]
    assert set(found[0]) == {"ModelName", "ModelArn", "CreationTime"}
    door("CreateModel", **model("model-a"))
    assert door("ListTags", ResourceArn=ARN + "model-a") == {"Tags": []}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"PrimaryContainer": {"ModelDataUrl": "s3://results/m.tar.gz"}}, "Image or a ModelPackageName"),
        ({"Containers": [CONTAINER]}, "either a PrimaryContainer or Containers"),
        ({"PrimaryContainer": {"Image": "unknown:1"}}, "modelwright images build"),
        ({"PrimaryContainer": {"Image": IMAGE, "ModelDataUrl": "https://x.y/z"}}, "s3://bucket/key"),
        ({"PrimaryContainer": {"ModelPackageName": "nobody"}}, "ModelPackage nobody does not exist"),
        ({"PrimaryContainer": {"ModelPackageName": "x", "Image": IMAGE}}, "leave Image out"),
    ],
)
def test_bad_input_is_refused(door, changes, message):
    with pytest.raises(ValidationException, match=message):
        door("CreateModel", **model(**changes))
    assert door("ListModels") == {"Models": []}


def test_a_model_without_containers(door):
    with pytest.raises(ValidationException, match="either a PrimaryContainer or Containers"):
        door("CreateModel", ModelName="empty")


def test_what_it_cannot_honour_is_refused_by_name(door):
    with pytest.raises(UnsupportedOperation, match="Mode = 'MultiModel'"):
        door("CreateModel", **model(PrimaryContainer={**CONTAINER, "Mode": "MultiModel"}))


def test_only_an_approved_package_becomes_a_model(door):
    door("CreateModelPackageGroup", ModelPackageGroupName="poses")
    arn = door("CreateModelPackage", **package())["ModelPackageArn"]
    request = model(PrimaryContainer={"ModelPackageName": arn})
    with pytest.raises(ValidationException, match="approval status is PendingManualApproval"):
        door("CreateModel", **request)
    door("UpdateModelPackage", ModelPackageArn=arn, ModelApprovalStatus="Approved")
    door("CreateModel", **request)
    assert door("DescribeModel", ModelName="pose")["PrimaryContainer"]["ModelPackageName"] == arn
