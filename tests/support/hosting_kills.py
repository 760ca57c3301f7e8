"""Kills an engine that hosts at each of its seams, and lets the next one go on.

A program of its own, because it forks: `python -m support.hosting_kills HOME FIRST STEP`.

A life creates an endpoint, updates it to one of two containers and deletes it; the one after the kill must bring all of
it to its end.
"""

import json
import os
import signal
import sys
from pathlib import Path

from modelwright.protocol.validation import validate
from modelwright.runtimes import sandbox
from support.hosting import Endpoints, ServingImages
from support.kills import child, dangerous, wait
from support.platform import Platform

LIMIT = 60


def prepare(home):
    def act():
        platform = Platform(home, images=ServingImages(home.parent))
        endpoints = Endpoints(platform)
        endpoints.model("old")
        endpoints.several("new", ("first", {}), ("second", {"NAME": "new", "MODE": "echo-who"}))
        for name in ("old", "new"):
            endpoints.config(name, one=name)
        endpoints.create("e", "old")
        platform.close()

    assert wait(child(act)) == 0


def live(home, seam=None):
    def act():
        if seam is not None:
            dangerous(seam)
        platform = Platform(home, images=ServingImages(home.parent)).start()
        endpoints = Endpoints(platform)

        def there():
            return platform.document("Endpoint", "e") is not None

        def settled():
            return platform.document("Endpoint", "e")["EndpointStatus"] in ("InService", "Failed")

        if there() and endpoints.describe("e")["EndpointStatus"] != "Deleting":
            platform.until(settled, LIMIT)
            found = endpoints.describe("e")
            assert found["EndpointStatus"] == "InService", found
            if found["EndpointConfigName"] == "old":
                endpoints.call("UpdateEndpoint", EndpointName="e", EndpointConfigName="new")
                platform.until(settled, LIMIT)
            found = endpoints.describe("e")
            assert found["EndpointStatus"] == "InService", found
            assert json.loads(endpoints.invoke("e", b"who")["Body"])[0] == "new", found
            endpoints.call("DeleteEndpoint", EndpointName="e")
        platform.until(lambda: not there(), LIMIT)

    return child(act)


def left(home):
    """Containers that still run, and folders that are still there."""
    locks = []
    for container in Path(home, "jobs").glob("endpoint.*"):
        if container.is_dir() and (container / "started").exists() and not (container / "exit").exists():
            locks.append(container.name)
    return locks


def each_seam(where, first, step):
    outcomes, seam = [], first
    while True:
        home = where / str(seam) / "home"
        home.parent.mkdir(parents=True)
        prepare(home)
        died = wait(live(home, seam)) == -signal.SIGKILL
        done = wait(live(home)) if died else 0
        outcomes.append({"seam": seam, "died": died, "done": done, "left": left(home)})
        if not died:
            return outcomes
        seam += step


if __name__ == "__main__":
    os.environ.pop("MODELWRIGHT_HOME", None)
    validate("sagemaker", "DescribeEndpoint", {"EndpointName": "e"})
    sandbox.choose("auto")
    where, first, step = sys.argv[1:]
    sys.stdout.write(json.dumps(each_seam(Path(where), int(first), int(step))) + "\n")
