"""`modelwright up`, `down`, `status`, `env`, `run`, `kernel` as a new user meets them."""

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys

import pytest

from support.cli import COMMAND, CommandLine, ended, interrupt, read_until
from support.sdk import VENVS


@pytest.fixture(scope="module")
def modelwright(server):
    return CommandLine(server.settings.home)


@pytest.fixture
def fresh(tmp_path):
    """A command line on a home of its own, on which no server is left behind."""
    command = CommandLine(tmp_path / "home")
    yield command
    command("down")


def cell(source):
    return {"cell_type": "code", "execution_count": None, "id": "a", "metadata": {}, "outputs": [], "source": source}


def notebook(path, *sources):
    cells = [{**cell(source), "id": f"cell-{i}"} for i, source in enumerate(sources)]
    metadata = {"kernelspec": {"name": "nobodys-kernel", "display_name": "x", "language": "python"}}
    path.write_text(json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}))
    return path


@pytest.fixture(scope="module")
def jupyter():
    """A Python with nbclient and ipykernel."""
    python = VENVS / "sdk2" / "bin" / "python"
    if not python.exists():
        pytest.skip(f"no Python with nbclient in {python.parents[1]}")
    return python


def test_up_and_down(fresh):
    assert fresh("status", code=3).stdout.startswith("No server runs on ")
    first = json.loads(fresh.out("up", "--detach", "--port", "0", "--json"))
    again = fresh.out("up", "--detach")
    assert f"runs already and answers at {first['Url']}" in again
    assert str(first["Port"]) in fresh.err("up", "--detach", "--port", 1, code=2)
    status = json.loads(fresh.out("status", "--json"))
    assert (status["Running"], status["Answers"], status["Pid"]) == (True, True, first["Pid"])
    assert fresh.out("jobs", "list") == ""
    assert fresh("jobs", "list").stderr == "No jobs yet.\n"
    assert json.loads(fresh.out("executions", "list", "--json")) == []
    assert fresh.out("down").startswith("Stopped.")
    fresh("status", code=3)
    assert fresh.out("down").startswith("No server runs on ")


def test_two_that_start_at_once_share_one_server(fresh):
    both = [fresh.start("up", "--detach", "--port", "0", "--json") for _ in range(2)]
    outcomes = [ended(process) for process in both]
    assert [code for code, _ in outcomes] == [0, 0], outcomes
    pids = {json.loads(said[said.index("{") : said.rindex("}") + 1])["Pid"] for _, said in outcomes}
    assert len(pids) == 1


def test_in_the_foreground_until_ctrl_c(fresh):
    process = fresh.start("up", "--port", "0")
    (line,) = read_until(process, "Modelwright answers at http://127.0.0.1:")
    assert "Ctrl-C stops it" in line
    code, rest = interrupt(process)
    assert code == 0
    assert rest.splitlines()[-1].startswith("Stopped.")
    fresh("status", code=3)


def test_a_detached_start_that_fails_says_why(fresh):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = fresh("up", "--detach", "--port", port, code=2).stderr.splitlines()[-1]
    assert f"Port {port} is taken. Choose another with --port N" in line
    fresh("status", code=3)


def test_a_server_that_hangs(fresh):
    pid = json.loads(fresh.out("up", "--detach", "--port", "0", "--json"))["Pid"]
    os.kill(pid, signal.SIGSTOP)
    try:
        done = fresh("status", "--json", code=1)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert json.loads(done.stdout)["Answers"] is False
    assert "waiting for " in done.stderr
    assert f"kill -9 {pid}" in done.stderr


def test_a_server_that_was_killed(fresh):
    pid = json.loads(fresh.out("up", "--detach", "--port", "0", "--json"))["Pid"]
    os.kill(pid, signal.SIGKILL)
    fresh("status", code=3)
    assert "Start one: modelwright up --detach" in fresh.err("jobs", "list", code=3)
    fresh("up", "--detach", "--port", "0")
    assert fresh.out("jobs", "list", "--json") == "[]\n"


