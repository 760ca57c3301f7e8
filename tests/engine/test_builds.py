"""Builds that really run: phases, failures, sources, artifacts, stop, time-out, restarts."""

import io
import uuid
import zipfile

import pytest

from support.builds import CodeBuild, archive, context, processes, spec, statuses
from support.platform import Platform, running


@pytest.fixture
def codebuild(platform):
    return CodeBuild(platform)


def test_it_works(codebuild):
    commands = ["echo hello $NAME", "PLACE=here", "cd /tmp", "export MORE=more"]
    later = ["echo $PLACE $MORE $(pwd) $CODEBUILD_BUILD_SUCCEEDING"]
    env = {"variables": {"NAME": "spec", "OTHER": "o"}, "exported-variables": ["MORE", "PLACE"]}
    codebuild.project("proj", spec(*commands, post_build=later, env=env))
    build = codebuild.run("proj", environmentVariablesOverride=[{"name": "NAME", "value": "world"}])
    assert build["buildStatus"] == "SUCCEEDED", codebuild.log(build)
    assert codebuild.said(build) == ["hello world", "here more /tmp 1"]
    assert [phase["phaseType"] for phase in build["phases"]] == [
        *("SUBMITTED", "QUEUED", "PROVISIONING", "DOWNLOAD_SOURCE", "INSTALL", "PRE_BUILD", "BUILD", "POST_BUILD"),
        *("UPLOAD_ARTIFACTS", "FINALIZING", "COMPLETED"),
    ]
    assert build["exportedEnvironmentVariables"] == [
        {"name": "MORE", "value": "more"},
        {"name": "PLACE", "value": "here"},
    ]
    assert build["logs"]["groupName"] == "/aws/codebuild/proj"
    assert any("Running command echo hello $NAME" in line for line in codebuild.log(build))


def test_source_and_artifacts_in_s3(codebuild, platform):
    files = {
        "buildspec.yml": spec("cat data.txt > out/made.txt", artifacts={"files": ["out/**/*", "*.txt"]}),
        "data.txt": "data",
        "out/deep/other.md": "x",
    }
    platform.objects.put_bytes("bucket", "in/source.zip", archive(**files))
    codebuild.project(
        source={"type": "S3", "location": "bucket/in/source.zip"},
        artifacts={"type": "S3", "location": "bucket", "path": "made", "name": "a.zip", "packaging": "ZIP"},
    )
    build = codebuild.run()
    assert build["buildStatus"] == "SUCCEEDED", codebuild.log(build)
    made = platform.objects.read("bucket", "made/a.zip")
    with zipfile.ZipFile(io.BytesIO(made)) as found:
        assert sorted(found.namelist()) == ["data.txt", "out/deep/other.md", "out/made.txt"]
        assert found.read("out/made.txt") == b"data"
    assert build["artifacts"]["location"] == "arn:aws:s3:::bucket/made/a.zip"


def test_as_codepipeline_starts_it(codebuild, platform):
    artifacts = {
        "secondary-artifacts": {
            "One": {"files": ["one.txt"]},
            "Two": {"files": ["**/*"], "base-directory": "two", "discard-paths": "yes"},
        }
    }
    commands = ["cat $CODEBUILD_SRC_DIR_Second/second.txt > one.txt", "mkdir -p two/deep; echo 2 > two/deep/two.txt"]
    platform.objects.put_bytes(
        "bucket", "a/b/first", archive(**{"buildspec.yml": spec(*commands, artifacts=artifacts)})
    )
    platform.objects.put_bytes("bucket", "a/b/second", archive(**{"second.txt": "second"}))
    codebuild.project(source={"type": "CODEPIPELINE"}, artifacts={"type": "CODEPIPELINE"})
    artifact = {
        "type": "S3", "location": "bucket", "path": "a/out", "namespaceType": "NONE", "packaging": "ZIP",
        "overrideArtifactName": False,
    }  # fmt: skip
    asked = {
        "sourceTypeOverride": "S3",
        "sourceLocationOverride": "bucket/a/b/first",
        "secondarySourcesOverride": [{"type": "S3", "location": "bucket/a/b/second", "sourceIdentifier": "Second"}],
        "artifactsOverride": {"type": "NO_ARTIFACTS"},
        "secondaryArtifactsOverride": [
            {**artifact, "name": name, "artifactIdentifier": name} for name in ("One", "Two")
        ],
        "idempotencyToken": "action-1",
    }
    build = codebuild.run(**asked)
    assert build["buildStatus"] == "SUCCEEDED", codebuild.log(build)
    assert codebuild.start(**asked) == build["id"], "the same token finds the same build"
    found = {}
    for name in ("One", "Two"):
        with zipfile.ZipFile(io.BytesIO(platform.objects.read("bucket", f"a/out/{name}"))) as file:
            found |= {each: file.read(each) for each in file.namelist()}
    assert found == {"one.txt": b"second", "two.txt": b"2\n"}
    assert [each["artifactIdentifier"] for each in build["secondaryArtifacts"]] == ["One", "Two"]


def test_a_failing_build_runs_post_build_and_finally(codebuild):
    phases = {
        "build": {"commands": ["echo one", "exit 3", "echo never"], "finally": ["echo f$CODEBUILD_BUILD_SUCCEEDING"]},
        "post_build": ["echo post $CODEBUILD_BUILD_SUCCEEDING"],
    }
    codebuild.project(buildspec=spec(**phases))
    build = codebuild.run()
    assert build["buildStatus"] == "FAILED"
    assert codebuild.said(build) == ["one", "f0", "post 0"]
    assert statuses(build)["BUILD"] == "FAILED"
    assert statuses(build)["POST_BUILD"] == "SUCCEEDED"
    assert context(build, "BUILD") == {
        "statusCode": "COMMAND_EXECUTION_ERROR",
        "message": "Error while executing command: exit 3. Reason: exit status 3",
    }


