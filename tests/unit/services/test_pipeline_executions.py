import json

import pytest

from modelwright.errors import ConflictException, ResourceNotFound, UnsupportedOperation, ValidationException
from modelwright.objects.directory import DirectoryStore
from support.definitions import condition, equals, get, text, training
from support.doors import IDENTITY, REGION, ROLE
from support.pipelines import Engine, add_pipelines, create_pipeline, start_execution, token

ARN = f"arn:aws:sagemaker:{REGION}:111122223333:pipeline/pose"
PARAMETERS = [
    {"Name": "Epochs", "Type": "Integer", "DefaultValue": 3},
    {"Name": "Rate", "Type": "Float", "DefaultValue": 0.5},
    {"Name": "Kind", "Type": "String", "DefaultValue": "n", "EnumValues": ["n", "s"]},
    {"Name": "Cache", "Type": "Boolean", "DefaultValue": True},
]
EXPERIMENT = {"ExperimentName": get("Execution.PipelineName"), "TrialName": get("Execution.PipelineExecutionId")}
CHAIN = text(
    training("A", DisplayName="first"),
    training("B", after=["A"]),
    condition("If", [training("C")], [training("D")], conditions=[equals(get("Steps.B.x"), 1)]),
    Parameters=PARAMETERS,
    PipelineExperimentConfig=EXPERIMENT,
)


@pytest.fixture
def door(door, tmp_path):
    store = DirectoryStore(tmp_path / "objects", fsync=False)
    add_pipelines(door, store)
    create_pipeline(door, definition=CHAIN)
    yield door
    store.close()


@pytest.fixture
def engine(database, history):
    return Engine(database, history)


def start(door, number=0, **members):
    return start_execution(door, number=number, **members)["PipelineExecutionArn"]


def describe(door, arn):
    return door("DescribePipelineExecution", PipelineExecutionArn=arn)


def steps(door, arn, **members):
    return door("ListPipelineExecutionSteps", PipelineExecutionArn=arn, **members)


def test_it_works(door, clock):
    arn = start(door, PipelineExecutionDescription="d")
    assert arn.startswith(f"{ARN}/execution/")
    execution = describe(door, arn)
    identity = arn.rpartition("/")[2]
    assert len(identity) == 12
    assert {key: value for key, value in execution.items() if not key.startswith("_")} == {
        "PipelineArn": ARN,
        "PipelineExecutionArn": arn,
        "PipelineExecutionDisplayName": f"execution-{int(clock.time * 1000)}",
        "PipelineExecutionDescription": "d",
        "PipelineExecutionStatus": "Executing",
        "PipelineExperimentConfig": {"ExperimentName": "Pose", "TrialName": identity},
        "CreationTime": clock.time,
        "LastModifiedTime": clock.time,
        "CreatedBy": {"IamIdentity": {"Arn": IDENTITY, "PrincipalId": "AROAEXAMPLE:admin"}},
        "LastModifiedBy": {"IamIdentity": {"Arn": IDENTITY, "PrincipalId": "AROAEXAMPLE:admin"}},
        "PipelineVersionId": 1,
    }
    assert steps(door, arn) == {"PipelineExecutionSteps": []}


def test_the_start_opens_the_stream_that_the_engine_drives(door, database, history, clock):
    woken = []
    history.subscribe(woken.append)
    arn = start(door, ParallelismConfiguration={"MaxParallelExecutionSteps": 2})
    stream = f"execution/{arn.rpartition('/')[2]}"
    with database.read() as transaction:
        head = history.head(transaction, stream)
        (event,) = history.read(transaction, stream)
    assert (head.kind, head.ended, head.version) == ("Execution", False, 1)
    assert woken == [stream]
    assert (event.kind, event.time) == ("ExecutionStarted", clock.time)
    assert event.data == {
        "PipelineDefinition": CHAIN,
        "PipelineName": "Pose",
        "PipelineArn": ARN,
        "PipelineExecutionId": arn.rpartition("/")[2],
        "PipelineExecutionArn": arn,
        "RoleArn": ROLE,
        "Account": "111122223333",
        "Region": REGION,
        "Parameters": {"Epochs": 3, "Rate": 0.5, "Kind": "n", "Cache": True},
        "StartTime": clock.time,
        "MaxParallelExecutionSteps": 2,
        "StartedBy": IDENTITY,
        "WrittenBy": [IDENTITY],
    }


