"""What pages draw from: the graph, the form's problems, the timeline, charts, metrics."""

import hashlib
import json
from pathlib import Path

import pytest

import modelwright.studio
from modelwright.pipelines.definition import parse
from modelwright.studio import charts, differences, outline, predictions
from modelwright.studio.endpoints import presented
from modelwright.studio.executions import bars
from modelwright.studio.rendering import duration, number, size
from modelwright.studio.reports import flatten
from modelwright.studio.texts import LANGUAGES

CONDITION = {"Conditions": [{"Type": "Equals", "LeftValue": 1, "RightValue": 1}], "ElseSteps": []}


def definition(parameters=()):
    fail = {"Name": "Weak", "Type": "Fail", "Arguments": {"ErrorMessage": "no"}}
    good = {"Name": "Good", "Type": "Fail", "Arguments": {"ErrorMessage": "yes"}}
    last = {"Name": "Last", "Type": "Condition", "Arguments": {**CONDITION, "IfSteps": []}, "DependsOn": ["First"]}
    steps = [{"Name": "First", "Type": "Condition", "Arguments": {**CONDITION, "IfSteps": [good], "ElseSteps": [fail]}}]
    text = {"Version": "2020-12-01", "Metadata": {}, "Parameters": list(parameters), "Steps": [*steps, last]}
    return parse(json.dumps(text))


def test_branches_carry_their_outcome():
    found = {(edge.source, edge.target): edge.label for edge in outline.edges(definition())}
    assert found == {("First", "Good"): "true", ("First", "Weak"): "false", ("First", "Last"): ""}


def test_a_graph_has_titles_types_and_states():
    graph = outline.graph(definition(), {"First": "Succeeded"}, {"Condition": "조건"})
    assert {node["name"]: (node["type"], node["status"]) for node in graph["nodes"]} == {
        "First": ("조건", "Succeeded"), "Good": ("Fail", ""), "Weak": ("Fail", ""), "Last": ("조건", ""),
    }  # fmt: skip
    assert ["First", "Good", "true"] in graph["edges"]


PARAMETERS = [
    {"Name": "Count", "Type": "Integer", "DefaultValue": 2},
    {"Name": "Rate", "Type": "Float"},
    {"Name": "Mode", "Type": "String", "EnumValues": ["fast", "good"], "DefaultValue": "fast"},
    {"Name": "Text", "Type": "String", "DefaultValue": "x"},
]


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("Count", "3", None),
        ("Count", "three", "Enter a whole number."),
        ("Count", "", "Enter a whole number."),
        ("Rate", "1e-3", None),
        ("Rate", "", "A value is needed."),
        ("Rate", "x", "Enter a number."),
        ("Mode", "slow", "Choose one of: {choices}"),
        ("Text", "", None),
    ],
)
def test_what_is_wrong_stands_at_the_field(name, value, problem):
    given = {"Count": "2", "Rate": "1", "Mode": "good", "Text": "x", name: value}
    found = outline.problems(definition(PARAMETERS), given)
    assert {key: text for key, (text, _) in found.items()} == ({} if problem is None else {name: problem})


def test_the_timeline_fits_between_start_and_end():
    execution = {"CreationTime": 100.0, "LastModifiedTime": 200.0, "PipelineExecutionStatus": "Succeeded"}
    steps = {
        "A": {"StepStatus": "Succeeded", "StartTime": 100.0, "EndTime": 150.0},
        "B": {"StepStatus": "Succeeded", "StartTime": 200.0, "EndTime": 200.0},
    }
    rows = bars(execution, steps)["rows"]
    assert (rows[0]["left"], rows[0]["width"]) == (0.0, 500.0)
    assert rows[1]["width"] > 0
    assert rows[1]["left"] + rows[1]["width"] <= 1000


def test_a_metric_is_read_from_the_lines():
    lines = [{"message": f"loss={value} nan={value}"} for value in ("0.5", "nan", "0.25", "x")]
    found = charts.of_log([{"Name": "loss", "Regex": "loss=([0-9.a-z]+)"}, {"Name": "none", "Regex": "no=(.)"}], lines)
    assert [(chart.name, chart.count, chart.low, chart.high, chart.last) for chart in found] == [
        ("loss", 2, 0.25, 0.5, 0.25)
    ]
    assert found[0].line == "0.0,0.0 320.0,120.0"


def test_a_long_metric_is_thinned_and_keeps_its_last_value():
    chart = charts.chart("x", [float(i) for i in range(10_000)])
    assert chart.last == 9999.0
    assert len(chart.line.split()) <= 402
    assert charts.chart("flat", [3.0]).line == "0.0,60.0"


