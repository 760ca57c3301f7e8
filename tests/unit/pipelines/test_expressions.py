import pytest

from modelwright.errors import ValidationException
from modelwright.pipelines.expressions import (
    Reference,
    check,
    form,
    parse_path,
    parse_reference,
    references,
    resolve,
    resolve_arguments,
    text,
    walk,
)
from modelwright.pipelines.problems import Problems
from support.definitions import Values

TRAINED = {
    "ModelArtifacts": {"S3ModelArtifacts": "s3://b/model.tar.gz"},
    "FinalMetricDataList": [{"MetricName": "acc", "Value": 0.5}, {"MetricName": "val:mse", "Value": 1.25}],
    "ProcessingOutputConfig": {"Outputs": [{"OutputName": "train", "S3Output": {"S3Uri": "s3://b/train"}}]},
    "TrainingJobSummaries": [{"TrainingJobName": "best"}],
    "OutputParameters": {"status": "fine"},
    "Environment": {"A-B": "c"},
}


@pytest.mark.parametrize(
    ("path", "segments"),
    [
        ("A", ["A"]),
        ("A.B.C", ["A", "B", "C"]),
        ("A['x y'].B", ["A", "x y", "B"]),
        ('A["x"][0][12]', ["A", "x", 0, 12]),
        ("regression_metrics.mse.value", ["regression_metrics", "mse", "value"]),
        ("a-b.0.c", ["a-b", "0", "c"]),
        ("['a.b'].c", ["a.b", "c"]),
        ("[0].x", [0, "x"]),
        ("$.a.b", ["a", "b"]),
        ("$['a'].b", ["a", "b"]),
        ("metrics/mAP50(B).값", ["metrics/mAP50(B)", "값"]),
        ("a['it's'].b", ["a", "it's", "b"]),
    ],
)
def test_paths_are_split(path, segments):
    assert parse_path(path) == segments


@pytest.mark.parametrize("path", ["", ".A", "A..B", "A.", "A[", "A[x]", "A['x", "A]", "A['x']B", "A[-1]", "$"])
def test_what_is_no_path_is_refused(path):
    with pytest.raises(ValueError, match="path"):
        parse_path(path)


def test_references_are_taken_apart():
    reference = parse_reference("Steps.Train.FinalMetricDataList['mse'].Value")
    assert reference == Reference(reference.text, "Steps", "Train", ("FinalMetricDataList", "mse", "Value"))
    assert parse_reference("Parameters.N").name == "N"
    assert parse_reference("Steps.Eval.PropertyFiles.Report").property_file == "Report"
    assert parse_reference("Steps.Eval.ProcessingJobName").property_file is None


@pytest.mark.parametrize(
    "text",
    [
        "Parameters",
        "Steps",
        "Steps.A",
        "Nothing.A",
        "Parameters.A.B",
        "Execution.X.Y",
        "Steps[0].A",
        "",
        "Parameters.a b",
    ],
)
def test_what_refers_to_nothing_is_refused(text):
    with pytest.raises(ValueError, match=r"."):
        parse_reference(text)


