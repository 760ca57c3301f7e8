"""A deployment in a real browser: what waits is found at home, reviewed, and turns green without a reload."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from support.codepipelines import action, archive, pipeline, stage
from support.doors import ROLE

IMAGE = "studio-tests:latest"

QUESTION = {"CustomData": "Look at #{SourceVariables.ObjectKey}", "ExternalEntityLink": "https://example.com/x"}
NAME = "pose-deploy"


def create(server):
    s3 = server.client("s3")
    s3.create_bucket(Bucket="sources")
    s3.put_object(Bucket="sources", Key="source.zip", Body=archive(hello="world"))
    configuration = {"S3Bucket": "sources", "S3ObjectKey": "source.zip", "PollForSourceChanges": "false"}
    source = action("Get", "Source", outputs=["Code"], configuration=configuration, namespace="SourceVariables")
    made = pipeline(
        stage("Source", source), stage("Approve", action("Ask", "Approval", configuration=QUESTION)), name=NAME
    )
    made["artifactStore"] = {"type": "S3", "location": "sources"}
    server.client("codepipeline").create_pipeline(pipeline=made)


def test_what_waits_is_reviewed(server, page):
    create(server)
    page.get_by_role("link", name=NAME).first.wait_for()  # it comes to the page at home by itself
    page.get_by_role("link", name="Deployments").click()
    page.wait_for_url("**/studio/deployments")
    page.get_by_role("link", name=NAME, exact=True).click()
    page.get_by_text("Look at source.zip").wait_for()
    page.get_by_text("Review", exact=True).click()
    page.get_by_label("Comment").fill("looks right")
    page.get_by_role("button", name="Approve").click()
    page.locator("#executions").get_by_text("Succeeded").wait_for()
    page.get_by_text("looks right").wait_for()
    page.get_by_role("link", name="Projects").click()
    page.get_by_role("link", name="Create project").first.wait_for()
    page.get_by_role("link", name="Create project").first.click()
    page.get_by_role("button", name="Create project").wait_for()


SPEC = """
version: 0.2
phases:
  build:
    commands:
      - echo the first line
      - python -c "import urllib.request; urllib.request.urlopen('{url}')"
      - echo the second line
"""


@pytest.fixture
def gate():
    """(address, event): who asks there is answered when the event is set."""
    opened = threading.Event()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            opened.wait(120)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", opened
        opened.set()
        server.shutdown()
        thread.join()


def test_a_build_s_log_grows_while_it_is_looked_at(server, page, gate):
    url, opened = gate
    s3 = server.client("s3")
    s3.create_bucket(Bucket="builds")
    source = archive(**{"buildspec.yml": SPEC.format(url=url)})
    s3.put_object(Bucket="builds", Key="source.zip", Body=source)
    server.client("codebuild").create_project(
        name="watched",
        source={"type": "CODEPIPELINE"},
        artifacts={"type": "CODEPIPELINE"},
        environment={"type": "LINUX_CONTAINER", "image": IMAGE, "computeType": "BUILD_GENERAL1_SMALL"},
        serviceRole=ROLE,
    )
    configuration = {"S3Bucket": "builds", "S3ObjectKey": "source.zip", "PollForSourceChanges": "false"}
    made = pipeline(
        stage("Source", action("Get", "Source", outputs=["Code"], configuration=configuration)),
        stage("Build", action("Compile", "Build", inputs=["Code"], configuration={"ProjectName": "watched"})),
        name="watched-build",
    )
    made["artifactStore"] = {"type": "S3", "location": "builds"}
    server.client("codepipeline").create_pipeline(pipeline=made)
    page.goto(f"{server.url}/studio/deployments/watched-build")
    page.get_by_role("link", name="Build log").click()
    page.locator("#build-log").get_by_text("the first line", exact=True).wait_for()
    page.locator("#live-state:not(.off)", has_text="Live").wait_for()
    loaded = page.evaluate("performance.timeOrigin")
    opened.set()
    page.locator("#build-log").get_by_text("the second line", exact=True).wait_for()
    page.locator("#deployed .mark", has_text="Succeeded").wait_for()
    assert page.evaluate("performance.timeOrigin") == loaded
