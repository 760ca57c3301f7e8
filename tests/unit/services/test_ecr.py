import base64

import pytest

from modelwright.errors import AwsError, UnsupportedOperation
from modelwright.images.store import ImageStore, Record
from modelwright.images.uris import Reference
from modelwright.protocol.validation import validate
from modelwright.services.dispatch import Dispatcher
from modelwright.services.ecr import MEDIA_TYPE, Ecr
from support.doors import ACCOUNT, CONTEXT, REGION, check_output

ARN = f"arn:aws:ecr:{REGION}:{ACCOUNT}:repository/pose"


@pytest.fixture
def store(tmp_path):
    return ImageStore(tmp_path, lambda: 1000.0)


@pytest.fixture
def ecr(store):
    dispatcher = Dispatcher([("ecr", Ecr(store=store, now=lambda: 2000.0))], validate)

    def call(operation, **parameters):
        result = dispatcher.call(CONTEXT, "ecr", operation, parameters)
        # The model's least length of imageIds is meant for requests: AWS answers with none, too.
        check_output(
            "ecr", operation, {key: value for key, value in result.items() if (key, value) != ("imageIds", [])}
        )
        return result

    return call


@pytest.fixture
def pose(store):
    """The repository `pose` with v1 and v2 of one image and v3 of another."""
    for tag, letter in (("v1", "a"), ("v2", "a"), ("v3", "b")):
        store.put(Reference("pose", tag), Record(digest=digest(letter), size=7, config={"x": letter}))


def digest(letter):
    return f"sha256:{letter * 64}"


def refused(code, call, *arguments, match=None, **parameters):
    with pytest.raises(AwsError, match=match) as caught:
        call(*arguments, **parameters)
    assert caught.value.code == code


def test_it_works(ecr):
    made = ecr("CreateRepository", repositoryName="pose", tags=[{"Key": "a", "Value": "1"}])["repository"]
    assert made["repositoryArn"] == ARN
    assert made["repositoryUri"] == f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/pose"
    assert ecr("DescribeRepositories", repositoryNames=["pose"])["repositories"] == [made]
    assert ecr("ListTagsForResource", resourceArn=ARN)["tags"] == [{"Key": "a", "Value": "1"}]
    assert ecr("DeleteRepository", repositoryName="pose")["repository"] == made
    assert ecr("DescribeRepositories")["repositories"] == []


def test_errors_of_repositories(ecr, pose):
    refused("RepositoryAlreadyExistsException", ecr, "CreateRepository", repositoryName="pose")
    refused("RepositoryNotFoundException", ecr, "DescribeRepositories", repositoryNames=["none"], match="'none'")
    refused("RepositoryNotFoundException", ecr, "ListImages", repositoryName="pose", registryId="999988887777")
    refused("RepositoryNotEmptyException", ecr, "DeleteRepository", repositoryName="pose")
    refused("RepositoryNotFoundException", ecr, "ListImages", repositoryName="none")
    refused("RepositoryPolicyNotFoundException", ecr, "GetRepositoryPolicy", repositoryName="pose")
    refused("LifecyclePolicyNotFoundException", ecr, "GetLifecyclePolicy", repositoryName="pose")
    refused("ValidationException", ecr, "ListTagsForResource", resourceArn="pose")
    assert ecr("DeleteRepository", repositoryName="pose", force=True)["repository"]["repositoryName"] == "pose"


@pytest.mark.parametrize(
    "members",
    [
        {"imageScanningConfiguration": {"scanOnPush": True}},
        {"encryptionConfiguration": {"encryptionType": "KMS"}},
        {"imageTagMutability": "MUTABLE_WITH_EXCLUSION"},
    ],
)
def test_what_cant_be_honoured_is_refused(ecr, members):
    with pytest.raises(UnsupportedOperation, match=next(iter(members))):
        ecr("CreateRepository", repositoryName="pose", **members)
    assert ecr("DescribeRepositories")["repositories"] == []


def test_pages(ecr):
    for number in range(5):
        ecr("CreateRepository", repositoryName=f"r{number}")
    names, token = [], {}
    while True:
        page = ecr("DescribeRepositories", maxResults=2, **token)
        names += [repository["repositoryName"] for repository in page["repositories"]]
        if "nextToken" not in page:
            break
        token = {"nextToken": page["nextToken"]}
        if names[-1] == "r1":
            ecr("DeleteRepository", repositoryName="r1")
    assert names == ["r0", "r1", "r2", "r3", "r4"]
    refused("InvalidParameterException", ecr, "DescribeRepositories", nextToken="\xe4")


def test_images(ecr, pose):
    assert ecr("ListImages", repositoryName="pose")["imageIds"] == [
        {"imageDigest": digest("a"), "imageTag": "v1"},
        {"imageDigest": digest("a"), "imageTag": "v2"},
        {"imageDigest": digest("b"), "imageTag": "v3"},
    ]
    assert ecr("ListImages", repositoryName="pose", filter={"tagStatus": "UNTAGGED"})["imageIds"] == []
    details = ecr("DescribeImages", repositoryName="pose")["imageDetails"]
    assert [(image["imageDigest"], image["imageTags"]) for image in details] == [
        (digest("a"), ["v1", "v2"]),
        (digest("b"), ["v3"]),
    ]
    assert (details[0]["imageSizeInBytes"], details[0]["imagePushedAt"]) == (7, 1000.0)
    one = ecr("DescribeImages", repositoryName="pose", imageIds=[{"imageTag": "v2"}])["imageDetails"]
    assert one == details[:1]
    refused(
        "ImageNotFoundException",
        ecr,
        "DescribeImages",
        repositoryName="pose",
        imageIds=[{"imageTag": "v9"}],
        match="imageTag:'v9'",
    )


