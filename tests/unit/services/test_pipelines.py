import json

import pytest

from modelwright.errors import ConflictException, ResourceNotFound, UnsupportedOperation, ValidationException
from modelwright.objects.directory import DirectoryStore
from support.definitions import RECORDED, text, training
from support.doors import IDENTITY, REGION, ROLE
from support.pipelines import Engine, add_pipelines, create_pipeline, start_execution, token

ARN = f"arn:aws:sagemaker:{REGION}:111122223333:pipeline/"
ONE, TWO = text(training("A")), text(training("A"), training("B", after=["A"]))


@pytest.fixture
def objects(tmp_path):
    store = DirectoryStore(tmp_path / "objects", fsync=False)
    yield store
    store.close()


@pytest.fixture
def door(door, objects):
    return add_pipelines(door, objects)


def test_it_works(door, clock):
    tags = [{"Key": "team", "Value": "pose"}]
    parallelism = {"MaxParallelExecutionSteps": 3}
    answer = create_pipeline(door, PipelineDescription="d", Tags=tags, ParallelismConfiguration=parallelism)
    assert answer == {"PipelineArn": ARN + "pose"}
    pipeline = door("DescribePipeline", PipelineName="Pose")
    assert {key: value for key, value in pipeline.items() if not key.startswith("_")} == {
        "PipelineArn": ARN + "pose",
        "PipelineName": "Pose",
        "PipelineDisplayName": "Pose",
        "PipelineDescription": "d",
        "PipelineDefinition": ONE,
        "RoleArn": ROLE,
        "PipelineStatus": "Active",
        "CreationTime": clock.time,
        "LastModifiedTime": clock.time,
        "CreatedBy": {"IamIdentity": {"Arn": IDENTITY, "PrincipalId": "AROAEXAMPLE:admin"}},
        "LastModifiedBy": {"IamIdentity": {"Arn": IDENTITY, "PrincipalId": "AROAEXAMPLE:admin"}},
        "ParallelismConfiguration": parallelism,
    }
    assert door("ListTags", ResourceArn=ARN + "pose")["Tags"] == tags


@pytest.mark.parametrize("path", sorted(RECORDED.glob("*.json")), ids=lambda path: path.stem)
def test_what_the_sdks_write_is_accepted(door, path):
    definition = path.read_text()
    create_pipeline(door, "P", definition)
    assert door("DescribePipeline", PipelineName="P")["PipelineDefinition"] == definition


def test_a_broken_definition_is_refused_and_leaves_nothing(door):
    with pytest.raises(ValidationException, match=r"^Unable to parse pipeline definition\. Step 'A', Steps\[0\]"):
        create_pipeline(door, definition=text(training("A", after=["B"])))
    with pytest.raises(ResourceNotFound):
        door("DescribePipeline", PipelineName="Pose")


def test_what_the_sdk_s_upsert_matches(door):
    create_pipeline(door)
    with pytest.raises(ValidationException, match=r"Pipeline with name \(Pose\) already exists"):
        create_pipeline(door, definition=TWO)


def test_names_that_differ_only_in_case_would_have_one_arn(door):
    create_pipeline(door)
    with pytest.raises(ValidationException, match=r"\(Pose\) already exists"):
        create_pipeline(door, "pose")


def test_a_repeated_creation_is_the_same_creation(door):
    first = create_pipeline(door, ClientRequestToken=token(1))
    assert create_pipeline(door, ClientRequestToken=token(1)) == first
    with pytest.raises(ConflictException, match="was used before with other parameters"):
        create_pipeline(door, definition=TWO, ClientRequestToken=token(1))


def test_a_definition_is_needed_once(door):
    members = {"PipelineName": "P", "RoleArn": ROLE, "ClientRequestToken": token()}
    location = {"Bucket": "bucket", "ObjectKey": "key"}
    with pytest.raises(ValidationException, match="Either PipelineDefinition or PipelineDefinitionS3Location"):
        door("CreatePipeline", **members)
    with pytest.raises(ValidationException, match="not both"):
        door("CreatePipeline", **members, PipelineDefinition=ONE, PipelineDefinitionS3Location=location)


def from_s3(door, operation="CreatePipeline", **location):
    members = {"ClientRequestToken": token()} if operation == "CreatePipeline" else {}
    place = {"Bucket": "bucket", "ObjectKey": "Pose", **location}
    return door(operation, PipelineName="Pose", RoleArn=ROLE, PipelineDefinitionS3Location=place, **members)


