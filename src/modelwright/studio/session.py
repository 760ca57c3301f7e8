"""Who is signed in: signed cookies, one-time links, tokens against forged forms.

Of sessions nothing is stored but which were signed out of. A cookie says which access key signed in and until when, and
carries a signature made with a secret of the home folder's, so that it outlives a restart and ends with its key. A
one-time link is signed the same way, for one server process; that process remembers the links that were used until
they expire.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from modelwright.services.dispatch import Principal

COOKIE = "modelwright-studio"
SESSION_SECONDS = 12 * 3600
LINK_SECONDS = 30 * 60


class Key(Protocol):
    """An access key."""

    @property
    def id(self) -> str: ...
    @property
    def secret(self) -> str: ...
    @property
    def principal(self) -> Principal: ...


class Ended(Protocol):
    """The sessions that somebody has signed out of."""

    def add(self, name: str, until: float) -> None:
        """Remember it; it would have lasted until then."""
        ...

    def __contains__(self, name: object) -> bool: ...


@dataclass(frozen=True)
class Session:
    """Somebody who has signed in."""

    key: str
    principal: Principal
    cookie: str
    csrf: str
    """What every form must bring along."""

    @property
    def user(self) -> str:
        return self.principal.arn.rpartition("/")[2]


class Links:
    """Makes one-time links' tokens, which only the server process `server` takes."""

    def __init__(self, secret: bytes, server: str, now: Callable[[], float]) -> None:
        self._seal = _Seal(secret, f"link {server}")
        self._now = now

    def make(self, key: str) -> str:
        """A token that signs in as the key of this id, once, within half an hour."""
        return self._seal.close({"k": key, "n": secrets.token_hex(8), "e": self._now() + LINK_SECONDS})

    def open(self, token: str) -> tuple[str, str, float] | None:
        """(key id, the token's own name, when it expires), or None."""
        content = self._seal.open(token)
        if content is None or content["e"] < self._now():
            return None
        return content["k"], content["n"], content["e"]


def links(secret: bytes, pid: int, port: int, now: Callable[[], float]) -> Links:
    """The links of a running server. Whoever may read the home's secrets may make one."""
    return Links(secret, f"{pid} {port}", now)


def sign_in_address(url: str, made: Links, key: str) -> str:
    """A link that signs in once."""
    return f"{url}/studio/sign-in?token={made.make(key)}"


class Sessions:
    """Signs people in and knows them again."""

    def __init__(
        self,
        secret: bytes,
        links: Links,
        find: Callable[[str], Key | None],
        now: Callable[[], float],
        ended: Ended | None = None,
    ) -> None:
        """`ended` remembers who has signed out; without it, it is forgotten with the process."""
        self._seal = _Seal(secret, "session")
        self._forms = _Seal(secret, "form")
        self._links = links
        self._find = find
        self._now = now
        self._ended = ended or _EndedHere()
        self._used: dict[str, float] = {}

    def by_key(self, key_id: str, secret: str) -> Session | None:
        """Sign in with an access key."""
        key = self._find(key_id)
        if key is None or not hmac.compare_digest(key.secret.encode(), secret.encode()):
            return None
        return self._begin(key)

    def by_link(self, token: str) -> Session | None:
        """Sign in with a one-time link; the second time it is None."""
        opened = self._links.open(token)
        if opened is None:
            return None
        key_id, name, expires = opened
        now = self._now()
        self._used = {used: until for used, until in self._used.items() if until >= now}
        key = self._find(key_id)
        if name in self._used or key is None:
            return None
        self._used[name] = expires
        return self._begin(key)

    def open(self, cookie: str) -> Session | None:
        """The session of a cookie, if it is one of ours, has not expired, and its key still exists."""
        content = self._seal.open(cookie)
        if content is None or content["e"] < self._now() or content["n"] in self._ended:
            return None
        key = self._find(content["k"])
        return None if key is None else self._session(key, cookie)

    def end(self, session: Session) -> None:
        """Sign out: the cookie is worth nothing from now on, whoever kept it."""
        content = self._seal.open(session.cookie)
        if content is not None:
            self._ended.add(content["n"], content["e"])

    def accepts(self, session: Session, form_token: str) -> bool:
        """Whether a form was made for this session."""
        return hmac.compare_digest(session.csrf.encode(), form_token.encode())

    def _begin(self, key: Key) -> Session:
        content = {"k": key.id, "n": secrets.token_hex(8), "e": self._now() + SESSION_SECONDS}
        return self._session(key, self._seal.close(content))

    def _session(self, key: Key, cookie: str) -> Session:
        return Session(key.id, key.principal, cookie, self._forms.sign(cookie))


class _EndedHere:
    """`Ended`, in memory."""

    def __init__(self) -> None:
        self._names: set[object] = set()

    def add(self, name: str, until: float) -> None:
        self._names.add(name)

    def __contains__(self, name: object) -> bool:
        return name in self._names


class _Seal:
    """Texts that only the holder of the secret can have made; `purpose` keeps the kinds apart."""

    def __init__(self, secret: bytes, purpose: str) -> None:
        self._secret = hmac.digest(secret, f"modelwright studio {purpose}".encode(), hashlib.sha256)

    def sign(self, text: str) -> str:
        return _text(hmac.digest(self._secret, text.encode(), hashlib.sha256))

    def close(self, content: dict[str, Any]) -> str:
        body = _text(json.dumps(content, separators=(",", ":")).encode())
        return f"{body}.{self.sign(body)}"

    def open(self, sealed: str) -> dict[str, Any] | None:
        body, _, signature = sealed.partition(".")
        if not hmac.compare_digest(self.sign(body).encode(), signature.encode()):
            return None
        content: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return content


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
