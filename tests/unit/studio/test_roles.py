"""Studio as each role meets it: what is offered, what is refused, users, the audit page, signing out for good."""

import asyncio
import re
from http.cookies import SimpleCookie

import httpx
import pytest

from modelwright import app
from modelwright.services.dispatch import Context
from modelwright.studio.session import COOKIE


class Person:
    """Somebody at a browser of their own."""

    def __init__(self, platform):
        self.platform = platform
        self.cookies = {}

    def __call__(self, method, path, **options):
        async def ask():
            transport = httpx.ASGITransport(app=self.platform.application)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:7070") as client:
                cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
                answer = await client.request(method, f"/studio{path}", headers={"cookie": cookies}, **options)
                for line in answer.headers.get_list("set-cookie"):
                    self.cookies |= {name: cookie.value for name, cookie in SimpleCookie(line).items()}
                return answer

        return asyncio.run(ask())

    def get(self, path):
        return self("GET", path)

    def post(self, path, **fields):
        token = re.search(r'name="form-token" value="([^"]+)"', self.get("/settings").text)[1]
        return self("POST", path, data={"form-token": token, **fields})

    def sign_in(self, key, secret):
        answer = self("POST", "/sign-in", data={"key": key, "secret": secret})
        assert answer.status_code == 200, answer.text
        return self


@pytest.fixture
def platform():
    with app.sample() as platform:
        yield platform


@pytest.fixture
def call(platform):
    def call(operation, service="sagemaker", **parameters):
        context = Context("111122223333", "us-east-1", platform.keys.admin.principal)
        return asyncio.run(platform.dispatcher.acall(context, service, operation, parameters))

    return call


@pytest.fixture
def admin(platform):
    return Person(platform).sign_in(platform.keys.admin.id, platform.keys.admin.secret)


@pytest.fixture
def person(platform, call):
    def person(role):
        call("CreateUser", "iam", UserName=role)
        call("AddUserToGroup", "iam", UserName=role, GroupName=role)
        key = call("CreateAccessKey", "iam", UserName=role)["AccessKey"]
        return Person(platform).sign_in(key["AccessKeyId"], key["SecretAccessKey"])

    return person


@pytest.fixture
def version(call):
    call("CreateModelPackageGroup", ModelPackageGroupName="Group")
    call("CreateModelPackage", ModelPackageGroupName="Group", ModelApprovalStatus="PendingManualApproval")
    call("CreateBucket", "s3", Bucket="data")


def test_a_developer_is_offered_no_approval_and_may_not(person, version, call):
    developer = person("developer")
    page = developer.get("/models/Group/1").text
    assert 'name="status"' not in page
    assert "An admin approves and rejects." in page
    developer.post("/models/Group/1", status="Approved", comment="mine")
    (summary,) = call("ListModelPackages", ModelPackageGroupName="Group")["ModelPackageSummaryList"]
    assert summary["ModelApprovalStatus"] == "PendingManualApproval"
    assert 'id="upload"' in developer.get("/data/data").text


def test_an_admin_is(admin, version, call):
    assert 'name="status"' in admin.get("/models/Group/1").text
    admin.post("/models/Group/1", status="Approved", comment="good")
    (summary,) = call("ListModelPackages", ModelPackageGroupName="Group")["ModelPackageSummaryList"]
    assert summary["ModelApprovalStatus"] == "Approved"


def test_a_viewer_is_offered_nothing_that_changes(person, version, call):
    viewer = person("viewer")
    for path in (
        "/",
        "/models/Group/1",
        "/data",
        "/data/data",
        "/pipelines",
        "/projects",
        "/notebooks",
        "/settings",
        "/audit",
    ):
        answer = viewer.get(path)
        assert answer.status_code == 200, path
        forms = re.findall(r'<form method="post"[^>]*>', answer.text)
        assert all("preferences" in form or "sign-out" in form for form in forms), path
    assert viewer.post("/data", name="mine").status_code != 303
    assert [bucket["Name"] for bucket in call("ListBuckets", "s3")["Buckets"]] == ["data"]
    assert viewer.post("/data/data/delete", key="x", prefix="").status_code == 403


