import threading

import pytest

from modelwright.errors import AwsError, ConflictException, UnsupportedOperation, ValidationException
from support.doors import IDENTITY, IMAGE, REGION, package

PREFIX = f"arn:aws:sagemaker:{REGION}:111122223333:"
GROUP_ARN = PREFIX + "model-package-group/poses"
ME = {"IamIdentity": {"Arn": IDENTITY, "PrincipalId": "AROAEXAMPLE:admin"}}


def arn(version, group="poses"):
    return f"{PREFIX}model-package/{group}/{version}"


@pytest.fixture
def group(door):
    door("CreateModelPackageGroup", ModelPackageGroupName="Poses", ModelPackageGroupDescription="YOLOv8")


@pytest.fixture
def register(door, clock, group):
    def register(**changes):
        clock.advance(1)
        return door("CreateModelPackage", **package("Poses", **changes))["ModelPackageArn"]

    return register


def versions(answer):
    return [each["ModelPackageVersion"] for each in answer["ModelPackageSummaryList"]]


class TestGroups:
    def test_it_works(self, door, group, clock):
        described = {
            "ModelPackageGroupName": "Poses",
            "ModelPackageGroupArn": GROUP_ARN,
            "ModelPackageGroupDescription": "YOLOv8",
            "ModelPackageGroupStatus": "Completed",
            "CreationTime": clock.time,
            "CreatedBy": ME,
        }
        for name in ("Poses", GROUP_ARN):
            found = door("DescribeModelPackageGroup", ModelPackageGroupName=name)
            assert {key: value for key, value in found.items() if not key.startswith("_")} == described
        (summary,) = door("ListModelPackageGroups", NameContains="pose")["ModelPackageGroupSummaryList"]
        del described["CreatedBy"]
        assert summary == described

    def test_the_sdk_recognizes_a_group_that_is_there(self, door, group):
        for name in ("Poses", "poses"):
            with pytest.raises(ValidationException, match="already exists"):
                door("CreateModelPackageGroup", ModelPackageGroupName=name)

    def test_a_missing_group(self, door):
        for operation in ("DescribeModelPackageGroup", "DeleteModelPackageGroup", "GetModelPackageGroupPolicy"):
            with pytest.raises(ValidationException, match="ModelPackageGroup nobody does not exist"):
                door(operation, ModelPackageGroupName="nobody")

    def test_it_is_deleted_only_when_empty(self, door, register):
        register()
        with pytest.raises(ConflictException, match=r"it has 1 model package\(s\)"):
            door("DeleteModelPackageGroup", ModelPackageGroupName="Poses")
        door("DeleteModelPackage", ModelPackageName=arn(1))
        door("DeleteModelPackageGroup", ModelPackageGroupName="Poses")
        assert door("ListModelPackageGroups") == {"ModelPackageGroupSummaryList": []}

    def test_policy(self, door, group):
        with pytest.raises(ValidationException, match="has no resource policy"):
            door("GetModelPackageGroupPolicy", ModelPackageGroupName="Poses")
        with pytest.raises(ValidationException, match="not a valid policy"):
            door("PutModelPackageGroupPolicy", ModelPackageGroupName="Poses", ResourcePolicy="no")
        policy = '{"Statement": []}'
        assert door("PutModelPackageGroupPolicy", ModelPackageGroupName="Poses", ResourcePolicy=policy) == {
            "ModelPackageGroupArn": GROUP_ARN
        }
        assert door("GetModelPackageGroupPolicy", ModelPackageGroupName="Poses") == {"ResourcePolicy": policy}
        door("DeleteModelPackageGroupPolicy", ModelPackageGroupName="Poses")
        with pytest.raises(ValidationException, match="has no resource policy"):
            door("GetModelPackageGroupPolicy", ModelPackageGroupName="Poses")


