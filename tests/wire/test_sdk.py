"""The official SageMaker SDKs, v2 and v3, by environment alone: both call STS by its full host name.

They are large, so they live in virtual environments of their own; where one is missing its tests are skipped.
"""

import subprocess

import pytest

from support.sdk import VENVS, python

ROLE = "arn:aws:iam::111122223333:role/ModelwrightExecutionRole"
BUCKET = "sagemaker-eu-west-1-111122223333"

V2 = """
import sagemaker
session = sagemaker.Session()
"""

V3 = """
from sagemaker.core.helper.session_helper import Session, get_execution_role
session = Session()
"""


def test_v2_finds_bucket_and_role(server):
    lines = python(server, "sdk2", V2 + """
say(session.default_bucket())
say(session.account_id())
say(sagemaker.get_execution_role())
say(session.upload_string_as_file_body("hello", session.default_bucket(), "a/b.txt"))
say(session.read_s3_file(session.default_bucket(), "a/b.txt"))
""")  # fmt: skip
    assert lines == [BUCKET, "111122223333", ROLE, f"s3://{BUCKET}/a/b.txt", "hello"]


def test_v2_sends_no_telemetry(server):
    lines = python(server, "sdk2", V2 + """
from sagemaker.config import load_sagemaker_config
say(load_sagemaker_config()["SageMaker"]["PythonSDK"]["Modules"]["TelemetryOptOut"])
""")  # fmt: skip
    assert lines == ["True"]


def test_v2_telemetry_would_end_here(server):
    """Where the user's own configuration turns it on again it gets a quick no, and the caller doesn't notice."""
    lines = python(server, "sdk2", """
import time, requests
begin = time.monotonic()
answer = requests.get("https://sm-pysdk-t-eu-west-1.s3.eu-west-1.amazonaws.com/telemetry?x-accountId=1", 2)
say(400 <= answer.status_code < 500, time.monotonic() - begin < 2)
""")  # fmt: skip
    assert lines == ["True True"]


def test_v3_finds_bucket_and_role(server):
    lines = python(server, "sdk3", V3 + """
say(session.default_bucket())
say(session.account_id())
say(get_execution_role())
""")  # fmt: skip
    assert lines == [BUCKET, "111122223333", ROLE]


def test_v3_trainer_accepts_the_role(server):
    lines = python(server, "sdk3", V3 + """
from sagemaker.train import ModelTrainer
trainer = ModelTrainer(training_image="111122223333.dkr.ecr.eu-west-1.amazonaws.com/pose:1", base_job_name="pose")
say(trainer.role)
""")  # fmt: skip
    assert lines == [ROLE]


def test_the_command_line_of_aws(server, tmp_path):
    aws = VENVS / "sdk2" / "bin" / "aws"
    if not aws.exists():
        pytest.skip(f"no AWS CLI in {aws.parents[1]}")
    environ = server.client_environ()

    def run(*command):
        done = subprocess.run([aws, *command], check=False, env=environ, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert run("sts", "get-caller-identity", "--query", "Account", "--output", "text") == "111122223333"
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "한글.txt").write_text("hello")
    run("s3", "mb", "s3://command-line")
    run("s3", "sync", str(tmp_path / "folder"), "s3://command-line/x")
    assert run("s3", "ls", "s3://command-line/x/").endswith("5 한글.txt")
    address = run("s3", "presign", "s3://command-line/x/한글.txt")
    done = subprocess.run(["curl", "-sS", address], check=True, env=environ, capture_output=True, text=True)
    assert done.stdout == "hello"
    run("s3", "rm", "--recursive", "s3://command-line/x")
