"""Git's smart HTTP protocol: clone, fetch and push of CodeCommit's repositories, as an ASGI application.

Both ways the bytes stream through `git upload-pack` and `git receive-pack`; no pack is ever held. A push is answered to
its end only after it was announced. Who may pull and push is asked at one place, `permit`, as the operations `GitPull`
and `GitPush` of codecommit; who it is, `server.git_credentials` says.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import parse_qs

from modelwright.errors import AwsError
from modelwright.repositories.git import Git
from modelwright.repositories.home import Repositories
from modelwright.repositories.repository import Repository, identity_environ
from modelwright.server.bodies import Disconnected, Incoming, Receive
from modelwright.server.git_credentials import Credentials, Refused
from modelwright.services.dispatch import Context, Document

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

ROOT = "/v1/repos/"
HOST = re.compile(r"git-codecommit(?:-fips)?\.([a-z0-9-]+)\.amazonaws\.com(?:\.cn)?")
_PATH = re.compile(r"/v1/repos/(?P<name>[\w.-]+?)(?:\.git)?/(?P<what>info/refs|git-upload-pack|git-receive-pack)")
_OPERATIONS = {"git-upload-pack": "GitPull", "git-receive-pack": "GitPush"}
_PROTOCOL = re.compile(r"[a-z0-9=:.-]{1,64}")
_PIECE = 64 * 1024
_MOST_SAID = 16 * 1024
_PATIENCE_SECONDS = 30.0
_PROBE = "4"
"""The length of the empty request by which git asks, before a large push, whether it may. It pushes nothing."""
_log = logging.getLogger(__name__)


class Permit(Protocol):
    """The door's check for what is no operation: raises AwsError when the caller may not."""

    def __call__(
        self, context: Context, service: str, operation: str, parameters: Mapping[str, Any], /, *, noted: bool
    ) -> AbstractContextManager[object]: ...


class Told(Protocol):
    """What is known of repositories, and who is to hear of changes (`services.codecommit.announcements`)."""

    def document(self, name: str) -> Document | None: ...

    def announce(self, name: str, who: str | None = None) -> None: ...


def is_git(scope: MutableMapping[str, Any]) -> bool:
    """Whether a request is git's: by its path (no bucket can be called `v1`), whatever the host."""
    return bool(scope["path"].startswith(ROOT))


@dataclass(frozen=True)
class _Call:
    """A request that may be answered."""

    name: str
    service: str
    advertise: bool
    context: Context
    repository: Repository
    headers: Mapping[str, str]


