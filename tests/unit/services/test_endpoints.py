"""Endpoint configurations and endpoints as AWS's calls see them; nothing runs behind them here."""

import pytest

from modelwright.errors import ResourceLimitExceeded, UnsupportedOperation, ValidationException
from modelwright.store.resources import find_resource, replace_resource
from support.doors import IMAGE, REGION, ROLE, package

ARN = f"arn:aws:sagemaker:{REGION}:111122223333:"


def variant(**changes):
    found = {"VariantName": "All", "ModelName": "m", "InitialInstanceCount": 1, "InstanceType": "ml.m5.large"}
    return {key: value for key, value in (found | changes).items() if value is not None}


def config(name="c", *variants, **more):
    return {"EndpointConfigName": name, "ProductionVariants": list(variants) or [variant()], **more}


@pytest.fixture
def sagemaker(door):
    container = {"Image": IMAGE, "ModelDataUrl": "s3://bucket/m.tar.gz", "Environment": {"A": "b"}}
    door("CreateModel", ModelName="m", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    return door


def settle(door, name="e", status="InService"):
    """As the engine would."""
    with door.database.write() as transaction:
        document = {**find_resource(transaction, "Endpoint", name), "EndpointStatus": status}
        replace_resource(transaction, "Endpoint", name, document, modified=1.0, status=status)


def events(door, name="e"):
    with door.database.read() as transaction:
        stream = find_resource(transaction, "Endpoint", name)["_Stream"]
        return door.history.read(transaction, stream)


def test_it_works(sagemaker, clock):
    assert sagemaker("CreateEndpointConfig", **config()) == {"EndpointConfigArn": ARN + "endpoint-config/c"}
    assert sagemaker("DescribeEndpointConfig", EndpointConfigName="c") == {
        "EndpointConfigName": "c",
        "EndpointConfigArn": ARN + "endpoint-config/c",
        "ProductionVariants": [{**variant(), "InitialVariantWeight": 1.0}],
        "CreationTime": clock.time,
    }
    tags = [{"Key": "k", "Value": "v"}]
    made = sagemaker("CreateEndpoint", EndpointName="e", EndpointConfigName="c", Tags=tags)
    assert made == {"EndpointArn": ARN + "endpoint/e"}
    assert sagemaker("ListTags", ResourceArn=made["EndpointArn"]) == {"Tags": tags}
    found = sagemaker("DescribeEndpoint", EndpointName="e")
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("Creating", "c")
    (created,) = events(sagemaker)
    assert created.data["Fleet"]["Variants"] == [
        {
            "Name": "All", "Model": "m", "InstanceType": "ml.m5.large", "Count": 1, "Weight": 1.0, "Startup": 480,
            "Containers": [{"Image": IMAGE, "ModelDataUrl": "s3://bucket/m.tar.gz", "Environment": {"A": "b"}}],
            "Mode": "Serial", "Isolated": False,
        }
    ]  # fmt: skip
    assert [each["EndpointName"] for each in sagemaker("ListEndpoints", StatusEquals="Creating")["Endpoints"]] == ["e"]
    assert sagemaker("ListEndpoints", StatusEquals="InService")["Endpoints"] == []
    assert [each["EndpointConfigName"] for each in sagemaker("ListEndpointConfigs")["EndpointConfigs"]] == ["c"]
    sagemaker("DeleteEndpointConfig", EndpointConfigName="c")
    sagemaker("DeleteEndpoint", EndpointName="e")
    sagemaker("DeleteEndpoint", EndpointName="e")
    assert [event.kind for event in events(sagemaker)] == ["Created", "DeleteRequested"]
    assert sagemaker("DescribeEndpoint", EndpointName="e")["EndpointStatus"] == "Deleting"


def test_names_that_are_taken_or_missing(sagemaker):
    sagemaker("CreateEndpointConfig", **config())
    sagemaker("CreateEndpoint", EndpointName="e", EndpointConfigName="c")
    for message, operation, parameters in (
        ("Cannot create already existing endpoint configuration", "CreateEndpointConfig", config("C")),
        (
            "Cannot create already existing endpoint ",
            "CreateEndpoint",
            {"EndpointName": "E", "EndpointConfigName": "c"},
        ),
        ("Could not find endpoint configuration", "CreateEndpoint", {"EndpointName": "x", "EndpointConfigName": "x"}),
        ("Could not find endpoint configuration", "DescribeEndpointConfig", {"EndpointConfigName": "x"}),
        ("Could not find endpoint configuration", "DeleteEndpointConfig", {"EndpointConfigName": "x"}),
        ("Could not find endpoint ", "DescribeEndpoint", {"EndpointName": "x"}),
        ("Could not find endpoint ", "DeleteEndpoint", {"EndpointName": "x"}),
        ("Could not find endpoint ", "UpdateEndpoint", {"EndpointName": "x", "EndpointConfigName": "c"}),
        ("Could not find model", "CreateEndpointConfig", config("d", variant(ModelName="x"))),
    ):
        with pytest.raises(ValidationException, match=message):
            sagemaker(operation, **parameters)


@pytest.mark.parametrize(
    ("changes", "more", "named"),
    [
        ({"ServerlessConfig": {"MemorySizeInMB": 2048, "MaxConcurrency": 1}}, {}, "ServerlessConfig"),
        ({"ManagedInstanceScaling": {"Status": "ENABLED"}}, {}, "ManagedInstanceScaling"),
        ({"RoutingConfig": {"RoutingStrategy": "RANDOM"}}, {}, "RoutingStrategy"),
        ({}, {"AsyncInferenceConfig": {"OutputConfig": {"S3OutputPath": "s3://b/o"}}}, "AsyncInferenceConfig"),
        ({}, {"ShadowProductionVariants": [variant()]}, "ShadowProductionVariants"),
        (
            {},
            {
                "DataCaptureConfig": {
                    "InitialSamplingPercentage": 1,
                    "DestinationS3Uri": "s3://bucket/c",
                    "KmsKeyId": "alias/mine",
                    "CaptureOptions": [{"CaptureMode": "Input"}],
                }
            },
            "DataCaptureConfig.KmsKeyId",
        ),
    ],
)
def test_what_is_refused_by_name(sagemaker, changes, more, named):
    with pytest.raises(UnsupportedOperation, match=named):
        sagemaker("CreateEndpointConfig", **config("c", variant(**changes), **more))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"ModelName": None}, "no ModelName. Inference components"),
        ({"InstanceType": None}, "no InstanceType"),
        ({"InitialInstanceCount": None}, "no InitialInstanceCount"),
        ({"InstanceType": "ml.g5.48xlarge"}, "not known here"),
    ],
)
def test_a_variant_that_says_too_little(sagemaker, changes, message):
    with pytest.raises(ValidationException, match=message):
        sagemaker("CreateEndpointConfig", **config("c", variant(**changes)))


