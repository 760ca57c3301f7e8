"""The workshop's clean-up: the third notebook. By its name the last of all: it ends what the other tests look at."""

import json

import pytest

from e2e.conftest import modelwright, notebook

pytestmark = pytest.mark.timeout(900)


def test_the_third_notebook_cleans_up(good, home, tmp_path):
    for number in range(2):  # and again: nothing there is fine, too
        executed = tmp_path / f"{number}.ipynb"
        done = notebook("clean-up.ipynb", executed, home, POSE_DELETE_DATA="yes")
        assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(modelwright("endpoints", "list", "--json", home=home).stdout) == []
    assert json.loads(modelwright("models", "list", "--json", home=home).stdout) == []
    assert json.loads(modelwright("projects", "list", "--json", home=home).stdout) == []
    assert json.loads(modelwright("pipelines", "list", "--json", home=home).stdout) == []
