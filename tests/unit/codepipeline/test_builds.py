"""CodeBuild actions against a small CodeBuild."""

import json

import pytest

from modelwright.engine.actions.base import ActionFailed, Task, Tools
from modelwright.engine.actions.builds import Build
from modelwright.lifecycles.codepipeline_state import ActionRun
from modelwright.protocol.validation import validate
from support.codepipelines import action

PLACE = {"bucket": "artifacts", "key": "p/Code/abc.zip"}


class CodeBuild:
    """Answers what StartBuild was asked, once for a token; `status` is how all builds stand."""

    def __init__(self):
        self.requests, self.status, self.more = [], "IN_PROGRESS", {}

    def __call__(self, region, service, operation, parameters):
        assert (region, service) == ("eu-west-1", "codebuild")
        validate(service, operation, parameters)
        if operation == "StartBuild":
            self.requests.append(parameters)
            return {"build": {"id": f"{parameters['projectName']}:{parameters['idempotencyToken']}"}}
        assert operation == "BatchGetBuilds"
        return {"builds": [{"id": each, "buildStatus": self.status, **self.more} for each in parameters["ids"]]}


class Objects:
    def __init__(self):
        self.keys = set()

    def head(self, bucket, key):
        from modelwright.errors import AwsError

        if (bucket, key) not in self.keys:
            raise AwsError("no such key", code="NoSuchKey")


@pytest.fixture
def codebuild():
    return CodeBuild()


@pytest.fixture
def objects():
    return Objects()


@pytest.fixture
def build(codebuild, objects):
    return Build(Tools(codebuild, objects, lambda: 1.0, None, {}))


def task(configuration, *, inputs=("Code",), outputs=(), detail=None, watched=None):
    declaration = action("Compile", "Build", inputs=inputs, outputs=outputs, configuration=configuration)
    run = ActionRun("id-1", "e", "Build", "Compile", 1, "InProgress", 1.0, 1.0, declaration, detail or {})
    places = {name: {"bucket": "artifacts", "key": f"p/{name}/abc.zip"} for name in inputs}
    watch = (watched if watched is not None else []).append
    return Task("pipeline", "1", "eu-west-1", "artifacts", run, configuration, places, {}, watch)


def test_it_works(build, codebuild, objects):
    variables = json.dumps([{"name": "A", "value": "1"}, {"name": "B", "value": "x", "type": "PARAMETER_STORE"}])
    given = task({"ProjectName": "project", "EnvironmentVariables": variables}, outputs=["Built"])
    begun = build.start(given)
    (request,) = codebuild.requests
    place = given.place("Built")
    path, _, name = place["key"].rpartition("/")
    assert request == {
        "projectName": "project",
        "sourceTypeOverride": "S3",
        "sourceLocationOverride": "artifacts/p/Code/abc.zip",
        "artifactsOverride": {
            "type": "S3",
            "location": "artifacts",
            "path": path,
            "name": name,
            "namespaceType": "NONE",
            "packaging": "ZIP",
            "overrideArtifactName": False,
        },
        "environmentVariablesOverride": [
            {"name": "A", "value": "1", "type": "PLAINTEXT"},
            {"name": "B", "value": "x", "type": "PARAMETER_STORE"},
            {"name": "CODEBUILD_INITIATOR", "value": "codepipeline/pipeline"},
        ],
        "idempotencyToken": "id-1",
    }
    assert begun.detail["external_id"] == "project:id-1"
    watched = []
    running = task(given.configuration, outputs=["Built"], detail=begun.detail, watched=watched)
    assert build.poll(running) is None
    assert watched == ["build/project:id-1"]
    codebuild.status = "SUCCEEDED"
    codebuild.more = {
        "exportedEnvironmentVariables": [{"name": "URI", "value": "x"}],
        "logs": {"deepLink": "https://l"},
    }
    with pytest.raises(ActionFailed, match="has not made the output artifact 'Built'"):
        build.poll(running)
    objects.keys.add((place["bucket"], place["key"]))
    ended = build.poll(running)
    assert (ended.status, ended.detail["variables"]) == ("Succeeded", {"URI": "x"})
    assert ended.detail["outputs"] == {"Built": place}
    assert ended.detail["external_url"] == "https://l"


def test_several_artifacts(build, codebuild):
    build.start(task({"ProjectName": "p", "PrimarySource": "B"}, inputs=["A", "B", "C"], outputs=["X", "Y"]))
    (request,) = codebuild.requests
    assert request["sourceLocationOverride"] == "artifacts/p/B/abc.zip"
    assert [each["sourceIdentifier"] for each in request["secondarySourcesOverride"]] == ["A", "C"]
    assert request["artifactsOverride"] == {"type": "NO_ARTIFACTS"}
    assert [each["artifactIdentifier"] for each in request["secondaryArtifactsOverride"]] == ["X", "Y"]


@pytest.mark.parametrize("status", ["FAILED", "FAULT", "TIMED_OUT", "STOPPED"])
def test_a_build_that_fails(build, codebuild, status):
    codebuild.status = status
    contexts = [{"statusCode": "COMMAND_EXECUTION_ERROR", "message": "exit status 1"}]
    codebuild.more = {"phases": [{"phaseType": "QUEUED"}, {"phaseType": "BUILD", "contexts": contexts}]}
    ended = build.poll(task({"ProjectName": "p"}, detail={"external_id": "p:1"}))
    assert ended.status == "Failed"
    assert ended.detail["error"]["message"] == (
        f"Build terminated with state: {status}. Phase: BUILD, Code: COMMAND_EXECUTION_ERROR, Message: exit status 1"
    )


def test_variables_that_spoil_the_environment(build):
    with pytest.raises(ActionFailed, match="EnvironmentVariables is not JSON"):
        build.start(task({"ProjectName": "p", "EnvironmentVariables": '[{"name": "A", "value": "a"b"}]'}))
