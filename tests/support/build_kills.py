"""Kills an engine that runs a build at each of its seams, and lets the next one go on.

A program of its own, because it forks: `python -m support.build_kills HOME FIRST STEP`. It prints a JSON line.
"""

import json
import signal
import sys
from pathlib import Path

from modelwright.protocol.validation import validate
from modelwright.runtimes import sandbox
from support.builds import CodeBuild, archive, spec
from support.kills import answer, child, dangerous, wait
from support.platform import Platform

LIMIT = 60
COMMANDS = ("echo begin", "cat data.txt > made.txt", "echo end")


def prepare(home):
    """A project whose source and artifact are in S3, and a build of it; its id."""

    def act(platform):
        platform.bucket()
        files = {"buildspec.yml": spec(*COMMANDS, artifacts={"files": ["made.txt"]}), "data.txt": "data"}
        platform.objects.put_bytes("bucket", "source.zip", archive(**files))
        codebuild = CodeBuild(platform)
        codebuild.project(
            source={"type": "S3", "location": "bucket/source.zip"},
            artifacts={"type": "S3", "location": "bucket", "name": "made.zip", "packaging": "ZIP"},
        )
        return codebuild.start(idempotencyToken="once")

    return answer(home, act)


def live(home, identity, seam=None):
    """An engine's life: until the build has ended and its folder is gone, or a seam kills it."""

    def act():
        if seam is not None:
            dangerous(seam)
        platform = Platform(home).start(grace=5)
        CodeBuild(platform).built(identity, LIMIT)
        platform.until(lambda: not list(platform.settings.jobs.glob("*.build")), LIMIT)

    return child(act)


def result(home, identity):
    def ask(platform):
        codebuild = CodeBuild(platform)
        build = codebuild.build(identity)
        return {
            "status": build["buildStatus"],
            "phases": [phase["phaseType"] for phase in build["phases"]],
            "contexts": [each["message"] for phase in build["phases"] for each in phase.get("contexts", [])],
            "lines": codebuild.said(build),
            "artifact": platform.objects.head("bucket", "made.zip").size > 0,
            "builds": codebuild("ListBuilds")["ids"],
        }

    return answer(home, ask)


def at_each_seam(home, first, step):
    outcomes, seam = [], first
    while True:
        place = home / str(seam)
        identity = prepare(place)
        died = wait(live(place, identity, seam)) == -signal.SIGKILL
        if died:
            assert wait(live(place, identity)) == 0
        outcomes.append({"seam": seam, "died": died, "id": identity, **result(place, identity)})
        if not died:
            return outcomes
        seam += step


if __name__ == "__main__":
    validate("codebuild", "StartBuild", {"projectName": "warm"})
    sandbox.choose("auto")
    where, *numbers = sys.argv[1:]
    sys.stdout.write(json.dumps(at_each_seam(Path(where), *map(int, numbers))) + "\n")
