"""The contract between SageMaker and a job's container: what is asked for, said in one form for both kinds of job.

A `Contract` is made from the document that Describe answers: which image and command, which environment, which files
below /opt/ml, what comes in, what goes out. It knows neither disk nor store. Sources: AWS's pages "How Amazon SageMaker
provides training information", "How Amazon SageMaker processes training output", "How Amazon SageMaker Processing runs
your processing container image".
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from modelwright.arns import Arn
from modelwright.runtimes.base import Image

Document = Mapping[str, Any]

ROOT = "/opt/ml"
HOST = "algo-1"
GROUP = "homogeneousCluster"


@dataclass(frozen=True)
class Input:
    """Objects that appear in the container at `target`. `name` is the channel's or the input's."""

    name: str
    target: str
    uri: str
    manifest: bool = False


@dataclass(frozen=True)
class Output:
    """What is uploaded from `target`.

    `tree`: each file below `uri`, when the job has completed; `archive`: all as one tar.gz at `uri`; `mirror`: each
    file, as it changes while the job runs and however it ends.
    """

    name: str
    target: str
    uri: str
    form: Literal["tree", "archive", "mirror"] = "tree"


@dataclass(frozen=True)
class Contract:
    """One job's container."""

    kind: Literal["training", "processing"]
    name: str
    arn: str
    region: str
    created: float
    image: str
    instance_type: str
    entrypoint: tuple[str, ...]
    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    files: Mapping[str, str]
    """Text by path below /opt/ml."""
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    checkpoints: Output | None = None
    """Restored before the start, mirrored while the job runs."""
    max_runtime: float | None = None
    metrics: tuple[Mapping[str, str], ...] = ()
    artifacts: str | None = None
    """What ModelArtifacts.S3ModelArtifacts says when the model has been uploaded."""
    isolated: bool = False
    """It reaches nothing, and has no credentials."""
    folders: tuple[str, ...] = field(default=())
    """Folders below /opt/ml that there are, each after the one that it is in."""

    @property
    def uploads(self) -> tuple[Output, ...]:
        """All that is uploaded, checkpoints too."""
        return self.outputs if self.checkpoints is None else (*self.outputs, self.checkpoints)

    @property
    def log_group(self) -> str:
        return "/aws/sagemaker/TrainingJobs" if self.kind == "training" else "/aws/sagemaker/ProcessingJobs"

    @property
    def log_stream(self) -> str:
        return f"{self.name}/{HOST}-{int(self.created)}"

    def command(self, image: Image) -> tuple[str, ...]:
        """The container's command line: as Docker would make it of image and request.

        A training container is run with the argument `train` unless the request has arguments or an entrypoint.
        """
        if self.entrypoint:
            return self.entrypoint + self.arguments
        if self.kind == "training":
            return tuple(image.entrypoint) + (self.arguments or ("train",))
        return tuple(image.entrypoint) + (self.arguments or tuple(image.command))


def network_interface() -> str:
    """The interface that a job of one machine finds itself by; AWS says eth0."""
    return "eth0" if Path("/sys/class/net/eth0").exists() else "lo"


def training_contract(document: Document, interface: str) -> Contract:
    """Of a training job's document."""
    name, arn = document["TrainingJobName"], document["TrainingJobArn"]
    algorithm, resources = document["AlgorithmSpecification"], document["ResourceConfig"]
    region, kind = Arn.parse(arn).region, resources["InstanceType"]
    channels = document.get("InputDataConfig", [])
    base = f"{document['OutputDataConfig']['S3OutputPath'].rstrip('/')}/{name}/output"
    plain = document["OutputDataConfig"].get("CompressionType") == "NONE"
    model = Output("model", f"{ROOT}/model", f"{base}/model/" if plain else f"{base}/model.tar.gz")
    data = Output("output", f"{ROOT}/output/data", f"{base}/output.tar.gz", "archive")
    checkpoint = document.get("CheckpointConfig")
    isolated = bool(document.get("EnableNetworkIsolation"))
    return Contract(
        kind="training",
        name=name,
        arn=arn,
        region=region,
        created=document["CreationTime"],
        image=algorithm["TrainingImage"],
        instance_type=kind,
        entrypoint=tuple(algorithm.get("ContainerEntrypoint", ())),
        arguments=tuple(algorithm.get("ContainerArguments", ())),
        environment={
            "AWS_REGION": region,
            "TRAINING_JOB_NAME": name,
            "TRAINING_JOB_ARN": arn,
            **document.get("Environment", {}),
        },
        files={
            "input/config/hyperparameters.json": _json(document.get("HyperParameters", {})),
            "input/config/inputdataconfig.json": _json({c["ChannelName"]: _channel(c, algorithm) for c in channels}),
            "input/config/resourceconfig.json": _json(_training_resources(kind, "lo" if isolated else interface)),
        },
        isolated=isolated,
        inputs=tuple(
            _input(c["ChannelName"], f"{ROOT}/input/data/{c['ChannelName']}", c["DataSource"]["S3DataSource"])
            for c in channels
        ),
        outputs=(model if plain else Output(model.name, model.target, model.uri, "archive"), data),
        checkpoints=_checkpoints(checkpoint) if checkpoint else None,
        max_runtime=document.get("StoppingCondition", {}).get("MaxRuntimeInSeconds"),
        metrics=tuple(algorithm.get("MetricDefinitions", ())),
        artifacts=model.uri,
        folders=("input", "input/config", "input/data", "model", "output", "output/data"),
    )


