"""The user's code: fetched, unpacked, its requirements installed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.parse
from pathlib import Path

BASE = Path(os.environ.get("SAGEMAKER_BASE_DIR") or "/opt/ml")
CODE = BASE / "code"


class UserError(Exception):
    """Something that the user can mend; its text is the job's failure reason."""


def fetch(location: str, target: Path) -> Path:
    """The folder with the code of `location`: an s3:// archive or file, a local archive, or a folder.

    What must be unpacked or copied goes to `target`. Raises UserError naming the location.
    """
    if location.startswith("s3://"):
        with tempfile.TemporaryDirectory() as folder:
            name = urllib.parse.urlparse(location).path.rsplit("/", 1)[-1] or "code"
            file = Path(folder, name)
            _download(location, file)
            _unpack(file, target)
        return target
    local = Path(location.removeprefix("file://"))
    if local.is_dir():
        return local
    if not local.is_file():
        raise UserError(f"sagemaker_submit_directory: there is no {location}")
    _unpack(local, target)
    return target


def install_requirements(folder: Path) -> None:
    """`pip install -r requirements.txt`, if the folder has one. Raises UserError."""
    file = folder / "requirements.txt"
    if not file.is_file():
        return
    print(f"Installing {file}", flush=True)
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "-r", str(file)]
    environment = dict(os.environ)
    if _pins_torch(file):
        # The image's own torch is held by a constraint; a bound of the user's takes its place.
        environment.pop("PIP_CONSTRAINT", None)
    code = subprocess.call(command, cwd=folder, env=environment)
    if code != 0:
        raise UserError(f'InstallRequirementsError:\nExitCode {code}\nErrorMessage ""\nCommand "{" ".join(command)}"')


def _pins_torch(file: Path) -> bool:
    return (
        re.search(r"^\s*torch(?![\w.-])[^#\n]*(==|@|<|~=)", file.read_text(), re.IGNORECASE | re.MULTILINE) is not None
    )


def _download(location: str, file: Path) -> None:
    import boto3  # only jobs whose code is in S3 pay for it

    parsed = urllib.parse.urlparse(location)
    client = boto3.client(
        "s3",
        region_name=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1",
        endpoint_url=os.environ.get("S3_ENDPOINT_URL") or None,
    )
    try:
        client.download_file(parsed.netloc, parsed.path.lstrip("/"), str(file))
    except Exception as error:
        raise UserError(f"{location} can't be downloaded: {error}") from error


def _unpack(file: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    if not tarfile.is_tarfile(file):
        shutil.copy2(file, target / file.name)
        return
    try:
        with tarfile.open(file) as tar:
            tar.extractall(target, filter="data")
    except (tarfile.TarError, OSError) as error:
        raise UserError(f"the code can't be unpacked: {error}") from error
