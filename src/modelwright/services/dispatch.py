"""The one door: `call(context, service, operation, parameters)`.

HTTP, Studio, the engine, CodeBuild and CloudFormation all act through it, so what is checked here is checked for
everybody. A service is a class for a resource group whose methods carry `@operation("CreateTrainingJob")`; it takes
what it needs in its constructor and knows nothing of HTTP. Parameters and results are AWS's shapes as plain Python:
dicts, lists, strings, numbers, bytes, times as epoch seconds (float); absent members are absent.

An operation whose bytes stream (S3's GetObject and PutObject) is `async def`: its `Body` is an asynchronous iterator
of bytes. All others are plain functions and run wherever they are called.
"""

from __future__ import annotations

import asyncio
import inspect
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol

from modelwright.errors import AwsError, UnsupportedOperation
from modelwright.services.members import Table, check_members

Document = dict[str, Any]
Handler = Callable[..., Any]


@dataclass(frozen=True)
class Principal:
    """Who calls. `arn` as STS says it, `user_id` as GetCallerIdentity's UserId, `access_key` where there was one.

    `role` is what `services.access` knows of them; without one they may do nothing.
    """

    arn: str
    user_id: str
    access_key: str = ""
    role: str = ""

    @property
    def name(self) -> str:
        """The user's, or what the session is called."""
        return self.arn.rpartition("/")[2]


@dataclass(frozen=True)
class Context:
    """What an operation may know of its call beside the parameters."""

    account: str
    region: str
    principal: Principal
    request_id: str = field(default_factory=lambda: str(uuid.uuid4()))
    source: str = "internal"
    """`http`, `studio`, `engine`, ...: the audit's "from where"."""
    address: str = ""
    """The client's address, where there is one."""
    agent: str = ""
    """What the client calls itself (User-Agent)."""
    received: float = 0.0
    """When the whole request had come, by `time.perf_counter`; 0 where it did not come by a wire."""
    behalf: tuple[str, ...] = ()
    """Whom the platform acts for: the ARNs of those who started, and who wrote, what it runs. All of them count."""

    @property
    def actors(self) -> tuple[str, ...]:
        """The ARNs of those whose act this is: the caller's, or those whom the platform acts for."""
        return self.behalf or (self.principal.arn,)


class Call(Protocol):
    """The door as the engine and others see it."""

    def __call__(self, context: Context, service: str, operation: str, parameters: Mapping[str, Any]) -> Document: ...


class Guard(Protocol):
    """Says who may do what."""

    def check(self, context: Context, service: str, operation: str, parameters: Mapping[str, Any]) -> None:
        """Raises AwsError, AWS's AccessDenied, when the caller may not."""
        ...


class Trail(Protocol):
    """Remembers who did what."""

    def begin(self, context: Context, service: str, operation: str, parameters: Mapping[str, Any]) -> Note | None:
        """Called before an operation is run; None where this call is not for the trail."""
        ...

    def denied(
        self, context: Context, service: str, operation: str, parameters: Mapping[str, Any], error: AwsError
    ) -> None:
        """Called instead, when it may not be run."""
        ...


class Note(Protocol):
    """One call that the trail remembers, until it is known how it ended."""

    def done(self, result: Mapping[str, Any]) -> None: ...

    def failed(self, error: BaseException) -> None: ...


def operation(
    name: str,
    *,
    quick: bool | Callable[[Mapping[str, Any]], bool] = False,
    members: Table | None = None,
) -> Callable[[Handler], Handler]:
    """Mark a method as the handler of an AWS operation.

    `quick` promises that it only reads and answers within about a millisecond: the server then runs it on the event
    loop instead of handing it to a thread. A function promises it for the parameters that it accepts. `members` says
    which of the operation's input members are honoured: the others are refused before the handler is called. Without
    it all are honoured.
    """

    def mark(handler: Handler) -> Handler:
        handler.members = members  # type: ignore[attr-defined]  # read back by Dispatcher
        handler.aws_operation = name  # type: ignore[attr-defined]  # read back by Dispatcher
        handler.quick = quick  # type: ignore[attr-defined]  # read back by Dispatcher
        handler.streams = inspect.iscoroutinefunction(handler)  # type: ignore[attr-defined]  # the same
        return handler

    return mark


@dataclass
class Outcome:
    """What came of a call."""

    result: Document = field(default_factory=dict)


_Asked = tuple[Context, str, str, Mapping[str, Any]]


