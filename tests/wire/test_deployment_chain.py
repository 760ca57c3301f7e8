"""A commit becomes a release: CodeCommit, CodeBuild, CloudFormation and an approval, all of them the real ones."""

import json
import textwrap
import uuid

import pytest

from support.codepipelines import action, pipeline, stage
from support.doors import ROLE
from support.waiting import until

BUILDSPEC = """
    version: 0.2
    env:
      exported-variables: [GREETING]
    phases:
      build:
        commands:
          - export GREETING="hello $WHO"
          - cp template.json built.json
    artifacts:
      files: [built.json, staging.json, prod.json]
"""
CHECK = """
    version: 0.2
    phases:
      build:
        commands:
          - test -f built.json
          - test "$GREETING" = "hello world"
"""
GROUP = {"LogGroupName": {"Ref": "Name"}, "Tags": [{"Key": "commit", "Value": {"Ref": "Commit"}}]}
TEMPLATE = {
    "Parameters": {"Name": {"Type": "String", "AllowedPattern": "/[a-z0-9/-]+"}, "Commit": {"Type": "String"}},
    "Resources": {"Group": {"Type": "AWS::Logs::LogGroup", "Properties": GROUP}},
    "Outputs": {"Where": {"Value": {"Ref": "Group"}}, "Commit": {"Value": {"Ref": "Commit"}}},
}


class Chain:
    """What one deployment needs, under a name of its own."""

    def __init__(self, server):
        self.name = f"chain-{uuid.uuid4().hex[:8]}"
        self.client = server.client
        self.deploy = server.client("codepipeline")

    def make(self):
        self.client("s3").create_bucket(Bucket=self.name)
        self.client("codecommit").create_repository(repositoryName=self.name)
        self.commit(
            "The first",
            **{
                "buildspec.yml": textwrap.dedent(BUILDSPEC),
                "template.json": json.dumps(TEMPLATE),
                "staging.json": self.configuration("staging"),
                "prod.json": self.configuration("prod"),
            },
        )
        for name, spec in (("build", None), ("check", textwrap.dedent(CHECK))):
            self.client("codebuild").create_project(
                name=f"{self.name}-{name}",
                source={"type": "CODEPIPELINE", **({"buildspec": spec} if spec else {})},
                artifacts={"type": "CODEPIPELINE"},
                environment={
                    "type": "LINUX_CONTAINER",
                    "image": "aws/codebuild/standard:7.0",
                    "computeType": "BUILD_GENERAL1_SMALL",
                },
                serviceRole=ROLE,
            )
        self.deploy.create_pipeline(pipeline=self.pipeline())

    def configuration(self, where, name=None):
        return json.dumps({"Parameters": {"Name": name or f"/{self.name}/{where}"}})

    def commit(self, message, **files):
        codecommit = self.client("codecommit")
        parent = {"parentCommitId": self.head()} if self.branches() else {}
        put = [{"filePath": path, "fileContent": content.encode()} for path, content in files.items()]
        made = codecommit.create_commit(
            repositoryName=self.name, branchName="main", putFiles=put, commitMessage=message, **parent
        )
        return made["commitId"]

    def branches(self):
        return self.client("codecommit").list_branches(repositoryName=self.name)["branches"]

    def head(self):
        found = self.client("codecommit").get_branch(repositoryName=self.name, branchName="main")
        return found["branch"]["commitId"]

    def pipeline(self):
        source = action(
            "Get",
            "Source",
            outputs=["Code"],
            namespace="Source",
            configuration={"RepositoryName": self.name, "BranchName": "main", "OutputArtifactFormat": "CODE_ZIP"},
        )
        source["actionTypeId"] = {**source["actionTypeId"], "provider": "CodeCommit"}
        who = json.dumps([{"name": "WHO", "value": "#{variables.who}"}])
        greeting = json.dumps([{"name": "GREETING", "value": "#{Build.GREETING}"}])
        made = pipeline(
            stage("Source", source),
            stage(
                "Build",
                action(
                    "Compile",
                    "Build",
                    inputs=["Code"],
                    outputs=["Built"],
                    namespace="Build",
                    configuration={"ProjectName": f"{self.name}-build", "EnvironmentVariables": who},
                ),
            ),
            stage(
                "Staging",
                self.stack("staging"),
                action(
                    "Check",
                    "Test",
                    2,
                    inputs=["Built"],
                    configuration={"ProjectName": f"{self.name}-check", "EnvironmentVariables": greeting},
                ),
                action("Approve", "Approval", 3, configuration={"CustomData": "#{Staging.Where}"}),
            ),
            stage("Prod", self.stack("prod")),
            name=self.name,
            pipelineType="V2",
            variables=[{"name": "who", "defaultValue": "world"}],
        )
        return {**made, "artifactStore": {"type": "S3", "location": self.name}}

    def stack(self, where):
        configuration = {
            "ActionMode": "CREATE_UPDATE" if where == "prod" else "REPLACE_ON_FAILURE",
            "StackName": f"{self.name}-{where}",
            "TemplatePath": "Built::built.json",
            "TemplateConfiguration": f"Built::{where}.json",
            "ParameterOverrides": json.dumps({"Commit": "#{Source.CommitId}"}),
            "RoleArn": ROLE,
        }
        namespace = where.capitalize()
        return action("Put", inputs=["Built"], configuration=configuration, namespace=namespace)

    def newest(self):
        found = self.deploy.list_pipeline_executions(pipelineName=self.name, maxResults=1)
        return found["pipelineExecutionSummaries"][0]

    def latest(self, index, name):
        """Of an action, what its stage tells."""
        states = self.deploy.get_pipeline_state(name=self.name)["stageStates"][index]["actionStates"]
        return next(found for found in states if found["actionName"] == name).get("latestExecution", {})

    def settled(self):
        """Waits for an approval (then its token), or for the end (then its status)."""

        def look():
            newest = self.newest()
            if newest["status"] != "InProgress":
                return newest["status"]
            return self.latest(2, "Approve").get("token")

        return until(look, 120)

    def approve(self, token):
        assert token not in ("Failed", "Succeeded"), self.problems()
        self.deploy.put_approval_result(
            pipelineName=self.name,
            stageName="Staging",
            actionName="Approve",
            token=token,
            result={"summary": "fine", "status": "Approved"},
        )

    def problems(self):
        """What the stages' actions say went wrong."""
        stages = self.deploy.get_pipeline_state(name=self.name)["stageStates"]
        latest = [action.get("latestExecution", {}) for stage in stages for action in stage["actionStates"]]
        return [each["errorDetails"]["message"] for each in latest if "errorDetails" in each]

    def ended(self):
        return until(lambda: (status := self.newest()["status"]) != "InProgress" and status, 120)

    def groups(self):
        found = self.client("logs").describe_log_groups(logGroupNamePrefix=f"/{self.name}/")["logGroups"]
        return [group["logGroupName"] for group in found]

    def outputs(self, where):
        (stack,) = self.client("cloudformation").describe_stacks(StackName=f"{self.name}-{where}")["Stacks"]
        return {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}