def test_a_canary_update_is_refused(sagemaker):
    sagemaker("CreateEndpointConfig", **config())
    shifting = {
        "BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": "CANARY", "WaitIntervalInSeconds": 0}}
    }
    with pytest.raises(UnsupportedOperation, match="DeploymentConfig in CreateEndpoint"):
        sagemaker("CreateEndpoint", EndpointName="e", EndpointConfigName="c", DeploymentConfig=shifting)


def test_too_many_instances(sagemaker):
    sagemaker("CreateEndpointConfig", **config("c", variant(InitialInstanceCount=21)))
    with pytest.raises(ResourceLimitExceeded, match=r"ml\.m5\.large for endpoint usage' is 20"):
        sagemaker("CreateEndpoint", EndpointName="e", EndpointConfigName="c")


def test_a_pipeline_of_containers(sagemaker):
    containers = [{"Image": IMAGE, "ContainerHostname": name, "Environment": {"N": name}} for name in "ab"]
    direct = {"InferenceExecutionConfig": {"Mode": "Direct"}}
    sagemaker("CreateModel", ModelName="two", Containers=containers, ExecutionRoleArn=ROLE, **direct)
    assert sagemaker("DescribeModel", ModelName="two")["InferenceExecutionConfig"] == {"Mode": "Direct"}
    sagemaker("CreateEndpointConfig", **config("c", variant(ModelName="two")))
    sagemaker("CreateEndpoint", EndpointName="e", EndpointConfigName="c")
    (made,) = events(sagemaker)[0].data["Fleet"]["Variants"]
    assert [each["Environment"] for each in made["Containers"]] == [{"N": "a"}, {"N": "b"}]
    assert made["Mode"] == "Direct"


