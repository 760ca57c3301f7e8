"""CloudFormation actions against a small CloudFormation, and a server that dies between two calls."""

import json

import pytest

from modelwright.engine.actions.base import ActionFailed, Task, Tools
from modelwright.engine.actions.stacks import LARGEST_BODY, Stack
from modelwright.errors import AwsError
from modelwright.lifecycles.codepipeline_state import ActionRun
from modelwright.objects.directory import DirectoryStore
from modelwright.protocol.validation import validate
from support.codepipelines import action, archive

TEMPLATE = {"Resources": {}}


class CloudFormation:
    """Stacks by name, in the order in which they were made; what is asked for is done when the test says so."""

    def __init__(self):
        self.stacks, self.events, self.requests, self.change_sets = {}, {}, [], {}
        self.unchanged = False

    def __call__(self, region, service, operation, parameters):
        assert (region, service) == ("eu-west-1", "cloudformation")
        validate(service, operation, parameters)
        if not operation.startswith("Describe"):
            self.requests.append((operation, parameters))
        answer = getattr(self, operation)
        return answer(parameters)

    def find(self, name):
        for stack in reversed(self.stacks.values()):
            if name == stack["StackId"] or (name == stack["StackName"] and stack["StackStatus"] != "DELETE_COMPLETE"):
                return stack
        raise AwsError(f"Stack with id {name} does not exist", code="ValidationError")

    def put(self, stack, status, token, reason="", resource=None):
        stack["StackStatus"] = status
        about = resource or (stack["StackName"], "AWS::CloudFormation::Stack")
        event = {
            "LogicalResourceId": about[0],
            "ResourceType": about[1],
            "ResourceStatus": status,
            "ResourceStatusReason": reason,
            "ClientRequestToken": token,
        }
        self.events[stack["StackId"]].insert(0, event)

    def make(self, name, status, token=""):
        stack = {
            "StackName": name,
            "StackId": f"arn:aws:cloudformation:eu-west-1:111122223333:stack/{name}/{len(self.stacks)}",
        }
        self.stacks[stack["StackId"]] = stack
        self.events[stack["StackId"]] = []
        self.put(stack, status, token)
        return stack

    def DescribeStacks(self, given):
        return {"Stacks": [self.find(given["StackName"])]}

    def DescribeStackEvents(self, given):
        return {"StackEvents": self.events[self.find(given["StackName"])["StackId"]]}

    def CreateStack(self, given):
        try:
            self.find(given["StackName"])
        except AwsError:
            stack = self.make(given["StackName"], "CREATE_IN_PROGRESS", given["ClientRequestToken"])
            return {"StackId": stack["StackId"]}
        raise AwsError("Stack already exists", code="AlreadyExistsException")

    def UpdateStack(self, given):
        if self.unchanged:
            raise AwsError("No updates are to be performed.", code="ValidationError")
        stack = self.find(given["StackName"])
        if stack["StackStatus"] == "ROLLBACK_COMPLETE":
            raise AwsError("Stack is in ROLLBACK_COMPLETE state and can not be updated.", code="ValidationError")
        self.put(stack, "UPDATE_IN_PROGRESS", given["ClientRequestToken"])
        return {"StackId": stack["StackId"]}

    def DeleteStack(self, given):
        self.put(self.find(given["StackName"]), "DELETE_IN_PROGRESS", given["ClientRequestToken"])
        return {}

    def DeleteChangeSet(self, given):
        if self.change_sets.pop(given["ChangeSetName"], None) is None:
            raise AwsError("no such change set", code="ChangeSetNotFound")
        return {}

    def CreateChangeSet(self, given):
        try:
            stack = self.find(given["StackName"])
        except AwsError:
            stack = self.make(given["StackName"], "REVIEW_IN_PROGRESS")
        made = {"ChangeSetName": given["ChangeSetName"], "StackId": stack["StackId"], "Status": "CREATE_PENDING"}
        self.change_sets[given["ChangeSetName"]] = made
        return {"Id": given["ChangeSetName"], "StackId": stack["StackId"]}

    def DescribeChangeSet(self, given):
        return self.change_sets[given["ChangeSetName"]]

    def ExecuteChangeSet(self, given):
        stack = self.find(given["StackName"])
        del self.change_sets[given["ChangeSetName"]]
        self.put(stack, "UPDATE_IN_PROGRESS", given["ClientRequestToken"])
        return {}

    def asked(self):
        return [operation for operation, _ in self.requests]


