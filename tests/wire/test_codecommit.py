"""CodeCommit with real git, boto3 and the AWS CLI."""

import base64
import http.client
import json
import os
import socket
import subprocess
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from modelwright.images.library import LocalImages
from modelwright.repositories.repository import Repository
from support.git import Failed, commit, git
from support.sdk import VENVS
from support.server import serving
from support.waiting import until

AWS = VENVS / "sdk2" / "bin" / "aws"
with_aws = pytest.mark.skipif(not AWS.exists(), reason=f"no AWS CLI at {AWS}")
PATTERN = {"source": ["aws.codecommit"], "detail-type": ["CodeCommit Repository State Change"]}


@pytest.fixture(scope="module")
def code(server):
    return server.client("codecommit")


@pytest.fixture(scope="module")
def env(server):
    return server.client_environ()


@pytest.fixture
def repository(code):
    """A name of its own."""
    name = f"code-{uuid.uuid4().hex[:8]}"
    code.create_repository(repositoryName=name)
    return name


def url(name, region="us-east-1"):
    return f"https://git-codecommit.{region}.amazonaws.com/v1/repos/{name}"


def clone(source, folder, env, *options):
    git("clone", "-q", *options, source, str(folder), env=env)
    return folder


def pushed(folder, env, *arguments):
    return git("push", "-q", "origin", "HEAD", *arguments, cwd=folder, env=env)


