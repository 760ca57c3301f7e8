"""Studio with 10,000 executions, jobs, versions and audited calls; its weight; a graph of 500 steps in a browser."""

from __future__ import annotations

import gzip
import http.client
import json
import shutil
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.control_plane import ROLE, job
from benchmarks.report import Report
from benchmarks.servers import WITH_BYTECODE, Endpoint, modelwright

TITLE = "Studio: pages at 10,000 executions"
COUNT = 10_000
STEPS, NODES = 50, 500
ROUNDS = 15
ARN = "arn:aws:sagemaker:us-east-1:111122223333"
WHO = {"IamIdentity": {"Arn": f"{ROLE}/admin", "PrincipalId": "AIDA:admin"}}
PAGES = {
    "home (the first page)": "/studio/",
    "pipelines": "/studio/pipelines",
    "executions": "/studio/pipelines/bench",
    "executions, page 4": "",
    "executions, found by name": "/studio/pipelines/bench?search=run-99",
    "executions, a name that none has": "/studio/pipelines/bench?search=nothing",
    "executions, by status": "/studio/pipelines/bench?status=Failed",
    "executions, sorted by name": "/studio/pipelines/bench?sort=name&order=up",
    "executions, a column of parameters": "/studio/pipelines/bench?column=Epochs",
    "an execution of 50 steps, the most": "/studio/pipelines/wide/executions/{wide}",
    "jobs": "/studio/jobs/training",
    "jobs, found by name and status": "/studio/jobs/training?search=job-99&status=Completed",
    "model groups": "/studio/models",
    "model versions": "/studio/models/bench",
    "model versions, by status": "/studio/models/bench?status=Approved",
    "a model version": "/studio/models/bench/5000",
    "a job": "/studio/jobs/training/job-5000",
    "projects": "/studio/projects",
    "settings": "/studio/settings",
    "audit": "/studio/audit",
    "audit, by user": "/studio/audit?user=dana",
}


def run() -> Report:
    report = Report(["page", "ms from the server (median)", "KiB in all", "KiB in all, gzipped"])
    with modelwright() as endpoint:
        wide = fill(endpoint)
        for name, path in visited(endpoint, wide).items():
            took, size, packed = measure(endpoint, path)
            report.add(name, f"{took:.0f}", f"{size / 1024:.0f}", f"{packed / 1024:.0f}")
        took_list = listing(endpoint)
        laid_out = layout(endpoint, f"/studio/pipelines/wide/executions/{wide}")
    report.add("ListPipelineExecutions of the API", f"{took_list:.0f}", "", "")
    report.add(f"a graph of {NODES} steps, laid out and drawn by the browser", laid_out, "", "")
    report.note = (
        f"{COUNT:,} executions of one pipeline, as many training jobs, model versions and audited calls. A page's "
        "weight counts its scripts and styles, which a browser keeps. The server sends them as they are: "
        "it is on the same machine. Aims: 100 ms, 300 KB, 1 s for the graph."
    )
    return report


def fill(endpoint: Endpoint) -> str:
    """Running that much would take days: documents and events go into the store as the engine leaves them.

    Returns the id of an execution of as many steps as a pipeline may have.
    """
    client = endpoint.client("sagemaker")
    steps = [{"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": "x"}}]
    parameters = [{"Name": "Epochs", "Type": "Integer", "DefaultValue": 3}]
    for name, declared in (("bench", steps), ("wide", wide_steps())):
        definition = json.dumps({"Version": "2020-12-01", "Parameters": parameters, "Steps": declared})
        client.create_pipeline(
            PipelineName=name, PipelineDefinition=definition, RoleArn=ROLE, ClientRequestToken=uuid.uuid4().hex
        )
    for number in range(30):
        client.create_model_package_group(ModelPackageGroupName="bench" if number == 0 else f"group-{number}")
    definitions = {
        name: client.describe_pipeline(PipelineName=name)["PipelineDefinition"] for name in ("bench", "wide")
    }
    assert endpoint.home is not None
    store(endpoint.home, definitions)
    return f"{0:012d}"


