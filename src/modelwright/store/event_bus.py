"""Events that something happened, on their way to the rules that want them.

Whoever changes a state emits the event in the same transaction: an event is sent exactly when the change is committed.
`emit` looks at the enabled rules and opens a delivery stream for each target of each rule that matches; the engine
drives those (`lifecycles.delivery`). Without a rule that matches nothing is written at all, and the rules are compiled
once and kept until one changes, so that emitting costs next to nothing where nobody listens.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from modelwright.events.envelopes import DEFAULT_BUS, envelope
from modelwright.events.patterns import Pattern, compile_pattern
from modelwright.events.sagemaker import SOURCE, Change
from modelwright.events.schedules import parse as parse_schedule
from modelwright.store.database import Transaction
from modelwright.store.history import Event, History
from modelwright.store.resources import Query, find_resource, list_resources

RULE = "EventRule"
BUS = "EventBus"
CONNECTION = "EventConnection"
API_DESTINATION = "ApiDestination"
DELIVERY = "Delivery"
"""The kind of delivery streams; their names are `delivery/ID`."""
TICK = "ScheduleTick"
"""The kind of the streams `tick/ID`: the next time at which a scheduled rule is due."""
LEASE_SECONDS = 60.0
_PAGE = 500


@dataclass(frozen=True)
class _Rule:
    """An enabled rule with targets."""

    name: str
    arn: str
    pattern: Pattern
    targets: Sequence[Mapping[str, Any]]


Listener = Callable[[Transaction, str, Mapping[str, Any], float], None]
"""Called in the transaction that emits: (transaction, detail-type, detail, time)."""

_Rules = Mapping[tuple[str, str], Sequence[_Rule]]
"""By bus and source; the source "" has those that don't name one."""


class EventBus:
    """All event buses of the account. Safe to use from many threads."""

    def __init__(self, history: History, account: str) -> None:
        self._history = history
        self._account = account
        self._lock = threading.Lock()
        self._rules: _Rules | None = None
        self._generation = 0
        self._listeners: dict[str, list[Listener]] = {}

    def listen(self, source: str, listener: Listener) -> None:
        """Hear of every event of a source, without a rule: for what AWS's services find out by themselves."""
        self._listeners.setdefault(source, []).append(listener)

    def emit(
        self,
        transaction: Transaction,
        *,
        source: str,
        detail_type: str,
        detail: Mapping[str, Any],
        region: str,
        time: float,
        resources: Sequence[str] = (),
        bus: str = DEFAULT_BUS,
        sent: float | None = None,
    ) -> str:
        """Send an event, if the transaction is committed; its id. `sent` is the time that it tells, else `time`."""
        for listener in self._listeners.get(source, ()):
            listener(transaction, detail_type, detail, time)
        identity = str(uuid.uuid4())
        rules = self._current(transaction)
        candidates = (*rules.get((bus, source), ()), *rules.get((bus, ""), ()))
        if not candidates:
            return identity
        event = envelope(
            id=identity,
            source=source,
            detail_type=detail_type,
            detail=detail,
            resources=resources,
            account=self._account,
            region=region,
            time=time if sent is None else sent,
        )
        for rule in candidates:
            if rule.pattern.matches(event):
                for target in rule.targets:
                    self._deliver(transaction, rule.name, rule.arn, target, event, time)
        return identity

    def tell(self, transaction: Transaction, make: Callable[[], Change], time: float) -> None:
        """Send what has changed in SageMaker. `make` is only called where some rule may want it."""
        rules = self._current(transaction)
        if rules.get((DEFAULT_BUS, SOURCE)) or rules.get((DEFAULT_BUS, "")):
            change = make()
            self.emit(
                transaction,
                source=SOURCE,
                detail_type=change.detail_type,
                detail=change.detail,
                resources=change.resources,
                region=change.resources[0].split(":")[3],
                time=time,
            )

    def changed(self, transaction: Transaction) -> None:
        """A rule or its targets are changed by this transaction."""
        transaction.after_commit(self._forget)

    def schedule(self, transaction: Transaction, rule: str, document: Mapping[str, Any], now: float) -> None:
        """Write down when the rule (BUS/NAME) is due next. Its `_Schedule` has `Id`, and `Anchor`: when it began."""
        schedule = document["_Schedule"]
        due = parse_schedule(document["ScheduleExpression"]).after(now, schedule["Anchor"])
        if due is not None:
            data = {"Rule": rule, "Schedule": schedule["Id"], "Due": due}
            self._history.open(
                transaction,
                f"tick/{uuid.uuid4()}",
                TICK,
                [Event("Created", data, now)],
                lease_until=now + LEASE_SECONDS,
            )

    def fire(self, transaction: Transaction, rule: str, schedule: str, *, due: float, now: float) -> None:
        """It is time: to each target AWS's `Scheduled Event`. Nothing, where the rule has another schedule by now."""
        document = find_resource(transaction, RULE, rule, lock=True)
        if document is None or document["State"] != "ENABLED" or document.get("_Schedule", {}).get("Id") != schedule:
            return
        event = envelope(
            id=str(uuid.uuid4()),
            source="aws.events",
            detail_type="Scheduled Event",
            detail={},
            resources=[document["Arn"]],
            account=self._account,
            region=document["Arn"].split(":")[3],
            time=due,
        )
        for target in document["_Targets"]:
            self._deliver(transaction, document["Name"], document["Arn"], target, event, now)
        self.schedule(transaction, rule, document, now)

    def _deliver(
        self,
        transaction: Transaction,
        rule_name: str,
        rule_arn: str,
        target: Mapping[str, Any],
        event: Mapping[str, Any],
        time: float,
    ) -> None:
        data = {"Target": dict(target), "RuleName": rule_name, "RuleArn": rule_arn, "Event": event}
        self._history.open(
            transaction,
            f"delivery/{uuid.uuid4()}",
            DELIVERY,
            [Event("Created", data, time)],
            lease_until=time + LEASE_SECONDS,
        )

    def _forget(self) -> None:
        with self._lock:
            self._rules = None
            self._generation += 1

    def _current(self, transaction: Transaction) -> _Rules:
        with self._lock:
            rules, generation = self._rules, self._generation
        if rules is None:
            rules = _compiled(_all_rules(transaction))
            with self._lock:
                if self._generation == generation:  # else what was read may be older than the change
                    self._rules = rules
        return rules


def bus_exists(transaction: Transaction, name: str) -> bool:
    """The default one always does."""
    return name == DEFAULT_BUS or find_resource(transaction, BUS, name) is not None


def _all_rules(transaction: Transaction) -> Iterable[Mapping[str, Any]]:
    token = None
    while True:
        page = list_resources(transaction, Query(RULE, status="ENABLED", sort="name", limit=_PAGE, token=token))
        yield from page.documents
        if page.next_token is None:
            return
        token = page.next_token


def _compiled(documents: Iterable[Mapping[str, Any]]) -> _Rules:
    rules: dict[tuple[str, str], list[_Rule]] = {}
    for document in documents:
        if not document["_Targets"] or "EventPattern" not in document:
            continue
        pattern = compile_pattern(document["EventPattern"])
        rule = _Rule(document["Name"], document["Arn"], pattern, document["_Targets"])
        for source in pattern.literals("source") or ("",):
            rules.setdefault((document["EventBusName"], source), []).append(rule)
    return rules
