"""What jobs print -> CloudWatch Logs, while they run and to the last byte before they end.

One thread looks at the output of all running jobs, five times a second; without a job it sleeps for good. How far a
job's output has been shipped, and what its metrics were by then, is kept in the same transaction as the lines, so
that a restart neither loses nor repeats any. The record is a resource of kind `JobLog`, named as the job's stream.

A line ends at a newline. Of a line that was overwritten by carriage returns (a progress bar) the last state is kept;
colours and other terminal sequences are taken out; bytes that are no UTF-8 are replaced.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from modelwright.engine.metrics import Metrics
from modelwright.runtimes.base import Handle, Runtime
from modelwright.store.database import Database, Transaction
from modelwright.store.logs import put_log_events
from modelwright.store.resources import delete_resource, find_resource, insert_resource, replace_resource

_log = logging.getLogger(__name__)

KIND = "JobLog"
INTERVAL = 0.2
EVENT_LIMIT = 256 * 1024 - 26
"""Bytes of one event: what CloudWatch Logs takes, less what it counts for the event itself."""
_CHUNK = 1 << 20
_TAIL = 16 * 1024

_TERMINAL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\-_])")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


Measured = Callable[[str, Sequence[tuple[str, float]], float], None]


@dataclass
class JobLog:
    """One job's log."""

    stream: str
    """The job's event stream."""
    group: str
    name: str
    handle: Handle
    metrics: Metrics
    offset: int = 0
    recorded: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)


class LogShipper:
    """Ships the logs of running jobs."""

    def __init__(
        self,
        *,
        database: Database,
        runtime: Runtime,
        now: Callable[[], float],
        shipped: Callable[[str], None] = lambda _: None,
        measured: Measured = lambda stream, values, time: None,
    ) -> None:
        """`shipped(event stream)` is called after new lines of a job can be read, `measured(event stream, metrics by
        name, time)` when there were values of metrics in them. Both must return at once."""
        self._shipped = shipped
        self._measured = measured
        self._database = database
        self._runtime = runtime
        self._now = now
        self._following: dict[str, JobLog] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._closed = False

    def open(
        self,
        stream: str,
        group: str,
        name: str,
        handle: Handle,
        definitions: Sequence[Mapping[str, str]],
        *,
        fresh: bool,
    ) -> JobLog:
        """The log of a job, as far as it was shipped before; not at all, if it is `fresh`."""
        record = None
        if not fresh:
            with self._database.read() as transaction:
                record = find_resource(transaction, KIND, stream)
        log = JobLog(stream, group, name, handle, Metrics(definitions, record and record["Metrics"]))
        if record is not None:
            log.offset, log.recorded = record["Offset"], True
        return log

    def follow(self, log: JobLog) -> None:
        """Ship what it prints, from now on."""
        with self._changed:
            self._following[log.stream] = log
            if self._thread is None and not self._closed:
                self._thread = threading.Thread(target=self._run, name="log-shipper", daemon=True)
                self._thread.start()
            self._changed.notify()

    def finish(self, log: JobLog) -> None:
        """Ship all that is left of an ended job's output, and look at it no more."""
        with self._changed:
            self._following.pop(log.stream, None)
        self._ship(log, last=True)

    def drop(self, stream: str) -> None:
        """Look no more at the log of a job that has ended in another way."""
        with self._changed:
            self._following.pop(stream, None)

    def tail(self, log: JobLog, lines: int) -> list[str]:
        """The last lines of a finished log."""
        data, _ = self._runtime.logs(log.handle, max(0, log.offset - _TAIL), _TAIL)
        return [text for _, text in _lines(data)][-lines:]

    def note(self, group: str, name: str, lines: Sequence[str], stream: str = "") -> None:
        """Say something in a job's log. Whoever looks at the log of `stream`, its event stream, is told."""
        if lines:
            now = int(self._now() * 1000)
            with self._database.write() as transaction:
                put_log_events(transaction, group, name, [(now, line) for line in lines], now)
            if stream:
                self._shipped(stream)

    def forget(self, transaction: Transaction, stream: str) -> None:
        """The record of an ended job isn't needed any more."""
        delete_resource(transaction, KIND, stream)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify()
            thread = self._thread
        if thread is not None:
            thread.join(2.0)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._following and not self._closed:
                    self._changed.wait()
                if not self._closed:
                    self._changed.wait(INTERVAL)
                if self._closed:
                    return
                logs = list(self._following.values())
            for log in logs:
                try:
                    self._ship(log, last=False)
                except Exception:
                    _log.exception("the log of %s could not be shipped; it is tried again", log.stream)

    def _ship(self, log: JobLog, *, last: bool) -> None:
        with log.lock:
            while True:
                data, end = self._runtime.logs(log.handle, log.offset, _CHUNK)
                taken = len(data) if last and len(data) < _CHUNK else _complete(data)
                if not taken:
                    return
                self._store(log, data[:taken])
                if log.offset >= end and len(data) < _CHUNK:
                    return

    def _store(self, log: JobLog, data: bytes) -> None:
        now = self._now()
        time = int(now * 1000)
        events = []
        values: list[tuple[str, float]] = []
        for raw, shown in _lines(data):
            values += log.metrics.read(raw, time)
            events += [(time, part) for part in _parts(shown)]
        events += [(time, problem) for problem in log.metrics.problems()]
        offset = log.offset + len(data)
        record = {"Offset": offset, "Metrics": log.metrics.values}
        with self._database.write() as transaction:
            put_log_events(transaction, log.group, log.name, events, time)
            if log.recorded:
                replace_resource(transaction, KIND, log.stream, record, modified=now)
            else:
                insert_resource(transaction, KIND, log.stream, record, created=now)
        log.offset, log.recorded = offset, True
        self._shipped(log.stream)
        if values:
            self._measured(log.stream, values, now)


def _complete(data: bytes) -> int:
    """How many bytes make whole lines. A line longer than an event is taken in pieces."""
    end = data.rfind(b"\n") + 1
    if end == 0 and len(data) >= EVENT_LIMIT:
        end = EVENT_LIMIT
        while end > EVENT_LIMIT - 4 and data[end] & 0xC0 == 0x80:
            end -= 1  # not in the middle of a character
    return end


def _lines(data: bytes) -> list[tuple[str, str]]:
    """(the whole line, what a terminal would show at its end) of each line."""
    text = data.decode(errors="replace")
    lines = text.split("\n")
    if lines and not lines[-1]:
        lines.pop()
    found = []
    for line in lines:
        clean = _CONTROL.sub("", _TERMINAL.sub("", line.rstrip("\r")))
        states = [state for state in clean.split("\r") if state.strip()]
        found.append((clean, states[-1] if states else ""))
    return found


def _parts(line: str) -> list[str]:
    """A line as events: pieces that are short enough, and never an empty one (CloudWatch Logs refuses it)."""
    if len(line) <= EVENT_LIMIT // 4:
        return [line or " "]
    parts, data = [], line.encode()
    while data:
        end = min(EVENT_LIMIT, len(data))
        while end < len(data) and data[end] & 0xC0 == 0x80:
            end -= 1
        parts.append(data[:end].decode(errors="replace"))
        data = data[end:]
    return parts