def started_push(folder, env):
    return subprocess.Popen(["git", "push", "-q", "origin", "HEAD"], cwd=folder, env=env, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("protocol", ["0", "2"])
@pytest.mark.parametrize("local", [False, True])
def test_there_and_back(server, code, env, repository, tmp_path, local, protocol):
    source = f"{server.url}/v1/repos/{repository}" if local else url(repository)
    option = ("-c", f"protocol.version={protocol}")
    one = clone(source, tmp_path / "one", env, *option)
    first = commit(one, env=env, a_txt="1\n", d__run_sh="#!/bin/sh\n")
    git("push", "-q", "origin", "HEAD:main", cwd=one, env=env)
    assert code.get_branch(repositoryName=repository, branchName="main")["branch"]["commitId"] == first
    made = code.create_commit(
        repositoryName=repository,
        branchName="main",
        parentCommitId=first,
        putFiles=[{"filePath": "b.txt", "fileContent": b"2\n"}],
    )
    git("pull", "-q", "origin", "main", cwd=one, env=env)
    assert (one / "b.txt").read_text() == "2\n"
    git("tag", "-a", "v1", "-m", "v1", cwd=one, env=env)
    git("push", "-q", "origin", "v1", cwd=one, env=env)
    two = clone(source, tmp_path / "two", env, *option, "--branch", "v1")
    assert git("rev-parse", "HEAD", cwd=two).strip() == made["commitId"]
    file = code.get_file(repositoryName=repository, filePath="a.txt", commitSpecifier="v1")
    assert file["fileContent"] == b"1\n"


def test_shallow_and_partial_clones(env, repository, tmp_path):
    one = clone(url(repository), tmp_path / "one", env)
    for number in range(3):
        last = commit(one, env=env, a=str(number))
    pushed(one, env)
    two = clone(url(repository), tmp_path / "two", env, "--depth", "1")
    assert git("rev-list", "--all", cwd=two).split() == [last]
    three = clone(url(repository), tmp_path / "three", env, "--filter=blob:none")
    assert (three / "a").read_text() == "2"


@with_aws
def test_awss_credential_helper(server, code, repository, tmp_path):
    """git configured as AWS's pages say, without what `modelwright env` sets for git."""
    env = {name: value for name, value in server.client_environ().items() if not name.startswith("GIT_")}
    env["PATH"] = f"{AWS.parent}{os.pathsep}{env['PATH']}"
    env["GIT_SSL_CAINFO"] = env["SSL_CERT_FILE"]
    helper = ("-c", "credential.helper=!aws codecommit credential-helper $@", "-c", "credential.UseHttpPath=true")
    one = clone(url(repository, "eu-west-1"), tmp_path / "one", env, *helper)
    tip = commit(one, env=env, a="1")
    git(*helper, "push", "-q", "origin", "HEAD", cwd=one, env=env)
    assert code.get_branch(repositoryName=repository, branchName="main")["branch"]["commitId"] == tip
    wrong = {**env, "AWS_SECRET_ACCESS_KEY": "wrong"}
    with pytest.raises(Failed, match="remote: The signature in the password"):
        git(*helper, "fetch", cwd=one, env=wrong)


def test_who_may_not_is_told_why(server, env, repository):
    with pytest.raises(Failed, match="remote: The password is not the secret"):
        git("ls-remote", url(repository), env={**env, "AWS_SECRET_ACCESS_KEY": "wrong"})
    plain = {name: value for name, value in env.items() if not name.startswith("GIT_CONFIG_")}
    plain["GIT_SSL_CAINFO"] = env["SSL_CERT_FILE"]
    with pytest.raises(Failed, match="terminal prompts disabled"):
        git("ls-remote", url(repository), env=plain)
    with pytest.raises(Failed, match="remote: There is no CodeCommit repository 'none' here"):
        git("ls-remote", url("none"), env=env)


def test_what_each_role_may(server, env, repository, tmp_path):
    """A viewer pulls and does not push; so does a job, by its session's key."""
    iam, name = server.client("iam"), f"viewer-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    iam.add_user_to_group(UserName=name, GroupName="viewer")
    key = iam.create_access_key(UserName=name)["AccessKey"]
    job = server.keys.session("training-job/j", "job")
    viewer = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
    session = {"AWS_ACCESS_KEY_ID": job.id, "AWS_SECRET_ACCESS_KEY": job.secret, "AWS_SESSION_TOKEN": job.token}
    for who in (viewer, session):
        one = clone(url(repository), tmp_path / who["AWS_ACCESS_KEY_ID"], {**env, **who})
        commit(one, env=env, a="1")
        with pytest.raises(Failed, match=r"remote: .*codecommit:GitPush"):
            pushed(one, {**env, **who})
    pushed(one, env)


def test_a_real_key_is_never_sent(server, env, repository):
    with pytest.raises(Failed, match="terminal prompts disabled"):
        git("ls-remote", url(repository), env={**env, "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE"})


def test_what_is_behind_is_not_pushed(code, env, repository, tmp_path):
    one, two = (clone(url(repository), tmp_path / name, env) for name in ("one", "two"))
    commit(one, env=env, a="1")
    pushed(one, env)
    last = commit(two, env=env, b="2")
    with pytest.raises(Failed, match="fetch first"):
        pushed(two, env)
    pushed(two, env, "--force")
    assert code.get_branch(repositoryName=repository, branchName="main")["branch"]["commitId"] == last


def test_the_default_branch_is_not_deleted_by_a_push(code, env, repository, tmp_path):
    one = clone(url(repository), tmp_path / "one", env)
    commit(one, env=env, a="1")
    pushed(one, env)
    git("push", "-q", "origin", "HEAD:refs/heads/other", cwd=one, env=env)
    with pytest.raises(Failed, match="deletion of the current branch prohibited"):
        git("push", "-q", "origin", ":main", cwd=one, env=env)
    git("push", "-q", "origin", ":other", cwd=one, env=env)
    assert code.list_branches(repositoryName=repository)["branches"] == ["main"]


def test_pushes_at_once(code, env, repository, tmp_path):
    """To branches of their own all get through; to the same branch one does."""
    clones = [clone(url(repository), tmp_path / str(n), env) for n in range(4)]
    for number, each in enumerate(clones):
        commit(each, env=env, **{f"f{number}": os.urandom(300_000)})

    def attempt(number, branch):
        try:
            git("push", "-q", "origin", f"HEAD:refs/heads/{branch}", cwd=clones[number], env=env)
        except Failed:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(lambda number: attempt(number, f"own{number}"), range(4)))
        assert sum(pool.map(lambda number: attempt(number, "main"), range(4))) == 1
    assert len(code.list_branches(repositoryName=repository)["branches"]) == 5
    git("fsck", "--full", cwd=clone(url(repository), tmp_path / "all", env, "--mirror"))


