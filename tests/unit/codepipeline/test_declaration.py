"""What CreatePipeline refuses, and that it names every problem."""

import copy

import pytest

from modelwright.codepipeline.triggers import starts
from modelwright.errors import AwsError
from support.codepipelines import BUCKET, SOURCE, action, pipeline, stage

DEPLOY = stage("Deploy", action("Put", inputs=["Code"]))


def refusal(world, declaration):
    with pytest.raises(AwsError) as caught:
        world("CreatePipeline", pipeline=declaration)
    with pytest.raises(AwsError) as missing:
        world("GetPipeline", name=declaration["name"])
    assert missing.value.code == "PipelineNotFoundException"
    return caught.value.code, caught.value.message


def configured(category, configuration, **more):
    return pipeline(stage("Work", action("It", category, configuration=configuration, **more)))


REVISION = {"actionName": "Get", "revisionType": "COMMIT_ID", "revisionValue": "x"}
CONNECTION = {"FullRepositoryId": "me/code", "BranchName": "main", "ConnectionArn": "arn:x"}
CLOUDFORMATION = {"ActionMode": "CREATE_UPDATE", "StackName": "s", "TemplatePath": "Code::t.json"}


@pytest.mark.parametrize(
    ("declaration", "code", "text"),
    [
        (pipeline(), "InvalidStructureException", "only 1 stage"),
        (pipeline(SOURCE, SOURCE), "InvalidStructureException", "more than one stage is called 'Source'"),
        (
            pipeline(stage("Source", action("Put")), DEPLOY),
            "InvalidStructureException",
            "start with a stage that only contains source actions",
        ),
        (
            pipeline(DEPLOY, stage("More", action("Again", "Source"))),
            "InvalidStructureException",
            "only the first stage of a pipeline may contain source actions",
        ),
        (
            pipeline(stage("Deploy", action("Put", inputs=["Nothing"]))),
            "InvalidStructureException",
            "'Nothing' of action 'Put'",
        ),
        (
            pipeline(stage("Build", action("B", "Build", inputs=["Code"], outputs=["Code"]))),
            "InvalidStructureException",
            "'Code' is made by 'Get' and by 'B'",
        ),
        (
            pipeline(
                stage(
                    "Build",
                    action("B", "Build", inputs=["Code"], outputs=["X"]),
                    action("C", "Build", inputs=["X"]),
                )
            ),
            "InvalidStructureException",
            "Input artifact 'X' of action 'C'",
        ),
        (
            pipeline(stage("Deploy", action("Put"), action("Put"))),
            "InvalidStageDeclarationException",
            "more than one 'Put'",
        ),
        (pipeline(DEPLOY, stage("Empty")), "InvalidStageDeclarationException", "no actions"),
        (pipeline(DEPLOY, variables=[{"name": "x"}]), "InvalidStructureException", "type V2"),
        (pipeline(DEPLOY, executionMode="QUEUED"), "InvalidStructureException", "QUEUED"),
        (
            {**pipeline(DEPLOY), "artifactStores": {"eu-west-1": {"type": "S3", "location": BUCKET}}},
            "InvalidStructureException",
            "not both",
        ),
        (configured("Build", {"ProjectName": "x"}), "InvalidActionDeclarationException", "0 input artifacts"),
        (configured("Build", {}, inputs=["Code"]), "InvalidActionDeclarationException", "'ProjectName'"),
        (
            configured("Build", {"ProjectName": "x", "Foo": "y"}, inputs=["Code"]),
            "InvalidActionDeclarationException",
            "unknown configuration 'Foo'",
        ),
        (
            configured("Build", {"ProjectName": "x", "EnvironmentVariables": "{"}, inputs=["Code"]),
            "InvalidActionDeclarationException",
            "not JSON",
        ),
        (
            configured(
                "Build",
                {"ProjectName": "x", "EnvironmentVariables": '[{"name": "a", "value": 1}]'},
                inputs=["Code"],
            ),
            "InvalidActionDeclarationException",
            "EnvironmentVariables[0]",
        ),
        (
            configured("Build", {"ProjectName": "x", "PrimarySource": "Y"}, inputs=["Code"]),
            "InvalidActionDeclarationException",
            "PrimarySource 'Y'",
        ),
        (
            configured("Build", {"ProjectName": "x", "BatchEnabled": "true"}, inputs=["Code"]),
            "UnsupportedOperation",
            "BatchEnabled",
        ),
        (
            configured("Deploy", {"ActionMode": "CREATE_UPDATE", "StackName": "s"}),
            "InvalidActionDeclarationException",
            "'TemplatePath'",
        ),
        (
            configured("Deploy", {"ActionMode": "X", "StackName": "s"}),
            "InvalidActionDeclarationException",
            "must be one",
        ),
        (configured("Deploy", CLOUDFORMATION), "InvalidActionDeclarationException", "names the artifact 'Code'"),
        (
            configured("Deploy", {**CLOUDFORMATION, "OutputFileName": "x"}, inputs=["Code"]),
            "InvalidActionDeclarationException",
            "no output artifact",
        ),
        (
            configured("Deploy", {**CLOUDFORMATION, "ParameterOverrides": "[]"}, inputs=["Code"]),
            "InvalidActionDeclarationException",
            "must be a JSON object",
        ),
        (configured("Approval", {"NotificationArn": "arn:x"}), "UnsupportedOperation", "NotificationArn"),
        (
            configured("Approval", {"CustomData": "#{Nobody.Knows}"}),
            "InvalidActionDeclarationException",
            "namespace 'Nobody'",
        ),
        (configured("Approval", {"CustomData": "#{nothing}"}), "InvalidActionDeclarationException", "separated by"),
        (configured("Approval", {"CustomData": "#{variables.x}"}), "InvalidActionDeclarationException", "'x'"),
        (configured("Deploy", {}, timeoutInMinutes=5), "InvalidActionDeclarationException", "timeoutInMinutes"),
        (configured("Approval", {}, namespace="variables"), "InvalidActionDeclarationException", "reserved"),
        (configured("Approval", {}, region="us-west-2"), "UnsupportedOperation", "us-west-2"),
    ],
)
def test_what_is_refused(idle, declaration, code, text):
    found = refusal(idle, declaration)
    assert found[0] == code, found
    assert text in found[1]


