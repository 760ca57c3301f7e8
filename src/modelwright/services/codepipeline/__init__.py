"""CodePipeline: pipelines, their executions, approvals. What runs is the engine's (`engine.codepipelines`)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator

from modelwright.objects.directory import DirectoryStore
from modelwright.services.codepipeline.action_types import ActionTypes
from modelwright.services.codepipeline.changes import Changes
from modelwright.services.codepipeline.commands import Commands
from modelwright.services.codepipeline.executions import Executions
from modelwright.services.codepipeline.pipelines import Pipelines
from modelwright.services.codepipeline.states import States
from modelwright.store.database import Database
from modelwright.store.event_bus import EventBus
from modelwright.store.history import History


def services(
    *,
    database: Database,
    history: History,
    now: Callable[[], float],
    events: EventBus,
    objects: DirectoryStore | None = None,
    remotes: Collection[str] = (),
) -> Iterator[tuple[str, object]]:
    """(service, instance) of everything under `codepipeline`.

    `objects` tells of sources in S3 that have changed; `remotes` are the git repositories elsewhere.
    """
    states = States(history)
    changes = Changes(database=database, history=history, now=now, events=events, states=states)
    events.listen("aws.codecommit", changes.pushed)
    if objects is not None:
        objects.subscribe(changes.is_source, changes.stored)
    yield (
        "codepipeline",
        Pipelines(
            database=database,
            history=history,
            now=now,
            events=events,
            states=states,
            sources_changed=changes.forget,
            remotes=remotes,
        ),
    )
    for group in (Commands, Executions, ActionTypes):
        yield (
            "codepipeline",
            group(database=database, history=history, now=now, events=events, states=states),
        )