def test_get_and_give_another_tag(ecr, pose, store):
    answer = ecr(
        "BatchGetImage",
        repositoryName="pose",
        imageIds=[{"imageTag": "v3"}, {"imageTag": "v9"}, {"imageTag": "v1", "imageDigest": digest("b")}],
    )
    (image,) = answer["images"]
    assert image["imageManifestMediaType"] == MEDIA_TYPE
    assert [failure["failureCode"] for failure in answer["failures"]] == ["ImageNotFound", "ImageTagDoesNotMatchDigest"]
    put = {"repositoryName": "pose", "imageManifest": image["imageManifest"]}
    assert ecr("PutImage", **put, imageTag="latest")["image"]["imageId"]["imageTag"] == "latest"
    assert store.find(Reference("pose", "latest")).digest == digest("b")
    refused("ImageAlreadyExistsException", ecr, "PutImage", **put, imageTag="latest")
    ecr("PutImageTagMutability", repositoryName="pose", imageTagMutability="IMMUTABLE")
    refused("ImageTagAlreadyExistsException", ecr, "PutImage", **put, imageTag="v1")
    refused("UnsupportedOperation", ecr, "PutImage", repositoryName="pose", imageManifest="{}", imageTag="x")


def test_delete_images(ecr, pose):
    gone = ecr("BatchDeleteImage", repositoryName="pose", imageIds=[{"imageTag": "v1"}, {"imageDigest": digest("b")}])
    assert gone["imageIds"] == [
        {"imageDigest": digest("a"), "imageTag": "v1"},
        {"imageDigest": digest("b"), "imageTag": "v3"},
    ]
    again = ecr("BatchDeleteImage", repositoryName="pose", imageIds=[{"imageTag": "v1"}, {"imageDigest": "sha256:1"}])
    assert [failure["failureCode"] for failure in again["failures"]] == ["ImageNotFound", "InvalidImageDigest"]
    assert [image["imageTag"] for image in ecr("ListImages", repositoryName="pose")["imageIds"]] == ["v2"]


def test_what_has_lost_its_tag(ecr, pose, store):
    store.put(Reference("pose", "v3"), Record(digest=digest("c")))
    listed = ecr("ListImages", repositoryName="pose", filter={"tagStatus": "UNTAGGED"})["imageIds"]
    assert listed == [{"imageDigest": digest("b")}]
    assert len(ecr("ListImages", repositoryName="pose")["imageIds"]) == 4
    tagged = ecr("DescribeImages", repositoryName="pose", filter={"tagStatus": "TAGGED"})["imageDetails"]
    assert [image["imageTags"] for image in tagged] == [["v1", "v2"], ["v3"]]
    (untagged,) = ecr("DescribeImages", repositoryName="pose", imageIds=listed)["imageDetails"]
    assert (untagged["imageDigest"], "imageTags" in untagged) == (digest("b"), False)
    (image,) = ecr("BatchGetImage", repositoryName="pose", imageIds=listed)["images"]
    ecr("PutImage", repositoryName="pose", imageManifest=image["imageManifest"], imageTag="again")
    assert ecr("ListImages", repositoryName="pose", filter={"tagStatus": "UNTAGGED"})["imageIds"] == []
    store.put(Reference("pose", "again"), Record(digest=digest("d")))
    assert ecr("BatchDeleteImage", repositoryName="pose", imageIds=listed)["imageIds"] == listed
    assert len(store.records()) == 3


def test_tags_of_a_repository(ecr):
    ecr("CreateRepository", repositoryName="pose")
    ecr("TagResource", resourceArn=ARN, tags=[{"Key": "a", "Value": "1"}, {"Key": "b", "Value": "2"}])
    ecr("UntagResource", resourceArn=ARN, tagKeys=["a"])
    assert ecr("ListTagsForResource", resourceArn=ARN)["tags"] == [{"Key": "b", "Value": "2"}]
    many = [{"Key": f"k{number}", "Value": ""} for number in range(50)]
    refused("TooManyTagsException", ecr, "TagResource", resourceArn=ARN, tags=many)


def test_authorization(ecr):
    (data,) = ecr("GetAuthorizationToken")["authorizationData"]
    assert base64.b64decode(data["authorizationToken"]).startswith(b"AWS:")
    assert data["proxyEndpoint"] == f"https://{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com"
    assert data["expiresAt"] == 2000.0 + 12 * 3600
    (other,) = ecr("GetAuthorizationToken", registryIds=["763104351884"])["authorizationData"]
    assert other["proxyEndpoint"] == f"https://763104351884.dkr.ecr.{REGION}.amazonaws.com", "AWS's own images"


def test_images_of_other_registries_dont_show(ecr, store):
    store.put(Reference("localhost:5000/x", "1"), Record(digest=digest("a")))
    assert ecr("DescribeRepositories")["repositories"] == []
