"""CloudWatch behind the door: what is put is read back, in AWS's periods and with AWS's refusals."""

import queue

import pytest

from modelwright.errors import AwsError, UnsupportedOperation
from modelwright.metrics.aggregates import of_values
from modelwright.metrics.periods import DAY, HOUR
from modelwright.store.metric_buffer import MetricBuffer
from modelwright.store.metrics import Series, read_buckets

SPACE = "Shop"


@pytest.fixture
def watch(door, clock):
    clock.time = clock.time // HOUR * HOUR + 1800  # half past: the last minutes are in this hour
    return door.of("cloudwatch")


@pytest.fixture
def put(watch):
    def put(name, *values, ago=0.0, **more):
        data = {"MetricName": name, "Timestamp": watch.clock() - ago, **more}
        watch("PutMetricData", Namespace=SPACE, MetricData=[{**data, "Value": value} for value in values])

    return put


@pytest.fixture
def statistics(watch):
    def statistics(name, *, since=600.0, period=60, **more):
        return watch(
            "GetMetricStatistics", Namespace=SPACE, MetricName=name, StartTime=watch.clock() - since,
            EndTime=watch.clock() + 60, Period=period, **(more if more else {"Statistics": ["Sum"]}),
        )["Datapoints"]  # fmt: skip

    return statistics


@pytest.fixture
def data(watch):
    def data(*queries, since=600.0, **more):
        return watch(
            "GetMetricData", MetricDataQueries=list(queries), StartTime=watch.clock() - since,
            EndTime=watch.clock() + 60, **more,
        )  # fmt: skip

    return data


def query(identity, name, stat="Sum", period=60, **more):
    metric = {"Namespace": SPACE, "MetricName": name}
    return {"Id": identity, "MetricStat": {"Metric": metric, "Period": period, "Stat": stat}, **more}


def refused(code, call, *arguments, **named):
    with pytest.raises(AwsError) as error:
        call(*arguments, **named)
    assert error.value.code == code, error.value.message
    return error.value.message


def test_it_works(put, statistics):
    put("calls", 1, 3)
    put("calls", 10, ago=60)
    points = statistics("calls", Statistics=["SampleCount", "Sum", "Average", "Minimum", "Maximum"])
    assert [point.pop("Timestamp") % 60 for point in points] == [0, 0]
    assert points == [
        {"SampleCount": 1, "Sum": 10, "Average": 10, "Minimum": 10, "Maximum": 10, "Unit": "None"},
        {"SampleCount": 2, "Sum": 4, "Average": 2, "Minimum": 1, "Maximum": 3, "Unit": "None"},
    ]


def test_percentiles(put, statistics, data):
    put("wait", *range(1, 101))
    (point,) = statistics("wait", ExtendedStatistics=["p50", "p99"])
    assert point["ExtendedStatistics"] == {"p50": pytest.approx(50, rel=0.02), "p99": pytest.approx(99, rel=0.02)}
    assert data(query("a", "wait", "p90"))["MetricDataResults"][0]["Values"] == [pytest.approx(90, rel=0.02)]


def test_values_with_counts_and_statistic_sets(watch, statistics):
    watch("PutMetricData", Namespace=SPACE, MetricData=[
        {"MetricName": "m", "Values": [1, 2], "Counts": [3, 1]},
        {"MetricName": "s", "StatisticValues": {"SampleCount": 4, "Sum": 10, "Minimum": 1, "Maximum": 4}},
    ])  # fmt: skip
    assert statistics("m", Statistics=["Sum", "SampleCount"])[0]["Sum"] == 5
    assert statistics("s", Statistics=["Average"])[0]["Average"] == 2.5
    assert statistics("s", ExtendedStatistics=["p50"]) == []


