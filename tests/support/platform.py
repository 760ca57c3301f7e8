"""A platform without a wire: stores, services, the process runtime and the engine, for tests of the engine."""

import json
import time
from contextlib import contextmanager
from dataclasses import replace

from modelwright.config import Settings
from modelwright.engine.capacity import known_instance_type
from modelwright.engine.engine import Engine
from modelwright.errors import ValidationException
from modelwright.objects.directory import DirectoryStore
from modelwright.protocol.validation import validate
from modelwright.runtimes.base import Image
from modelwright.runtimes.process import ProcessRuntime
from modelwright.services import events
from modelwright.services.codebuild.builds import Builds
from modelwright.services.codebuild.projects import Projects as BuildProjects
from modelwright.services.dispatch import Context, Dispatcher, Principal
from modelwright.services.logs.groups import LogGroups
from modelwright.services.logs.streams import LogStreams
from modelwright.services.runtime import Runtime
from modelwright.services.sagemaker.endpoint_configs import EndpointConfigs
from modelwright.services.sagemaker.endpoints import Endpoints
from modelwright.services.sagemaker.model_package_groups import ModelPackageGroups
from modelwright.services.sagemaker.model_packages import ModelPackages
from modelwright.services.sagemaker.models import Models
from modelwright.services.sagemaker.pipeline_executions import PipelineExecutions
from modelwright.services.sagemaker.pipeline_versions import PipelineVersions
from modelwright.services.sagemaker.pipelines import Pipelines
from modelwright.services.sagemaker.processing_jobs import ProcessingJobs
from modelwright.services.sagemaker.training_jobs import TrainingJobs
from modelwright.services.sqs import Sqs
from modelwright.serving.router import TIMEOUT, Router
from modelwright.store import logs
from modelwright.store.database import Database
from modelwright.store.event_bus import EventBus
from modelwright.store.history import History
from modelwright.store.resources import Query, count_resources, find_resource

ACCOUNT, REGION = "111122223333", "eu-west-1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/ModelwrightExecutionRole"
CONTEXT = Context(
    ACCOUNT, REGION, Principal(f"arn:aws:sts::{ACCOUNT}:assumed-role/ModelwrightExecutionRole/admin", "U")
)

ENGINE = replace(CONTEXT, source="engine")


class Images:
    """Images without content: the host's own programs. `bare` has no entrypoint, `slow` must be built first."""

    def __init__(self, building=None):
        self.building = building
        self.built = set()

    def ready(self, uri):
        if uri == "unknown":
            raise ValidationException("There is no image 'unknown' here.")
        if uri == "slow" and uri not in self.built:
            return None
        entrypoint = ("/bin/sh", "-c") if uri == "shell" else ()
        return Image(uri, f"sha256:{uri}", entrypoint=entrypoint, command=("echo the command of the image",))

    def digest(self, uri):
        return None

    def pinned(self, uri, digest):
        return uri

    def resolve(self, uri, progress):
        if self.ready(uri) is None:
            progress("building: step 1")
            if self.building is not None:
                self.building.wait()
            self.built.add(uri)
        return self.ready(uri)