def processing_contract(document: Document) -> Contract:
    """Of a processing job's document."""
    name, arn = document["ProcessingJobName"], document["ProcessingJobArn"]
    application, region = document["AppSpecification"], Arn.parse(arn).region
    asked = (
        *("ProcessingJobArn", "ProcessingJobName", "AppSpecification", "Environment", "ProcessingInputs"),
        *("ProcessingOutputConfig", "ProcessingResources", "RoleArn", "StoppingCondition"),
    )
    outputs = document.get("ProcessingOutputConfig", {}).get("Outputs", [])
    return Contract(
        kind="processing",
        name=name,
        arn=arn,
        region=region,
        created=document["CreationTime"],
        image=application["ImageUri"],
        instance_type=document["ProcessingResources"]["ClusterConfig"]["InstanceType"],
        entrypoint=tuple(application.get("ContainerEntrypoint", ())),
        arguments=tuple(application.get("ContainerArguments", ())),
        environment={"AWS_REGION": region, "PROCESSING_JOB_ARN": arn, **document.get("Environment", {})},
        files={
            "config/processingjobconfig.json": _json({key: document[key] for key in asked if key in document}),
            "config/resourceconfig.json": _json({"current_host": HOST, "hosts": [HOST]}),
        },
        isolated=bool(document.get("NetworkConfig", {}).get("EnableNetworkIsolation")),
        inputs=tuple(
            _input(i["InputName"], posixpath.normpath(i["S3Input"]["LocalPath"]), i["S3Input"])
            for i in document.get("ProcessingInputs", [])
        ),
        outputs=tuple(
            Output(
                o["OutputName"],
                posixpath.normpath(o["S3Output"]["LocalPath"]),
                o["S3Output"]["S3Uri"].rstrip("/") + "/",
                "mirror" if o["S3Output"]["S3UploadMode"] == "Continuous" else "tree",
            )
            for o in outputs
        ),
        max_runtime=document.get("StoppingCondition", {}).get("MaxRuntimeInSeconds"),
        folders=("config", "processing", "output"),
    )


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _channel(channel: Document, algorithm: Document) -> dict[str, str]:
    source = channel["DataSource"]["S3DataSource"]
    found = {
        "TrainingInputMode": channel.get("InputMode") or algorithm.get("TrainingInputMode", "File"),
        "S3DistributionType": source.get("S3DataDistributionType", "FullyReplicated"),
        "RecordWrapperType": channel.get("RecordWrapperType", "None"),
    }
    return {**found, **({"ContentType": channel["ContentType"]} if "ContentType" in channel else {})}


def _training_resources(instance_type: str, interface: str) -> dict[str, Any]:
    group = {"instance_group_name": GROUP, "instance_type": instance_type, "hosts": [HOST]}
    return {
        "current_host": HOST,
        "current_instance_type": instance_type,
        "current_group_name": GROUP,
        "hosts": [HOST],
        "instance_groups": [group],
        "network_interface_name": interface,
    }


def _input(name: str, target: str, source: Document) -> Input:
    return Input(name, target, source["S3Uri"], manifest=source.get("S3DataType") == "ManifestFile")


def _checkpoints(config: Document) -> Output:
    local = posixpath.normpath(config.get("LocalPath", f"{ROOT}/checkpoints"))
    return Output("checkpoints", local, config["S3Uri"].rstrip("/") + "/", "mirror")
