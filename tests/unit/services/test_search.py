import pytest

from modelwright.errors import UnsupportedOperation, ValidationException
from modelwright.services.sagemaker import search as search_module
from modelwright.store.resources import find_resource, replace_resource
from support.doors import IMAGE, REGION, package, training_job
from support.pipelines import add_pipelines, create_pipeline, start_execution


def channel(name, uri):
    return {"ChannelName": name, "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": uri}}}


@pytest.fixture(autouse=True)
def jobs(door, database, clock):
    for i, (rate, score) in enumerate([("0.1", 0.5), ("0.25", 0.9), ("1", 0.7)]):
        request = training_job(
            f"job-{i}",
            HyperParameters={"lr": rate, "net.depth": str(i)},
            InputDataConfig=[channel("train", f"s3://data/set-{i}"), channel("val", "s3://data/set-0")],
            Tags=[{"Key": "team", "Value": "pose" if i else "hand"}],
        )
        door("CreateTrainingJob", **request)
        with database.write() as transaction:
            job = find_resource(transaction, "TrainingJob", f"job-{i}")
            job |= {
                "ModelArtifacts": {"S3ModelArtifacts": f"s3://results/{i}/model.tar.gz"},
                "FinalMetricDataList": [{"MetricName": "mAP", "Value": score, "Timestamp": clock.time}],
            }
            replace_resource(transaction, "TrainingJob", f"job-{i}", job, modified=clock.time)
        clock.advance(100)


@pytest.fixture
def find(door):
    def find(*filters, operator="And", **parameters):
        expression = {"Filters": [condition(*each) for each in filters], "Operator": operator}
        parameters.setdefault("SearchExpression", expression if filters else {})
        results = door("Search", Resource="TrainingJob", **parameters)["Results"]
        return [each["TrainingJob"]["TrainingJobName"] for each in results]

    return find


def condition(name, operator, value=None):
    condition = {"Name": name, "Operator": operator}
    return condition if value is None else {**condition, "Value": value}


def test_what_a_model_card_asks_for(find):
    assert find(("ModelArtifacts.S3ModelArtifacts", "Equals", "s3://results/1/model.tar.gz")) == ["job-1"]


def test_what_register_asks_for(door):
    def search(name):
        return door(
            "Search",
            Resource="ModelPackageGroup",
            SearchExpression={"Filters": [condition("ModelPackageGroupName", "Equals", name)]},
        )["Results"]

    door("CreateModelPackageGroup", ModelPackageGroupName="poses")
    door("CreateModelPackageGroup", ModelPackageGroupName="poses-old")
    (found,) = search("poses")
    assert found["ModelPackageGroup"]["ModelPackageGroupName"] == "poses"
    assert search("pose") == []


def test_all_of_a_kind_latest_modified_first(find, door):
    assert find() == ["job-2", "job-1", "job-0"]
    (result, *_) = door("Search", Resource="TrainingJob")["Results"]
    assert result["TrainingJob"]["Tags"] == [{"Key": "team", "Value": "pose"}]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        ([("TrainingJobName", "Equals", "job-1")], {"job-1"}),
        ([("TrainingJobName", "Equals", "job")], set()),
        ([("TrainingJobName", "Contains", "JOB")], {"job-0", "job-1", "job-2"}),
        ([("TrainingJobName", "In", "job-0, job-2,nobody")], {"job-0", "job-2"}),
        ([("TrainingJobName", "NotEquals", "job-1")], {"job-0", "job-2"}),
        ([("Metrics.mAP", "GreaterThan", "0.7")], {"job-1"}),
        ([("Metrics.mAP", "GreaterThanOrEqualTo", "0.7")], {"job-1", "job-2"}),
        ([("Metrics.mAP", "LessThan", "0.7")], {"job-0"}),
        ([("Metrics.loss", "LessThan", "7")], set()),
        ([("HyperParameters.lr", "LessThanOrEqualTo", "0.25")], {"job-0", "job-1"}),
        ([("HyperParameters.net.depth", "Equals", "2")], {"job-2"}),
        ([("Tags.team", "Equals", "hand")], {"job-0"}),
        ([("Tags.team", "Exists")], {"job-0", "job-1", "job-2"}),
        ([("FailureReason", "NotExists")], {"job-0", "job-1", "job-2"}),
        ([("FailureReason", "Exists")], set()),
        ([("EnableManagedSpotTraining", "Equals", "False")], {"job-0", "job-1", "job-2"}),
        ([("CreationTime", "GreaterThan", "2026-09-21T14:14:00")], {"job-1", "job-2"}),
        ([("InputDataConfig.DataSource.S3DataSource.S3Uri", "Equals", "s3://data/set-2")], {"job-2"}),
        ([("Tags.team", "Equals", "pose"), ("HyperParameters.lr", "Equals", "1")], {"job-2"}),
    ],
)
def test_filters(find, filters, found):
    assert set(find(*filters)) == found


