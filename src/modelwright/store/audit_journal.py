"""What the audit log is written by: at once into a file, from there in batches into the database.

A call is written down before it is run and again when its outcome is known, each by one `write` to a file opened for
appending: that takes microseconds and outlives a kill -9 (not a power cut: nothing waits for the disk). A thread moves
what has ended to the database, so a call never waits for it. The files are segments; one goes when all that began in it
is in the database. At the next start what a killed process left is moved first; a call that began there and has no end
becomes an entry too, whose outcome nobody knows.
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from modelwright.store.audit import Entry, add_entries, known_entries
from modelwright.store.database import Database

_log = logging.getLogger(__name__)

SEGMENT = 1 << 20
"""Bytes after which another file is begun."""
DELAY = 0.5
"""Seconds that entries gather before they are moved."""
UNKNOWN = {"errorCode": "OutcomeUnknown", "errorMessage": "The server ended before this call did."}


@dataclass
class _Segment:
    path: Path
    file: int
    size: int = 0
    open: int = 0
    """Entries that began here and are not in the database."""


class AuditJournal:
    """Writes entries. Safe to use from many threads."""

    def __init__(self, folder: Path, database: Database) -> None:
        """Moves what an earlier process has left in `folder`."""
        self._folder = folder
        self._database = database
        self._lock = threading.Condition()
        self._moving = threading.Lock()
        self._ended: list[tuple[Entry | None, _Segment]] = []
        self._thread: threading.Thread | None = None
        self._closed = False
        self._number = 0
        self._segment: _Segment | None = None
        self._recover()

    def begin(self, entry: Entry) -> Callable[[Mapping[str, Any] | None], None]:
        """Write an entry down before its call is run; what comes back is to be called with what it came to (None: it
        was nothing).

        Raises OSError when it can't be written: then the call must not be run.
        """
        line = _line({"begin": asdict(entry)})
        with self._lock:
            segment = self._write(line)
            segment.open += 1

        def end(outcome: Mapping[str, Any] | None) -> None:
            done = None if outcome is None else replace(entry, record={**entry.record, **outcome})
            ending = _line({"end": entry.id, "outcome": outcome})
            with self._lock:
                try:
                    self._write(ending)
                except OSError as error:  # it is still in memory, and on its way to the database
                    _log.warning("the audit's journal can't be written: %s", error)
                self._ended.append((done, segment))
                self._start()
                self._lock.notify()

        return end

    def flush(self) -> None:
        """Everything that has ended so far is in the database."""
        with self._moving:
            with self._lock:
                batch, self._ended = self._ended, []
            if not batch:
                return
            try:
                with self._database.write() as transaction:
                    add_entries(transaction, [entry for entry, _ in batch if entry is not None])
            except BaseException:
                with self._lock:
                    self._ended = batch + self._ended
                raise
            with self._lock:
                for _, segment in batch:
                    segment.open -= 1
                    self._drop(segment)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._lock.notify()
        if self._thread is not None:
            self._thread.join()
        try:
            self.flush()
        except Exception:
            _log.exception("the audit log could not be written; the next start does it")
        with self._lock:
            if self._segment is not None:
                os.close(self._segment.file)
                self._segment = None

    # The thread

    def _start(self) -> None:
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._ended or self._closed)
                if self._closed:
                    return
                self._lock.wait_for(lambda: self._closed, timeout=DELAY)
            try:
                self.flush()
            except Exception:
                _log.exception("the audit log could not be written; it is tried again")

    # Files

    def _write(self, line: bytes) -> _Segment:
        segment = self._segment
        if segment is None or segment.size > SEGMENT:
            segment = self._next()
        os.write(segment.file, line)
        segment.size += len(line)
        return segment

    def _next(self) -> _Segment:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._number += 1
        path = self._folder / f"{self._number:08}.jsonl"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        before, self._segment = self._segment, _Segment(path, file)
        if before is not None:
            os.close(before.file)
            self._drop(before)
        return self._segment

    def _drop(self, segment: _Segment) -> None:
        """A segment whose entries are all in the database: the file goes, or begins anew."""
        if segment.open:
            return
        if segment is self._segment:
            os.ftruncate(segment.file, 0)
            segment.size = 0
        else:
            segment.path.unlink(missing_ok=True)

    def _recover(self) -> None:
        paths = sorted(self._folder.glob("*.jsonl"))
        if not paths:
            return
        begun: dict[str, Entry] = {}
        for path in paths:
            for fact in _facts(path):
                if "begin" in fact:
                    entry = Entry(**fact["begin"])
                    begun[entry.id] = replace(entry, record={**entry.record, **UNKNOWN})
                elif fact["end"] in begun and fact["outcome"] is None:
                    del begun[fact["end"]]
                elif fact["end"] in begun:
                    entry = begun[fact["end"]]
                    record = {key: value for key, value in entry.record.items() if key not in UNKNOWN}
                    begun[entry.id] = replace(entry, record={**record, **fact["outcome"]})
        with self._database.write() as transaction:
            known = known_entries(transaction, begun)
            add_entries(transaction, [entry for entry in begun.values() if entry.id not in known])
        for path in paths:
            path.unlink()


def _line(fact: Mapping[str, Any]) -> bytes:
    return json.dumps(fact, separators=(",", ":"), default=str).encode() + b"\n"


def _facts(path: Path) -> Iterator[dict[str, Any]]:
    """The lines; one that the end of the process has cut off is none."""
    for line in path.read_bytes().splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            _log.warning("%s: a line is cut off", path)
