"""`aws s3`, unmodified, in the environment that `modelwright env` gives."""

import os
import shutil
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from support.server import TESTS

PLACES = (Path(sys.executable).parent / "aws", TESTS.parent / ".venvs" / "sdk2" / "bin" / "aws")


@pytest.fixture(scope="module")
def aws(server):
    """Run the AWS CLI; what it printed."""
    program = next((str(place) for place in PLACES if place.exists()), shutil.which("aws"))
    if program is None:
        pytest.skip("the AWS CLI is not installed (pip install awscli)")
    environ = server.client_environ()

    def run(*arguments, fails=False, cwd=None):
        done = subprocess.run(
            [program, *map(str, arguments)],
            check=False,
            env=environ,
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert (done.returncode != 0) == fails, done.stdout + done.stderr
        return done.stderr if fails else done.stdout

    return run


@pytest.fixture
def bucket(aws):
    name = f"cli-{uuid.uuid4().hex[:12]}"
    aws("s3", "mb", f"s3://{name}")
    return name


def test_the_life_of_a_bucket(aws):
    name = f"cli-{uuid.uuid4().hex[:12]}"
    assert aws("s3", "mb", f"s3://{name}").strip() == f"make_bucket: {name}"
    assert name in aws("s3", "ls")
    aws("s3", "rb", f"s3://{name}")
    assert name not in aws("s3", "ls")
    assert "NoSuchBucket" in aws("s3", "ls", f"s3://{name}", fails=True)


def test_copying_there_and_back(aws, bucket, tmp_path):
    big = tmp_path / "big file"
    big.write_bytes(os.urandom(1 << 20) * 20)
    aws("s3", "cp", big, f"s3://{bucket}/dir/")
    aws("s3", "cp", f"s3://{bucket}/dir/big file", f"s3://{bucket}/copy")
    aws("s3", "cp", f"s3://{bucket}/copy", tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == big.read_bytes()
    aws("s3", "mv", f"s3://{bucket}/copy", f"s3://{bucket}/moved")
    listed = aws("s3", "ls", f"s3://{bucket}", "--recursive")
    assert [line.split(maxsplit=3)[3] for line in listed.splitlines()] == ["dir/big file", "moved"]
    assert {line.split()[2] for line in listed.splitlines()} == {str(20 << 20)}
    assert "PRE dir/" in aws("s3", "ls", f"s3://{bucket}")


def test_sync_sends_what_changed_and_nothing_else(aws, bucket, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    for name in ("train/images/1.jpg", "train/labels/1.txt", "val/한국어 name.txt", "read me+%.md"):
        (here / name).parent.mkdir(parents=True, exist_ok=True)
        (here / name).write_text(name)
        os.utime(here / name, (0, 0))  # S3 tells whole seconds: a file of this second would look newer than its object
    assert aws("s3", "sync", here, f"s3://{bucket}/data", "--no-progress").count("upload:") == 4
    assert aws("s3", "sync", here, f"s3://{bucket}/data", "--no-progress") == ""
    (here / "train/labels/1.txt").write_text("changed, and longer than before")
    (here / "read me+%.md").unlink()
    said = aws("s3", "sync", here, f"s3://{bucket}/data", "--no-progress", "--delete")
    assert (said.count("upload:"), said.count("delete:")) == (1, 1)
    aws("s3", "sync", f"s3://{bucket}/data", there)
    assert tree(there) == tree(here)
    assert aws("s3", "sync", f"s3://{bucket}/data", there, "--no-progress") == ""
    aws("s3", "sync", f"s3://{bucket}/data/train", f"s3://{bucket}/copy")
    assert aws("s3", "ls", f"s3://{bucket}/copy/", "--recursive").count("\n") == 2


def test_removing(aws, bucket, tmp_path):
    for name in ("a", "b", "d/c"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    aws("s3", "cp", "--recursive", tmp_path, f"s3://{bucket}")
    aws("s3", "rm", f"s3://{bucket}/a")
    assert "BucketNotEmpty" in aws("s3", "rb", f"s3://{bucket}", fails=True)
    aws("s3", "rm", f"s3://{bucket}", "--recursive")
    assert aws("s3", "ls", f"s3://{bucket}") == ""
    aws("s3", "cp", "--recursive", tmp_path, f"s3://{bucket}")
    aws("s3", "rb", f"s3://{bucket}", "--force")


def test_presigned(aws, bucket, tmp_path):
    (tmp_path / "k").write_bytes(b"presigned")
    aws("s3", "cp", tmp_path / "k", f"s3://{bucket}/d/k")
    url = aws("s3", "presign", f"s3://{bucket}/d/k", "--expires-in", "60").strip()
    got = subprocess.run(
        [sys.executable, "-c", "import sys, urllib.request as r; print(r.urlopen(sys.argv[1]).read())", url],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
        timeout=60,
    )
    assert got.stdout.strip() == "b'presigned'", got.stderr


def test_streams(aws, bucket, tmp_path):
    (tmp_path / "k").write_bytes(b"from a file")
    aws("s3", "cp", tmp_path / "k", f"s3://{bucket}/k")
    assert aws("s3", "cp", f"s3://{bucket}/k", "-") == "from a file"


def test_s3api(aws, bucket, tmp_path):
    (tmp_path / "k").write_bytes(b"123456789")
    aws(
        "s3api",
        "put-object",
        "--bucket",
        bucket,
        "--key",
        "k",
        "--body",
        tmp_path / "k",
        "--checksum-algorithm",
        "SHA256",
    )
    head = aws("s3api", "head-object", "--bucket", bucket, "--key", "k", "--checksum-mode", "ENABLED")
    assert "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU=" in head
    assert "ap-south-1" not in aws("s3api", "get-bucket-location", "--bucket", bucket)
    assert "NoSuchKey" in aws("s3api", "get-object", "--bucket", bucket, "--key", "x", tmp_path / "x", fails=True)


def tree(path):
    return {str(found.relative_to(path)): found.read_bytes() for found in path.rglob("*") if found.is_file()}
