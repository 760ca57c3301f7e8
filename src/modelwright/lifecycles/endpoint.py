"""An endpoint as a state machine: facts -> state -> what follows, and what is still owed. Pure.

An endpoint has fleets: the `live` one serves, the `coming` one is on its way. A fleet has instances, each with a life
of its own:

    Wanted ──Prepared──▶ Starting ──Started──▶ Running ──Exited──▶ gone, or Wanted again

A Running instance becomes healthy by its first /ping; it is `leaving` when it is not wanted any more: it drains (no
new requests, the old ones are finished), is stopped, and is forgotten when it has exited. An instance that ends
although it is wanted is started again, later and later. One that was never healthy gives up after some attempts, and
its fleet with it: a coming fleet is taken back and the live one stays; without a live one the endpoint has failed.

Facts from outside: `Created`, `UpdateRequested`, `CapacityRequested`, `DeleteRequested`. All others are the engine's.
What the state makes of the document that Describe answers is in `endpoint_document`, where requests go in
`endpoint_routes`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from modelwright.lifecycles.job import REASON_LIMIT, Effect, Fact

Phase = Literal["Wanted", "Starting", "Running"]
Status = Literal["Creating", "InService", "Updating", "RollingBack", "Failed", "Deleting", "Gone"]

ATTEMPTS = 3
"""How often an instance that was never healthy is started before its fleet is given up."""
FIRST_PAUSE, LAST_PAUSE = 1.0, 60.0
STEADY = 60.0
"""Who was healthy for so many seconds starts again at the shortest pause."""


@dataclass(frozen=True)
class Variant:
    """Of a fleet: `count` instances like this, each with all of `containers` (image, model data, environment)."""

    name: str
    model: str
    instance_type: str
    count: int
    weight: float
    startup: float
    containers: tuple[Mapping[str, Any], ...]
    direct: bool = False
    """A request goes to one container, by name; else through all of them."""
    isolated: bool = False
    """Its containers reach nothing."""

    @property
    def names(self) -> tuple[str, ...]:
        """The containers' names, as errors and logs tell them."""
        if len(self.containers) == 1 and not self.direct:
            return ("primary",)
        return tuple(
            each.get("ContainerHostname", f"container-{number}") for number, each in enumerate(self.containers, 1)
        )


@dataclass(frozen=True)
class Fleet:
    """What an endpoint runs."""

    number: int
    config: str
    variants: tuple[Variant, ...]
    capture: Mapping[str, Any] | None = None
    """AWS's DataCaptureConfig."""

    def variant(self, name: str) -> Variant:
        return next(variant for variant in self.variants if variant.name == name)


@dataclass(frozen=True)
class Part:
    """One of an attempt's containers."""

    container: str
    """The runtime's name for it."""
    port: int
    isolated: bool = False
    """The port is one of the container's own network."""
    images: Mapping[str, Any] = field(default_factory=dict)
    handle: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Instance:
    """Its containers, from attempt to attempt."""

    id: str
    fleet: int
    variant: str
    slot: int
    phase: Phase = "Wanted"
    attempt: int = 1
    failures: int = 0
    """Ends in a row that nobody asked for."""
    not_before: float | None = None
    parts: tuple[Part, ...] = ()
    """As many as the variant has containers, from `Prepared` on; before, those of the attempt before."""
    began: float = 0.0
    healthy: bool = False
    healthy_since: float = 0.0
    established: bool = False
    """Whether it has ever been healthy."""
    sick: bool = False
    """To be stopped and started again."""
    hopeless: bool = False
    """Another attempt would end the same way."""
    leaving: bool = False
    drained: bool = False
    signalled: bool = False
    reason: str = ""
    """Why it last ended."""

    @property
    def key(self) -> str:
        """Of its effects: those of an earlier attempt are other ones."""
        return f"{self.id}/{self.attempt}"

    @property
    def doomed(self) -> bool:
        return not self.leaving and not self.established and (self.hopeless or self.failures >= ATTEMPTS)


@dataclass(frozen=True)
class Endpoint:
    """What is known of an endpoint. `stream` makes instances' ids unique."""

    stream: str
    name: str = ""
    arn: str = ""
    status: Status = "Creating"
    live: Fleet | None = None
    coming: Fleet | None = None
    before: Fleet | None = None
    """The live fleet as it was before its capacity was changed."""
    instances: Mapping[str, Instance] = field(default_factory=dict)
    known: Mapping[int, Fleet] = field(default_factory=dict)
    """Every fleet that there was, by number: an instance may outlive its fleet."""
    serial: int = 0
    """How many instances there have been."""
    pending_since: float = 0.0
    failure: str = ""

    def of(self, fleet: Fleet) -> list[Instance]:
        """The instances that a fleet wants to keep."""
        return [one for one in self.instances.values() if one.fleet == fleet.number and not one.leaving]


