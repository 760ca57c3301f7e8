import io
import json
import signal
import subprocess
import tarfile

import pytest

SHOW = "import json, os, sys; print(json.dumps({'argv': sys.argv, 'cwd': os.getcwd(), 'env': dict(os.environ)}))\n"


def archive(path, **files):
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name.replace("__", "."))
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return path


def seen(result):
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


@pytest.fixture
def code(job, tmp_path):
    """`code(train__py=...)`: the hyperparameters for that code."""

    def code(program="train.py", **files):
        location = archive(tmp_path / "sourcedir.tar.gz", **files)
        return {"sagemaker_program": json.dumps(program), "sagemaker_submit_directory": json.dumps(str(location))}

    return code


def test_arguments_and_environment(job, code):
    job.configure("inputdataconfig", {"training": {"TrainingInputMode": "File"}, "val-data": {}})
    job.configure(
        "resourceconfig", {"current_host": "algo-1", "hosts": ["algo-1"], "current_instance_type": "ml.m5.large"}
    )
    own = {
        "epochs": "3",
        "lr": "0.5",
        "name": '"a b"',
        "raw": "s3://b/k",
        "none": "null",
        "x": "1",
        "m": '{"b":1,"a":2}',
    }
    found = seen(job.train({**code(train__py=SHOW), **own, "sagemaker_job_name": '"j"'}))
    assert found["argv"] == [
        *("train.py", "--epochs", "3", "--lr", "0.5", "-m", "a=2,b=1", "--name", "a b"),
        *("--none", "", "--raw", "s3://b/k", "-x", "1"),
    ]
    assert found["cwd"] == str(job.base / "code")
    environment = found["env"]
    assert environment["SM_MODEL_DIR"] == str(job.base / "model")
    assert environment["SM_OUTPUT_DATA_DIR"] == str(job.base / "output/data")
    assert environment["SM_CHANNEL_TRAINING"] == str(job.base / "input/data/training")
    assert environment["SM_CHANNEL_VAL-DATA"] == str(job.base / "input/data/val-data")
    assert environment["SM_CHANNELS"] == '["training","val-data"]'
    assert (environment["SM_HP_EPOCHS"], environment["SM_HP_NAME"], environment["SM_HP_NONE"]) == ("3", "a b", "")
    assert json.loads(environment["SM_HPS"])["lr"] == 0.5
    assert json.loads(environment["SM_USER_ARGS"]) == found["argv"][1:]
    assert json.loads(environment["SM_TRAINING_ENV"])["hyperparameters"]["epochs"] == 3
    assert environment["SM_CURRENT_HOST"] == "algo-1"
    assert environment["SM_HOSTS"] == '["algo-1"]'
    assert int(environment["SM_NUM_CPUS"]) >= 1
    assert environment["SM_NUM_GPUS"] == "0" or int(environment["SM_NUM_GPUS"])
    assert environment["SM_MODULE_NAME"] == "train"
    assert "sagemaker_job_name" not in environment["SM_HPS"]


def test_values_that_a_pipeline_filled_in_are_raw(job, tmp_path):
    location = archive(tmp_path / "code.tar.gz", train__py=SHOW)
    found = seen(job.train({"sagemaker_program": "train.py", "sagemaker_submit_directory": str(location)}))
    assert found["argv"] == ["train.py"]


def test_code_of_the_image(job):
    job.write("code/main.py", SHOW)
    assert seen(job.train(SAGEMAKER_PROGRAM="main.py"))["argv"] == ["main.py"]


def test_a_shell_script_without_a_first_line(job, code):
    """The one that the SDK's repack step brings: an empty line, then `#!`."""
    script = '\n#!/bin/bash\nvalue="${SM_HP_MODEL_ARCHIVE}"\necho "got ${value} $2"; touch requirements-ran\n'
    parameters = {
        **code("go.sh", go__sh=script, requirements__txt="no-such-package\n"),
        "model_archive": "s3://b/m.tar.gz",
    }
    result = job.train(parameters)
    assert result.returncode == 0, result.stderr
    assert "got s3://b/m.tar.gz s3://b/m.tar.gz" in result.stdout
    assert (job.base / "code/requirements-ran").exists(), "a shell script's requirements are its own business"


def test_a_module_of_the_users_beside_the_script(job, code):
    result = job.train(code(train__py="import helper\n", helper__py="print('helped')\n"))
    assert "helped" in result.stdout


def test_the_exit_code_and_the_failure_file(job, code):
    script = "import sys\nprint('to the log')\nprint('what went wrong', file=sys.stderr)\nsys.exit(7)\n"
    result = job.train({**code(train__py=script), "a": "1"})
    assert result.returncode == 7
    assert "what went wrong" in result.stderr
    assert job.failure.startswith('ExecuteUserScriptError:\nExitCode 7\nErrorMessage "what went wrong"\nCommand "')
    assert job.failure.endswith('train.py -a 1"')


def test_the_scripts_own_failure_file_stays(job, code):
    script = f"open({str(job.base / 'output/failure')!r}, 'w').write('mine')\nraise SystemExit(1)\n"
    assert job.train(code(train__py=script)).returncode == 1
    assert job.failure == "mine"


def test_a_script_that_is_killed(job, code):
    result = job.train(code(train__py="import os; os.kill(os.getpid(), 9)\n"))
    assert result.returncode == 137


def test_a_stop_reaches_the_script(job, code):
    script = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: (print('saved', flush=True), sys.exit(0)))\n"
        "print('running', flush=True)\n"
        "while True: signal.pause()\n"
    )
    job.configure("hyperparameters", code(train__py=script))
    with subprocess.Popen(job.command("train"), env=job.environment(), stdout=subprocess.PIPE, text=True) as process:
        assert any(line == "running\n" for line in iter(process.stdout.readline, ""))
        process.send_signal(signal.SIGTERM)
        assert process.stdout.read() == "saved\n"
        assert process.wait(30) == 0


@pytest.mark.parametrize(
    ("hyperparameters", "problem"),
    [
        ({}, "No sagemaker_program"),
        ({"sagemaker_program": "x.py"}, "there is no x.py in"),
        ({"sagemaker_program": "x.py", "sagemaker_submit_directory": "/nowhere"}, "there is no /nowhere"),
        ({"sagemaker_program": "x.py", "sagemaker_mpi_enabled": "true"}, "distributed training is not supported"),
    ],
)
def test_refusals_are_the_failure_reason(job, hyperparameters, problem):
    result = job.train(hyperparameters)
    assert result.returncode == 1
    assert problem in job.failure
    assert "Traceback" not in result.stderr


def test_an_archive_cant_write_elsewhere(job, tmp_path):
    location = tmp_path / "evil.tar.gz"
    with tarfile.open(location, "w:gz") as tar:
        member = tarfile.TarInfo("../../escaped")
        tar.addfile(member, io.BytesIO())
    job.train({"sagemaker_program": "x.py", "sagemaker_submit_directory": str(location)})
    assert not list(tmp_path.rglob("escaped"))
    assert "escaped" in job.failure
