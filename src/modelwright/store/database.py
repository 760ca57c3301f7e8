"""The metadata database: tables, transactions, migrations. SQLite by default, PostgreSQL by its URL.

`write()` is one transaction that commits or leaves nothing; `read()` is one consistent view that takes no lock.
What must happen after a commit and never before (waking a worker) is handed to `Transaction.after_commit`.
Only this package knows SQLAlchemy.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    MetaData,
    Row,
    String,
    Table,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    insert,
    select,
)
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql import Executable

from modelwright.errors import ConfigurationError

SCHEMA_VERSION = 1

metadata = MetaData()

schema_table = Table("schema_version", metadata, Column("version", Integer, primary_key=True))

resource_table = Table(
    "resource",
    metadata,
    Column("sequence", Integer, primary_key=True, autoincrement=True),
    Column("kind", String(64), nullable=False),
    Column("name", Text, nullable=False),
    Column("arn", Text),
    Column("parent", Text),
    Column("status", String(64)),
    Column("created", Float, nullable=False),
    Column("modified", Float, nullable=False),
    Column("document", JSON, nullable=False),
    UniqueConstraint("kind", "name"),
    Index("resource_by_arn", "arn"),
    Index("resource_by_creation", "kind", "created", "sequence"),
    Index("resource_by_modification", "kind", "modified", "sequence"),
    Index("resource_by_parent", "kind", "parent", "created", "sequence"),
    Index("resource_by_status", "kind", "status", "created", "sequence"),
)

tag_table = Table(
    "tag",
    metadata,
    Column("arn", Text, primary_key=True),
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
    Column("position", Integer, nullable=False),
)

stream_table = Table(
    "stream",
    metadata,
    Column("name", String(255), primary_key=True),
    Column("kind", String(64), nullable=False),
    Column("version", Integer, nullable=False),
    Column("ended", Boolean, nullable=False),
    Column("owner", String(64)),
    Column("lease_until", Float, nullable=False),
    Index("stream_open", "ended", "lease_until"),
)

event_table = Table(
    "event",
    metadata,
    Column("stream", String(255), primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("kind", String(64), nullable=False),
    Column("time", Float, nullable=False),
    Column("data", JSON, nullable=False),
    sqlite_with_rowid=False,
)

log_stream_table = Table(
    "log_stream",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("log_group", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("created", Float, nullable=False),
    Column("first_event", BigInteger),
    Column("last_event", BigInteger),
    Column("last_ingestion", BigInteger),
    Column("stored_bytes", BigInteger, nullable=False, default=0),
    UniqueConstraint("log_group", "name"),
    Index("log_stream_by_event", "log_group", "last_event", "name"),
)

log_event_table = Table(
    "log_event",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("stream", Integer, nullable=False),
    Column("time", BigInteger, nullable=False),
    Column("ingested", BigInteger, nullable=False),
    Column("message", Text, nullable=False),
    Index("log_event_by_time", "stream", "time", "id"),
)

metric_series_table = Table(
    "metric_series",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("namespace", Text, nullable=False),
    Column("name", Text, nullable=False),
    Column("dimensions", Text, nullable=False),
    Column("unit", String(32), nullable=False),
    Column("last", BigInteger, nullable=False),
    UniqueConstraint("namespace", "name", "dimensions", "unit"),
)

metric_bucket_table = Table(
    "metric_bucket",
    metadata,
    Column("series", Integer, primary_key=True, autoincrement=False),
    Column("width", Integer, primary_key=True),
    Column("time", BigInteger, primary_key=True),
    Column("samples", Float, nullable=False),
    Column("total", Float, nullable=False),
    Column("low", Float, nullable=False),
    Column("high", Float, nullable=False),
    Column("histogram", Text, nullable=False),
    Index("metric_bucket_by_age", "width", "time"),
    sqlite_with_rowid=False,
)

ended_session_table = Table(
    "ended_session",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("until", Float, nullable=False),
)

audit_table = Table(
    "audit",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("time", Float, nullable=False),
    Column("user", Text, nullable=False),
    Column("source", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("resource_type", Text, nullable=False),
    Column("resource_name", Text, nullable=False),
    Column("access_key", String(32), nullable=False),
    Column("read_only", Boolean, nullable=False),
    Column("record", JSON, nullable=False),
    Index("audit_by_time", "time", "id"),
    Index("audit_by_user", "user", "time"),
    Index("audit_by_operation", "operation", "time"),
    Index("audit_by_resource", "resource_name", "time"),
)


@dataclass
class Transaction:
    """One open transaction."""

    connection: Connection
    _after_commit: list[Callable[[], None]] = field(default_factory=list)
    _changed: dict[tuple[str, str], None] = field(default_factory=dict)

    def execute(self, statement: Executable, parameters: Any = None) -> Any:
        return self.connection.execute(statement, parameters)

    def first(self, statement: Executable, parameters: Any = None) -> Row[Any] | None:
        return self.connection.execute(statement, parameters).first()

    def changed(self, kind: str, name: str) -> None:
        """Say that the resource was inserted, replaced or deleted: whoever subscribed is told after the commit."""
        self._changed[kind, name] = None

    def after_commit(self, action: Callable[[], None]) -> None:
        """Do it when, and only when, this transaction has been committed."""
        self._after_commit.append(action)


class Database:
    """The connections to one metadata database. Safe to use from many threads.

    Raises ConfigurationError when it can't be opened or was made by a newer Modelwright.
    """

    def __init__(self, url: str) -> None:
        self._sqlite = url.startswith("sqlite")
        self._writer = threading.Lock()
        self._subscribers: list[Callable[[str, str], None]] = []
        self._engine = self._connect(url)
        try:
            self._migrate()
        except SQLAlchemyError as error:
            raise ConfigurationError(f"The metadata database {url!r} can't be used: {error}") from error

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """One transaction; commits at the end of the block, rolls back when the block raises."""
        actions: list[Callable[[], None]] = []
        changed: dict[tuple[str, str], None] = {}
        with self._writer if self._sqlite else _nothing(), self._engine.connect() as connection, connection.begin():
            if self._sqlite:
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield Transaction(connection, actions, changed)
        for action in actions:
            action()
        for kind, name in changed:
            for told in self._subscribers:
                told(kind, name)

    def subscribe(self, told: Callable[[str, str], None]) -> None:
        """`told(kind, name)` after every commit that changed this resource. It must return at once."""
        self._subscribers.append(told)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """One consistent view of what is committed."""
        with self._engine.connect() as connection, connection.begin():
            if self._sqlite:
                connection.exec_driver_sql("BEGIN")
            yield Transaction(connection)

    def close(self) -> None:
        self._engine.dispose()

    def _migrate(self) -> None:
        with self.write() as transaction:
            metadata.create_all(transaction.connection)
            found = transaction.first(select(schema_table.c.version))
            if found is None:
                transaction.execute(insert(schema_table), {"version": SCHEMA_VERSION})
            elif found.version > SCHEMA_VERSION:
                raise ConfigurationError(
                    f"The database was made by a newer Modelwright (schema {found.version}, this one knows "
                    f"{SCHEMA_VERSION}). Upgrade Modelwright, or choose another home folder."
                )

    def _connect(self, url: str) -> Engine:
        try:
            parsed = make_url(url)
            if self._sqlite and parsed.database:
                Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
            engine = create_engine(parsed, pool_size=32, max_overflow=64)
        except Exception as error:
            raise ConfigurationError(f"The metadata database {url!r} can't be used: {error}") from error
        if self._sqlite:
            event.listen(engine, "connect", _prepare_sqlite)
        return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves: the driver's own comes too late for IMMEDIATE
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=30000", "cache_size=-32000"):
        connection.execute(f"PRAGMA {pragma}")


@contextmanager
def _nothing() -> Iterator[None]:
    yield
