"""The servers that benchmarks talk to: ours on a fresh home, and moto's."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.config import Config

# Compiling every module at each start is no server's fault.
WITH_BYTECODE = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


@dataclass
class Endpoint:
    """A server that answers AWS's calls."""

    url: str
    access_key: str
    secret_key: str
    pid: int
    home: Path | None = None

    def client(self, service: str, **config: object):
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(proxies={}, retries={"total_max_attempts": 1}, read_timeout=300, **config),
        )

    def peak_memory(self) -> float:
        """MiB, the most that it has had resident."""
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("no VmHWM")


@contextmanager
def modelwright(**environment: str) -> Iterator[Endpoint]:
    with tempfile.TemporaryDirectory(prefix="modelwright-bench-") as folder:
        home = Path(folder)
        log = (home / "log").open("wb")
        process = subprocess.Popen(
            [sys.executable, "-m", "modelwright", "up", "--home", folder, "--port", "0"],
            env={**WITH_BYTECODE, **environment},
            stdout=log,
            stderr=log,
        )
        try:
            wait_for((home / "server.json").exists)
            url = json.loads((home / "server.json").read_text())["url"]
            key = json.loads((home / "credentials.json").read_text())["admin"]
            yield Endpoint(url, key["AccessKeyId"], key["SecretAccessKey"], process.pid, home)
        finally:
            process.terminate()
            process.wait()


@contextmanager
def moto() -> Iterator[Endpoint]:
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-p", str(port)],
        env=WITH_BYTECODE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        wait_for(lambda: urllib.request.urlopen(f"{url}/moto-api/").status == 200)
        yield Endpoint(url, "test", "test", process.pid)
    finally:
        process.terminate()
        process.wait()


def wait_for(condition, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError, ValueError):
            if condition():
                return
        time.sleep(0.005)
    raise TimeoutError("a server did not start")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