def test_a_failed_start_leaves_nothing(door):
    with pytest.raises(ValidationException):
        start(door, PipelineParameters=[{"Name": "Epochs", "Value": "many"}])
    assert door("ListPipelineExecutions", PipelineName="Pose")["PipelineExecutionSummaries"] == []
    assert "LastRunTime" not in door("DescribePipeline", PipelineName="Pose")


def test_a_repeated_start_is_the_same_execution(door):
    first = start(door, 1)
    assert start(door, 1) == first
    assert start(door, 2) != first
    assert len(door("ListPipelineExecutions", PipelineName="Pose")["PipelineExecutionSummaries"]) == 2
    with pytest.raises(ConflictException, match="was used before with other parameters"):
        start(door, 1, PipelineExecutionDescription="other")


def given(**values):
    return [{"Name": name, "Value": value} for name, value in values.items()]


def test_parameters_are_typed_and_told_as_text(door, engine):
    arn = start(door, PipelineParameters=given(Epochs="7", Rate="1e-3", Kind="s", Cache="False"))
    assert engine.state(arn).parameters == {"Epochs": 7, "Rate": 0.001, "Kind": "s", "Cache": False}
    told = door("ListPipelineParametersForExecution", PipelineExecutionArn=arn)
    assert told["PipelineParameters"] == given(Epochs="7", Rate="0.001", Kind="s", Cache="false")
    page = door("ListPipelineParametersForExecution", PipelineExecutionArn=arn, MaxResults=3)
    assert len(page["PipelineParameters"]) == 3
    rest = door("ListPipelineParametersForExecution", PipelineExecutionArn=arn, NextToken=page["NextToken"])
    assert rest == {"PipelineParameters": given(Cache="false")}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"Epochs": "1.5"}, "parameter 'Epochs': '1.5' is not an Integer"),
        ({"Kind": "x"}, "parameter 'Kind': 'x' is not one of n, s"),
        ({"Nope": "1"}, "unknown parameter 'Nope' (the pipeline's parameters: Epochs, Rate, Kind, Cache)"),
    ],
)
def test_wrong_parameters_are_refused(door, values, reason):
    with pytest.raises(ValidationException) as error:
        start(door, PipelineParameters=given(**values))
    assert reason in error.value.message


def test_a_parameter_without_default_is_needed(door):
    create_pipeline(door, "Strict", text(training("A"), Parameters=[{"Name": "P", "Type": "String"}]))
    with pytest.raises(ValidationException, match="parameter 'P' has no default and needs a value"):
        start_execution(door, "Strict")
    start_execution(door, "Strict", PipelineParameters=given(P=""))


def test_the_parallelism_is_the_execution_s_or_the_pipeline_s(door, engine):
    create_pipeline(door, "Wide", ParallelismConfiguration={"MaxParallelExecutionSteps": 5})
    own = start_execution(door, "Wide", 1, ParallelismConfiguration={"MaxParallelExecutionSteps": 2})
    inherited = start_execution(door, "Wide", 2)
    for answer, limit in ((own, 2), (inherited, 5)):
        arn = answer["PipelineExecutionArn"]
        assert describe(door, arn)["ParallelismConfiguration"] == {"MaxParallelExecutionSteps": limit}
        assert engine.state(arn).parallelism == limit


def test_steps_are_told_newest_first(door, engine):
    arn = start(door)
    job = f"arn:aws:sagemaker:{REGION}:111122223333:training-job/a"
    engine.started(arn, "A", metadata={"TrainingJob": {"Arn": job}})
    engine.ended(arn, "A")
    engine.ended(arn, "B")
    engine.ended(arn, "If", outcome=False, metadata={"Condition": {"Outcome": "False"}})
    engine.ended(arn, "D", "Failed", failure_reason="AlgorithmError: exit code 1")
    told = steps(door, arn)["PipelineExecutionSteps"]
    assert [step["StepName"] for step in told] == ["D", "If", "B", "A"]
    assert [step["StepStatus"] for step in told] == ["Failed", "Succeeded", "Succeeded", "Succeeded"]
    assert told[0]["FailureReason"] == "AlgorithmError: exit code 1"
    assert told[1]["Metadata"] == {"Condition": {"Outcome": "False"}}
    assert told[3]["StepDisplayName"] == "first"
    assert told[3]["Metadata"] == {"TrainingJob": {"Arn": job}}
    assert told[3]["StartTime"] < told[3]["EndTime"]
    ascending = steps(door, arn, SortOrder="Ascending")["PipelineExecutionSteps"]
    assert ascending == told[::-1]
    page = steps(door, arn, MaxResults=3)
    assert page["PipelineExecutionSteps"] == told[:3]
    assert steps(door, arn, MaxResults=3, NextToken=page["NextToken"]) == {"PipelineExecutionSteps": told[3:]}
    execution = describe(door, arn)
    assert (execution["PipelineExecutionStatus"], execution["FailureReason"]) == (
        "Failed",
        "Step failure: One or multiple steps failed.",
    )


