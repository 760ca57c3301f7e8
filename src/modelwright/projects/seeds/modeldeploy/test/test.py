"""Asks the staging endpoint about every file in `requests/` and compares its answers with what they must contain.

`NAME.expected.json` beside `NAME` is a part of the answer: each member that it has must be in the answer too, each
element of a list in the same place, and `{"atLeast": 0.5}` stands for any number from 0.5 up.
"""

from __future__ import annotations

import json
import mimetypes
import os
import sys
import time
from pathlib import Path
from typing import Any

import boto3

ENDPOINT = f"{os.environ['SAGEMAKER_PROJECT_NAME']}-staging"
REQUESTS = Path(__file__).parent / "requests"
EXPECTED = ".expected.json"


def main() -> None:
    status = boto3.client("sagemaker").describe_endpoint(EndpointName=ENDPOINT)["EndpointStatus"]
    if status != "InService":
        sys.exit(f"{ENDPOINT} is {status}, not InService.")
    files = sorted(file for file in REQUESTS.iterdir() if file.suffix and not file.name.endswith(EXPECTED))
    results = [ask(file) for file in files]
    Path("test-results.json").write_text(json.dumps({"Endpoint": ENDPOINT, "Results": results}, indent=2))
    if not results:
        print(f"{ENDPOINT} is InService. test/requests holds nothing to ask it.")
    for result in results:
        print(f"{result['File']}: {'; '.join(result['Problems']) or 'ok'} ({result['Milliseconds']:.0f} ms)")
    if any(result["Problems"] for result in results):
        sys.exit("The staging endpoint does not answer as it must.")


def ask(file: Path) -> dict[str, Any]:
    content_type = mimetypes.guess_type(file.name)[0] or "application/octet-stream"
    begin = time.monotonic()
    answer = boto3.client("sagemaker-runtime").invoke_endpoint(
        EndpointName=ENDPOINT, Body=file.read_bytes(), ContentType=content_type
    )
    body = answer["Body"].read().decode(errors="replace")
    milliseconds = (time.monotonic() - begin) * 1000
    expected = file.with_name(file.name + EXPECTED)
    problems: list[str] = []
    if expected.exists():
        try:
            problems = list(differences(json.loads(expected.read_text()), json.loads(body), "answer"))
        except ValueError:
            problems = [f"the answer is no JSON: {body[:200]}"]
    return {"File": file.name, "Milliseconds": milliseconds, "Problems": problems, "Answer": body[:2000]}


def differences(expected: Any, found: Any, where: str) -> list[str]:
    if isinstance(expected, dict) and set(expected) == {"atLeast"}:
        good = isinstance(found, int | float) and found >= expected["atLeast"]
        return [] if good else [f"{where} is {found!r}, not {expected['atLeast']} or more"]
    if isinstance(expected, dict) and isinstance(found, dict):
        lists = [differences(value, found.get(key), f"{where}.{key}") for key, value in expected.items()]
        return [problem for problems in lists for problem in problems]
    if isinstance(expected, list) and isinstance(found, list):
        if len(found) < len(expected):
            return [f"{where} has {len(found)} elements, not {len(expected)} or more"]
        lists = [differences(value, found[i], f"{where}[{i}]") for i, value in enumerate(expected)]
        return [problem for problems in lists for problem in problems]
    return [] if expected == found else [f"{where} is {found!r}, not {expected!r}"]


if __name__ == "__main__":
    main()
