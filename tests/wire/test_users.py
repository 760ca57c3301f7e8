"""Users by boto3 and the command line: what each role may, and that nobody gets round it."""

import base64
import json
import time
import uuid
from datetime import UTC, datetime

import boto3
import pytest
from botocore.exceptions import ClientError

from support.cli import CommandLine
from support.waiting import until

ACCOUNT = "111122223333"
REGION = "us-east-1"
IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/pose:1"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/ModelwrightExecutionRole"


class User:
    """Somebody with an access key."""

    def __init__(self, server, name, key):
        self.server, self.name, self.key = server, name, key

    def client(self, service):
        session = boto3.session.Session(self.key["AccessKeyId"], self.key["SecretAccessKey"], region_name=REGION)
        return session.client(service, endpoint_url=self.server.url)


def add(server, role, name=None):
    iam, name = server.client("iam"), name or f"{role}-{uuid.uuid4().hex[:8]}"
    iam.create_user(UserName=name)
    if role != "nobody":
        iam.add_user_to_group(UserName=name, GroupName=role)
    return User(server, name, iam.create_access_key(UserName=name)["AccessKey"])


@pytest.fixture(scope="module")
def people(server):
    return {role: add(server, role) for role in ("admin", "developer", "viewer", "nobody")}


@pytest.fixture(scope="module")
def group(server):
    name = f"poses-{uuid.uuid4().hex[:8]}"
    server.client("sagemaker").create_model_package_group(ModelPackageGroupName=name)
    return name


def register(client, group, **more):
    return client.create_model_package(
        ModelPackageGroupName=group,
        InferenceSpecification={
            "Containers": [{"Image": "scikit-learn", "ModelDataUrl": "s3://models/model.tar.gz"}],
            "SupportedContentTypes": ["text/csv"],
            "SupportedResponseMIMETypes": ["text/csv"],
            "SupportedRealtimeInferenceInstanceTypes": ["ml.m5.large"],
        },
        **more,
    )["ModelPackageArn"]


def denied(call, *words):
    with pytest.raises(ClientError) as caught:
        call()
    error = caught.value.response
    assert error["Error"]["Code"] in ("AccessDenied", "AccessDeniedException")
    for word in words:
        assert word in error["Error"]["Message"]
    return error["Error"]["Code"], error["ResponseMetadata"]["HTTPStatusCode"]


def test_each_is_told_who_they_are(people):
    for user in people.values():
        identity = user.client("sts").get_caller_identity()
        assert identity["Arn"] == f"arn:aws:sts::{ACCOUNT}:assumed-role/ModelwrightExecutionRole/{user.name}"


def test_an_admin_approves_and_a_developer_may_not(people, group):
    developer, admin = people["developer"].client("sagemaker"), people["admin"].client("sagemaker")
    arn = register(developer, group, ModelApprovalStatus="PendingManualApproval")
    found = denied(
        lambda: developer.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved"),
        f"User: arn:aws:sts::{ACCOUNT}:assumed-role/ModelwrightExecutionRole/{people['developer'].name} "
        f"is not authorized to perform: sagemaker:UpdateModelPackage on resource: {arn}",
        "an admin may",
    )
    assert found == ("AccessDeniedException", 400)
    denied(lambda: register(developer, group, ModelApprovalStatus="Approved"), "sagemaker:CreateModelPackage")
    assert developer.describe_model_package(ModelPackageName=arn)["ModelApprovalStatus"] == "PendingManualApproval"
    admin.update_model_package(ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="good")
    after = developer.describe_model_package(ModelPackageName=arn)
    assert after["ModelApprovalStatus"] == "Approved"
    assert after["LastModifiedBy"]["IamIdentity"]["Arn"].endswith(f"/{people['admin'].name}")