@pytest.mark.parametrize("bad", ["nonsense", "Ik5vbmUi", "Ww=="])
def test_tokens_of_other_requests_are_refused(door, engine, bad):
    arn = start(door)
    with pytest.raises(ValidationException, match="NextToken is not valid"):
        steps(door, arn, NextToken=bad)


def test_steps_of_whom(door):
    with pytest.raises(ValidationException, match="PipelineExecutionArn is missing"):
        door("ListPipelineExecutionSteps")


def test_the_definition_of_an_execution(door, clock):
    arn = start(door)
    created = clock.time
    clock.advance(5)
    door("UpdatePipeline", PipelineName="Pose", PipelineDefinition=text(training("X")))
    told = door("DescribePipelineDefinitionForExecution", PipelineExecutionArn=arn)
    assert told == {"PipelineDefinition": CHAIN, "CreationTime": created}


def test_an_execution_of_an_older_version(door, engine):
    door("UpdatePipeline", PipelineName="Pose", PipelineDefinition=text(training("X")))
    door(
        "UpdatePipelineVersion",
        PipelineArn=ARN,
        PipelineVersionId=1,
        PipelineVersionAliasOperations={"Add": ["prod"]},
    )
    old, latest = start(door, 1, PipelineVersionId=1), start(door, 2)
    aliased = start(door, 3, PipelineVersionAlias="prod")
    assert [describe(door, arn)["PipelineVersionId"] for arn in (old, latest, aliased)] == [1, 2, 1]
    assert describe(door, old)["PipelineVersionAliases"] == ["prod"]
    assert "A" in engine.state(aliased).definition.steps
    listed = door("ListPipelineExecutions", PipelineName="Pose", PipelineVersionAlias="prod")
    assert {summary["PipelineExecutionArn"] for summary in listed["PipelineExecutionSummaries"]} == {old, aliased}
    versions = door("ListPipelineVersions", PipelineName="Pose")["PipelineVersionSummaries"]
    assert [version["LastExecutionPipelineExecutionArn"] for version in versions] == [latest, aliased]
    with pytest.raises(ResourceNotFound, match="no version 3"):
        start(door, 4, PipelineVersionId=3)


@pytest.mark.parametrize("member", ["MlflowExperimentName", "RoleArn"])
def test_what_can_t_be_honoured_is_named(door, member):
    with pytest.raises(UnsupportedOperation, match=member):
        start(door, **{member: ROLE})


def arns(answer):
    return [summary["PipelineExecutionArn"] for summary in answer["PipelineExecutionSummaries"]]


def test_list_sorts_filters_and_pages(door, clock):
    made = []
    for number in range(4):
        made.append(start(door, number))
        clock.advance(10)
    create_pipeline(door, "Other")
    start_execution(door, "Other")
    newest = made[::-1]
    assert arns(door("ListPipelineExecutions", PipelineName="Pose")) == newest
    assert arns(door("ListPipelineExecutions", PipelineName=ARN, SortOrder="Ascending")) == made
    by_arn = door("ListPipelineExecutions", PipelineName="Pose", SortBy="PipelineExecutionArn", SortOrder="Ascending")
    assert arns(by_arn) == sorted(made)
    assert arns(door("ListPipelineExecutions", PipelineName="Pose", CreatedAfter=clock.time - 20)) == newest[:2]
    assert arns(door("ListPipelineExecutions", PipelineName="Pose", CreatedBefore=clock.time - 25)) == newest[2:]
    page = door("ListPipelineExecutions", PipelineName="Pose", MaxResults=3)
    assert arns(page) == newest[:3]
    assert arns(door("ListPipelineExecutions", PipelineName="Pose", NextToken=page["NextToken"])) == newest[3:]