@pytest.mark.parametrize(
    ("category", "provider", "owner", "code"),
    [
        ("Invoke", "Lambda", "AWS", "UnsupportedOperation"),
        ("Deploy", "S3", "AWS", "UnsupportedOperation"),
        ("Build", "Mine", "Custom", "UnsupportedOperation"),
        ("Build", "Nonsense", "AWS", "InvalidActionDeclarationException"),
    ],
)
def test_other_action_types_are_refused_by_name(idle, category, provider, owner, code):
    declaration = pipeline(DEPLOY)
    other = {"category": category, "provider": provider, "owner": owner, "version": "1"}
    declaration["stages"] = copy.deepcopy(declaration["stages"])
    declaration["stages"][1]["actions"][0]["actionTypeId"] = other
    found = refusal(idle, declaration)
    assert found[0] == code
    assert provider in found[1]
    assert "'Put'" in found[1]


def test_every_problem_is_named(idle):
    broken = pipeline(
        stage("Work", action("A", "Build"), action("B", "Build", configuration={})), stage("Work", action("C"))
    )
    _, text = refusal(idle, broken)
    for problem in ("called 'Work'", "Action A declares 0", "Action B declares 0", "'ProjectName'"):
        assert problem in text


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("onFailure", {"result": "ROLLBACK"}),
        ("beforeEntry", {"conditions": [{"result": "FAIL"}]}),
        ("onSuccess", {"conditions": [{"result": "FAIL"}]}),
    ],
)
def test_conditions_are_refused_by_name(idle, member, value):
    code, text = refusal(idle, pipeline({**DEPLOY, member: value}))
    assert code == "UnsupportedOperation"
    assert member in text


def connected(*triggers, **more):
    source = action("Get", "Source", configuration={**CONNECTION, **more})
    source["actionTypeId"] = {**source["actionTypeId"], "provider": "CodeStarSourceConnection"}
    deploy = stage("Deploy", action("Put"))
    return pipeline(stage("Source", source), deploy, pipelineType="V2", triggers=list(triggers))