def test_references_are_found_however_deep():
    value = {
        "A": [{"Std:Join": {"On": "/", "Values": ["s3:/", {"Get": "Parameters.B"}, {"Get": "Steps.S.X"}]}}],
        "C": {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.E.PropertyFiles.R"}, "Path": "a"}},
        "D": {"Std:JsonGet": {"S3Uri": {"Get": "Steps.T.U"}, "Path": "a"}},
        "E": {"Get": "Execution.PipelineName"},
    }
    assert [reference.text for reference in references(value)] == [
        "Parameters.B",
        "Steps.S.X",
        "Steps.E.PropertyFiles.R",
        "Steps.T.U",
        "Execution.PipelineName",
    ]


def test_only_an_object_with_the_single_key_is_an_expression():
    assert form({"Get": "x"}) == "Get"
    assert form({"Get": "x", "Set": "y"}) is None
    assert form({"Std:Other": 1}) is None
    assert form(["Get"]) is None


def resolved(value, **environment):
    return resolve(value, Values(**environment))


def test_literals_stay():
    value = {"a": [1, 2.5, True, None, "x", {"b": []}]}
    assert resolved(value) == value


def test_parameters_keep_their_type():
    parameters = {"I": 3, "F": 0.5, "B": False, "S": "x"}
    assert resolved([{"Get": f"Parameters.{name}"} for name in "IFBS"], parameters=parameters) == [3, 0.5, False, "x"]


def test_execution_variables():
    assert resolved({"Get": "Execution.PipelineName"}, execution={"PipelineName": "p"}) == "p"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("ModelArtifacts.S3ModelArtifacts", "s3://b/model.tar.gz"),
        ("FinalMetricDataList['acc'].Value", 0.5),
        ("FinalMetricDataList['val:mse'].Value", 1.25),
        ("FinalMetricDataList[1].Value", 1.25),
        ("ProcessingOutputConfig.Outputs['train'].S3Output.S3Uri", "s3://b/train"),
        ('ProcessingOutputConfig.Outputs["train"].S3Output.S3Uri', "s3://b/train"),
        ("TrainingJobSummaries[0].TrainingJobName", "best"),
        ("OutputParameters['status']", "fine"),
        ("Environment['A-B']", "c"),
    ],
)
def test_properties_of_steps(path, value):
    assert resolved({"Get": f"Steps.T.{path}"}, steps={"T": TRAINED}) == value


@pytest.mark.parametrize("path", ["Nope", "ModelArtifacts.Nope", "FinalMetricDataList[7].Value", "ModelArtifacts[0]"])
def test_a_property_that_is_not_there_says_what_is(path):
    with pytest.raises(ValidationException, match=r"Steps\.T\..*has no value.*It has"):
        resolved({"Get": f"Steps.T.{path}"}, steps={"T": TRAINED})


def test_the_text_of_a_missing_property_names_the_place():
    with pytest.raises(ValidationException) as error:
        resolved({"Get": "Steps.T.ModelArtifacts.Nope"}, steps={"T": TRAINED})
    assert error.value.message == (
        "'Steps.T.ModelArtifacts.Nope' has no value: 'ModelArtifacts' has no 'Nope'. It has S3ModelArtifacts."
    )


def test_join_makes_text_of_everything():
    join = {"Std:Join": {"On": "-", "Values": ["a", 1, 2.0, True, {"Get": "Parameters.F"}, {"Get": "Parameters.B"}]}}
    assert resolved(join, parameters={"F": 0.001, "B": False}) == "a-1-2.0-true-0.001-false"


def test_join_without_on_and_nested():
    inner = {"Std:Join": {"On": "/", "Values": ["x", "y"]}}
    assert resolved({"Std:Join": {"Values": ["s3://", inner]}}) == "s3://x/y"


def test_join_refuses_what_is_no_text():
    with pytest.raises(ValidationException, match="can't be used as text"):
        resolved({"Std:Join": {"On": "", "Values": [{"Get": "Steps.T.ModelArtifacts"}]}}, steps={"T": TRAINED})


def test_json_get_from_a_property_file():
    expression = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.E.PropertyFiles.R"}, "Path": "metrics.map[0]['a.b']"}}
    assert resolved(expression, files={("E", "R"): {"metrics": {"map": [{"a.b": 0.9}]}}}) == 0.9


def test_json_get_from_s3():
    uri = {"Std:Join": {"On": "/", "Values": [{"Get": "Steps.T.ModelArtifacts.S3ModelArtifacts"}, "r.json"]}}
    expression = {"Std:JsonGet": {"S3Uri": uri, "Path": "Result"}}
    objects = {"s3://b/model.tar.gz/r.json": {"Result": 7}}
    assert resolved(expression, steps={"T": TRAINED}, objects=objects) == 7


