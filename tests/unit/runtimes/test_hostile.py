"""A job that means harm, in a real sandbox: it reads no secret, changes nothing outside, and ends when it ends."""

from __future__ import annotations

import os
import random
import shutil
import socket
import subprocess
import tarfile
import textwrap
from pathlib import Path

import pytest

from modelwright.runtimes import limits
from modelwright.runtimes.base import Image, Limits, Mount


def test_keys_and_homes_are_not_there(closed, tmp_path):
    closed.home.mkdir(parents=True)
    (closed.home / "credentials.json").write_text("secret")
    (closed.home / "ca").mkdir()
    (closed.home / "ca" / "key.pem").write_text("secret")
    image = closed.home / "images" / "one" / "tree"
    (image / "opt" / "program").mkdir(parents=True)
    (image / "opt" / "program" / "file").write_text("visible")
    script = f"""
        cat {closed.home}/credentials.json; cat {closed.home}/ca/key.pem; ls -a {tmp_path}
        cat /etc/shadow; ls /root/.ssh /root/.aws /home /var/lib /mnt /srv /run
        cat /proc/1/environ /proc/*/root/{closed.home}/credentials.json | tr '\\0' '\\n' | grep secret
        cat /opt/program/file
    """
    code, log = closed.sh(script, image=Image("t", "r", root=image))
    assert code == 0
    assert "secret" not in log
    assert "root:" not in log
    assert log.endswith("visible")


def test_nothing_outside_can_be_written(closed, tmp_path):
    """Everything is tried in a way that does no harm to this machine even where it succeeds."""
    tree = tmp_path / "tree"
    (tree / "usr" / "local" / "bin").mkdir(parents=True)
    (tree / "usr" / "local" / "bin" / "of-the-image").write_text("x")
    script = """
        for place in /usr /etc /usr/local/share /etc/passwd /usr/local/bin/of-the-image /sys/kernel/profiling \
                     /proc/sys/kernel/core_pattern /proc/sysrq-trigger /opt/*; do
            case $place in /opt/ml) continue;; esac
            if [ -d $place ]; then
                if mkdir $place/of-the-job 2>/dev/null; then rmdir $place/of-the-job; echo "could write $place"; fi
            elif [ -e $place ]; then
                if (: >>$place) 2>/dev/null; then echo "could write $place"; fi
            fi
        done
        mount -o remount,rw,bind /usr && echo "could remount"
        umount /etc && echo "could unmount"
        mount -t tmpfs none /mnt && echo "could mount"
        mknod /tmp/zero c 1 5 && head -c 1 /tmp/zero && echo "could use a device"
        unshare -Urm umount /etc && echo "could unmount in a namespace"
        chroot / true && echo "could chroot"
        hostname "$(hostname)" && echo "could name the host"
        date -s "$(date)" && echo "could set the clock"
        echo end
    """
    _, log = closed.sh(script, image=Image("t", "r", root=tree))
    assert "could" not in log, log
    assert log.endswith("end\n")


def test_it_sees_no_process_but_its_own(closed):
    bystander = subprocess.Popen(["sleep", "1000"])
    try:
        code, log = closed.sh(f"kill -9 {bystander.pid}; ls /proc | grep -c '^[0-9]'")
        assert code == 0
        assert int(log.splitlines()[-1]) <= 5
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_what_it_leaves_running_ends_with_it(closed, until):
    mark = f"{random.getrandbits(40)}"
    script = f"setsid sh -c 'trap \"\" TERM HUP; sleep {mark}; sleep {mark}' >/dev/null 2>&1 & sleep 0.1; echo gone"
    assert closed.sh(script) == (0, "gone\n")
    assert not _running(mark)


@pytest.mark.skipif("pids" not in limits.controllers().folders, reason="needs a control group for processes")
def test_a_fork_bomb_stays_inside(closed, monkeypatch):
    monkeypatch.setattr(limits, "PROCESSES", 50)
    script = "n=0; while [ $n -lt 200 ]; do sleep 1000 & n=$((n+1)); done; echo got all"
    code, log = closed.sh(script, limits=Limits())
    assert code != 0
    assert "got all" not in log


def test_inputs_behind_links_are_not_followed_out(closed, tmp_path):
    channel = tmp_path / "channel"
    channel.mkdir()
    (tmp_path / "outside").write_text("secret")
    (channel / "link").symlink_to(tmp_path / "outside")
    log = closed.sh("cat /opt/ml/c/link", mounts=(Mount(channel, "/opt/ml/c", "cow"),))[1]
    assert "secret" not in log


def test_the_environment_can_not_reach_the_tools_outside(closed, tmp_path):
    """What starts the sandbox must not load what the job's environment names."""
    trap = tmp_path / "trap"
    trap.write_text(f"touch {tmp_path}/sprung\n")
    environment = {"ENV": str(trap), "BASH_ENV": str(trap), "LD_PRELOAD": str(trap), "PYTHONSTARTUP": str(trap)}
    closed.sh("true", environment=environment)
    assert not (tmp_path / "sprung").exists()


