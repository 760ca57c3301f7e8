"""Build projects and builds by boto3, the AWS CLI and `modelwright builds`."""

import json
import subprocess
import uuid

import boto3
import pytest
from botocore.exceptions import ClientError

from support.builds import processes, spec
from support.cli import CommandLine, read_until
from support.cli import ended as ended_process
from support.codebuild import build_of, create, ended, make_image, said
from support.git import git
from support.sdk import VENVS
from support.waiting import until

WAIT = "echo begun; while :; do sleep 0.05; done"


@pytest.fixture(scope="module")
def codebuild(server, tmp_path_factory):
    make_image(server, tmp_path_factory.mktemp("image"))
    return server.client("codebuild")


@pytest.fixture(scope="module")
def logs(server):
    return server.client("logs")


@pytest.fixture(scope="module")
def modelwright(server):
    return CommandLine(server.settings.home)


@pytest.fixture
def name():
    return f"builds-{uuid.uuid4().hex[:8]}"


def test_a_project_s_life(codebuild, name):
    made = create(codebuild, name, "echo one", description="first", tags=[{"key": "a", "value": "b"}])
    assert made["arn"].endswith(f":project/{name}")
    assert name in [each for page in codebuild.get_paginator("list_projects").paginate() for each in page["projects"]]
    newest = codebuild.list_projects(sortBy="CREATED_TIME", sortOrder="DESCENDING")["projects"]
    assert newest[0] == name
    answer = codebuild.batch_get_projects(names=[made["arn"], "not-there"])
    assert [each["name"] for each in answer["projects"]] == [name]
    assert answer["projectsNotFound"] == ["not-there"]
    changed = codebuild.update_project(
        name=name, description="second", source={"type": "NO_SOURCE", "buildspec": spec("echo two")}, timeoutInMinutes=7
    )["project"]
    assert (changed["description"], changed["timeoutInMinutes"]) == ("second", 7)
    assert changed["tags"] == [{"key": "a", "value": "b"}], "what an update does not name stays"
    assert changed["lastModified"] > changed["created"]
    with pytest.raises(codebuild.exceptions.ResourceAlreadyExistsException):
        create(codebuild, name, "true")
    codebuild.delete_project(name=name)
    codebuild.delete_project(name=name)
    assert codebuild.batch_get_projects(names=[name])["projects"] == []
    for call in (codebuild.start_build, codebuild.list_builds_for_project):
        with pytest.raises(codebuild.exceptions.ResourceNotFoundException):
            call(projectName=name)
    with pytest.raises(codebuild.exceptions.ResourceNotFoundException):
        codebuild.update_project(name=name, description="gone")


def test_builds_are_listed_retried_and_deleted(codebuild, logs, name):
    create(codebuild, name, "echo $WORD")
    words = [{"name": "WORD", "value": "kept"}]
    first = codebuild.start_build(projectName=name, environmentVariablesOverride=words)["build"]
    ended(codebuild, first["id"])
    again = codebuild.retry_build(id=first["id"])["build"]
    assert (again["buildNumber"], again["id"] != first["id"]) == (2, True)
    build = ended(codebuild, again["id"])
    assert said(logs, build) == ["kept"], "a retry has what the build was started with"
    assert codebuild.list_builds_for_project(projectName=name)["ids"] == [again["id"], first["id"]]
    upwards = codebuild.list_builds_for_project(projectName=name, sortOrder="ASCENDING")["ids"]
    assert upwards == [first["id"], again["id"]]
    assert codebuild.list_builds()["ids"][:2] == [again["id"], first["id"]]
    found = codebuild.batch_get_builds(ids=[first["arn"], f"{name}:nothing"])
    assert [each["id"] for each in found["builds"]] == [first["id"]]
    assert found["buildsNotFound"] == [f"{name}:nothing"]
    with pytest.raises(codebuild.exceptions.ResourceNotFoundException):
        codebuild.retry_build(id=f"{name}:nothing")
    deleted = codebuild.batch_delete_builds(ids=[first["id"], f"{name}:nothing"])
    assert deleted["buildsDeleted"] == [first["arn"]]
    assert [each["id"] for each in deleted["buildsNotDeleted"]] == [f"{name}:nothing"]
    assert codebuild.list_builds_for_project(projectName=name)["ids"] == [again["id"]]