def test_a_viewer_reads_and_changes_nothing(people, server, group):
    viewer, bucket = people["viewer"], f"b-{uuid.uuid4().hex}"
    server.client("s3").create_bucket(Bucket=bucket)
    server.client("s3").put_object(Bucket=bucket, Key="a", Body=b"text")
    assert viewer.client("s3").get_object(Bucket=bucket, Key="a")["Body"].read() == b"text"
    assert viewer.client("sagemaker").list_model_packages(ModelPackageGroupName=group) is not None
    put = viewer.client("s3").put_object
    assert denied(lambda: put(Bucket=bucket, Key="b", Body=b"x" * 100_000), "s3:PutObject") == ("AccessDenied", 403)
    url = viewer.client("s3").generate_presigned_url("put_object", {"Bucket": bucket, "Key": "c"})
    assert _put(url) == 403
    denied(lambda: viewer.client("s3").delete_object(Bucket=bucket, Key="a"), "s3:DeleteObject")
    denied(lambda: viewer.client("sagemaker").create_model_package_group(ModelPackageGroupName="x"), "developer")
    denied(lambda: viewer.client("logs").create_log_group(logGroupName="x"))
    invoke = viewer.client("sagemaker-runtime").invoke_endpoint
    assert denied(lambda: invoke(EndpointName="x", Body=b""), "sagemaker:InvokeEndpoint")[1] == 403
    assert [item["Key"] for item in server.client("s3").list_objects_v2(Bucket=bucket)["Contents"]] == ["a"]


def _put(url):
    import urllib.error
    import urllib.request

    try:
        return urllib.request.urlopen(urllib.request.Request(url, b"x", method="PUT")).status
    except urllib.error.HTTPError as error:
        return error.code


def test_who_has_no_role_may_do_nothing(people):
    denied(lambda: people["nobody"].client("s3").list_buckets(), "s3:ListAllMyBuckets", "without a role")
    denied(lambda: people["nobody"].client("sagemaker").list_models())


def test_only_an_admin_manages_users(people):
    developer = people["developer"]
    iam = developer.client("iam")
    assert denied(lambda: iam.create_user(UserName="me-too"), "iam:CreateUser") == ("AccessDenied", 403)
    denied(lambda: iam.add_user_to_group(UserName=developer.name, GroupName="admin"))
    denied(lambda: iam.create_access_key(UserName="admin"))
    denied(iam.create_access_key)
    assert iam.get_user()["User"]["UserName"] == developer.name
    names = [user["UserName"] for user in iam.list_users()["Users"]]
    assert {"admin", developer.name} <= set(names)
    assert "SecretAccessKey" not in json.dumps(iam.list_access_keys(UserName=developer.name), default=str)


def test_a_key_that_is_deactivated_or_deleted_ends(server):
    user, iam = add(server, "developer"), server.client("iam")
    key = user.key["AccessKeyId"]
    user.client("s3").list_buckets()
    iam.update_access_key(UserName=user.name, AccessKeyId=key, Status="Inactive")
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        user.client("s3").list_buckets()
    iam.update_access_key(UserName=user.name, AccessKeyId=key, Status="Active")
    user.client("s3").list_buckets()
    with pytest.raises(ClientError, match="DeleteConflict"):
        iam.delete_user(UserName=user.name)
    iam.delete_access_key(UserName=user.name, AccessKeyId=key)
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        user.client("s3").list_buckets()
    iam.remove_user_from_group(UserName=user.name, GroupName="developer")
    iam.delete_user(UserName=user.name)
    with pytest.raises(ClientError, match="NoSuchEntity"):
        iam.get_user(UserName=user.name)


