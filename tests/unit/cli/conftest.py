"""The command line within this process."""

import sys

import pytest

from modelwright.cli import main


@pytest.fixture(autouse=True)
def nobodys_home(tmp_path, monkeypatch):
    monkeypatch.setenv("MODELWRIGHT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("MODELWRIGHT_PORT", raising=False)
    return tmp_path / "home"


@pytest.fixture
def modelwright(monkeypatch, capfd):
    """Run it; the exit status, stdout and stderr."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["modelwright", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
        said = capfd.readouterr()
        return code, said.out, said.err

    return run
