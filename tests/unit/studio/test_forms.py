"""What changes something is guarded, whichever page it is on: tokens in forms, tokens asked for, cookies, headers."""

import re
from pathlib import Path

import pytest
from starlette.routing import Mount, Route

import modelwright.studio
from modelwright.studio.application import HEADERS

TEMPLATES = sorted((Path(modelwright.studio.__file__).parent / "templates").glob("*.html"))
FORM = re.compile(r"<form\b[^>]*?method=\"post\".*?</form>", re.S)


def routes(application, prefix=""):
    """(path, methods) of everything below Studio."""
    for route in application.routes:
        if isinstance(route, Mount):
            yield from routes(route, prefix + route.path)
        elif isinstance(route, Route):
            yield prefix + route.path, route.methods


@pytest.fixture
def changing(user):
    """Every (method, path) that may change something; the sign-in alone can have no token yet."""
    return [
        (method, re.sub(r"\{[^}]*\}", "x", path))
        for path, methods in routes(user.platform._studio._application)
        for method in methods - {"GET", "HEAD"}
        if path != "/studio/sign-in"
    ]


def test_every_form_carries_the_token():
    found = {path.name: FORM.findall(path.read_text()) for path in TEMPLATES}
    assert sum(map(len, found.values())) > 20
    for name, forms in found.items():
        if name != "sign_in.html":
            assert [form[:200] for form in forms if "form_token()" not in form] == [], name


@pytest.mark.parametrize("token", ["", "forged"])
def test_nothing_is_done_without_the_token(user, changing, token):
    assert len(changing) > 20
    assert ("PUT", "/studio/data/x/upload") in changing
    for method, path in changing:
        fields = {"headers": {"x-form-token": token}} if method != "POST" else {"data": {"form-token": token}}
        answer = user(method, path, **fields)
        assert answer.status_code == 403, path
        assert "not made for your session" in answer.text, path


def test_nothing_is_done_for_whom_nobody_knows(user, changing):
    token, user.cookies = user.token, {}
    for method, path in changing:
        answer = user(method, path, data={"form-token": token}, headers={"x-form-token": token})
        assert answer.status_code == 401, path


def test_every_cookie_is_for_the_server_alone(user):
    token = user.token
    key = user.platform.keys.admin
    answers = [
        user("POST", "/studio/preferences", data={"form-token": token, "language": "ko", "theme": "dark", "back": "/"}),
        user("POST", "/studio/sign-out", data={"form-token": token}),
        user("POST", "/studio/sign-in", data={"key": key.id, "secret": key.secret}),
    ]
    cookies = [line.lower() for answer in answers for line in answer.headers.get_list("set-cookie")]
    assert len(cookies) == 4
    for cookie in cookies:
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert "path=/studio" in cookie


def test_nothing_from_elsewhere_and_nothing_inline_is_allowed():
    policy = dict(part.strip().split(" ", 1) for part in HEADERS["Content-Security-Policy"].split(";"))
    assert policy.pop("default-src") == "'none'"
    assert set(policy.values()) <= {"'self'", "'none'"}