def test_commands_and_files_do_not_show_the_environment_to_others(closed, until, tmp_path):
    os.mkfifo(tmp_path / "go")
    mounts = (Mount(tmp_path, "/opt/ml/f", "rw"),)
    secret = f"{random.getrandbits(60)}"
    spec = closed.spec("/bin/sh", "-c", "read x < /opt/ml/f/go", environment={"KEY": secret}, mounts=mounts)
    handle = closed.runtime.start(spec)
    until((closed.folder(handle) / "started").exists)
    assert not [pid for pid, words in _command_lines() if any(secret in word for word in words)]
    assert closed.folder(handle).stat().st_mode & 0o077 == 0
    (tmp_path / "go").write_text("\n")
    closed.wait(handle)


def test_torch_sized_shared_memory_and_terminals_work(closed):
    script = """
        import multiprocessing, os, pty
        with open("/dev/shm/big", "wb") as file: file.write(bytes(80 << 20))
        multiprocessing.get_context("spawn").Lock()
        os.openpty()
        print("fine")
    """
    assert closed.run(closed.spec("python3", "-c", textwrap.dedent(script))) == (0, "fine\n")


def test_the_network_is_the_hosts(closed):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        script = f"import socket; socket.create_connection(('127.0.0.1', {port})).sendall(b'hello')"
        handle = closed.runtime.start(closed.spec("python3", "-c", script))
        connection, _ = server.accept()
        with connection:
            assert connection.recv(5) == b"hello"
        closed.wait(handle)


def test_archives_of_other_users_can_be_unpacked(closed, tmp_path):
    with tarfile.open(tmp_path / "source.tar.gz", "w:gz") as archive:
        member = tarfile.TarInfo("train.py")
        member.uid = member.gid = 1000
        archive.addfile(member)
    mounts = (Mount(tmp_path, "/opt/ml/code", "cow"),)
    code, log = closed.sh("cd /opt/ml/code && tar -xzf source.tar.gz && ls train.py", mounts=mounts)
    assert (code, log) == (0, "train.py\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
@pytest.mark.parametrize("kind", ["unshare", "bubblewrap", "none"])
def test_the_same_for_an_ordinary_user(kind, tmp_path):
    """As somebody without any rights: sandbox, copy-on-write inputs, limits, exit, stop."""
    python = "/usr/bin/python3"
    if not os.path.exists(python):
        pytest.skip("needs an interpreter that other users can read")
    package = tmp_path / "package"
    shutil.copytree(Path(__file__).parents[3] / "src", package)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == "root" and folder.stat().st_mode & 0o055 != 0o055:
            folder.chmod(folder.stat().st_mode | 0o055)
    home = tmp_path / "theirs"
    home.mkdir()
    os.chown(home, 65534, 65534)
    script = f"""
import sys, threading, os
sys.path.insert(0, {str(package)!r})
from pathlib import Path
from modelwright.config import Settings
from modelwright.runtimes import sandbox
from modelwright.runtimes.base import *
from modelwright.runtimes.process import ProcessRuntime
kind, home = {kind!r}, Path({str(home)!r})
if kind != "none" and sandbox.probe(kind)[0] is None:
    print("SKIP", sandbox.probe(kind)[1]); sys.exit()
runtime = ProcessRuntime(Settings(home=home / "home", sandbox=kind))
source = home / "source"; source.mkdir(); (source / "file").write_text("input")
script = "cat /opt/ml/c/file; echo changed > /opt/ml/c/file; cat /opt/ml/c/file; echo x > /usr/x; id -u; exit 4"
def end(name, *argv, then=None):
    handle = runtime.start(ContainerSpec(name, Image("t", "r"), argv, mounts=(Mount(source, "/opt/ml/c", "cow"),)))
    gone = threading.Event(); runtime.watch(handle, gone.set)
    if then: then(handle)
    assert gone.wait(60)
    return runtime.poll(handle), runtime.logs(handle, 0)[0].decode()
ended, log = end("one", "/bin/sh", "-c", script)
assert ended.code == 4, (ended, log)
assert "inputchanged" in log and log.endswith(f"{{os.geteuid()}}\\n"), log
assert (source / "file").read_text() == "input"
ended, log = end("two", "sleep", "1000", then=lambda handle: runtime.stop(handle, grace=50))
assert ended.code == 143, (ended, log)
runtime.remove(Handle("process", "one"))
assert sorted(path.name for path in (home / "home" / "jobs" / "one").iterdir()) == ["exit", "lock", "started"]
print("DONE")
"""
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all", python, "-c", script],
        capture_output=True,
        text=True,
        cwd="/",
        env={"PATH": os.defpath, "HOME": "/nonexistent"},
        timeout=120,
        check=False,
    )
    if done.stdout.startswith("SKIP"):
        pytest.skip(done.stdout)
    assert done.stdout.endswith("DONE\n"), done.stdout + done.stderr


def _running(word: str) -> bool:
    return any(word in words for _, words in _command_lines())


def _command_lines() -> list[tuple[int, list[str]]]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid():
            try:
                words = Path("/proc", name, "cmdline").read_bytes().decode(errors="replace").split("\0")
            except OSError:
                continue
            found.append((int(name), words))
    return found
