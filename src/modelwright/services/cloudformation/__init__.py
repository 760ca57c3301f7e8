"""CloudFormation: stacks from templates, by AWS's API. What a stack makes is the engine's (`engine.stacks`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from modelwright.services.cloudformation.base import Read
from modelwright.services.cloudformation.change_sets import ChangeSets
from modelwright.services.cloudformation.exports import Exports
from modelwright.services.cloudformation.stack_events import StackEvents
from modelwright.services.cloudformation.stack_resources import StackResources
from modelwright.services.cloudformation.stack_templates import StackTemplates
from modelwright.services.cloudformation.stacks import Stacks
from modelwright.store.database import Database
from modelwright.store.history import History


def services(
    *, database: Database, history: History, now: Callable[[], float], read: Read
) -> Iterator[tuple[str, object]]:
    """All of CloudFormation's resource groups."""
    for group in (Stacks, StackResources, StackEvents, StackTemplates, ChangeSets, Exports):
        yield "cloudformation", group(database=database, history=history, now=now, read=read)
