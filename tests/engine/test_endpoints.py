"""Endpoints that really serve: from a model to an answer, and all that may go wrong between."""

import json

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
        with platform.database.read():
            pass
        for summary in platform.call("ListEndpoints", MaxResults=100)["Endpoints"]:
            endpoints.delete(summary["EndpointName"])


def test_it_works(endpoints):
    found = endpoints.quickly("m")
    assert found["EndpointStatus"] == "InService", found
    answer = endpoints.invoke("m", b"hello", ContentType="text/x", CustomAttributes="c=1")
    assert answer == {
        "Body": b"hello",
        "ContentType": "text/x",
        "CustomAttributes": "c=1",
        "InvokedProductionVariant": "one",
    }
    (variant,) = found["ProductionVariants"]
    assert (variant["CurrentInstanceCount"], variant["DesiredInstanceCount"]) == (1, 1)
    assert variant["DeployedImages"][0]["SpecifiedImage"] == "server"
    with pytest.raises(AwsError, match="short and stout") as refused:
        endpoints.invoke("m", b"teapot")
    assert (refused.value.code, refused.value.status) == ("ModelError", 424)
    assert refused.value.members["OriginalStatusCode"] == 418
    endpoints.delete("m")
    with pytest.raises(AwsError, match="not found") as gone:
        endpoints.invoke("m")
    assert gone.value.code == "ValidationError"
    assert json.loads(b"[]") == []
