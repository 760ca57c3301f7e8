"""CloudWatch over the wire: boto3 by CBOR, JSON and forms, compressed bodies, errors that clients match on, a kill."""

import time
from datetime import UTC, datetime, timedelta

import botocore.loaders
import pytest
from botocore.exceptions import ClientError

from support.server import PLATFORM, Server

SPACE = "Wire"


def ask(client, name, **more):
    now = datetime.now(UTC)
    return client.get_metric_statistics(
        Namespace=SPACE, MetricName=name, StartTime=now - timedelta(minutes=10), EndTime=now + timedelta(minutes=1),
        Period=3600, **(more or {"Statistics": ["Sum"]}),
    )["Datapoints"]  # fmt: skip


@pytest.fixture(params=["smithy-rpc-v2-cbor", "json", "query"])
def watch(request, server, monkeypatch):
    """A client that speaks the protocol."""
    original = botocore.loaders.Loader.load_service_model

    def speaking(self, name, *arguments, **more):
        found = original(self, name, *arguments, **more)
        if name == "cloudwatch" and "metadata" in found:
            found = {
                **found,
                "metadata": {**found["metadata"], "protocol": request.param, "protocols": [request.param]},
            }
            if request.param == "query":
                del found["metadata"]["awsQueryCompatible"]
        return found

    monkeypatch.setattr(botocore.loaders.Loader, "load_service_model", speaking)
    client = server.client("cloudwatch")
    assert client.meta.service_model.resolved_protocol == request.param
    client.protocol = request.param
    return client


def test_every_protocol(watch):
    name = f"by-{watch.protocol}"
    moment = datetime.now(UTC) - timedelta(seconds=5)
    watch.put_metric_data(Namespace=SPACE, MetricData=[
        {"MetricName": name, "Value": 1.5, "Timestamp": moment, "Dimensions": [{"Name": "é", "Value": "한"}]},
        {"MetricName": name, "Values": [1, 2.5], "Counts": [2, 1], "Unit": "Seconds"},
    ])  # fmt: skip
    (point,) = ask(watch, name, Statistics=["Sum", "SampleCount", "Maximum"])
    assert (point["Sum"], point["SampleCount"], point["Maximum"], point["Unit"]) == (4.5, 3, 2.5, "Seconds")
    assert point["Timestamp"].tzinfo is not None
    (point,) = ask(watch, name, ExtendedStatistics=["p99"])
    assert point["ExtendedStatistics"] == {"p99": pytest.approx(2.5)}
    listed = watch.list_metrics(Namespace=SPACE, MetricName=name)["Metrics"]
    assert [metric["Dimensions"] for metric in listed] == [[{"Name": "é", "Value": "한"}], []]
    found = watch.get_metric_data(
        MetricDataQueries=[
            {"Id": "m", "ReturnData": False, "MetricStat": {
                "Metric": {"Namespace": SPACE, "MetricName": name}, "Period": 3600, "Stat": "Sum"}},
            {"Id": "twice", "Expression": "m * 2", "Label": "Twice"},
        ],
        StartTime=moment - timedelta(minutes=10), EndTime=moment + timedelta(minutes=1),
    )["MetricDataResults"]  # fmt: skip
    assert [(each["Label"], each["Values"], each["StatusCode"]) for each in found] == [("Twice", [9], "Complete")]
    with pytest.raises(ClientError) as error:
        ask(watch, name, Statistics=["Sum"], ExtendedStatistics=["p1"])
    assert error.value.response["Error"]["Code"] == "InvalidParameterCombination"
    assert "can't be used together" in error.value.response["Error"]["Message"]
    with pytest.raises(ClientError, match="PutDashboard") as error:
        watch.put_dashboard(DashboardName="x", DashboardBody="{}")
    assert error.value.response["Error"]["Code"] == "UnsupportedOperation"


def test_the_modelled_exceptions_are_raised(server):
    client = server.client("cloudwatch")
    with pytest.raises(client.exceptions.InvalidParameterValueException):
        client.put_metric_data(Namespace="AWS/Mine", MetricData=[{"MetricName": "m", "Value": 1}])


def test_a_large_body_comes_compressed(server):
    client = server.client("cloudwatch")
    data = [{"MetricName": f"m{number}", "Value": number} for number in range(1000)]
    seen = {}
    client.meta.events.register("before-send", lambda request, **_: seen.update(request.headers))
    client.put_metric_data(Namespace="Large", MetricData=data)
    assert seen["Content-Encoding"] in (b"gzip", "gzip")
    pages = client.get_paginator("list_metrics").paginate(Namespace="Large")
    assert len([metric for page in pages for metric in page["Metrics"]]) == 1000


def test_a_kill_loses_seconds_at_most(tmp_path):
    own = Server(tmp_path / "home", PLATFORM)
    own.start()
    try:
        client = own.client("cloudwatch")
        client.put_metric_data(Namespace=SPACE, MetricData=[{"MetricName": "kept", "Value": 1}])
        database = own.settings.home / "modelwright.db"
        deadline = time.monotonic() + 30
        while not _written(database):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        own.kill()
        own.start()
        client = own.client("cloudwatch")
        client.put_metric_data(Namespace=SPACE, MetricData=[{"MetricName": "kept", "Value": 2}])
        assert sum(point["Sum"] for point in ask(client, "kept")) == 3
    finally:
        own.stop()


def _written(database):
    import sqlite3

    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        return connection.execute("SELECT count(*) FROM metric_bucket").fetchone()[0] > 0
