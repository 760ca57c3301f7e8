"""`modelwright demo`: the workshop, end to end.

A server with a home of its own, the training image from its Dockerfile, data in a bucket, the notebook run by the
official SDK in a Python of its own, the steps live on the terminal, and at the end what came of it. Nothing here is
special: each part is what a user would do, by the same commands and calls.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from botocore.exceptions import ClientError
from rich.console import Group as Stack
from rich.text import Text

from modelwright.cli.clients import NOTEBOOK_RUNNER
from modelwright.cli.commands import Command, pass_console, port_option
from modelwright.cli.console import Console, pages, stop_with, without_metadata
from modelwright.cli.demo_deploy import Deployment, deploy, say
from modelwright.cli.executions import steps_of
from modelwright.cli.images import progress_of
from modelwright.cli.live import display, drawing
from modelwright.cli.server import start_detached
from modelwright.errors import ConfigurationError
from modelwright.images.library import LocalImages
from modelwright.server.environment import applied

HOME = "~/.modelwright-demo"
PIPELINE = "PoseYOLOv8-pipeline"
GROUP = "PoseYOLOv8"
BUCKET = "datasets-yolo"
DATA = "coco8-pose"
NOTEBOOK = "pose-yolov8-sagemaker.ipynb"
EXAMPLE = Path(__file__).parents[3] / "examples" / "pose-yolov8"
GROUPS = {"TrainingJob": "/aws/sagemaker/TrainingJobs", "ProcessingJob": "/aws/sagemaker/ProcessingJobs"}


@dataclass(frozen=True)
class Workshop:
    """What one run of the demo is about."""

    console: Console
    example: Path
    python: str
    folder: Path
    """For what this run makes: data, executed notebook, log."""

    @property
    def image(self) -> str:
        settings = self.console.settings
        return f"{settings.account}.dkr.ecr.{settings.region}.amazonaws.com/pose-yolov8-train:latest"


@click.command("demo", cls=Command)
@click.option("--data", metavar="FILE|DIR", type=click.Path(exists=True), help="Real data in coco8-pose's layout.")
@click.option("--epochs", type=click.IntRange(1), default=14, show_default=True, help="How long to train.")
@click.option("--image-size", type=click.IntRange(32), default=128, show_default=True, help="In pixels.")
@click.option("--threshold", type=float, default=0.5, show_default=True, help="The mAP50 that a model must reach.")
@click.option("--python", metavar="PATH", help="A Python with the sagemaker SDK (v2), nbclient and ipykernel.")
@click.option("--example", type=click.Path(exists=True, file_okay=False, path_type=Path), help="The example's folder.")
@click.option(
    "--deploy/--no-deploy", "deploying", default=True, help="Whether to go on to production.  [default: deploy]"
)
@click.option("--interactive", is_flag=True, help="Wait until you approve production, instead of approving it.")
@click.option("--stop/--keep", default=False, help="Whether to stop the server at the end.  [default: keep]")
@port_option
@pass_console
def demo(
    console: Console,
    data: str | None,
    epochs: int,
    image_size: int,
    threshold: float,
    python: str | None,
    example: Path | None,
    deploying: bool,
    interactive: bool,
    stop: bool,
) -> None:
    """Run the workshop: train, evaluate, gate, register, approve and deploy YOLOv8 pose, with the official SDK.

    The server has a home of its own, ~/.modelwright-demo, unless --home or MODELWRIGHT_HOME names another.
    """
    begin = time.time()
    if console.home is None and "MODELWRIGHT_HOME" not in os.environ:
        console.home = str(Path(HOME).expanduser())
    if console.port is None and "MODELWRIGHT_PORT" not in os.environ:
        console.port = 0
    example = example or EXAMPLE
    if not (example / NOTEBOOK).is_file():
        raise ConfigurationError(
            f"There is no {example / NOTEBOOK}. Get Modelwright's repository and name the folder: --example DIR"
        )
    settings = console.settings
    folder = settings.home / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    example = copy_of(example, folder)
    workshop = Workshop(console, example, python or sdk_python(example, settings.home), folder)

    server, _ = start_detached(console)
    say(console, f"server: {server.url}, home {settings.home}")
    try:
        image_seconds = build_image(workshop)
        upload_data(workshop, data)
        ends_well = run_notebook(
            workshop,
            {
                "POSE_TRAINING_IMAGE": workshop.image,
                "POSE_DATA": DATA,
                "POSE_BUCKET": BUCKET,
                "POSE_PIPELINE": PIPELINE,
                "POSE_GROUP": GROUP,
                "POSE_EPOCHS": str(epochs),
                "POSE_IMAGE_SIZE": str(image_size),
                "POSE_MAP_THRESHOLD": str(threshold),
            },
        )
        result = summarize(workshop, image_seconds, threshold)
        if deploying and result.get("ModelApprovalStatus"):
            result["Deployment"] = deploy(
                Deployment(
                    console,
                    GROUP,
                    result["ModelPackageArn"],
                    sorted((folder / DATA / "test" / "images").glob("*.jpg"))[0],
                    [workshop.python, str(example / "draw.py")],
                    folder,
                    interactive,
                )
            )
        if result:
            result["Seconds"] = round(time.time() - begin, 1)
            tell(workshop, result, stop)
    finally:
        if stop:
            subprocess.run([sys.executable, "-m", "modelwright", "down", "--home", str(settings.home)], check=True)
    if not ends_well:
        stop_with("the demo failed; see above")


def copy_of(example: Path, folder: Path) -> Path:
    """The SDK writes into the folders that a notebook names: it gets its own."""
    target = folder / "pose-yolov8"
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(example, target)
    return target


def sdk_python(example: Path, home: Path) -> str:
    """A Python with the SDK: made in the home folder on first use."""
    python = home / "sdk" / "bin" / "python"
    if not (home / "sdk" / "ready").exists():
        click.echo("==> installing the official SDK for the notebook (once, a minute)", err=True)
        subprocess.run([sys.executable, "-m", "venv", home / "sdk"], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", example / "requirements.txt"], check=True)
        (home / "sdk" / "ready").touch()
    return str(python)


def build_image(workshop: Workshop) -> float:
    """How many seconds it took. Of its progress the instructions are shown, not what pip says of each package."""
    begin = time.monotonic()
    console = workshop.console
    say(console, f"training image: {workshop.example.name}/train/Dockerfile")
    with progress_of(console, "building the training image (a minute or two, once)") as progress:

        def instructions(line: str) -> None:
            if line.startswith("["):
                progress(line)

        LocalImages(console.settings).build(workshop.example / "train", workshop.image, instructions)
    return round(time.monotonic() - begin, 1)


def upload_data(workshop: Workshop, source: str | None) -> None:
    """The bucket and what belongs into it; objects that are there already are left."""
    console = workshop.console
    folder = workshop.folder / DATA
    command = [workshop.python, str(workshop.example / "pose_data.py"), str(folder)]
    command += ["--source", source] if source else []
    made = subprocess.run(command, check=False, capture_output=True, text=True)
    if made.returncode:
        raise ConfigurationError(f"The data can't be used: {made.stderr.strip()}")
    say(console, f"data: s3://{BUCKET}/{DATA} ({', '.join(made.stdout.strip().splitlines())})")
    client = console.client("s3")
    try:
        client.create_bucket(Bucket=BUCKET)
    except ClientError as error:
        if error.response["Error"]["Code"] != "BucketAlreadyOwnedByYou":
            raise
    files = {f"{DATA}/{file.relative_to(folder)}": file for file in folder.rglob("*") if file.is_file()}
    listing = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{DATA}/")
    present = {item["Key"]: item["Size"] for page in listing for item in page.get("Contents", [])}
    for key in present.keys() - files.keys():
        client.delete_object(Bucket=BUCKET, Key=key)
    for key, file in files.items():
        if source or present.get(key) != file.stat().st_size:
            client.put_object(Bucket=BUCKET, Key=key, Body=file.read_bytes())


def run_notebook(workshop: Workshop, parameters: dict[str, str]) -> bool:
    """Run it and show the steps of the execution that it starts. Whether all went well."""
    console = workshop.console
    say(console, f"notebook: {NOTEBOOK} with the sagemaker SDK ({workshop.python})")
    client = console.client("sagemaker")
    before = newest_execution(client)
    environment = applied(os.environ, console.environment()) | parameters
    environment |= {"SAGEMAKER_SUPPRESS_V2_WARNING": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    executed = workshop.folder / NOTEBOOK
    command = [workshop.python, str(NOTEBOOK_RUNNER), str(workshop.example / NOTEBOOK), str(executed)]
    with (workshop.folder / "notebook.log").open("w+") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT)
        try:
            follow(console, client, before, process)
        finally:
            process.terminate()
            code = process.wait()
        log.seek(0)
        said = log.read()
    if code:
        click.echo(said[-4000:], err=True)
    return code == 0


def newest_execution(client: Any) -> str | None:
    try:
        found = client.list_pipeline_executions(PipelineName=PIPELINE, MaxResults=1)["PipelineExecutionSummaries"]
    except ClientError:
        return None  # there is no such pipeline yet
    return found[0]["PipelineExecutionArn"] if found else None


def follow(console: Console, client: Any, before: str | None, process: subprocess.Popen[bytes]) -> None:
    """Until the notebook has ended: its execution's steps, with the last line that the running job printed."""
    pause = threading.Event()
    with display(console, LastLines(console.client("logs")).of, aside=console.as_json) as show:
        while process.poll() is None:
            arn = newest_execution(client)
            if arn not in (None, before):
                document = client.describe_pipeline_execution(PipelineExecutionArn=arn)
                show(document, steps_of(client, str(arn)))
            pause.wait(1)


