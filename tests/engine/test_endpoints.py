"""Endpoints that really serve: from a model to an answer, and all that may go wrong between."""

import asyncio
import io
import json
import os
import re
import subprocess
import sys
import tarfile
import threading
from collections import Counter
from pathlib import Path

import pytest

from modelwright.errors import AwsError
from support.hosting import Endpoints, ServingImages
from support.platform import running


@pytest.fixture
def endpoints(tmp_path):
    with running(tmp_path / "home", images=ServingImages(tmp_path), ping_interval=0.2) as platform:
        endpoints = Endpoints(platform)
        platform.bucket()
        yield endpoints
        for summary in platform.call("ListEndpoints", MaxResults=100)["Endpoints"]:
            endpoints.delete(summary["EndpointName"])


def archive(**files):
    """A tar.gz; a name's double underscore is a slash."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        for name, content in files.items():
            add(tar, name.replace("__", "/"), content)
    return made.getvalue()


def add(tar, name, content=b"x"):
    member = tarfile.TarInfo(name)
    member.size = len(content)
    tar.addfile(member, io.BytesIO(content))


def test_it_works(endpoints):
    data = archive(weights=b"1", code__inference=b"2")
    endpoints.platform.objects.put_bytes("bucket", "m/model.tar.gz", data)
    found = endpoints.quickly("m", data="s3://bucket/m/model.tar.gz")
    assert found["EndpointStatus"] == "InService", found
    answer = endpoints.invoke("m", b"hello", ContentType="text/x", CustomAttributes="c=1")
    assert answer == {
        "Body": b"hello",
        "ContentType": "text/x",
        "CustomAttributes": "c=1",
        "InvokedProductionVariant": "one",
    }
    assert json.loads(endpoints.invoke("m", b"files")["Body"]) == ["model/code/inference", "model/weights"]
    big = bytes(6 << 20) + b"!"
    assert endpoints.invoke("m", big)["Body"] == big
    (variant,) = found["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (1, 1)
    assert variant["DeployedImages"][0]["SpecifiedImage"] == "server"
    with pytest.raises(AwsError, match="short and stout") as refused:
        endpoints.invoke("m", b"teapot")
    assert (refused.value.code, refused.value.status) == ("ModelError", 424)
    assert refused.value.members["OriginalStatusCode"] == 418
    endpoints.platform.until(lambda: "serve [] " in endpoints.log("m"))
    endpoints.delete("m")
    with pytest.raises(AwsError, match="not found") as gone:
        endpoints.invoke("m")
    assert gone.value.code == "ValidationError"
    assert not list(endpoints.platform.settings.jobs.glob("*.replica"))


def test_a_container_that_ends_is_the_failure_with_its_last_words(endpoints):
    found = endpoints.quickly("m", MODE="crash")
    assert found["EndpointStatus"] == "Failed"
    assert "exit code 3" in found["FailureReason"]
    assert "there is no such weight" in found["FailureReason"]
    assert endpoints.log("m").count("there is no such weight") == 3  # it was tried again
    with pytest.raises(AwsError, match="only be deleted"):
        endpoints.call("UpdateEndpoint", EndpointName="m", EndpointConfigName="m")


@pytest.mark.parametrize("name", ["../out", "/etc/passwd", "a/../../out"])
def test_a_hostile_archive_is_refused(endpoints, name):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        add(tar, name)
    endpoints.platform.objects.put_bytes("bucket", "model.tar.gz", made.getvalue())
    found = endpoints.quickly("m", data="s3://bucket/model.tar.gz")
    assert found["EndpointStatus"] == "Failed"
    assert "not safe to unpack" in found["FailureReason"]
    assert name in found["FailureReason"]


def test_a_link_out_of_the_folder_is_refused(endpoints):
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "../../../etc"
        tar.addfile(link)
    endpoints.platform.objects.put_bytes("bucket", "model.tar.gz", made.getvalue())
    assert "not safe" in endpoints.quickly("m", data="s3://bucket/model.tar.gz")["FailureReason"]


@pytest.mark.parametrize(("key", "said"), [("missing", "NoSuchKey|does not exist"), ("text", "can't be unpacked")])
def test_model_data_that_is_not_there(endpoints, key, said):
    endpoints.platform.objects.put_bytes("bucket", "text", b"this is no archive")
    found = endpoints.quickly("m", data=f"s3://bucket/{key}")
    assert found["EndpointStatus"] == "Failed"
    assert re.search(said, found["FailureReason"]), found["FailureReason"]


def test_an_instance_that_dies_is_replaced_and_the_request_is_a_model_error(endpoints):
    endpoints.quickly("m")
    for times in (1, 2):
        with pytest.raises(AwsError) as error:
            endpoints.invoke("m", b"die")
        assert (error.value.code, error.value.status) == ("ModelError", 424)
        assert str(error.value).startswith("Received server error (0) from primary with message")
        assert error.value.members["OriginalStatusCode"] == 0
        endpoints.platform.until(lambda times=times: endpoints.log("m").count("serve [] ") == times + 1)
        endpoints.platform.until(lambda: current(endpoints, "m") == 1)
        assert endpoints.invoke("m")["Body"] == b"hello"
        assert endpoints.describe("m")["EndpointStatus"] == "InService"


def test_one_that_hangs_is_a_model_error_after_its_time(tmp_path):
    with running(tmp_path / "home", images=ServingImages(tmp_path), patience=0.5) as platform:
        endpoints = Endpoints(platform)
        endpoints.quickly("m")
        with pytest.raises(AwsError, match="timed out while waiting for a response from container primary") as error:
            endpoints.invoke("m", b"sleep 30")
        assert (error.value.code, error.value.status) == ("ModelError", 424)
        assert error.value.members["OriginalStatusCode"] == 0
        platform.router._timeout = 60
        assert endpoints.invoke("m")["Body"] == b"hello"  # the instance is free for others, and stays
        assert endpoints.log("m").count("serve [] ") == 1
        endpoints.delete("m")


def test_what_is_in_service_can_be_invoked(endpoints, monkeypatch):
    """From the first moment on, however long the router takes to hear of it."""
    publish = endpoints.platform.router.publish

    def late(routes):
        threading.Event().wait(0.3)
        publish(routes)

    monkeypatch.setattr(endpoints.platform.router, "publish", late)
    assert endpoints.quickly("m")["EndpointStatus"] == "InService"
    assert endpoints.invoke("m")["Body"] == b"hello"


def test_one_that_stops_answering_pings_is_replaced(endpoints):
    endpoints.quickly("m")
    endpoints.invoke("m", b"freeze")
    endpoints.platform.until(lambda: endpoints.log("m").count("serve [] ") == 2)
    endpoints.platform.until(lambda: current(endpoints, "m") == 1)
    assert any("stopped answering /ping" in line for line in endpoints.log("m"))
    assert endpoints.invoke("m")["Body"] == b"hello"


@pytest.mark.parametrize(("mode", "said"), [("never", "GET /ping answered 503"), ("mute", "Connection refused")])
def test_one_that_is_never_ready_in_its_time(endpoints, monkeypatch, mode, said):
    """The shortest time that AWS allows is a minute: here the fleet says a second."""
    monkeypatch.setattr("modelwright.services.sagemaker.fleets.STARTUP_SECONDS", 1)
    found = endpoints.quickly("m", MODE=mode)
    assert found["EndpointStatus"] == "Failed"
    assert "did not pass the ping health check within 1 seconds" in found["FailureReason"]
    assert said in found["FailureReason"]


def current(endpoints, name):
    return sum(variant["CurrentInstanceCount"] for variant in endpoints.describe(name)["ProductionVariants"])


def test_variants_by_weight_and_by_name(endpoints):
    endpoints.model("a")
    endpoints.model("b")
    endpoints.config("c", a=("a", 2, 3), b=("b", 1, 1))
    endpoints.create("e", "c")
    assert endpoints.settled("e")["EndpointStatus"] == "InService"

    async def ask():
        answers = [await endpoints.ask("e", b"who") for _ in range(200)]
        together = await asyncio.gather(*(endpoints.ask("e", b"sleep 0.3", TargetVariant="a") for _ in range(4)))
        await endpoints.platform.router.aclose()
        return answers, together

    answers, together = asyncio.run(ask())
    assert 110 < Counter(answer["InvokedProductionVariant"] for answer in answers)["a"] < 190
    ports = {tuple(json.loads(answer["Body"])) for answer in answers}
    assert len([port for name, port in ports if name == "a"]) == 2
    assert {answer["InvokedProductionVariant"] for answer in together} == {"a"}
    assert json.loads(endpoints.invoke("e", b"who", TargetVariant="b")["Body"])[0] == "b"
    with pytest.raises(AwsError, match="Variant x not found"):
        endpoints.invoke("e", TargetVariant="x")
    endpoints.call(
        "UpdateEndpointWeightsAndCapacities",
        EndpointName="e",
        DesiredWeightsAndCapacities=[
            {"VariantName": "a", "DesiredWeight": 0, "DesiredInstanceCount": 1},
            {"VariantName": "b", "DesiredInstanceCount": 2},
        ],
    )
    found = {variant["VariantName"]: variant for variant in endpoints.settled("e")["ProductionVariants"]}
    assert (found["a"]["CurrentWeight"], found["a"]["DesiredInstanceCount"]) == (0, 1)
    assert found["b"]["CurrentInstanceCount"] == 2
    assert {json.loads(endpoints.invoke("e", b"who")["Body"])[0] for _ in range(20)} == {"b"}


def test_an_update_loses_no_request(endpoints):
    endpoints.quickly("old")
    endpoints.model("new", MODE="slow")
    endpoints.config("new", one=("new", 2, 1))
    platform = endpoints.platform
    names = Counter()

    async def load(until):
        while not until():
            names[json.loads((await endpoints.ask("old", b"who"))["Body"])[0]] += 1

    async def act():
        slow = asyncio.create_task(endpoints.ask("old", b"sleep 2.5"))
        endpoints.call("UpdateEndpoint", EndpointName="old", EndpointConfigName="new")
        assert endpoints.describe("old")["EndpointStatus"] == "Updating"
        loads = [asyncio.create_task(load(lambda: names["new"] > 200)) for _ in range(8)]
        await asyncio.wait_for(asyncio.gather(*loads), 60)
        assert (await slow)["Body"] == b"sleep 2.5"
        await platform.router.aclose()

    asyncio.run(act())
    assert names["old"] > 0
    found = endpoints.settled("old")
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", "new")
    platform.until(lambda: len(list(platform.settings.jobs.glob("*.replica"))) == 2)  # the old one has gone


def test_an_update_that_is_never_healthy_rolls_back(endpoints):
    endpoints.quickly("good")
    endpoints.model("bad", MODE="crash")
    endpoints.config("bad", one="bad")
    endpoints.call("UpdateEndpoint", EndpointName="good", EndpointConfigName="bad")
    found = endpoints.settled("good")
    assert (found["EndpointStatus"], found["EndpointConfigName"]) == ("InService", "good")
    assert "there is no such weight" in found["FailureReason"]
    assert json.loads(endpoints.invoke("good", b"who")["Body"])[0] == "good"


def test_it_can_be_deleted_while_it_is_being_made(endpoints):
    endpoints.model("m", MODE="never")
    endpoints.config("m", one="m")
    endpoints.create("m", "m")
    endpoints.delete("m")
    endpoints.call("DeleteModel", ModelName="m")
    endpoints.call("DeleteEndpointConfig", EndpointConfigName="m")
    assert endpoints.quickly("m")["EndpointStatus"] == "InService"  # its name is free again


def test_a_server_that_starts_again_adopts_its_instances(tmp_path):
    home, images = tmp_path / "home", ServingImages(tmp_path)
    with running(home, images=images) as platform:
        endpoints = Endpoints(platform)
        endpoints.quickly("m")
        before = json.loads(endpoints.invoke("m", b"who")["Body"])
    with running(home, images=images) as platform:
        endpoints = Endpoints(platform)
        assert json.loads(endpoints.invoke("m", b"who")["Body"]) == before
        with pytest.raises(AwsError):
            endpoints.invoke("m", b"die")  # it is watched, too
        platform.until(lambda: current(endpoints, "m") == 0)
        platform.until(lambda: current(endpoints, "m") == 1)
        platform.until(lambda: endpoints.log("m").count("serve [] ") == 2)
        endpoints.delete("m")


@pytest.mark.parametrize("first", [1, 5])
def test_a_kill_at_each_seam(tmp_path, first):
    done = subprocess.run(
        [sys.executable, "-m", "support.hosting_kills", str(tmp_path), str(first), "8"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    outcomes = json.loads(done.stdout)
    assert len(outcomes) > 3
    for found in outcomes:
        assert found["done"] == 0, done.stderr[-4000:]
        assert found["left"] == []
    assert not outcomes[-1]["died"]