def test_damaged_keys(fresh, tmp_path):
    fresh("up", "--detach", "--port", "0")
    keys = tmp_path / "home" / "credentials.json"
    before = keys.read_bytes()
    keys.write_text("garbage")
    assert f"{keys} does not hold Modelwright's access keys. Delete it" in fresh.err("jobs", "list", code=2)
    keys.unlink()  # while the server runs on: the command line makes keys that the server does not know
    assert "modelwright down, then up" in fresh.err("jobs", "list", code=1)
    keys.write_bytes(before)
    fresh("jobs", "list")


SH = 'eval "$({env})"; echo $AWS_ENDPOINT_URL; eval "$({env} --unset)"; env'
FISH = "{env} --shell fish | source; echo $AWS_ENDPOINT_URL; {env} --shell fish --unset | source; env"


@pytest.mark.parametrize(("shell", "script"), [("sh", SH), ("bash", SH), ("zsh", SH), ("fish", FISH)])
def test_env_in_a_shell(server, shell, script):
    if not shutil.which(shell):
        pytest.skip(f"no {shell} here")
    command = CommandLine(server.settings.home, NO_PROXY="it's.example.org")
    said = subprocess.run(
        [shell, "-c", script.format(env=f"{shlex.join(COMMAND)} env")],
        check=True, env=command.environ, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    url, *after = said.stdout.splitlines()
    assert url == server.url
    assert "NO_PROXY=it's.example.org" in after
    assert not [line for line in after if line.startswith("AWS_")]


def test_env_in_a_terminal_says_how_to_use_it(modelwright):
    pty = pytest.importorskip("pty")
    reader, terminal = pty.openpty()
    process = subprocess.Popen(
        [*COMMAND, "env"], env=modelwright.environ, stdout=terminal, stderr=subprocess.PIPE, text=True
    )
    os.close(terminal)
    _, said = process.communicate(timeout=60)
    os.close(reader)
    assert said == '# To have it in this shell: eval "$(modelwright env)"\n'


def test_tables_fit_the_terminal(modelwright, server):
    """In a narrow terminal there are fewer columns; where there is none, all of them."""
    server.client("sagemaker").create_model_package_group(ModelPackageGroupName="cli-a-group-with-a-long-name")
    server.client("sagemaker").create_model_package(
        ModelPackageGroupName="cli-a-group-with-a-long-name", ModelPackageDescription="what it is"
    )
    pty = pytest.importorskip("pty")
    reader, terminal = pty.openpty()
    command = [*COMMAND, "models", "list", "cli-a-group-with-a-long-name"]
    environ = {**modelwright.environ, "COLUMNS": "60", "LINES": "20", "TERM": "xterm", "NO_COLOR": "1"}
    process = subprocess.Popen(command, env=environ, stdout=terminal)
    assert process.wait(timeout=60) == 0
    narrow = os.read(reader, 10_000).decode()
    os.close(reader)
    os.close(terminal)
    assert "cli-a-group-with-a-long-name/1" in narrow
    assert "CREATED" not in narrow
    wide = modelwright.out(*command[len(COMMAND) :])
    assert wide.splitlines()[0].split() == ["VERSION", "APPROVAL", "CREATED", "DESCRIPTION"]


def test_run_a_script(modelwright, server, tmp_path):
    script = tmp_path / "script.py"
    script.write_text("import os, sys; print(os.environ['AWS_ENDPOINT_URL'], sys.argv[1:]); sys.exit(42)")
    said = modelwright.out("run", "--python", sys.executable, script, "--json", "-f", code=42)
    assert said == f"{server.url} ['--json', '-f']\n"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--", "sh", "-c", "exit 7"], 7, None),
        (["sh", "-c", "kill -9 $$"], -9, None),
        (["nobodys-command"], 127, "There is no command nobodys-command here."),
        (["./not-executable"], 126, "Make it so: chmod +x ./not-executable"),
        (["./no-interpreter"], 127, "names an interpreter in its first line that is not here"),
        (["nothing.py"], 2, "There is no file nothing.py in "),
        (["--python", "nobodys-python", "a.py"], 127, "There is no command nobodys-python here."),
    ],
)
def test_run_ends_with_the_status_of_what_it_ran(modelwright, tmp_path, monkeypatch, arguments, code, said):
    (tmp_path / "a.py").touch()
    (tmp_path / "not-executable").write_text("#!/bin/sh\n")
    (tmp_path / "no-interpreter").write_text("#!/nobodys/interpreter\n")
    (tmp_path / "no-interpreter").chmod(0o755)
    monkeypatch.chdir(tmp_path)
    done = modelwright("run", *arguments, code=code)
    assert (said or "") in done.stderr
    assert len(done.stderr.splitlines()) == bool(said)


