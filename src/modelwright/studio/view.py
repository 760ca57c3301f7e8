"""One request as a page sees it: who asks, in which language, and how to act and answer.

Pages act by `call` alone. Every POST has been checked for its form's token before a page sees it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol
from urllib.parse import quote, urlencode

from jinja2 import Environment
from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from modelwright.errors import AwsError
from modelwright.services.dispatch import Context, Document
from modelwright.studio.session import Session
from modelwright.studio.texts import LANGUAGES, Texts

ROOT = "/studio"
THEMES = ("auto", "light", "dark")
LANGUAGE_COOKIE, THEME_COOKIE = "modelwright-language", "modelwright-theme"


class Door(Protocol):
    """The one door, for those who may wait."""

    async def acall(
        self, context: Context, service: str, operation: str, parameters: Mapping[str, Any]
    ) -> Document: ...

    def may(self, context: Context, service: str, operation: str, parameters: Mapping[str, Any]) -> bool: ...


@dataclass(frozen=True)
class Place:
    """Where the platform is: what calls are made in the name of, and what Settings and Home show."""

    account: str
    region: str
    facts: Mapping[str, str]


class View:
    """One request."""

    def __init__(
        self, request: Request, templates: Environment, door: Door, place: Place, session: Session | None
    ) -> None:
        self.request = request
        self.session = session
        self.place = place
        self.form: FormData = FormData()
        self._templates = templates
        self._door = door

    @cached_property
    def texts(self) -> Texts:
        chosen = self.request.cookies.get(LANGUAGE_COOKIE, "")
        return LANGUAGES[chosen] if chosen in LANGUAGES else _preferred(self.request.headers.get("accept-language", ""))

    @property
    def theme(self) -> str:
        chosen = self.request.cookies.get(THEME_COOKIE, "")
        return chosen if chosen in THEMES else "auto"

    def argument(self, name: str, default: str = "") -> str:
        """A part of the URL: of its path, else of its query."""
        in_path = self.request.path_params.get(name)
        return str(in_path) if in_path is not None else self.request.query_params.get(name, default)

    def arguments(self, name: str) -> list[str]:
        """A part of the URL's query that may come more than once."""
        return [value for value in self.request.query_params.getlist(name) if value]

    def field(self, name: str) -> str:
        """A text field of the form that was sent."""
        value = self.form.get(name, "")
        return value if isinstance(value, str) else ""

    def context(self) -> Context:
        assert self.session is not None  # a page that acts is shown only to whom has signed in
        client = self.request.client
        return Context(
            self.place.account,
            self.place.region,
            self.session.principal,
            source="studio",
            address=client.host if client is not None else "",
            agent=self.request.headers.get("user-agent", ""),
        )

    def may(self, operation: str, service: str = "sagemaker", **parameters: Any) -> bool:
        """Whether whom the page is for may: what they may not is not offered."""
        return self.session is not None and self._door.may(self.context(), service, operation, parameters)

    async def call(self, operation: str, service: str = "sagemaker", **parameters: Any) -> Document:
        """Act, or ask. Raises AwsError."""
        present = {name: value for name, value in parameters.items() if value is not None}
        return await self._door.acall(self.context(), service, operation, present)

    async def find(self, operation: str, service: str = "sagemaker", **parameters: Any) -> Document | None:
        """The same; None where there is no such thing."""
        try:
            return await self.call(operation, service, **parameters)
        except AwsError as error:
            if is_missing(error):
                return None
            raise

    def page(self, template: str, *, http_status: int = 200, **context: Any) -> Response:
        """An answer made from a template."""
        text = self._templates.get_template(template).render(
            t=self.texts, view=self, session=self.session, root=ROOT, path=self.request.url.path, **context
        )
        return HTMLResponse(text, http_status)

    def go(self, *parts: str, **query: str) -> Response:
        """An answer that sends the browser on, after a form."""
        return RedirectResponse(link(*parts, **query), 303)

    def same(self, **changes: str | None) -> str:
        """This page's address with another query; None takes a part out."""
        query = [(name, value) for name, value in self.request.query_params.multi_items() if name not in changes]
        query += [(name, value) for name, value in changes.items() if value is not None]
        return f"?{urlencode(query)}" if query else self.request.url.path


Page = Callable[[View], Awaitable[Response]]
Route = tuple[str, tuple[str, ...], Page]
"""Path, methods, page."""


def link(*parts: str, **query: str) -> str:
    """An address of Studio's."""
    path = "/".join((ROOT, *(quote(part, safe="") for part in parts)))
    return f"{path}?{urlencode(query)}" if query else path


def is_denied(error: AwsError) -> bool:
    """Whether an error says that one may not."""
    return error.code.startswith("AccessDenied")


def is_missing(error: AwsError) -> bool:
    """Whether an error says that there is no such thing: AWS has many ways to."""
    words = error.message.lower()
    return (
        error.status == 404
        or "NotFound" in error.code
        or error.code.startswith("NoSuch")
        or "could not find" in words
        or "not found" in words
        or "does not exist" in words
    )


def _preferred(accept_language: str) -> Texts:
    """The first of the languages that the browser asks for and we have."""
    for part in accept_language.lower().split(","):
        code = part.split(";")[0].strip()[:2]
        if code in LANGUAGES:
            return LANGUAGES[code]
    return LANGUAGES["en"]
