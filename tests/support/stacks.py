"""Stacks of real services on SQLite, driven by the real worker: no runtime, so nothing that has to run."""

import json
import threading
import time

from modelwright.engine.stacks import Stacks
from modelwright.engine.worker import Worker
from modelwright.errors import AwsError
from modelwright.objects.directory import DirectoryStore
from modelwright.protocol.validation import validate
from modelwright.services import cloudformation, events, s3
from modelwright.services.dispatch import Dispatcher
from modelwright.services.iam import Iam
from modelwright.services.logs.groups import LogGroups
from modelwright.services.s3.notifications import Notifications
from modelwright.services.sagemaker.code_repositories import CodeRepositories
from modelwright.services.sagemaker.model_package_groups import ModelPackageGroups
from modelwright.services.sagemaker.models import Models
from modelwright.services.sagemaker.tags import Tags
from modelwright.store.database import Database
from modelwright.store.event_bus import EventBus
from modelwright.store.history import History
from modelwright.store.resources import Query, count_resources
from support.doors import ACCOUNT, CONTEXT, ROLE, check_image, check_output
from support.waiting import until

READS = ("Describe", "Get", "List", "Head", "BatchGet")


ENDPOINT = {
    "Parameters": {"Mode": {"Type": "String", "Default": "ok"}},
    "Resources": {
        "Model": {
            "Type": "AWS::SageMaker::Model",
            "Properties": {
                "ExecutionRoleArn": ROLE,
                "PrimaryContainer": {"Image": "server", "Environment": {"MODE": {"Ref": "Mode"}}},
            },
        },
        "Config": {
            "Type": "AWS::SageMaker::EndpointConfig",
            "Properties": {
                "ProductionVariants": [
                    {
                        "VariantName": "All",
                        "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]},
                        "InitialInstanceCount": "1",
                        "InstanceType": "ml.m5.large",
                        "InitialVariantWeight": "1",
                    }
                ]
            },
        },
        "Endpoint": {
            "Type": "AWS::SageMaker::Endpoint",
            "Properties": {
                "EndpointName": "pose",
                "EndpointConfigName": {"Fn::GetAtt": ["Config", "EndpointConfigName"]},
            },
        },
    },
    "Outputs": {"Name": {"Value": {"Fn::GetAtt": ["Endpoint", "EndpointName"]}}},
}
"""A model, its configuration and its endpoint; `Mode` is how the container behaves."""


def mode(value):
    return [{"ParameterKey": "Mode", "ParameterValue": value}]


def told(events):
    """(resource, status, reason) of each, the oldest first."""
    return [
        (one["LogicalResourceId"], one["ResourceStatus"], one.get("ResourceStatusReason", ""))
        for one in reversed(events)
    ]


