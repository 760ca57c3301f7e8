"""Where an endpoint's requests go, of its state. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from modelwright.lifecycles.capture import Capturing, capturing
from modelwright.lifecycles.endpoint import Endpoint, Instance, Variant


class Hop(NamedTuple):
    """A container that takes requests, on 127.0.0.1 of this machine, or of the network of the container `network`."""

    name: str
    port: int
    network: str = ""


@dataclass(frozen=True)
class Replica:
    """An instance that takes requests: its containers in their order."""

    id: str
    hops: tuple[Hop, ...]


@dataclass(frozen=True)
class VariantRoutes:
    name: str
    weight: float
    replicas: tuple[Replica, ...]
    direct: bool = False
    capture: Capturing | None = None
    """What of its invocations is captured."""


@dataclass(frozen=True)
class Routes:
    """Where an endpoint's requests go. `stream` tells it from another one that had its name."""

    stream: str
    endpoint: str
    arn: str
    status: str
    variants: tuple[VariantRoutes, ...]


def routes(endpoint: Endpoint) -> Routes:
    """The live fleet's healthy instances."""
    variants: list[VariantRoutes] = []
    if endpoint.live is not None and endpoint.status not in ("Deleting", "Gone"):
        capture = capturing(endpoint.live.capture)
        healthy = [one for one in endpoint.of(endpoint.live) if one.healthy]
        for variant in endpoint.live.variants:
            replicas = tuple(Replica(one.id, _hops(variant, one)) for one in healthy if one.variant == variant.name)
            variants.append(VariantRoutes(variant.name, variant.weight, replicas, variant.direct, capture))
    return Routes(endpoint.stream, endpoint.name, endpoint.arn, endpoint.status, tuple(variants))


def _hops(variant: Variant, one: Instance) -> tuple[Hop, ...]:
    return tuple(
        Hop(name, part.port, part.container if part.isolated else "")
        for name, part in zip(variant.names, one.parts, strict=True)
    )
