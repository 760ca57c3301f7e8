"""Kills an engine that deploys at each of its seams, and lets the next one go on.

A program of its own, because it forks: `python -m support.release_kills HOME FIRST STEP`.

A life brings a pipeline from its source over builds, staging and an approval to production. Builds and stacks are those
of a cloud that outlives it (a file), as AWS's are: what it was asked for it remembers, by its token.
"""

import io
import json
import os
import signal
import sqlite3
import sys
import threading
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path

from modelwright.engine.actions.base import Tools
from modelwright.engine.codepipelines import CodePipelines, actions
from modelwright.engine.worker import Worker
from modelwright.errors import AwsError
from modelwright.objects.directory import DirectoryStore
from modelwright.protocol.validation import validate
from modelwright.services import codepipeline
from modelwright.services.dispatch import Dispatcher
from modelwright.store import database as store
from modelwright.store.event_bus import EventBus
from modelwright.store.history import History
from support.codepipelines import BUCKET, action, archive, pipeline, stage
from support.doors import ACCOUNT, CONTEXT
from support.kills import child, dangerous, wait

LIMIT = 60
PERSON = ("Staging", "Approve")


def declaration():
    template = {"ActionMode": "CREATE_UPDATE", "TemplatePath": "Built::t.json"}
    replace = {**template, "ActionMode": "REPLACE_ON_FAILURE"}
    return pipeline(
        stage("Build", action("Compile", "Build", inputs=["Code"], outputs=["Built"])),
        stage(
            "Staging",
            action("Put", inputs=["Built"], configuration={**template, "StackName": "staging"}),
            action("Try", "Test", 2, inputs=["Built"]),
            action("Approve", "Approval", 3),
        ),
        stage("Prod", action("Put", inputs=["Built"], configuration={**replace, "StackName": "prod"})),
    )


class Cloud:
    """CodeBuild and CloudFormation. Whatever is begun has ended when it is looked at again."""

    def __init__(self, home, objects, seam=lambda: None):
        self.home, self.objects, self.seam, self.wake = home, objects, seam, lambda stream: None
        self.lock = threading.Lock()

    @contextmanager
    def file(self):
        with self.lock:
            connection = sqlite3.connect(self.home / "cloud.db", isolation_level=None)
            connection.execute("create table if not exists done (what text primary key, state text, more text)")
            connection.execute("create table if not exists log (n integer primary key, line text)")
            try:
                connection.execute("begin immediate")
                yield connection
                connection.execute("commit")
            finally:
                connection.close()

    def note(self, line):
        with self.file() as file:
            file.execute("insert into log (line) values (?)", (line,))

    def log(self):
        with self.file() as file:
            return [line for (line,) in file.execute("select line from log order by n")]

    def __call__(self, region, service, operation, parameters):
        validate(service, operation, parameters)
        self.seam()
        answer = getattr(self, operation)(parameters)
        self.seam()
        return answer

    def begin(self, what, line, state, more):
        """Once for a name, however often it is asked for."""
        with self.file() as file:
            if file.execute("insert or ignore into done values (?, ?, ?)", (what, state, json.dumps(more))).rowcount:
                file.execute("insert into log (line) values (?)", (line,))

    def look(self, what, later, stream):
        """(state, more) as it is now; the next look finds `later`."""
        with self.file() as file:
            found = file.execute("select state, more from done where what = ?", (what,)).fetchone()
            if found is not None and found[0] != later:
                file.execute("update done set state = ? where what = ?", (later, what))
                threading.Timer(0.01, self.wake, (stream,)).start()
        return found

    def StartBuild(self, given):
        token, name = given["idempotencyToken"], given["projectName"]
        artifacts = given["artifactsOverride"]
        self.begin(f"build {token}", f"build {artifacts['type']}", "IN_PROGRESS", artifacts)
        return {"build": {"id": f"{name}:{token}"}}

    def BatchGetBuilds(self, given):
        (identity,) = given["ids"]
        state, more = self.look(f"build {identity.partition(':')[2]}", "SUCCEEDED", f"build/{identity}")
        artifacts = json.loads(more)
        if state == "SUCCEEDED" and artifacts["type"] == "S3":
            content = archive(**{"t.json": "{}"})
            self.objects.put_bytes(artifacts["location"], f"{artifacts['path']}/{artifacts['name']}", content)
        return {"builds": [{"id": identity, "buildStatus": state}]}

    def CreateStack(self, given):
        name = given["StackName"]
        with self.file() as file:
            if file.execute("select 1 from done where what = ?", (f"stack {name}",)).fetchone():
                raise AwsError("it exists", code="AlreadyExistsException")
        self.begin(f"stack {name}", f"stack {name}", "CREATE_IN_PROGRESS", given["ClientRequestToken"])
        return {"StackId": f"arn/{name}"}

    def DescribeStacks(self, given):
        name = given["StackName"].rpartition("/")[2]
        found = self.look(f"stack {name}", "CREATE_COMPLETE", f"stack/{name}")
        if found is None:
            raise AwsError(f"Stack with id {name} does not exist", code="ValidationError")
        return {"Stacks": [{"StackName": name, "StackId": f"arn/{name}", "StackStatus": found[0]}]}

    def DescribeStackEvents(self, given):
        name = given["StackName"].rpartition("/")[2]
        with self.file() as file:
            (token,) = file.execute("select more from done where what = ?", (f"stack {name}",)).fetchone()
        return {"StackEvents": [{"ClientRequestToken": json.loads(token)}]}


