"""What a pipeline step costs beyond its process: 40 training steps whose container runs `true`.

In a chain and side by side, beside a bare loop and `make -j2` that run `true` in a bubblewrap sandbox of the same kind.
Every step is a whole training job: durable events, /opt/ml, a sandbox, logs, a description.
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.report import Report
from benchmarks.servers import Endpoint, modelwright

TITLE = "Steps: a chain and a fan-out of 40 training steps that run `true`"
STEPS = 40
ROUNDS = 5
ROLE = "arn:aws:iam::111122223333:role/ModelwrightExecutionRole"
IMAGE = "bench-true:latest"
SANDBOX = (
    "bwrap --unshare-pid --unshare-ipc --unshare-uts --die-with-parent --new-session --ro-bind / / --dev /dev "
    "--proc /proc --tmpfs /tmp --tmpfs /opt --bind {job} /opt/ml --chdir /opt/ml true"
)


def run() -> Report:
    report = Report(["40 times `true`", "ms in all", "ms a step", "ms a step beyond the bare sandboxed process"])
    with tempfile.TemporaryDirectory() as folder:
        loop = statistics.median(bare_loop(Path(folder)) for _ in range(ROUNDS))
        chain_make, fan_make = (median_make(Path(folder), chained) for chained in (True, False))
    # The smallest training instance has 2 vCPUs: with 4, two jobs run at once, as with make -j2.
    with modelwright(MODELWRIGHT_CPUS="4", MODELWRIGHT_MEMORY="16") as endpoint:
        build_image(endpoint)
        chain, fan = (median_pipeline(endpoint, chained) for chained in (True, False))
    rows = [
        ("bare loop, sandboxed", loop, loop),
        ("make, a chain, sandboxed", chain_make, loop),
        ("Modelwright, a chain", chain, loop),
        ("make -j2, side by side, sandboxed", fan_make, fan_make),
        ("Modelwright, side by side", fan, fan_make),
    ]
    for name, took, bare in rows:
        beyond = "" if took == bare else f"{(took - bare) / STEPS * 1000:.1f}"
        report.add(name, f"{took * 1000:.0f}", f"{took / STEPS * 1000:.1f}", beyond)
    report.note = (
        "Medians of five runs, from the first step's start to the last one's end. The bare process of the rows side by "
        "side is that of `make -j2`. Aim: 10 ms a step beyond the bare process, 25 at most."
    )
    return report


def bare_loop(folder: Path) -> float:
    command = SANDBOX.format(job=folder).split()
    begin = time.perf_counter()
    for _ in range(STEPS):
        subprocess.run(command, check=True)
    return time.perf_counter() - begin


def median_make(folder: Path, chained: bool) -> float:
    """Each target is a sandboxed `true`; in a chain each needs the one before it."""
    lines = [f"all: {' '.join(f's{i}' for i in range(STEPS))}"]
    for i in range(STEPS):
        needed = f"s{i - 1}" if chained and i else ""
        lines.append(f"s{i}: {needed}\n\t@{SANDBOX.format(job=folder)}")
    (folder / "Makefile").write_text("\n".join(lines) + "\n")
    took = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        subprocess.run(["make", "-s", "-j2", "-C", str(folder)], check=True)
        took.append(time.perf_counter() - begin)
    return statistics.median(took)


def build_image(endpoint: Endpoint) -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "Dockerfile").write_text('FROM python:3.11-slim\nENTRYPOINT ["true"]\n')
        command = [sys.executable, "-m", "modelwright", "images", "build", folder, "-t", IMAGE, "--home"]
        subprocess.run([*command, str(endpoint.home)], check=True, stdout=subprocess.DEVNULL)
    endpoint.client("s3").create_bucket(Bucket="bench")


def median_pipeline(endpoint: Endpoint, chained: bool) -> float:
    client = endpoint.client("sagemaker")
    name = "chain" if chained else "fan"
    definition = {"Version": "2020-12-01", "Steps": [step(i, chained) for i in range(STEPS)]}
    client.create_pipeline(
        PipelineName=name, PipelineDefinition=json.dumps(definition), RoleArn=ROLE, ClientRequestToken=name * 12
    )
    return statistics.median(execution(client, name) for _ in range(ROUNDS))


def step(number: int, chained: bool) -> dict[str, object]:
    arguments = {
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File"},
        "RoleArn": ROLE,
        "OutputDataConfig": {"S3OutputPath": "s3://bench/output"},
        "ResourceConfig": {"InstanceType": "ml.t3.medium", "InstanceCount": 1, "VolumeSizeInGB": 1},
        "StoppingCondition": {"MaxRuntimeInSeconds": 60},
    }
    made: dict[str, object] = {"Name": f"S{number:02d}", "Type": "Training", "Arguments": arguments}
    if chained and number:
        made["DependsOn"] = [f"S{number - 1:02d}"]
    return made


def execution(client, name: str) -> float:
    """Seconds, by the server's own times."""
    arn = client.start_pipeline_execution(PipelineName=name)["PipelineExecutionArn"]
    pause = threading.Event()
    while client.describe_pipeline_execution(PipelineExecutionArn=arn)["PipelineExecutionStatus"] == "Executing":
        pause.wait(0.2)
    steps = client.list_pipeline_execution_steps(PipelineExecutionArn=arn, MaxResults=100)["PipelineExecutionSteps"]
    if [s["StepStatus"] for s in steps] != ["Succeeded"] * STEPS:
        raise RuntimeError(f"{name}: {[s.get('FailureReason') for s in steps if s['StepStatus'] != 'Succeeded'][:1]}")
    return (max(s["EndTime"] for s in steps) - min(s["StartTime"] for s in steps)).total_seconds()


if shutil.which("bwrap") is None or shutil.which("make") is None:
    raise SystemExit("benchmarks.steps needs bubblewrap and make: apt-get install bubblewrap make")
