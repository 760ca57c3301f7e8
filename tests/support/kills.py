"""Runs platforms in child processes, kills them, and starts them again until everything has ended.

A program of its own (`python -m support.kills HOME MODE`), because it forks: one import, many short lives. It prints
one JSON line about what happened; the test asserts.
"""

import itertools
import json
import os
import random
import signal
import sys
import time
import traceback
from contextlib import contextmanager, suppress
from pathlib import Path

from modelwright.engine import jobs
from modelwright.errors import AwsError
from modelwright.objects.blobs import Blobs
from modelwright.objects.directory import DirectoryStore
from modelwright.protocol.validation import validate
from modelwright.runtimes import sandbox
from modelwright.runtimes.process import ProcessRuntime
from modelwright.store.database import Database
from support.platform import Platform, processing, training

SAY = "echo begin; sleep {}; echo end; echo model > /opt/ml/model/m"
PROCESS = "echo begin; echo '{{\"m\": 1}}' > /opt/ml/processing/out/e.json; sleep {}; echo end"
LIMIT = 180


def steps(pause):
    """Train A and B, evaluate both, gate, register."""
    container = {"Image": "bare", "ModelDataUrl": {"Get": "Steps.A.ModelArtifacts.S3ModelArtifacts"}}
    package = {
        "ModelPackageGroupName": "group",
        "ModelApprovalStatus": "PendingManualApproval",
        "InferenceSpecification": {
            "Containers": [container],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
        },
    }
    evaluate = processing(
        PROCESS.format(pause),
        [("a", {"Get": "Steps.A.ModelArtifacts.S3ModelArtifacts"}, "/opt/ml/processing/a")],
        [
            (
                "out",
                {"Std:Join": {"On": "/", "Values": ["s3://bucket/e", {"Get": "Execution.PipelineExecutionId"}]}},
                "/opt/ml/processing/out",
            )
        ],
    )
    report = {"PropertyFileName": "R", "OutputName": "out", "FilePath": "e.json"}
    found = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.Eval.PropertyFiles.R"}, "Path": "m"}}
    gate = {
        "Conditions": [{"Type": "Equals", "LeftValue": found, "RightValue": 1}],
        "IfSteps": [{"Name": "Register", "Type": "RegisterModel", "Arguments": package}],
        "ElseSteps": [],
    }
    return [
        {"Name": "A", "Type": "Training", "Arguments": training(SAY.format(pause))},
        {"Name": "B", "Type": "Training", "Arguments": training(SAY.format(pause))},
        {"Name": "Eval", "Type": "Processing", "Arguments": evaluate, "PropertyFiles": [report], "DependsOn": ["B"]},
        {"Name": "Gate", "Type": "Condition", "Arguments": gate},
    ]


def child(action):
    """The process id of a child that does it and ends."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        action()
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def wait(pid):
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def answer(home, ask):
    """What `ask(platform)` finds, asked in a child without an engine."""
    reader, writer = os.pipe()

    def act():
        platform = Platform(home)
        os.write(writer, json.dumps(ask(platform)).encode())
        platform.close()

    pid = child(act)
    os.close(writer)
    with os.fdopen(reader) as file:
        text = file.read()
    assert wait(pid) == 0
    return json.loads(text)


def prepare(home, executions, pause):
    def act(platform):
        platform.bucket()
        first = platform.run_pipeline("p", *steps(pause))
        return [first, *(platform.execute("p", token=f"execution-{i}") for i in range(1, executions))]

    return answer(home, act)


def live(home, arns, seam=None):
    """An engine's life: until all executions have ended, or a seam kills it."""

    def act():
        if seam is not None:
            dangerous(seam)
        platform = Platform(home).start(grace=5)
        for arn in arns:
            platform.executed(arn, timeout=LIMIT)

    return child(act)


