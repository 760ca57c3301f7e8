"""The contract of a runtime, for every kind of sandbox that works here."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from modelwright.errors import ConfigurationError
from modelwright.runtimes import sandbox
from modelwright.runtimes.base import Exit, Handle, Image, Limits, Lost, Mount, Running


def test_it_works(machine):
    code, log = machine.sh("echo out; echo err >&2")
    assert (code, sorted(log.splitlines()[-2:])) == (0, ["err", "out"])


def test_exit_codes(machine):
    assert machine.sh("exit 7")[0] == 7
    assert machine.sh("kill -9 $$")[0] == 128 + signal.SIGKILL


def test_the_exit_says_when(machine):
    handle = machine.runtime.start(machine.spec("true"))
    ended = machine.wait(handle)
    assert ended == Exit(0, ended.ended)
    assert abs(ended.ended - time.time()) < 60


@pytest.mark.parametrize("command", ["no-such-command", "/no/such/command"])
def test_a_command_that_is_not_there_is_127_and_named(machine, command):
    code, log = machine.run(machine.spec(command))
    assert code == 127
    assert command in log


def test_a_command_that_is_not_executable_is_126_and_named(machine, tmp_path):
    program = tmp_path / "program"
    program.write_text("no program")
    code, log = machine.run(machine.spec("/opt/ml/program", mounts=(Mount(program, "/opt/ml/program"),)))
    assert code == 126
    assert "program" in log


def test_a_builtin_of_the_shell_is_no_command(machine):
    assert machine.run(machine.spec("exit", "0"))[0] == 127


def test_arguments_and_environment_arrive_as_they_are(machine):
    words = ["a b", "", "$HOME", "'\"\\", "ü\n2"]
    script = "import os, sys; print([sys.argv[1:], os.environ['ODD']])"
    spec = machine.spec("python3", "-c", script, *words, environment={"ODD": "x'\"$(date)\n=ü"})
    assert machine.run(spec)[1].splitlines()[-1] == str([words, "x'\"$(date)\n=ü"])


def test_the_servers_environment_does_not_arrive(machine, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "theirs")
    assert "theirs" not in machine.sh("env")[1]


def test_the_image_has_environment_working_directory_and_files(machine, tmp_path):
    tree = tmp_path / "tree"
    program = tree / "opt" / "program" / "train"
    program.parent.mkdir(parents=True)
    program.write_text('#!/bin/sh\necho "$PWD $MODE $EXTRA"; touch new; ls\n')
    program.chmod(0o755)
    image = Image(
        "test",
        "sha256:1",
        root=tree,
        environment={"MODE": "image", "EXTRA": "image"},
        working_directory="/opt/program",
        notes=("nearest version taken",),
    )
    code, log = machine.run(machine.spec("/opt/program/train", image=image, environment={"EXTRA": "spec"}))
    assert code == 0, log
    assert "nearest version taken" in log
    assert "/opt/program image spec\nnew\ntrain\n" in log
    assert sorted(path.name for path in program.parent.iterdir()) == ["train"]


def test_a_working_directory_that_is_not_there_is_made(machine):
    code, log = machine.sh("pwd; echo x > written", working_directory="/workspace/deep")
    assert (code, log.splitlines()[-1].endswith("/workspace/deep")) == (0, True)


def test_mounts(machine, tmp_path):
    for name in ("ro", "rw", "cow"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    mounts = tuple(Mount(tmp_path / name, f"/opt/ml/input/data/{name}", name) for name in ("ro", "rw", "cow"))
    script = """
        cat /opt/ml/input/data/rw/file /opt/ml/input/data/ro/file /opt/ml/input/data/cow/file
        for name in rw cow ro; do
            echo new > /opt/ml/input/data/$name/new
            echo changed > /opt/ml/input/data/$name/file
        done
        cat /opt/ml/input/data/cow/file /opt/ml/input/data/cow/new
        rm /opt/ml/input/data/cow/file && ls /opt/ml/input/data/cow
    """
    code, log = machine.sh(script, mounts=mounts)
    assert code == 0
    assert "rwrocow" in log
    assert log.endswith("changed\nnew\nnew\n")
    assert sorted(path.name for path in (tmp_path / "rw").iterdir()) == ["file", "new"]
    for untouched in ("ro", "cow"):
        assert [path.name for path in (tmp_path / untouched).iterdir()] == ["file"]
        assert (tmp_path / untouched / "file").read_text() == untouched


def test_a_single_file_can_be_mounted_every_way(machine, tmp_path):
    for name in ("ro", "rw", "cow"):
        (tmp_path / name).write_text(name)
    (tmp_path / "beside").write_text("not for the container")
    mounts = tuple(Mount(tmp_path / name, f"/opt/ml/input/{name}.txt", name) for name in ("ro", "rw", "cow"))
    script = "cd /opt/ml/input; cat ro.txt rw.txt cow.txt; echo x > rw.txt; echo x > cow.txt; cat cow.txt; ls"
    code, log = machine.sh(script, mounts=mounts)
    assert (code, log.endswith("rorwcowx\ncow.txt\nro.txt\nrw.txt\n")) == (0, True), log
    assert [(tmp_path / name).read_text() for name in ("ro", "rw", "cow")] == ["ro", "x\n", "cow"]


def test_paths_may_have_any_characters(machine, tmp_path):
    odd = tmp_path / 'a, b:c\\d"é #\t=%'
    odd.mkdir()
    (odd / "file").write_text("found")
    code, log = machine.sh(
        "cat /opt/ml/a/file /opt/ml/b/file; echo x > /opt/ml/b/file",
        mounts=(Mount(odd, "/opt/ml/a", "ro"), Mount(odd, "/opt/ml/b", "cow")),
        # without a sandbox a script finds the job's folder in its text, and a blank there would part words
        name="training-job.a" if machine.kind == "none" else "training-job.a b,c:d",
    )
    assert (code, log.endswith("foundfound")) == (0, True), log
    assert (odd / "file").read_text() == "found"


def test_a_source_that_is_not_there_is_said(machine, tmp_path):
    with pytest.raises(ConfigurationError, match="missing"):
        machine.runtime.start(machine.spec("true", mounts=(Mount(tmp_path / "missing", "/opt/ml/x"),)))


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0b", "x" * 256])
def test_names_that_can_not_be_a_folder_are_refused(machine, name):
    with pytest.raises(ConfigurationError):
        machine.runtime.poll(Handle("process", name))


def test_a_name_runs_once(machine, tmp_path):
    spec = machine.spec("/bin/sh", "-c", "echo run >> /opt/ml/o/runs", mounts=(Mount(tmp_path, "/opt/ml/o", "rw"),))
    handles = {machine.runtime.start(spec) for _ in range(3)}
    machine.wait(handles.pop())
    assert machine.after_restart().run(spec)[0] == 0
    assert (tmp_path / "runs").read_text() == "run\n"


def test_many_starts_of_a_name_at_once_run_it_once(machine, tmp_path):
    spec = machine.spec("/bin/sh", "-c", "echo run >> /opt/ml/o/runs", mounts=(Mount(tmp_path, "/opt/ml/o", "rw"),))
    machines = [machine.after_restart() for _ in range(8)]
    barrier = threading.Barrier(len(machines))

    def start(one):
        barrier.wait()
        one.runtime.start(spec)

    threads = [threading.Thread(target=start, args=(one,)) for one in machines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert machine.wait(Handle("process", spec.name)).code == 0
    assert (tmp_path / "runs").read_text() == "run\n"


def test_poll_and_logs_while_it_runs_and_after_a_restart(machine, tmp_path, until):
    fifo = tmp_path / "go"
    os.mkfifo(fifo)
    spec = machine.spec(
        "/bin/sh",
        "-c",
        "echo first; read x < /opt/ml/f/go; echo $x; exit 3",
        mounts=(Mount(tmp_path, "/opt/ml/f", "rw"),),
    )
    handle = machine.runtime.start(spec)
    assert machine.runtime.poll(handle) == Running()
    until(lambda: "first" in machine.log(handle))
    text, offset = machine.runtime.logs(handle, 0)
    later = machine.after_restart()
    assert later.runtime.poll(handle) == Running()
    gone = threading.Event()
    later.runtime.watch(handle, gone.set)
    assert not gone.is_set()
    fifo.write_text("second\n")
    assert gone.wait(60)
    assert later.runtime.poll(handle).code == 3
    assert later.runtime.logs(handle, offset)[0] == b"second\n"
    assert later.runtime.logs(handle, 0, 3) == (text[:3], 3)
    assert later.runtime.logs(handle, 10**6) == (b"", 10**6)


def test_watching_what_has_ended_says_so_at_once(machine):
    handle = machine.runtime.start(machine.spec("true"))
    machine.wait(handle)
    assert machine.wait(handle).code == 0


def test_what_was_never_started_is_lost(machine):
    assert isinstance(machine.runtime.poll(Handle("process", "nobody")), Lost)
    assert machine.runtime.logs(Handle("process", "nobody"), 0) == (b"", 0)
    assert isinstance(machine.wait(Handle("process", "nobody")), Lost)


def test_stop_lets_the_main_process_end_itself(machine, until):
    script = "trap 'echo saved; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    handle = machine.runtime.start(machine.spec("/bin/sh", "-c", script))
    until(lambda: "ready" in machine.log(handle))
    machine.after_restart().runtime.stop(handle, grace=50)
    assert machine.wait(handle).code == 0
    assert "saved" in machine.log(handle)


def test_stop_without_a_handler_ends_it_by_the_signal(machine, until):
    handle = machine.runtime.start(machine.spec("sleep", "1000"))
    machine.runtime.stop(handle, grace=50)  # perhaps before anything of it runs
    machine.runtime.stop(handle, grace=50)
    assert machine.wait(handle).code == 128 + signal.SIGTERM


def test_stop_kills_what_does_not_listen(machine, until):
    script = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
    handle = machine.runtime.start(machine.spec("/bin/sh", "-c", script))
    until(lambda: "ready" in machine.log(handle))
    machine.runtime.stop(handle, grace=0.05)
    assert machine.wait(handle).code == 128 + signal.SIGKILL


def test_stopping_what_has_ended_does_nothing(machine):
    handle = machine.runtime.start(machine.spec("true"))
    machine.wait(handle)
    machine.runtime.stop(handle, grace=0)
    assert machine.runtime.poll(handle).code == 0


def test_remove_takes_the_files_and_keeps_the_name(machine, tmp_path):
    spec = machine.spec("/bin/sh", "-c", "mkdir -p /tmp/d/e; echo x > /tmp/d/e/f; chmod 0 /tmp/d/e /tmp/d; echo run")
    handle = machine.runtime.start(spec)
    machine.wait(handle)
    machine.runtime.remove(handle)
    machine.runtime.remove(handle)
    left = [path.name for path in machine.folder(handle).rglob("*")]
    assert sorted(left) == ["exit", "lock", "started"]
    assert machine.after_restart().run(spec) == (0, "")


def test_remove_leaves_what_runs(machine, tmp_path):
    os.mkfifo(tmp_path / "go")
    spec = machine.spec("/bin/sh", "-c", "read x < /opt/ml/f/go; echo x", mounts=(Mount(tmp_path, "/opt/ml/f", "rw"),))
    handle = machine.runtime.start(spec)
    machine.runtime.remove(handle)
    (tmp_path / "go").write_text("\n")
    assert machine.wait(handle).code == 0


def test_temporary_files_are_on_disk_and_private(machine):
    code, log = machine.sh('f=$(mktemp); echo "$f"; test -w "$HOME"; df -P "$(dirname "$f")" | tail -1')
    assert code == 0
    assert not log.splitlines()[-1].startswith("tmpfs")
    made = Path(log.splitlines()[-2])
    assert machine.kind == "none" or not made.exists()


def test_more_memory_than_allowed(machine):
    script = "import os; b = bytearray(300 << 20); print('got it')"
    spec = machine.spec("python3", "-c", script, limits=Limits(memory=100 << 20))
    handle = machine.runtime.start(spec)
    ended = machine.wait(handle)
    assert "got it" not in machine.log(handle)
    if "MemoryError" not in machine.log(handle):
        assert (ended.code, ended.out_of_memory) == (137, True)


def test_a_limit_that_is_kept_does_no_harm(machine):
    spec = machine.spec("python3", "-c", "b = bytearray(50 << 20)", limits=Limits(cpus=1, memory=512 << 20))
    handle = machine.runtime.start(spec)
    ended = machine.wait(handle)
    assert (ended.code, ended.out_of_memory) == (0, False), machine.log(handle)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_it_sees_the_cpus_that_it_may_use(machine):
    assert machine.sh("nproc", limits=Limits(cpus=1))[1].splitlines()[-1] == "1"
    assert machine.sh("nproc", limits=Limits())[1].splitlines()[-1] == str(len(os.sched_getaffinity(0)))


def test_no_descriptor_of_the_server_reaches_the_container(machine):
    log = machine.sh("ls -l /proc/self/fd")[1]
    assert [line.split()[-3] for line in log.splitlines() if "->" in line] == ["0", "1", "2", "3"]  # 3: ls itself
    assert "lock" not in log


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """A virtual environment, as an image has one."""
    folder = tmp_path_factory.mktemp("image") / "python"
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    packages = next((folder / "lib").glob("python3.*")) / "site-packages"
    (packages / "of_the_image.py").write_text("version = 1\n")
    return folder


def _wheel(folder: Path) -> Path:
    """A package that pip can install without a network."""
    source = folder / "source"
    source.mkdir()
    (source / "of_the_job.py").write_text("version = 2\n")
    (source / "of_the_image.py").write_text("version = 2\n")
    info = source / "of_the_job-2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: of-the-job\nVersion: 2\n")
    (info / "WHEEL").write_text("Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
    (info / "RECORD").write_text("")
    wheel = folder / "of_the_job-2-py3-none-any.whl"
    subprocess.run([sys.executable, "-m", "zipfile", "-c", str(wheel), *map(str, source.iterdir())], check=True)
    return wheel


def test_pip_install_goes_to_this_job_alone(machine, environment, tmp_path):
    before = sorted(str(path) for path in environment.rglob("*") if "__pycache__" not in str(path))
    wheel = _wheel(tmp_path)
    image = Image("test", "sha256:2", python=environment)
    script = """
        set -e
        python -c 'import of_the_image; print("image", of_the_image.version)'
        pip install --no-index --no-deps -q "$WHEEL"
        python -c 'import of_the_image, of_the_job; print("job", of_the_image.version, of_the_job.version)'
    """
    where = "/opt/ml/input/of_the_job-2-py3-none-any.whl"
    mounts = (Mount(wheel, where),)
    code, log = machine.sh(script, image=image, mounts=mounts, environment={"WHEEL": where})
    assert code == 0, log
    assert "image 1\n" in log
    assert "job 2 2\n" in log
    code, log = machine.sh("python -c 'import of_the_job'", image=image)
    assert code == 1
    assert "No module named 'of_the_job'" in log
    assert sorted(str(path) for path in environment.rglob("*") if "__pycache__" not in str(path)) == before


def test_where_overlays_do_not_work_it_is_the_same_by_copying(closed, environment, tmp_path, monkeypatch):
    without = dataclasses.replace(closed.runtime.sandbox, overlay=False)
    monkeypatch.setattr(sandbox, "choose", lambda _setting: without)
    for number, test in enumerate((test_mounts, test_a_single_file_can_be_mounted_every_way)):
        (tmp_path / str(number)).mkdir()
        test(closed, tmp_path / str(number))
    (tmp_path / "pip").mkdir()
    test_pip_install_goes_to_this_job_alone(closed, environment, tmp_path / "pip")


def test_many_files_cost_nothing(closed, tmp_path):
    channel = tmp_path / "channel"
    for group in range(20):
        (channel / str(group)).mkdir(parents=True)
        for number in range(100):
            (channel / str(group) / str(number)).touch()
    spec = closed.spec("/bin/sh", "-c", "find /opt/ml/c -type f | wc -l", mounts=(Mount(channel, "/opt/ml/c", "cow"),))
    began = time.perf_counter()
    handle = closed.runtime.start(spec)
    took = time.perf_counter() - began
    assert closed.wait(handle).code == 0
    assert closed.log(handle).strip() == "2000"
    if closed.runtime.sandbox.overlay:
        assert not list(closed.folder(handle).glob("cow/*/upper/*"))
        assert took < 1


def test_what_a_container_takes_of_the_machine(machine, until):
    script = (
        "import subprocess, sys; hold = bytearray(80 << 20); subprocess.run([sys.executable, '-c', 'while True: 1'])"
    )
    handle = machine.runtime.start(machine.spec("python3", "-c", script))
    until(lambda: (found := machine.runtime.usage(handle)) and found.memory > 80 << 20 and found.cpu > 0.3)
    machine.runtime.stop(handle, grace=0)
    machine.wait(handle)
