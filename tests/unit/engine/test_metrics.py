from modelwright.engine.job_metrics import job_metrics
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


def test_every_value_of_a_line_is_told():
    metrics = Metrics(DEFINITIONS)
    assert metrics.read("loss=1 then loss=2", 1) == [("loss", 1.0), ("loss", 2.0)]
    assert metrics.read("nothing", 2) == []


def test_an_expression_that_takes_for_ever_is_given_up_and_told():
    metrics = Metrics([*DEFINITIONS, {"Name": "slow", "Regex": "(a|aa)+$"}])
    metrics.read("loss=1", 1)
    assert metrics.problems() == []
    assert metrics.read("loss=2 " + "a" * 80 + "!", 2) == [("loss", 2.0)]
    (problem,) = metrics.problems()
    assert problem.startswith(
        "Modelwright reads the metric slow no more: the regular expression '(a|aa)+$' takes too long"
    )
    assert metrics.problems() == metrics.read("a" * 80 + "!", 3) == []


def test_what_a_training_job_measures_goes_to_cloudwatch():
    class Buffer:
        def __init__(self):
            self.points = []

        def add(self, points):
            self.points += points

    buffer = Buffer()
    measured = job_metrics(buffer)
    measured("training-job/mine", [("loss", 4.0), ("loss", 2.0), ("acc", 1.0)], 7.0)
    measured("endpoint/mine/1/i-1/1", [("loss", 4.0)], 7.0)
    told = [
        (one.namespace, one.name, one.dimensions, time, part.count, part.total) for one, time, part in buffer.points
    ]
    where = ("/aws/sagemaker/TrainingJobs", (("TrainingJobName", "mine"),))
    assert told == [
        (where[0], "loss", where[1], 7.0, 2, 6.0),
        (where[0], "acc", where[1], 7.0, 1, 1.0),
    ]
    job_metrics(None)("training-job/mine", [("loss", 1.0)], 1.0)


def test_a_regular_expression_without_a_group_is_the_value_itself():
    metrics = Metrics([{"Name": "n", "Regex": r"\d+$"}])
    metrics.read("epoch 12", 0)
    assert metrics.final()[0]["Value"] == 12.0