def test_a_session_acts_as_its_user_until_it_ends(server, people, group):
    developer = people["developer"]
    asked = developer.client("sts").get_session_token(DurationSeconds=900)["Credentials"]
    assert 890 < (asked["Expiration"] - datetime.now(UTC)).total_seconds() <= 900

    def client(service, key):
        return boto3.session.Session(*key, region_name=REGION).client(service, endpoint_url=server.url)

    key = (asked["AccessKeyId"], asked["SecretAccessKey"], asked["SessionToken"])
    mine = client("sts", key).get_caller_identity()["Arn"]
    assert mine == developer.client("sts").get_caller_identity()["Arn"]
    client("s3", key).list_buckets()
    with pytest.raises(ClientError, match="AccessDenied"):
        client("iam", key).create_user(UserName="not-by-a-session")
    with pytest.raises(ClientError, match="Cannot call GetSessionToken with session credentials"):
        client("sts", key).get_session_token()
    over = server.keys.temporary("admin", int(time.time()) - 1)
    for service, verb, code, status in (
        ("s3", "list_buckets", "ExpiredToken", 400),
        ("sts", "get_caller_identity", "ExpiredToken", 403),
        ("sagemaker", "list_models", "ExpiredTokenException", 400),
    ):
        with pytest.raises(ClientError) as caught:
            getattr(client(service, (over.id, over.secret, over.token)), verb)()
        assert caught.value.response["Error"]["Code"] == code
        assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    longer = json.dumps(["admin", "", int(time.time()) + 900, "x"]).encode()
    forged = base64.urlsafe_b64encode(longer).decode().rstrip("=") + over.token[over.token.index(".") :]
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        client("sts", (over.id, over.secret, forged)).get_caller_identity()


def test_a_session_ends_with_its_user(server):
    admin, name = server.client("iam"), f"leaving-{uuid.uuid4().hex[:8]}"
    admin.create_user(UserName=name)
    admin.add_user_to_group(UserName=name, GroupName="viewer")
    key = admin.create_access_key(UserName=name)["AccessKey"]
    own = boto3.session.Session(key["AccessKeyId"], key["SecretAccessKey"], region_name=REGION)
    got = own.client("sts", endpoint_url=server.url).get_session_token()["Credentials"]
    session = boto3.session.Session(
        got["AccessKeyId"], got["SecretAccessKey"], got["SessionToken"], region_name=REGION
    ).client("sts", endpoint_url=server.url)
    assert session.get_caller_identity()["Arn"].endswith(f"/{name}")
    admin.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
    admin.remove_user_from_group(UserName=name, GroupName="viewer")
    admin.delete_user(UserName=name)
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        session.get_caller_identity()


def test_the_owner_stays(server):
    iam = server.client("iam")
    with pytest.raises(ClientError, match="UnmodifiableEntity"):
        iam.delete_user(UserName="admin")
    with pytest.raises(ClientError, match="UnmodifiableEntity"):
        iam.remove_user_from_group(UserName="admin", GroupName="admin")
    with pytest.raises(ClientError, match="users rotate admin"):
        iam.delete_access_key(UserName="admin", AccessKeyId=server.keys.admin.id)
    with pytest.raises(ClientError, match="EntityAlreadyExists"):
        iam.create_user(UserName="Admin")
    with pytest.raises(ClientError, match="those of jobs"):
        iam.create_user(UserName="SageMaker-training-job-x")


def test_a_pipeline_registers_nothing_as_approved_for_a_developer(people, group):
    """Neither started by one, nor written by one and started by an administrator."""
    for starter, writer, expected in (
        ("developer", "developer", "Failed"),
        ("developer", "admin", "Failed"),
        ("admin", "developer", "Failed"),
        ("admin", "admin", "Succeeded"),
    ):
        name = f"launder-{uuid.uuid4().hex[:8]}"
        people[writer].client("sagemaker").create_pipeline(
            PipelineName=name, PipelineDefinition=_registering(group), RoleArn=ROLE
        )
        _check_started(people[starter].client("sagemaker"), name, expected)


