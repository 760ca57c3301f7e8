"""Models of several containers: one after the other, or one by its name."""

import json

import pytest

from modelwright.errors import AwsError, ConfigurationError
from modelwright.runtimes.base import Running
from modelwright.store import logs
from support.hosting import Endpoints, ServingImages
from support.platform import running


@pytest.fixture
def endpoints(tmp_path):
    with running(tmp_path / "home", images=ServingImages(tmp_path), ping_interval=0.2) as platform:
        endpoints = Endpoints(platform)
        yield endpoints
        for summary in platform.call("ListEndpoints", MaxResults=100)["Endpoints"]:
            endpoints.delete(summary["EndpointName"])


def deployed(endpoints, name, *containers, **more):
    endpoints.several(name, *containers, **more)
    endpoints.config(name, one=name)
    endpoints.create(name, name)
    return endpoints.settled(name)


def streams(endpoints, name):
    """The last parts of the names of its log streams, as far as anything was said."""
    with endpoints.platform.database.read() as transaction:
        found = logs.list_streams(transaction, f"/aws/sagemaker/Endpoints/{name}")
    return sorted(stream.name.rpartition("/")[2] for stream in found)


def test_it_works(endpoints):
    found = deployed(endpoints, "p", ("", {"APPEND": "a"}), ("", {"APPEND": "b"}), ("", {"APPEND": "c"}))
    assert found["EndpointStatus"] == "InService", found
    assert len(found["ProductionVariants"][0]["DeployedImages"]) == 3
    answer = endpoints.invoke("p", b"x", ContentType="text/x", Accept="text/last", CustomAttributes="k=1")
    assert answer["Body"] == b"x a(text/x */*) b(text/a */*) c(text/b text/last)"
    assert (answer["ContentType"], answer["CustomAttributes"]) == ("text/c", "k=1")
    with pytest.raises(AwsError, match="leave TargetContainerHostname out") as error:
        endpoints.invoke("p", TargetContainerHostname="container-1")
    assert error.value.code == "ValidationError"
    endpoints.platform.until(lambda: streams(endpoints, "p") == ["container-1", "container-2", "container-3"])
    endpoints.delete("p")
    assert not list(endpoints.platform.settings.jobs.glob("*.replica"))


def test_an_error_names_its_container(endpoints):
    deployed(endpoints, "p", ("first", {}), ("second", {"MODE": "sour"}), ("third", {"APPEND": "never"}))
    with pytest.raises(AwsError, match=r'Received server error \(500\) from second with message "sour"') as error:
        endpoints.invoke("p")
    assert (error.value.code, error.value.members["OriginalStatusCode"]) == ("ModelError", 500)
    with pytest.raises(AwsError, match=r"Received client error \(418\) from first"):
        endpoints.invoke("p", b"teapot")


def test_one_that_dies_takes_the_others_along_and_all_are_started_again(endpoints):
    deployed(endpoints, "p", ("first", {"APPEND": "1"}), ("second", {"MODE": "echo-who"}))
    before = json.loads(endpoints.invoke("p")["Body"])
    with pytest.raises(AwsError, match=r"from first"):
        endpoints.invoke("p", b"die")
    endpoints.platform.until(lambda: sum(line.startswith("serve [] ") for line in endpoints.log("p")) == 4)
    endpoints.platform.until(lambda: endpoints.describe("p")["ProductionVariants"][0]["CurrentInstanceCount"] == 1)
    assert json.loads(endpoints.invoke("p")["Body"]) != before
    assert any("The container first has ended: exit code 9" in line for line in endpoints.log("p"))


def test_one_that_is_never_healthy_fails_the_endpoint(endpoints):
    found = deployed(endpoints, "p", ("good", {}), ("bad", {"MODE": "crash"}))
    assert found["EndpointStatus"] == "Failed"
    assert "The bad container for production variant one did not pass the ping" in found["FailureReason"]
    assert "there is no such weight" in found["FailureReason"]


def test_direct_invocation(endpoints):
    deployed(endpoints, "d", ("one", {"APPEND": "1"}), ("two", {"APPEND": "2"}), mode="Direct")
    answer = endpoints.invoke("d", b"x", ContentType="text/x", TargetContainerHostname="two")
    assert answer["Body"] == b"x 2(text/x */*)"
    with pytest.raises(AwsError, match="name one by TargetContainerHostname, of one, two"):
        endpoints.invoke("d")
    with pytest.raises(AwsError, match="no container 'three'"):
        endpoints.invoke("d", TargetContainerHostname="three")
    with pytest.raises(AwsError, match=r"from one with"):
        endpoints.invoke("d", b"teapot", TargetContainerHostname="one")


def test_a_server_that_starts_again_adopts_them(tmp_path):
    home, images = tmp_path / "home", ServingImages(tmp_path)
    with running(home, images=images) as platform:
        endpoints = Endpoints(platform)
        deployed(endpoints, "p", ("first", {}), ("second", {"MODE": "echo-who"}))
        before = endpoints.invoke("p")["Body"]
    with running(home, images=images) as platform:
        endpoints = Endpoints(platform)
        assert endpoints.invoke("p")["Body"] == before
        endpoints.delete("p")
        assert not list(platform.settings.jobs.glob("*.replica"))


def test_what_was_started_of_one_that_cant_be_started_is_stopped(endpoints, monkeypatch):
    runtime, started = endpoints.platform.runtime, []
    start = runtime.start

    def only_the_first(spec):
        if len(spec.name.split(".")) > 5:
            raise ConfigurationError("there is no room for a second one")
        started.append(start(spec))
        return started[-1]

    monkeypatch.setattr(runtime, "start", only_the_first)
    found = deployed(endpoints, "p", ("first", {}), ("second", {}))
    assert found["EndpointStatus"] == "Failed"
    assert "there is no room for a second one" in found["FailureReason"]
    assert len(started) == 3
    endpoints.platform.until(lambda: not any(isinstance(runtime.poll(handle), Running) for handle in started))
