"""Deployments' pages over the real services; what the engine would do, the test does."""

import time

import pytest

from modelwright.lifecycles import codepipeline as lifecycle
from modelwright.lifecycles.codepipeline_state import Pipeline
from modelwright.store.codepipelines import save, stream_of
from modelwright.store.history import Event
from modelwright.studio import deployments
from support.browser import Browser
from support.codepipelines import action, pipeline, stage

LOG = "arn:aws:logs:us-east-1:111122223333:log-group:/aws/codebuild/project:log-stream:one"
STAGES = (
    stage("Build", action("Compile", "Build", inputs=["Code"], outputs=["Built"])),
    stage("Approve", action("Ask", "Approval", configuration={"CustomData": "Is staging <well>?"})),
    stage("Prod", action("Put", inputs=["Built"])),
)


def create(user, name="p"):
    user.call("CreatePipeline", "codepipeline", pipeline=pipeline(*STAGES, name=name))


def drive(user, fail=(), name="p"):
    """Let every action end that isn't an approval, until nothing can happen but by somebody's hand."""
    platform = user.platform
    with platform.database.write() as transaction:
        state, version = Pipeline(), 0
        for event in platform.history.read(transaction, stream_of(name), 0):
            state, version = lifecycle.apply(state, event.kind, event.data, event.time), event.sequence
        now, facts = 2e9, []
        for _ in range(100):
            decided = list(lifecycle.decide(state)) or list(ends(state, fail))
            if not decided:
                break
            for kind, data in decided:
                state = lifecycle.apply(state, kind, data, now)
                facts.append(Event(kind, data, now))
        platform.history.append(transaction, stream_of(name), facts, expected=version)
        save(transaction, platform.events, state, facts)


def ends(state, fail):
    for run in state.runs.values():
        for found in run.actions.values():
            if found.status == "Starting" and found.is_approval:
                yield "ActionStarted", {"action": found.id, "detail": {}}
            elif found.status in ("Starting", "InProgress") and not found.is_approval:
                outputs = {each["name"]: {"bucket": "b", "key": "k"} for each in found.declaration["outputArtifacts"]}
                detail = {"outputs": outputs, "log": LOG}
                if found.name in fail:
                    detail["error"] = {"code": "JobFailed", "message": "it <broke>"}
                status = "Failed" if found.name in fail else "Succeeded"
                yield "ActionEnded", {"action": found.id, "status": status, "detail": detail}


def states(user, name="p"):
    found = user.call("GetPipelineState", "codepipeline", name=name)["stageStates"]
    return {each["stageName"]: each for each in found}


def token(user):
    return states(user)["Approve"]["actionStates"][0]["latestExecution"]["token"]


def answer(user, status, given=None, comment="looks <right>"):
    given = token(user) if given is None else given
    return user.post(
        "/deployments/p/review", stage="Approve", action="Ask", token=given, status=status, comment=comment
    )


def other(user, role):
    """Somebody else who has signed in."""
    user.call("CreateUser", "iam", UserName=role)
    user.call("AddUserToGroup", "iam", UserName=role, GroupName=role)
    key = user.call("CreateAccessKey", "iam", UserName=role)["AccessKey"]
    somebody = Browser(user.platform)
    fields = {"key": key["AccessKeyId"], "secret": key["SecretAccessKey"]}
    assert somebody("POST", "/studio/sign-in", data=fields).status_code == 200
    return somebody


def executions(user):
    return user.call("ListPipelineExecutions", "codepipeline", pipelineName="p")["pipelineExecutionSummaries"]


def test_what_waits_comes_first_and_is_at_home(user):
    create(user)
    create(user, "another")
    drive(user)
    page = user.get("/deployments").text
    assert page.index("deployments/p") < page.index("deployments/another")
    assert "Approve / Ask" in page
    home = user.get("/").text
    assert 'href="/studio/deployments/p"' in home
    assert "Approve / Ask" in home


def test_a_pipeline_from_top_to_bottom(user):
    create(user)
    drive(user)
    page = user.get("/deployments/p").text
    places = [page.index(f"<h2>{name}</h2>") for name in ("Source", "Build", "Approve", "Prod")]
    assert places == sorted(places)
    assert "Is staging &lt;well&gt;?" in page
    assert token(user) in page
    assert "CreatePipeline" in page
    assert "watch=codepipeline%2Fp" in page
    run = states(user)["Build"]["actionStates"][0]["latestExecution"]["actionExecutionId"]
    address = f"/deployments/p/executions/{executions(user)[0]['pipelineExecutionId']}/{run}"
    assert address in page
    user.call("CreateLogGroup", "logs", logGroupName="/aws/codebuild/project")
    user.call("CreateLogStream", "logs", logGroupName="/aws/codebuild/project", logStreamName="one")
    assert "Nothing has been written yet." in user.get(address).text
    line = {"timestamp": int(time.time() * 1000), "message": "compiled <all>"}
    place = {"logGroupName": "/aws/codebuild/project", "logStreamName": "one"}
    user.call("PutLogEvents", "logs", **place, logEvents=[line])
    shown = user.get(address).text
    assert "compiled &lt;all&gt;" in shown
    assert "s3://b/k" in shown
    assert user.get("/deployments/p/executions/00000000-0000-4000-8000-000000000000/none").status_code == 404