def test_nor_does_one_that_a_stack_has_made(people, group):
    """Whoever has asked for something of the stack has written what is in it."""
    for asking, starter, expected in (
        (["admin"], "admin", "Succeeded"),
        (["admin"], "developer", "Failed"),
        (["developer"], "admin", "Failed"),
        (["developer", "admin"], "admin", "Failed"),
    ):
        name = f"stacked-{uuid.uuid4().hex[:8]}"
        properties = {
            "PipelineName": name,
            "PipelineDefinition": {"PipelineDefinitionBody": _registering(group)},
            "RoleArn": ROLE,
        }
        for number, who in enumerate(asking):
            cloudformation = people[who].client("cloudformation")
            resource = {"Type": "AWS::SageMaker::Pipeline", "Properties": properties}
            template = json.dumps({"Description": f"{number}", "Resources": {"P": resource}})
            verb = cloudformation.update_stack if number else cloudformation.create_stack
            verb(StackName=name, TemplateBody=template)
            properties["PipelineDescription"] = "changed"
            _stack_comes_to_rest(people["admin"], name)
        _check_started(people[starter].client("sagemaker"), name, expected)
        by = look_up(people["admin"], EventName="CreatePipeline", ResourceName=name)
        assert by["userIdentity"]["onBehalfOf"] == [people[asking[0]].client("sts").get_caller_identity()["Arn"]]


def _stack_comes_to_rest(who, name):
    cloudformation = who.client("cloudformation")

    def resting():
        status = cloudformation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
        return None if status.endswith("IN_PROGRESS") else status

    assert until(resting, 60) in ("CREATE_COMPLETE", "UPDATE_COMPLETE")


def look_up(who, **attributes):
    """The newest record of the audit log."""
    wanted = [{"AttributeKey": key, "AttributeValue": value} for key, value in attributes.items()]
    events = who.client("cloudtrail").lookup_events(LookupAttributes=wanted)["Events"]
    return json.loads(events[0]["CloudTrailEvent"])


def _registering(group):
    """A pipeline that registers a model as approved."""
    step = {
        "Name": "Register",
        "Type": "RegisterModel",
        "Arguments": {
            "ModelPackageGroupName": group,
            "ModelApprovalStatus": "Approved",
            "InferenceSpecification": {
                "Containers": [{"Image": "scikit-learn", "ModelDataUrl": "s3://models/model.tar.gz"}],
                "SupportedContentTypes": ["text/csv"],
                "SupportedResponseMIMETypes": ["text/csv"],
            },
        },
    }
    return json.dumps({"Version": "2020-12-01", "Metadata": {}, "Parameters": [], "Steps": [step]})


def _check_started(sagemaker, name, expected):
    execution = sagemaker.start_pipeline_execution(PipelineName=name)["PipelineExecutionArn"]
    status = _ended(sagemaker, execution)
    steps = sagemaker.list_pipeline_execution_steps(PipelineExecutionArn=execution)["PipelineExecutionSteps"]
    assert status == expected, steps
    if expected == "Failed":
        assert "not authorized to perform: sagemaker:CreateModelPackage" in steps[0]["FailureReason"]


def _ended(sagemaker, execution):
    import time

    for _ in range(600):
        status = sagemaker.describe_pipeline_execution(PipelineExecutionArn=execution)["PipelineExecutionStatus"]
        if status not in ("Executing", "Stopping"):
            return status
        time.sleep(0.05)
    raise AssertionError("it does not end")


@pytest.fixture
def fresh(tmp_path):
    command = CommandLine(tmp_path / "home")
    command("up", "--detach", "--port", "0")
    yield command
    command("down")


def test_users_by_the_command_line(fresh):
    said = fresh.out("users", "add", "mina", "--role", "viewer")
    assert said.startswith("[mina]\naws_access_key_id = AKIA")
    assert "already" in fresh.err("users", "add", "mina", "--role", "viewer", code=2)
    rows = {user["UserName"]: user for user in json.loads(fresh.out("users", "list", "--json"))}
    assert {name: user["Role"] for name, user in rows.items()} == {"admin": "admin", "mina": "viewer"}
    first = rows["mina"]["Keys"]
    rotated = json.loads(fresh.out("users", "rotate", "mina", "--json"))
    assert rotated["AccessKeyId"] != first
    assert (
        json.loads(fresh.out("env", "--user", "mina", "--json"))["AWS_SECRET_ACCESS_KEY"] == rotated["SecretAccessKey"]
    )
    assert "There is no user 'nobody'" in fresh.err("env", "--user", "nobody", code=2)
    before = json.loads(fresh.out("env", "--json"))["AWS_ACCESS_KEY_ID"]
    fresh("users", "rotate", "admin")
    assert json.loads(fresh.out("env", "--json"))["AWS_ACCESS_KEY_ID"] != before
    rows = {user["UserName"]: user for user in json.loads(fresh.out("users", "list", "--json"))}
    assert before not in rows["admin"]["Keys"]
    assert "owns this home" in fresh.err("users", "remove", "admin", code=2)
    assert fresh.out("users", "remove", "mina") == "mina is removed.\n"
    fresh("down")
    fresh("up", "--detach", "--port", "0")
    assert [user["UserName"] for user in json.loads(fresh.out("users", "list", "--json"))] == ["admin"]