def wide_steps() -> list[dict[str, Any]]:
    """Five rows of ten, each step after one or two of the row above."""
    return [
        {
            "Name": f"Step-{number:03d}",
            "Type": "Training",
            "Arguments": {member: value for member, value in job(0).items() if member != "TrainingJobName"},
            "DependsOn": [f"Step-{each:03d}" for each in {number - 10, number - 10 + number % 3 - 1} if each >= 0],
        }
        for number in range(STEPS)
    ]


def store(home: Path, definitions: dict[str, str]) -> None:
    from modelwright.store.audit import Entry, add_entries
    from modelwright.store.database import Database
    from modelwright.store.history import Event, History
    from modelwright.store.resources import insert_resource

    database, history, now = Database(f"sqlite:///{home}/modelwright.db"), History("benchmark"), time.time() - 3 * COUNT
    statuses = ("Succeeded", "Succeeded", "Failed", "Stopped")
    entries = []

    def execution(transaction: Any, pipeline: str, number: int, steps: list[str]) -> None:
        identity, at, status = f"{number:012d}", now + number, statuses[number % 4]
        arn = f"{ARN}:pipeline/{pipeline}/execution/{identity}"
        document = {
            "PipelineArn": f"{ARN}:pipeline/{pipeline}", "PipelineExecutionArn": arn,
            "PipelineExecutionDisplayName": f"run-{number}", "PipelineExecutionStatus": status, "CreationTime": at,
            "LastModifiedTime": at + 60, "CreatedBy": WHO, "LastModifiedBy": WHO, "PipelineVersionId": 1,
            "_PipelineName": pipeline, "_ClientRequestToken": "t" * 32, "_Request": "r" * 64,
        }  # fmt: skip
        insert_resource(
            transaction, "PipelineExecution", identity, document, created=at, arn=arn, parent=pipeline, status=status
        )
        started = {
            "PipelineDefinition": definitions[pipeline], "PipelineName": pipeline,
            "PipelineArn": document["PipelineArn"],
            "PipelineExecutionId": identity, "PipelineExecutionArn": arn, "RoleArn": ROLE, "Account": "111122223333",
            "Region": "us-east-1", "Parameters": {"Epochs": number % 9}, "StartTime": at,
        }  # fmt: skip
        events = [Event("ExecutionStarted", started, at)]
        for step in steps:
            events.append(Event("StepStarting", {"step": step, "attempt": 1}, at + 1))
            events.append(Event("StepEnded", {"step": step, "status": "Succeeded"}, at + 30))
        events.append(Event("ExecutionEnded", {"status": status}, at + 60))
        stream = f"execution/{identity}"
        history.open(transaction, stream, "Execution", events[:1], lease_until=at)
        history.append(transaction, stream, events[1:], ended=True)

    with database.write() as transaction:
        execution(transaction, "wide", 0, [step["Name"] for step in wide_steps()])
        for number in range(1, COUNT + 1):
            execution(transaction, "bench", number, ["Stop"])
            job, version = f"job-{number}", f"bench/{number}"
            document = {
                "TrainingJobName": job, "TrainingJobArn": f"{ARN}:training-job/{job}", "TrainingJobStatus": "Completed",
                "SecondaryStatus": "Completed", "CreationTime": now + number, "LastModifiedTime": now + number + 30,
                "TrainingEndTime": now + number + 30,
            }  # fmt: skip
            insert_resource(
                transaction, "TrainingJob", job, document, created=now + number,
                arn=document["TrainingJobArn"], status="Completed",
            )  # fmt: skip
            approval = ("PendingManualApproval", "Approved", "Rejected")[number % 3]
            package = {
                "ModelPackageGroupName": "bench", "ModelPackageVersion": number,
                "ModelPackageArn": f"{ARN}:model-package/{version}", "ModelPackageStatus": "Completed",
                "ModelApprovalStatus": approval, "CreationTime": now + number, "CreatedBy": WHO,
            }  # fmt: skip
            insert_resource(
                transaction, "ModelPackage", version, package, created=now + number,
                arn=package["ModelPackageArn"], parent="bench", status=approval,
            )  # fmt: skip
            record = {
                "additionalEventData": {"via": "api"}, "sourceIPAddress": "127.0.0.1", "eventID": str(uuid.uuid4()),
                "eventTime": "2026-01-01T00:00:00Z", "eventName": "CreateTrainingJob",
                "eventSource": "sagemaker.amazonaws.com",
            }  # fmt: skip
            user = "dana" if number % 50 == 0 else "admin"
            entries.append(
                Entry(
                    record["eventID"], now + number, user, record["eventSource"], record["eventName"],
                    "AWS::SageMaker::TrainingJob", job, "AKIA", False, record,
                )
            )  # fmt: skip
        add_entries(transaction, entries)
    database.close()