@pytest.fixture
def cloudformation():
    return CloudFormation()


@pytest.fixture
def objects(tmp_path):
    store = DirectoryStore(tmp_path / "objects", fsync=False)
    store.create_bucket("artifacts", "eu-west-1")
    configuration = {"Parameters": {"Type": "ml.m5.large", "Count": 1}, "Tags": {"a": "b"}, "StackPolicy": {"S": []}}
    files = {
        "t.json": json.dumps(TEMPLATE),
        "c.json": json.dumps(configuration),
        "big.json": json.dumps({**TEMPLATE, "Description": "x" * LARGEST_BODY}),
        "bad.json": "{",
        "odd.json": '{"Stuff": {}}',
    }
    store.put_bytes("artifacts", "p/Code/abc.zip", archive(**files))
    yield store
    store.close()


@pytest.fixture
def stack(cloudformation, objects):
    return Stack(Tools(cloudformation, objects, lambda: 1.0, None, {}))


class Runner:
    """An action from its start to its end; `again` starts it as a server that died would."""

    def __init__(self, stack, mode, *, outputs=(), **configuration):
        if mode != "DELETE_ONLY" and "EXECUTE" not in mode:
            configuration.setdefault("TemplatePath", "Code::t.json")
        self.stack = stack
        self.configuration = {"ActionMode": mode, "StackName": "s", **configuration}
        self.outputs, self.detail, self.watched = outputs, {}, []

    @property
    def task(self):
        declaration = action("Put", inputs=["Code"], outputs=self.outputs, configuration=self.configuration)
        run = ActionRun("id-1", "e", "Deploy", "Put", 1, "InProgress", 1.0, 1.0, declaration, self.detail)
        places = {"Code": {"bucket": "artifacts", "key": "p/Code/abc.zip"}}
        return Task("p", "1", "eu-west-1", "artifacts", run, self.configuration, places, {}, self.watched.append)

    def take(self, outcome):
        if outcome is not None:
            self.detail = {**self.detail, **outcome.detail}
        return outcome

    def start(self):
        return self.take(self.stack.start(self.task))

    again = start

    def poll(self):
        return self.take(self.stack.poll(self.task))