def test_a_definition_may_lie_in_s3(door, objects):
    objects.create_bucket("bucket", REGION)
    objects.put_bytes("bucket", "Pose", ONE.encode())
    from_s3(door)
    objects.put_bytes("bucket", "Pose", TWO.encode())
    assert door("DescribePipeline", PipelineName="Pose")["PipelineDefinition"] == ONE
    assert from_s3(door, "UpdatePipeline")["PipelineVersionId"] == 2
    assert door("DescribePipeline", PipelineName="Pose")["PipelineDefinition"] == TWO


def test_a_definition_that_can_t_be_read_names_the_place(door, objects):
    with pytest.raises(ValidationException, match="s3://bucket/Pose can't be read"):
        from_s3(door)
    objects.create_bucket("bucket", REGION)
    with pytest.raises(ValidationException, match="s3://bucket/Pose can't be read"):
        from_s3(door)
    objects.put_bytes("bucket", "Pose", b"\xff\xfe")
    with pytest.raises(ValidationException, match="not text in UTF-8"):
        from_s3(door)
    objects.put_bytes("bucket", "Pose", b" " * 1_048_577)
    with pytest.raises(ValidationException, match="1048577 bytes; the limit is 1048576"):
        from_s3(door)
    with pytest.raises(UnsupportedOperation, match="VersionId"):
        from_s3(door, VersionId="1")


def test_mlflow_is_refused_by_name(door):
    arn = "arn:aws:sagemaker:us-east-1:111122223333:mlflow-tracking-server/x"
    with pytest.raises(UnsupportedOperation, match="MlflowConfig"):
        create_pipeline(door, definition=text(training("A"), MlflowConfig={"MlflowResourceArn": arn}))
    create_pipeline(door, definition=text(training("A"), MlflowConfig=None))


def test_update_changes_what_is_given(door, clock):
    create_pipeline(door, PipelineDescription="old", ParallelismConfiguration={"MaxParallelExecutionSteps": 2})
    created = clock.time
    clock.advance(5)
    answer = door("UpdatePipeline", PipelineName="Pose", PipelineDescription="new")
    assert answer == {"PipelineArn": ARN + "pose", "PipelineVersionId": 1}
    pipeline = door("DescribePipeline", PipelineName="Pose")
    assert (pipeline["PipelineDescription"], pipeline["PipelineDefinition"]) == ("new", ONE)
    assert pipeline["ParallelismConfiguration"] == {"MaxParallelExecutionSteps": 2}
    assert (pipeline["CreationTime"], pipeline["LastModifiedTime"]) == (created, clock.time)


def test_another_definition_is_another_version(door, clock):
    create_pipeline(door)
    clock.advance(1)
    assert door("UpdatePipeline", PipelineName="Pose", PipelineDefinition=ONE)["PipelineVersionId"] == 1
    assert door("UpdatePipeline", PipelineName="Pose", PipelineDefinition=TWO)["PipelineVersionId"] == 2
    assert door("DescribePipeline", PipelineName="Pose")["PipelineDefinition"] == TWO
    assert door("DescribePipeline", PipelineName="Pose", PipelineVersionId=1)["PipelineDefinition"] == ONE
    versions = door("ListPipelineVersions", PipelineName="Pose")["PipelineVersionSummaries"]
    assert [version["PipelineVersionId"] for version in versions] == [2, 1]
    assert [version["CreationTime"] for version in versions] == [clock.time, clock.time - 1]
    oldest = door("ListPipelineVersions", PipelineName="Pose", SortOrder="Ascending", MaxResults=1)
    assert [version["PipelineVersionId"] for version in oldest["PipelineVersionSummaries"]] == [1]
    rest = door("ListPipelineVersions", PipelineName="Pose", SortOrder="Ascending", NextToken=oldest["NextToken"])
    assert [version["PipelineVersionId"] for version in rest["PipelineVersionSummaries"]] == [2]
    with pytest.raises(ResourceNotFound, match="no version 3; its latest is 2"):
        door("DescribePipeline", PipelineName="Pose", PipelineVersionId=3)