class Cloud:
    """`cloud("CreateStack", StackName=...)`. `failing` has operations to be refused, by what their parameters name."""

    def __init__(self, home, seam=lambda: None):
        home.mkdir(parents=True, exist_ok=True)
        self.database = Database(f"sqlite:///{home / 'modelwright.db'}")
        self.objects = DirectoryStore(home / "objects", fsync=False)
        history = History("life")
        self.seam, self.failing, self.holding = seam, {}, {}
        self.done, self.lock = [], threading.Lock()
        common = {"database": self.database, "history": history, "now": time.time}
        bus = EventBus(history, ACCOUNT)
        sagemaker = {**common, "events": bus}
        self.dispatcher = Dispatcher(
            [
                *cloudformation.services(**common, read=self.objects.read),
                *s3.services(self.objects),
                (
                    "s3",
                    Notifications(
                        store=self.objects, database=self.database, events=bus, now=time.time, account=ACCOUNT
                    ),
                ),
                *events.services(database=self.database, now=time.time, events=bus),
                ("iam", Iam(**common, account=ACCOUNT)),
                ("logs", LogGroups(**common)),
                ("sagemaker", Models(**sagemaker, check_image=check_image)),
                ("sagemaker", ModelPackageGroups(**sagemaker)),
                ("sagemaker", CodeRepositories(**sagemaker)),
                ("sagemaker", Tags(**sagemaker)),
            ],
            validate,
        )
        driver = Stacks(database=self.database, call=self.act, now=time.time, read=self.objects.read)
        self.worker = Worker(database=self.database, history=history, drivers=[driver], now=time.time)

    def start(self):
        self.worker.start()
        return self

    def close(self):
        for held in self.holding.values():
            held.set()
        self.worker.close()
        self.objects.close()
        self.database.close()

    def act(self, region, service, operation, parameters):
        """The door, as the engine has it."""
        self.seam()
        held = self.holding.get(operation)
        if held is not None:
            held.begun.set()
            held.wait(30)
        text = json.dumps(parameters, default=str)
        for (what, part), message in list(self.failing.items()):
            if what == operation and part in text:
                raise AwsError(message, code="ValidationException")
        answer = self.dispatcher.call(CONTEXT, service, operation, parameters)
        self.note(operation, parameters)
        self.seam()
        return answer

    def note(self, operation, parameters):
        """What was really done, once each time it was."""
        if not operation.startswith(READS):
            with self.lock:
                self.done.append(operation)

    def __call__(self, operation, **parameters):
        return self.of("cloudformation", operation, **parameters)

    def of(self, service, operation, **parameters):
        answer = self.dispatcher.call(CONTEXT, service, operation, parameters)
        check_output(service, operation, answer)
        return answer

    def hold(self, operation):
        """Keeps an operation of the engine's waiting until it is set; `begun` tells that it does."""
        held = threading.Event()
        held.begun = threading.Event()
        self.holding[operation] = held
        return held

    def create(self, name, template, **more):
        self("CreateStack", StackName=name, TemplateBody=json.dumps(template), **more)
        return self.settled(name)

    def update(self, name, template, **more):
        self("UpdateStack", StackName=name, TemplateBody=json.dumps(template), **more)
        return self.settled(name)

    def delete(self, name, **more):
        stack = self("DescribeStacks", StackName=name)["Stacks"][0]["StackId"]
        self("DeleteStack", StackName=name, **more)
        return self.settled(stack)

    def status(self, name):
        return self("DescribeStacks", StackName=name)["Stacks"][0]["StackStatus"]

    def settled(self, name):
        def look():
            stack = self("DescribeStacks", StackName=name)["Stacks"][0]
            return None if stack["StackStatus"].endswith("IN_PROGRESS") else stack

        return until(look, 60)

    def resources(self, name):
        found = self("ListStackResources", StackName=name)["StackResourceSummaries"]
        return {one["LogicalResourceId"]: one for one in found}

    def reasons(self, name):
        """(resource, status, reason) of all events, the oldest first."""
        return told(self("DescribeStackEvents", StackName=name)["StackEvents"])

    def groups(self):
        return [group["logGroupName"] for group in self.of("logs", "DescribeLogGroups")["logGroups"]]

    def count(self, kind):
        with self.database.read() as transaction:
            return count_resources(transaction, Query(kind))


def log(name, **more):
    """A log group's declaration; members that begin with a capital are the resource's own."""
    own = {key: more.pop(key) for key in ("DependsOn", "DeletionPolicy", "UpdateReplacePolicy") if key in more}
    return {"Type": "AWS::Logs::LogGroup", **own, "Properties": {"LogGroupName": name, **more}}


def group(name, **more):
    own = {key: more.pop(key) for key in ("DependsOn", "DeletionPolicy") if key in more}
    properties = {"ModelPackageGroupName": name, **more}
    return {"Type": "AWS::SageMaker::ModelPackageGroup", **own, "Properties": properties}


def model(image="111122223333.dkr.ecr.eu-west-1.amazonaws.com/pose:1", **more):
    properties = {"ExecutionRoleArn": ROLE, "PrimaryContainer": {"Image": image}, **more}
    return {"Type": "AWS::SageMaker::Model", "Properties": properties}


def template(outputs=None, parameters=None, **resources):
    made = {"Resources": resources}
    if outputs:
        made["Outputs"] = outputs
    if parameters:
        made["Parameters"] = parameters
    return made


class EndpointStacks:
    """CloudFormation on a platform whose endpoints really run."""

    def __init__(self, platform):
        self.platform = platform
        common = {"database": platform.database, "history": platform.history, "now": platform.now}
        for name, service in cloudformation.services(**common, read=platform.objects.read):
            platform.dispatcher.add(name, service)

    def __call__(self, operation, **parameters):
        return self.platform.dispatcher.call(CONTEXT, "cloudformation", operation, parameters)

    def settled(self, name):
        def done():
            found = self("DescribeStacks", StackName=name)["Stacks"][0]
            return None if found["StackStatus"].endswith("IN_PROGRESS") else found

        return self.platform.until(done)

    def reasons(self, name):
        """(resource, status, reason) of all events, the oldest first."""
        return told(self("DescribeStackEvents", StackName=name)["StackEvents"])

    def there(self):
        return [self.platform.count(kind) for kind in ("Endpoint", "EndpointConfig", "Model")]
