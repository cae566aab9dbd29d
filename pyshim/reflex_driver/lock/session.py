"""What a kind of database has to offer for a lock, and the connection that holds one."""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import sys
import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import create_engine, make_url
from sqlalchemy.pool import NullPool

from ..progress import duration, pause

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime

    from alembic.runtime.migration import MigrationContext
    from sqlalchemy.engine import Connection, Engine
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

# Names a direct connection for the lock, where the migration's own goes through a pooler.
LOCK_URL = "REFLEX_DB_LOCK_URL"

# For the pool of a lock's connection: what the project's logs show is its own.
_SILENT = logging.Logger(__name__)
_SILENT.disabled = True

_DIRECT = f"{LOCK_URL} can name another way to the same server; --no-lock goes without"


class LockError(Exception):
    """A lock is not held, and the run ends. `kind` is that of failure.Outcome."""

    kind = "database"


class HeldError(LockError):
    """Another migration did not give the lock back in time."""

    kind = "locked"

    def __init__(self, holder: Holder, waited: float) -> None:
        how = f"and did not end within {duration(waited)} (--lock-timeout)"
        if waited == 0:
            how = "and --lock-timeout is 0"
        super().__init__(f"another migration of this database runs, {how}; it is held by {holder}")


class UnreachableError(LockError):
    """The lock can't be asked for."""

    def __init__(self, reason: object) -> None:
        super().__init__(f"the connection for the migration lock failed: {reason}. {_DIRECT}")


class PoolerError(LockError):
    """A pooler gives the connection to others, on which a session's lock would stay behind."""

    def __init__(self) -> None:
        super().__init__(
            "the database is reached through a pooler in transaction mode, where the migration "
            f"lock would be left behind on a shared connection. Set {LOCK_URL} to a URL that goes "
            "straight to PostgreSQL, or use --no-lock if nothing else migrates this database"
        )


class LostError(LockError):
    """The lock was held and is no more."""

    kind = "failed"

    def __init__(self, reason: str) -> None:
        super().__init__(
            "the migration lock was lost, so the run was stopped before its next commit: " + reason
        )


class NoLockError(Exception):
    """The database has no lock, for the reason given; the run goes on without."""


@dataclass(frozen=True)
class Place:
    """What a lock is of."""

    server: str  # the same for two connections to one server, or SQLite file
    key: str  # of the version table, as the server knows it
    name: str  # of it, for people

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Holder:
    """Who holds a lock, as far as the database tells."""

    description: str
    pid: int | None = None  # on the server
    application: str | None = None  # with its host and process
    address: str | None = None
    since: datetime | None = None

    def __str__(self) -> str:
        return self.description


NOBODY = Holder("a connection that has just ended")


class Kind(Protocol):
    """The functions of a module of this package, one for each kind of database."""

    def place(self, connection: Connection, context: MigrationContext) -> Place | None:
        """What is to be locked, asked on the migration's connection.

        None where there is nobody to keep out. Raises NoLockError.
        """

    def open(self, connection: Connection, place: Place) -> Session:
        """A session of its own; raises LockError or NoLockError."""

    def holder(self, connection: Connection, place: Place) -> Holder | None:
        """Who holds the lock, asked on the migration's connection."""


class Session(ABC):
    """What holds the locks of a run on one server."""

    def __init__(self) -> None:
        self.keys: set[str] = set()

    @abstractmethod
    def take(self, key: str) -> bool:
        """Try once; whether the lock is held now."""

    @abstractmethod
    def holder(self, key: str) -> Holder:
        """Who holds a lock that could not be taken."""

    def holds(self, keys: set[str]) -> bool:  # noqa: ARG002
        """Whether all are held still. May raise what the driver raises."""
        return True

    def waiting(self, connection: Connection) -> AbstractContextManager[None]:  # noqa: ARG002
        """Around the wait, for what the migration's connection needs meanwhile."""
        return contextlib.nullcontext()

    def sleep(self, longest: float) -> None:
        """Wait, on the thread of the migration."""
        pause(longest, is_async=False)

    @abstractmethod
    def close(self) -> None:
        """Give the locks back."""

    def release(self) -> None:
        """The same, where the process goes on."""
        self.close()

    @abstractmethod
    def abandon(self) -> None:
        """In a forked child: make the parent's descriptors harmless."""


