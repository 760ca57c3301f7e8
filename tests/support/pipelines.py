"""Pipelines behind the door, and the part of the engine that their executions' tests need."""

import hashlib

from modelwright.lifecycles import execution as lifecycle
from modelwright.services.sagemaker.pipeline_executions import PipelineExecutions
from modelwright.services.sagemaker.pipeline_versions import PipelineVersions
from modelwright.services.sagemaker.pipelines import Pipelines
from modelwright.store.history import Event
from modelwright.store.resources import find_resource, replace_resource
from support.definitions import text, training
from support.doors import ROLE


def add_pipelines(door, objects):
    """The same door with the pipelines' services."""
    common = {"database": door.database, "history": door.history, "now": door.clock, "events": door.events}
    door.dispatcher.add("sagemaker", Pipelines(**common, objects=objects))
    door.dispatcher.add("sagemaker", PipelineVersions(**common))
    door.dispatcher.add("sagemaker", PipelineExecutions(**common))
    return door


def token(what=0):
    """A ClientRequestToken, the same for the same argument."""
    return hashlib.sha256(str(what).encode()).hexdigest()


def create_pipeline(door, name="Pose", definition=None, **members):
    definition = definition or text(training("A"))
    request = {"PipelineName": name, "PipelineDefinition": definition, "RoleArn": ROLE}
    members.setdefault("ClientRequestToken", token((name, definition)))
    return door("CreatePipeline", **request, **members)


def start_execution(door, name="Pose", number=0, **members):
    return door("StartPipelineExecution", PipelineName=name, ClientRequestToken=token(number), **members)


class Engine:
    """Tells what the engine would tell about an execution, and keeps its document as the engine does."""

    def __init__(self, database, history):
        self.database, self.history = database, history

    def started(self, arn, step, **data):
        self._tell(arn, "StepStarted", {"step": step, **data})

    def ended(self, arn, step, status="Succeeded", **data):
        self._tell(arn, "StepEnded", {"step": step, "status": status, **data})

    def state(self, arn):
        with self.database.read() as transaction:
            return self._fold(transaction, arn)

    def _fold(self, transaction, arn):
        events = self.history.read(transaction, f"execution/{_identity(arn)}")
        return lifecycle.fold((event.kind, event.data, event.time) for event in events)

    def _tell(self, arn, kind, data):
        with self.database.write() as transaction:
            self._decide(transaction, arn)
            self._append(transaction, arn, (kind, data))
            self._decide(transaction, arn)

    def _decide(self, transaction, arn):
        while facts := lifecycle.decide(self._fold(transaction, arn)):
            for fact in facts:
                self._append(transaction, arn, fact)

    def _append(self, transaction, arn, fact):
        execution = find_resource(transaction, "PipelineExecution", _identity(arn))
        time = execution["LastModifiedTime"] + 1
        ended = fact[0] == "ExecutionEnded"
        self.history.append(transaction, f"execution/{_identity(arn)}", [Event(*fact, time)], ended=ended)
        document, status = {**execution, "LastModifiedTime": time}, None
        if ended:
            status = document["PipelineExecutionStatus"] = fact[1]["status"]
            if "failure_reason" in fact[1]:
                document["FailureReason"] = fact[1]["failure_reason"]
        replace_resource(transaction, "PipelineExecution", _identity(arn), document, modified=time, status=status)


def _identity(arn):
    return arn.rpartition("/")[2]
