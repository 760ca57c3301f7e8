"""What tests of Studio need of its server, and the browser that they are in."""

import shutil
import subprocess
import sys
from contextlib import contextmanager

import pytest

FLAGS = ["--no-sandbox", "--headless", "--disable-gpu", "--disable-background-networking", "--no-first-run"]


def sign_in_link(server):
    command = [sys.executable, "-m", "modelwright", "studio", "--home", str(server.settings.home)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, env=server.environ)
    return found.stdout.strip()


@contextmanager
def chromium():
    """A browser. Skips, with the reason, where playwright or Chromium is missing."""
    api = pytest.importorskip("playwright.sync_api", reason="playwright is missing: scripts/test installs it")
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("Chromium is missing: apt-get install chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()