def test_the_summary_of_an_execution(door, engine, clock):
    arn = start(door, PipelineExecutionDisplayName="run-1", PipelineExecutionDescription="d")
    engine.ended(arn, "A", "Failed")
    (summary,) = door("ListPipelineExecutions", PipelineName="Pose")["PipelineExecutionSummaries"]
    assert summary == {
        "PipelineExecutionArn": arn,
        "PipelineExecutionDisplayName": "run-1",
        "PipelineExecutionDescription": "d",
        "PipelineExecutionStatus": "Failed",
        "PipelineExecutionFailureReason": "Step failure: One or multiple steps failed.",
        "StartTime": clock.time,
    }


def test_update_changes_names_and_the_parallelism_of_a_running_execution(door, engine, clock):
    arn = start(door)
    clock.advance(5)
    answer = door(
        "UpdatePipelineExecution",
        PipelineExecutionArn=arn,
        PipelineExecutionDisplayName="renamed",
        PipelineExecutionDescription="why",
        ParallelismConfiguration={"MaxParallelExecutionSteps": 4},
    )
    assert answer == {"PipelineExecutionArn": arn}
    execution = describe(door, arn)
    assert execution["PipelineExecutionDisplayName"] == "renamed"
    assert execution["PipelineExecutionDescription"] == "why"
    assert execution["ParallelismConfiguration"] == {"MaxParallelExecutionSteps": 4}
    assert execution["LastModifiedTime"] == clock.time
    assert engine.state(arn).parallelism == 4


def stop(door, arn):
    return door("StopPipelineExecution", PipelineExecutionArn=arn, ClientRequestToken=token("stop"))


def retry(door, arn, number=0, **members):
    return door("RetryPipelineExecution", PipelineExecutionArn=arn, ClientRequestToken=token(number), **members)


def test_stop_asks_the_engine_once(door, engine, database, history):
    arn = start(door)
    engine.started(arn, "A")
    assert stop(door, arn) == {"PipelineExecutionArn": arn}
    assert describe(door, arn)["PipelineExecutionStatus"] == "Stopping"
    stop(door, arn)
    with database.read() as transaction:
        events = history.read(transaction, f"execution/{arn.rpartition('/')[2]}")
    assert [event.kind for event in events].count("StopRequested") == 1
    engine.ended(arn, "A", "Stopped")
    assert describe(door, arn)["PipelineExecutionStatus"] == "Stopped"
    assert "FailureReason" not in describe(door, arn)


def test_only_what_runs_can_be_stopped(door, engine):
    arn = start(door)
    engine.ended(arn, "A", "Failed")
    with pytest.raises(ValidationException, match="Only pipelines with 'Executing' status can be stopped"):
        stop(door, arn)


def test_retry_goes_on_where_it_failed(door, engine, database, history):
    arn = start(door)
    engine.ended(arn, "A")
    engine.ended(arn, "B", "Failed")
    assert retry(door, arn) == {"PipelineExecutionArn": arn}
    execution = describe(door, arn)
    assert execution["PipelineExecutionStatus"] == "Executing"
    assert "FailureReason" not in execution
    with database.read() as transaction:
        assert history.head(transaction, f"execution/{arn.rpartition('/')[2]}").ended is False
    engine.ended(arn, "B")
    told = steps(door, arn)["PipelineExecutionSteps"]
    assert [(step["StepName"], step["StepStatus"], step["AttemptCount"]) for step in told] == [
        ("If", "Starting", 1),
        ("B", "Succeeded", 2),
        ("A", "Succeeded", 1),
    ]


def test_a_repeated_retry_is_the_same_retry(door, engine, database, history):
    arn = start(door)
    engine.ended(arn, "A", "Failed")
    retry(door, arn, 1)
    retry(door, arn, 1)
    engine.ended(arn, "A", "Failed")
    retry(door, arn, 1)
    assert describe(door, arn)["PipelineExecutionStatus"] == "Failed"
    retry(door, arn, 2, ParallelismConfiguration={"MaxParallelExecutionSteps": 1})
    assert engine.state(arn).parallelism == 1
    with database.read() as transaction:
        events = history.read(transaction, f"execution/{arn.rpartition('/')[2]}")
    assert [event.kind for event in events].count("RetryRequested") == 2