def dangerous(seam):
    """This process dies at its `seam`th seam: before or after a commit, a start, a stored object, a removal.

    Returns what makes a seam of one's own.
    """
    count = itertools.count(1)

    def here():
        if next(count) == seam:
            os.kill(os.getpid(), signal.SIGKILL)

    def around(owner, name):
        method = getattr(owner, name)

        def dangerously(*args, **kwargs):
            here()
            result = method(*args, **kwargs)
            here()
            return result

        setattr(owner, name, dangerously)

    write = Database.write

    @contextmanager
    def dangerous_write(self):
        with write(self) as transaction:
            yield transaction
            here()
        here()

    Database.write = dangerous_write
    for owner, name in (
        (ProcessRuntime, "start"),
        (ProcessRuntime, "poll"),
        (ProcessRuntime, "remove"),
        (DirectoryStore, "put_bytes"),
        (DirectoryStore, "put_file"),
        (DirectoryStore, "view"),
        (Blobs, "adopt"),
    ):
        around(owner, name)
    return here


def said(platform, group, job):
    """What the job said itself; it may have had to wait."""
    return [line for line in platform.log(group, job) if not line.startswith("Waiting for ")]


def result(home, arns):
    """What came out: statuses, and the lines of each job."""

    def ask(platform):
        trained = platform.call("ListTrainingJobs", MaxResults=100)["TrainingJobSummaries"]
        processed = platform.call("ListProcessingJobs", MaxResults=100)["ProcessingJobSummaries"]
        packages = platform.count("ModelPackage")
        return {
            "executions": [platform.execution(arn)["PipelineExecutionStatus"] for arn in arns],
            "steps": [{name: s["StepStatus"] for name, s in platform.steps(arn).items()} for arn in arns],
            "reasons": [s.get("FailureReason") for arn in arns for s in platform.steps(arn).values()],
            "jobs": [job["TrainingJobStatus"] for job in trained] + [j["ProcessingJobStatus"] for j in processed],
            "lines": [said(platform, "/aws/sagemaker/TrainingJobs", job["TrainingJobName"]) for job in trained]
            + [said(platform, "/aws/sagemaker/ProcessingJobs", job["ProcessingJobName"]) for job in processed],
            "packages": packages,
        }

    return answer(home, ask)


def at_random(home, executions=6, pause=0.2, most=0.2):
    """Kill at random moments until everything has ended. Lives grow longer: a busy machine gets on as well."""
    chance = random.Random(os.environ.get("SEED", "7"))
    arns, kills, begun = prepare(home, executions, pause), 0, time.monotonic()
    while time.monotonic() - begun < LIMIT:
        pid = live(home, arns)
        time.sleep(chance.uniform(0.0, most * 1.12**kills))
        os.kill(pid, signal.SIGKILL)
        kills += 1
        if wait(pid) == 0:
            break
        ended = answer(home, lambda p: all(p.execution(a)["PipelineExecutionStatus"] != "Executing" for a in arns))
        if ended:
            break
    return {"kills": kills, "seconds": time.monotonic() - begun, **result(home, arns)}


def at_each_seam(home, first=1, step=1):
    """One life that ends at seam 1, 2, 3, ..., each followed by one to the end, until a life has fewer seams.

    Every other run treats all outputs as large, whose upload is a step of its own.
    """
    jobs.LIGHT = jobs.LIGHT if first % 2 else 0
    outcomes, seam = [], first
    while True:
        place = home / str(seam)
        arns = prepare(place, 1, 0.01)
        died = wait(live(place, arns, seam)) == -signal.SIGKILL
        if died:
            assert wait(live(place, arns)) == 0
        outcomes.append({"seam": seam, "died": died, **result(place, arns)})
        if not died:
            return outcomes
        seam += step


def warm():
    """Load here what every life would load again."""
    for operation in ("CreateTrainingJob", "CreateProcessingJob", "CreateModelPackage", "DescribeTrainingJob"):
        with suppress(AwsError):
            validate("sagemaker", operation, {})
    sandbox.choose("auto")


if __name__ == "__main__":
    warm()
    where, mode, *numbers = sys.argv[1:]
    run = {"random": at_random, "seams": at_each_seam}[mode]
    sys.stdout.write(json.dumps(run(Path(where), *map(int, numbers))) + "\n")
