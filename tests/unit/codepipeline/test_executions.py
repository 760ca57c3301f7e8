"""Pipelines that run, with actions that the test ends: order, locks, superseding, approvals, stop, retry."""

import threading
from dataclasses import replace

import pytest

from modelwright.errors import AwsError
from modelwright.store.history import Event
from support.codepipelines import action, pipeline, stage

BUILD = stage("Build", action("Compile", "Build", inputs=["Code"], outputs=["Built"]))
APPROVE = stage("Approve", action("Ask", "Approval"))
DEPLOY = stage("Deploy", action("Put", inputs=["Built"]))
DEPLOY_ALONE = stage("Deploy", action("Put"))


def refused(code, call, *arguments, **parameters):
    with pytest.raises(AwsError) as caught:
        call(*arguments, **parameters)
    assert caught.value.code == code
    return caught.value.message


def test_it_works(world):
    execution = world.create(BUILD, APPROVE, DEPLOY)
    token = world.token()
    assert world.starts == ["Get", "Compile"]
    assert world.status(execution) == "InProgress"
    world.approve(token, summary="ship it")
    assert world.ended(execution) == "Succeeded"
    assert world.starts == ["Get", "Compile", "Put"]
    asked = world.action("Approve", "Ask")
    assert (asked["status"], asked["summary"]) == ("Succeeded", "ship it")
    assert asked["lastUpdatedBy"] == world.context.principal.arn
    assert "token" not in asked
    states = world.stages()
    assert [found["latestExecution"]["status"] for found in states.values()] == ["Succeeded"] * 4
    (summary,) = world.executions()
    assert summary["trigger"] == {"triggerType": "CreatePipeline", "triggerDetail": world.context.principal.arn}
    assert summary["sourceRevisions"] == [{"actionName": "Get", "revisionId": "abc", "revisionSummary": "A change"}]
    wanted = {"pipelineName": "p", "filter": {"succeededInStage": {"stageName": "Approve"}}}
    assert len(world("ListPipelineExecutions", **wanted)["pipelineExecutionSummaries"]) == 1
    wanted["filter"]["succeededInStage"]["stageName"] = "X"
    refused("ValidationException", world, "ListPipelineExecutions", **wanted)
    put, ask, compiled, got = world.runs(execution)
    assert [found["actionName"] for found in (put, ask, compiled, got)] == ["Put", "Ask", "Compile", "Get"]
    assert put["input"]["inputArtifacts"] == compiled["output"]["outputArtifacts"]
    assert ask["output"]["executionResult"]["externalExecutionId"] == token


def test_the_order_of_actions_in_a_stage(world):
    world.slow |= {"A", "B"}
    execution = world.create(stage("Work", action("A"), action("B"), action("C", order=2), action("D", order=7)))
    world.started("A")
    world.started("B")
    world.end("A")
    world.until(lambda: world.action("Work", "A")["status"] == "Succeeded")
    assert "C" not in world.starts
    world.end("B")
    assert world.ended(execution) == "Succeeded"
    assert world.starts[-2:] == ["C", "D"]


def test_variables_of_the_pipeline_and_of_actions(world):
    world.variables["Get"] = {"CommitId": "abc123"}
    configuration = {
        "ActionMode": "DELETE_ONLY",
        "StackName": "s-#{SourceVariables.CommitId}-#{variables.where}-#{codepipeline.PipelineExecutionId}",
    }
    variables = [{"name": "where", "defaultValue": "here"}]
    world.create(stage("Deploy", action("Put", configuration=configuration)), pipelineType="V2", variables=variables)
    execution = world.release(variables=[{"name": "where", "value": "there"}])
    assert world.ended(execution) == "Succeeded"
    (put,) = [found for found in world.runs(execution) if found["actionName"] == "Put"]
    assert put["input"]["resolvedConfiguration"]["StackName"] == f"s-abc123-there-{execution}"
    assert put["input"]["configuration"] == configuration
    found = world("GetPipelineExecution", pipelineName="p", pipelineExecutionId=execution)["pipelineExecution"]
    assert found["variables"] == [{"name": "where", "resolvedValue": "there"}]


