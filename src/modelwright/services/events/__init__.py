"""EventBridge: a class for each of its nouns. Events themselves go by `store.event_bus`."""

from __future__ import annotations

from collections.abc import Callable

from modelwright.services.events.api_destinations import ApiDestinations
from modelwright.services.events.buses import Buses
from modelwright.services.events.connections import Connections
from modelwright.services.events.put_events import PutEvents
from modelwright.services.events.rules import Rules
from modelwright.services.events.tags import Tags
from modelwright.services.events.targets import Targets
from modelwright.store.database import Database
from modelwright.store.event_bus import EventBus


def services(*, database: Database, now: Callable[[], float], events: EventBus) -> list[tuple[str, object]]:
    """What the Dispatcher is made of."""
    kinds = (Buses, Rules, Targets, PutEvents, Tags, Connections, ApiDestinations)
    return [("events", kind(database=database, now=now, events=events)) for kind in kinds]