def test_a_broken_definition_is_no_update(door):
    create_pipeline(door)
    with pytest.raises(ValidationException, match="Unable to parse pipeline definition"):
        door("UpdatePipeline", PipelineName="Pose", PipelineDefinition="{}", PipelineDescription="x")
    assert "PipelineDescription" not in door("DescribePipeline", PipelineName="Pose")


@pytest.mark.parametrize("name", ["Pose", ARN + "pose", ARN + "Pose"])
def test_a_pipeline_is_found_by_name_and_arn(door, name):
    create_pipeline(door)
    assert door("DescribePipeline", PipelineName=name)["PipelineName"] == "Pose"


@pytest.mark.parametrize(
    ("operation", "parameters"),
    [
        ("DescribePipeline", {}),
        ("UpdatePipeline", {"PipelineDescription": "x"}),
        ("DeletePipeline", {"ClientRequestToken": token()}),
        ("ListPipelineVersions", {}),
        ("ListPipelineExecutions", {}),
        ("StartPipelineExecution", {"ClientRequestToken": token()}),
    ],
)
def test_an_unknown_pipeline_is_named(door, operation, parameters):
    with pytest.raises(ResourceNotFound, match="Pipeline 'None-Such' does not exist"):
        door(operation, PipelineName="None-Such", **parameters)


def test_versions_have_names_and_aliases(door):
    create_pipeline(door, PipelineVersionAliases=["prod", "v1.0"])
    door("UpdatePipeline", PipelineName="Pose", PipelineDefinition=TWO, PipelineVersionAliases=["next"])
    described = door("DescribePipeline", PipelineName="Pose", PipelineVersionAlias="prod")
    assert (described["PipelineDefinition"], described["PipelineVersionAliases"]) == (ONE, ["prod", "v1.0"])
    door(
        "UpdatePipelineVersion",
        PipelineArn=ARN + "pose",
        PipelineVersionId=1,
        PipelineVersionDisplayName="first",
        PipelineVersionDescription="the old one",
        PipelineVersionAliasOperations={"Remove": ["prod"]},
    )
    answer = door(
        "UpdatePipelineVersion",
        PipelineArn=ARN + "pose",
        PipelineVersionId=2,
        PipelineVersionAliasOperations={"Add": ["prod"], "Remove": ["next"]},
    )
    assert answer == {"PipelineArn": ARN + "pose", "PipelineVersionId": 2}
    assert door("DescribePipeline", PipelineName="Pose", PipelineVersionAlias="prod")["PipelineDefinition"] == TWO
    first = door("DescribePipeline", PipelineName="Pose", PipelineVersionId=1)
    assert (first["PipelineVersionDisplayName"], first["PipelineVersionAliases"]) == ("first", ["v1.0"])
    summaries = door("ListPipelineVersions", PipelineName="Pose")["PipelineVersionSummaries"]
    assert [summary["PipelineVersionAliases"] for summary in summaries] == [["prod"], ["v1.0"]]
    assert summaries[1]["PipelineVersionDescription"] == "the old one"


def test_aliases_are_checked(door):
    create_pipeline(door, PipelineVersionAliases=["prod"])
    with pytest.raises(ValidationException, match="only when the definition changes"):
        door("UpdatePipeline", PipelineName="Pose", PipelineVersionAliases=["next"])
    with pytest.raises(ValidationException, match="belongs to version 1"):
        door("UpdatePipeline", PipelineName="Pose", PipelineDefinition=TWO, PipelineVersionAliases=["prod"])
    with pytest.raises(ValidationException, match="numbers only"):
        create_pipeline(door, "Other", PipelineVersionAliases=["12"])
    version = {"PipelineArn": ARN + "pose", "PipelineVersionId": 1}
    with pytest.raises(ValidationException, match="has no alias 'x'"):
        door("UpdatePipelineVersion", **version, PipelineVersionAliasOperations={"Remove": ["x"]})
    added = [f"a{number}" for number in range(10)]
    with pytest.raises(ValidationException, match="11 aliases; the limit is 10"):
        door("UpdatePipelineVersion", **version, PipelineVersionAliasOperations={"Add": added})
    with pytest.raises(ResourceNotFound, match="alias 'x'"):
        door("DescribePipeline", PipelineName="Pose", PipelineVersionAlias="x")
    with pytest.raises(ValidationException, match="not both"):
        door("DescribePipeline", PipelineName="Pose", PipelineVersionAlias="prod", PipelineVersionId=1)
    with pytest.raises(ResourceNotFound, match="no version 9"):
        door("UpdatePipelineVersion", PipelineArn=ARN + "pose", PipelineVersionId=9)


