"""What EventBridge hears of pipelines, and what a service tells of its action types."""

import pytest

from support.codepipelines import action, stage


@pytest.fixture
def told(world):
    """(detail-type, detail) of all that is emitted."""
    found, emit = [], world.events.emit

    def record(transaction, **event):
        found.append((event["detail_type"], event["detail"], event["resources"], event["source"]))
        return emit(transaction, **event)

    world.events.emit = record
    return found


def test_every_change_is_told_once(world, told):
    world.fail["Put"] = "no luck"
    execution = world.create(stage("Approve", action("Ask", "Approval")), stage("Deploy", action("Put")))
    world.approve(world.token())
    assert world.ended(execution) == "Failed"
    arn = "arn:aws:codepipeline:eu-west-1:111122223333:p"
    assert {(source, *resources) for _, _, resources, source in told} == {("aws.codepipeline", arn)}
    kinds = {"CodePipeline Pipeline Execution State Change": "pipeline"}
    lines = [(detail.get("action") or detail.get("stage") or kinds[kind], detail["state"]) for kind, detail, *_ in told]
    assert lines == [
        ("pipeline", "STARTED"),
        ("Source", "STARTED"),
        ("Get", "STARTED"),
        ("Get", "SUCCEEDED"),
        ("Source", "SUCCEEDED"),
        ("Approve", "STARTED"),
        ("Ask", "STARTED"),
        ("Ask", "SUCCEEDED"),
        ("Approve", "SUCCEEDED"),
        ("Deploy", "STARTED"),
        ("Put", "STARTED"),
        ("Put", "FAILED"),
        ("Deploy", "FAILED"),
        ("pipeline", "FAILED"),
    ]
    for kind, detail, *_ in told:
        assert (detail["pipeline"], detail["execution-id"], detail["version"]) == ("p", execution, 1)
        assert kind.startswith("CodePipeline ")
        assert kind.endswith(" Execution State Change")
    failed = next(detail for _, detail, *_ in told if detail.get("action") == "Put" and detail["state"] == "FAILED")
    assert failed["type"] == {"category": "Deploy", "owner": "AWS", "provider": "CloudFormation", "version": "1"}
    assert failed["execution-result"] == {"error-code": "JobFailed"}
    assert failed["region"] == "eu-west-1"


def test_a_retry_and_a_stop_are_told(world, told):
    world.fail["Put"] = "no luck"
    execution = world.create(stage("Deploy", action("Put")))
    assert world.ended(execution) == "Failed"
    world.slow.add("Put")
    told.clear()
    where = {"pipelineName": "p", "pipelineExecutionId": execution}
    world.fail.clear()
    world("RetryStageExecution", **where, stageName="Deploy", retryMode="FAILED_ACTIONS")
    world.started("Put", 2)
    world("StopPipelineExecution", **where, abandon=True)
    assert world.ended(execution) == "Stopped"
    states = [detail["state"] for _, detail, *_ in told]
    assert states == ["RESUMED", "RESUMED", "STARTED", "STOPPING", "ABANDONED", "STOPPED", "STOPPED"]
    assert told[-1][1]["pipeline-execution-attempt"] == 2


def test_action_types(idle):
    found = idle("ListActionTypes")["actionTypes"]
    names = {(each["id"]["category"], each["id"]["provider"]) for each in found}
    assert ("Approval", "Manual") in names
    assert ("Invoke", "Lambda") not in names
    (build,) = [each for each in found if each["id"]["category"] == "Build"]
    assert build["inputArtifactDetails"] == {"minimumCount": 1, "maximumCount": 5}
    assert build["actionConfigurationProperties"][0]["name"] == "ProjectName"
    assert idle("ListActionTypes", actionOwnerFilter="Custom")["actionTypes"] == []