def fleet_of(number: int, data: Mapping[str, Any]) -> Fleet:
    """From its JSON, as the services write it."""
    variants = tuple(
        Variant(
            name=each["Name"],
            model=each["Model"],
            instance_type=each["InstanceType"],
            count=each["Count"],
            weight=each["Weight"],
            startup=each["Startup"],
            containers=tuple(each.get("Containers") or [each["Container"]]),  # one, in streams of earlier versions
            direct=each.get("Mode") == "Direct",
            isolated=each.get("Isolated", False),
        )
        for each in data["Variants"]
    )
    return Fleet(number, data["Config"], variants, data.get("Capture"))


# Facts


def apply(endpoint: Endpoint, kind: str, data: Mapping[str, Any], time: float) -> Endpoint:
    """The state after one more fact."""
    if "Instance" in data:
        one = endpoint.instances.get(data["Instance"])
        return endpoint if one is None else _keep(endpoint, _instance(one, kind, data, time), one.id)
    match kind:
        case "Created":
            return _begin(replace(endpoint, name=data["Name"], arn=data["Arn"]), data, "Creating", time)
        case "UpdateRequested":
            return _begin(endpoint, data, "Updating", time)
        case "CapacityRequested" if endpoint.live is not None:
            live = _resized(endpoint.live, data["Variants"])
            return _reconcile(replace(endpoint, status="Updating", before=endpoint.live, live=live, failure=""))
        case "DeleteRequested":
            return _leave(replace(endpoint, status="Deleting", coming=None, failure=""), lambda one: True)
        case "Shifted" if endpoint.coming is not None:
            new = endpoint.coming
            shifted = replace(endpoint, status="InService", live=new, coming=None)
            return _leave(shifted, lambda one: one.fleet != new.number)
        case "Settled":
            return replace(endpoint, status="InService", before=None)
        case "Broken":
            return _break(endpoint, data["Reason"])
        case "RolledBack":
            return replace(endpoint, status="InService", before=None)
        case "Deleted":
            return replace(endpoint, status="Gone")
        case _:
            return endpoint


def _begin(endpoint: Endpoint, data: Mapping[str, Any], status: Status, time: float) -> Endpoint:
    number = len(endpoint.known) + 1
    coming = fleet_of(number, data["Fleet"])
    known = {**endpoint.known, number: coming}
    begun = replace(endpoint, status=status, known=known, coming=coming, pending_since=time, failure="")
    return _reconcile(begun)


def _resized(fleet: Fleet, changes: Mapping[str, Mapping[str, Any]]) -> Fleet:
    def changed(variant: Variant) -> Variant:
        change = changes.get(variant.name, {})
        return replace(variant, count=change.get("Count", variant.count), weight=change.get("Weight", variant.weight))

    return replace(fleet, variants=tuple(changed(variant) for variant in fleet.variants))


def _break(endpoint: Endpoint, reason: str) -> Endpoint:
    broken = replace(endpoint, failure=reason)
    if endpoint.coming is not None:
        number = endpoint.coming.number
        status: Status = "Failed" if endpoint.live is None else "RollingBack"
        return _leave(replace(broken, status=status, coming=None), lambda one: one.fleet == number)
    return _reconcile(replace(broken, status="RollingBack", live=endpoint.before, before=None))


def _reconcile(endpoint: Endpoint) -> Endpoint:
    """As many instances as the fleets want: new ones for empty slots, and those past the count leave."""
    for fleet in (endpoint.live, endpoint.coming):
        for variant in fleet.variants if fleet is not None else ():
            assert fleet is not None
            number, name, count = fleet.number, variant.name, variant.count
            endpoint = _leave(
                endpoint,
                lambda one: (one.fleet, one.variant) == (number, name) and one.slot >= count,  # noqa: B023
            )
            taken = {one.slot for one in endpoint.of(fleet) if one.variant == name}
            for slot in sorted(set(range(count)) - taken):
                serial = endpoint.serial + 1
                new = Instance(_instance_id(endpoint.stream, serial), number, name, slot)
                endpoint = replace(endpoint, serial=serial, instances={**endpoint.instances, new.id: new})
    return endpoint


