"""Kill -9 of a server at every seam of a deployment: it goes on, nothing is begun twice, production waits."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent.parent

ONCE = ["build S3", "stack staging", "build NO_ARTIFACTS", "approved", "stack prod"]
ACTIONS = [
    "Build/Compile Succeeded",
    "Prod/Put Succeeded",
    "Source/Get Succeeded",
    "Staging/Approve Succeeded",
    "Staging/Put Succeeded",
    "Staging/Try Succeeded",
]


@pytest.mark.parametrize("first", [1, 2])
def test_at_each_seam(tmp_path, first):
    done = subprocess.run(
        [sys.executable, "-m", "support.release_kills", str(tmp_path), str(first), "2"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(TESTS), os.environ.get("PYTHONPATH", "")))},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    outcomes = json.loads(done.stdout)
    assert len(outcomes) > 15
    for found in outcomes:
        assert found["done"] == 0, found
        assert found["executions"] == ["Succeeded"], found
        assert found["actions"] == ACTIONS, found
        # The person may have been killed before its answer arrived: it gives it again, before production is touched.
        log = found["log"]
        assert log.index("approved") < log.index("stack prod"), found
        assert [line for i, line in enumerate(log) if line not in log[:i]] == ONCE, found
        assert all(log.count(line) == 1 for line in ONCE if line != "approved"), found
    assert not outcomes[-1]["died"]
