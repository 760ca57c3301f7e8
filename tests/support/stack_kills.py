"""Kills a server that makes stacks at each of its seams, and lets the next one go on.

A program of its own, because it forks: `python -m support.stack_kills HOME FIRST STEP`. A life's client creates a
stack, updates it, updates it badly (it rolls back), executes a change set and deletes the stack; a later life's client
goes on where the stack's own events say that the earlier one was. What is there at the end of each stage is written
down.
"""

import json
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from modelwright.errors import AwsError
from modelwright.protocol.validation import validate
from support.kills import child, dangerous, wait
from support.stacks import Cloud, group, log, model, template

TRUST = {"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole"}]}
ROLE = {"Type": "AWS::IAM::Role", "Properties": {"AssumeRolePolicyDocument": TRUST}}
BUCKET = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": "bucket"}}
FIRST = template(
    outputs={"Role": {"Value": {"Fn::GetAtt": ["Role", "Arn"]}, "Export": {"Name": "role"}}},
    Log=log("/a", RetentionInDays=1),
    Gone=log("/gone", DependsOn="Log"),
    Role=ROLE,
    Bucket=BUCKET,
    Model=model(ExecutionRoleArn={"Fn::GetAtt": ["Role", "Arn"]}),
)
SECOND = template(
    Log=log("/a", RetentionInDays=3),
    Role=ROLE,
    Bucket=BUCKET,
    Model=model(
        "111122223333.dkr.ecr.eu-west-1.amazonaws.com/pose:2", ExecutionRoleArn={"Fn::GetAtt": ["Role", "Arn"]}
    ),
    New=group("new", DependsOn="Log"),
)
BAD = template(
    **{**SECOND["Resources"], "Log": log("/a", RetentionInDays=5)},
    Late=log("/late"),
    Bad=group("bad", DependsOn=["Log", "Late"]),
)
THIRD = template(**{**SECOND["Resources"], "Log": log("/a", RetentionInDays=7)})
IAM = {"Capabilities": ["CAPABILITY_IAM"]}
STAGES = ("create", "update", "bad", "change", "delete")


class Client:
    """What somebody does who has asked for all of it, and asks again when the server is back."""

    def __init__(self, cloud, home):
        self.cloud, self.home = cloud, home

    def run(self):
        for stage in STAGES:
            if not self.heard(stage):
                getattr(self, stage)()
            stack = self.cloud.settled(self.identity())
            place = self.home / f"{stage}.json"
            if not place.exists():
                place.with_suffix(".new").write_text(json.dumps({"status": stack["StackStatus"], **self.there()}))
                place.with_suffix(".new").rename(place)

    def identity(self):
        (stack,) = self.cloud("ListStacks")["StackSummaries"]
        return stack["StackId"]

    def heard(self, stage):
        """Whether the stack was asked already; what is written down at the end says so too."""
        stacks = self.cloud("ListStacks")["StackSummaries"]
        if not stacks:
            return False
        events = self.cloud("DescribeStackEvents", StackName=stacks[0]["StackId"])["StackEvents"]
        return any(event.get("ClientRequestToken") == stage for event in events)

    def create(self):
        self.ask("CreateStack", FIRST, "create", Tags=[{"Key": "a", "Value": "1"}])

    def update(self):
        self.ask("UpdateStack", SECOND, "update", Tags=[{"Key": "a", "Value": "2"}])

    def bad(self):
        self.ask("UpdateStack", BAD, "bad")

    def change(self):
        with suppress(AwsError):  # it may be there from an earlier life
            self.cloud("CreateChangeSet", StackName="s", ChangeSetName="c", TemplateBody=json.dumps(THIRD), **IAM)
        self.cloud("ExecuteChangeSet", StackName="s", ChangeSetName="c", ClientRequestToken="change")

    def delete(self):
        self.cloud("DeleteStack", StackName="s", ClientRequestToken="delete")

    def ask(self, operation, wanted, token, **more):
        given = {"StackName": "s", "TemplateBody": json.dumps(wanted), "ClientRequestToken": token}
        self.cloud(operation, **given, **IAM, **more)

    def there(self):
        groups = self.cloud.of("logs", "DescribeLogGroups")["logGroups"]
        tags = self.cloud.of("logs", "ListTagsLogGroup", logGroupName="/a").get("tags") if groups else None
        counts = {kind: self.cloud.count(kind) for kind in ("Model", "Role", "ModelPackageGroup")}
        buckets = [bucket["Name"] for bucket in self.cloud.of("s3", "ListBuckets")["Buckets"]]
        exports = [export["Name"] for export in self.cloud("ListExports")["Exports"]]
        held = {each["logGroupName"]: each.get("retentionInDays") for each in groups}
        return {"groups": held, "tags": tags, "buckets": buckets, "exports": exports, **counts}


class Noting(Cloud):
    """Writes down what is created, where a later life finds it."""

    def note(self, operation, parameters):
        if operation.startswith("Create"):
            line = json.dumps(
                [operation, sorted(str(v) for k, v in parameters.items() if "Name" in k or k == "Bucket")]
            )
            with self.lock, (self.home / "made.log").open("a") as file:
                file.write(f"{line}\n")


def live(home, seam=None):
    def act():
        here = dangerous(seam) if seam is not None else lambda: None
        cloud = Noting(home / "server", here)
        cloud.home = home
        cloud.failing["CreateModelPackageGroup", "bad"] = "no"
        cloud.start()
        Client(cloud, home).run()
        cloud.close()

    return child(act)


def outcome(home):
    stages = {}
    for stage in STAGES:
        place = home / f"{stage}.json"
        stages[stage] = json.loads(place.read_text()) if place.exists() else None
    made = (home / "made.log").read_text().splitlines() if (home / "made.log").exists() else []
    return {"stages": stages, "twice": sorted({line for line in made if made.count(line) > 1})}


def each_seam(where, first, step):
    outcomes, seam = [], first
    while True:
        home = where / str(seam)
        home.mkdir(parents=True)
        died = wait(live(home, seam)) == -signal.SIGKILL
        done = wait(live(home)) if died else 0
        outcomes.append({"seam": seam, "died": died, "done": done, **outcome(home)})
        if not died:
            return outcomes
        seam += step


if __name__ == "__main__":
    os.environ.pop("MODELWRIGHT_HOME", None)
    for service, operation in (("cloudformation", "CreateStack"), ("sagemaker", "CreateModel"), ("iam", "CreateRole"),
                               ("logs", "CreateLogGroup"), ("s3", "CreateBucket")):  # fmt: skip
        with suppress(AwsError):
            validate(service, operation, {})
    where, first, step = sys.argv[1:]
    sys.stdout.write(json.dumps(each_seam(Path(where), int(first), int(step))) + "\n")
