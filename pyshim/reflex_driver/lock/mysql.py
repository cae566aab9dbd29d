"""MySQL and MariaDB: GET_LOCK, which the server drops with its connection.

Such a lock is of the whole server, so its name holds the database's. On a
cluster (Galera, group replication) it is of one node.
"""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING, Any

from ..progress import duration
from .connection import OwnConnection, SQLSession
from .errors import LOCK_URL, LockError, UnreachableError
from .protocol import NOBODY, Holder, Place
from .questions import ask, version_schema

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.runtime.migration import MigrationContext
    from sqlalchemy.engine import Connection
    from sqlalchemy.pool import PoolProxiedConnection

# Neither of the two tells it by one name.
_SERVER = "SELECT CONCAT_WS(' ', @@hostname, @@port, @@server_id, @@datadir)"

_NAME_LIMIT = 64  # of a lock's name, in characters
_LONGEST = 31536000  # of wait_timeout, in seconds: the server ends what idles for longer


def place(connection: Connection, context: MigrationContext) -> Place:
    """See protocol.Kind. A table that no schema is named for is in the connection's database."""
    # No transaction begins for a statement that reads no table.
    question = f"SELECT DATABASE(), ({_SERVER}), CONNECTION_ID()"
    answer = _ask_migrations(connection, question)
    if answer is None:  # then by one more connection
        apart = OwnConnection(connection)
        answer = apart.ask(question)
        apart.discard()
    database, server, backend = answer
    schema = version_schema(connection, context) or database or ""
    digest = hashlib.sha256(f"{schema}\0{context.version_table}".encode()).hexdigest()
    key = f"reflex db {digest}"[:_NAME_LIMIT]
    return Place(
        server=server,
        key=key,
        name=f"GET_LOCK('{key}'), of {schema}.{context.version_table}",
        backend=str(backend) if backend == _told_id(connection) else "",
    )


def open(connection: Connection, place: Place) -> MySQLSession:  # noqa: A001
    """See protocol.Kind."""
    return MySQLSession(connection, place)


def holder(connection: Connection, place: Place) -> Holder | None:
    """See protocol.Kind."""
    return _holder(_ask_migrations(connection, _holder_query(place.key)) or [])


class MySQLSession(SQLSession):
    """One connection, of any driver, for all the keys of a run."""

    def __init__(self, connection: Connection, place: Place) -> None:
        super().__init__(connection)
        try:
            if self.ask(_SERVER)[0] != place.server:
                where = LOCK_URL if self.by_url else "it"
                reason = f"{where} leads to another server than the migration's"
                raise UnreachableError(reason, by_url=self.by_url)
            self.ask(f"SET SESSION wait_timeout = {_LONGEST}")
        except LockError:
            self.discard()
            raise
        except Exception as exc:
            self.discard()
            raise UnreachableError(exc, by_url=self.by_url) from exc

    def take(self, key: str) -> bool:
        return bool(self.ask(f"SELECT GET_LOCK('{key}', 0)")[0])

    def holder(self, key: str) -> Holder:
        return _holder(self.ask(_holder_query(key))) or NOBODY

    def holds(self) -> bool:
        ours = " AND ".join(f"IS_USED_LOCK('{key}') <=> CONNECTION_ID()" for key in self.keys)
        return bool(self.ask(f"SELECT {ours}")[0])

    def in_the_way(self) -> str:
        """Where performance_schema is on and watches metadata locks, as MySQL's does."""
        return _blocker(self.ask_apart(_blocker_query(self.backends))) if self.backends else ""

    @contextlib.contextmanager
    def waiting(self, connection: Connection) -> Iterator[None]:
        """Keep the server from ending the migration's connection, which idles meanwhile."""
        answer = _ask_migrations(connection, "SELECT @@SESSION.wait_timeout")
        if answer is None:
            yield
            return
        _ask_migrations(connection, f"SET SESSION wait_timeout = {_LONGEST}")
        yield
        _ask_migrations(connection, f"SET SESSION wait_timeout = {answer[0]}")

    def _end_backends(self, fairy: PoolProxiedConnection) -> None:
        for backend in self.backends:
            driver: Any = self._engine.dialect.dbapi  # loaded_dbapi since SQLAlchemy 2.0
            with contextlib.suppress(driver.Error):  # it has ended
                ask(fairy, f"KILL {backend}")


def _ask_migrations(connection: Connection, sql: str) -> list[Any] | None:
    """The first row of an answer on the migration's connection.

    None if a result of the project's may be open whose rows are still to come. It has the
    connection for itself: PyMySQL, aiomysql and asyncmy would throw the rows away, and with
    mysqlclient they could not be read any more.
    """
    fairy = connection.connection
    driver: Any = fairy.driver_connection
    mysqlclient = hasattr(driver, "field_count")
    # After a SELECT mysqlclient does not tell whether its rows have been read.
    if (mysqlclient and driver.field_count()) or getattr(
        getattr(driver, "_result", None), "unbuffered_active", False
    ):
        return None
    answer = ask(fairy, sql)
    if mysqlclient:
        ask(fairy, "DO 0")  # which is no SELECT
    return answer


def _told_id(connection: Connection) -> int | None:
    """The number that the driver was told when it connected; None if it does not say."""
    told = getattr(connection.connection.driver_connection, "thread_id", None)
    return int(told()) if callable(told) else None


def _holder_query(key: str) -> str:
    """The process list shows those of other users to who has the privilege PROCESS."""
    return f"""
        SELECT used.id, process.user, process.host
        FROM (SELECT IS_USED_LOCK('{key}') AS id) AS used
        LEFT JOIN information_schema.processlist AS process ON process.id = used.id
        WHERE used.id IS NOT NULL"""


def _blocker_query(backends: set[str]) -> str:
    """Who has what one of these connections waits for.

    (https://dev.mysql.com/doc/refman/8.4/en/performance-schema-metadata-locks-table.html).
    """
    return f"""
        SELECT held.object_name, holder.processlist_id, holder.processlist_user,
            holder.processlist_host, holder.processlist_command, holder.processlist_time
        FROM performance_schema.threads AS mine
        JOIN performance_schema.metadata_locks AS wanted
            ON wanted.owner_thread_id = mine.thread_id AND wanted.lock_status = 'PENDING'
        JOIN performance_schema.metadata_locks AS held
            ON held.object_type = wanted.object_type AND held.object_schema = wanted.object_schema
            AND held.object_name = wanted.object_name AND held.lock_status = 'GRANTED'
            AND held.owner_thread_id <> mine.thread_id
        JOIN performance_schema.threads AS holder ON holder.thread_id = held.owner_thread_id
        WHERE mine.processlist_id IN ({", ".join(sorted(backends))})
        ORDER BY holder.processlist_time DESC LIMIT 1"""


def _blocker(row: list[Any]) -> str:
    if not row:
        return ""
    table, connection, user, host, command, seconds = row
    text = f"waiting for table {table}: held by connection {connection}"
    if user is not None:
        text += f" of {user}@{host}, {str(command).lower()} for {duration(float(seconds or 0))}"
    return text


def _holder(row: list[Any]) -> Holder | None:
    if not row:
        return None
    pid, user, host = row
    description = f"connection {pid}"
    if user is not None:
        description += f" of {user}, from {host}"
    return Holder(description, int(pid), None, host)