def test_a_variable_that_its_action_did_not_make(world):
    configuration = {"ActionMode": "DELETE_ONLY", "StackName": "#{SourceVariables.Nothing}"}
    execution = world.create(stage("Deploy", action("Put", configuration=configuration)))
    assert world.ended(execution) == "Failed"
    assert "#{SourceVariables.Nothing}" in world.action("Deploy", "Put")["errorDetails"]["message"]
    assert "Put" not in world.starts


def test_a_newer_execution_supersedes_the_one_that_waits(world):
    world.slow.add("Put")
    first = world.create(BUILD, DEPLOY)
    world.started("Put")
    second = world.release()
    world.until(lambda: world.stages()["Deploy"].get("inboundExecution", {}).get("pipelineExecutionId") == second)
    third = world.release()
    assert world.ended(second) == "Superseded"
    world.until(lambda: world.stages()["Deploy"].get("inboundExecution", {}).get("pipelineExecutionId") == third)
    assert world.starts.count("Put") == 1
    world.end("Put")
    assert world.ended(first) == world.ended(third) == "Succeeded"
    assert world.starts.count("Put") == 2


def test_queued_executions_come_one_after_another(world):
    world.slow.add("Put")
    first = world.create(BUILD, DEPLOY, pipelineType="V2", executionMode="QUEUED")
    world.started("Put")
    others = [world.release() for _ in range(3)]
    world.until(lambda: len(world.stages()["Deploy"].get("inboundExecutions", ())) == 3)
    waiting = [found["pipelineExecutionId"] for found in world.stages()["Deploy"]["inboundExecutions"]]
    assert waiting == others
    world.end("Put")
    assert [world.ended(execution) for execution in (first, *others)] == ["Succeeded"] * 4
    deployed = [found["pipelineExecutionId"] for found in world.runs() if found["actionName"] == "Put"]
    assert deployed == [first, *others][::-1]


def test_parallel_executions_wait_for_nobody(world):
    world.create(BUILD, APPROVE, DEPLOY, pipelineType="V2", executionMode="PARALLEL")
    second = world.release()
    world.until(lambda: len([each for each in world.runs() if each["actionName"] == "Ask"]) == 2)
    assert "token" not in world.action("Approve", "Ask")
    (ask,) = [found for found in world.runs(second) if found["actionName"] == "Ask"]
    world.approve(ask["output"]["executionResult"]["externalExecutionId"])
    assert world.ended(second) == "Succeeded"
    assert world.starts.count("Put") == 1


def test_two_starts_within_a_second(world):
    world.slow.add("Get")
    world.create(BUILD)
    world.started("Get")
    second, third = world.release(), world.release()
    world.end("Get")
    assert world.ended(third) == "Succeeded"
    assert world.status(second) == "Superseded"


def test_the_same_token_starts_once(world):
    world.create(BUILD)
    assert world.release(clientRequestToken="one") == world.release(clientRequestToken="one")
    assert len(world.executions()) == 2


def test_a_failure_frees_the_stage_and_can_be_retried(world):
    world.fail["B"] = "no luck"
    execution = world.create(stage("Work", action("A"), action("B"), action("C", order=2)))
    assert world.ended(execution) == "Failed"
    failed = world.action("Work", "B")
    assert failed["errorDetails"] == {"code": "JobFailed", "message": "no luck"}
    assert world.stages()["Work"]["latestExecution"]["status"] == "Failed"
    del world.fail["B"]
    retry = {"pipelineName": "p", "stageName": "Work", "pipelineExecutionId": execution}
    world("RetryStageExecution", **retry, retryMode="FAILED_ACTIONS")
    assert world.ended(execution) == "Succeeded"
    assert [world.starts.count(name) for name in "ABC"] == [1, 2, 1]
    assert world.action("Work", "B")["actionExecutionId"] != failed["actionExecutionId"]
    refused("StageNotRetryableException", world, "RetryStageExecution", **retry, retryMode="ALL_ACTIONS")


def test_all_actions_retried(world):
    world.fail["B"] = "no luck"
    execution = world.create(stage("Work", action("A"), action("B", order=2)))
    assert world.ended(execution) == "Failed"
    del world.fail["B"]
    retry = {"pipelineName": "p", "stageName": "Work", "pipelineExecutionId": execution, "retryMode": "ALL_ACTIONS"}
    world("RetryStageExecution", **retry)
    assert world.ended(execution) == "Succeeded"
    assert [world.starts.count(name) for name in "AB"] == [2, 2]
    assert world.stages()["Work"]["retryStageMetadata"]["manualStageRetryAttempt"] == 1


