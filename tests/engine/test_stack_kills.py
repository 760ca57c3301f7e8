"""Kill -9 of a server at the seams of creating, updating, rolling back and deleting a stack: it goes on."""

import json
import os
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent.parent
STEP = "29"
"""Every so many seams, of some 250; the program takes any."""

BUCKET = {"buckets": ["bucket"], "Model": 1, "Role": 2}
EXPECTED = {
    "create": {"status": "CREATE_COMPLETE", "groups": {"/a": 1, "/gone": None}, "tags": {"a": "1"},
               "exports": ["role"], "ModelPackageGroup": 0, **BUCKET},
    "update": {"status": "UPDATE_COMPLETE", "groups": {"/a": 3}, "tags": {"a": "2"}, "exports": [],
               "ModelPackageGroup": 1, **BUCKET},
    "bad": {"status": "UPDATE_ROLLBACK_COMPLETE", "groups": {"/a": 3}, "tags": {"a": "2"}, "exports": [],
            "ModelPackageGroup": 1, **BUCKET},
    "change": {"status": "UPDATE_COMPLETE", "groups": {"/a": 7}, "tags": {"a": "2"}, "exports": [],
               "ModelPackageGroup": 1, **BUCKET},
    "delete": {"status": "DELETE_COMPLETE", "groups": {}, "tags": None, "exports": [], "ModelPackageGroup": 0,
               "buckets": [], "Model": 0, "Role": 1},
}  # fmt: skip


def killed(program, *arguments):
    """What the program prints."""
    done = subprocess.run(
        [sys.executable, "-m", program, *arguments],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(TESTS), os.environ.get("PYTHONPATH", "")))},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def test_at_each_seam(tmp_path):
    outcomes = killed("support.stack_kills", str(tmp_path), "3", STEP)
    assert len(outcomes) > 5
    for found in outcomes:
        assert found["done"] == 0, found
        assert found["stages"] == EXPECTED, found
        assert found["twice"] == [], found
    assert not outcomes[-1]["died"]


def test_an_endpoint_is_asked_for_once(tmp_path):
    """Also for an update that it takes back by itself: the next server does not ask for it again."""
    for found in killed("support.endpoint_stack_kills", str(tmp_path), "60", "130", "142"):
        assert found["done"] == 0, found
        assert found["stages"] == {
            "create": ["CREATE_COMPLETE", [1, 1, 1]],
            "update": ["UPDATE_COMPLETE", [1, 1, 1]],
            "crash": ["UPDATE_ROLLBACK_COMPLETE", [1, 1, 1]],
            "delete": ["DELETE_COMPLETE", [0, 0, 0]],
        }, found
        assert len(found["calls"]) == len(set(found["calls"])) <= 3, found