def test_its_instances_run_the_image_of_the_time_it_was_made(sagemaker):
    one, another = (f"sha256:{letter * 64}" for letter in "ab")
    sagemaker("CreateEndpointConfig", **config())
    for digest in (one, another):
        sagemaker.images.known[IMAGE] = digest
        call = "CreateEndpoint" if digest == one else "UpdateEndpoint"
        sagemaker(call, EndpointName="e", EndpointConfigName="c")
        settle(sagemaker)
    fleets = [event.data["Fleet"]["Variants"][0]["Containers"][0]["ImageDigest"] for event in events(sagemaker)]
    assert fleets == [one, another]


@pytest.mark.parametrize(
    ("named", "mode", "message"),
    [
        ("a.", "Serial", "to every container or to none"),
        ("..", "Direct", "a ContainerHostname for every container"),
        ("aa", "Serial", "a"),
        ("", "Direct", "PrimaryContainer takes none"),
    ],
)
def test_containers_that_are_badly_named(sagemaker, named, mode, message):
    several = [{"Image": IMAGE, **({"ContainerHostname": name} if name != "." else {})} for name in named]
    which = {"Containers": several} if several else {"PrimaryContainer": {"Image": IMAGE}}
    with pytest.raises(ValidationException, match=message):
        sagemaker(
            "CreateModel", ModelName="bad", ExecutionRoleArn=ROLE, InferenceExecutionConfig={"Mode": mode}, **which
        )


def test_a_package_of_several_containers_is_a_pipeline(sagemaker):
    specification = package()["InferenceSpecification"]
    specification = {**specification, "Containers": [specification["Containers"][0]] * 2}
    sagemaker("CreateModelPackageGroup", ModelPackageGroupName="poses")
    arn = sagemaker(
        "CreateModelPackage",
        **{**package(), "InferenceSpecification": specification, "ModelApprovalStatus": "Approved"},
    )["ModelPackageArn"]
    sagemaker(
        "CreateModel", ModelName="p", ExecutionRoleArn=ROLE,
        Containers=[{"Image": IMAGE}, {"ModelPackageName": arn, "Environment": {"A": "1"}}],
    )  # fmt: skip
    kind = (specification.get("SupportedRealtimeInferenceInstanceTypes") or ["ml.m5.large"])[0]
    sagemaker("CreateEndpointConfig", **config("c", variant(ModelName="p", InstanceType=kind)))
    sagemaker("CreateEndpoint", EndpointName="e", EndpointConfigName="c")
    (made,) = events(sagemaker)[0].data["Fleet"]["Variants"]
    assert len(made["Containers"]) == 3
    assert [each.get("Environment", {}).get("A") for each in made["Containers"]] == [None, "1", None]