def test_only_the_latest_execution_can_be_retried(world):
    world.fail["A"] = "no luck"
    first = world.create(stage("Work", action("A")))
    assert world.ended(first) == "Failed"
    second = world.release()
    assert world.ended(second) == "Failed"
    retry = {"pipelineName": "p", "stageName": "Work", "retryMode": "ALL_ACTIONS"}
    call = "RetryStageExecution"
    refused("NotLatestPipelineExecutionException", world, call, **retry, pipelineExecutionId=first)
    refused("StageNotFoundException", world, call, **{**retry, "stageName": "X"}, pipelineExecutionId=second)
    world("UpdatePipeline", pipeline=pipeline(stage("Work", action("A"))))
    refused("StageNotRetryableException", world, call, **retry, pipelineExecutionId=second)


def test_a_rejected_approval_fails_its_stage(world):
    execution = world.create(APPROVE, stage("Deploy", action("Put")))
    world.approve(world.token(), "Rejected", summary="not today")
    assert world.ended(execution) == "Failed"
    asked = world.action("Approve", "Ask")
    assert (asked["status"], asked["summary"]) == ("Failed", "not today")
    assert "Put" not in world.starts
    retry = {"pipelineName": "p", "stageName": "Approve", "pipelineExecutionId": execution}
    world("RetryStageExecution", **retry, retryMode="FAILED_ACTIONS")
    world.approve(world.token())
    assert world.ended(execution) == "Succeeded"


def test_the_first_answer_wins(world):
    execution = world.create(APPROVE, stage("Deploy", action("Put")))
    token = world.token()
    refused("InvalidApprovalTokenException", world.approve, "0" * 8 + token[8:])
    refused("StageNotFoundException", world.approve, token, stage="X")
    refused("ActionNotFoundException", world.approve, token, action="X")
    refused("ValidationException", world.approve, token, stage="Source", action="Get")
    world.approve(token, "Rejected")
    text = refused("ApprovalAlreadyCompletedException", world.approve, token)
    assert world.context.principal.arn in text
    assert world.ended(execution) == "Failed"
    again = world.release()
    assert world.token() != token
    refused("ApprovalAlreadyCompletedException", world.approve, token)
    assert world.status(again) == "InProgress"


def test_stopping_waits_for_what_runs(world):
    world.slow.add("A")
    execution = world.create(stage("Work", action("A"), action("B", order=2)))
    world.started("A")
    stop = {"pipelineName": "p", "pipelineExecutionId": execution}
    world("StopPipelineExecution", **stop, reason="enough")
    assert world.status(execution) == "Stopping"
    refused("DuplicatedStopRequestException", world, "StopPipelineExecution", **stop)
    world.end("A")
    assert world.ended(execution) == "Stopped"
    assert "B" not in world.starts
    assert world.executions()[0]["stopTrigger"] == {"reason": "enough"}
    refused("PipelineExecutionNotStoppableException", world, "StopPipelineExecution", **stop)
    retry = {"stageName": "Work", "retryMode": "FAILED_ACTIONS"}
    world("RetryStageExecution", **stop, **retry)
    assert world.ended(execution) == "Succeeded"
    assert [world.starts.count(name) for name in "AB"] == [1, 1]


def test_abandoning_does_not_wait(world):
    world.slow.add("A")
    execution = world.create(stage("Work", action("A")))
    world.started("A")
    stop = {"pipelineName": "p", "pipelineExecutionId": execution}
    world("StopPipelineExecution", **stop)
    world("StopPipelineExecution", **stop, abandon=True)
    assert world.ended(execution) == "Stopped"
    assert world.action("Work", "A")["status"] == "Abandoned"
    refused("PipelineExecutionNotStoppableException", world, "StopPipelineExecution", **stop)
    nobody = {**stop, "pipelineExecutionId": "0" * 8 + execution[8:]}
    refused("PipelineExecutionNotStoppableException", world, "StopPipelineExecution", **nobody)


