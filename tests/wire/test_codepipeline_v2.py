"""CodePipeline's executions through boto3: modes, variables, triggers, stops, retries, rollbacks, transitions, lists.

Approvals hold the executions where a test wants them.
"""

import uuid

import pytest
from botocore.exceptions import ClientError

from support.codepipelines import action, archive, pipeline, stage
from support.waiting import until

OVER = ("Succeeded", "Failed", "Stopped", "Superseded", "Cancelled")


@pytest.fixture(scope="module")
def deploy(server):
    return server.client("codepipeline")


@pytest.fixture(scope="module")
def bucket(server):
    s3, name = server.client("s3"), f"executions-{uuid.uuid4().hex[:8]}"
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="source.zip", Body=archive(hello="world"))
    return name


class Pipeline:
    """One pipeline, by its name; `Ask` in the stage Review waits for an answer, so does `Again` in Release."""

    def __init__(self, deploy, bucket, **more):
        self.deploy, self.name = deploy, f"p-{uuid.uuid4().hex[:8]}"
        source = {"S3Bucket": bucket, "S3ObjectKey": "source.zip", "PollForSourceChanges": "false"}
        source = more.pop("source", None) or action("Get", "Source", outputs=["Code"], configuration=source)
        review = action("Ask", "Approval", **more.pop("review", {}))
        stages = [stage("Source", source), stage("Review", review), stage("Release", action("Again", "Approval"))]
        declared = pipeline(*stages, name=self.name, **more)
        declared["artifactStore"]["location"] = bucket
        self.declaration = deploy.create_pipeline(pipeline=declared)["pipeline"]

    def start(self, **more):
        return self.deploy.start_pipeline_execution(name=self.name, **more)["pipelineExecutionId"]

    def executions(self, **more):
        return self.deploy.list_pipeline_executions(pipelineName=self.name, **more)["pipelineExecutionSummaries"]

    def first(self):
        """The execution that CreatePipeline has started."""
        return self.executions()[-1]["pipelineExecutionId"]

    def actions(self, **more):
        return self.deploy.list_action_executions(pipelineName=self.name, **more)["actionExecutionDetails"]

    def stage(self, name):
        stages = self.deploy.get_pipeline_state(name=self.name)["stageStates"]
        return next(each for each in stages if each["stageName"] == name)

    def inbound(self):
        """The executions that wait to enter the stage Review."""
        return [each["pipelineExecutionId"] for each in self.stage("Review").get("inboundExecutions", [])]

    def waits(self, execution, stage="Review"):
        """The token of an approval, as soon as this execution waits for it."""

        def find():
            found = self.stage(stage)
            if found.get("latestExecution", {}).get("pipelineExecutionId") != execution:
                return None
            return found["actionStates"][0].get("latestExecution", {}).get("token")

        return until(find)

    def answer(self, execution, stage="Review", status="Approved"):
        self.deploy.put_approval_result(
            pipelineName=self.name,
            stageName=stage,
            actionName={"Review": "Ask", "Release": "Again"}[stage],
            token=self.waits(execution, stage),
            result={"summary": "", "status": status},
        )

    def through(self, execution):
        for name in ("Review", "Release"):
            self.answer(execution, name)
        assert self.ended(execution) == "Succeeded"

    def status(self, execution):
        found = self.deploy.get_pipeline_execution(pipelineName=self.name, pipelineExecutionId=execution)
        return found["pipelineExecution"]["status"]

    def ended(self, execution):
        return until(lambda: (status := self.status(execution)) in OVER and status)


@pytest.fixture
def make(deploy, bucket):
    return lambda **more: Pipeline(deploy, bucket, **more)


def refused(code, call, **parameters):
    with pytest.raises(ClientError) as caught:
        call(**parameters)
    assert caught.value.response["Error"]["Code"] == code, caught.value
    return caught.value.response["Error"]["Message"]


def test_variables_of_the_pipeline(make, deploy):
    variables = [{"name": "Target", "description": "where to"}, {"name": "Size", "defaultValue": "small"}]
    review = {"configuration": {"CustomData": "#{variables.Target}, #{variables.Size}"}}
    one = make(pipelineType="V2", variables=variables, review=review)
    assert one.executions() == [], "CreatePipeline starts nothing as long as a variable has no value"
    assert "Target" in refused("ValidationException", deploy.start_pipeline_execution, name=one.name)
    unknown = [{"name": "Target", "value": "x"}, {"name": "Colour", "value": "red"}]
    assert "Colour" in refused("ValidationException", deploy.start_pipeline_execution, name=one.name, variables=unknown)
    identity = one.start(variables=[{"name": "Target", "value": "here"}])
    one.waits(identity)
    asked = next(each for each in one.actions() if each["actionName"] == "Ask")
    assert asked["input"]["resolvedConfiguration"]["CustomData"] == "here, small"
    found = deploy.get_pipeline_execution(pipelineName=one.name, pipelineExecutionId=identity)["pipelineExecution"]
    assert {each["name"]: each["resolvedValue"] for each in found["variables"]} == {"Target": "here", "Size": "small"}