def test_json_get_says_what_the_file_has():
    expression = {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.E.PropertyFiles.R"}, "Path": "a.c"}}
    with pytest.raises(ValidationException, match=r"a\.c in property file 'R' of step 'E'.*'a' has no 'c'\. It has b"):
        resolved(expression, files={("E", "R"): {"a": {"b": 1}}})


def test_items_of_a_for_each_have_no_value_outside():
    with pytest.raises(ValidationException, match="ForEach"):
        resolved({"Get": "ForEach.CurrentItem.a"})


def test_arguments_become_strings_where_aws_has_strings():
    arguments = {
        "HyperParameters": {"epochs": {"Get": "Parameters.I"}, "lr": {"Get": "Parameters.F"}, "x": "raw", "b": True},
        "Environment": {"N": {"Get": "Parameters.I"}},
        "AppSpecification": {"ContainerArguments": ["--n", {"Get": "Parameters.I"}]},
        "ResourceConfig": {"InstanceCount": {"Get": "Parameters.I"}},
        "ErrorMessage": {"Get": "Parameters.F"},
        "TrainingJobDefinitions": [{"StaticHyperParameters": {"n": 1}}],
        "CustomerMetadataProperties": {"k": 2},
        "VpcConfig": None,
    }
    assert resolve_arguments(arguments, Values(parameters={"I": 3, "F": 0.5})) == {
        "HyperParameters": {"epochs": "3", "lr": "0.5", "x": "raw", "b": "true"},
        "Environment": {"N": "3"},
        "AppSpecification": {"ContainerArguments": ["--n", "3"]},
        "ResourceConfig": {"InstanceCount": 3},
        "ErrorMessage": "0.5",
        "TrainingJobDefinitions": [{"StaticHyperParameters": {"n": "1"}}],
        "CustomerMetadataProperties": {"k": "2"},
    }


@pytest.mark.parametrize(("value", "expected"), [(True, "true"), (0, "0"), (1.5, "1.5"), ("x", "x")])
def test_text(value, expected):
    assert text(value) == expected


def test_a_list_has_an_element_by_position_as_text_too():
    assert walk([{"a": 1}], ["0", "a"], "x") == 1


@pytest.mark.parametrize(
    ("value", "place", "reason"),
    [
        ({"Get": 3}, "A.Get", "must be a text"),
        ({"Get": "Nothing.X"}, "A.Get", "must begin with one of"),
        ({"Std:Join": []}, "A.Std:Join", '"On"'),
        ({"Std:Join": {"On": 1, "Values": []}}, "A.Std:Join.On", "must be a text"),
        ({"Std:Join": {"On": "", "Values": "x"}}, "A.Std:Join.Values", "Json Array"),
        ({"Std:Join": {"On": "", "Values": [{"x": 1}]}}, "A.Std:Join.Values[0]", "can't join"),
        ({"Std:Join": {"On": "", "Values": [{"Get": "X"}]}}, "A.Std:Join.Values[0].Get", "must begin"),
        ({"Std:JsonGet": {"Path": "a"}}, "A.Std:JsonGet", "PropertyFile"),
        ({"Std:JsonGet": {"S3Uri": "s3://b/k", "PropertyFile": {}, "Path": "a"}}, "A.Std:JsonGet", "must be"),
        ({"Std:JsonGet": {"S3Uri": "s3://b/k"}}, "A.Std:JsonGet.Path", "path"),
        ({"Std:JsonGet": {"S3Uri": "s3://b/k", "Path": "a["}}, "A.Std:JsonGet.Path", "not a path"),
        (
            {"Std:JsonGet": {"PropertyFile": {"Get": "Steps.A.B"}, "Path": "a"}},
            "A.Std:JsonGet.PropertyFile",
            "PropertyFiles.NAME",
        ),
        ({"b": [{"Std:Sum": 1}]}, "A.b[0].Std:Sum", "unknown function"),
        ({"Std:Join": {"Values": []}, "x": 1}, "A.Std:Join", "not alone"),
    ],
)
def test_what_is_ill_formed_is_told_with_its_place(value, place, reason):
    problems = Problems()
    check(value, "A", problems)
    assert [problem.path for problem in problems.found] == [place]
    assert reason in problems.found[0].reason