def test_a_disabled_transition_lets_nobody_in(world):
    world.create(BUILD, DEPLOY)
    transition = {"pipelineName": "p", "stageName": "Deploy", "transitionType": "Inbound"}
    world.until(lambda: world.executions()[0]["status"] == "Succeeded")
    world("DisableStageTransition", **transition, reason="holiday")
    first = world.release()
    world.until(lambda: world.stages()["Deploy"].get("inboundExecution"))
    state = world.stages()["Deploy"]["inboundTransitionState"]
    assert (state["enabled"], state["disabledReason"]) == (False, "holiday")
    assert state["lastChangedBy"] == world.context.principal.arn
    second = world.release()
    assert world.ended(first) == "Superseded"
    world("EnableStageTransition", **transition)
    assert world.ended(second) == "Succeeded"
    outbound = {"pipelineName": "p", "stageName": "Deploy", "transitionType": "Outbound"}
    refused("ValidationException", world, "DisableStageTransition", **outbound, reason="x")
    world("DisableStageTransition", **{**outbound, "stageName": "Build"}, reason="x")
    assert not world.stages()["Deploy"]["inboundTransitionState"]["enabled"]


def test_an_update_cancels_what_is_not_over(world):
    world.slow.add("Put")
    execution = world.create(BUILD, DEPLOY)
    world.started("Put")
    world("UpdatePipeline", pipeline=pipeline(BUILD, stage("Other", action("New"))))
    assert world.status(execution) == "Cancelled"
    (put,) = [found for found in world.runs(execution) if found["actionName"] == "Put"]
    assert put["status"] == "Abandoned"
    assert world("GetPipelineState", name="p")["pipelineVersion"] == 2
    assert world.ended(world.release()) == "Succeeded"
    assert world.starts[-1] == "New"


def test_a_deleted_pipeline_can_be_created_again(world):
    world.slow.add("Put")
    old = world.create(BUILD, DEPLOY)
    world.started("Put")
    world("DeletePipeline", name="p")
    world("DeletePipeline", name="p")
    refused("PipelineNotFoundException", world, "GetPipelineState", name="p")
    world.end("Put")
    new = world.create(BUILD)
    assert new != old
    assert world.ended(new) == "Succeeded"
    assert [found["pipelineExecutionId"] for found in world.executions()] == [new]


def test_what_a_later_server_finds(idle):
    """An execution in the middle of everything: each action was started once."""
    world = idle.start()
    world.slow.add("Compile")
    execution = world.create(BUILD, APPROVE, DEPLOY)
    world.started("Compile")
    world.close()
    world.slow.clear()
    world.start()
    token = world.token()
    world.close()
    world.start()
    world.approve(token)
    assert world.ended(execution) == "Succeeded"
    assert world.starts == ["Get", "Compile", "Put"]
    world.close()


def test_an_approval_that_nobody_answers_expires(database):
    from modelwright.store.history import History
    from support.codepipelines import World
    from support.doors import Clock

    clock = Clock()
    world = World(database, History("test"), clock).start()
    try:
        execution = world.create(stage("Approve", action("Ask", "Approval")), stage("Deploy", action("Put")))
        token = world.token()
        clock.advance(7 * 24 * 3600 - 1)
        assert world.action("Approve", "Ask")["status"] == "InProgress"
        clock.advance(2)
        refused("InvalidApprovalTokenException", world.approve, token)
        world.close()
        world.start()
        assert world.ended(execution) == "Failed"
        assert "7 days" in world.action("Approve", "Ask")["errorDetails"]["message"]
        assert "Put" not in world.starts
    finally:
        world.close()


def push(world, branch="main", event="referenceUpdated", repository="code", kind="branch"):
    """What CodeCommit says of a push."""
    detail = {
        "event": event,
        "repositoryName": repository,
        "referenceType": kind,
        "referenceName": branch,
        "commitId": "c0ffee",
    }
    with world.database.write() as transaction:
        world.events.emit(
            transaction,
            source="aws.codecommit",
            detail_type="CodeCommit Repository State Change",
            detail=detail,
            region="eu-west-1",
            time=world.clock(),
        )


