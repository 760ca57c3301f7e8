"""Source actions: CodeCommit as its API tells it, and git repositories elsewhere."""

import subprocess
import zipfile

import pytest

from modelwright.config import Settings
from modelwright.engine.actions.base import ActionFailed, Task, Tools
from modelwright.engine.actions.remotes import Remotes
from modelwright.engine.actions.sources import S3, CodeCommit, Connection
from modelwright.errors import AwsError, ConfigurationError
from modelwright.lifecycles.codepipeline_state import ActionRun
from modelwright.objects.directory import DirectoryStore
from modelwright.protocol.validation import validate
from support.codepipelines import action, archive, pipeline, stage

COMMIT = {
    "commitId": "c0ffee",
    "message": "A change\n",
    "author": {"name": "Ann", "email": "ann@example.com", "date": "1484167798 -0800"},
    "committer": {"name": "Bob", "email": "bob@example.com", "date": "1484167800 -0800"},
}


def codecommit(region, service, operation, parameters):
    validate(service, operation, parameters)
    assert (region, service, parameters.pop("repositoryName")) == ("eu-west-1", "codecommit", "code")
    if operation == "GetBranch" and parameters == {"branchName": "gone"}:
        raise AwsError("no such branch", code="BranchDoesNotExistException")
    return {
        "GetRepository": {"repositoryMetadata": {"repositoryId": "id-of-code"}},
        "GetBranch": {"branch": {"branchName": "main", "commitId": "c0ffee"}},
        "GetCommit": {"commit": {**COMMIT, "commitId": parameters.get("commitId")}},
    }[operation]


def write(repository, commit, target):
    target.write_bytes(archive(which=f"{repository} {commit}"))


@pytest.fixture
def objects(tmp_path):
    store = DirectoryStore(tmp_path / "objects", fsync=False)
    for name in ("artifacts", "sources"):
        store.create_bucket(name, "eu-west-1")
    yield store
    store.close()


@pytest.fixture
def git(tmp_path):
    """A repository with two commits on `main`."""
    folder = tmp_path / "repository"
    folder.mkdir()

    def run(*arguments):
        who = ["-c", "user.name=Ann", "-c", "user.email=ann@example.com"]
        done = subprocess.run(["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    run("init", "--quiet", "-b", "main")
    for text in ("one", "two"):
        (folder / "a").write_text(text)
        run("add", "a")
        run("commit", "--quiet", "-m", f"Say {text}")
    run.folder = folder
    return run


@pytest.fixture
def tools(objects, tmp_path, git):
    remotes = Remotes({"me/there": str(git.folder)}, tmp_path / "remotes")
    return Tools(codecommit, objects, lambda: 1.0, write, remotes)


def task(configuration, revision=None):
    declaration = action("Get", "Source", outputs=["Code"], configuration=configuration)
    run = ActionRun("id-1", "e", "Source", "Get", 1, "Starting", 1.0, 1.0, declaration)
    return Task("pipe", "1", "eu-west-1", "artifacts", run, configuration, {}, revision or {}, lambda _: None)


def content(objects, outcome):
    place = outcome.detail["outputs"]["Code"]
    with zipfile.ZipFile(objects.path(place["bucket"], place["key"])) as found:
        return {name: found.read(name).decode() for name in found.namelist()}


def test_codecommit(tools, objects):
    done = CodeCommit(tools).start(task({"RepositoryName": "code", "BranchName": "main"}))
    assert done.status == "Succeeded"
    assert content(objects, done) == {"which": "id-of-code c0ffee"}
    assert done.detail["variables"] == {
        "RepositoryName": "code",
        "BranchName": "main",
        "CommitId": "c0ffee",
        "CommitMessage": "A change\n",
        "AuthorDate": "2017-01-11T20:49:58Z",
        "AuthorName": "Ann",
        "AuthorEmail": "ann@example.com",
        "CommitterDate": "2017-01-11T20:50:00Z",
    }
    assert done.detail["revision"]["summary"] == "A change"
    asked = CodeCommit(tools).start(task({"RepositoryName": "code", "BranchName": "main"}, {"value": "beef"}))
    assert content(objects, asked) == {"which": "id-of-code beef"}


def test_a_branch_that_is_not_there(tools):
    with pytest.raises(ActionFailed, match="Repository code, branch gone: no such branch"):
        CodeCommit(tools).start(task({"RepositoryName": "code", "BranchName": "gone"}))


def test_a_connection_to_our_own_repository(tools, objects):
    given = {"FullRepositoryId": "me/code", "BranchName": "main", "ConnectionArn": "arn:x"}
    done = Connection(tools).start(task(given))
    assert content(objects, done) == {"which": "id-of-code c0ffee"}
    assert done.detail["variables"]["FullRepositoryName"] == "me/code"


def test_a_connection_to_a_repository_elsewhere(tools, objects, git):
    given = {"FullRepositoryId": "me/there", "BranchName": "main", "ConnectionArn": "arn:x"}
    done = Connection(tools).start(task(given))
    assert content(objects, done) == {"a": "two"}
    assert done.detail["variables"]["CommitId"] == git("rev-parse", "main")
    assert done.detail["variables"]["CommitMessage"] == "Say two"
    first = git("rev-parse", "main~")
    assert content(objects, Connection(tools).start(task(given, {"value": first}))) == {"a": "one"}
    git("commit", "--quiet", "--amend", "-m", "Say it differently")
    assert Connection(tools).start(task(given)).detail["variables"]["CommitMessage"] == "Say it differently"
    for branch in ("gone", "--output=x"):
        with pytest.raises(ActionFailed, match="git fetch failed"):
            Connection(tools).start(task({**given, "BranchName": branch}))


def test_an_object_in_s3(tools, objects):
    objects.put_bytes("sources", "s.zip", archive(a="b"))
    done = S3(tools).start(task({"S3Bucket": "sources", "S3ObjectKey": "s.zip"}))
    assert content(objects, done) == {"a": "b"}
    with pytest.raises(ActionFailed, match=r"s3://sources/t\.zip"):
        S3(tools).start(task({"S3Bucket": "sources", "S3ObjectKey": "s.zip"}, {"value": "t.zip"}))


def test_repositories_elsewhere_are_settings(tmp_path):
    settings = Settings.load({"home": tmp_path, "connections": "me/a=https://example.com/a.git you/b=/srv/b"}, {})
    assert settings.remotes == {"me/a": "https://example.com/a.git", "you/b": "/srv/b"}
    for wrong in ("a", "a=b", "me/a", "me/a="):
        with pytest.raises(ConfigurationError, match="OWNER/NAME=URL"):
            Settings.load({"home": tmp_path, "connections": wrong}, {})


def test_nobody_tells_of_changes_elsewhere(database):
    from modelwright.services import codepipeline
    from modelwright.store.history import History
    from support.codepipelines import World

    world = World(database, History("test"))
    common = {"database": database, "history": world.history, "now": world.clock, "events": world.events}
    (_, pipelines), *_ = codepipeline.services(**common, remotes={"me/there": "x"})
    configuration = {"FullRepositoryId": "me/there", "BranchName": "main", "ConnectionArn": "arn:x"}
    source = action("Get", "Source", configuration=configuration)
    source["actionTypeId"] = {**source["actionTypeId"], "provider": "CodeStarSourceConnection"}
    made = pipeline(stage("Source", source), stage("Deploy", action("Put")))
    with pytest.raises(AwsError, match="DetectChanges: false"):
        pipelines.create(world.context, {"pipeline": made})
    configuration["DetectChanges"] = "false"
    assert pipelines.create(world.context, {"pipeline": made})["pipeline"]["version"] == 1