def test_a_running_build_is_stopped_and_not_deleted(codebuild, name):
    create(codebuild, name, WAIT)
    identity = codebuild.start_build(projectName=name)["build"]["id"]
    kept = codebuild.batch_delete_builds(ids=[identity])["buildsNotDeleted"]
    assert [each["id"] for each in kept] == [identity]
    assert codebuild.stop_build(id=identity)["build"]["id"] == identity
    assert ended(codebuild, identity)["buildStatus"] == "STOPPED"
    assert codebuild.stop_build(id=identity)["build"]["buildStatus"] == "STOPPED", "what is over stays as it is"
    with pytest.raises(codebuild.exceptions.ResourceNotFoundException):
        codebuild.stop_build(id=f"{name}:nothing")


def test_a_build_s_key_ends_with_it(server, codebuild, name):
    """What it had in its environment is worth nothing afterwards."""
    create(codebuild, name, WAIT)
    identity = codebuild.start_build(projectName=name)["build"]["id"]
    key = server.keys.session(f"build/{identity}", "build")
    session = boto3.session.Session(key.id, key.secret, key.token, region_name="us-east-1")
    s3, sagemaker = (session.client(service, endpoint_url=server.url) for service in ("s3", "sagemaker"))
    s3.list_buckets()
    codebuild.stop_build(id=identity)
    ended(codebuild, identity)

    def refusal(call):
        try:
            call()
        except ClientError as error:
            return error.response["Error"]["Code"]
        return None

    assert until(lambda: refusal(s3.list_buckets)) == "ExpiredToken"
    assert refusal(sagemaker.list_models) == "ExpiredTokenException"


def test_a_stopped_build_takes_its_docker_build_along(codebuild, name):
    marker = f"86399.{uuid.uuid4().int % 10**9}"
    commands = [f"printf 'FROM scratch\\nRUN sleep {marker}\\n' > Dockerfile", "docker build -t x:1 ."]
    create(codebuild, name, *commands, environment={"privilegedMode": True})
    identity = codebuild.start_build(projectName=name)["build"]["id"]
    until(lambda: processes(marker), 60)
    codebuild.stop_build(id=identity)
    assert ended(codebuild, identity)["buildStatus"] == "STOPPED"
    until(lambda: not processes(marker))


def test_a_source_of_codecommit_by_branch_tag_and_commit(server, codebuild, logs, name, tmp_path):
    codecommit = server.client("codecommit")
    about = codecommit.create_repository(repositoryName=name)["repositoryMetadata"]

    def put(branch, text, parent=None):
        git = "echo $(git rev-parse HEAD) $(git status --porcelain | wc -l) $(git log --oneline | wc -l)"
        content = spec(f"echo {text} $(cat file.txt)", "echo $CODEBUILD_RESOLVED_SOURCE_VERSION", git)
        files = [("buildspec.yml", content.encode()), ("file.txt", text.encode())]
        return codecommit.create_commit(
            repositoryName=name,
            branchName=branch,
            putFiles=[{"filePath": path, "fileContent": content} for path, content in files],
            **({"parentCommitId": parent} if parent else {}),
        )["commitId"]

    first = put("main", "one")
    second = put("main", "two", first)
    codecommit.create_branch(repositoryName=name, branchName="other", commitId=first)
    create(codebuild, name, source={"type": "CODECOMMIT", "location": about["cloneUrlHttp"]})
    environ = server.client_environ()
    url = f"{server.url}/v1/repos/{name}".replace("//", f"//{server.keys.admin.id}:{server.keys.admin.secret}@", 1)
    git("clone", "-q", url, str(tmp_path / "clone"), env=environ)
    git("tag", "v1", first, cwd=tmp_path / "clone", env=environ)
    git("push", "-q", "origin", "v1", cwd=tmp_path / "clone", env=environ)
    cases = {"": second, "other": first, "refs/heads/main": second, first: first, "v1": first, "refs/tags/v1": first}
    asked = {version: {"sourceVersion": version} if version else {} for version in cases}
    started = {version: codebuild.start_build(projectName=name, **asked[version])["build"]["id"] for version in cases}
    for version, commit in cases.items():
        build = ended(codebuild, started[version])
        text, depth = {first: ("one", 1), second: ("two", 2)}[commit]
        assert said(logs, build) == [f"{text} {text}", commit, f"{commit} 0 {depth}"], version
        assert build["resolvedSourceVersion"] == commit
    shallow = codebuild.start_build(projectName=name, gitCloneDepthOverride=1)["build"]["id"]
    assert said(logs, ended(codebuild, shallow))[-1] == f"{second} 0 1"
    lost = ended(codebuild, codebuild.start_build(projectName=name, sourceVersion="nowhere")["build"]["id"])
    (phase,) = [each for each in lost["phases"] if each.get("phaseStatus") == "FAILED"]
    assert phase["phaseType"] == "DOWNLOAD_SOURCE"
    assert "nowhere" in phase["contexts"][0]["message"]