class Platform:
    def __init__(self, home, *, images=None, now=time.time, runtime=None, patience=TIMEOUT, **settings):
        self.settings = Settings.load({"home": home, "cpus": 8, "memory": 64, **settings}, {})
        self.database = Database(self.settings.database_url)
        self.history = History("tests")
        self.objects = DirectoryStore(self.settings.objects, fsync=False)
        self.images = images or Images()
        self.runtime = runtime or ProcessRuntime(self.settings)
        self.now = now
        self.events = EventBus(self.history, ACCOUNT)
        common = {"database": self.database, "history": self.history, "now": now, "events": self.events}
        jobs = {**common, "check_image": self.images.ready, "known_instance_type": known_instance_type}
        self.dispatcher = Dispatcher(
            [
                ("sagemaker", service)
                for service in (
                    TrainingJobs(**jobs),
                    ProcessingJobs(**jobs),
                    Models(**common, check_image=self.images.ready),
                    EndpointConfigs(**common, known_instance_type=known_instance_type),
                    Endpoints(**common, images=self.images),
                    ModelPackageGroups(**common),
                    ModelPackages(**common, objects=self.objects, images=self.images),
                    Pipelines(**common, objects=self.objects),
                    PipelineVersions(**common),
                    PipelineExecutions(**common),
                )
            ],
            validate,
        )
        for service in (BuildProjects, Builds):
            self.dispatcher.add("codebuild", service(**common, check_image=self.images.ready))
        self.router = Router(patience, socket_into=self.runtime.socket_into)
        events_services = events.services(database=self.database, now=now, events=self.events)
        plain = {"database": self.database, "history": self.history, "now": now}
        logs_services = [("logs", LogGroups(**plain)), ("logs", LogStreams(**plain))]
        for name, service in (*events_services, *logs_services):
            self.dispatcher.add(name, service)
        self.dispatcher.add("sqs", Sqs(database=self.database, now=now))
        self.dispatcher.add("sagemaker-runtime", Runtime(self.router))
        self.engine = None

    def call(self, operation, **parameters):
        return self.dispatcher.call(CONTEXT, "sagemaker", operation, parameters)

    def of(self, service, operation, **parameters):
        """Call another service than SageMaker."""
        return self.dispatcher.call(CONTEXT, service, operation, parameters)

    def start(self, **options):
        self.engine = Engine(
            settings=self.settings,
            database=self.database,
            history=self.history,
            events=self.events,
            objects=self.objects,
            images=self.images,
            runtime=self.runtime,
            call=lambda region, service, operation, parameters: self.dispatcher.call(
                ENGINE, service, operation, parameters
            ),
            client_environment=lambda region: {"AWS_ENDPOINT_URL": "http://127.0.0.1:7070"},
            now=self.now,
            routing=self.router,
            **options,
        )
        self.engine.start()
        return self

    def close(self):
        if self.engine is not None:
            self.engine.close()
        self.objects.close()
        self.database.close()

    # Short words for what tests do often

    def bucket(self, name="bucket", **files):
        self.objects.create_bucket(name, REGION)
        for key, content in files.items():
            self.objects.put_bytes(name, key, content)

    def train(self, name, *command, image="bare", **more):
        """Create a training job that runs a shell command."""
        parameters = training(command[0] if command else None, image, **more)
        return self.call("CreateTrainingJob", TrainingJobName=name, **parameters)["TrainingJobArn"]

    def process(self, name, command=None, *, inputs=(), outputs=(), **more):
        return self.call("CreateProcessingJob", ProcessingJobName=name, **processing(command, inputs, outputs, **more))

    def training(self, name):
        return self.call("DescribeTrainingJob", TrainingJobName=name)

    def processing(self, name):
        return self.call("DescribeProcessingJob", ProcessingJobName=name)

    def run_pipeline(self, name, *steps, parameters=(), values=(), **more):
        """Create a pipeline and start it; the execution's ARN."""
        definition = {"Version": "2020-12-01", "Metadata": {}, "Parameters": list(parameters), "Steps": list(steps)}
        self.call(
            "CreatePipeline",
            PipelineName=name,
            PipelineDefinition=json.dumps(definition),
            ClientRequestToken=f"{name}-creation".ljust(32, "0"),
            RoleArn=ROLE,
        )
        return self.execute(name, values=values, **more)

    def execute(self, name, token=None, values=(), **more):
        token = (token or f"{name}-{time.time_ns()}").ljust(32, "0")
        if values:
            more["PipelineParameters"] = [{"Name": key, "Value": value} for key, value in dict(values).items()]
        return self.call("StartPipelineExecution", PipelineName=name, ClientRequestToken=token, **more)[
            "PipelineExecutionArn"
        ]

    def execution(self, arn):
        return self.call("DescribePipelineExecution", PipelineExecutionArn=arn)

    def steps(self, arn):
        found = self.call("ListPipelineExecutionSteps", PipelineExecutionArn=arn, MaxResults=100)
        return {step["StepName"]: step for step in found["PipelineExecutionSteps"]}

    def log(self, group, job):
        """All lines of a job's log, in order."""
        with self.database.read() as transaction:
            streams = [s for s in logs.list_streams(transaction, group) if s.name.startswith(f"{job}/")]
            return [event.message for s in streams for event in logs.read_events(transaction, [s])]

    def document(self, kind, name):
        with self.database.read() as transaction:
            return find_resource(transaction, kind, name)

    def count(self, kind):
        with self.database.read() as transaction:
            return count_resources(transaction, Query(kind))

    def until(self, condition, timeout=60):
        """Wait for a condition of the stored state."""
        deadline = time.monotonic() + timeout
        while not (found := condition()):
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.01)
        return found

    def trained(self, name, timeout=60):
        """The training job's document, when it has ended."""
        self.until(lambda: self.training(name)["TrainingJobStatus"] in ("Completed", "Failed", "Stopped"), timeout)
        return self.training(name)

    def processed(self, name, timeout=60):
        self.until(lambda: self.processing(name)["ProcessingJobStatus"] in ("Completed", "Failed", "Stopped"), timeout)
        return self.processing(name)

    def executed(self, arn, timeout=60):
        ended = ("Succeeded", "Failed", "Stopped", "CompletedWithFailures")
        self.until(lambda: self.execution(arn)["PipelineExecutionStatus"] in ended, timeout)
        return self.execution(arn)