def test_dimensions_and_units_tell_metrics_apart(put, watch, statistics):
    put("calls", 1, Dimensions=[{"Name": "B", "Value": "2"}, {"Name": "A", "Value": "1"}])
    put("calls", 2, Unit="Count")
    put("calls", 4, Unit="Bytes")
    both = [{"Name": "A", "Value": "1"}, {"Name": "B", "Value": "2"}]
    assert [point["Sum"] for point in statistics("calls", Statistics=["Sum"], Dimensions=both)] == [1]
    assert {(point["Unit"], point["Sum"]) for point in statistics("calls")} == {("Count", 2), ("Bytes", 4)}
    assert [point["Sum"] for point in statistics("calls", Statistics=["Sum"], Unit="Count")] == [2]
    assert statistics("calls", Statistics=["Sum"], Unit="Seconds") == []
    told = watch("ListMetrics", Namespace=SPACE)["Metrics"]
    assert [metric["Dimensions"] for metric in told] == [both, []]


def test_periods_begin_at_the_rounded_start(put, statistics, watch):
    for minute in range(10):
        put("calls", 1, ago=60 * minute)
    points = statistics("calls", since=299, period=300)  # 16:25:01 is 16:25
    assert [(point["Timestamp"] - watch.clock(), point["Sum"]) for point in points] == [(-300, 5), (0, 1)]
    assert [point["Sum"] for point in statistics("calls", since=1800, period=3600)] == [10]


def test_metric_math(put, data):
    put("calls", 8, 2)
    put("errors", 1)
    put("calls", 5, ago=60)
    found = data(
        query("calls", "calls", ReturnData=False),
        query("errors", "errors", ReturnData=False),
        {"Id": "rate", "Expression": "100 * errors / calls", "Label": "Errors in %"},
        {"Id": "all", "Expression": "SUM(METRICS())"},
        {"Id": "deep", "Expression": "rate * 2"},
    )["MetricDataResults"]
    assert [(each["Id"], each["Label"], each["Values"], each["StatusCode"]) for each in found] == [
        ("rate", "Errors in %", [10], "Complete"),
        ("all", "all", [11, 5], "Complete"),
        ("deep", "deep", [20], "Complete"),
    ]


def test_points_come_in_order_and_in_pages(put, data):
    for minute in range(5):
        put("calls", minute, ago=60 * minute)
    put("errors", 7)
    queries = (query("a", "calls"), query("b", "errors"), query("c", "nothing"))
    ascending = data(*queries, ScanBy="TimestampAscending")["MetricDataResults"]
    assert [each["Values"] for each in ascending] == [[4, 3, 2, 1, 0], [7], []]
    pages, token = [], None
    while True:
        page = data(*queries, MaxDatapoints=2, **({"NextToken": token} if token else {}))
        pages.append([(each["Id"], each["Values"], each["StatusCode"]) for each in page["MetricDataResults"]])
        token = page.get("NextToken")
        if token is None:
            break
        assert len(pages) < 10
    assert pages[0] == [("a", [0, 1], "PartialData")]
    assert [value for page in pages for identity, values, _ in page if identity == "a" for value in values] == [
        0, 1, 2, 3, 4
    ]  # fmt: skip
    assert pages[-1][-1] == ("b", [7], "Complete")
    refused("InvalidNextToken", data, query("z", "calls"), NextToken="bm8=")
    refused("InvalidNextToken", data, query("z", "calls"), NextToken="?")


def test_metrics_are_listed_by_what_they_have(put, watch, clock):
    for number in range(3):
        put("calls", 1, Dimensions=[{"Name": "Shop", "Value": str(number)}])
    put("old", 1)
    names = lambda **more: [each["MetricName"] for each in watch("ListMetrics", **more)["Metrics"]]  # noqa: E731
    assert names(MetricName="calls") == ["calls"] * 3
    assert names(Dimensions=[{"Name": "Shop"}]) == ["calls"] * 3
    assert names(Dimensions=[{"Name": "Shop", "Value": "1"}]) == ["calls"]
    assert names(Namespace="Other") == []
    clock.advance(4 * HOUR)
    put("calls", 1)
    assert names(RecentlyActive="PT3H") == ["calls"]
    clock.advance(13 * DAY)
    assert len(names()) == 5
    clock.advance(1 * DAY)
    assert names() == ["calls"]


def test_more_metrics_than_a_page_has(watch):
    for start in (0, 400):
        watch("PutMetricData", Namespace=SPACE, MetricData=[
            {"MetricName": f"m{number}", "Value": 1} for number in range(start, start + 400)
        ])  # fmt: skip
    first = watch("ListMetrics")
    second = watch("ListMetrics", NextToken=first["NextToken"])
    names = [each["MetricName"] for page in (first, second) for each in page["Metrics"]]
    assert len(first["Metrics"]) == 500
    assert sorted(names) == sorted(f"m{number}" for number in range(800))
    assert "NextToken" not in second
    refused("InvalidNextToken", watch, "ListMetrics", Namespace=SPACE, NextToken=first["NextToken"])