def test_a_large_push_is_never_held(tmp_path):
    with serving(tmp_path / "home") as server:
        env = server.client_environ()
        server.client("codecommit").create_repository(repositoryName="large")
        one = clone(url("large"), tmp_path / "one", env, "-c", "core.compression=0")
        commit(one, env=env, small="1")
        pushed(one, env)  # what a push needs anyway
        clone(url("large"), tmp_path / "warm", env)
        before = server.memory()
        tip = commit(one, env=env, large=os.urandom(50_000_000))
        pushed(one, env)
        two = clone(url("large"), tmp_path / "two", env)
        assert git("rev-parse", "HEAD", cwd=two).strip() == tip
        assert server.memory() - before < 16


def test_many_references_need_a_body_that_is_packed(env, repository, tmp_path):
    """git packs a request of many lines: the server unpacks it."""
    one = clone(url(repository), tmp_path / "one", env)
    for number in range(60):
        commit(one, env=env, a=str(number))
        git("branch", f"b{number}", cwd=one, env=env)
    git("push", "-q", "origin", "--all", cwd=one, env=env)
    two = clone(url(repository), tmp_path / "two", env)
    trace = {**env, "GIT_TRACE_CURL": str(tmp_path / "trace")}
    git("fetch", "-q", "origin", "+refs/heads/*:refs/mirror/*", cwd=two, env=trace)
    last = commit(one, env=env, b="new")
    git("push", "-q", "origin", "HEAD:refs/heads/new", cwd=one, env=env)
    git("fetch", "-q", "origin", "new", cwd=two, env=trace)
    assert git("rev-parse", "FETCH_HEAD", cwd=two).strip() == last
    assert "gzip" in (tmp_path / "trace").read_text()


