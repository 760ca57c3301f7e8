"""Kill -9 at random moments and at every seam: everything ends, nothing is lost, each job runs exactly once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.platform import Platform, running

TESTS = Path(__file__).parent.parent


def run(home, *arguments):
    done = subprocess.run(
        [sys.executable, "-m", "support.kills", str(home), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS), *sys.path])},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout)


def check(found, executions):
    each = dict.fromkeys(("A", "B", "Eval", "Gate", "Register"), "Succeeded")
    assert found["executions"] == ["Succeeded"] * executions, found
    assert found["steps"] == [each] * executions
    assert found["jobs"] == ["Completed"] * 3 * executions
    assert found["lines"] == [["begin", "end"]] * 3 * executions, "each job ran once, each line was shipped once"
    assert found["packages"] == executions


def test_at_random_moments(tmp_path):
    found = run(tmp_path / "home", "random")
    check(found, 6)
    assert found["kills"] > 3


@pytest.mark.parametrize("first", [1, 2, 3])
def test_at_each_seam(tmp_path, first):
    outcomes = run(tmp_path, "seams", first, 3)
    assert len(outcomes) > 15
    for found in outcomes:
        check(found, 1)
    assert not outcomes[-1]["died"]


def test_a_training_goes_on_while_the_server_is_away_and_is_adopted(tmp_path):
    home = tmp_path / "home"
    with running(home) as platform:
        platform.bucket()
        platform.train("one", "echo begin; sleep 1; echo end; echo m > /opt/ml/model/m")
        platform.until(lambda: platform.log("/aws/sagemaker/TrainingJobs", "one"))
        begun = platform.training("one")
    away = Platform(home)
    handle = next(folder for folder in away.settings.jobs.iterdir() if folder.suffix != ".work")
    away.until((handle / "exit").exists)
    assert away.training("one") == begun, "nobody looks after it"
    away.close()
    with running(home) as platform:
        job = platform.trained("one")
        assert job["TrainingJobStatus"] == "Completed"
        assert job["TrainingStartTime"] == begun["TrainingStartTime"]
        assert platform.log("/aws/sagemaker/TrainingJobs", "one") == ["begin", "end"]


def test_a_stop_while_the_server_is_away(tmp_path):
    home = tmp_path / "home"
    with running(home, grace=5) as platform:
        platform.bucket()
        platform.train("one", "echo begin; exec sleep 100")
        platform.until(lambda: platform.log("/aws/sagemaker/TrainingJobs", "one"))
        arn = platform.run_pipeline("p", {"Name": "A", "Type": "Training", "Arguments": _sleeping()})
        platform.until(lambda: platform.steps(arn).get("A", {}).get("StepStatus") == "Executing")
    away = Platform(home)
    away.call("StopTrainingJob", TrainingJobName="one")
    away.call("StopPipelineExecution", PipelineExecutionArn=arn, ClientRequestToken="s" * 32)
    away.close()
    with running(home, grace=5) as platform:
        assert platform.trained("one")["TrainingJobStatus"] == "Stopped"
        assert platform.executed(arn)["PipelineExecutionStatus"] == "Stopped"


def test_a_lost_job_fails_and_is_not_run_again(tmp_path):
    home = tmp_path / "home"
    with running(home) as platform:
        platform.bucket()
        platform.train("one", "echo begin; exec sleep 100")
        platform.until(lambda: platform.log("/aws/sagemaker/TrainingJobs", "one"))
        handle = next(folder for folder in platform.settings.jobs.iterdir() if folder.suffix != ".work")
        os.kill(int((handle / "started").read_text()), 9)
        job = platform.trained("one")
    assert job["TrainingJobStatus"] == "Failed"
    assert job["FailureReason"].startswith("InternalServerError: ")


def _sleeping():
    from support.platform import training

    return training("exec sleep 100")