class Life:
    """One server's."""

    def __init__(self, home, seam=lambda: None):
        self.database = store.Database(f"sqlite:///{home / 'modelwright.db'}")
        self.objects = DirectoryStore(home / "objects", fsync=False)
        history = History("life")
        self.cloud = Cloud(home, self.objects, seam)
        events = EventBus(history, ACCOUNT)
        common = {"database": self.database, "history": history, "now": time.time, "events": events}
        self.dispatcher = Dispatcher(codepipeline.services(**common), validate)
        tools = Tools(self.cloud, self.objects, time.time, None, {})
        driver = CodePipelines(events=events, actions=actions(tools), objects=self.objects)
        self.worker = Worker(database=self.database, history=history, drivers=[driver], now=time.time)
        self.cloud.wake = self.worker._tell_watchers

    def call(self, operation, **parameters):
        return self.dispatcher.call(CONTEXT, "codepipeline", operation, parameters)

    def until(self, condition):
        deadline = time.monotonic() + LIMIT
        while not (found := condition()):
            assert time.monotonic() < deadline, self.call("GetPipelineState", name="p")
            time.sleep(0.002)
        return found

    def run(self):
        self.worker.start()
        if not self.call("ListPipelines")["pipelines"]:
            self.call("CreatePipeline", pipeline=declaration())
        if token := self.until(self.token_or_end):
            self.cloud.note("approved")
            self.approve(token)
        self.until(self.ended)
        self.worker.close()

    def token_or_end(self):
        """(token,), or () when it was answered in an earlier life."""
        asked = self.call("GetPipelineState", name="p")["stageStates"][2]["actionStates"][2].get("latestExecution", {})
        if asked.get("status") == "Succeeded" or self.ended():
            return (None,)
        return "token" in asked and (asked["token"],)

    def approve(self, found):
        (token,) = found
        if token is not None:
            self.call(
                "PutApprovalResult",
                pipelineName="p",
                stageName=PERSON[0],
                actionName=PERSON[1],
                token=token,
                result={"summary": "", "status": "Approved"},
            )

    def ended(self):
        executions = self.call("ListPipelineExecutions", pipelineName="p")["pipelineExecutionSummaries"]
        return executions and executions[0]["status"] != "InProgress"


def prepare(home):
    def act():
        life = Life(home)
        for bucket in (BUCKET, "sources"):
            life.objects.create_bucket(bucket, "eu-west-1")
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as made:
            made.writestr("a", "b")
        life.objects.put_bytes("sources", "source.zip", buffer.getvalue())

    assert wait(child(act)) == 0


def live(home, seam=None):
    def act():
        here = dangerous(seam) if seam is not None else None
        Life(home, here or (lambda: None)).run()

    return child(act)


def outcome(home):
    """What came of it, told by a later life that drives nothing."""
    reader, writer = os.pipe()

    def act():
        life = Life(home)
        executions = life.call("ListPipelineExecutions", pipelineName="p")["pipelineExecutionSummaries"]
        runs = life.call("ListActionExecutions", pipelineName="p")["actionExecutionDetails"]
        found = {
            "executions": [each["status"] for each in executions],
            "actions": sorted(f"{each['stageName']}/{each['actionName']} {each['status']}" for each in runs),
            "log": life.cloud.log(),
        }
        os.write(writer, json.dumps(found).encode())

    pid = child(act)
    os.close(writer)
    with os.fdopen(reader) as file:
        text = file.read()
    assert wait(pid) == 0
    return json.loads(text)


def each_seam(where, first, step):
    outcomes, seam = [], first
    while True:
        home = where / str(seam)
        home.mkdir(parents=True)
        prepare(home)
        died = wait(live(home, seam)) == -signal.SIGKILL
        done = wait(live(home)) if died else 0
        outcomes.append({"seam": seam, "died": died, "done": done, **outcome(home)})
        if not died:
            return outcomes
        seam += step


if __name__ == "__main__":
    os.environ.pop("MODELWRIGHT_HOME", None)
    validate("codepipeline", "GetPipelineState", {"name": "p"})
    where, first, step = sys.argv[1:]
    sys.stdout.write(json.dumps(each_seam(Path(where), int(first), int(step))) + "\n")
