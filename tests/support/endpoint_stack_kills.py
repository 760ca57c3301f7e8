"""Kills a server at a seam of a stack whose endpoint really runs, and lets the next one go on.

A program of its own, because it forks: `python -m support.endpoint_stack_kills HOME SEAM ...`. A life creates the
stack, updates it, updates it to a model that crashes (it rolls back), and deletes it.
"""

import json
import os
import signal
import sys
from pathlib import Path

from support.hosting import ServingImages
from support.kills import child, dangerous, wait
from support.platform import Platform
from support.stacks import ENDPOINT, EndpointStacks, mode

BODY = json.dumps(ENDPOINT)
STAGES = (
    ("create", "CreateStack", {"TemplateBody": BODY}),
    ("update", "UpdateStack", {"UsePreviousTemplate": True, "Parameters": mode("slow")}),
    ("crash", "UpdateStack", {"UsePreviousTemplate": True, "Parameters": mode("crash")}),
    ("delete", "DeleteStack", {}),
)


class Life:
    def __init__(self, home):
        self.home = home
        self.platform = Platform(home / "server", images=ServingImages(home))
        self.stacks = EndpointStacks(self.platform)
        self.platform.dispatcher.call = self.noting(self.platform.dispatcher.call)
        self.platform.start()

    def noting(self, call):
        def noted(context, service, operation, parameters):
            answer = call(context, service, operation, parameters)
            if operation in ("CreateEndpoint", "UpdateEndpoint"):
                with (self.home / "calls.log").open("a") as file:
                    file.write(f"{operation} {parameters['EndpointConfigName']}\n")
            return answer

        return noted

    def run(self):
        for stage, operation, parameters in STAGES:
            if not self.heard(stage):
                self.stacks(operation, StackName="s", ClientRequestToken=stage, **parameters)
            stack = self.stacks.settled(self.stacks("ListStacks")["StackSummaries"][0]["StackId"])
            place = self.home / f"{stage}.json"
            if not place.exists():
                place.with_suffix(".new").write_text(json.dumps([stack["StackStatus"], self.stacks.there()]))
                place.with_suffix(".new").rename(place)
        self.platform.close()

    def heard(self, stage):
        found = self.stacks("ListStacks")["StackSummaries"]
        if not found:
            return False
        events = self.stacks("DescribeStackEvents", StackName=found[0]["StackId"])["StackEvents"]
        return any(event.get("ClientRequestToken") == stage for event in events)


def live(home, seam=None):
    def act():
        if seam is not None:
            dangerous(seam)
        Life(home).run()

    return child(act)


def outcome(home, seam):
    home.mkdir(parents=True)
    died = wait(live(home, seam)) == -signal.SIGKILL
    done = wait(live(home)) if died else 0
    stages = {
        stage: json.loads(place.read_text()) if (place := home / f"{stage}.json").exists() else None
        for stage, _, _ in STAGES
    }
    log = home / "calls.log"
    return {"seam": seam, "died": died, "done": done, "stages": stages, "calls": log.read_text().splitlines()}


if __name__ == "__main__":
    os.environ.pop("MODELWRIGHT_HOME", None)
    where, *seams = sys.argv[1:]
    sys.stdout.write(json.dumps([outcome(Path(where) / seam, int(seam)) for seam in seams]) + "\n")