def test_queued_executions_go_one_after_another(make):
    one = make(pipelineType="V2", executionMode="QUEUED")
    first = one.first()
    one.waits(first)
    second, third = one.start(), one.start()
    until(lambda: one.inbound() == [second, third])
    one.answer(first)
    one.waits(second)
    assert one.status(third) == "InProgress", "nobody is superseded"
    one.answer(first, "Release")
    assert one.ended(first) == "Succeeded"
    one.through(second)
    one.through(third)
    assert [each["status"] for each in one.executions()] == ["Succeeded"] * 3


def test_a_newer_execution_supersedes_the_one_that_waits(make):
    one = make()
    first = one.first()
    one.waits(first)
    second = one.start()
    until(lambda: one.inbound() == [second])
    third = one.start()
    assert one.ended(second) == "Superseded"
    one.through(first)
    one.through(third)


def test_a_push_starts_what_its_branch_is_filtered_for(server, make):
    code, name = server.client("codecommit"), f"code-{uuid.uuid4().hex[:8]}"
    code.create_repository(repositoryName=name)
    connection = "arn:aws:codestar-connections:us-east-1:111122223333:connection/" + str(uuid.uuid4())
    configuration = {"ConnectionArn": connection, "FullRepositoryId": f"me/{name}", "BranchName": "main"}
    source = action("Get", "Source", configuration={**configuration, "DetectChanges": "false"}, outputs=["Code"])
    source["actionTypeId"] = {**source["actionTypeId"], "provider": "CodeStarSourceConnection"}
    push = {"sourceActionName": "Get", "push": [{"branches": {"includes": ["main", "release/*"], "excludes": ["x"]}}]}
    trigger = {"providerType": "CodeStarSourceConnection", "gitConfiguration": push}

    def commit(branch, text, parent=None):
        return code.create_commit(
            repositoryName=name,
            branchName=branch,
            putFiles=[{"filePath": "a", "fileContent": text.encode()}],
            **({"parentCommitId": parent} if parent else {}),
        )["commitId"]

    first = commit("main", "one")
    one = make(pipelineType="V2", source=source, triggers=[trigger])
    assert len(one.executions()) == 1
    code.create_branch(repositoryName=name, branchName="release/1", commitId=first)
    code.create_branch(repositoryName=name, branchName="other", commitId=first)
    found = one.executions()
    assert [each["trigger"]["triggerType"] for each in found] == ["WebhookV2", "CreatePipeline"]
    second = commit("main", "two", first)
    identity = one.executions()[0]["pipelineExecutionId"]
    got = until(lambda: [each for each in one.actions() if each["pipelineExecutionId"] == identity])
    assert len(one.executions()) == 3
    until(lambda: one.actions(filter={"pipelineExecutionId": identity})[-1]["status"] == "Succeeded")
    got = one.actions(filter={"pipelineExecutionId": identity})[-1]
    assert got["output"]["outputVariables"]["CommitId"] == second


def test_stop_and_wait_and_stop_and_abandon(make, deploy):
    one = make()
    first = one.first()
    token = one.waits(first)
    stop = {"pipelineName": one.name, "pipelineExecutionId": first}
    deploy.stop_pipeline_execution(**stop, reason="not now")
    assert one.status(first) == "Stopping", "what runs may end"
    refused("DuplicatedStopRequestException", deploy.stop_pipeline_execution, **stop)
    assert one.waits(first) == token
    one.answer(first)
    assert one.ended(first) == "Stopped"
    assert [each["actionName"] for each in one.actions()] == ["Ask", "Get"], "and nothing else begins"
    summary = one.executions()[0]
    assert (summary["status"], summary["stopTrigger"]) == ("Stopped", {"reason": "not now"})
    refused("PipelineExecutionNotStoppableException", deploy.stop_pipeline_execution, **stop)
    second = one.start()
    token = one.waits(second)
    deploy.stop_pipeline_execution(pipelineName=one.name, pipelineExecutionId=second, abandon=True)
    assert one.ended(second) == "Stopped"
    assert one.actions(filter={"pipelineExecutionId": second})[0]["status"] == "Abandoned"
    result = {"summary": "", "status": "Approved"}
    where = {"pipelineName": one.name, "stageName": "Review", "actionName": "Ask"}
    refused("InvalidApprovalTokenException", deploy.put_approval_result, **where, token=token, result=result)