@pytest.mark.parametrize(
    ("provider", "configuration"),
    [
        ("CodeCommit", {"RepositoryName": "code", "BranchName": "main"}),
        ("CodeStarSourceConnection", {"FullRepositoryId": "me/code", "BranchName": "main", "ConnectionArn": "arn:x"}),
    ],
)
def test_a_push_starts_the_pipelines_that_look_for_changes(idle, provider, configuration):
    def source(**more):
        found = action("Get", "Source", configuration={**configuration, **more})
        return stage("Source", {**found, "actionTypeId": {**found["actionTypeId"], "provider": provider}})

    deploy = stage("Deploy", action("Put"))
    switch = "DetectChanges" if "Star" in provider else "PollForSourceChanges"
    idle("CreatePipeline", pipeline=pipeline(source(), deploy, name="looks"))
    idle("CreatePipeline", pipeline=pipeline(source(**{switch: "false"}), deploy, name="waits"))
    push(idle)
    push(idle, branch="other")
    push(idle, repository="other")
    push(idle, event="referenceDeleted")
    assert len(idle.executions("waits")) == 1
    newest, _ = idle.executions("looks")
    assert newest["trigger"] == {"triggerType": "PollForSourceChanges", "triggerDetail": "Get"}


def at_once(*actions):
    """What came of doing all of it at the same moment: codes of errors, or ''."""
    gate, found = threading.Barrier(len(actions)), []

    def act(what):
        gate.wait()
        try:
            what()
            found.append("")
        except AwsError as error:
            found.append(error.code)

    threads = [threading.Thread(target=act, args=(each,)) for each in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(found)


def test_of_many_answers_at_once_one_wins(world):
    execution = world.create(APPROVE, stage("Deploy", action("Put")))
    token = world.token()
    answers = [lambda status=status: world.approve(token, status) for status in ("Approved", "Rejected") * 4]
    assert at_once(*answers) == ["", *["ApprovalAlreadyCompletedException"] * 7]
    asked = world.action("Approve", "Ask")
    assert world.ended(execution) == {"Succeeded": "Succeeded", "Failed": "Failed"}[asked["status"]]


def test_of_many_creations_at_once_one_wins(world):
    made = pipeline(BUILD)
    found = at_once(*[lambda: world("CreatePipeline", pipeline=made)] * 6)
    assert found == ["", *["PipelineNameInUseException"] * 5]
    assert world.ended(world.executions()[0]["pipelineExecutionId"]) == "Succeeded"
    assert world.starts == ["Get", "Compile"]


def test_many_starts_at_once(world):
    world.slow.add("Put")
    world.create(DEPLOY_ALONE)
    world.started("Put")
    assert at_once(*[world.release] * 8) == [""] * 8
    world.until(lambda: [found["status"] for found in world.executions()].count("Superseded") == 7)
    world.end("Put")
    newest, *others, first = world.executions()
    assert world.ended(newest["pipelineExecutionId"]) == world.ended(first["pipelineExecutionId"]) == "Succeeded"
    assert {found["status"] for found in others} == {"Superseded"}
    assert world.starts.count("Put") == 2


def test_retries_and_stops_at_once(world):
    world.fail["A"] = "no luck"
    execution = world.create(stage("Work", action("A")))
    assert world.ended(execution) == "Failed"
    del world.fail["A"]
    retry = {"pipelineName": "p", "stageName": "Work", "pipelineExecutionId": execution, "retryMode": "ALL_ACTIONS"}
    found = at_once(*[lambda: world("RetryStageExecution", **retry)] * 5)
    assert found == ["", *["StageNotRetryableException"] * 4]
    assert world.ended(execution) == "Succeeded"
    assert world.starts.count("A") == 2


def test_triggers_start_at_the_commit_that_was_pushed(idle):
    configuration = {"FullRepositoryId": "me/code", "BranchName": "main", "ConnectionArn": "arn:x"}
    source = action("Get", "Source", configuration={**configuration, "DetectChanges": "false"})
    source["actionTypeId"] = {**source["actionTypeId"], "provider": "CodeStarSourceConnection"}
    filters = [
        {"branches": {"includes": ["release/*", "hot/**"], "excludes": ["release/old"]}},
        {"tags": {"includes": ["v?"]}},
    ]
    trigger = {
        "providerType": "CodeStarSourceConnection",
        "gitConfiguration": {"sourceActionName": "Get", "push": filters},
    }
    made = pipeline(stage("Source", source), stage("Deploy", action("Put")), pipelineType="V2", triggers=[trigger])
    idle("CreatePipeline", pipeline=made)
    for branch, starts in (
        ("main", False),
        ("release/1", True),
        ("release/1/2", False),
        ("release/old", False),
        ("hot/1/2", True),
        ("v1", False),
    ):
        before = len(idle.executions())
        push(idle, branch)
        assert len(idle.executions()) == before + starts, branch
    push(idle, "v10", kind="tag")
    push(idle, "v1", kind="tag")
    assert len(idle.executions()) == 4
    assert idle.executions()[0]["trigger"] == {"triggerType": "WebhookV2", "triggerDetail": "Get"}
    with idle.database.read() as transaction:
        *_, started = idle.history.read(transaction, "codepipeline/p")
    assert started.data["revisions"] == {"Get": {"type": "COMMIT_ID", "value": "c0ffee"}}


def test_a_stage_goes_back_to_what_an_earlier_execution_had(world):
    world.variables["Get"] = {"CommitId": "one"}
    configuration = {"ActionMode": "DELETE_ONLY", "StackName": "#{SourceVariables.CommitId}"}
    deploy = stage("Deploy", action("Put", inputs=["Built"], configuration=configuration))
    first = world.create(BUILD, deploy, stage("After", action("Last")))
    assert world.ended(first) == "Succeeded"
    world.variables["Get"] = {"CommitId": "two"}
    second = world.release()
    assert world.ended(second) == "Succeeded"
    rollback = {"pipelineName": "p", "stageName": "Deploy"}
    done = world("RollbackStage", **rollback, targetPipelineExecutionId=first)["pipelineExecutionId"]
    assert world.ended(done) == "Succeeded"
    (put,) = world.runs(done)
    (before,) = [found for found in world.runs(first) if found["actionName"] == "Put"]
    assert put["input"] == before["input"]
    assert put["input"]["resolvedConfiguration"]["StackName"] == "one"
    newest = world.executions()[0]
    assert newest["executionType"] == "ROLLBACK"
    assert newest["rollbackMetadata"] == {"rollbackTargetPipelineExecutionId": first}
    assert newest["trigger"]["triggerType"] == "ManualRollback"
    assert world.stages()["Deploy"]["latestExecution"]["type"] == "ROLLBACK"
    assert world.stages()["After"]["latestExecution"]["pipelineExecutionId"] == second
    call, unable = "RollbackStage", "UnableToRollbackStageException"
    refused(unable, world, call, **rollback, targetPipelineExecutionId=done)
    refused(unable, world, call, **{**rollback, "stageName": "Source"}, targetPipelineExecutionId=first)
    refused("StageNotFoundException", world, call, **{**rollback, "stageName": "X"}, targetPipelineExecutionId=first)
    nobody = "0" * 8 + first[8:]
    refused("PipelineExecutionNotFoundException", world, call, **rollback, targetPipelineExecutionId=nobody)
    world.fail["Put"] = "no luck"
    failed = world.release()
    assert world.ended(failed) == "Failed"
    refused(unable, world, call, **rollback, targetPipelineExecutionId=failed)
    world("UpdatePipeline", pipeline=pipeline(BUILD, deploy))
    refused(unable, world, call, **rollback, targetPipelineExecutionId=first)


def test_an_execution_says_which_rule_has_started_it(idle):
    idle("CreatePipeline", pipeline=pipeline(BUILD))
    rule = "arn:aws:events:eu-west-1:111122223333:rule/r"
    delivery = Event("Created", {"RuleArn": rule, "Target": {}, "Event": {}}, 1.0)
    with idle.database.write() as transaction:
        idle.history.open(transaction, "delivery/d-1", "Delivery", [delivery], lease_until=1.0)
    idle.release(clientRequestToken="d-1")
    assert idle.executions()[0]["trigger"]["triggerType"] == "StartPipelineExecution"
    idle.context = replace(idle.context, source="engine")
    with idle.database.write() as transaction:
        idle.history.open(transaction, "delivery/d-2", "Delivery", [delivery], lease_until=1.0)
    idle.release(clientRequestToken="d-2")
    assert idle.executions()[0]["trigger"] == {"triggerType": "CloudWatchEvent", "triggerDetail": rule}