def test_users_are_for_admins(person):
    for role in ("developer", "viewer"):
        somebody = person(role)
        assert somebody.get("/settings/users").status_code == 403
        assert somebody.post("/settings/users", do="add", name="friend", role="admin").status_code == 403
        assert "/settings/users" not in somebody.get("/settings").text


def test_an_admin_adds_rotates_and_removes(admin, platform, call):
    assert "/settings/users" in admin.get("/settings").text
    page = admin.post("/settings/users", do="add", name="mina", role="viewer").text
    key, secret = re.search(r"aws_access_key_id = (\S+)\naws_secret_access_key = ([^\s<]+)", page).groups()
    assert secret not in admin.get("/settings/users").text
    mina = Person(platform).sign_in(key, secret)
    assert mina.get("/models").status_code == 200
    assert admin.post("/settings/users", do="role", name="mina", role="developer").status_code == 303
    assert call("ListGroupsForUser", "iam", UserName="mina")["Groups"][0]["GroupName"] == "developer"
    assert "already exists" in admin.post("/settings/users", do="add", name="mina", role="viewer").text
    assert "Choose a role" in admin.post("/settings/users", do="add", name="bora", role="owner").text
    assert "aws_secret_access_key" in admin.post("/settings/users", do="rotate", name="mina").text
    assert mina.get("/models").status_code == 303, "the session ended with its key"
    assert admin.post("/settings/users", do="remove", name="mina").status_code == 303
    names = [user["UserName"] for user in call("ListUsers", "iam")["Users"]]
    assert names == ["admin"]
    assert "stays" in admin.post("/settings/users", do="remove", name="admin").text


def test_who_has_signed_out_is_out_also_with_the_old_cookie(admin, platform):
    kept = admin.cookies[COOKIE]
    admin.post("/sign-out")
    thief = Person(platform)
    thief.cookies[COOKIE] = kept
    assert thief.get("/models").status_code == 303


def test_the_audit_page(admin, version):
    page = admin.get("/audit").text
    assert "CreateModelPackageGroup" in page
    assert "CreateBucket" in page
    only = admin.get("/audit?operation=CreateBucket").text
    assert "CreateBucket" in only
    assert "CreateModelPackageGroup" not in only
    assert "Nothing of that kind" in admin.get("/audit?user=nobody").text
    assert "Nothing of that kind" in admin.get("/audit?until=2001-01-01").text
    assert "Give a date" in admin.get("/audit?since=yesterday").text
    table = admin.get("/audit/export?form=csv&operation=CreateBucket")
    assert table.headers["content-type"].startswith("text/csv")
    assert table.text.splitlines()[0].startswith("Time,User")
    assert len(table.text.splitlines()) == 2
    assert '"eventName": "CreateBucket"' in admin.get("/audit/export?form=json&operation=CreateBucket").text


def test_a_presigned_page_of_somebody_s_can_do_nothing(platform, call):
    """It shares Studio's origin: a browser is told to let it run nothing."""
    import boto3

    call("CreateBucket", "s3", Bucket="pages")
    key = platform.keys.admin
    s3 = boto3.client(
        "s3", aws_access_key_id=key.id, aws_secret_access_key=key.secret, endpoint_url="http://127.0.0.1:7070",
        region_name="us-east-1",
    )  # fmt: skip
    call("PutObject", "s3", Bucket="pages", Key="a.html", ContentType="text/html", Body=_once(b"<script>1</script>"))
    url = s3.generate_presigned_url("get_object", {"Bucket": "pages", "Key": "a.html"})

    async def ask():
        transport = httpx.ASGITransport(app=platform.application)
        async with httpx.AsyncClient(transport=transport) as client:
            return await client.get(url)

    answer = asyncio.run(ask())
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-security-policy"] == "sandbox"
    assert answer.headers["x-content-type-options"] == "nosniff"


async def _once(data):
    yield data