def _instance_id(stream: str, serial: int) -> str:
    """In AWS's form, and the same at every fold."""
    return "i-" + hashlib.sha256(f"{stream}/{serial}".encode()).hexdigest()[:17]


def _leave(endpoint: Endpoint, whom: Any) -> Endpoint:
    """Of these nothing is wanted any more; what has not been started is forgotten."""
    kept = {}
    for key, one in endpoint.instances.items():
        if not whom(one):
            kept[key] = one
        elif one.phase != "Wanted":
            kept[key] = replace(one, leaving=True)
    return replace(endpoint, instances=kept)


def _keep(endpoint: Endpoint, one: Instance | None, key: str) -> Endpoint:
    instances = dict(endpoint.instances)
    if one is None:
        instances.pop(key)
    else:
        instances[key] = one
    return replace(endpoint, instances=instances)


def _instance(one: Instance, kind: str, data: Mapping[str, Any], time: float) -> Instance | None:
    match kind:
        case "Prepared":
            parts = tuple(
                Part(each["Container"], each["Port"], each.get("Isolated", False), each.get("Images", {}))
                for each in data.get("Parts") or [data]
            )
            return replace(one, phase="Starting", parts=parts)
        case "Started":
            handles = data.get("Handles") or [data["Handle"]]
            parts = tuple(replace(part, handle=handle) for part, handle in zip(one.parts, handles, strict=True))
            return replace(one, phase="Running", parts=parts, began=time)
        case "Healthy":
            since = one.healthy_since if one.healthy else time
            return replace(one, healthy=True, established=True, healthy_since=since)
        case "Sick":
            hopeless = one.hopeless or not one.established
            return replace(one, sick=True, healthy=False, hopeless=hopeless, reason=data["Reason"])
        case "Drained":
            return replace(one, drained=True)
        case "Signalled":
            return replace(one, signalled=True)
        case "Refused":
            hopeless = one.hopeless or bool(data.get("Hopeless"))
            return _again(replace(one, reason=data["Reason"], hopeless=hopeless), time)
        case "Exited":
            if one.leaving:
                return None
            reason = one.reason if one.sick else data["Reason"]
            return _again(replace(one, reason=reason), time)
        case _:
            return one


def _again(one: Instance, time: float) -> Instance | None:
    if one.leaving:
        return None
    steady = one.healthy_since > 0 and time - one.healthy_since >= STEADY
    failures = 1 if steady else one.failures + 1
    pause = min(LAST_PAUSE, FIRST_PAUSE * 2 ** min(failures - 1, 10))
    return Instance(
        one.id,
        one.fleet,
        one.variant,
        one.slot,
        attempt=one.attempt + 1,
        failures=failures,
        not_before=time + pause,
        parts=one.parts,
        established=one.established,
        hopeless=one.hopeless,
        reason=one.reason,
    )


# What follows


def decide(endpoint: Endpoint) -> list[Fact]:
    """Facts that follow from the state alone."""
    match endpoint.status:
        case "Deleting":
            return [] if endpoint.instances else [("Deleted", {})]
        case "Creating" | "Updating":
            fleet = endpoint.coming or endpoint.live
            assert fleet is not None
            ours = endpoint.of(fleet)
            doomed = [one for one in ours if one.doomed]
            if doomed:
                return [("Broken", {"Reason": doomed[0].reason[:REASON_LIMIT]})]
            if all(one.established for one in ours) and (endpoint.coming is None or all(one.healthy for one in ours)):
                return [("Shifted" if endpoint.coming is not None else "Settled", {})]
            return []
        case "RollingBack":
            fleet = endpoint.live
            assert fleet is not None
            if any(one.leaving for one in endpoint.instances.values()):
                return []
            return [("RolledBack", {})]
        case _:
            return []


def outstanding(endpoint: Endpoint) -> Sequence[Effect]:
    """Effects still owed; an effect's key is its instance's."""
    effects: list[Effect] = []
    for one in endpoint.instances.values():
        effects += _owed(one)
    return effects


def _owed(one: Instance) -> list[Effect]:
    if one.phase == "Wanted":
        return [] if one.leaving or one.doomed else [Effect("launch", one.key, at=one.not_before)]
    if one.phase == "Starting":
        return [Effect("start", one.key)]
    effects = [Effect("watch", one.key)]
    if one.leaving:
        if not one.drained:
            effects.append(Effect("drain", one.key))
        elif not one.signalled:
            effects.append(Effect("stop", one.key))
    elif one.sick:
        if not one.signalled:
            effects.append(Effect("stop", one.key))
    else:
        effects.append(Effect("check", one.key))
    return effects
