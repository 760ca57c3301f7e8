"""Builds and kill -9: at every seam a build goes on, its commands run once; what can't go on fails and says why."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

from support.builds import CodeBuild, context, spec
from support.platform import Platform, running

TESTS = Path(__file__).parent.parent


def test_at_seams(tmp_path):
    """Every fifth one here; `support.build_kills HOME 1 1` tries all."""
    done = subprocess.run(
        [sys.executable, "-m", "support.build_kills", str(tmp_path), "1", "5"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(TESTS), os.environ.get("PYTHONPATH", "")))},
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    outcomes = json.loads(done.stdout)
    assert len(outcomes) > 4
    for found in outcomes:
        assert found["status"] == "SUCCEEDED", found
        assert found["lines"] == ["begin", "end"], "its commands ran once, each line was shipped once"
        assert len(set(found["phases"])) == len(found["phases"]) == 11, found
        assert found["artifact"]
        assert found["builds"] == [found["id"]]
    assert not outcomes[-1]["died"]


def test_a_stop_while_the_server_is_away(tmp_path):
    home = tmp_path / "home"
    with running(home) as platform:
        codebuild = CodeBuild(platform)
        codebuild.project(buildspec=spec("echo begin; sleep 300"))
        identity = codebuild.start()
        platform.until(lambda: "begin" in codebuild.said(codebuild.build(identity)))
    away = Platform(home)
    CodeBuild(away)("StopBuild", id=identity)
    away.close()
    with running(home) as platform:
        build = CodeBuild(platform).built(identity)
        assert build["buildStatus"] == "STOPPED"
        assert CodeBuild(platform).said(build)[:1] == ["begin"]
        platform.until(lambda: not list(platform.settings.jobs.glob("*.build")))


def test_a_build_whose_container_is_lost_fails_and_is_not_run_again(tmp_path):
    with running(tmp_path / "home") as platform:
        codebuild = CodeBuild(platform)
        codebuild.project(buildspec=spec("echo begin; sleep 300"))
        identity = codebuild.start()
        platform.until(lambda: "begin" in codebuild.said(codebuild.build(identity)))
        handle = next(each for each in platform.settings.jobs.iterdir() if each.suffix != ".build")
        os.kill(int((handle / "started").read_text()), signal.SIGKILL)
        build = codebuild.built(identity)
        assert build["buildStatus"] == "FAULT"
        assert context(build, build["phases"][-2]["phaseType"])["statusCode"] == "INTERNAL_SERVER_ERROR"
        assert codebuild.said(build) == ["begin"]