def test_the_aws_cli(server, codebuild, name, tmp_path):
    aws = VENVS / "sdk2" / "bin" / "aws"
    if not aws.exists():
        pytest.skip("no AWS CLI in .venvs/sdk2")

    def cli(*words):
        environ = server.client_environ()
        done = subprocess.run(
            [aws, "codebuild", *words, "--output", "json"],
            cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else {}

    create(codebuild, name, "echo cli")
    identity = cli("start-build", "--project-name", name)["build"]["id"]
    ended(codebuild, identity)
    (build,) = cli("batch-get-builds", "--ids", identity)["builds"]
    assert build["buildStatus"] == "SUCCEEDED"
    assert cli("list-builds-for-project", "--project-name", name)["ids"] == [identity]
    assert name in cli("list-projects", "--sort-by", "LAST_MODIFIED_TIME", "--sort-order", "DESCENDING")["projects"]
    assert cli("delete-project", "--name", name) == {}


def test_the_command_line(codebuild, modelwright, name):
    create(codebuild, name, "echo hello $WORD; test $WORD = good")
    missing = modelwright.err("builds", "start", f"{name}x", code=2)
    assert f"There is no build project '{name}x'." in missing
    done = modelwright("builds", "start", name, "--variable", "WORD=good", "--follow")
    assert "hello good" in done.stdout.splitlines()
    assert "SUCCEEDED after" in done.stderr.splitlines()[-1]
    failed = modelwright("builds", "start", name, "--variable", "WORD=bad", "--follow", code=1)
    assert "hello bad" in failed.stdout.splitlines()
    assert "FAILED: Error while executing command" in failed.stderr.splitlines()[-1]
    rows = json.loads(modelwright.out("builds", "list", "--project", name, "--json"))
    assert [row["buildStatus"] for row in rows] == ["FAILED", "SUCCEEDED"]
    shown = modelwright.out("builds", "show", name)
    assert "Reason: exit status 1" in shown
    assert "✘  BUILD" in shown
    assert modelwright.out("builds", "logs", rows[1]["id"]) == done.stdout
    assert "is over" in modelwright.err("builds", "stop", rows[0]["arn"], code=2)


def test_the_command_line_follows_and_stops(codebuild, modelwright, name):
    create(codebuild, name, WAIT)
    process = modelwright.start("builds", "start", name, "-f")
    read_until(process, "begun")
    assert modelwright.out("builds", "stop", name).endswith(" is stopping\n")
    code, rest = ended_process(process)
    assert (code, "STOPPED" in rest.splitlines()[-1]) == (1, True)
    (identity,) = codebuild.list_builds_for_project(projectName=name)["ids"]
    assert build_of(codebuild, identity)["buildStatus"] == "STOPPED"


def test_the_command_line_acts_as_whom_it_is_told(codebuild, modelwright, name):
    create(codebuild, name, "true")
    user = f"viewer-{name}"
    modelwright("users", "add", user, "--role", "viewer")
    denied = modelwright.err("builds", "start", name, "--user", user, code=1)
    assert f"{user} is a viewer" in denied
    assert "has no builds yet" in modelwright.err("builds", "show", name, "--user", user, code=2)