def test_updates_by_status(sagemaker):
    sagemaker("CreateEndpointConfig", **config())
    sagemaker("CreateEndpointConfig", **config("new", variant(InitialInstanceCount=2, InitialVariantWeight=3)))
    sagemaker("CreateEndpoint", EndpointName="e", EndpointConfigName="c")
    update = {"EndpointName": "e", "EndpointConfigName": "new"}
    with pytest.raises(ValidationException, match="Cannot update in-progress endpoint"):
        sagemaker("UpdateEndpoint", **update)
    settle(sagemaker)
    sagemaker("UpdateEndpoint", **update, RetainAllVariantProperties=True)
    assert sagemaker("DescribeEndpoint", EndpointName="e")["EndpointStatus"] == "Updating"
    found = events(sagemaker)[-1].data["Fleet"]
    assert (found["Config"], found["Variants"][0]["Count"], found["Variants"][0]["Weight"]) == ("new", 1, 1.0)
    settle(sagemaker)
    excluded = [{"VariantPropertyType": "DesiredInstanceCount"}]
    sagemaker("UpdateEndpoint", **update, RetainAllVariantProperties=True, ExcludeRetainedVariantProperties=excluded)
    assert events(sagemaker)[-1].data["Fleet"]["Variants"][0]["Count"] == 2
    settle(sagemaker)
    change = {"VariantName": "All", "DesiredInstanceCount": 3}
    sagemaker("UpdateEndpointWeightsAndCapacities", EndpointName="e", DesiredWeightsAndCapacities=[change])
    assert events(sagemaker)[-1].data == {"Variants": {"All": {"Count": 3}}}
    settle(sagemaker)
    for wrong, message in (
        ({"VariantName": "x"}, "Could not find variant"),
        ({**change, "DesiredInstanceCount": 0}, "1"),
    ):
        with pytest.raises(ValidationException, match=message):
            sagemaker("UpdateEndpointWeightsAndCapacities", EndpointName="e", DesiredWeightsAndCapacities=[wrong])
    settle(sagemaker, status="Failed")
    with pytest.raises(ValidationException, match="can only be deleted"):
        sagemaker("UpdateEndpoint", **update)


def test_a_model_package_binds_its_instance_types_and_its_approval(sagemaker):
    sagemaker("CreateModelPackageGroup", ModelPackageGroupName="g")
    specification = package("g")["InferenceSpecification"]
    specification["SupportedRealtimeInferenceInstanceTypes"] = ["ml.m5.large", "ml.m5.xlarge"]
    arn = sagemaker(
        "CreateModelPackage",
        **package("g", ModelApprovalStatus="Approved", InferenceSpecification=specification),
    )["ModelPackageArn"]
    container = {"ModelPackageName": arn, "Environment": {"MINE": "1"}}
    sagemaker("CreateModel", ModelName="p", PrimaryContainer=container, ExecutionRoleArn=ROLE)
    with pytest.raises(ValidationException, match=r"ml\.t2\.medium is not supported .*: ml\.m5\.large, ml\.m5\.xlarge"):
        sagemaker("CreateEndpointConfig", **config("c", variant(ModelName="p", InstanceType="ml.t2.medium")))
    sagemaker("CreateEndpointConfig", **config("c", variant(ModelName="p")))
    sagemaker("CreateEndpoint", EndpointName="e", EndpointConfigName="c")
    made = events(sagemaker)[0].data["Fleet"]["Variants"][0]["Containers"][0]
    assert made["Image"] == specification["Containers"][0]["Image"]
    assert made["Environment"]["MINE"] == "1"
    sagemaker("UpdateModelPackage", ModelPackageArn=arn, ModelApprovalStatus="Rejected")
    with pytest.raises(ValidationException, match="approval status is Rejected"):
        sagemaker("CreateEndpoint", EndpointName="e2", EndpointConfigName="c")


CAPTURE = {
    "InitialSamplingPercentage": 50,
    "DestinationS3Uri": "s3://bucket/captured",
    "CaptureOptions": [{"CaptureMode": "Input"}],
}


def test_data_capture_is_told_and_goes_to_the_fleet(sagemaker):
    sagemaker("CreateEndpointConfig", **config("c", variant(), DataCaptureConfig=CAPTURE))
    sagemaker("CreateEndpoint", EndpointName="e", EndpointConfigName="c")
    assert sagemaker("DescribeEndpointConfig", EndpointConfigName="c")["DataCaptureConfig"] == CAPTURE
    told = sagemaker("DescribeEndpoint", EndpointName="e")["DataCaptureConfig"]
    assert told == {
        "EnableCapture": True, "CaptureStatus": "Stopped", "CurrentSamplingPercentage": 50,
        "DestinationS3Uri": "s3://bucket/captured", "KmsKeyId": "",
    }  # fmt: skip
    elsewhere = {**CAPTURE, "DestinationS3Uri": "https://example.com/x"}
    with pytest.raises(ValidationException, match="not a valid S3 URI"):
        sagemaker("CreateEndpointConfig", **config("d", variant(), DataCaptureConfig=elsewhere))
