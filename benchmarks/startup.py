"""From starting the process to the answer to its first signed call, beside moto's server."""

from __future__ import annotations

import statistics
import time

from benchmarks.report import Report
from benchmarks.servers import modelwright, moto

TITLE = "Start: from nothing to the first signed answer"
ROUNDS = 5


def run() -> Report:
    report = Report(["server", "seconds (median)", "resident MiB after it", "beside moto"])
    figures = {}
    for name, server in (("Modelwright", modelwright), ("moto", moto)):
        seconds, memory = [], []
        for _ in range(ROUNDS):
            begin = time.perf_counter()
            with server() as endpoint:
                endpoint.client("sagemaker").list_training_jobs()
                seconds.append(time.perf_counter() - begin)
                memory.append(endpoint.peak_memory())
        figures[name] = (statistics.median(seconds), statistics.median(memory))
    for name, (seconds_, memory_) in figures.items():
        report.add(name, f"{seconds_:.2f}", f"{memory_:.0f}", f"{seconds_ / figures['moto'][0]:.2f}x")
    report.note = (
        "Includes making a fresh home, its keys and database, and building the boto3 client. Aim: 1 s or less."
    )
    return report