class LastLines:
    """What the jobs of running steps printed last."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def of(self, steps: list[dict[str, Any]]) -> Text:
        lines: list[str] = []
        for step in steps:
            for kind, detail in step.get("Metadata", {}).items():
                if step["StepStatus"] == "Executing" and kind in GROUPS:
                    self._read(GROUPS[kind], detail["Arn"].rsplit("/", 1)[1], lines)
        return Text("\n".join(line[:160] for line in lines[-5:]), style="dim")

    def _read(self, group: str, job: str, lines: list[str]) -> None:
        for stream in self._streams(group, job):
            events = self._client.get_log_events(logGroupName=group, logStreamName=stream, limit=5)["events"]
            lines += [event["message"] for event in events]

    def _streams(self, group: str, job: str) -> list[str]:
        try:
            found = pages(self._client, "describe_log_streams", "logStreams", logGroupName=group)
        except ClientError:
            return []  # nothing printed yet
        return [s["logStreamName"] for s in found if s["logStreamName"].lower().startswith(f"{job.lower()}/")]


def summarize(workshop: Workshop, image_seconds: float, threshold: float) -> dict[str, Any]:
    """Steps, mAP, the package; empty where no execution began."""
    console = workshop.console
    client = console.client("sagemaker")
    arn = newest_execution(client)
    if arn is None:
        return {}
    execution = without_metadata(client.describe_pipeline_execution(PipelineExecutionArn=arn))
    steps = steps_of(client, arn)
    registered = next((step for step in steps if "RegisterModel" in step.get("Metadata", {})), None)
    package = registered["Metadata"]["RegisterModel"]["Arn"] if registered else None
    if package and execution["PipelineExecutionStatus"] == "Succeeded":
        status = client.describe_model_package(ModelPackageName=package)["ModelApprovalStatus"]
    else:
        status = None
    return {
        "PipelineExecutionArn": arn,
        "PipelineExecutionStatus": execution["PipelineExecutionStatus"],
        "Execution": execution,
        "Steps": steps,
        "mAP50": map50(console, steps),
        "Threshold": threshold,
        "ModelPackageArn": package,
        "ModelApprovalStatus": status,
        "Notebook": str(workshop.folder / NOTEBOOK),
        "ImageSeconds": image_seconds,
    }


def tell(workshop: Workshop, result: dict[str, Any], stopping: bool) -> None:
    """What came of it, and where to look next."""
    console = workshop.console
    execution = result.pop("Execution")
    status, package = result["ModelApprovalStatus"], result["ModelPackageArn"]

    def lines() -> Stack:
        gated = execution["PipelineExecutionStatus"] == "Succeeded" and not status
        now = "Approved" if "Deployment" in result else status
        model = "none: the mAP did not reach the threshold" if gated else f"{package} {now}" if status else "none"
        where = f"--home {console.settings.home}"
        look = ["studio", "executions list", "models list", "jobs list", "deployments list", "endpoints list"]
        look = [f"modelwright {what} {where}" for what in look]
        if stopping:
            look.insert(0, f"modelwright up --detach {where}")
        return Stack(
            *drawing(execution, result["Steps"]),
            Text(f"mAP50 on unseen images: {result['mAP50']} (threshold {result['Threshold']})"),
            Text(f"model package: {model}"),
            *deployed(result.get("Deployment")),
            Text(f"executed notebook: {result['Notebook']}"),
            Text("look around:\n  " + "\n  ".join(look)),
            Text(f"{result['Seconds']} s altogether", style="dim"),
        )

    if not console.as_json:
        say(console, "done")
    console.show(result, lines)


def deployed(deployment: dict[str, Any] | None) -> list[Text]:
    """What production answered."""
    if deployment is None:
        return []
    people = deployment["Answer"]["predictions"]
    return [
        Text(f"endpoints: {', '.join(deployment['Endpoints'])} ({deployment['Seconds']} s from approval to answer)"),
        Text(f"production sees {len(people)} person(s); boxes and key points: {deployment['Picture']}"),
    ]


def map50(console: Console, steps: list[dict[str, Any]]) -> float | None:
    """What the evaluation found, read where the registry reads it."""
    for step in steps:
        job = step.get("Metadata", {}).get("ProcessingJob")
        if job and step["StepStatus"] == "Succeeded":
            name = next(
                summary["ProcessingJobName"]
                for summary in pages(console.client("sagemaker"), "list_processing_jobs", "ProcessingJobSummaries")
                if summary["ProcessingJobArn"] == job["Arn"]
            )
            document = console.client("sagemaker").describe_processing_job(ProcessingJobName=name)
            uri = document["ProcessingOutputConfig"]["Outputs"][0]["S3Output"]["S3Uri"]
            bucket, _, prefix = uri.removeprefix("s3://").partition("/")
            body = console.client("s3").get_object(Bucket=bucket, Key=f"{prefix}/evaluation.json")["Body"]
            return float(json.load(body)["pose_metrics"]["mAP50"]["value"])
    return None


COMMANDS = (demo,)