def test_or(find):
    filters = [("Tags.team", "Equals", "hand"), ("HyperParameters.lr", "Equals", "1")]
    assert set(find(*filters, operator="Or")) == {"job-0", "job-2"}


def test_a_missing_operator_means_equals(find):
    expression = {"Filters": [{"Name": "TrainingJobName", "Value": "job-1"}]}
    assert find(SearchExpression=expression) == ["job-1"]


def test_expressions_in_expressions(find):
    hand = {"Filters": [condition("Tags.team", "Equals", "hand")]}
    good = {"Filters": [condition("Metrics.mAP", "GreaterThan", "0.8")]}
    either = {"SubExpressions": [hand, good], "Operator": "Or"}
    name = condition("TrainingJobName", "NotEquals", "job-0")
    assert find(SearchExpression={"Filters": [name], "SubExpressions": [either]}) == ["job-1"]


def test_nested_filters_are_about_one_and_the_same_item(find):
    def nested(name, uri):
        filters = [
            condition("InputDataConfig.ChannelName", "Equals", name),
            condition("InputDataConfig.DataSource.S3DataSource.S3Uri", "Contains", uri),
        ]
        return {"NestedFilters": [{"NestedPropertyName": "InputDataConfig", "Filters": filters}]}

    assert find(SearchExpression=nested("train", "set-0")) == ["job-0"]
    assert set(find(SearchExpression=nested("val", "set-0"))) == {"job-0", "job-1", "job-2"}


def test_sorting(find):
    assert find(SortBy="Metrics.mAP") == ["job-1", "job-2", "job-0"]
    assert find(SortBy="Metrics.mAP", SortOrder="Ascending") == ["job-0", "job-2", "job-1"]
    assert find(SortBy="TrainingJobName", SortOrder="Ascending") == ["job-0", "job-1", "job-2"]


def test_pages_hold_although_jobs_are_added(door, find, clock):
    first = door("Search", Resource="TrainingJob", MaxResults=2)
    assert len(first["Results"]) == 2
    door("CreateTrainingJob", **training_job("job-new"))
    assert find(MaxResults=2, NextToken=first["NextToken"]) == ["job-0"]


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"NextToken": "x"}, "NextToken"),
        ({"SearchExpression": {"Filters": [{"Name": "TrainingJobName", "Operator": "Equals"}]}}, "has no Value"),
        ({"SearchExpression": {"Filters": [condition("Metrics.mAP", "LessThan", "much")]}}, "needs a number or a time"),
        (
            {"SearchExpression": {"Filters": [condition("TrainingJobName", "Contains", "a")] * 2}},
            "'CONTAINS' operator usage limit of 1 exceeded",
        ),
    ],
)
def test_bad_input_is_refused(door, parameters, message):
    with pytest.raises(ValidationException, match=message):
        door("Search", Resource="TrainingJob", **parameters)


def test_what_is_not_kept_here_is_refused_by_name(door):
    with pytest.raises(UnsupportedOperation, match="Resource = 'FeatureGroup'"):
        door("Search", Resource="FeatureGroup")


def test_packages(door):
    door("CreateModelPackageGroup", ModelPackageGroupName="poses")
    for uri in ("a", "b"):
        specification = {"Containers": [{"Image": IMAGE, "ModelDataUrl": f"s3://results/{uri}"}]}
        door("CreateModelPackage", **package(InferenceSpecification=specification, ClientToken=uri))
    filters = [
        condition("ModelPackageGroupName", "Equals", "poses"),
        condition("InferenceSpecification.Containers.ModelDataUrl", "Equals", "s3://results/b"),
    ]
    (found,) = door("Search", Resource="ModelPackage", SearchExpression={"Filters": filters})["Results"]
    arn = f"arn:aws:sagemaker:{REGION}:111122223333:model-package/poses/2"
    assert found["ModelPackage"]["ModelPackageArn"] == arn
    assert "_ClientToken" not in found["ModelPackage"]


