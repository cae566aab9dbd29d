"""MySQL and MariaDB: GET_LOCK, which the server drops with its connection.

Such a lock is of the whole server, so its name holds the database's. On a
cluster (Galera, group replication) it is of one node.
"""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING, Any

from .session import (
    LOCK_URL,
    NOBODY,
    Holder,
    Place,
    SQLSession,
    UnreachableError,
    ask,
    version_schema,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.runtime.migration import MigrationContext
    from sqlalchemy.engine import Connection

# Neither of the two tells it by one name.
_SERVER = "SELECT CONCAT_WS(' ', @@hostname, @@port, @@server_id, @@datadir)"

_NAME_LIMIT = 64  # of a lock's name, in characters
_LONGEST = 31536000  # of wait_timeout, in seconds: the server ends what idles for longer


def place(connection: Connection, context: MigrationContext) -> Place:
    """See session.Kind. A table that no schema is named for is in the connection's database."""
    # No transaction begins here for a statement that reads no table.
    database = ask(connection.connection, "SELECT DATABASE()")[0]
    server = ask(connection.connection, _SERVER)[0]
    schema = version_schema(connection, context) or database or ""
    digest = hashlib.sha256(f"{schema}\0{context.version_table}".encode()).hexdigest()
    key = f"reflex db {digest}"[:_NAME_LIMIT]
    return Place(
        server=server,
        key=key,
        name=f"GET_LOCK('{key}'), of {schema}.{context.version_table}",
    )


def open(connection: Connection, place: Place) -> MySQLSession:  # noqa: A001
    """See session.Kind."""
    return MySQLSession(connection, place)


def holder(connection: Connection, place: Place) -> Holder | None:
    """See session.Kind."""
    return _holder(ask(connection.connection, _holder_query(place.key)))


class MySQLSession(SQLSession):
    """One connection, of any driver, for all the keys of a run."""

    def __init__(self, connection: Connection, place: Place) -> None:
        super().__init__(connection)
        try:
            if self.ask(_SERVER)[0] != place.server:
                way = LOCK_URL if self.direct else "it"
                raise UnreachableError(f"{way} leads to another server than the migration's")
            self.ask(f"SET SESSION wait_timeout = {_LONGEST}")
        except Exception as exc:
            self.close()
            if isinstance(exc, UnreachableError):
                raise
            raise UnreachableError(exc) from exc

    def take(self, key: str) -> bool:
        return bool(self.ask(f"SELECT GET_LOCK('{key}', 0)")[0])

    def holder(self, key: str) -> Holder:
        return _holder(self.ask(_holder_query(key))) or NOBODY

    def holds(self, keys: set[str]) -> bool:
        ours = " AND ".join(f"IS_USED_LOCK('{key}') <=> CONNECTION_ID()" for key in sorted(keys))
        return bool(self.ask(f"SELECT {ours}")[0])

    @contextlib.contextmanager
    def waiting(self, connection: Connection) -> Iterator[None]:
        """Keep the server from ending the migration's connection, which idles meanwhile."""
        fairy = connection.connection
        limit = ask(fairy, "SELECT @@SESSION.wait_timeout")[0]
        ask(fairy, f"SET SESSION wait_timeout = {_LONGEST}")
        yield
        ask(fairy, f"SET SESSION wait_timeout = {limit}")


def _holder_query(key: str) -> str:
    """The process list shows those of other users to who has the privilege PROCESS."""
    return f"""
        SELECT used.id, process.user, process.host
        FROM (SELECT IS_USED_LOCK('{key}') AS id) AS used
        LEFT JOIN information_schema.processlist AS process ON process.id = used.id
        WHERE used.id IS NOT NULL"""


def _holder(row: list[Any]) -> Holder | None:
    if not row:
        return None
    pid, user, host = row
    description = f"connection {pid}"
    if user is not None:
        description += f" of {user}, from {host}"
    return Holder(description, int(pid), None, host)
