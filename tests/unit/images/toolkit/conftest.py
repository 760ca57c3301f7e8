"""The toolkit runs inside jobs, alone: its tests run it as a program, on a folder in place of /opt/ml."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import modelwright.images

TOOLKIT = Path(modelwright.images.__file__).parent


class Job:
    """A container's /opt/ml, and the programs that run on it."""

    def __init__(self, base):
        self.base = base
        for name in ("input/config", "input/data", "model", "output"):
            (base / name).mkdir(parents=True)

    def write(self, name, text):
        file = self.base / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def configure(self, name, content):
        self.write(f"input/config/{name}.json", json.dumps(content))

    def command(self, module):
        return [sys.executable, "-c", f"import sys; from toolkit.{module} import main; sys.exit(main())"]

    def environment(self, **variables):
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("SM_", "SAGEMAKER_", "PIP_"))}
        return {
            **kept,
            "SAGEMAKER_BASE_DIR": str(self.base),
            "PYTHONPATH": str(TOOLKIT),
            "PYTHONUNBUFFERED": "1",
            **variables,
        }

    def train(self, hyperparameters=None, **variables):
        self.configure("hyperparameters", hyperparameters or {})
        return subprocess.run(
            self.command("train"),
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @property
    def failure(self):
        file = self.base / "output/failure"
        return file.read_text() if file.exists() else None


@pytest.fixture
def job(tmp_path):
    return Job(tmp_path / "ml")