class GitHttp:
    """Answers git."""

    def __init__(
        self,
        *,
        repositories: Repositories,
        told: Told,
        credentials: Credentials,
        permit: Permit,
        account: str,
        region: str,
    ) -> None:
        self._repositories = repositories
        self._told = told
        self._credentials = credentials
        self._permit = permit
        self._account = account
        self._region = region

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        answer = _Answer(send)
        incoming = Incoming(receive)
        try:
            call = await asyncio.to_thread(self._understand, scope)
            operation, about = _OPERATIONS[call.service], {"repositoryName": call.name}
            probe = call.headers.get("content-length") == _PROBE and "transfer-encoding" not in call.headers
            noted = not call.advertise and not probe
            with self._permit(call.context, "codecommit", operation, about, noted=noted):
                await self._perform(call, incoming, receive, answer)
        except Disconnected:
            _log.info("git: the client went away (%s)", scope["path"])
        except _Refusal as refusal:
            await answer.refuse(refusal.status, str(refusal), challenge=refusal.status == 401)
        except AwsError as error:
            denied = "AccessDenied" in error.code
            await answer.refuse(403 if denied else error.status, error.message)
        except Exception:
            _log.exception("git: %s %s failed", scope["method"], scope["path"])
            await answer.refuse(500, "Modelwright failed to answer this request; its log has the reason.")

    def _understand(self, scope: MutableMapping[str, Any]) -> _Call:
        """What is wanted of which repository by whom. Raises _Refusal."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        found = _PATH.fullmatch(scope["path"])
        if found is None:
            raise _Refusal(404, f"There is no repository at {scope['path']}: {ROOT}NAME is the URL to clone.")
        service, advertise = found["what"], found["what"] == "info/refs"
        if advertise:
            service = parse_qs(scope["query_string"].decode("latin-1")).get("service", [""])[0]
        if service not in _OPERATIONS:
            raise _Refusal(403, "Only git's smart HTTP protocol is served: update your git.")
        if scope["method"] != ("GET" if advertise else "POST"):
            raise _Refusal(405, f"{scope['method']} is not for {scope['path']}.")
        name = found["name"]
        document = self._told.document(name)
        host = headers.get("host", "").lower().partition(":")[0]
        at = HOST.fullmatch(host)
        home = document["Arn"].split(":")[3] if document is not None else self._region
        regions = [at[1]] if at else list(dict.fromkeys((home, self._region)))
        try:
            principal = self._credentials.principal(headers.get("authorization", ""), host, f"{ROOT}{name}", regions)
        except Refused as refused:
            raise _Refusal(401, str(refused)) from refused
        context = Context(
            account=self._account,
            region=regions[0],
            principal=principal,
            source="git",
            address=str((scope.get("client") or ("",))[0]),
            agent=headers.get("user-agent", ""),
        )
        if document is None:
            raise _Refusal(404, f"There is no CodeCommit repository '{name}' here.")
        return _Call(name, service, advertise, context, self._repositories.open(document["repositoryId"]), headers)

    async def _perform(self, call: _Call, incoming: Incoming, receive: Receive, answer: _Answer) -> None:
        subcommand = call.service.removeprefix("git-")
        protocol = call.headers.get("git-protocol", "")
        environ = identity_environ(call.context.principal.arn)
        if _PROTOCOL.fullmatch(protocol):
            environ["GIT_PROTOCOL"] = protocol
        arguments = [subcommand, "--stateless-rpc", *(["--advertise-refs"] if call.advertise else [])]
        pushes = call.service == "git-receive-pack" and not call.advertise
        kind = "advertisement" if call.advertise else "result"
        answer.content_type = f"application/x-{call.service}-{kind}"
        if call.advertise:
            await incoming.whole(_MOST_SAID)  # there is none; now the disconnect is all that can come
        if call.advertise and "version=2" not in protocol.split(":"):
            line = f"# service={call.service}\n"
            await answer.write(f"{len(line) + 4:04x}{line}0000".encode())
        try:
            with call.repository.writing() if pushes else contextlib.nullcontext() as lock:
                keep = () if lock is None else (lock,)
                process = await _start(self._repositories.git, call.repository, arguments, environ, keep)
                try:
                    body = None if call.advertise else _body(incoming, call.headers.get("content-encoding", ""))
                    status, said = await _exchange(process, body, receive, answer, patient=pushes)
                finally:
                    await _end(process, patient=pushes)
        finally:
            if pushes:  # also when nobody waits for the answer any more: git may have moved references
                await asyncio.to_thread(self._told.announce, call.name, call.context.principal.arn)
        if status != 0:
            _log.info("git %s of %s ended with %s: %s", subcommand, call.name, status, said)
            if not answer.begun:
                raise _Refusal(400, f"git {subcommand} refused this request: {said or 'it did not say why'}")
        await answer.end()


class _Refusal(Exception):
    """An answer that git shows its user."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class _Answer:
    """A response that begins with its first bytes."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = False
        self.content_type = "text/plain; charset=utf-8"

    async def write(self, piece: bytes) -> None:
        await self._begin()
        await self._send({"type": "http.response.body", "body": piece, "more_body": True})

    async def end(self) -> None:
        await self._begin()
        await self._send({"type": "http.response.body", "body": b""})

    async def refuse(self, status: int, text: str, *, challenge: bool = False) -> None:
        """Git shows its user a plain text. What has begun can only be cut off."""
        if self.begun:
            raise ConnectionAbortedError(text)
        headers = [
            (b"content-type", b"text/plain"),
            (b"content-length", b"%d" % (len(text.encode()) + 1)),
            (b"connection", b"close"),
        ]
        if challenge:
            headers.append((b"www-authenticate", b'Basic realm="Modelwright CodeCommit"'))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": text.encode() + b"\n"})

    async def _begin(self) -> None:
        if self.begun:
            return
        self.begun = True
        headers = [(b"content-type", self.content_type.encode()), (b"cache-control", b"no-cache")]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})


async def _start(
    git: Git, repository: Repository, arguments: list[str], environ: Mapping[str, str], keep: tuple[int, ...]
) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *git.command(*arguments, str(repository.path)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=git.environ(repository.path, environ),
        cwd=repository.path,
        pass_fds=keep,
        limit=_PIECE,
    )


async def _body(incoming: Incoming, encoding: str) -> AsyncIterator[bytes]:
    """The request's body as it comes, unpacked. Raises _Refusal."""
    unpack = zlib.decompressobj(wbits=31) if encoding in ("gzip", "x-gzip") else None
    while not incoming.ended:
        piece = await incoming.piece()
        if unpack is None:
            yield piece
            continue
        try:
            while piece:
                yield unpack.decompress(piece, _PIECE)
                piece = unpack.unconsumed_tail
        except zlib.error as error:
            raise _Refusal(400, f"The request's body is no gzip: {error}") from error


async def _exchange(
    process: asyncio.subprocess.Process,
    body: AsyncIterator[bytes] | None,
    receive: Receive,
    answer: _Answer,
    *,
    patient: bool,
) -> tuple[int, str]:
    """(exit status, what it said on stderr) once everything has gone through. `patient` goes on without the client."""
    feeding = asyncio.ensure_future(_feed(process, body))
    listening = asyncio.ensure_future(_listen(process))
    gone: asyncio.Future[Any] | None = None
    assert process.stdout is not None
    try:
        while piece := await process.stdout.read(_PIECE):
            await answer.write(piece)
            if feeding.done() and gone is None and not patient:
                feeding.result()
                gone = asyncio.ensure_future(receive())  # the request has ended: what comes next is the disconnect
            if gone is not None and gone.done():
                raise Disconnected
        await feeding
        return await process.wait(), await listening
    finally:
        for task in (feeding, listening, gone):
            if task is not None and not task.done():
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await task


async def _end(process: asyncio.subprocess.Process, *, patient: bool) -> None:
    """A push has heard the end of its input and clears up after itself, unless it hangs; others are of no use now."""
    if process.returncode is not None:
        return
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(process.wait(), _PATIENCE_SECONDS if patient else 0.01)
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _feed(process: asyncio.subprocess.Process, body: AsyncIterator[bytes] | None) -> None:
    """Git may have heard enough before the body ends."""
    assert process.stdin is not None
    try:
        if body is not None:
            async for piece in body:
                process.stdin.write(piece)
                await process.stdin.drain()
    except (BrokenPipeError, ConnectionResetError):
        pass
    finally:  # a pack that breaks off is none: git says so, and takes away what it has begun to write
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            process.stdin.close()


async def _listen(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    said = b""
    while piece := await process.stderr.read(_PIECE):
        said = (said + piece)[:_MOST_SAID]
    return said.decode("utf-8", "replace").strip()