def test_definitions_differ_by_steps_parameters_and_values():
    training = {"Name": "Train", "Type": "Training", "Arguments": {"InputDataConfig": [{"ChannelName": "a", "S": 1}]}}
    gate = {
        "Name": "Gate",
        "Type": "Condition",
        "Arguments": {**CONDITION, "IfSteps": [{"Name": "Old", "Type": "Fail"}]},
    }
    before = {"Parameters": [{"Name": "P", "DefaultValue": 1}], "Steps": [training, gate]}
    after = json.loads(json.dumps(before))
    after["Steps"][0]["Arguments"]["InputDataConfig"][0]["S"] = {"Get": "Parameters.P"}
    after["Steps"][1]["Arguments"]["IfSteps"] = []
    found = {(change.kind, change.name): change for change in differences.changes(before, after)}
    assert set(found) == {("changed", "Train"), ("changed", "Gate"), ("removed", "Old")}
    (detail,) = found["changed", "Train"].details
    assert (detail.path, detail.before, detail.after) == (
        "Arguments.InputDataConfig.a.S",
        "1",
        '{"Get": "Parameters.P"}',
    )
    assert {sign for sign, _ in found["removed", "Old"].lines} == {"-"}
    assert differences.changes(before, before) == []


@pytest.mark.parametrize(
    "answer",
    [
        None,
        3,
        "x",
        {},
        [],
        [1],
        {"predictions": 5},
        [{"box": [1, 2]}],
        [{"box": [1, 2, 3, float("nan")]}],
        [{"box": "x"}],
    ],
)
def test_what_is_no_prediction_is_not_drawn(answer):
    assert predictions.drawing(answer) is None


def test_bones_join_what_is_certain():
    points = [
        {"name": "left_hip", "x": 1, "y": 2, "confidence": 0.9},
        {"name": "left_knee", "x": 3, "y": 4, "confidence": 0.8},
        {"name": "left_ankle", "x": 5, "y": 6, "confidence": 0.1}, {"name": "odd", "x": None, "y": 1},
    ]  # fmt: skip
    drawn = predictions.drawing([{"box": [0, 0, 10, 20], "keypoints": points, "confidence": 0.5}])
    assert drawn.points == ((1.0, 2.0), (3.0, 4.0))
    assert drawn.lines == (((3.0, 4.0), (1.0, 2.0)),)
    assert drawn.boxes == ((0.0, 0.0, 10.0, 20.0, "0.50"),)
    assert (drawn.width, drawn.height) == (10.0, 20.0)


def test_an_answer_is_shown_as_what_it_is():
    assert presented(b'{"a":1}', "application/json")["text"] == '{\n  "a": 1\n}'
    assert presented(b"1,2", "text/csv") == {"kind": "text", "text": "1,2", "cut": False}
    assert presented(b"\xff\xd8", "application/octet-stream") == {"kind": "none"}
    assert presented(b"PNG", "image/png") == {"kind": "image", "image": "UE5H"}


def test_reports_are_flattened():
    report = {"metrics": {"mAP50": {"value": 0.8, "standard_deviation": "NaN"}, "list": [1, 2]}, "n": True}
    assert flatten(report) == {
        "metrics.mAP50": 0.8, "metrics.mAP50.standard_deviation": "NaN", "metrics.list": "[1, 2]", "n": True,
    }  # fmt: skip


def test_figures_are_short():
    assert [duration(s, LANGUAGES["en"]) for s in (-1, 0.44, 12.3, 59.7, 185, 7620)] == [
        "0.0 s", "0.4 s", "12 s", "1 min 00 s", "3 min 05 s", "2 h 07 min",
    ]  # fmt: skip
    assert [duration(s, LANGUAGES["ko"]) for s in (0.44, 185, 7620)] == ["0.4초", "3분 05초", "2시간 07분"]
    assert [size(n) for n in (0, 1023, 1536, 3 << 30)] == ["0 B", "1023 B", "1.5 KiB", "3.0 GiB"]
    assert [number(v) for v in (0.81234567, 12, True, "NaN")] == ["0.81235", "12", "True", "NaN"]


def test_vendored_scripts_are_what_they_say():
    folder = Path(modelwright.studio.__file__).parent / "static" / "vendor"
    vendored = json.loads((folder / "vendored.json").read_text())
    licences = {each["licence_file"] for each in vendored.values()}
    assert {path.name for path in folder.iterdir()} == {*vendored, *licences, "vendored.json"}
    for name, each in vendored.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == each["sha256"], name
        assert each["version"]
        assert each["licence"]
