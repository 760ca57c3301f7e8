"""Pipelines of CodePipeline with actions that do what the test says, driven by the real worker."""

import io
import time
import zipfile

from modelwright.engine.actions.approvals import Manual
from modelwright.engine.actions.base import ActionFailed, Outcome
from modelwright.engine.codepipelines import CodePipelines
from modelwright.engine.worker import Worker
from modelwright.protocol.validation import validate
from modelwright.services import codepipeline
from modelwright.services.dispatch import Dispatcher
from modelwright.store.event_bus import EventBus
from support.doors import ACCOUNT, CONTEXT, ROLE, check_output

BUCKET = "artifacts"
PROVIDERS = {
    "Source": "S3",
    "Build": "CodeBuild",
    "Test": "CodeBuild",
    "Deploy": "CloudFormation",
    "Approval": "Manual",
}
CONFIGURATIONS = {
    "Source": {"S3Bucket": "sources", "S3ObjectKey": "source.zip", "PollForSourceChanges": "false"},
    "Build": {"ProjectName": "project"},
    "Test": {"ProjectName": "project"},
    "Deploy": {"ActionMode": "DELETE_ONLY", "StackName": "stack"},
}


def archive(**files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        for name, content in files.items():
            made.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()


def action(name, category="Deploy", order=1, *, inputs=(), outputs=(), configuration=None, **more):
    """A declaration that CreatePipeline accepts."""
    given = CONFIGURATIONS.get(category, {}) if configuration is None else configuration
    if category == "Source" and not outputs:
        outputs = (f"{name}Output",)
    return {
        "name": name,
        "actionTypeId": {"category": category, "owner": "AWS", "provider": PROVIDERS[category], "version": "1"},
        "runOrder": order,
        **({"configuration": given} if given else {}),
        "inputArtifacts": [{"name": each} for each in inputs],
        "outputArtifacts": [{"name": each} for each in outputs],
        **more,
    }


def stage(name, *actions):
    return {"name": name, "actions": list(actions)}


SOURCE = stage("Source", action("Get", "Source", outputs=["Code"], namespace="SourceVariables"))


def pipeline(*stages, name="p", **more):
    """The first stage is Source unless it says otherwise."""
    stages = [SOURCE, *stages] if not stages or stages[0]["name"] != "Source" else stages
    store = {"type": "S3", "location": BUCKET}
    return {"name": name, "roleArn": ROLE, "artifactStore": store, "stages": list(stages), **more}


class Script:
    """An action type whose runs the test ends: each start is noted by (execution's number, action's name)."""

    def __init__(self, world):
        self.world = world

    def start(self, task):
        with self.world.lock:
            self.world.starts.append(task.action.name)
            self.world.tasks[task.id] = task
        if (failure := self.world.fail.get(task.action.name)) is not None:
            raise ActionFailed(failure)
        if task.action.name in self.world.slow:
            return Outcome({"external_id": f"job-{task.id[:4]}"})
        return self.ended(task)

    def poll(self, task):
        self.world.watchers[task.id] = task
        task.changes_of(f"job/{task.id}")
        if task.action.name in self.world.slow:
            return None
        return self.ended(task)

    def ended(self, task):
        if (failure := self.world.fail.get(task.action.name)) is not None:
            raise ActionFailed(failure)
        outputs = {name: task.place(name) for name in task.outputs}
        detail = {"outputs": outputs, "variables": self.world.variables.get(task.action.name, {})}
        if task.action.declaration["actionTypeId"]["category"] == "Source":
            detail["revision"] = {"id": "abc", "change": "abc", "created": 1.0, "summary": "A change"}
        return Outcome(detail, "Succeeded")


class World:
    """`slow` actions go on until `end(name)`; `fail` has what others fail with."""

    def __init__(self, database, history, clock=time.time):
        import threading

        self.lock = threading.Lock()
        self.database, self.history, self.clock = database, history, clock
        self.events = EventBus(history, ACCOUNT)
        self.dispatcher = Dispatcher(
            codepipeline.services(database=database, history=history, now=clock, events=self.events), validate
        )
        self.starts, self.tasks, self.watchers = [], {}, {}
        self.slow, self.fail, self.variables = set(), {}, {}
        script = Script(self)
        self.table = dict.fromkeys(
            (("Source", "S3"), ("Build", "CodeBuild"), ("Test", "CodeBuild"), ("Deploy", "CloudFormation")), script
        ) | {("Approval", "Manual"): Manual()}
        self.worker = None
        self.context = CONTEXT

    def start(self):
        self.worker = Worker(
            database=self.database,
            history=self.history,
            drivers=[CodePipelines(events=self.events, actions=self.table)],
            now=self.clock,
        )
        self.worker.start()
        return self

    def close(self):
        if self.worker is not None:
            self.worker.close()

    def __call__(self, operation, **parameters):
        found = self.dispatcher.call(self.context, "codepipeline", operation, parameters)
        check_output("codepipeline", operation, found)
        return found

    # Short words

    def create(self, *stages, **more):
        """A pipeline; the id of its first execution."""
        made = pipeline(*stages, **more)
        self("CreatePipeline", pipeline=made)
        return self.executions(made["name"])[-1]["pipelineExecutionId"]

    def release(self, name="p", **more):
        return self("StartPipelineExecution", name=name, **more)["pipelineExecutionId"]

    def executions(self, name="p"):
        return self("ListPipelineExecutions", pipelineName=name)["pipelineExecutionSummaries"]

    def status(self, execution, name="p"):
        found = self("GetPipelineExecution", pipelineName=name, pipelineExecutionId=execution)
        return found["pipelineExecution"]["status"]

    def stages(self, name="p"):
        return {found["stageName"]: found for found in self("GetPipelineState", name=name)["stageStates"]}

    def action(self, stage, action, name="p"):
        states = self.stages(name)[stage]["actionStates"]
        return next(found for found in states if found["actionName"] == action).get("latestExecution", {})

    def runs(self, execution=None, name="p"):
        wanted = {} if execution is None else {"filter": {"pipelineExecutionId": execution}}
        return self("ListActionExecutions", pipelineName=name, **wanted)["actionExecutionDetails"]

    def approve(self, token, status="Approved", stage="Approve", action="Ask", name="p", summary="fine"):
        return self(
            "PutApprovalResult",
            pipelineName=name,
            stageName=stage,
            actionName=action,
            token=token,
            result={"status": status, "summary": summary},
        )

    def until(self, condition, timeout=20):
        deadline = time.monotonic() + timeout
        while not (found := condition()):
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.005)
        return found

    def ended(self, execution, name="p"):
        """How it ended."""
        over = ("Succeeded", "Failed", "Stopped", "Superseded", "Cancelled")
        return self.until(lambda: (found := self.status(execution, name)) in over and found)

    def token(self, stage="Approve", action="Ask", name="p"):
        """Of the approval that waits."""
        return self.until(lambda: self.action(stage, action, name).get("token"))

    def started(self, name, times=1):
        self.until(lambda: self.starts.count(name) >= times)

    def end(self, *names):
        """Let slow actions of these names come to their end."""
        self.slow -= set(names)
        for stream in [f"job/{task.id}" for task in list(self.tasks.values()) if task.action.name in names]:
            self.worker._tell_watchers(stream)
