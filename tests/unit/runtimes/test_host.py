"""What `modelwright doctor` says about this machine."""

from __future__ import annotations

from collections import namedtuple

import pytest

from modelwright.config import Settings
from modelwright.errors import ConfigurationError
from modelwright.runtimes import host, limits, sandbox


def _findings(**settings):
    return {finding.topic: finding for finding in host.examine(Settings(**settings))}


def test_it_looks_at_everything(tmp_path):
    found = _findings(home=tmp_path / "home")
    wanted = {"Python", "sandbox", "networks", "inputs", "memory limit", "CPU limit", "CPUs", "memory", "disk", "GPU"}
    assert wanted <= set(found)
    assert all(finding.text for finding in found.values())
    assert not (tmp_path / "home").exists()


def test_no_sandbox_is_no_good_news(tmp_path):
    found = _findings(home=tmp_path, sandbox="none")
    assert not found["sandbox"].good
    assert "/opt/ml" in found["sandbox"].text
    assert not found["inputs"].good


def test_a_sandbox_that_is_asked_for_and_does_not_work_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(sandbox, "probe", lambda kind: (None, f"{kind}: not allowed"))
    sandbox.choose.cache_clear()
    try:
        with pytest.raises(ConfigurationError, match="bubblewrap: not allowed"):
            sandbox.choose("bubblewrap")
        assert "not allowed" in _findings(home=tmp_path, sandbox="bubblewrap")["sandbox"].text
        automatic = _findings(home=tmp_path)["sandbox"]
        assert not automatic.good
        assert "unshare: not allowed" in automatic.text
        assert "bubblewrap: not allowed" in automatic.text
    finally:
        sandbox.choose.cache_clear()


def test_the_first_sandbox_that_works_is_taken(monkeypatch):
    def probe(kind):
        return (None, "unshare: no") if kind == "unshare" else (sandbox.Sandbox("bubblewrap", overlay=True), "")

    monkeypatch.setattr(sandbox, "probe", probe)
    sandbox.choose.cache_clear()
    try:
        assert sandbox.choose("auto") == sandbox.Sandbox("bubblewrap", overlay=True, problems=("unshare: no",))
    finally:
        sandbox.choose.cache_clear()


def test_a_full_disk_is_said(tmp_path, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(host.shutil, "disk_usage", lambda path: usage(1 << 40, 1 << 40, 1 << 20))
    disk = _findings(home=tmp_path / "a" / "b")["disk"]
    assert not disk.good
    assert str(tmp_path) in disk.text


def test_without_control_groups_memory_is_limited_per_process(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "controllers", lambda: limits.Controllers({}, problem="Read-only file system"))
    found = _findings(home=tmp_path)["memory limit"]
    assert not found.good
    assert "Read-only file system" in found.text
