"""A real browser on the real server. Skipped, with the reason, where playwright or Chromium is missing."""

import re

import pytest

from modelwright.images.library import LocalImages
from support.server import serving
from support.studio import chromium as launched
from support.studio import sign_in_link

IMAGE = "studio-tests:latest"


@pytest.fixture(scope="session")
def chromium():
    with launched() as browser:
        yield browser


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    (folder / "Dockerfile").write_text("FROM python:3.11-slim\n")
    with serving(tmp_path_factory.mktemp("studio") / "home") as running:
        LocalImages(running.settings).build(folder, IMAGE, lambda line: None)
        yield running


@pytest.fixture
def visitor(chromium, server):
    """A page nobody has signed in to, which may say nothing to the console and ask nobody else for anything."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, locale="en-US", timezone_id="Asia/Seoul")
    page = context.new_page()
    page.set_default_timeout(30_000)
    complaints, strangers = [], []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda asked: None if asked.url.startswith(server.url) else strangers.append(asked.url))
    yield page
    context.close()
    # The browser itself reports a server that restarts and a form that comes back.
    expected = re.compile(r"ERR_(CONNECTION|INCOMPLETE|EMPTY|NETWORK)|status of 400")
    assert [text for text in complaints if not expected.search(text)] == []
    assert strangers == []


@pytest.fixture
def page(visitor, server):
    visitor.goto(sign_in_link(server))
    visitor.wait_for_url("**/studio/")
    return visitor
