"""CodeBuild in tests of the engine: projects with little in them, builds to their end, archives."""

import contextlib
import io
import json
import zipfile
from pathlib import Path

from support.platform import CONTEXT, ROLE


def spec(*build, **more):
    """A buildspec; JSON is YAML. `more`: phases by name, or `artifacts`, `env`, ..."""
    phases = {"build": {"commands": list(build)}} if build else {}
    for name in ("install", "pre_build", "build", "post_build"):
        if name in more:
            given = more.pop(name)
            phases[name] = given if isinstance(given, dict) else {"commands": given}
    return json.dumps({"version": 0.2, "phases": phases, **more})


def processes(marker):
    """Those of this machine whose command line has the marker."""
    found = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if marker in each.read_bytes().decode(errors="replace"):
                found.append(each)
    return found


def archive(**files):
    """A ZIP archive's bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        for name, content in files.items():
            file.writestr(name, content)
    return buffer.getvalue()


class CodeBuild:
    def __init__(self, platform):
        self.platform = platform

    def __call__(self, operation, **parameters):
        return self.platform.dispatcher.call(CONTEXT, "codebuild", operation, parameters)

    def project(
        self, name="proj", buildspec=None, *, source=None, image="bare", artifacts=None, environment=None, **more
    ):
        source = source or {"type": "NO_SOURCE"}
        if buildspec is not None:
            source = {**source, "buildspec": buildspec}
        return self(
            "CreateProject",
            name=name,
            source=source,
            artifacts=artifacts or {"type": "NO_ARTIFACTS"},
            environment={
                "type": "LINUX_CONTAINER",
                "image": image,
                "computeType": "BUILD_GENERAL1_SMALL",
                **(environment or {}),
            },
            serviceRole=ROLE,
            **more,
        )["project"]

    def start(self, name="proj", **more):
        return self("StartBuild", projectName=name, **more)["build"]["id"]

    def build(self, identity):
        return self("BatchGetBuilds", ids=[identity])["builds"][0]

    def built(self, identity, timeout=60):
        """The build's document when it has ended."""
        self.platform.until(lambda: self.build(identity)["buildComplete"], timeout)
        return self.build(identity)

    def run(self, name="proj", **more):
        return self.built(self.start(name, **more))

    def log(self, build):
        from modelwright.store import logs

        with self.platform.database.read() as transaction:
            stream = logs.find_stream(transaction, build["logs"]["groupName"], build["logs"]["streamName"])
            return [] if stream is None else [e.message for e in logs.read_events(transaction, [stream])]

    def said(self, build):
        """What the build's commands have printed themselves."""
        return [line for line in self.log(build) if not line.startswith("[Container] ")]


def statuses(build):
    return {phase["phaseType"]: phase.get("phaseStatus") for phase in build["phases"]}


def context(build, phase):
    found = next(each for each in build["phases"] if each["phaseType"] == phase)
    return found["contexts"][0]
