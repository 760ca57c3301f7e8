"""Studio's sessions that somebody has signed out of, until they would have ended by themselves."""

from __future__ import annotations

import threading
from collections.abc import Callable

from sqlalchemy import delete, insert, select

from modelwright.store.database import Database, ended_session_table

_columns = ended_session_table.c


class EndedSessions:
    """Looked at with every request, so kept in memory too."""

    def __init__(self, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now
        self._lock = threading.Lock()
        with database.write() as transaction:
            transaction.execute(delete(ended_session_table).where(_columns.until < now()))
            rows = transaction.execute(select(_columns.name, _columns.until))
            self._until = {row.name: row.until for row in rows}

    def add(self, name: str, until: float) -> None:
        with self._lock:
            if name in self._until:
                return
            self._until[name] = until
        with self._database.write() as transaction:
            transaction.execute(insert(ended_session_table), {"name": name, "until": until})

    def __contains__(self, name: object) -> bool:
        return name in self._until
