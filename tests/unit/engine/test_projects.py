"""The driver of projects, against an account that is a dict."""

import pytest

from modelwright.engine.projects import Projects
from modelwright.errors import AwsError
from modelwright.lifecycles.project import Project, apply, ended, outstanding

STACK = "arn:aws:cloudformation:eu-west-1:111122223333:stack/SC-1/11111111-1111"
DEPLOYED = "arn:aws:cloudformation:eu-west-1:111122223333:stack/deploy-staging/22222222-2222"
PLAN = {
    "Template": "t",
    "TemplateBody": "{}",
    "Seeds": ["code"],
    "Parameters": {"SageMakerProjectName": "pose"},
    "Tags": [{"Key": "sagemaker:project-id", "Value": "p-1"}],
}


class Account:
    """CloudFormation and S3, as far as they are asked; `statuses` by stack."""

    def __init__(self):
        self.statuses = {}
        self.tags = {}
        self.calls = []
        self.objects = {"bucket": ["a", "b"]}

    def __call__(self, region, service, operation, parameters):
        self.calls.append(operation)
        return getattr(self, operation)(parameters)

    def CreateBucket(self, parameters):
        self.objects.setdefault(parameters["Bucket"], [])
        return {}

    def DeleteObjects(self, parameters):
        self.objects[parameters["Bucket"]].clear()
        return {}

    def CreateStack(self, parameters):
        assert parameters["ClientRequestToken"] == "p-1-0"
        if STACK in self.statuses:
            raise AwsError("Stack [SC-1] already exists", code="AlreadyExistsException")
        self.statuses[STACK], self.tags[STACK] = "CREATE_IN_PROGRESS", parameters["Tags"]
        return {"StackId": STACK}

    def UpdateStack(self, parameters):
        raise AwsError("No updates are to be performed.", code="ValidationError")

    def DeleteStack(self, parameters):
        self.statuses[parameters["StackName"]] = "DELETE_IN_PROGRESS"
        return {}

    def DescribeStacks(self, parameters):
        name = parameters.get("StackName")
        found = [
            {"StackId": key, "StackName": key.split("/")[1], "StackStatus": status, "Tags": self.tags.get(key, [])}
            for key, status in self.statuses.items()
            if (name in (key, key.split("/")[1])) or (name is None and status != "DELETE_COMPLETE")
        ]
        if name and not found:
            raise AwsError(f"Stack with id {name} does not exist", code="ValidationError")
        return {"Stacks": found}

    def DescribeStackResources(self, parameters):
        return {"StackResources": [{"ResourceType": "AWS::S3::Bucket", "PhysicalResourceId": "bucket"}]}

    def DescribeStackEvents(self, parameters):
        events = [
            ("Rule", "CREATE_FAILED", "Resource creation cancelled", 2.0),
            ("Repository", "CREATE_FAILED", "no such seed", 3.0),
            ("Bucket", "CREATE_COMPLETE", "", 1.0),
        ]
        keys = ("LogicalResourceId", "ResourceStatus", "ResourceStatusReason", "Timestamp")
        return {"StackEvents": [dict(zip(keys, event, strict=True)) for event in events]}


class Objects:
    def __init__(self, account):
        self.account = account

    def put_bytes(self, bucket, key, data):
        self.account.objects[bucket].append((key, data))

    def list(self, bucket):
        return [type("Info", (), {"key": key}) for key in self.account.objects[bucket]]


class Run:
    """A project and its driver; `go` performs what is owed until it waits."""

    def __init__(self):
        self.account = Account()
        self.driver = Projects(
            objects=Objects(self.account), call=self.account, seeds=lambda t, s: b"zip", now=lambda: 1.0
        )
        data = {"Name": "pose", "Id": "p-1", "Region": "eu-west-1", "StackName": "SC-1", "Plan": PLAN}
        self.state = apply(Project(), "Created", data)
        self.watched = []

    def go(self):
        while effects := outstanding(self.state):
            work = type("Work", (), {"effect": effects[0], "state": self.state, "resume_on": self.watched.append})
            facts = self.driver.perform(work)
            if facts is None:
                return
            for kind, data in facts:
                self.state = apply(self.state, kind, data)

    def fact(self, kind, **data):
        self.state = apply(self.state, kind, data)
        self.go()

    def becomes(self, stack, status):
        self.account.statuses[stack] = status
        self.go()


@pytest.fixture
def run():
    run = Run()
    run.go()
    return run


def test_it_is_made(run):
    assert run.account.objects["sagemaker-servicecatalog-seedcode-eu-west-1"] == [("code.zip", b"zip")]
    assert run.state.status == "CreateInProgress"
    assert run.watched == ["stack/11111111-1111"]
    run.becomes(STACK, "CREATE_COMPLETE")
    assert (run.state.status, ended(run.state)) == ("CreateCompleted", True)


def test_a_stack_that_is_there_is_ours(run):
    """The server was killed between the call and the fact."""
    run.state = apply(run.state, "Seeded", {})
    run.go()
    assert run.state.stack_id == STACK


def test_it_says_why_it_failed(run):
    run.becomes(STACK, "ROLLBACK_COMPLETE")
    assert run.state.status == "CreateFailed"
    assert run.state.reason == "The stack SC-1 is ROLLBACK_COMPLETE: Repository: no such seed"


def test_an_update_without_a_change_is_done(run):
    run.becomes(STACK, "CREATE_COMPLETE")
    run.fact("UpdateRequested", Plan=PLAN)
    assert run.state.status == "UpdateCompleted"


def test_delete_takes_what_was_deployed_and_stored_first(run):
    run.becomes(STACK, "CREATE_COMPLETE")
    run.account.statuses[DEPLOYED] = "CREATE_COMPLETE"
    run.account.tags[DEPLOYED] = PLAN["Tags"]
    run.fact("DeleteRequested")
    assert run.account.statuses == {STACK: "CREATE_COMPLETE", DEPLOYED: "DELETE_IN_PROGRESS"}
    run.becomes(DEPLOYED, "DELETE_COMPLETE")
    assert run.account.objects["bucket"] == []
    assert run.account.statuses[STACK] == "DELETE_IN_PROGRESS"
    assert run.account.calls.count("DeleteStack") == 2
    run.becomes(STACK, "DELETE_COMPLETE")
    assert (run.state.phase, run.state.status) == ("Gone", "DeleteCompleted")


def test_what_is_deployed_while_it_is_deleted_goes_too(run):
    run.becomes(STACK, "CREATE_COMPLETE")
    run.fact("DeleteRequested")
    run.account.statuses[DEPLOYED] = "CREATE_COMPLETE"
    run.account.tags[DEPLOYED] = PLAN["Tags"]
    run.becomes(STACK, "DELETE_COMPLETE")
    assert run.account.statuses[DEPLOYED] == "DELETE_IN_PROGRESS"
    assert run.state.status == "DeleteInProgress"
    run.becomes(DEPLOYED, "DELETE_COMPLETE")
    assert (run.state.phase, run.state.status) == ("Gone", "DeleteCompleted")


def test_a_delete_that_fails_says_why_and_may_be_tried_again(run):
    run.becomes(STACK, "CREATE_COMPLETE")
    run.fact("DeleteRequested")
    run.becomes(STACK, "DELETE_FAILED")
    assert run.state.status == "DeleteFailed"
    run.fact("DeleteRequested")
    assert run.account.statuses[STACK] == "DELETE_IN_PROGRESS"