def training(command=None, image="bare", *, channels=None, **more):
    """CreateTrainingJob's parameters without the name."""
    algorithm = {"TrainingImage": image, "TrainingInputMode": "File", **more.pop("AlgorithmSpecification", {})}
    if command is not None:
        algorithm |= {"ContainerEntrypoint": ["/bin/sh", "-c"], "ContainerArguments": ['eval "$COMMAND"']}
        more["Environment"] = {"COMMAND": command, **more.get("Environment", {})}
    if channels:
        more["InputDataConfig"] = [
            {
                "ChannelName": name,
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}},
            }
            for name, uri in channels.items()
        ]
    return {
        "AlgorithmSpecification": algorithm,
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/out"},
        "ResourceConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        **more,
    }


def processing(command=None, inputs=(), outputs=(), *, image="bare", **more):
    """CreateProcessingJob's parameters without the name. `inputs` and `outputs`: (name, URI, path[, mode])."""
    application = {"ImageUri": image}
    if command is not None:
        application |= {"ContainerEntrypoint": ["/bin/sh", "-c"], "ContainerArguments": ['eval "$COMMAND"']}
        more["Environment"] = {"COMMAND": command, **more.get("Environment", {})}
    if inputs:
        more["ProcessingInputs"] = [
            {
                "InputName": name,
                "S3Input": {"S3Uri": uri, "LocalPath": path, "S3DataType": "S3Prefix", "S3InputMode": "File"},
            }
            for name, uri, path in inputs
        ]
    if outputs:
        more["ProcessingOutputConfig"] = {
            "Outputs": [
                {
                    "OutputName": name,
                    "S3Output": {"S3Uri": uri, "LocalPath": path, "S3UploadMode": mode[0] if mode else "EndOfJob"},
                }
                for name, uri, path, *mode in outputs
            ]
        }
    cluster = {"InstanceCount": 1, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 1}
    return {
        "AppSpecification": application,
        "RoleArn": ROLE,
        "ProcessingResources": {"ClusterConfig": cluster},
        **more,
    }


@contextmanager
def running(home, **options):
    engine = {key: options.pop(key) for key in ("grace", "mirror_interval", "ping_interval") if key in options}
    platform = Platform(home, **options)
    try:
        yield platform.start(**engine)
    finally:
        platform.close()
