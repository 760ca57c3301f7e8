"""The command line as a user runs it: a process of its own, on a home."""

import signal
import subprocess
import sys

from support.server import _CLEAN

COMMAND = (sys.executable, "-m", "modelwright")
SECONDS = 90


class CommandLine:
    """`modelwright` on one home folder."""

    def __init__(self, home, **environ):
        user = home.with_name("user")
        user.mkdir(parents=True, exist_ok=True)
        self.environ = {**_CLEAN, "MODELWRIGHT_HOME": str(home), "HOME": str(user), **environ}

    def __call__(self, *arguments, code=0, stdin=None):
        """Run a command to its end; what it wrote. The exit status must be `code`."""
        done = subprocess.run(
            [*COMMAND, *map(str, arguments)],
            check=False, env=self.environ, input=stdin, capture_output=True, text=True, timeout=SECONDS,
        )  # fmt: skip
        assert done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        assert not done.stderr.startswith("Traceback"), done.stderr
        assert "\nTraceback" not in done.stderr, done.stderr
        return done

    def out(self, *arguments, **more):
        return self(*arguments, **more).stdout

    def err(self, *arguments, **more):
        """The one line that says what is wrong."""
        done = self(*arguments, **more)
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        return line

    def start(self, *arguments):
        """Start a command that goes on; its stdout and stderr come together, line by line."""
        return subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            env={**self.environ, "PYTHONUNBUFFERED": "1"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip


def read_until(process, text):
    """The lines of a started command up to one with the text."""
    lines = []
    for line in process.stdout:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError(f"it ended without '{text}':\n{''.join(lines)}")


def interrupt(process):
    """As Ctrl-C does; the exit status and what it still said."""
    process.send_signal(signal.SIGINT)
    return ended(process)


def ended(process):
    rest, _ = process.communicate(timeout=SECONDS)
    return process.returncode, rest