class TestCreate:
    def test_it_works(self, door, register, clock):
        metrics = {"ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": "s3://results/e.json"}}}
        given = {
            "ModelPackageDescription": "first",
            "ModelMetrics": metrics,
            "CustomerMetadataProperties": {"map50": "0.98"},
            "SkipModelValidation": "None",
            "MetadataProperties": {"CommitId": "abc"},
        }
        assert register(**given) == arn(1)
        found = door("DescribeModelPackage", ModelPackageName=arn(1))
        assert {key: found[key] for key in given} == given
        assert found["ModelPackageGroupName"] == "Poses"
        assert found["ModelPackageVersion"] == 1
        assert found["ModelApprovalStatus"] == "PendingManualApproval"
        assert found["ModelPackageStatus"] == "Completed"
        assert found["ModelPackageStatusDetails"] == {"ValidationStatuses": [], "ImageScanStatuses": []}
        assert found["CreatedBy"] == ME
        assert found["CreationTime"] == clock.time
        assert "LastModifiedTime" not in found

    def test_every_way_to_name_it(self, door, register):
        register()
        for name in (arn(1), "Poses/1"):
            assert door("DescribeModelPackage", ModelPackageName=name)["ModelPackageArn"] == arn(1)
        with pytest.raises(ValidationException, match="Poses/2 does not exist"):
            door("DescribeModelPackage", ModelPackageName="Poses/2")
        with pytest.raises(ValidationException, match="is not the ARN of a ModelPackage "):
            door("DescribeModelPackage", ModelPackageName=GROUP_ARN)

    def test_the_group_may_be_named_by_its_arn(self, door, group):
        made = door("CreateModelPackage", **package(GROUP_ARN))["ModelPackageArn"]
        assert made == arn(1)
        assert door("DescribeModelPackage", ModelPackageName=made)["ModelPackageGroupName"] == "Poses"

    def test_numbers_are_never_given_again(self, door, register):
        assert [register(), register(), register()] == [arn(1), arn(2), arn(3)]
        door("DeleteModelPackage", ModelPackageName=arn(3))
        door("DeleteModelPackage", ModelPackageName=arn(1))
        assert register() == arn(4)
        assert versions(door("ListModelPackages", ModelPackageGroupName="Poses")) == [4, 2]

    def test_numbers_have_no_gaps_under_concurrency(self, door, group):
        def create():
            for _ in range(5):
                door("CreateModelPackage", **package("Poses"))

        threads = [threading.Thread(target=create) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = versions(door("ListModelPackages", ModelPackageGroupName="Poses", MaxResults=100))
        assert sorted(found) == list(range(1, 31))

    def test_a_refused_version_leaves_no_gap(self, door, register):
        register()
        with pytest.raises(ValidationException):
            register(InferenceSpecification={"Containers": [{"ModelDataUrl": "s3://results/m"}]})
        assert register() == arn(2)

    def test_the_same_client_token_makes_one_package(self, door, register, clock):
        assert register(ClientToken="once") == arn(1)
        assert register(ClientToken="once") == arn(1)
        with pytest.raises(ConflictException, match="ClientToken 'once'"):
            register(ClientToken="once", ModelPackageDescription="another")
        assert register(ClientToken="twice") == arn(2)
        clock.advance(2 * 86400)
        assert register(ClientToken="once") == arn(3)

    def test_without_versions(self, door):
        request = package(ModelPackageName="plain", Tags=[{"Key": "a", "Value": "b"}])
        del request["ModelPackageGroupName"]
        made = door("CreateModelPackage", **request)["ModelPackageArn"]
        assert made == PREFIX + "model-package/plain"
        found = door("DescribeModelPackage", ModelPackageName="plain")
        assert found["ModelPackageArn"] == made
        assert not {"ModelPackageVersion", "ModelApprovalStatus", "ModelPackageGroupName"} & set(found)
        assert door("ListTags", ResourceArn=made) == {"Tags": [{"Key": "a", "Value": "b"}]}
        with pytest.raises(ValidationException, match="ModelPackage already exists"):
            door("CreateModelPackage", **request)
        with pytest.raises(ValidationException, match="has no approval status"):
            door("UpdateModelPackage", ModelPackageArn=made, ModelApprovalStatus="Approved")

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"ModelPackageGroupName": "nobody"}, "ModelPackageGroup nobody does not exist"),
            ({"ModelPackageName": "both"}, "Both ModelPackageName and ModelPackageGroupName are provided"),
            ({"Tags": [{"Key": "a", "Value": "b"}]}, "has the tags of its group"),
            ({"InferenceSpecification": {"Containers": [{}]}}, r"InferenceSpecification\.Containers\[0\]\.Image"),
            (
                {
                    "AdditionalInferenceSpecifications": [
                        {"Name": "neo", "Containers": [{"Image": IMAGE}]},
                        {"Name": "neo", "Containers": [{"Image": IMAGE}]},
                    ]
                },
                "'neo' comes more than once",
            ),
        ],
    )
    def test_bad_input_is_refused(self, door, group, changes, message):
        with pytest.raises(ValidationException, match=message):
            door("CreateModelPackage", **package(**{"ModelPackageGroupName": "Poses", **changes}))

    def test_a_package_without_any_name(self, door):
        request = package()
        del request["ModelPackageGroupName"]
        with pytest.raises(ValidationException, match="ModelPackageGroupName"):
            door("CreateModelPackage", **request)

    @pytest.mark.parametrize(
        ("changes", "named"),
        [
            ({"CertifyForMarketplace": True}, "CertifyForMarketplace = True"),
            ({"SourceUri": arn(1)}, "SourceUri with an ARN"),
            ({"ModelPackageRegistrationType": "Logged"}, "ModelPackageRegistrationType = 'Logged'"),
        ],
    )
    def test_what_it_cannot_honour_is_refused_by_name(self, door, group, changes, named):
        with pytest.raises(UnsupportedOperation) as caught:
            door("CreateModelPackage", **package("Poses", **changes))
        assert named in caught.value.message