class SQLSession(Session):
    """A session of a server, on a connection of its own in autocommit."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        direct = os.environ.get(LOCK_URL, "").strip()
        self.direct = bool(direct)
        self._is_async = connection.dialect.is_async
        self._engine = _same_driver(direct, connection.engine) if direct else connection.engine
        self._migrations = connection.connection.driver_connection
        before = _sockets()
        self._fairy = self.connect()
        self._descriptors = _sockets() - before

    def connect(self) -> PoolProxiedConnection:
        """A new connection by the Engine's creator and events, in no pool of the project's."""
        pool = self._engine.pool
        # As Pool.recreate() does it, but for its log.
        dialect = self._engine.dialect

        def create(rec: ConnectionPoolEntry) -> DBAPIConnection:
            made = pool._invoke_creator(rec)
            if dialect.get_driver_connection(made) is self._migrations:
                raise NoLockError("this Engine has one connection only, which is the migration's")
            return made

        apart = NullPool(create, dialect=dialect, _dispatch=pool.dispatch)
        apart.logger = _SILENT
        try:
            fairy = apart.connect()
            fairy.detach()
            assert fairy.dbapi_connection is not None
            # A listener may have left a transaction open, in which no driver takes the next.
            fairy.rollback()
            dialect.set_isolation_level(fairy.dbapi_connection, "AUTOCOMMIT")
        except NoLockError:
            raise
        except Exception as exc:
            raise UnreachableError(exc) from exc
        return fairy

    def driver_connection(self) -> Any:
        """The driver's own object; a detached fairy does not give it."""
        assert self._fairy.dbapi_connection is not None
        return self._engine.dialect.get_driver_connection(self._fairy.dbapi_connection)

    def ask(self, sql: str) -> list[Any]:
        """The first row that `sql` returns, on the lock's connection."""
        return ask(self._fairy, sql)

    def sleep(self, longest: float) -> None:
        pause(longest, is_async=self._is_async)

    def close(self) -> None:
        if self._is_async:
            # Its event loop has ended; the server hears of the end of the process.
            warnings.simplefilter("ignore", ResourceWarning)
            return
        with contextlib.suppress(Exception):  # lost, and reported before the last commit
            self._fairy.close()

    def release(self) -> None:
        if self._is_async:  # the server hears of the end of the connection
            self.abandon()
        else:
            self.close()

    def abandon(self) -> None:
        make_harmless(self._descriptors)


def ask(fairy: PoolProxiedConnection, sql: str) -> list[Any]:
    """The first row that `sql` returns, or an empty one; SQLAlchemy does not hear of it."""
    cursor = fairy.cursor()
    try:
        cursor.execute(sql)
        row = cursor.fetchone() if cursor.description else None
        # Bytes are text of an encoding that the driver does not know, or of MySQL's own.
        return [
            value.decode(errors="backslashreplace") if isinstance(value, bytes) else value
            for value in row or ()
        ]
    finally:
        cursor.close()


@contextlib.contextmanager
def aside(connection: Connection) -> Iterator[PoolProxiedConnection]:
    """The migration's own connection, for questions that leave no trace in it.

    A driver begins a transaction with the first of them. It is taken back,
    unless there was one before, of the project's.
    """
    fairy = connection.connection
    begun = has_begun(connection)
    try:
        yield fairy
    finally:
        if not begun:
            fairy.rollback()


def has_begun(connection: Connection) -> bool:
    """Whether the server has a transaction of the project's.

    SQLAlchemy begins one before the driver does, which waits for the first
    statement; and a statement past SQLAlchemy begins one that it has not heard of.
    """
    driver: Any = connection.connection.driver_connection
    info = getattr(driver, "info", None)  # psycopg, psycopg2
    if info is not None and hasattr(info, "transaction_status"):
        return bool(info.transaction_status != 0)
    if hasattr(driver, "is_in_transaction"):  # asyncpg
        return bool(driver.is_in_transaction())
    return bool(getattr(driver, "_in_transaction", connection.in_transaction()))  # pg8000


def version_schema(connection: Connection, context: MigrationContext) -> str | None:
    """The version table's schema, if one is named, as SQLAlchemy translates it."""
    schema = context.version_table_schema
    translated: dict[str | None, str | None]
    translated = connection.get_execution_options().get("schema_translate_map") or {}
    return translated.get(schema, schema)


def _same_driver(url: str, engine: Engine) -> Engine:
    try:
        direct = make_url(url).set(drivername=engine.url.drivername)
        if engine.dialect.is_async:
            from sqlalchemy.ext.asyncio import create_async_engine

            return create_async_engine(direct, poolclass=NullPool).sync_engine
        return create_engine(direct, poolclass=NullPool)
    except Exception as exc:
        raise UnreachableError(f"{LOCK_URL}: {exc}") from exc


def running_loop() -> object:
    """The event loop that this is called in, if any; asyncio is not imported for it."""
    asyncio = sys.modules.get("asyncio")
    return asyncio and asyncio._get_running_loop()


def _sockets() -> set[int]:
    """The process's sockets. A driver does not tell which are its own."""
    found: set[int] = set()
    with contextlib.suppress(OSError):  # no /proc is mounted
        for name in os.listdir("/dev/fd"):
            with contextlib.suppress(OSError):  # that of the listing itself
                if stat.S_ISSOCK(os.fstat(int(name)).st_mode):
                    found.add(int(name))
    return found


def make_harmless(descriptors: set[int]) -> None:
    """Lead a forked child's descriptors to nowhere.

    Were they closed, another file could get the number, and what the driver
    writes when it is finalized.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(null, descriptor, inheritable=False)
    os.close(null)


def process_name() -> str:
    """How a lock's connection is called on the server."""
    node = "".join(c for c in os.uname().nodename if c.isalnum() or c in "-.")
    return f"reflex db lock ({node}, pid {os.getpid()})"