class Job(User):
    """What runs in a job: a key of its own, with a session token."""

    def __init__(self, server, stream, role):
        self.server, self.session = server, server.keys.session(stream, role)

    def client(self, service, token=None):
        key = self.session
        session = boto3.session.Session(key.id, key.secret, token or key.token, region_name=REGION)
        return session.client(service, endpoint_url=self.server.url)


def test_a_job_acts_under_its_own_name_with_the_least_it_needs(server, group):
    name = f"job-{uuid.uuid4().hex[:8]}"
    job = Job(server, f"training-job/{name}", "job")
    identity = job.client("sts").get_caller_identity()["Arn"]
    assert identity.endswith(f":assumed-role/ModelwrightExecutionRole/SageMaker-training-job-{name}")
    arn = register(job.client("sagemaker"), group, ModelApprovalStatus="PendingManualApproval")
    denied(lambda: register(job.client("sagemaker"), group, ModelApprovalStatus="Approved"))
    update = job.client("sagemaker").update_model_package
    denied(lambda: update(ModelPackageArn=arn, ModelApprovalStatus="Approved"), "an admin may")
    denied(lambda: job.client("sagemaker").delete_model_package(ModelPackageName=arn))
    denied(lambda: job.client("iam").create_access_key(UserName="admin"))
    found = server.client("cloudtrail").lookup_events(
        LookupAttributes=[{"AttributeKey": "Username", "AttributeValue": f"SageMaker-training-job-{name}"}]
    )["Events"]
    outcomes = [json.loads(event["CloudTrailEvent"]).get("errorCode") for event in reversed(found)]
    assert outcomes == [None, *["AccessDeniedException"] * 3, "AccessDenied"]


def test_a_build_decides_nothing_and_manages_nobody(server, group):
    """It brings images and runs pipelines; what stands between a model and production it leaves alone."""
    name = f"by-build-{uuid.uuid4().hex[:8]}"
    build = Job(server, f"build/{name}:1", "build")
    arn = register(build.client("sagemaker"), group, ModelApprovalStatus="PendingManualApproval")
    build.client("ecr").create_repository(repositoryName=name)
    build.client("s3").create_bucket(Bucket=name)
    build.client("s3").put_object(Bucket=name, Key="k", Body=b"x")
    build.client("codecommit").list_repositories()
    deploy = {"pipelineName": "p", "stageName": "s", "actionName": "a"}
    result = {"summary": "", "status": "Approved"}
    pattern = json.dumps({"source": ["x"]})
    template = json.dumps({"Resources": {"G": {"Type": "AWS::Logs::LogGroup"}}})
    token = str(uuid.uuid4())
    for service, verb, parameters in (
        ("sagemaker", "update_model_package", {"ModelPackageArn": arn, "ModelApprovalStatus": "Approved"}),
        ("sagemaker", "delete_model_package", {"ModelPackageName": arn}),
        ("sagemaker", "delete_endpoint", {"EndpointName": "e"}),
        ("sagemaker", "update_endpoint", {"EndpointName": "e", "EndpointConfigName": "c"}),
        ("codepipeline", "put_approval_result", {**deploy, "token": token, "result": result}),
        ("codepipeline", "start_pipeline_execution", {"name": "p"}),
        ("codepipeline", "delete_pipeline", {"name": "p"}),
        ("cloudformation", "create_stack", {"StackName": "s", "TemplateBody": template}),
        ("codebuild", "start_build", {"projectName": "p"}),
        ("codebuild", "delete_project", {"name": "p"}),
        ("codecommit", "delete_repository", {"repositoryName": "r"}),
        ("codecommit", "put_file", {
            "repositoryName": "r", "branchName": "main", "fileContent": b"x", "filePath": "f",
        }),
        ("events", "put_rule", {"Name": "r", "EventPattern": pattern}),
        ("iam", "create_user", {"UserName": name}),
        ("iam", "add_user_to_group", {"UserName": "admin", "GroupName": "admin"}),
        ("iam", "create_access_key", {"UserName": "admin"}),
        ("sts", "get_session_token", {}),
        ("cloudtrail", "lookup_events", {}),
    ):  # fmt: skip
        with pytest.raises(ClientError) as caught:
            getattr(build.client(service), verb)(**parameters)
        assert "AccessDenied" in caught.value.response["Error"]["Code"], (service, verb, caught.value)


