"""A server in a process of its own, and clients that reach it as users' do."""

import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import boto3
from botocore.config import Config

import modelwright
from modelwright.config import Settings
from modelwright.server.authority import Authority
from modelwright.server.environment import applied, client_environment
from modelwright.server.keys import Keys
from modelwright.server.running import running

TESTS = Path(__file__).parents[1]
_PATH = os.pathsep.join((str(TESTS), str(Path(modelwright.__file__).parents[1])))
"""The server is the package that the tests import, also where another copy is installed."""
PLATFORM = ("-m", "support.strict", "up")
SAMPLE = ("-m", "support.sample")
START_SECONDS = 60
_CLEAN = {
    name: value
    for name, value in os.environ.items()
    if not name.upper().startswith(("AWS_", "MODELWRIGHT_", "SAGEMAKER_"))
    and not name.lower().endswith(("_proxy", "_ca_bundle", "ssl_cert_file"))
}


class Server:
    """One home and the server on it. `environ` is what the server's process gets beside a clean environment."""

    def __init__(self, home, program=PLATFORM, environ=None):
        self.settings = Settings(home=Path(home), port=0)
        self.program = program
        self.environ = {**_CLEAN, "PYTHONPATH": _PATH, **(environ or {})}
        self.process = None
        self.log = Path(home).with_name(Path(home).name + ".log")

    def start(self, port=0):
        """Start it and wait until it answers; it writes to `log`."""
        home = self.settings.home
        places = ("--home", str(home), "--port", str(port)) if self.program == PLATFORM else (str(home), str(port))
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *self.program, *places], env=self.environ, stdout=log, stderr=log
            )
        pause = threading.Event()
        for _ in range(START_SECONDS * 50):
            self.running = running(self.settings)
            if self.running is not None:
                return self
            if self.process.poll() is not None:
                break
            pause.wait(0.02)
        self.kill()
        raise AssertionError(f"the server did not start ({self.process.returncode}):\n{self.said()}")

    def said(self):
        return self.log.read_text()

    @property
    def url(self):
        return self.running.url

    @property
    def keys(self):
        return Keys.open(self.settings.credentials, self.settings.account)

    def client_environ(self, **more):
        """The whole environment of a client's process, as `modelwright run` makes it."""
        authority = Authority.open(self.settings.authority)
        home = {"HOME": str(self.settings.home.with_name("user"))}
        base = {**_CLEAN, **home, **more}
        return applied(base, client_environment(self.settings, self.url, self.keys.admin, authority, base))

    def client(self, service, *, secure=False, key=None, region="us-east-1", **config):
        """A boto3 client: over plain HTTP by the endpoint, or over TLS by AWS's own host name through the proxy."""
        key = key or self.keys.admin
        options = {"retries": {"total_max_attempts": 1}, **config}
        if secure:
            options["proxies"] = {"https": self.url}
        bundle = Authority.open(self.settings.authority).bundle({}) if secure else None
        return boto3.session.Session(
            aws_access_key_id=key.id, aws_secret_access_key=key.secret, region_name=region
        ).client(
            service, endpoint_url=None if secure else self.url, verify=str(bundle) if secure else None,
            config=Config(**options),
        )  # fmt: skip

    def memory(self):
        """The most memory that the process has held so far, in MiB."""
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
        raise AssertionError("no VmHWM")

    def kill(self):
        """As a crash would."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """As a user would."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=30)


@contextmanager
def serving(home, program=PLATFORM, environ=None):
    server = Server(home, program, environ)
    try:
        yield server.start()
    finally:
        server.stop()
