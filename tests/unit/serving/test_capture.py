"""Captured invocations: AWS's lines and places, samples, and what happens when they can't be written."""

import base64
import json
import re

import pytest

from modelwright.lifecycles.capture import capturing, summary
from modelwright.objects.directory import DirectoryStore
from modelwright.serving import capture as module
from modelwright.serving.capture import Capture, Captured, line
from modelwright.store import logs
from modelwright.store.database import Database

TIME = 1_790_000_000.25
CONFIG = {
    "EnableCapture": True,
    "InitialSamplingPercentage": 100,
    "DestinationS3Uri": "s3://data/captured/",
    "CaptureOptions": [{"CaptureMode": "Input"}, {"CaptureMode": "Output"}],
    "CaptureContentTypeHeader": {"CsvContentTypes": ["text/csv"], "JsonContentTypes": ["application/json"]},
}


def captured(config=CONFIG, body=b"1,2", content="text/csv", **more):
    values = {
        "endpoint": "e", "variant": "v", "settings": capturing(config), "asked": {"Content-Type": content},
        "body": body, "answered": {"content-type": "application/json; charset=utf-8"}, "answer": b'["\xc3\xa9"]',
        "time": TIME, **more,
    }  # fmt: skip
    return Captured(**values)


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'm.db'}")
    yield database
    database.close()


@pytest.fixture
def objects(tmp_path):
    objects = DirectoryStore(tmp_path / "objects", fsync=False)
    objects.buckets.create("data", "us-east-1")
    yield objects
    objects.close()


def files(objects):
    return {each.key: objects.read("data", each.key) for each in objects.list("data")}


def test_a_line_is_aws_s():
    document = json.loads(line(captured(asked={"Content-Type": "text/csv", "X-Amzn-SageMaker-Custom-Attributes": "a"})))
    assert re.fullmatch(r"[0-9a-f-]{36}", document["eventMetadata"].pop("eventId"))
    assert document == {
        "captureData": {
            "endpointInput": {
                "observedContentType": "text/csv", "mode": "INPUT", "data": "1,2", "encoding": "CSV",
            },
            "endpointOutput": {
                "observedContentType": "application/json; charset=utf-8", "mode": "OUTPUT", "data": '["é"]',
                "encoding": "JSON",
            },
        },
        "eventMetadata": {"customAttributes": ["a"], "inferenceTime": "2026-09-21T14:13:20Z"},
        "eventVersion": "0",
    }  # fmt: skip
    assert json.loads(line(captured(inference="mine")))["eventMetadata"]["inferenceId"] == "mine"


@pytest.mark.parametrize(("body", "content"), [(b"\xff\xd8", "image/jpeg"), (b"\xff\xfe", "text/csv"), (b"x", "")])
def test_what_is_no_text_by_its_type_or_itself_is_base64(body, content):
    side = json.loads(line(captured(body=body, content=content)))["captureData"]["endpointInput"]
    assert (side["encoding"], base64.b64decode(side["data"])) == ("BASE64", body)


def test_what_is_captured():
    def modes(**changes):
        return sorted(json.loads(line(captured({**CONFIG, **changes})))["captureData"])

    assert modes(CaptureOptions=[{"CaptureMode": "Input"}]) == ["endpointInput"]
    assert modes(CaptureOptions=[{"CaptureMode": "Output"}]) == ["endpointOutput"]
    assert modes(CaptureOptions=[{"CaptureMode": "InputAndOutput"}]) == ["endpointInput", "endpointOutput"]
    assert capturing({**CONFIG, "EnableCapture": False}) is None
    assert capturing({**CONFIG, "InitialSamplingPercentage": 0}) is None
    assert capturing(None) is None
    plain = {key: value for key, value in CONFIG.items() if key != "CaptureContentTypeHeader"}
    assert capturing(plain).encoding("text/csv") == "BASE64"


def test_the_summary():
    assert summary(CONFIG, serving=True)["CaptureStatus"] == "Started"
    assert summary(CONFIG, serving=False)["CaptureStatus"] == "Stopped"
    assert summary({**CONFIG, "EnableCapture": False}, serving=True)["CaptureStatus"] == "Stopped"


def test_files_lie_where_aws_puts_them(objects, database):
    capture = Capture(objects, database, lambda: TIME)
    for body in (b"1", b"2"):
        capture.add(captured(body=body))
    capture.add(captured(variant="w"))
    capture.close()
    found = files(objects)
    names = sorted(found)
    assert re.fullmatch(r"captured/e/v/2026/09/21/14/13-20-250-[0-9a-f-]{36}\.jsonl", names[0])
    assert names[1].startswith("captured/e/w/")
    bodies = [json.loads(each)["captureData"]["endpointInput"]["data"] for each in found[names[0]].splitlines()]
    assert bodies == ["1", "2"]


def test_the_thread_writes_by_itself(objects, database):
    import threading

    written = threading.Event()
    objects.subscribe(lambda *_: True, lambda _: written.set())
    capture = Capture(objects, database, lambda: TIME, delay=0.01)
    capture.add(captured())
    assert written.wait(30)
    capture.close()
    assert len(files(objects)) == 1


def test_a_sample():
    capture = Capture(None, None, lambda: TIME)
    half = capturing({**CONFIG, "InitialSamplingPercentage": 50})
    assert 300 < sum(capture.wants(half) for _ in range(1000)) < 700
    assert all(capture.wants(capturing(CONFIG)) for _ in range(100))


def test_a_bucket_that_is_not_there_is_told_in_the_endpoints_log(objects, database):
    capture = Capture(objects, database, lambda: TIME)
    capture.add(captured({**CONFIG, "DestinationS3Uri": "s3://nowhere/x"}))
    capture.close()
    (told,) = _log(database)
    assert told.startswith("1 invocations could not be captured in s3://nowhere: ")


def test_what_can_not_be_kept_is_dropped_and_told(objects, database, monkeypatch):
    monkeypatch.setattr(module, "MOST", 20)
    capture = Capture(objects, database, lambda: TIME, delay=60)
    for _ in range(4):
        capture.add(captured(body=b"x" * 10, answer=b""))
    capture.close()
    assert len(next(iter(files(objects).values())).splitlines()) == 2
    assert _log(database) == ["2 invocations were not captured: more came than could be written."]
    assert capture._size == 0


def test_a_large_capture_becomes_several_files(objects, database, monkeypatch):
    monkeypatch.setattr(module, "FILE", 500)
    capture = Capture(objects, database, lambda: TIME)
    for _ in range(5):
        capture.add(captured())
    capture.flush()
    found = files(objects)
    assert len(found) > 1
    assert sum(len(data.splitlines()) for data in found.values()) == 5


def _log(database):
    with database.read() as transaction:
        streams = logs.list_streams(transaction, "/aws/sagemaker/Endpoints/e")
        return [event.message for stream in streams for event in logs.read_events(transaction, [stream])]