def test_approving_lets_it_through_once(user):
    create(user)
    drive(user)
    seen = token(user)
    assert answer(user, "Approved").headers["location"] == "/studio/deployments/p"
    drive(user)
    assert executions(user)[0]["status"] == "Succeeded"
    assert "looks &lt;right&gt;" in user.get("/deployments/p").text
    late = answer(user, "Rejected", seen)
    assert late.status_code == 400
    assert "approved already" in late.text


def test_rejecting_stops_it(user):
    create(user)
    drive(user)
    assert answer(user, "Rejected").status_code == 303
    drive(user)
    assert executions(user)[0]["status"] == "Failed"
    assert "latestExecution" not in states(user)["Prod"]


@pytest.mark.parametrize("operation", ["review", "release", "retry", "transition"])
def test_no_form_is_taken_without_its_token(user, operation):
    create(user)
    before = executions(user)
    assert user.post(f"/deployments/p/{operation}", form_token="forged", stage="Prod", reason="x").status_code == 403
    assert executions(user) == before
    assert states(user)["Prod"]["inboundTransitionState"]["enabled"]


def test_what_nobody_understands_is_refused(user):
    create(user)
    drive(user)
    assert answer(user, "Perhaps").status_code == 400
    assert answer(user, "Approved", "no such token").status_code == 400
    assert user.post("/deployments/p/retry", stage="Prod", execution="x").status_code == 400
    assert user.post("/deployments/none/release").status_code == 404
    assert user.get("/deployments/none").status_code == 404


def test_a_failed_stage_says_why_and_is_retried(user):
    create(user)
    drive(user, fail=["Compile"])
    page = user.get("/deployments/p").text
    assert "JobFailed: it &lt;broke&gt;" in page
    assert "Retry stage" in page
    failed = states(user)["Build"]["latestExecution"]["pipelineExecutionId"]
    assert user.post("/deployments/p/retry", stage="Build", execution=failed).status_code == 303
    drive(user)
    assert states(user)["Build"]["latestExecution"]["status"] == "Succeeded"
    assert "Retry stage" not in user.get("/deployments/p").text


def test_a_change_is_released(user):
    create(user)
    before = len(executions(user))
    assert user.post("/deployments/p/release").status_code == 303
    assert len(executions(user)) == before + 1
    assert executions(user)[0]["trigger"]["triggerType"] == "StartPipelineExecution"


def test_a_transition_is_closed_for_a_reason_and_opened(user):
    create(user)
    refused = user.post("/deployments/p/transition", stage="Prod", reason=" ")
    assert refused.status_code == 400
    assert "Say why" in refused.text
    assert user.post("/deployments/p/transition", stage="Prod", reason="a freeze (of code)").status_code == 303
    assert states(user)["Prod"]["inboundTransitionState"]["disabledReason"] == "a freeze (of code)"
    assert "a freeze (of code)" in user.get("/deployments/p").text
    assert user.post("/deployments/p/transition", stage="Prod", enable="1").status_code == 303
    assert states(user)["Prod"]["inboundTransitionState"]["enabled"]


@pytest.mark.parametrize(("role", "offered"), [("viewer", ()), ("developer", ("release", "transition"))])
def test_what_one_may_not_is_not_offered(user, role, offered):
    create(user)
    drive(user)
    somebody = other(user, role)
    page = somebody.get("/deployments/p").text
    found = [each for each in ("review", "release", "transition") if f'action="/studio/deployments/p/{each}"' in page]
    assert found == list(offered)
    assert "An administrator approves or rejects this." in page
    refused = answer(somebody, "Approved", token(user))
    assert refused.status_code in (400, 403)
    assert token(user)


def test_links_of_approvals_lead_only_to_pages():
    declared = {"name": "Ask", "actionTypeId": {"category": "Approval", "provider": "Manual"}}
    for link, shown in (("https://x.test/", "https://x.test/"), ("javascript:alert(1)", "")):
        assert deployments._action(declared, {"entityUrl": link}, {})["entity"] == shown
