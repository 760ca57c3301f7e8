"""`python -m benchmarks [NAME...]`: run them and write their tables into docs/benchmarks.md.

A benchmark is a module here with `TITLE` and `run() -> Report`. Sections of benchmarks that were not run stay.
"""

from __future__ import annotations

import importlib
import os
import platform
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.report import Report

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
NAMES = ("startup", "steps", "control_plane", "studio", "s3", "inputs", "router")
HEAD = """# Benchmarks

Made by `scripts/bench`; every figure stands beside its yardstick from the same run. Timings move from run to run and
machine to machine: compare within a table.
"""


def main(names: list[str]) -> None:
    sections = read()
    for name in names or NAMES:
        module = importlib.import_module(f"benchmarks.{name}")
        print(f"== {module.TITLE}", file=sys.stderr, flush=True)
        report: Report = module.run()
        sections[name] = section(module.TITLE, report)
        print(sections[name], flush=True)
        write(sections)


def section(title: str, report: Report) -> str:
    when = datetime.now(UTC).strftime("%Y-%m-%d")
    machine = (
        f"{os.cpu_count()} cores, {platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}"
    )
    return f"## {title}\n\n{report.markdown()}\n\nMeasured {when} on {machine}.\n"


def read() -> dict[str, str]:
    if not PAGE.exists():
        return {}
    return {
        name: text.strip() + "\n"
        for name, text in re.findall(r"<!-- (\w+) -->\n(.*?)<!-- /\1 -->", PAGE.read_text(), re.DOTALL)
    }


def write(sections: dict[str, str]) -> None:
    parts = [f"<!-- {name} -->\n{sections[name]}<!-- /{name} -->\n" for name in NAMES if name in sections]
    PAGE.write_text(HEAD + "\n" + "\n".join(parts))


if __name__ == "__main__":
    main(sys.argv[1:])