def test_a_stack_is_created(stack, cloudformation, objects):
    runner = Runner(
        stack,
        "CREATE_UPDATE",
        TemplateConfiguration="Code::c.json",
        ParameterOverrides=json.dumps(
            {
                "Count": "2",
                "Bucket": {"Fn::GetArtifactAtt": ["Code", "BucketName"]},
                "Key": {"Fn::GetArtifactAtt": ["Code", "ObjectKey"]},
                "Tag": {"Fn::GetParam": ["Code", "c.json", "Tags"]},
            }
        ),
        Capabilities="CAPABILITY_IAM, CAPABILITY_NAMED_IAM",
        RoleArn="arn:aws:iam::111122223333:role/x",
        OutputFileName="out.json",
        outputs=["Made"],
    )
    runner.start()
    ((operation, request),) = cloudformation.requests
    assert operation == "CreateStack"
    assert request == {
        "StackName": "s",
        "ClientRequestToken": "id-1",
        "TemplateBody": json.dumps(TEMPLATE),
        "Tags": [{"Key": "a", "Value": "b"}],
        "StackPolicyBody": '{"S": []}',
        "Parameters": [
            {"ParameterKey": "Type", "ParameterValue": "ml.m5.large"},
            {"ParameterKey": "Count", "ParameterValue": "2"},
            {"ParameterKey": "Bucket", "ParameterValue": "artifacts"},
            {"ParameterKey": "Key", "ParameterValue": "p/Code/abc.zip"},
            {"ParameterKey": "Tag", "ParameterValue": '{"a": "b"}'},
        ],
        "Capabilities": ["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
        "RoleARN": "arn:aws:iam::111122223333:role/x",
    }
    assert runner.poll() is None
    assert runner.watched == ["stack/0"]
    made = cloudformation.find("s")
    made["Outputs"] = [{"OutputKey": "Endpoint", "OutputValue": "e"}]
    cloudformation.put(made, "CREATE_COMPLETE", "id-1")
    ended = runner.poll()
    assert (ended.status, ended.detail["variables"]) == ("Succeeded", {"Endpoint": "e"})
    place = ended.detail["outputs"]["Made"]
    assert objects.read(place["bucket"], place["key"]) == archive_of({"out.json": '{"Endpoint": "e"}'})


def archive_of(files):
    import io
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            made.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()


def test_a_server_that_dies_after_its_call_adopts_what_it_asked_for(stack, cloudformation):
    Runner(stack, "CREATE_UPDATE").start()
    runner = Runner(stack, "CREATE_UPDATE")
    runner.again()
    cloudformation.put(cloudformation.find("s"), "CREATE_COMPLETE", "id-1")
    runner.again()
    assert runner.poll().status == "Succeeded"
    assert cloudformation.asked() == ["CreateStack"]


def test_a_stack_is_updated(stack, cloudformation):
    cloudformation.make("s", "CREATE_COMPLETE", "other")
    runner = Runner(stack, "CREATE_UPDATE")
    runner.start()
    runner.again()
    assert cloudformation.asked() == ["UpdateStack"]
    cloudformation.put(cloudformation.find("s"), "UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "id-1")
    assert runner.poll() is None
    cloudformation.put(cloudformation.find("s"), "UPDATE_COMPLETE", "id-1")
    assert runner.poll().status == "Succeeded"


def test_an_update_that_changes_nothing(stack, cloudformation):
    cloudformation.make("s", "CREATE_COMPLETE", "other")
    cloudformation.unchanged = True
    assert Runner(stack, "CREATE_UPDATE").start().status == "Succeeded"


def test_a_stack_that_fails_says_why(stack, cloudformation):
    runner = Runner(stack, "CREATE_UPDATE")
    runner.start()
    made = cloudformation.find("s")
    cloudformation.put(made, "CREATE_FAILED", "id-1", "ml.x is none of ml.m5.large", ("Endpoint", "AWS::SageMaker"))
    cloudformation.put(made, "CREATE_FAILED", "id-1", "Resource creation cancelled", ("Other", "AWS::Logs"))
    cloudformation.put(made, "ROLLBACK_COMPLETE", "id-1")
    ended = runner.poll()
    assert ended.status == "Failed"
    assert ended.detail["error"] == {
        "code": "JobFailed",
        "message": "Stack s is ROLLBACK_COMPLETE: Endpoint (AWS::SageMaker) CREATE_FAILED: ml.x is none of ml.m5.large",
    }
    cloudformation.events[made["StackId"]].clear()
    with pytest.raises(AwsError, match="can not be updated"):
        Runner(stack, "CREATE_UPDATE").start()


def test_a_failed_stack_is_replaced(stack, cloudformation):
    old = cloudformation.make("s", "ROLLBACK_COMPLETE", "other")
    runner = Runner(stack, "REPLACE_ON_FAILURE")
    runner.start()
    assert runner.poll() is None
    cloudformation.put(old, "DELETE_COMPLETE", "id-1-delete")
    assert runner.poll().status == "InProgress"
    forgetful = Runner(stack, "REPLACE_ON_FAILURE")  # it died before it could write that down
    forgetful.detail = {"state": {"phase": "replacing", "stack": old["StackId"]}}
    forgetful.poll()
    assert forgetful.detail == runner.detail
    cloudformation.put(cloudformation.find("s"), "CREATE_COMPLETE", "id-1")
    assert runner.poll().status == "Succeeded"
    assert cloudformation.asked() == ["DeleteStack", "CreateStack", "CreateStack"]
    assert [stack["StackStatus"] for stack in cloudformation.stacks.values()] == ["DELETE_COMPLETE", "CREATE_COMPLETE"]


def test_a_stack_is_deleted(stack, cloudformation):
    assert Runner(stack, "DELETE_ONLY").start().status == "Succeeded"
    made = cloudformation.make("s", "CREATE_COMPLETE")
    runner = Runner(stack, "DELETE_ONLY")
    runner.start()
    assert runner.poll() is None
    cloudformation.put(made, "DELETE_COMPLETE", "id-1")
    assert runner.poll().status == "Succeeded"


def test_change_sets(stack, cloudformation):
    runner = Runner(stack, "CHANGE_SET_REPLACE", ChangeSetName="c")
    runner.start()
    (request,) = [given for operation, given in cloudformation.requests if operation == "CreateChangeSet"]
    assert (request["ChangeSetType"], request["ChangeSetName"]) == ("CREATE", "c")
    assert runner.poll() is None
    runner.again()
    cloudformation.change_sets["c"]["Status"] = "CREATE_COMPLETE"
    assert runner.poll().status == "Succeeded"
    runner = Runner(stack, "CHANGE_SET_EXECUTE", ChangeSetName="c")
    runner.start()
    runner.again()
    assert cloudformation.asked().count("ExecuteChangeSet") == 1
    cloudformation.put(cloudformation.find("s"), "UPDATE_COMPLETE", "id-1")
    assert runner.poll().status == "Succeeded"


def test_an_empty_change_set_is_fine(stack, cloudformation):
    cloudformation.make("s", "CREATE_COMPLETE")
    runner = Runner(stack, "CHANGE_SET_REPLACE", ChangeSetName="c")
    runner.start()
    empty = {"Status": "FAILED", "StatusReason": "The submitted information didn't contain changes."}
    cloudformation.change_sets["c"].update(empty)
    assert runner.poll().status == "Succeeded"
    assert Runner(stack, "CHANGE_SET_EXECUTE", ChangeSetName="c").start().status == "Succeeded"
    cloudformation.change_sets["c"]["StatusReason"] = "a cycle"
    with pytest.raises(ActionFailed, match="a cycle"):
        runner.poll()


def test_a_large_template_goes_by_way_of_s3(stack, cloudformation, objects):
    Runner(stack, "CREATE_UPDATE", TemplatePath="Code::big.json").start()
    ((_, request),) = cloudformation.requests
    url = request["TemplateURL"]
    assert url.startswith("https://artifacts.s3.eu-west-1.amazonaws.com/p/template/")
    assert objects.head("artifacts", url.partition(".com/")[2]).size > LARGEST_BODY


@pytest.mark.parametrize(
    ("configuration", "text"),
    [
        ({"TemplatePath": "Code::none.json"}, "no file 'none.json'"),
        ({"TemplatePath": "Other::t.json"}, "'Other' is none"),
        ({"TemplateConfiguration": "Code::bad.json"}, "is not JSON"),
        ({"TemplateConfiguration": "Code::odd.json"}, "has Stuff"),
        ({"ParameterOverrides": '{"A": {"Fn::GetParam": ["Code", "c.json", "No"]}}'}, "no 'No'"),
        ({"ParameterOverrides": '{"A": {"Fn::GetArtifactAtt": ["Code", "Size"]}}'}, "no 'Size'"),
        ({"ParameterOverrides": '{"A": {"Ref": "B"}}'}, "neither a value"),
    ],
)
def test_what_can_not_be_used(stack, cloudformation, configuration, text):
    with pytest.raises(ActionFailed, match=text):
        Runner(stack, "CREATE_UPDATE", **configuration).start()
    assert cloudformation.requests == []
