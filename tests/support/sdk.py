"""Code run with the official SageMaker SDKs, which live in virtual environments of their own."""

import subprocess
from pathlib import Path

import pytest

VENVS = Path(__file__).parents[2] / ".venvs"


def python(server, version, code):
    """Run code with the SDK of that version; what `say` prints in it."""
    interpreter = VENVS / version / "bin" / "python"
    if not interpreter.exists():
        pytest.skip(f"no SageMaker SDK in {interpreter.parents[1]}")
    environ = server.client_environ(AWS_REGION="eu-west-1", AWS_DEFAULT_REGION="eu-west-1", PYTHONWARNINGS="ignore")
    done = subprocess.run(
        [interpreter, "-c", SAY + code], check=False, env=environ, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, f"{done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-5000:]}"
    return [line.removeprefix(MARK) for line in done.stdout.splitlines() if line.startswith(MARK)]


MARK = "said: "
SAY = f"""
def say(*things):
    print("\\n{MARK}" + " ".join(map(str, things)), flush=True)
"""