class TestUpdate:
    def test_approval(self, door, register, clock):
        register()
        clock.advance(60)
        assert door(
            "UpdateModelPackage",
            ModelPackageArn=arn(1),
            ModelApprovalStatus="Approved",
            ApprovalDescription="mAP50 is .98",
        ) == {"ModelPackageArn": arn(1)}
        found = door("DescribeModelPackage", ModelPackageName=arn(1))
        assert (found["ModelApprovalStatus"], found["ApprovalDescription"]) == ("Approved", "mAP50 is .98")
        assert (found["LastModifiedTime"], found["LastModifiedBy"]) == (clock.time, ME)
        assert versions(door("ListModelPackages", ModelPackageGroupName="Poses", ModelApprovalStatus="Approved")) == [1]
        assert not versions(door("ListModelPackages", ModelPackageGroupName="Poses", ModelApprovalStatus="Rejected"))

    def test_properties_are_merged_and_removed(self, door, register):
        register(CustomerMetadataProperties={"a": "1", "b": "2"})
        door(
            "UpdateModelPackage",
            ModelPackageArn=arn(1),
            CustomerMetadataProperties={"b": "3", "c": "4"},
            CustomerMetadataPropertiesToRemove=["a"],
        )
        found = door("DescribeModelPackage", ModelPackageName=arn(1))
        assert found["CustomerMetadataProperties"] == {"b": "3", "c": "4"}
        door("UpdateModelPackage", ModelPackageArn=arn(1), CustomerMetadataPropertiesToRemove=["b", "c"])
        assert "CustomerMetadataProperties" not in door("DescribeModelPackage", ModelPackageName=arn(1))

    def test_specifications_are_added_up_to_the_limit(self, door, register):
        register()
        for i in range(15):
            added = {"Name": f"n{i}", "Containers": [{"Image": IMAGE}]}
            door("UpdateModelPackage", ModelPackageArn=arn(1), AdditionalInferenceSpecificationsToAdd=[added])
        with pytest.raises(ValidationException, match="the limit is 15"):
            door(
                "UpdateModelPackage",
                ModelPackageArn=arn(1),
                AdditionalInferenceSpecificationsToAdd=[{"Name": "m", "Containers": [{"Image": IMAGE}]}],
            )
        found = door("DescribeModelPackage", ModelPackageName=arn(1))
        assert len(found["AdditionalInferenceSpecifications"]) == 15

    def test_a_missing_package(self, door, group):
        with pytest.raises(ValidationException, match="does not exist"):
            door("UpdateModelPackage", ModelPackageArn=arn(7), ModelApprovalStatus="Approved")


