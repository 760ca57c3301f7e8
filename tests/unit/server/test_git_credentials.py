"""Who git's user name and password stand for."""

import base64

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Botos

from modelwright.server.git_credentials import Credentials, Refused
from modelwright.server.keys import AccessKey
from modelwright.services.dispatch import Principal

KEY = AccessKey("AKIAMWEXAMPLE", "secret/key", Principal("arn:me", "me"))
SESSION = AccessKey("ASIAMWEXAMPLE", "session", Principal("arn:job", "job"), "to.ken")
NOW = 1_790_000_000.0
HOST, PATH = "git-codecommit.eu-west-1.amazonaws.com", "/v1/repos/pose"


@pytest.fixture
def credentials():
    def find(key_id, token=None):
        return {(KEY.id, None): KEY, (KEY.id, "token"): KEY, (SESSION.id, "to.ken"): SESSION}.get((key_id, token))

    return Credentials(find, lambda: NOW)


def basic(user, password):
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def signed(time="20260921T141320", host=HOST, path=PATH, region="eu-west-1", secret=KEY.secret):
    """As AWS's credential helper makes it, by botocore."""
    request = AWSRequest(method="GIT", url=f"https://{host}{path}")
    request.context["timestamp"] = time
    signer = SigV4Auth(Botos(KEY.id, secret), "codecommit", region)
    to_sign = signer.string_to_sign(request, f"GIT\n{path}\n\nhost:{host}\n\nhost\n")
    return f"{time}Z{signer.signature(to_sign, request)}"


def ask(credentials, authorization, host=HOST, path=PATH):
    return credentials.principal(authorization, host, path, ["us-east-1", "eu-west-1"])


def test_a_secret(credentials):
    assert ask(credentials, basic(KEY.id, KEY.secret)) is KEY.principal


def test_a_session_brings_its_token(credentials):
    assert ask(credentials, basic(f"{SESSION.id}%{SESSION.token}", SESSION.secret)) is SESSION.principal


@pytest.mark.parametrize("changes", [{}, {"path": f"{PATH}/"}, {"region": "us-east-1"}, {"time": "20260921T140000"}])
def test_a_signature(credentials, changes):
    assert ask(credentials, basic(KEY.id, signed(**changes))) is KEY.principal


@pytest.mark.parametrize(
    ("authorization", "why"),
    [
        ("", "access key is needed"),
        ("Bearer x", "access key is needed"),
        ("Basic !", "can't be read"),
        ("Basic " + base64.b64encode(b"x").decode(), "can't be read"),
        (basic("AKIANOBODY", "x"), "'AKIANOBODY' is not known"),
        (basic(KEY.id, "wrong"), "not the secret"),
        (basic(KEY.id, "w\u00f6ng"), "not the secret"),
        (basic(f"{KEY.id}%token", KEY.secret), "no such session token"),
        (basic(SESSION.id, SESSION.secret), "not known"),
        (basic(f"{SESSION.id}%other", SESSION.secret), "not known"),
        (basic(KEY.id, signed(secret="other")), "not one of"),
        (basic(KEY.id, signed(path="/v1/repos/other")), "not one of"),
        (basic(KEY.id, signed(host="other.example")), "not one of"),
        (basic(KEY.id, signed(region="ap-south-1")), "not one of"),
        (basic(KEY.id, signed(time="20260921T135000")), "expired"),
        (basic(KEY.id, signed(time="20260921T143000")), "expired"),
        (basic(KEY.id, "99999999T999999Z" + "0" * 64), "time in the password"),
    ],
)
def test_refusals(credentials, authorization, why):
    with pytest.raises(Refused, match=why):
        ask(credentials, authorization)