@with_aws
def test_the_command_line(server, env, repository, tmp_path):
    def aws(*arguments):
        done = subprocess.run(
            [str(AWS), "codecommit", *arguments, "--repository-name", repository],
            env=env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return json.loads(done.stdout) if done.returncode == 0 and done.stdout else done.stderr

    file = tmp_path / "f.txt"
    file.write_bytes(b"\x00\xff binary")
    place = ("--branch-name", "main", "--file-path", "f.bin")
    made = aws("put-file", *place, "--file-content", f"fileb://{file}")
    found = aws("get-file", "--file-path", "f.bin")
    assert (found["blobId"], found["commitId"]) == (made["blobId"], made["commitId"])
    folder = aws("get-folder", "--folder-path", "/")
    assert [each["absolutePath"] for each in folder["files"]] == ["f.bin"]
    assert "ParentCommitIdRequiredException" in aws("put-file", *place, "--file-content", "x")
    assert len(aws("get-differences", "--after-commit-specifier", "main")["differences"]) == 1


@pytest.fixture
def queue(server):
    """A queue that gets all of CodeCommit's events, emptied by calling it."""
    events, sqs = server.client("events"), server.client("sqs")
    name = f"q{uuid.uuid4().hex[:8]}"
    place = sqs.create_queue(QueueName=name)["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=place, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.put_rule(Name=name, EventPattern=json.dumps(PATTERN))
    events.put_targets(Rule=name, Targets=[{"Id": "1", "Arn": arn}])
    seen = []

    def received(repository):
        while messages := sqs.receive_message(QueueUrl=place, MaxNumberOfMessages=10).get("Messages"):
            seen.extend(json.loads(message["Body"]) for message in messages)
            for message in messages:
                sqs.delete_message(QueueUrl=place, ReceiptHandle=message["ReceiptHandle"])
        return [event for event in seen if event["detail"]["repositoryName"] == repository]

    yield received
    events.remove_targets(Rule=name, Ids=["1"])
    events.delete_rule(Name=name)


def test_a_push_is_told(env, repository, queue, tmp_path):
    one = clone(url(repository), tmp_path / "one", env)
    first = commit(one, env=env, a="1")
    pushed(one, env)
    second = commit(one, env=env, a="2")
    git("tag", "v1", cwd=one, env=env)
    pushed(one, env, "v1")
    found = until(lambda: len(events := queue(repository)) == 3 and events)
    assert found[0]["source"] == "aws.codecommit"
    assert found[0]["resources"] == [f"arn:aws:codecommit:us-east-1:111122223333:{repository}"]
    details = sorted(
        (each["detail"]["event"], each["detail"]["referenceFullName"], each["detail"]["commitId"]) for each in found
    )
    assert details == [
        ("referenceCreated", "refs/heads/main", first),
        ("referenceCreated", "refs/tags/v1", second),
        ("referenceUpdated", "refs/heads/main", second),
    ]
    assert {each["detail"]["callerUserArn"].rpartition("/")[2] for each in found} == {"admin"}


@pytest.mark.parametrize("part", [0, 0.9])
def test_a_push_that_breaks_off_changes_nothing(server, code, env, repository, tmp_path, part):
    """Part of a pack, and then the client is gone."""
    one = clone(url(repository), tmp_path / "one", env)
    first = commit(one, env=env, a="1")
    pushed(one, env)
    second = commit(one, env=env, b=os.urandom(3_000_000))
    packed = subprocess.run(
        ["git", "pack-objects", "--stdout", "--revs", "-q"],
        cwd=one, input=f"{second}\n^{first}\n".encode(), capture_output=True, check=True,
    ).stdout  # fmt: skip
    line = f"{first} {second} refs/heads/main\0report-status"
    body = f"{len(line) + 4:04x}{line}0000".encode() + packed[: int(len(packed) * part)]
    with socket.create_connection(("127.0.0.1", server.running.port)) as connection:
        head = (
            f"POST /v1/repos/{repository}/git-receive-pack HTTP/1.1\r\nHost: x\r\nAuthorization: {basic(server)}\r\n"
            f"Content-Length: {len(packed) + 100_000}\r\n\r\n"
        )
        connection.sendall(head.encode() + body)
    bare = bare_folder(server, code, repository)
    until(lambda: Repository(None, bare).settled(wait=False) and not list(bare.glob("objects/incoming-*")))
    assert code.get_branch(repositoryName=repository, branchName="main")["branch"]["commitId"] == first
    pushed(one, env)
    assert code.get_branch(repositoryName=repository, branchName="main")["branch"]["commitId"] == second


def basic(server):
    key = server.keys.admin
    return "Basic " + base64.b64encode(f"{key.id}:{key.secret}".encode()).decode()


def bare_folder(server, code, name):
    identity = code.get_repository(repositoryName=name)["repositoryMetadata"]["repositoryId"]
    return server.settings.repositories / f"{identity}.git"


def test_odd_requests_get_answers(server):
    def status(method, path, body=None, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", server.running.port, timeout=30)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status
        finally:
            connection.close()

    name = f"odd-{uuid.uuid4().hex[:8]}"
    server.client("codecommit").create_repository(repositoryName=name)
    auth = basic(server)
    root = f"/v1/repos/{name}"
    assert status("GET", f"{root}/info/refs?service=git-upload-pack") == 401
    assert status("GET", f"{root}/info/refs?service=git-upload-pack", Authorization=auth) == 200
    assert status("GET", f"{root}/info/refs", Authorization=auth) == 403
    assert status("GET", f"{root}/info/refs?service=git-upload-archive", Authorization=auth) == 403
    assert status("GET", f"{root}/HEAD", Authorization=auth) == 404
    assert status("GET", "/v1/repos/../../x/info/refs", Authorization=auth) == 404
    assert status("PUT", f"{root}/git-receive-pack", Authorization=auth) == 405
    nonsense = {"Authorization": auth, "Content-Encoding": "gzip"}
    assert status("POST", f"{root}/git-upload-pack", b"nonsense", **nonsense) == 400
    assert status("POST", f"{root}/git-receive-pack", b"nonsense", Authorization=auth) in (200, 400)
    assert status("GET", f"{root}/info/refs?service=git-upload-pack", Authorization=auth) == 200


def test_pushes_outlive_kill_9(tmp_path):
    """Whatever moment the server dies at: what git has is told, once, and nothing else is."""
    with serving(tmp_path / "home") as server:
        code, events, sqs = (server.client(name) for name in ("codecommit", "events", "sqs"))
        code.create_repository(repositoryName="r")
        place = sqs.create_queue(QueueName="q")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=place, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        events.put_rule(Name="q", EventPattern=json.dumps(PATTERN))
        events.put_targets(Rule="q", Targets=[{"Id": "1", "Arn": arn}])
        port = server.running.port
        env = server.client_environ()
        one = clone(url("r"), tmp_path / "one", env)
        for number in range(8):
            commit(one, env=env, a=str(number))
            push = subprocess.Popen(
                ["git", "push", "-q", "origin", "HEAD"], cwd=one, env=env, stderr=subprocess.DEVNULL
            )
            threading.Event().wait(0.03 + 0.02 * number)
            server.kill()
            push.wait()
            server.start(port)
        pushed(one, env)
        bare = next(Path(server.settings.repositories).glob("*.git"))
        log = [line.split()[:2] for line in (bare / "logs/refs/heads/main").read_text().splitlines()]
        sqs, told = server.client("sqs"), {}

        def complete():
            for message in sqs.receive_message(QueueUrl=place, MaxNumberOfMessages=10).get("Messages", []):
                event = json.loads(message["Body"])
                told[event["id"]] = event["detail"]  # an event may be delivered twice, it is the same then
                sqs.delete_message(QueueUrl=place, ReceiptHandle=message["ReceiptHandle"])
            return len(told) >= len(log)

        until(complete)
        moves = [(detail.get("oldCommitId", "0" * 40), detail["commitId"]) for detail in told.values()]
        assert sorted(moves) == sorted(tuple(line) for line in log), (moves, log)
        with pytest.raises(ClientError, match="does not exist"):
            server.client("codecommit").get_repository(repositoryName="other")


def test_a_job_clones_by_its_environment_alone(server, code, repository, tmp_path):
    """With the job's own key, in its sandbox."""
    program = f"git clone -q {url(repository)} /tmp/source && cp /tmp/source/a.txt /opt/ml/model/ && echo cloned"
    (tmp_path / "Dockerfile").write_text('FROM scratch\nCOPY run /run.sh\nENTRYPOINT ["/bin/sh", "/run.sh"]\n')
    (tmp_path / "run").write_text(program + "\n")
    image = f"111122223333.dkr.ecr.us-east-1.amazonaws.com/{repository}:1"
    LocalImages(server.settings).build(tmp_path, image, lambda line: None)
    code.put_file(repositoryName=repository, branchName="main", filePath="a.txt", fileContent=b"in the repository")
    server.client("s3").create_bucket(Bucket=repository)
    sagemaker = server.client("sagemaker")
    sagemaker.create_training_job(
        TrainingJobName=repository,
        AlgorithmSpecification={"TrainingImage": image, "TrainingInputMode": "File"},
        RoleArn="arn:aws:iam::111122223333:role/ModelwrightExecutionRole",
        OutputDataConfig={"S3OutputPath": f"s3://{repository}/out"},
        ResourceConfig={"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 1},
        StoppingCondition={"MaxRuntimeInSeconds": 60},
    )

    def ended():
        job = sagemaker.describe_training_job(TrainingJobName=repository)
        return job if job["TrainingJobStatus"] in ("Completed", "Failed", "Stopped") else None

    job = until(ended, 60)
    assert job["TrainingJobStatus"] == "Completed", job.get("FailureReason")