class _Permitted(AbstractContextManager[Outcome]):
    """One call, from the moment that it may to its end. A class, because every call passes here."""

    __slots__ = ("_asked", "_guard", "_note", "_noted", "_outcome", "_trail")

    def __init__(self, guard: Guard | None, trail: Trail | None, asked: _Asked, noted: bool) -> None:
        self._guard = guard
        self._trail = trail
        self._asked = asked
        self._noted = noted
        self._note: Note | None = None
        self._outcome = Outcome()

    def __enter__(self) -> Outcome:
        trail = self._trail
        if self._guard is not None:
            try:
                self._guard.check(*self._asked)
            except AwsError as error:
                if trail is not None:
                    trail.denied(*self._asked, error)
                raise
        if trail is not None and self._noted:
            self._note = trail.begin(*self._asked)
        return self._outcome

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._note is None:
            return
        if error is None:
            self._note.done(self._outcome.result)
        else:
            self._note.failed(error)


class Dispatcher:
    """Finds the handler, validates the parameters, runs it.

    `services` are (service, instance) pairs; several classes may share a service. `validate(service, operation,
    parameters)` raises the AWS error for parameters that the service model refuses. Without a `guard` everybody may do
    everything, without a `trail` nobody remembers: that is for tests of what lies behind the door.
    """

    def __init__(
        self,
        services: Iterable[tuple[str, object]],
        validate: Callable[[str, str, Mapping[str, Any]], None],
        guard: Guard | None = None,
        trail: Trail | None = None,
    ) -> None:
        self._validate = validate
        self._guard = guard
        self._trail = trail
        self._handlers: dict[tuple[str, str], Handler] = {}
        for service, instance in services:
            self.add(service, instance)

    def add(self, service: str, instance: object) -> None:
        """Make the operations of `instance` callable under `service`."""
        for _, method in inspect.getmembers(instance, inspect.ismethod):
            name = getattr(method, "aws_operation", None)
            if name is not None:
                if (service, name) in self._handlers:
                    raise ValueError(f"two handlers for {service}:{name}")
                self._handlers[service, name] = method

    def operations(self) -> list[tuple[str, str]]:
        """All supported (service, operation), sorted."""
        return sorted(self._handlers)

    def members(self, service: str, operation: str) -> Table | None:
        """What becomes of each input member; None where all are honoured."""
        table: Table | None = getattr(self._find(service, operation), "members", None)
        return table

    def call(self, context: Context, service: str, operation: str, parameters: Mapping[str, Any]) -> Document:
        """Run an operation and return its result. Members that are None are absent, as on the wire. Raises AwsError."""
        handler = self._find(service, operation)
        if handler.streams:  # type: ignore[attr-defined]  # see operation()
            raise TypeError(f"{service}:{operation} streams: await acall()")
        present: Document = _without_nulls(parameters)
        self._check(handler, service, operation, present)
        with self.permitted(context, service, operation, present) as outcome:
            outcome.result = handler(context, present)
        return outcome.result

    async def acall(self, context: Context, service: str, operation: str, parameters: Mapping[str, Any]) -> Document:
        """The same for asynchronous callers: runs what streams here, what may take long in a thread."""
        handler = self._find(service, operation)
        self._check(handler, service, operation, parameters)
        with self.permitted(context, service, operation, parameters) as outcome:
            if handler.streams:  # type: ignore[attr-defined]  # see operation()
                outcome.result = await handler(context, dict(parameters))
            elif _is_quick(handler, parameters):
                outcome.result = handler(context, dict(parameters))
            else:
                outcome.result = await asyncio.to_thread(handler, context, dict(parameters))
        return outcome.result

    def permitted(
        self, context: Context, service: str, operation: str, parameters: Mapping[str, Any], *, noted: bool = True
    ) -> AbstractContextManager[Outcome]:
        """Check that the caller may, and remember what comes of the block.

        For what is done by other means than an operation (a push by git), too; what only leads up to it need not be
        `noted`, except that it was refused. Raises AwsError.
        """
        return _Permitted(self._guard, self._trail, (context, service, operation, parameters), noted)

    def may(self, context: Context, service: str, operation: str, parameters: Mapping[str, Any]) -> bool:
        """Whether the caller may. Asking is not remembered."""
        if self._guard is None:
            return True
        try:
            self._guard.check(context, service, operation, parameters)
        except AwsError:
            return False
        return True

    def _check(self, handler: Handler, service: str, operation: str, parameters: Mapping[str, Any]) -> None:
        self._validate(service, operation, parameters)
        table = getattr(handler, "members", None)
        if table is not None:
            check_members(operation, table, parameters)

    def _find(self, service: str, operation: str) -> Handler:
        try:
            return self._handlers[service, operation]
        except KeyError:
            raise UnsupportedOperation.operation(service, operation) from None


def _is_quick(handler: Handler, parameters: Mapping[str, Any]) -> bool:
    quick = getattr(handler, "quick", False)
    return bool(quick(parameters) if callable(quick) else quick)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value