def test_a_failed_stage_is_retried(make, deploy):
    one = make()
    first = one.first()
    one.answer(first, status="Rejected")
    assert one.ended(first) == "Failed"
    retry = {"pipelineName": one.name, "retryMode": "FAILED_ACTIONS"}
    refused("StageNotFoundException", deploy.retry_stage_execution, **retry, stageName="X", pipelineExecutionId=first)
    again = deploy.retry_stage_execution(**retry, stageName="Review", pipelineExecutionId=first)
    assert again["pipelineExecutionId"] == first
    one.through(first)
    wrong = "StageNotRetryableException"
    refused(wrong, deploy.retry_stage_execution, **retry, stageName="Release", pipelineExecutionId=first)
    statuses = [(each["actionName"], each["status"]) for each in reversed(one.actions())]
    assert statuses == [("Get", "Succeeded"), ("Ask", "Failed"), ("Ask", "Succeeded"), ("Again", "Succeeded")]
    latest = {"latestInPipelineExecution": {"pipelineExecutionId": first, "startTimeRange": "Latest"}}
    assert [each["status"] for each in one.actions(filter=latest)] == ["Succeeded"] * 3
    pages = deploy.get_paginator("list_action_executions").paginate(
        pipelineName=one.name, filter=latest, PaginationConfig={"PageSize": 2}
    )
    names = [[each["actionName"] for each in page["actionExecutionDetails"]] for page in pages]
    assert names == [["Again", "Ask"], ["Get"]], "an earlier run is on no page"
    refused("PipelineExecutionNotFoundException", make().actions, filter={"pipelineExecutionId": first})


def test_a_stage_is_rolled_back(make, deploy):
    one = make(pipelineType="V2")
    first = one.first()
    one.through(first)
    second = one.start()
    one.through(second)
    good = one.executions(filter={"succeededInStage": {"stageName": "Release"}})
    assert [each["pipelineExecutionId"] for each in good] == [second, first]
    rollback = {"pipelineName": one.name, "stageName": "Release"}
    back = deploy.rollback_stage(**rollback, targetPipelineExecutionId=first)["pipelineExecutionId"]
    one.answer(back, "Release")
    assert one.ended(back) == "Succeeded"
    newest = one.executions()[0]
    assert (newest["pipelineExecutionId"], newest["executionType"]) == (back, "ROLLBACK")
    assert newest["rollbackMetadata"] == {"rollbackTargetPipelineExecutionId": first}
    assert [each["actionName"] for each in one.actions(filter={"pipelineExecutionId": back})] == ["Again"]


def test_a_transition_is_disabled_and_enabled(make, deploy):
    one = make()
    first = one.first()
    transition = {"pipelineName": one.name, "stageName": "Release", "transitionType": "Inbound"}
    deploy.disable_stage_transition(**transition, reason="freeze")
    one.answer(first)
    until(lambda: one.stage("Release").get("inboundExecutions"))
    found = one.stage("Release")["inboundTransitionState"]
    assert (found["enabled"], found["disabledReason"]) == (False, "freeze")
    assert found["lastChangedBy"].startswith("arn:aws:sts:")
    assert one.status(first) == "InProgress"
    deploy.enable_stage_transition(**transition)
    assert one.stage("Release")["inboundTransitionState"]["enabled"]
    one.answer(first, "Release")
    assert one.ended(first) == "Succeeded"
    refused("StageNotFoundException", deploy.enable_stage_transition, **{**transition, "stageName": "X"})


def test_an_update_cancels_what_is_not_over(make, deploy):
    """As AWS says of the status Cancelled: the definition was updated before the execution could be completed."""
    one = make()
    first = one.first()
    token = one.waits(first)
    assert deploy.update_pipeline(pipeline=one.declaration)["pipeline"]["version"] == 2
    assert one.status(first) == "Cancelled"
    where = {"pipelineName": one.name, "stageName": "Review", "actionName": "Ask", "token": token}
    result = {"summary": "late", "status": "Approved"}
    refused("InvalidApprovalTokenException", deploy.put_approval_result, **where, result=result)
    assert len(one.executions()) == 1, "and starts nothing"
    one.through(one.start())


def test_lists_go_by_pages(make, deploy):
    one = make()
    one.through(one.first())
    second = one.start()
    one.through(second)
    paginator = deploy.get_paginator("list_action_executions")
    pages = [
        page["actionExecutionDetails"]
        for page in paginator.paginate(pipelineName=one.name, PaginationConfig={"PageSize": 4})
    ]
    assert [len(page) for page in pages] == [4, 2]
    found = [each for page in pages for each in page]
    assert [each["actionName"] for each in found] == ["Again", "Ask", "Get"] * 2
    assert {each["pipelineExecutionId"] for each in found[:3]} == {second}
    assert one.actions(filter={"pipelineExecutionId": second}) == found[:3]
    unknown = {"pipelineExecutionId": str(uuid.uuid4())}
    refused("PipelineExecutionNotFoundException", one.actions, filter=unknown)
    refused("InvalidNextTokenException", one.actions, nextToken="nonsense")
    refused("PipelineNotFoundException", deploy.list_action_executions, pipelineName="not-there")