class TestList:
    def test_versions_come_in_their_order(self, door, register):
        for _ in range(11):
            register()
        listed = door("ListModelPackages", ModelPackageGroupName="Poses", MaxResults=3)
        assert versions(listed) == [11, 10, 9]
        rest = door("ListModelPackages", ModelPackageGroupName="Poses", MaxResults=20, NextToken=listed["NextToken"])
        assert versions(rest) == [8, 7, 6, 5, 4, 3, 2, 1]
        by_name = door("ListModelPackages", ModelPackageGroupName=GROUP_ARN, SortBy="Name", SortOrder="Ascending")
        assert versions(by_name) == list(range(1, 11))

    def test_types(self, door, register):
        register()
        request = package(ModelPackageName="plain")
        del request["ModelPackageGroupName"]
        door("CreateModelPackage", **request)

        def arns(**parameters):
            return {
                each["ModelPackageArn"] for each in door("ListModelPackages", **parameters)["ModelPackageSummaryList"]
            }

        plain = PREFIX + "model-package/plain"
        assert arns() == {plain}
        assert arns(ModelPackageType="Unversioned") == {plain}
        assert arns(ModelPackageType="Versioned") == {arn(1)}
        assert arns(ModelPackageType="Both") == {plain, arn(1)}
        assert arns(ModelPackageGroupName="Poses") == {arn(1)}

    def test_a_version_is_told_without_name(self, door, register):
        register(ModelPackageDescription="d")
        (summary,) = door("ListModelPackages", ModelPackageGroupName="Poses")["ModelPackageSummaryList"]
        assert set(summary) == {
            "ModelPackageGroupName",
            "ModelPackageVersion",
            "ModelPackageArn",
            "ModelPackageDescription",
            "CreationTime",
            "ModelPackageStatus",
            "ModelApprovalStatus",
        }


def test_batch(door, register):
    register()
    result = door("BatchDescribeModelPackage", ModelPackageArnList=[arn(1), arn(9)])
    assert result["ModelPackageSummaries"][arn(1)]["ModelPackageVersion"] == 1
    assert result["BatchDescribeModelPackageErrorMap"] == {
        arn(9): {"ErrorCode": "ValidationException", "ErrorResponse": f"ModelPackage {arn(9)} does not exist."}
    }


def test_model_data_is_noted_by_its_etag_and_what_has_changed_is_not_approved(door):
    door("CreateModelPackageGroup", ModelPackageGroupName="tagged")
    door.objects.known |= {("bkt", "m.tar.gz"): "one", ("bkt", "p/a"): "x", ("bkt", "p/b"): "y"}
    source = {"S3Uri": "s3://bkt/p/", "S3DataType": "S3Prefix", "CompressionType": "None"}
    containers = [
        {"Image": "i", "ModelDataUrl": "s3://bkt/m.tar.gz"},
        {"Image": "i", "ModelDataSource": {"S3DataSource": source}},
        {"Image": "i", "ModelDataUrl": "s3://bkt/missing"},
    ]
    specification = {"SupportedContentTypes": ["text/csv"], "SupportedResponseMIMETypes": ["text/csv"]}
    arn = door(
        "CreateModelPackage",
        ModelPackageGroupName="tagged",
        InferenceSpecification={**specification, "Containers": containers},
    )["ModelPackageArn"]

    def tags():
        found = door("DescribeModelPackage", ModelPackageName=arn)["InferenceSpecification"]["Containers"]
        return [each.get("ModelDataETag") for each in found]

    one, prefix, missing = tags()
    assert (one, prefix[-2:], missing) == ("one", "-2", None)
    door.objects.known[("bkt", "p/b")] = "z"
    with pytest.raises(AwsError, match="has changed since it was registered"):
        door("UpdateModelPackage", ModelPackageArn=arn, ModelApprovalStatus="Approved")
    door.objects.known |= {("bkt", "p/b"): "y", ("bkt", "missing"): "late"}
    door("UpdateModelPackage", ModelPackageArn=arn, ModelApprovalStatus="Approved")
    assert tags() == ["one", prefix, "late"]


def test_images_are_noted_by_their_digest_and_one_that_is_gone_is_not_approved(door):
    one, another = (f"sha256:{letter * 64}" for letter in "ab")
    door("CreateModelPackageGroup", ModelPackageGroupName="pinned")
    door.images.known["pose:1"] = one
    containers = [{"Image": "pose:1"}, {"Image": "framework"}]
    given = {
        "ModelPackageGroupName": "pinned",
        "InferenceSpecification": {
            "Containers": containers,
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
    }
    package = door("CreateModelPackage", **given)["ModelPackageArn"]
    found = door("DescribeModelPackage", ModelPackageName=package)["InferenceSpecification"]["Containers"]
    assert [each.get("ImageDigest") for each in found] == [one, None]
    containers[0]["ImageDigest"] = another
    with pytest.raises(AwsError, match=f"no image {another} here"):
        door("CreateModelPackage", **given)
    door.images.known["pose:1"] = another
    with pytest.raises(AwsError, match=f"no image {one} here"):
        door("UpdateModelPackage", ModelPackageArn=package, ModelApprovalStatus="Approved")
    door("UpdateModelPackage", ModelPackageArn=package, ModelApprovalStatus="Rejected")