def test_run_a_notebook(modelwright, server, jupyter, tmp_path):
    source = notebook(tmp_path / "a.ipynb", "import os, sys; print(os.environ['AWS_ENDPOINT_URL'])", "sys.executable")
    done = modelwright("run", "--python", jupyter, source)
    assert done.stdout == f"{server.url}\n{str(jupyter)!r}\n"
    assert done.stderr == ""
    written = json.loads((tmp_path / "a.out.ipynb").read_text())
    assert [one["execution_count"] for one in written["cells"]] == [1, 2]


def test_run_a_notebook_with_a_cell_that_fails(modelwright, jupyter, tmp_path):
    source = notebook(tmp_path / "a.ipynb", "print('first')", "raise ValueError('what a pity')", "print('never')")
    done = modelwright("run", "--python", jupyter, "--output", tmp_path / "b.ipynb", source, code=1)
    assert done.stdout == "first\n"
    assert "what a pity" in done.stderr
    written = json.loads((tmp_path / "b.ipynb").read_text())
    assert [one["execution_count"] for one in written["cells"]] == [1, 2, None]


def test_ctrl_c_interrupts_the_cell_and_keeps_what_was_done(modelwright, jupyter, tmp_path):
    source = notebook(tmp_path / "a.ipynb", "print('first')", "import time\nprint('begun', flush=True)\ntime.sleep(99)")
    process = modelwright.start("run", "--python", jupyter, source)
    read_until(process, "begun")
    code, rest = interrupt(process)
    assert code == 130
    assert rest.splitlines()[-1] == f"modelwright: interrupted; what was done so far is in {tmp_path / 'a.out.ipynb'}"
    assert "KeyboardInterrupt" in (tmp_path / "a.out.ipynb").read_text()


def test_a_notebook_that_can_not_be_run(modelwright, jupyter, tmp_path):
    source = notebook(tmp_path / "a.ipynb", "1")
    output = ("--output", tmp_path / "nowhere" / "b.ipynb")
    assert "can't be written" in modelwright.err("run", "--python", jupyter, *output, source, code=2)
    (tmp_path / "b.ipynb").write_text("{")
    assert "is no notebook" in modelwright.err("run", "--python", jupyter, tmp_path / "b.ipynb", code=2)


def test_a_python_without_nbclient(modelwright, tmp_path):
    source = notebook(tmp_path / "a.ipynb", "1")
    # A Python without any package: isolated from the user's and from this environment's.
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "$@"\n')
    bare.chmod(0o755)
    said = modelwright.err("run", "--python", bare, source, code=2)
    assert "has no ipykernel. Install it there (pip install nbclient ipykernel)" in said
    assert not (tmp_path / "a.out.ipynb").exists()


def test_kernel(modelwright, server, tmp_path):
    command = CommandLine(server.settings.home, JUPYTER_DATA_DIR=str(tmp_path))
    folder = json.loads(command.out("kernel", "--python", sys.executable, "--json"))["Kernel"]
    with open(f"{folder}/kernel.json") as file:
        made = json.load(file)
    assert sys.executable in made["argv"]
    assert made["env"]["AWS_ENDPOINT_URL"] == server.url
    assert "--python PATH" in command.err("kernel", "--python", "nobodys-python", code=2)


def test_completion_of_names(modelwright, server):
    server.client("sagemaker").create_model_package_group(ModelPackageGroupName="cli-completed")
    words = {"_MODELWRIGHT_COMPLETE": "bash_complete", "COMP_WORDS": "modelwright models list cli-c", "COMP_CWORD": "3"}
    command = CommandLine(server.settings.home, **words)
    assert command.out() == "plain,cli-completed\n"
