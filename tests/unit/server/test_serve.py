"""One process, one home: the lock, the port, the file that says where, the signals."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from modelwright.config import Settings
from modelwright.errors import ConfigurationError
from modelwright.server import serve as module
from modelwright.server.running import Running, locked, running

SCRIPT = """
import asyncio, logging, sys
from pathlib import Path
from modelwright.config import Settings
from modelwright.errors import ConfigurationError
from modelwright.server.authority import Authority
from modelwright.server.connect import Proxy
from modelwright.server.serve import serve
from modelwright.server.upstream import Upstream

logging.basicConfig(stream=sys.stderr)
settings = Settings(home=Path(sys.argv[1]), port=int(sys.argv[2]))

class Platform:
    def __init__(self, where):
        self.proxy = Proxy(Authority.open(settings.authority), Upstream(), local=True)
        print("made", where.port, flush=True)

    async def application(self, scope, receive, send):
        if scope["path"] == "/slow":
            print("waiting", flush=True)
            await asyncio.to_thread(sys.stdin.readline)
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    def start(self):
        print("started", flush=True)
        if "fail" in sys.argv:
            raise ConfigurationError("can't start")

    def wind_down(self):
        print("winding down", flush=True)

    def stop(self):
        print("stopped", flush=True)

try:
    serve(settings, Platform, lambda where: print("ready", where.url, flush=True))
except ConfigurationError as error:
    print("refused", error, flush=True)
    sys.exit(2)
print("ended", flush=True)
"""


class Process:
    def __init__(self, home: Path, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, str(home), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        return self.process.stdout.readline().strip()

    def until(self, word: str) -> str:
        while line := self.line():
            if line.startswith(word):
                return line
        raise AssertionError(f"it ended before it said '{word}'")

    def end(self) -> list[str]:
        out, _ = self.process.communicate(timeout=20)
        return out.splitlines()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    processes: list[Process] = []

    def begin(*arguments: str, home: Path = tmp_path / "home") -> Process:
        processes.append(Process(home, *(arguments or ("0",))))
        return processes[-1]

    yield begin
    for process in processes:
        process.process.kill()
        process.process.communicate()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(home=tmp_path / "home", port=0)


def get(where: Running, path: str = "/") -> bytes:
    connection = http.client.HTTPConnection(where.host, where.port, timeout=10)
    connection.request("GET", path)
    try:
        return connection.getresponse().read()
    finally:
        connection.close()


def test_it_works(start, settings: Settings) -> None:
    process = start()
    assert process.line().startswith("made ")
    assert process.line() == "started"
    url = process.until("ready").split()[1]
    where = running(settings)
    assert where is not None
    assert (where.url, where.pid) == (url, process.process.pid)
    assert url == f"http://127.0.0.1:{where.port}"
    assert get(where) == b"ok"
    assert settings.server_file.stat().st_mode & 0o777 == 0o600
    process.process.send_signal(signal.SIGTERM)
    assert process.end() == ["winding down", "stopped", "ended"]
    assert process.process.returncode == 0
    assert running(settings) is None
    assert not settings.server_file.exists()


def test_interrupt_ends_it_too(start) -> None:
    process = start()
    process.until("ready")
    process.process.send_signal(signal.SIGINT)
    assert process.end() == ["winding down", "stopped", "ended"]
    assert process.process.returncode == 0


def test_a_request_on_its_way_is_answered_before_the_end(start, settings: Settings) -> None:
    process = start()
    process.until("ready")
    where = running(settings)
    sock = socket.create_connection((where.host, where.port), timeout=10)
    sock.sendall(b"GET /slow HTTP/1.1\r\nhost: x\r\n\r\n")
    process.until("waiting")
    process.process.send_signal(signal.SIGTERM)
    while True:  # it takes no new connections
        try:
            socket.create_connection((where.host, where.port), timeout=10).close()
        except ConnectionRefusedError:
            break
        except OSError:
            continue
    process.process.stdin.write("\n")
    process.process.stdin.flush()
    answer = b"".join(iter(lambda: sock.recv(1000), b""))
    assert answer.endswith(b"\r\n\r\nok")
    sock.close()
    assert process.end() == ["winding down", "stopped", "ended"]


def test_idle_connections_do_not_hold_up_the_end(start, settings: Settings) -> None:
    process = start()
    process.until("ready")
    where = running(settings)
    silent = socket.create_connection((where.host, where.port))
    kept = http.client.HTTPConnection(where.host, where.port)
    kept.request("GET", "/")
    assert kept.getresponse().read() == b"ok"
    begin = time.monotonic()
    process.process.send_signal(signal.SIGTERM)
    assert process.end() == ["winding down", "stopped", "ended"]
    assert time.monotonic() - begin < module.GRACE_SECONDS / 2
    silent.close()
    kept.close()


def test_a_second_server_on_the_same_home(start, settings: Settings) -> None:
    first = start()
    url = first.until("ready").split()[1]
    second = start()
    (line,) = second.end()
    assert line.startswith("refused A server already runs on ")
    assert url in line
    assert "modelwright down" in line
    assert second.process.returncode == 2
    assert running(settings).url == url


def test_two_homes_side_by_side(start, tmp_path: Path) -> None:
    one, other = start(home=tmp_path / "one"), start(home=tmp_path / "other")
    assert one.until("ready") != other.until("ready")


def test_a_port_that_is_taken(start, settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (line,) = start(str(port)).end()
    assert line.startswith(f"refused Port {port} is taken.")
    assert "--port" in line
    assert not settings.server_file.exists()


def test_the_same_port_again_at_once(start, settings: Settings) -> None:
    first = start()
    first.until("ready")
    where = running(settings)
    get(where)
    first.process.send_signal(signal.SIGTERM)
    first.end()
    assert start(str(where.port)).until("ready") == f"ready {where.url}"


def test_after_a_kill(start, settings: Settings) -> None:
    first = start()
    first.until("ready")
    first.process.kill()
    first.process.wait()
    assert settings.server_file.exists()  # what it left behind ...
    assert running(settings) is None  # ... is not believed
    second = start()
    second.until("ready")
    assert running(settings).pid == second.process.pid


def test_looking_does_not_keep_a_server_from_starting(start, settings: Settings) -> None:
    first = start()
    first.until("ready")
    first.process.kill()
    first.process.wait()
    second = start()
    while running(settings) is None:  # as `up --detach` does
        assert second.process.poll() is None
    assert running(settings).pid == second.process.pid


def test_a_start_that_fails(start, settings: Settings) -> None:
    process = start("0", "fail")
    assert process.end()[1:] == ["started", "winding down", "stopped", "refused can't start"]
    assert running(settings) is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_home_that_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir(mode=0o500)
    with pytest.raises(ConfigurationError, match="--home"), locked(Settings(home=tmp_path / "home")):
        pass


def test_a_home_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(ConfigurationError, match="--home"), locked(Settings(home=tmp_path / "home")):
        pass


def test_an_address_that_is_not_ours(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, host="192.0.2.1", port=0)
    with pytest.raises(ConfigurationError, match=r"192\.0\.2\.1"):
        module.serve(settings, lambda _: pytest.fail("nothing is made without a port"))


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"pid": 1}'])
def test_a_damaged_file_is_no_server(settings: Settings, content: str) -> None:
    with locked(settings):
        settings.server_file.write_text(content)
        assert running(settings) is None
        told = {"pid": os.getpid(), "host": "h", "port": 1, "url": "u", "version": "v"}
        settings.server_file.write_text(json.dumps({**told, "more": "from a later version"}))
        assert running(settings) == Running(**told)
