"""Studio as an ASGI application: routes, sign-in before everything, headers on every answer."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from modelwright.errors import AwsError
from modelwright.studio import (
    audit,
    comparison,
    data,
    deployments,
    endpoints,
    executions,
    home,
    images,
    jobs,
    models,
    notebooks,
    pipelines,
    projects,
    settings,
    users,
)
from modelwright.studio.joblogs import Timings
from modelwright.studio.live import Live
from modelwright.studio.outline import Parse
from modelwright.studio.rendering import templates
from modelwright.studio.session import COOKIE, SESSION_SECONDS, Session, Sessions
from modelwright.studio.view import ROOT, Door, Place, View, is_denied, is_missing, link

Page = Callable[[View], Awaitable[Response]]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_STATIC = Path(__file__).with_name("static")
_log = logging.getLogger(__name__)


class Studio:
    """The pages below /studio."""

    def __init__(
        self, *, door: Door, sessions: Sessions, live: Live, parse: Parse, place: Place, timings: Timings
    ) -> None:
        """`parse` reads a pipeline's definition. `live` is woken by whoever changes something. `timings`: where a job's
        time went, which AWS's API does not tell of processing jobs; by its event stream's name.
        """
        self._door = door
        self._sessions = sessions
        self._place = place
        self._templates = templates(_STATIC)
        self.live = live
        pages = (
            home.routes()
            + pipelines.routes(parse)
            + executions.routes(parse, timings)
            + comparison.routes(parse)
            + models.routes()
            + jobs.routes(live, timings)
            + deployments.routes()
            + projects.routes()
            + endpoints.routes()
            + data.routes()
            + images.routes()
            + notebooks.routes()
            + audit.routes()
            + settings.routes()
            + users.routes()
        )
        routes = [
            Route("/sign-in", self._open(self._sign_in), methods=["GET", "POST"]),
            *(Route(path, self._closed(page), methods=list(methods)) for path, methods, page in pages),
            Route("/sign-out", self._closed(self._sign_out), methods=["POST"]),
            Mount("/static", StaticFiles(directory=_STATIC)),
        ]
        self._application = Starlette(
            routes=[Mount(ROOT, routes=[*routes, Route("/{rest:path}", self._closed(_nothing))])],
            exception_handlers={HTTPException: self._refused},
        )

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        async def with_headers(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                defaults = _STATIC_HEADERS if scope["path"].startswith(f"{ROOT}/static/") else HEADERS
                more = [
                    (name.lower().encode(), value.encode())
                    for name, value in defaults.items()
                    if name.lower().encode() not in present
                ]
                message["headers"] = [*message["headers"], *more]
            await send(message)

        if scope["path"] == ROOT:
            scope = {**scope, "path": f"{ROOT}/", "raw_path": f"{ROOT}/".encode()}
        await self._application(scope, receive, with_headers)

    def _view(self, request: Request) -> View:
        session = self._sessions.open(request.cookies.get(COOKIE, ""))
        return View(request, self._templates, self._door, self._place, session)

    def _closed(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        """For whom has signed in; others are sent to sign in, and come back to where they wanted to go."""

        async def endpoint(request: Request) -> Response:
            view = self._view(request)
            if view.session is None:
                if request.method != "GET" or request.headers.get("accept", "").startswith("text/event-stream"):
                    return self._denied(view, "Your session has ended. Sign in and try again.", 401)
                wanted = request.url.path + (f"?{request.url.query}" if request.url.query else "")
                return RedirectResponse(link("sign-in", next=wanted), 303)
            if request.method not in ("GET", "HEAD") and not await self._is_ours(view, view.session):
                return self._denied(view, "This form was not made for your session. Reload the page and try again.")
            return await self._answer(page, view)

        return endpoint

    async def _is_ours(self, view: View, session: Session) -> bool:
        token = view.request.headers.get("x-form-token")
        if token is None:
            view.form = await view.request.form(max_files=10_000)
            token = view.field("form-token")
        return self._sessions.accepts(session, token)

    def _open(self, page: Page) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            view = self._view(request)
            if request.method == "POST":
                view.form = await request.form()
            return await self._answer(page, view)

        return endpoint

    async def _answer(self, page: Page, view: View) -> Response:
        try:
            return await page(view)
        except AwsError as error:
            status = 403 if is_denied(error) else 404 if is_missing(error) else max(error.status, 400)
            return view.page("error.html", http_status=status, heading=_heading(status), message=error.message)
        except HTTPException as error:
            return view.page(
                "error.html", http_status=error.status_code, heading=_heading(error.status_code), message=""
            )
        except Exception:
            _log.exception("Studio failed: %s %s", view.request.method, view.request.url.path)
            return view.page("error.html", http_status=500, heading=_heading(500), message="")
        finally:
            await view.form.close()

    async def _refused(self, request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return self._view(request).page("error.html", http_status=status, heading=_heading(status), message="")

    def _denied(self, view: View, message: str, status: int = 403) -> Response:
        return view.page("error.html", http_status=status, heading=_heading(status), message=view.texts(message))

    async def _sign_in(self, view: View) -> Response:
        """By a one-time link (GET with a token), or by an access key (POST)."""
        wanted = view.argument("next") or view.field("next")
        token = view.argument("token")
        if view.request.method == "GET" and not token:
            return view.page("sign_in.html", wanted=wanted, problem="", key="")
        if token:
            session = self._sessions.by_link(token)
            problem = "This link was used already or has expired. Make a new one: modelwright studio"
        else:
            session = self._sessions.by_key(view.field("key").strip(), view.field("secret").strip())
            problem = "There is no such access key, or the secret is another one."
        if session is None:
            key = view.field("key")
            return view.page("sign_in.html", http_status=401, wanted=wanted, problem=view.texts(problem), key=key)
        # A page, not a redirect: coming from another site the browser would keep a strict cookie to itself.
        response = view.page("signed_in.html", wanted=_own(wanted))
        response.set_cookie(
            COOKIE, session.cookie, max_age=SESSION_SECONDS, path=ROOT, httponly=True, samesite="strict"
        )
        return response

    async def _sign_out(self, view: View) -> Response:
        assert view.session is not None  # else there would have been nobody to sign out
        self._sessions.end(view.session)
        response = view.go("sign-in")
        response.delete_cookie(COOKIE, path=ROOT, httponly=True, samesite="strict")
        return response


_STATIC_HEADERS = {"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff"}
"""Every address of a static file names its version."""


async def _nothing(_: View) -> Response:
    raise HTTPException(404)


def _heading(status: int) -> str:
    return {401: "Not signed in", 403: "Not allowed", 404: "Not found", 405: "Not allowed"}.get(
        status, "That did not work" if status < 500 else "Something broke"
    )


def _own(wanted: str) -> str:
    """Only ever send somebody to a page of our own."""
    return wanted if wanted.startswith(f"{ROOT}/") and "//" not in wanted and "\\" not in wanted else f"{ROOT}/"
