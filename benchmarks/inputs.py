"""A channel of 20,000 files: from the listing in the store to a folder that a job can be given.

Beside copying the same files and linking them, as `cp` does it.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from benchmarks.report import Report
from modelwright.objects.directory import DirectoryStore

TITLE = "Inputs: a channel of 20,000 files made ready for a job"
FILES = 20_000
ROUNDS = 3


def run() -> Report:
    report = Report(["how", "ms", "beside `cp -r`"])
    with tempfile.TemporaryDirectory(prefix="modelwright-bench-") as folder:
        root = Path(folder)
        source = root / "source"
        make_files(source)
        store = DirectoryStore(root / "store", fsync=False)
        store.create_bucket("data", "us-east-1")
        for file in sorted(source.rglob("*.txt")):
            store.put_file("data", f"train/{file.relative_to(source)}", file)
        copied = statistics.median(timed(["cp", "-r", str(source), str(root / f"copy{i}")]) for i in range(ROUNDS))
        linked = statistics.median(timed(["cp", "-rl", str(source), str(root / f"link{i}")]) for i in range(ROUNDS))
        first = timed_view(store)
        again = statistics.median(timed_view(store) for _ in range(ROUNDS))
        store.put_bytes("data", "train/one-more.txt", b"x")
        changed = timed_view(store)
        store.close()
    rows = [
        ("`cp -r`", copied),
        ("`cp -rl` (hard links)", linked),
        ("Modelwright, the first job", first),
        ("Modelwright, the next job with the same data", again),
        ("Modelwright, after one file was added", changed),
    ]
    for name, took in rows:
        report.add(name, f"{took * 1000:.0f}", f"{took / copied:.3f}x")
    report.note = "The job then gets the folder by one copy-on-write mount. Aim: 100 ms."
    return report


def make_files(folder: Path) -> None:
    for group in range(20):
        (folder / f"{group:02d}").mkdir(parents=True)
        for number in range(FILES // 20):
            (folder / f"{group:02d}" / f"{number:05d}.txt").write_text(f"{group} {number}\n" * 20)


def timed(command: list[str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True)
    took = time.perf_counter() - begin
    shutil.rmtree(command[-1])
    return took


def timed_view(store: DirectoryStore) -> float:
    begin = time.perf_counter()
    view = store.view("data", "train/")
    took = time.perf_counter() - begin
    if sum(1 for _ in view.rglob("*.txt")) < FILES:
        raise RuntimeError("files are missing")
    return took