def trigger(*push, name="Get", **more):
    given = {"sourceActionName": name, **({"push": list(push)} if push else {}), **more}
    return {"providerType": "CodeStarSourceConnection", "gitConfiguration": given}


BRANCHES = {"branches": {"includes": ["main"]}}


@pytest.mark.parametrize(
    ("triggers", "code", "text"),
    [
        ([trigger(BRANCHES, name="Other")], "InvalidStructureException", "'Other' is no CodeStarSourceConnection"),
        ([trigger(BRANCHES), trigger(BRANCHES)], "InvalidStructureException", "more than one trigger"),
        ([trigger({**BRANCHES, "tags": {"includes": ["v*"]}})], "InvalidStructureException", "either tags or branches"),
        ([trigger({"branches": {}})], "InvalidStructureException", "neither includes nor excludes"),
        ([trigger({**BRANCHES, "filePaths": {"includes": ["x"]}})], "UnsupportedOperation", "filePaths"),
        ([trigger(pullRequest=[{"events": ["OPEN"]}])], "UnsupportedOperation", "pullRequest"),
    ],
)
def test_triggers_that_are_refused(idle, triggers, code, text):
    found = refusal(idle, connected(*triggers))
    assert found[0] == code
    assert text in found[1]


def test_a_trigger_with_many_stars_is_decided_at_once():
    names = {"push": [{"branches": {"includes": ["**a" * 20]}}]}
    assert starts(names, "branch", "a" * 250)
    assert not starts(names, "branch", "a" * 250 + "b")


def test_triggers_are_for_pipelines_of_type_v2(idle):
    code, text = refusal(idle, {**connected(trigger(BRANCHES)), "pipelineType": "V1"})
    assert (code, "type V2" in text) == ("InvalidStructureException", True)


def test_what_is_accepted_is_told_back_with_defaults(idle):
    given = pipeline(DEPLOY)
    made = idle("CreatePipeline", pipeline=given, tags=[{"key": "a", "value": "b"}])
    assert made["tags"] == [{"key": "a", "value": "b"}]
    assert made["pipeline"] == {**given, "version": 1, "pipelineType": "V1", "executionMode": "SUPERSEDED"}
    assert idle("UpdatePipeline", pipeline=made["pipeline"])["pipeline"]["version"] == 2
    assert idle("GetPipeline", name="p", version=1)["pipeline"] == made["pipeline"]
    (summary,) = idle("ListPipelines")["pipelines"]
    assert (summary["name"], summary["version"], summary["pipelineType"]) == ("p", 2, "V1")


@pytest.mark.parametrize(
    ("parameters", "code"),
    [
        ({"variables": [{"name": "other", "value": "x"}]}, "ValidationException"),
        ({}, "ValidationException"),
        ({"sourceRevisions": [{**REVISION, "actionName": "X"}]}, ""),
        ({"sourceRevisions": [REVISION]}, ""),
        ({"sourceRevisions": [{**REVISION, "revisionType": "IMAGE_DIGEST"}]}, ""),
        ({"sourceRevisions": [{**REVISION, "revisionType": "S3_OBJECT_KEY"}]}, ""),
    ],
)
def test_executions_that_are_refused(idle, parameters, code):
    idle("CreatePipeline", pipeline=pipeline(DEPLOY, pipelineType="V2", variables=[{"name": "x"}]))
    given = {"variables": [{"name": "x", "value": "1"}]} if "sourceRevisions" in parameters else {}
    with pytest.raises(AwsError) as caught:
        idle("StartPipelineExecution", name="p", **given, **parameters)
    assert caught.value.code in ("ValidationException", "UnsupportedOperation")
    assert not code or caught.value.code == code
    assert idle.executions() == []


def test_there_is_a_limit_to_executions_that_are_not_over(idle):
    idle("CreatePipeline", pipeline=pipeline(DEPLOY))
    for _ in range(49):
        idle.release()
    with pytest.raises(AwsError) as caught:
        idle.release()
    assert caught.value.code == "ConcurrentPipelineExecutionsLimitExceededException"