def test_pipelines_and_their_executions(door):
    add_pipelines(door, objects=None)
    create_pipeline(door, "Pose", Tags=[{"Key": "team", "Value": "pose"}])
    create_pipeline(door, "Hand")
    arn = start_execution(door, "Pose", PipelineExecutionDisplayName="first")["PipelineExecutionArn"]
    tagged = {"Filters": [condition("Tags.team", "Exists")]}
    (found,) = door("Search", Resource="Pipeline", SearchExpression=tagged)["Results"]
    assert found["Pipeline"]["PipelineName"] == "Pose"
    running = {"Filters": [condition("PipelineExecutionStatus", "Equals", "Executing")]}
    (found,) = door("Search", Resource="PipelineExecution", SearchExpression=running)["Results"]
    assert found["PipelineExecution"]["PipelineExecutionArn"] == arn


@pytest.fixture
def executions(door, clock):
    """Six of two pipelines, some stopped; `documents` are read where the database could answer."""
    add_pipelines(door, objects=None)
    for name in ("Pose", "Hand"):
        create_pipeline(door, name)
    for number, title in enumerate(("b-1", "a-2", "C-3", "a-4", "b-5", "d-6")):
        name = "Pose" if number % 3 else "Hand"
        arn = start_execution(door, name, number, PipelineExecutionDisplayName=title)["PipelineExecutionArn"]
        clock.advance(1)
        if number % 2:
            door("StopPipelineExecution", PipelineExecutionArn=arn, ClientRequestToken="s" * 32)
            clock.advance(1)


POSE = f"arn:aws:sagemaker:{REGION}:111122223333:pipeline/pose"
SEARCHES = {
    "all": ((), True),
    "by pipeline": ((condition("PipelineArn", "Equals", POSE),), True),
    "by name": ((condition("PipelineExecutionDisplayName", "Contains", "A-"),), True),
    "by the whole name": ((condition("PipelineExecutionDisplayName", "Equals", "a-2"),), True),
    "by the whole name in small letters": ((condition("PipelineExecutionDisplayName", "Equals", "c-3"),), True),
    "by all three": (
        (
            condition("PipelineArn", "Equals", POSE),
            condition("PipelineExecutionDisplayName", "Contains", "-"),
            condition("PipelineExecutionStatus", "Equals", "Stopping"),
        ),
        True,
    ),
    "by no pipeline": ((condition("PipelineArn", "Equals", f"{POSE}-2"),), False),
    "by a name that is not ASCII": ((condition("PipelineExecutionDisplayName", "Contains", "é"),), False),
    "by another operator": ((condition("PipelineExecutionStatus", "NotEquals", "Stopping"),), False),
    "by another member": ((condition("PipelineVersionId", "Equals", "1"),), False),
}


@pytest.mark.parametrize("order", ["Ascending", "Descending"])
@pytest.mark.parametrize(
    "sort", ["CreationTime", "LastModifiedTime", "PipelineExecutionDisplayName", "PipelineExecutionStatus"]
)
@pytest.mark.parametrize("search", SEARCHES)
def test_the_database_answers_what_reading_the_documents_answers(door, executions, monkeypatch, search, sort, order):
    filters, by_database = SEARCHES[search]

    def found():
        names, token = [], {}
        while True:
            answer = door(
                "Search", Resource="PipelineExecution", SearchExpression={"Filters": list(filters)} if filters else {},
                SortBy=sort, SortOrder=order, MaxResults=2, **token,
            )  # fmt: skip
            names += [each["PipelineExecution"]["PipelineExecutionDisplayName"] for each in answer["Results"]]
            if "NextToken" not in answer:
                return names
            token = {"NextToken": answer["NextToken"]}

    asked = []
    original = search_module.as_query
    monkeypatch.setattr(search_module, "as_query", lambda *given: asked.append(original(*given)) or asked[-1])
    names = found()
    assert all((query is not None) == by_database for query in asked)
    monkeypatch.setattr(search_module, "as_query", lambda *_: None)
    if sort == "PipelineExecutionStatus":  # among equals the order is any
        assert sorted(names) == sorted(found())
    else:
        assert names == found()