def names(answer):
    return [summary["PipelineName"] for summary in answer["PipelineSummaries"]]


def test_list_sorts_filters_and_pages(door, clock):
    for name in ("Beta", "alpha", "Pose-1", "pose-2"):
        create_pipeline(door, name)
        clock.advance(10)
    assert names(door("ListPipelines")) == ["pose-2", "Pose-1", "alpha", "Beta"]
    assert names(door("ListPipelines", SortBy="Name", SortOrder="Ascending")) == ["Beta", "Pose-1", "alpha", "pose-2"]
    assert names(door("ListPipelines", PipelineNamePrefix="Pose")) == ["Pose-1"]
    assert names(door("ListPipelines", CreatedAfter=clock.time - 20)) == ["pose-2", "Pose-1"]
    assert names(door("ListPipelines", CreatedBefore=clock.time - 35)) == ["Beta"]
    assert names(door("ListPipelines", ManagedBy="AWS")) == []
    assert len(names(door("ListPipelines", ManagedBy="CUSTOMER"))) == 4
    page = door("ListPipelines", MaxResults=3)
    assert names(page) == ["pose-2", "Pose-1", "alpha"]
    page = door("ListPipelines", MaxResults=3, NextToken=page["NextToken"])
    assert names(page) == ["Beta"]
    assert "NextToken" not in page


def test_the_summary_knows_the_last_run(door, clock):
    create_pipeline(door, PipelineDescription="d")
    (summary,) = door("ListPipelines")["PipelineSummaries"]
    assert "LastExecutionTime" not in summary
    created = clock.time
    clock.advance(7)
    start_execution(door)
    (summary,) = door("ListPipelines")["PipelineSummaries"]
    assert summary == {
        "PipelineArn": ARN + "pose",
        "PipelineName": "Pose",
        "PipelineDisplayName": "Pose",
        "PipelineDescription": "d",
        "RoleArn": ROLE,
        "CreationTime": created,
        "LastModifiedTime": created,
        "LastExecutionTime": clock.time,
    }
    assert door("DescribePipeline", PipelineName="Pose")["LastRunTime"] == clock.time


def test_delete_takes_versions_executions_and_tags_along(door, database, history):
    create_pipeline(door, Tags=[{"Key": "a", "Value": "b"}])
    door("UpdatePipeline", PipelineName="Pose", PipelineDefinition=TWO)
    execution = start_execution(door)["PipelineExecutionArn"]
    with pytest.raises(ConflictException, match=r"can't be deleted while .* is in status Executing"):
        door("DeletePipeline", PipelineName="Pose", ClientRequestToken=token())
    engine = Engine(database, history)
    engine.ended(execution, "A")
    engine.ended(execution, "B")
    assert door("DeletePipeline", PipelineName="Pose", ClientRequestToken=token()) == {"PipelineArn": ARN + "pose"}
    for operation, parameters in (
        ("DescribePipeline", {"PipelineName": "Pose"}),
        ("DescribePipelineExecution", {"PipelineExecutionArn": execution}),
    ):
        with pytest.raises(ResourceNotFound):
            door(operation, **parameters)
    with database.read() as transaction:
        assert history.head(transaction, f"execution/{execution.rpartition('/')[2]}") is None
    create_pipeline(door)
    assert door("ListTags", ResourceArn=ARN + "pose")["Tags"] == []
    assert door("ListPipelineExecutions", PipelineName="Pose")["PipelineExecutionSummaries"] == []
    assert len(door("ListPipelineVersions", PipelineName="Pose")["PipelineVersionSummaries"]) == 1


def test_an_update_while_an_execution_runs_does_not_change_it(door):
    create_pipeline(door)
    execution = start_execution(door)["PipelineExecutionArn"]
    door("UpdatePipeline", PipelineName="Pose", PipelineDefinition=TWO)
    pinned = door("DescribePipelineDefinitionForExecution", PipelineExecutionArn=execution)["PipelineDefinition"]
    assert json.loads(pinned) == json.loads(ONE)
    second = start_execution(door, number=1)["PipelineExecutionArn"]
    assert door("DescribePipelineExecution", PipelineExecutionArn=second)["PipelineVersionId"] == 2
