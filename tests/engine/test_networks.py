"""Endpoints and jobs with networks of their own, on a real runtime; and what becomes of them where there are none."""

import json

import pytest

from modelwright.runtimes import sandbox
from modelwright.runtimes.process import ProcessRuntime
from support.hosting import Endpoints, ServingImages
from support.platform import running

needs_networks = pytest.mark.skipif(bool(sandbox.network_problem("auto")), reason=sandbox.network_problem("auto"))


@pytest.fixture
def endpoints(tmp_path):
    with running(tmp_path / "home", images=ServingImages(tmp_path), ping_interval=0.2) as platform:
        endpoints = Endpoints(platform)
        yield endpoints
        for summary in platform.call("ListEndpoints", MaxResults=100)["Endpoints"]:
            endpoints.delete(summary["EndpointName"])


def name_of(endpoints, name):
    return json.loads(endpoints.invoke(name, b"who")["Body"])[0]


@needs_networks
def test_two_that_only_know_one_port(endpoints):
    endpoints.model("m", MODE="stubborn")
    endpoints.config("m", one=("m", 2, 1))
    endpoints.create("m", "m")
    assert endpoints.settled("m")["EndpointStatus"] == "InService"
    assert endpoints.quickly("n", MODE="stubborn")["EndpointStatus"] == "InService"
    assert (name_of(endpoints, "m"), name_of(endpoints, "n")) == ("m", "n")


@needs_networks
def test_a_server_that_starts_again_finds_them(tmp_path):
    home, images = tmp_path / "home", ServingImages(tmp_path)
    with running(home, images=images) as platform:
        endpoints = Endpoints(platform)
        endpoints.quickly("m", MODE="stubborn")
        before = endpoints.invoke("m", b"who")["Body"]
    with running(home, images=images, ping_interval=0.2) as platform:
        endpoints = Endpoints(platform)
        assert endpoints.invoke("m", b"who")["Body"] == before
        endpoints.invoke("m", b"freeze")  # it is pinged, too
        platform.until(lambda: any("stopped answering /ping" in line for line in endpoints.log("m")))
        endpoints.delete("m")


@needs_networks
def test_one_that_can_be_told_a_port_shares_the_machines_network(endpoints):
    endpoints.quickly("m", image="adaptable")
    with endpoints.platform.router._lock:
        (hop,) = endpoints.platform.router._routes["m"].variants[0].replicas[0].hops
    assert not hop.network
    assert hop.port != 8080
    assert name_of(endpoints, "m") == "m"


@needs_networks
@pytest.mark.parametrize("image", ["server", "adaptable"])
def test_isolation_leaves_no_network_and_no_credentials(endpoints, image):
    found = endpoints.quickly("m", image=image, isolated=True)
    assert found["EndpointStatus"] == "InService", found
    assert name_of(endpoints, "m") == "m"
    seen = json.loads(endpoints.invoke("m", b"environment")["Body"])
    assert "AWS_REGION" in seen
    assert not {name for name in seen if "KEY" in name or "ENDPOINT" in name or "PROXY" in name}
    assert endpoints.invoke("m", b"reach http://127.0.0.1:7070/")["Body"].startswith(b"no: ")


@needs_networks
@pytest.mark.parametrize(
    ("isolated", "said"), [(False, "by HTTPS_PROXY alone"), (True, "EnableNetworkIsolation leaves")]
)
def test_who_looks_for_something_outside_is_told(endpoints, isolated, said):
    found = endpoints.quickly("m", isolated=isolated, MODE="lookup")
    assert found["EndpointStatus"] == "Failed"
    assert said in found["FailureReason"], found["FailureReason"]


def test_without_networks_all_share_the_machines(tmp_path, monkeypatch):
    monkeypatch.setattr(ProcessRuntime, "network_problem", lambda self: "there are none here")
    with running(tmp_path / "home", images=ServingImages(tmp_path)) as platform:
        endpoints = Endpoints(platform)
        assert endpoints.quickly("m")["EndpointStatus"] == "InService"
        assert name_of(endpoints, "m") == "m"
        found = endpoints.quickly("i", isolated=True)
        assert found["EndpointStatus"] == "Failed"
        assert "can't be cut off: there are none here" in found["FailureReason"]
        for name in ("m", "i"):
            endpoints.delete(name)


@needs_networks
def test_jobs_in_isolation(tmp_path):
    script = """
        grep -q '"network_interface_name": *"lo"' /opt/ml/input/config/resourceconfig.json || exit 1
        [ "$(wc -l < /proc/net/route)" = 1 ] || exit 2  # a headline and no route
        [ -z "$AWS_ACCESS_KEY_ID$AWS_ENDPOINT_URL" ] || exit 3
        cat /opt/ml/input/data/training/* > /opt/ml/model/copy
    """
    with running(tmp_path / "home") as platform:
        platform.bucket(**{"in/a": b"1"})
        platform.train("t", script, channels={"training": "s3://bucket/in"}, EnableNetworkIsolation=True)
        job = platform.trained("t")
        assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
        assert job["EnableNetworkIsolation"] is True
        platform.process("p", '[ "$(wc -l < /proc/net/route)" = 1 ]', NetworkConfig={"EnableNetworkIsolation": True})
        assert platform.processed("p")["ProcessingJobStatus"] == "Completed"


def test_a_job_that_cant_be_isolated_fails_with_the_reason(tmp_path):
    with running(tmp_path / "home", sandbox="none") as platform:
        platform.bucket()
        platform.train("t", "true", EnableNetworkIsolation=True)
        job = platform.trained("t")
        assert job["TrainingJobStatus"] == "Failed"
        assert "can't have a network of its own on this machine" in job["FailureReason"]