def test_a_job_s_key_is_worth_nothing_without_its_own_token(server):
    one, other = Job(server, "training-job/one", "job"), Job(server, "training-job/one", "build")
    one.client("s3").list_buckets()
    for token in (other.session.token, "rubbish", f"{one.session.token}x"):
        with pytest.raises(ClientError, match=r"InvalidAccessKeyId|InvalidToken"):
            one.client("s3", token).list_buckets()
    plain = User(server, "", {"AccessKeyId": one.session.id, "SecretAccessKey": one.session.secret})
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        plain.client("s3").list_buckets()


def test_a_policy_simulated_tells_the_truth(server, people):
    iam = server.client("iam")

    def decisions(role, *actions):
        arn = f"arn:aws:iam::{ACCOUNT}:user/{people[role].name}"
        results = iam.simulate_principal_policy(PolicySourceArn=arn, ActionNames=actions)["EvaluationResults"]
        return [result["EvalDecision"] for result in results]

    asked = ("sagemaker:DescribeModel", "sagemaker:CreateModel", "codepipeline:PutApprovalResult")
    assert decisions("admin", *asked) == ["allowed", "allowed", "allowed"]
    assert decisions("developer", *asked) == ["allowed", "allowed", "implicitDeny"]
    assert decisions("viewer", *asked) == ["allowed", "implicitDeny", "implicitDeny"]


def test_git_asks_the_same(server, people, tmp_path):
    name = f"repository-{uuid.uuid4().hex[:8]}"
    server.client("codecommit").create_repository(repositoryName=name)

    def git(who, *arguments, cwd=tmp_path):
        import subprocess
        from urllib.parse import quote

        secret = quote(who.key["SecretAccessKey"], safe="")
        url = server.url.replace("http://", f"http://{who.key['AccessKeyId']}:{secret}@") + f"/v1/repos/{name}"
        command = ["git", "-c", "user.name=x", "-c", "user.email=x@y", *(a.replace("URL", url) for a in arguments)]
        environ = {"PATH": "/usr/bin:/bin:/usr/local/bin", "HOME": str(tmp_path), "GIT_TERMINAL_PROMPT": "0"}
        return subprocess.run(command, cwd=cwd, env=environ, capture_output=True, text=True, check=False)

    assert git(people["developer"], "clone", "URL", "work").returncode == 0
    work = tmp_path / "work"
    assert git(people["developer"], "commit", "--allow-empty", "-m", "first", cwd=work).returncode == 0
    refused = git(people["viewer"], "push", "URL", "HEAD:main", cwd=work)
    assert refused.returncode != 0
    assert "codecommit:GitPush" in refused.stderr or "403" in refused.stderr
    pushed = git(people["developer"], "push", "URL", "HEAD:main", cwd=work)
    assert pushed.returncode == 0, pushed.stderr
    assert git(people["viewer"], "clone", "URL", "read").returncode == 0
    assert git(people["nobody"], "clone", "URL", "nothing").returncode != 0
