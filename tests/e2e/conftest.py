"""The workshop, run by its own command on a home of its own. Needs the SDK's environment (`scripts/test` makes it)."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SDK = ROOT / ".venvs" / "sdk2" / "bin" / "python"


@pytest.fixture(scope="session")
def home(tmp_path_factory):
    if not SDK.exists():
        pytest.skip("the SDK's environment is missing: scripts/install all")
    home = tmp_path_factory.mktemp("home")
    yield home
    modelwright("down", "--endpoints", home=home)


@pytest.fixture(scope="session")
def demo(home):
    """Runs `modelwright demo` and returns what it found, as JSON."""

    def run(*options):
        done = modelwright("demo", "--python", str(SDK), "--json", *options, home=home)
        assert done.returncode == 0, done.stderr[-8000:]
        return json.loads(done.stdout)

    return run


@pytest.fixture(scope="session")
def good(demo):
    """The workshop as `scripts/demo` runs it, to the production endpoint."""
    return demo()


def notebook(name, target, home, **parameters):
    """Run one of the example's notebooks by the SDK's Python; what it printed is in `target`."""
    source = ROOT / "examples" / "pose-yolov8" / name
    return modelwright("run", "--python", str(SDK), "--output", str(target), str(source), home=home, **parameters)


def modelwright(*arguments, home, **parameters):
    """The command as a user types it: nothing of the test's own AWS settings."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "MODELWRIGHT_"))}
    return subprocess.run(
        [sys.executable, "-m", "modelwright", *arguments],
        check=False,
        capture_output=True,
        text=True,
        env=environment | {"MODELWRIGHT_HOME": str(home)} | parameters,
    )