def test_high_resolution(put, statistics, clock):
    put("fast", 1, 2, StorageResolution=1)
    put("fast", 4, ago=5, StorageResolution=1)
    put("slow", 1)
    assert [point["Sum"] for point in statistics("fast", since=10, period=5)] == [4, 3]
    assert [point["Sum"] for point in statistics("fast")] == [4, 3]  # by the minute too
    assert statistics("slow", since=10, period=5) == []
    clock.advance(4 * HOUR)
    assert statistics("fast", since=5 * HOUR, period=30) == []
    assert sum(point["Sum"] for point in statistics("fast", since=5 * HOUR)) == 7


@pytest.mark.parametrize(
    ("datum", "code"),
    [
        ({}, "MissingParameter"),
        ({"Value": 1, "Values": [1]}, "InvalidParameterCombination"),
        ({"Value": 1, "Counts": [1]}, "InvalidParameterCombination"),
        ({"Values": [1, 2], "Counts": [1]}, "InvalidParameterValue"),
        ({"Values": [1], "Counts": [-1]}, "InvalidParameterValue"),
        ({"Values": []}, "InvalidParameterValue"),
        ({"Values": [1.0] * 151}, "InvalidParameterValue"),
        ({"Value": float("nan")}, "InvalidParameterValue"),
        ({"Value": 1e200}, "InvalidParameterValue"),
        ({"Value": 1, "StorageResolution": 5}, "InvalidParameterValue"),
        ({"Value": 1, "Timestamp": 0.0}, "InvalidParameterValue"),
        ({"Value": 1, "Timestamp": 3e9}, "InvalidParameterValue"),
        ({"Value": 1, "Dimensions": [{"Name": "a", "Value": "1"}] * 2}, "InvalidParameterValue"),
        ({"Value": 1, "Unit": "Furlongs"}, "ValidationError"),
        (
            {"StatisticValues": {"SampleCount": 0, "Sum": 1, "Minimum": 1, "Maximum": 1}},
            "InvalidParameterValue",
        ),
        (
            {"StatisticValues": {"SampleCount": 1, "Sum": 1, "Minimum": 2, "Maximum": 1}},
            "InvalidParameterValue",
        ),
    ],
)
def test_what_cannot_be_put_leaves_nothing(watch, datum, code):
    good = {"MetricName": "good", "Value": 1}
    refused(code, watch, "PutMetricData", Namespace=SPACE, MetricData=[good, {"MetricName": "m", **datum}])
    assert watch("ListMetrics")["Metrics"] == []


def test_other_refusals_of_put(watch):
    data = [{"MetricName": "m", "Value": 1}]
    refused("InvalidParameterValue", watch, "PutMetricData", Namespace="AWS/SageMaker", MetricData=data)
    refused("MissingParameter", watch, "PutMetricData", Namespace=SPACE)
    refused("InvalidParameterValue", watch, "PutMetricData", Namespace=SPACE, MetricData=data * 1001)
    with pytest.raises(UnsupportedOperation, match="EntityMetricData"):
        watch("PutMetricData", Namespace=SPACE, MetricData=data, EntityMetricData=[{}])


@pytest.mark.parametrize(
    ("changes", "code", "text"),
    [
        ({"Period": 61}, "InvalidParameterValue", "multiple of 60"),
        ({"Statistics": []}, "ValidationError", "statistics"),
        ({"ExtendedStatistics": ["p50"]}, "InvalidParameterCombination", "together"),
        ({"Statistics": None}, "MissingParameter", "must be specified"),
        ({"Statistics": None, "ExtendedStatistics": ["p101"]}, "InvalidParameterValue", "p101"),
        ({"Statistics": None, "ExtendedStatistics": ["tm90"]}, "UnsupportedOperation", "tm90"),
        ({"StartTime": 2e9}, "InvalidParameterValue", "StartTime"),
        ({"StartTime": 1.78e9, "Period": 3600}, "InvalidParameterCombination", "1,440"),
    ],
)
def test_refusals_of_statistics(watch, changes, code, text):
    asked = {
        "Namespace": SPACE, "MetricName": "m", "StartTime": watch.clock() - 60, "EndTime": watch.clock(),
        "Period": 60, "Statistics": ["Sum"], **changes,
    }  # fmt: skip
    assert text in refused(code, watch, "GetMetricStatistics", **asked)