@pytest.fixture(scope="module")
def chain(server):
    chain = Chain(server)
    chain.make()
    return chain


def test_a_commit_becomes_a_release(chain):
    token = chain.settled()
    assert token not in ("Failed", "Succeeded"), chain.problems()
    assert chain.groups() == [f"/{chain.name}/staging"]
    actions = chain.deploy.list_action_executions(pipelineName=chain.name)["actionExecutionDetails"]
    asked, check, put, compiled, got = actions
    assert got["output"]["outputVariables"]["CommitMessage"] == "The first"
    assert compiled["output"]["outputVariables"] == {"GREETING": "hello world"}
    assert put["output"]["outputVariables"]["Where"] == f"/{chain.name}/staging"
    assert asked["input"]["resolvedConfiguration"] == {"CustomData": f"/{chain.name}/staging"}
    build = chain.client("codebuild").batch_get_builds(ids=[check["output"]["executionResult"]["externalExecutionId"]])
    assert build["builds"][0]["projectName"] == f"{chain.name}-check"
    chain.approve(token)
    assert chain.ended() == "Succeeded"
    assert chain.groups() == [f"/{chain.name}/prod", f"/{chain.name}/staging"]
    assert chain.outputs("prod")["Commit"] == chain.head()


def test_what_is_wrong_in_the_repository_is_put_right_there(chain):
    """The workshop's steps 9 to 11: staging fails with a reason, the file is edited, the change is released."""
    before = chain.newest()["pipelineExecutionId"]
    chain.commit("A mistake", **{"staging.json": chain.configuration("staging", "NOT ALLOWED")})
    until(lambda: chain.newest()["pipelineExecutionId"] != before)
    assert chain.newest()["trigger"]["triggerType"] == "PollForSourceChanges"
    assert chain.settled() == "Failed"
    assert "Name" in chain.latest(2, "Put")["errorDetails"]["message"]
    before = chain.newest()["pipelineExecutionId"]
    chain.commit("Right again", **{"staging.json": chain.configuration("staging")})
    until(lambda: chain.newest()["pipelineExecutionId"] != before)
    chain.approve(chain.settled())
    assert chain.ended() == "Succeeded"
    assert chain.outputs("prod")["Commit"] == chain.head()


def test_a_build_that_fails_ends_it(chain):
    before = chain.newest()["pipelineExecutionId"]
    broken = textwrap.dedent(BUILDSPEC).replace("cp template.json built.json", "cp nothing built.json")
    chain.commit("Broken", **{"buildspec.yml": broken})
    until(lambda: chain.newest()["pipelineExecutionId"] != before)
    assert chain.settled() == "Failed"
    failed = chain.latest(1, "Compile")
    assert "Phase: BUILD" in failed["errorDetails"]["message"]
    assert failed["externalExecutionId"].startswith(f"{chain.name}-build:")
