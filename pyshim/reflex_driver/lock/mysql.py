"""MySQL and MariaDB: GET_LOCK, which the server drops with its connection.

Such a lock is of the whole server, so its name holds the database's. On a
cluster (Galera, group replication) it is of one node.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from .session import (
    NOBODY,
    Holder,
    Place,
    SQLSession,
    UnreachableError,
    ask,
)

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy.engine import Connection

# Neither of the two tells it by one name.
_SERVER = "SELECT CONCAT_WS(' ', @@hostname, @@port, @@server_id, @@datadir)"

_NAME_LIMIT = 64  # of a lock's name, in characters


def place(connection: Connection, context: MigrationContext) -> Place:
    """See session.Kind. A table that no schema is named for is in the connection's database."""
    # No transaction begins here for a statement that reads no table.
    database = ask(connection.connection, "SELECT DATABASE()")[0]
    server = ask(connection.connection, _SERVER)[0]
    schema = context.version_table_schema or database or ""
    digest = hashlib.sha256(f"{schema}\0{context.version_table}".encode()).hexdigest()
    key = f"reflex db {digest}"[:_NAME_LIMIT]
    return Place(
        server=_text(server),
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
            if self.direct and _text(self.ask(_SERVER)[0]) != place.server:
                raise UnreachableError("REFLEX_DB_LOCK_URL leads to another server")
            # Its longest: the connection idles while the migrations run.
            self.ask("SET SESSION wait_timeout = 31536000")
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


def _holder_query(key: str) -> str:
    return f"""
        SELECT id, user, host FROM information_schema.processlist
        WHERE id = IS_USED_LOCK('{key}')"""


def _holder(row: list[Any]) -> Holder | None:
    if not row:
        return None
    pid, user, host = int(row[0]), _text(row[1]), _text(row[2])
    return Holder(f"connection {pid} of {user}, from {host}", pid, None, host)


def _text(value: Any) -> str:
    """Some drivers give the server's own strings as bytes."""
    return value.decode() if isinstance(value, bytes) else str(value)
