"""Containers with a network of their own: reached by their door, reaching out by their gate, and nothing else."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading

import pytest

from modelwright.errors import ConfigurationError
from modelwright.images.environments import interpreter_folders
from modelwright.runtimes import sandbox
from modelwright.runtimes.base import Image, Network
from support.waiting import until

from .conftest import Machine, kinds

DOOR = Network(door=True)
PYTHON = Image("test", "sha256:0", visible=tuple(interpreter_folders()))

ECHO = """
import socket
listener = socket.create_server(("127.0.0.1", 8080))
print("listening", flush=True)
while True:
    connection, _ = listener.accept()
    connection.sendall(connection.recv(100).upper())
    connection.close()
"""


@pytest.fixture
def machine(tmp_path):
    problem = sandbox.network_problem("auto")
    if problem:
        pytest.skip(problem)
    return Machine(tmp_path / "home", "auto")


@contextlib.contextmanager
def started(machine, script, network=DOOR):
    handle = machine.runtime.start(machine.spec(sys._base_executable, "-c", script, image=PYTHON, network=network))
    try:
        yield handle
    finally:
        machine.runtime.stop(handle, grace=0)
        machine.wait(handle)


def say(machine, handle, text, port=8080):
    with machine.runtime.socket_into(handle.name) as connection:
        connection.settimeout(10)
        connection.connect(("127.0.0.1", port))
        connection.sendall(text)
        return connection.recv(100)


def test_it_works(machine):
    """Two that only know port 8080, side by side."""
    with started(machine, ECHO) as one, started(machine, ECHO.replace("upper", "swapcase")) as other:
        for handle in (one, other):
            until(lambda handle=handle: "listening" in machine.log(handle))
        assert say(machine, one, b"aB") == b"AB"
        assert say(machine, other, b"aB") == b"Ab"
        with pytest.raises(OSError, match="no such socket"):
            machine.runtime.gate_of(one.name)


def test_a_signal_to_its_group_leaves_the_door(machine):
    script = "import os, signal\nsignal.signal(15, signal.SIG_IGN)\nos.kill(0, 15)\n" + ECHO
    with started(machine, script) as handle:
        until(lambda: "listening" in machine.log(handle))
        assert say(machine, handle, b"a") == b"A"


def test_nothing_of_the_host_is_reached(machine):
    with socket.create_server(("127.0.0.1", 0)) as host:
        port = host.getsockname()[1]
        script = f"import socket; print(socket.socket().connect_ex(('127.0.0.1', {port})), end=' ')\n"
        script += "print(open('/proc/net/route').readlines()[1:])"
        network = Network()
        code, log = machine.run(machine.spec(sys._base_executable, "-c", script, image=PYTHON, network=network))
    assert code == 0, log
    assert log.endswith(" []\n")
    assert not log.startswith("0 ")


def test_a_gate_leads_out(machine):
    script = f"""
import socket
connection = socket.create_connection(("127.0.0.1", 7070))
connection.sendall(b"from inside")
print("told", connection.recv(100), flush=True)
{ECHO}"""
    with started(machine, script, Network(door=True, gate=7070)) as handle:
        until(lambda: _gate(machine, handle))
        with machine.runtime.gate_of(handle.name) as gate:
            gate.settimeout(30)
            connection, _ = gate.accept()
            with connection:
                assert connection.recv(100) == b"from inside"
                connection.sendall(b"hello")
        until(lambda: "told b'hello'" in machine.log(handle))


def _gate(machine, handle):
    try:
        machine.runtime.gate_of(handle.name).close()
    except OSError:
        return False
    return True


def test_the_door_is_gone_with_the_container(machine):
    with started(machine, ECHO) as handle:
        until(lambda: "listening" in machine.log(handle))
    with pytest.raises(OSError, match="refused"):
        machine.runtime.socket_into(handle.name)


def test_many_at_once(machine):
    with started(machine, ECHO) as handle:
        until(lambda: "listening" in machine.log(handle))
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(say(machine, handle, b"a"))) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert answers == [b"A"] * 20


@pytest.mark.parametrize("kind", kinds("bubblewrap"))
def test_bubblewrap_cuts_off_but_has_no_doors(tmp_path, kind):
    machine = Machine(tmp_path / "home", kind)
    code, log = machine.sh("cat /proc/net/route | wc -l", network=Network())
    assert (code, log.split()[-1]) == (0, "1")  # a headline and no route
    with pytest.raises(ConfigurationError, match="network of its own"):
        machine.sh("true", network=DOOR)


def test_without_a_sandbox_it_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="network of its own"):
        Machine(tmp_path / "home", "none").sh("true", network=Network())
