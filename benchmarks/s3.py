"""S3 by boto3: small objects and one big one, beside moto's server and plain files with fsync."""

from __future__ import annotations

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from boto3.s3.transfer import TransferConfig

from benchmarks.report import Report
from benchmarks.servers import Endpoint, modelwright, moto

TITLE = "S3: 1,000 objects of 4 KiB and one of 1 GiB, by boto3"
SMALL = os.urandom(4096)
COUNT = 1000
BIG = 1 << 30
ROUNDS = 3
ROWS = (
    ("1,000 puts of 4 KiB", "s", "1.7"),
    ("1,000 gets of 4 KiB", "s", "1.2"),
    ("1 GiB up", "s", "4"),
    ("1 GiB down", "s", "4"),
    ("server's peak memory", "MiB", "150"),
)


def run() -> Report:
    report = Report(["what", "Modelwright", "aim", "moto", "plain files", "Modelwright beside moto"])
    with tempfile.TemporaryDirectory(prefix="modelwright-bench-") as folder:
        big = Path(folder) / "big"
        with big.open("wb") as file:
            block = os.urandom(1 << 20)
            for _ in range(BIG >> 20):
                file.write(block)
        with modelwright() as endpoint:
            ours = measure(endpoint, big, 2)
        with moto() as endpoint:
            theirs = measure(endpoint, big, 1)  # it takes minutes
        plain = files(Path(folder), big)
    for (name, unit, aim), our, their, bare in zip(ROWS, ours, theirs, plain, strict=True):
        bare_text = "" if bare is None else f"{bare:.2f} {unit}"
        ratio = f"{our / their:.2f}x"
        report.add(name, f"{our:.2f} {unit}", f"{aim} {unit}", f"{their:.2f} {unit}", bare_text, ratio)
    report.note = (
        f"Medians of {ROUNDS} rounds for the small ones; the better of two for the big one, moto's once. One client "
        "process, "
        "one connection for the small ones; the big one by `upload_file` and `download_file` in parts of 8 MiB over "
        "ten connections. Modelwright syncs every object to the disk before it answers, moto keeps them in memory or "
        "a temporary file; plain files are written with fsync and read back, one after the other."
    )
    return report


def measure(endpoint: Endpoint, big: Path, tries: int) -> list[float]:
    client = endpoint.client("s3")
    client.create_bucket(Bucket="bench")

    def put() -> None:
        for number in range(COUNT):
            client.put_object(Bucket="bench", Key=f"small/{number}", Body=SMALL)

    def get() -> None:
        for number in range(COUNT):
            client.get_object(Bucket="bench", Key=f"small/{number}")["Body"].read()

    results = [
        statistics.median(timed(put) for _ in range(ROUNDS)),
        statistics.median(timed(get) for _ in range(ROUNDS)),
    ]
    parallel = TransferConfig()
    again = big.with_name("again")
    up = [timed(lambda: client.upload_file(str(big), "bench", "big", Config=parallel)) for _ in range(tries)]
    down = [timed(lambda: client.download_file("bench", "big", str(again), Config=parallel)) for _ in range(tries)]
    if again.stat().st_size != BIG:
        raise RuntimeError("the download is not what was uploaded")
    again.unlink()
    return [*results, min(up), min(down), endpoint.peak_memory()]


def files(folder: Path, big: Path) -> list[float | None]:
    small = folder / "small"
    small.mkdir()

    def put() -> None:
        for number in range(COUNT):
            with (small / str(number)).open("wb") as file:
                file.write(SMALL)
                os.fsync(file.fileno())

    def get() -> None:
        for number in range(COUNT):
            (small / str(number)).read_bytes()

    def up() -> None:
        shutil.copyfile(big, folder / "copy")
        with (folder / "copy").open("rb+") as file:
            os.fsync(file.fileno())

    def down() -> None:
        shutil.copyfile(folder / "copy", folder / "back")

    results: list[float | None] = [timed(put), timed(get), timed(up), timed(down)]
    return [*results, None]


def timed(action: Callable[[], None]) -> float:
    begin = time.perf_counter()
    action()
    return time.perf_counter() - begin
