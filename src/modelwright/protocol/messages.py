"""What goes in and what comes out: plain records of an HTTP request and response.

Rule: header names are lower case; header values are text as latin-1 gives it; a header that came several times is
joined by commas; `path` and `query` are as they stood on the request line, still percent-encoded. Whoever owns the
socket fills these in and sends them out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar, overload
from urllib.parse import unquote_plus

T = TypeVar("T")


class lazy(Generic[T]):  # noqa: N801 - it reads as a word
    """Computed at its first use. As functools.cached_property, but for its lock, which costs more than most of what is
    computed here; a request belongs to one task."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self._compute = compute
        self._name = compute.__name__
        self.__doc__ = compute.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> lazy[T]: ...

    @overload
    def __get__(self, instance: object, owner: type) -> T: ...

    def __get__(self, instance: object | None, owner: type) -> T | lazy[T]:
        if instance is None:
            return self
        value: T = self._compute(instance)
        instance.__dict__[self._name] = value
        return value


@dataclass(frozen=True)
class Credential:
    """The `Credential` of Signature Version 4: `KEY/20261123/us-east-1/sagemaker/aws4_request`."""

    access_key: str
    date: str
    region: str
    service: str


@dataclass(frozen=True)
class Request:
    """A request's head and, unless the operation streams it, its whole body."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = b""

    def with_body(self, body: bytes) -> Request:
        """The same head, and all that was found out about it."""
        new = object.__new__(Request)
        new.__dict__.update(self.__dict__, body=body)
        new.__dict__.pop("form", None)
        return new

    @lazy
    def query_pairs(self) -> list[tuple[str, str]]:
        """The query string's (name, value) in order, decoded; a name without `=` has the value ''."""
        return _pairs(self.query)

    @lazy
    def form(self) -> dict[str, str]:
        """The fields of a form-encoded body, decoded; undecodable bytes are replaced."""
        return dict(_pairs(self.body.decode("utf-8", "replace")))

    @lazy
    def credential(self) -> Credential | None:
        """Who signed it and for what, as the request says of itself; nothing is verified here."""
        authorization = self.headers.get("authorization", "")
        if authorization.startswith("AWS4-HMAC-SHA256"):
            _, found, rest = authorization.partition("Credential=")
            text = rest.partition(",")[0].strip() if found else ""
        elif "X-Amz-Credential" in self.query:
            text = next((value for name, value in self.query_pairs if name == "X-Amz-Credential"), "")
        else:
            return None
        parts = text.rsplit("/", 4)
        return Credential(*parts[:4]) if len(parts) == 5 and parts[4] == "aws4_request" else None

    @lazy
    def host(self) -> str:
        """The host name that was asked for: lower case, without port."""
        host = self.headers.get("host", "").lower()
        if host.startswith("["):
            return host.partition("]")[0] + "]"
        return host.partition(":")[0]


@dataclass
class Response:
    """`body` is bytes (or a bytearray), or an asynchronous iterator of bytes where the operation's output streams."""

    status: int
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes | bytearray | AsyncIterator[bytes] | Any = b""

    def header(self, name: str) -> str | None:
        """The first header of that name, whatever its case."""
        wanted = name.lower()
        return next((value for key, value in self.headers if key.lower() == wanted), None)


def _pairs(text: str) -> list[tuple[str, str]]:
    pairs = []
    for part in text.split("&"):
        if part:
            name, _, value = part.partition("=")
            pairs.append((unquote_plus(name), unquote_plus(value)))
    return pairs