def visited(endpoint: Endpoint, wide: str) -> dict[str, str]:
    pages = {name: path.format(wide=wide) for name, path in PAGES.items()}
    path = "/studio/pipelines/bench"
    with session(endpoint) as get:
        for _ in range(3):
            text = get(path).decode()
            (path,) = [
                part.split('"')[0] for part in text.split('href="')[1:] if part.split("</a>")[0].endswith(">Next page")
            ]
            path = f"/studio/pipelines/bench{path}".replace("&amp;", "&")
    return {**pages, "executions, page 4": path}


def measure(endpoint: Endpoint, path: str) -> tuple[float, int, int]:
    """(median milliseconds, bytes with all that the page loads, the same gzipped)"""
    with session(endpoint) as get:
        took = []
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            text = get(path)
            took.append(time.perf_counter() - begin)
        parts = [part.split('"')[0] for part in text.decode().replace('src="', 'href="').split('href="')]
        files = [text, *(get(part) for part in sorted(set(parts)) if part.startswith("/studio/static/"))]
    return statistics.median(took) * 1000, sum(map(len, files)), sum(len(gzip.compress(each)) for each in files)


@contextmanager
def session(endpoint: Endpoint) -> Iterator[Any]:
    """`get(path)` as somebody who has signed in."""
    address = urlsplit(endpoint.url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port)
    form = f"key={endpoint.access_key}&secret={endpoint.secret_key.replace('+', '%2B').replace('/', '%2F')}"
    connection.request("POST", "/studio/sign-in", form, {"Content-Type": "application/x-www-form-urlencoded"})
    answer = connection.getresponse()
    answer.read()
    cookie = answer.headers["set-cookie"].split(";")[0]

    def get(path: str) -> bytes:
        connection.request("GET", path, headers={"Cookie": cookie, "Accept-Language": "en"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{path}: {answer.status} {text[:500]!r}")
        return text

    yield get
    connection.close()


def listing(endpoint: Endpoint) -> float:
    client = endpoint.client("sagemaker")
    took = []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        client.list_pipeline_executions(PipelineName="bench", MaxResults=100)
        took.append(time.perf_counter() - begin)
    return statistics.median(took) * 1000


def layout(endpoint: Endpoint, path: str) -> str:
    """Milliseconds that the page's own script needs. No pipeline may have as many steps: they are put in its place."""
    program = shutil.which("chromium")
    if program is None:
        return "no Chromium here"
    from playwright.sync_api import sync_playwright

    nodes = [{"name": f"s{i}", "title": f"Step {i}", "type": "Training", "status": ""} for i in range(NODES)]
    edges = [[f"s{(i - 1) // 2}", f"s{i}", ""] for i in range(1, NODES)]
    edges += [[f"s{i}", f"s{i + 40}", "true"] for i in range(100, 400, 3)]
    command = [sys.executable, "-m", "modelwright", "studio", "--home", str(endpoint.home)]
    link = subprocess.run(command, capture_output=True, text=True, check=True, env=WITH_BYTECODE).stdout.strip()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.goto(link)
        page.wait_for_url("**/studio/")
        page.goto(endpoint.url + path)
        page.locator(".graph-view .node").first.wait_for()
        taken = [page.evaluate(AGAIN, {"nodes": nodes, "edges": edges}) for _ in range(5)]
        browser.close()
    return f"{statistics.median(taken):.0f}"


AGAIN = """async (graph) => {
    const section = document.getElementById("graph");
    section.dataset.graph = JSON.stringify(graph);
    section.querySelector(".graph-view").replaceChildren();
    const script = document.createElement("script");
    script.src = `${document.querySelector('script[src*="graph.js"]').src}&again=${performance.now()}`;
    const began = performance.now();
    await new Promise((resolve) => { script.onload = resolve; document.head.append(script); });
    return performance.now() - began;
}"""
"""Runs graph.js once more, on another graph."""