@pytest.mark.parametrize(
    ("queries", "code", "text"),
    [
        ([], "ValidationError", "at least one"),
        ([query("A", "m")], "ValidationError", "pattern"),
        ([query("a", "m"), query("a", "m")], "ValidationError", "twice"),
        ([{"Id": "a"}], "ValidationError", "Exactly one"),
        ([query("a", "m", Expression="1")], "ValidationError", "Exactly one"),
        ([query("a", "m", stat="sum")], "InvalidParameterValue", "sum"),
        ([query("a", "m", stat="IQM")], "UnsupportedOperation", "IQM"),
        ([query("a", "m", period=7)], "InvalidParameterValue", "multiple of 60"),
        ([query("a", "m", ReturnData=False)], "ValidationError", "ReturnData"),
        ([query("a", "m", Label="${LAST}")], "UnsupportedOperation", "Label"),
        ([{"Id": "e", "Expression": "e + 1"}], "ValidationError", "refers to itself"),
        ([{"Id": "e", "Expression": "f"}, {"Id": "f", "Expression": "e"}], "ValidationError", "refers to itself"),
        ([{"Id": "e", "Expression": "x + 1"}], "ValidationError", "no query with the id 'x'"),
        ([{"Id": "e", "Expression": "1 + 1"}], "ValidationError", "must be a time series"),
        ([{"Id": "e", "Expression": "SEARCH('x')"}], "UnsupportedOperation", "SEARCH"),
        ([{"Id": "e", "Expression": "SELECT AVG(x) FROM y"}], "UnsupportedOperation", "Metrics Insights"),
    ],
)
def test_refusals_of_data(data, queries, code, text):
    assert text in refused(code, data, *queries)


def test_points_are_gathered_and_nothing_is_lost_by_a_write_that_fails(database, clock, put, watch, statistics):
    put("calls", 1)
    real, broken = watch.metrics._database, _Broken()
    watch.metrics._database = broken
    with pytest.raises(OSError, match="full"):
        watch.metrics.flush()
    put("calls", 2)
    watch.metrics._database = real
    assert [point["Sum"] for point in statistics("calls")] == [3]


class _Broken:
    def write(self):
        raise OSError("the disk is full")


def test_old_buckets_are_forgotten_and_the_wide_ones_stay(database, clock, put, watch, statistics):
    put("calls", 5)
    watch.metrics.flush()
    clock.advance(20 * DAY)
    later = MetricBuffer(database, clock)
    later.flush()
    with database.read() as transaction:
        kept = {width: len(read_buckets(transaction, 1, width, 0, 1e10)) for width in (60, 300, 3600)}
    assert kept == {60: 0, 300: 1, 3600: 1}
    assert [point["Sum"] for point in statistics("calls", since=20 * DAY + 300, period=3600)] == [5]
    clock.advance(500 * DAY)
    MetricBuffer(database, clock).flush()
    with database.read() as transaction:
        assert read_buckets(transaction, 1, 3600, 0, 1e10) == {}


def test_a_buffer_writes_by_itself_and_tells(database, clock):
    told = queue.Queue()
    buffer = MetricBuffer(database, clock, delay=0.01)
    buffer.subscribe(told.put)
    series = Series(SPACE, "calls")
    buffer.add([(series, clock(), of_values([1]))])
    assert told.get(timeout=30) == {series}
    buffer.add([(series, clock(), of_values([1]))])
    buffer.flush()
    assert told.get(timeout=30) == {series}  # what a reader has written is told too
    buffer.add([(series, clock(), of_values([1]))])
    buffer.close()
    with database.read() as transaction:
        assert read_buckets(transaction, 1, 3600, 0, 1e10)[int(clock()) // 3600 * 3600].count == 3
