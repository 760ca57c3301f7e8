"""The pages that are made from the code say what the code says."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["operations.md", "cli.md", "settings.md"])
def test_a_generated_page_is_up_to_date(name):
    pages = runpy.run_path(str(ROOT / "scripts" / "generate.py"))["pages"]()
    assert (ROOT / "docs" / name).read_text() == pages[name], "stale: run .venv/bin/python scripts/generate.py"


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "docs/design.md"])
def test_links_and_scripts_that_a_page_names_exist(page):
    text = (ROOT / page).read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    for named in [(ROOT / page).parent / link for link in links] + [ROOT / s for s in re.findall(r"scripts/\w+", text)]:
        assert named.exists() or named.with_suffix(".py").exists(), named
