from dataclasses import dataclass

import pytest

from modelwright.services.dispatch import Principal
from modelwright.studio.session import LINK_SECONDS, SESSION_SECONDS, Links, Sessions


@dataclass(frozen=True)
class Key:
    id: str = "AKIA"
    secret: str = "secret"

    @property
    def principal(self):
        return Principal("arn:aws:sts::1:assumed-role/R/admin", "U:admin", self.id)


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def made(clock, secret=b"home", server="1 7070", keys=(Key(),)):
    return Sessions(secret, Links(secret, server, clock), {key.id: key for key in keys}.get, clock)


def test_it_works(clock):
    session = made(clock).by_key("AKIA", "secret")
    again = made(clock).open(session.cookie)
    assert again == session
    assert again.user == "admin"
    assert again.principal.access_key == "AKIA"


@pytest.mark.parametrize(("key", "secret"), [("AKIA", "other"), ("AKIA", ""), ("NONE", "secret"), ("", "")])
def test_a_wrong_key_does_not(clock, key, secret):
    assert made(clock).by_key(key, secret) is None


def test_a_session_ends_by_time_and_with_its_key_and_with_the_homes_secret(clock):
    cookie = made(clock).by_key("AKIA", "secret").cookie
    assert made(clock, keys=()).open(cookie) is None
    assert made(clock, secret=b"new").open(cookie) is None
    clock.now += SESSION_SECONDS + 1
    assert made(clock).open(cookie) is None


def test_no_cookie_can_be_made_up(clock):
    sessions = made(clock)
    cookie = sessions.by_key("AKIA", "secret").cookie
    body, _, signature = cookie.partition(".")
    for forged in (
        "",
        ".",
        body,
        f"{body}.",
        f".{signature}",
        cookie[:-1],
        f"x{cookie}",
        f"{body}.{signature}.x",
        "ü.ü",
    ):
        assert sessions.open(forged) is None, forged


def test_a_link_is_no_cookie_and_a_cookie_is_no_link(clock):
    sessions = made(clock)
    link = Links(b"home", "1 7070", clock).make("AKIA")
    assert sessions.open(link) is None
    assert sessions.by_link(sessions.by_key("AKIA", "secret").cookie) is None


def test_a_link_signs_in_once(clock):
    sessions = made(clock)
    link = Links(b"home", "1 7070", clock).make("AKIA")
    assert sessions.by_link(link).key == "AKIA"
    assert sessions.by_link(link) is None


def test_a_link_is_for_one_server_and_half_an_hour(clock):
    link = Links(b"home", "1 7070", clock).make("AKIA")
    assert made(clock, server="2 7070").by_link(link) is None
    assert made(clock, secret=b"other").by_link(link) is None
    clock.now += LINK_SECONDS + 1
    assert made(clock).by_link(link) is None


def test_a_forms_token_belongs_to_one_session(clock):
    sessions = made(clock)
    one, other = sessions.by_key("AKIA", "secret"), sessions.by_key("AKIA", "secret")
    assert sessions.accepts(one, one.csrf)
    assert not sessions.accepts(one, other.csrf)
    assert not sessions.accepts(one, "")
    assert one.csrf not in one.cookie
