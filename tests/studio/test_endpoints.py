"""An endpoint in a real browser: a photo is sent, what was found is drawn on it; the weights change; it is deleted."""

import struct
import zlib

import pytest

from modelwright.images.library import LocalImages
from support.axe import problems_in_both_themes

ROLE = "arn:aws:iam::111122223333:role/ModelwrightExecutionRole"
SERVE = """
import json, os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FOUND = {"image": {"width": 200, "height": 100}, "predictions": [{
    "confidence": 0.875, "box": [20, 10, 120, 90], "keypoints": [
        {"name": "left_shoulder", "x": 50, "y": 30, "confidence": 0.9},
        {"name": "right_shoulder", "x": 90, "y": 30, "confidence": 0.9}]}]}

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200, b"")
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers["Content-Type"] == "text/csv":
            return self.answer(415, b"send an image")
        self.answer(200, json.dumps(FOUND).encode())
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""


def png(width, height, colour):
    """A picture of one colour."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress((b"\0" + bytes(colour) * width) * height)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.fixture(scope="module")
def endpoint(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("serving")
    (folder / "serve.py").write_text(SERVE)
    (folder / "Dockerfile").write_text(
        'FROM python:3.11-slim\nCOPY serve.py /opt/serve.py\nENTRYPOINT ["python", "/opt/serve.py"]\n'
    )
    LocalImages(server.settings).build(folder, "studio-serving:latest", lambda line: None)
    sagemaker = server.client("sagemaker")
    sagemaker.create_model(
        ModelName="poses", PrimaryContainer={"Image": "studio-serving:latest"}, ExecutionRoleArn=ROLE
    )
    variant = {
        "VariantName": "AllTraffic", "ModelName": "poses", "InstanceType": "ml.m5.large", "InitialInstanceCount": 1,
    }  # fmt: skip
    sagemaker.create_endpoint_config(EndpointConfigName="poses", ProductionVariants=[variant])
    sagemaker.create_endpoint(EndpointName="poses", EndpointConfigName="poses")
    yield "poses"
    sagemaker.delete_endpoint(EndpointName="poses")


def test_a_photo_is_sent_and_what_was_found_is_drawn_on_it(page, server, endpoint, tmp_path):
    (tmp_path / "photo.png").write_bytes(png(200, 100, (10, 120, 200)))
    page.goto(f"{server.url}/studio/endpoints")
    page.get_by_role("link", name=endpoint).click()
    page.locator("#head .mark", has_text="In service").wait_for()
    page.get_by_role("link", name="Try it").click()
    page.get_by_label("File", exact=True).set_input_files(tmp_path / "photo.png")
    page.get_by_role("button", name="Send").click()
    page.get_by_role("img", name="1 boxes, 2 points").wait_for()
    photo = page.locator("#photo")
    photo.wait_for()
    pixel = photo.evaluate("canvas => [canvas.width, ...canvas.getContext('2d').getImageData(5, 5, 1, 1).data]")
    assert pixel == [200, 10, 120, 200, 255]
    assert page.locator("#answer pre").inner_text().count("left_shoulder") == 1

    assert problems_in_both_themes(page) == []

    # What the container refuses is told as it says it.
    page.get_by_label("Content type").fill("text/csv")
    page.get_by_role("button", name="Send").click()
    page.locator("#answer .notice", has_text="send an image").wait_for()


def test_the_number_of_instances_is_changed(page, server, endpoint):
    page.goto(f"{server.url}/studio/endpoints/{endpoint}")
    page.locator("#head .mark", has_text="In service").wait_for()
    page.get_by_label("Instances: AllTraffic").fill("2")
    page.get_by_role("button", name="Update weights and instances").click()
    page.locator("#variants .mark", has_text="2/2").wait_for()
    page.get_by_role("link", name="Logs").click()
    page.get_by_label("Instance").wait_for()
    assert problems_in_both_themes(page) == []
    page.get_by_role("link", name="Variants").click()
    page.locator("#variants").wait_for()
    assert problems_in_both_themes(page) == []


def test_metrics_and_logs_come_live(page, server, endpoint):
    runtime = server.client("sagemaker-runtime")
    page.goto(f"{server.url}/studio/endpoints/{endpoint}?tab=metrics")
    invocations = page.locator("figure", has_text="Invocations").locator(".legend .number")
    before = invocations.inner_text()
    runtime.invoke_endpoint(EndpointName=endpoint, Body=b"x", ContentType="image/png")
    page.wait_for_function(
        "before => document.querySelector('#metrics .legend .number').innerText !== before", arg=before
    )
    page.locator("svg[aria-label^='Model latency: p50']").wait_for()
    page.get_by_role("link", name="1 week").click()
    page.locator("a[aria-current=true]", has_text="1 week").wait_for()
    page.locator("svg[aria-label^='Invocations: AllTraffic']").wait_for()
    assert problems_in_both_themes(page) == []

    # The container's server writes a line for each request.
    page.get_by_role("link", name="Logs").click()
    lines = page.locator("#log > div", has_text="POST /invocations")
    page.locator("#log").wait_for()
    seen = lines.count()
    for _ in range(20):  # there may be two instances, and the page shows one's log
        runtime.invoke_endpoint(EndpointName=endpoint, Body=b"x", ContentType="image/png")
    lines.nth(seen).wait_for()