@pytest.mark.parametrize("status", ["Executing", "Stopping", "Succeeded"])
def test_only_what_failed_or_stopped_can_be_retried(door, engine, status):
    create_pipeline(door, "One")
    arn = start_execution(door, "One")["PipelineExecutionArn"]
    engine.started(arn, "A")
    if status == "Stopping":
        stop(door, arn)
    elif status == "Succeeded":
        engine.ended(arn, "A")
    with pytest.raises(ValidationException, match=f"can be retried. The execution is in status {status}"):
        retry(door, arn)


@pytest.mark.parametrize(
    ("operation", "more"),
    [
        ("DescribePipelineExecution", {}),
        ("ListPipelineExecutionSteps", {}),
        ("ListPipelineParametersForExecution", {}),
        ("DescribePipelineDefinitionForExecution", {}),
        ("UpdatePipelineExecution", {}),
        ("StopPipelineExecution", {"ClientRequestToken": token()}),
        ("RetryPipelineExecution", {"ClientRequestToken": token()}),
    ],
)
def test_an_unknown_execution_is_named(door, operation, more):
    arn = start(door)
    for unknown in (f"{ARN}/execution/aaaaaaaaaaaa", arn.replace("/pose/", "/other/")):
        with pytest.raises(ResourceNotFound, match=unknown):
            door(operation, PipelineExecutionArn=unknown, **more)


def test_callback_steps_are_refused_by_name(door):
    with pytest.raises(UnsupportedOperation, match="SendPipelineExecutionStepSuccess"):
        door("SendPipelineExecutionStepSuccess", CallbackToken="abcdefghij")


def selected(*names, source=None):
    config = {"SelectedSteps": [{"StepName": name} for name in names]}
    return {"SelectiveExecutionConfig": {**config, "SourcePipelineExecutionArn": source} if source else config}


def test_a_selective_execution_takes_the_rest_from_its_source(door, engine):
    source = start(door, 1)
    metadata = {"TrainingJob": {"Arn": f"arn:aws:sagemaker:{REGION}:111122223333:training-job/a"}}
    engine.ended(source, "A", metadata=metadata)
    engine.ended(source, "B", "Failed")
    arn = start(door, 2, **selected("B", "If", source=source))
    assert describe(door, arn)["SelectiveExecutionConfig"]["SourcePipelineExecutionArn"] == source
    engine.ended(arn, "B")
    engine.ended(arn, "If", outcome=True)
    assert describe(door, arn)["PipelineExecutionStatus"] == "Succeeded"
    told = steps(door, arn)["PipelineExecutionSteps"]
    assert [step["StepName"] for step in told] == ["If", "B", "A"]
    assert told[2]["SelectiveExecutionResult"] == {"SourcePipelineExecutionArn": source}
    assert told[2]["Metadata"] == metadata


def test_a_selective_execution_that_needs_nothing_needs_no_source(door, engine):
    arn = start(door, **selected("A"))
    engine.ended(arn, "A")
    assert describe(door, arn)["PipelineExecutionStatus"] == "Succeeded"


def test_selections_that_can_t_run_are_refused(door, engine):
    with pytest.raises(ValidationException, match=r"Arn: null\. The selected steps \[B\] have dependencies on \[A\]"):
        start(door, **selected("B"))
    with pytest.raises(ValidationException, match="no step 'X'"):
        start(door, **selected("X"))
    with pytest.raises(ValidationException, match="'B' must be selected too"):
        start(door, **selected("A", "If"))
    source = start(door, 1)
    with pytest.raises(ValidationException, match="has not ended yet"):
        start(door, **selected("B", source=source))
    engine.ended(source, "A", "Failed")
    with pytest.raises(ValidationException, match="the selected steps need A, which did not succeed"):
        start(door, **selected("B", source=source))
    create_pipeline(door, "Other")
    other = start_execution(door, "Other")["PipelineExecutionArn"]
    with pytest.raises(ValidationException, match="is not of this pipeline"):
        start(door, **selected("B", source=other))
    with pytest.raises(ResourceNotFound):
        start(door, **selected("B", source=f"{ARN}/execution/aaaaaaaaaaaa"))


def test_documents_hold_no_definition(door, database):
    """Lists read whole documents; definitions are large."""
    arn = start(door)
    assert "PipelineDefinition" not in json.dumps(describe(door, arn))
    assert len(json.dumps(describe(door, arn))) < 3000
