"""The one door over real services on a real database, its answers checked against botocore's output shapes."""

from botocore.validate import ParamValidator

from modelwright.errors import AwsError, ValidationException
from modelwright.objects.base import ObjectInfo
from modelwright.protocol import spec
from modelwright.protocol.validation import validate
from modelwright.services import cloudwatch, events
from modelwright.services.dispatch import Context, Dispatcher, Principal
from modelwright.services.iam import Iam
from modelwright.services.logs.groups import LogGroups
from modelwright.services.logs.streams import LogStreams
from modelwright.services.sagemaker.endpoint_configs import EndpointConfigs
from modelwright.services.sagemaker.endpoints import Endpoints
from modelwright.services.sagemaker.images import SageMakerImages
from modelwright.services.sagemaker.model_package_groups import ModelPackageGroups
from modelwright.services.sagemaker.model_packages import ModelPackages
from modelwright.services.sagemaker.models import Models
from modelwright.services.sagemaker.processing_jobs import ProcessingJobs
from modelwright.services.sagemaker.search import Search
from modelwright.services.sagemaker.tags import Tags
from modelwright.services.sagemaker.training_jobs import TrainingJobs
from modelwright.services.sqs import Sqs
from modelwright.services.sts import Sts
from modelwright.store.event_bus import EventBus
from modelwright.store.metric_buffer import MetricBuffer

ACCOUNT = "111122223333"
REGION = "eu-west-1"
IDENTITY = f"arn:aws:sts::{ACCOUNT}:assumed-role/ModelwrightExecutionRole/admin"
CONTEXT = Context(ACCOUNT, REGION, Principal(IDENTITY, "AROAEXAMPLE:admin"))
ROLE = f"arn:aws:iam::{ACCOUNT}:role/ModelwrightExecutionRole"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/pose:1"

NOT_YET_THERE = {("DescribeTrainingJob", "ModelArtifacts")}
"""Members that the model calls required and AWS leaves out as long as there is nothing to tell."""


class Clock:
    """A time that stands still until it is told."""

    def __init__(self, time=1_790_000_000.0):
        self.time = time

    def __call__(self):
        return self.time

    def advance(self, seconds):
        self.time += seconds


class Door:
    """`door("CreateModel", ModelName=...)`: validated like on the wire, the answer checked against the model."""

    def __init__(self, database, history, clock):
        self.database, self.history, self.clock = database, history, clock
        self.events = EventBus(history, ACCOUNT)
        self.objects = ObjectTags()
        self.images = ImageDigests()
        self.metrics = MetricBuffer(database, clock)
        common = {"database": database, "history": history, "now": clock}
        sagemaker = {**common, "events": self.events}
        jobs = {**sagemaker, "check_image": check_image, "known_instance_type": lambda name: name != "ml.g5.48xlarge"}
        services = [
            ("sagemaker", TrainingJobs(**jobs)),
            ("sagemaker", ProcessingJobs(**jobs)),
            ("sagemaker", Models(**sagemaker, check_image=check_image)),
            ("sagemaker", SageMakerImages(**sagemaker, check_image=check_image)),
            (
                "sagemaker",
                EndpointConfigs(**sagemaker, known_instance_type=jobs["known_instance_type"]),
            ),
            ("sagemaker", Endpoints(**sagemaker, images=self.images)),
            ("sagemaker", ModelPackageGroups(**sagemaker)),
            ("sagemaker", ModelPackages(**sagemaker, objects=self.objects, images=self.images)),
            ("sagemaker", Tags(**sagemaker)),
            ("sagemaker", Search(**sagemaker)),
            ("sqs", Sqs(database=database, now=clock)),
            *events.services(database=database, now=clock, events=self.events),
            *cloudwatch.services(database=database, metrics=self.metrics, now=clock),
            ("logs", LogGroups(**common)),
            ("logs", LogStreams(**common)),
            ("iam", Iam(**common, account=ACCOUNT)),
            ("sts", Sts(issue=lambda *_: None, now=clock)),
        ]
        self.dispatcher = Dispatcher(services, validate)
        self.service = "sagemaker"
        self.context = CONTEXT

    def of(self, service):
        """The same door, for another service."""
        other = object.__new__(Door)
        other.__dict__.update(self.__dict__, service=service)
        return other

    def __call__(self, operation, **parameters):
        result = self.dispatcher.call(self.context, self.service, operation, parameters)
        check_output(self.service, operation, result)
        return result


class ImageDigests:
    """Images of which nothing is known but digests, by URI."""

    def __init__(self):
        self.known = {}

    def digest(self, uri):
        return self.known.get(uri)

    def pinned(self, uri, digest):
        if uri in self.known and digest not in self.known.values():
            raise ValidationException(f"There is no image {digest} here.")
        return uri


class ObjectTags:
    """An object store that knows nothing but ETags, by (bucket, key)."""

    def __init__(self):
        self.known = {}

    def head(self, bucket, key):
        if (bucket, key) not in self.known:
            raise AwsError("The specified key does not exist.", code="NoSuchKey", status=404)
        return ObjectInfo(bucket, key, 1, self.known[bucket, key], 1.0)

    def list(self, bucket, prefix=""):
        return [self.head(*place) for place in sorted(self.known) if place[0] == bucket and place[1].startswith(prefix)]


def check_image(uri):
    if "unknown" in uri:
        raise ValidationException(
            f"The image '{uri}' can't be resolved. Build it: modelwright images build DIR -t {uri}"
        )


def check_output(service, operation, result):
    shape = spec.operation(service, operation).output_shape
    public = _without_private(result)
    if shape is None:
        assert public == {}
        return
    report = ParamValidator().validate(public, shape)
    errors = [
        (problem, name, more)
        for problem, name, more in report._errors
        if (operation, more.get("required_name")) not in NOT_YET_THERE
    ]
    assert errors == []
    _check_no_empty(public, "")


def _without_private(value):
    if isinstance(value, dict):
        return {key: _without_private(item) for key, item in value.items() if not key.startswith("_")}
    return [_without_private(item) for item in value] if isinstance(value, list) else value


def _check_no_empty(value, path):
    """v3 reads `{}` as a structure without its required members."""
    if isinstance(value, dict):
        for key, item in value.items():
            assert item is not None, f"{path}.{key} is None"
            if key not in ("tags", "ModelPackageSummaries", "NestedFilters"):
                assert item != {}, f"{path}.{key} is empty"
            _check_no_empty(item, f"{path}.{key}")
    elif isinstance(value, list):
        for i, item in enumerate(value):
            _check_no_empty(item, f"{path}[{i}]")


def training_job(name="job-1", **changes):
    """A request that CreateTrainingJob accepts."""
    return {
        "TrainingJobName": name,
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": "s3://results/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        **changes,
    }


def processing_job(name="job-1", **changes):
    """A request that CreateProcessingJob accepts."""
    return {
        "ProcessingJobName": name,
        "AppSpecification": {"ImageUri": IMAGE},
        "RoleArn": ROLE,
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30}
        },
        **changes,
    }


def package(group="poses", **changes):
    """A request that CreateModelPackage accepts."""
    return {
        "ModelPackageGroupName": group,
        "InferenceSpecification": {
            "Containers": [{"Image": IMAGE, "ModelDataUrl": "s3://results/model.tar.gz"}],
            "SupportedContentTypes": ["image/jpeg"],
            "SupportedResponseMIMETypes": ["application/json"],
            "SupportedRealtimeInferenceInstanceTypes": ["ml.m5.large"],
        },
        **changes,
    }
