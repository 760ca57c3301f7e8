from modelwright.engine.metrics import Metrics

DEFINITIONS = [{"Name": "loss", "Regex": "loss=([0-9.e+-]+)"}, {"Name": "map", "Regex": r"mAP50: (\S+)"}]


def test_the_last_value_counts():
    metrics = Metrics(DEFINITIONS)
    metrics.read("epoch 1 loss=0.5 loss=0.25", 1_000)
    metrics.read("mAP50: 0.9", 2_500)
    metrics.read("mAP50: nothing", 3_000)
    assert metrics.final() == [
        {"MetricName": "loss", "Value": 0.25, "Timestamp": 1.0},
        {"MetricName": "map", "Value": 0.9, "Timestamp": 2.5},
    ]


def test_what_was_never_said_has_no_value_and_infinity_is_none():
    metrics = Metrics(DEFINITIONS)
    metrics.read("mAP50: inf", 1)
    metrics.read("mAP50: nan", 1)
    assert metrics.final() == []


def test_it_goes_on_from_what_was_kept():
    first = Metrics(DEFINITIONS)
    first.read("loss=1", 1_000)
    second = Metrics(DEFINITIONS, first.values)
    second.read("mAP50: 2", 2_000)
    assert [each["Value"] for each in second.final()] == [1.0, 2.0]


def test_a_regular_expression_without_a_group_is_the_value_itself():
    metrics = Metrics([{"Name": "n", "Regex": r"\d+$"}])
    metrics.read("epoch 12", 0)
    assert metrics.final()[0]["Value"] == 12.0