@pytest.mark.parametrize(
    ("phase", "on_failure", "said"),
    [
        ("install", None, ["f"]),
        ("pre_build", None, ["f"]),
        ("pre_build", "CONTINUE", ["f", "build", "post"]),
        ("build", "ABORT", ["f"]),
    ],
)
def test_what_a_failure_stops(codebuild, phase, on_failure, said):
    phases = {"build": ["echo build"], "post_build": ["echo post"]}
    phases[phase] = {"commands": ["false"], "finally": ["echo f"]}
    if on_failure:
        phases[phase]["on-failure"] = on_failure
    codebuild.project(buildspec=spec(**phases))
    build = codebuild.run()
    assert build["buildStatus"] == "FAILED"
    assert codebuild.said(build) == said


def test_a_buildspec_that_is_wrong(codebuild):
    codebuild.project(buildspec="version: 0.2\nphases:\n  bild:\n    commands: [x]\nenv:\n  secrets-manager: {A: b}\n")
    build = codebuild.run()
    assert build["buildStatus"] == "FAILED"
    found = context(build, "DOWNLOAD_SOURCE")
    assert found["statusCode"] == "YAML_FILE_ERROR"
    assert "phases.bild" in found["message"]
    assert "env.secrets-manager" in found["message"]


def test_artifacts_that_are_not_there(codebuild):
    artifacts = {"type": "S3", "location": "bucket", "packaging": "ZIP"}
    codebuild.project(buildspec=spec("true", artifacts={"files": ["none/*"]}), artifacts=artifacts)
    build = codebuild.run()
    assert build["buildStatus"] == "FAILED"
    assert "no matching artifact paths found" in context(build, "UPLOAD_ARTIFACTS")["message"]


def test_stop_kills_all_that_runs(codebuild, platform):
    codebuild.project(buildspec=spec("echo begin; (sleep 300; echo late) & sleep 300", post_build=["echo post"]))
    identity = codebuild.start()
    platform.until(lambda: "begin" in codebuild.said(codebuild.build(identity)))
    platform.until(lambda: codebuild.build(identity)["currentPhase"] == "BUILD")
    codebuild("StopBuild", id=identity)
    build = codebuild.built(identity, 20)
    assert build["buildStatus"] == "STOPPED"
    assert statuses(build)["BUILD"] == "STOPPED"
    assert codebuild.said(build)[:1] == ["begin"]
    assert "post" not in codebuild.said(build)


@pytest.mark.parametrize("end", ["StopBuild", "TimedOut", "Succeeded"])
def test_nothing_of_a_build_outlives_it(codebuild, platform, monkeypatch, end):
    """Neither what it has left in the background nor what has a session of its own."""
    marker = f"86399.{uuid.uuid4().int % 10**9}"
    begin = f"setsid sleep {marker} & (trap '' TERM HUP; nohup sleep {marker} >/dev/null 2>&1 &) ; echo begun"
    if end == "TimedOut":
        monkeypatch.setattr("modelwright.services.codebuild.builds.MINUTE", 0.5)
    wait = [] if end == "Succeeded" else ["sleep 300"]
    codebuild.project(buildspec=spec(begin, *wait), timeoutInMinutes=5)
    identity = codebuild.start()
    if end == "StopBuild":
        platform.until(lambda: "begun" in codebuild.said(codebuild.build(identity)) and processes(marker))
        codebuild("StopBuild", id=identity)
    build = codebuild.built(identity)
    assert build["buildStatus"] == {"StopBuild": "STOPPED", "TimedOut": "TIMED_OUT", "Succeeded": "SUCCEEDED"}[end]
    platform.until(lambda: not processes(marker), 20)


def test_time_out(codebuild, monkeypatch):
    monkeypatch.setattr("modelwright.services.codebuild.builds.MINUTE", 0.2)
    codebuild.project(buildspec=spec("echo begin; sleep 300"), timeoutInMinutes=5)
    build = codebuild.run()
    assert build["buildStatus"] == "TIMED_OUT"
    assert context(build, build["phases"][-2]["phaseType"])["statusCode"] == "BUILD_TIMED_OUT"


def test_a_build_goes_on_while_the_server_is_away(tmp_path):
    home = tmp_path / "home"
    with running(home) as platform:
        codebuild = CodeBuild(platform)
        platform.bucket()
        artifacts = {"type": "S3", "location": "bucket", "name": "a.zip", "packaging": "ZIP"}
        text = spec("echo begin; sleep 1; echo end; echo x > x", artifacts={"files": ["x"]})
        codebuild.project(buildspec=text, artifacts=artifacts)
        identity = codebuild.start()
        platform.until(lambda: "begin" in codebuild.said(codebuild.build(identity)))
    away = Platform(home)
    folder = next(each for each in away.settings.jobs.iterdir() if each.suffix != ".build")
    away.until((folder / "exit").exists)
    away.close()
    with running(home) as platform:
        codebuild = CodeBuild(platform)
        build = codebuild.built(identity)
        assert build["buildStatus"] == "SUCCEEDED"
        assert codebuild.said(build) == ["begin", "end"]
        assert platform.objects.head("bucket", "a.zip").size
        platform.until(lambda: not list(platform.settings.jobs.glob("*.build")))
