"""PostgreSQL: an advisory lock of a session, which the server drops with its connection."""

from __future__ import annotations

import contextlib
import hashlib
from typing import TYPE_CHECKING, Any

from .session import (
    LOCK_URL,
    NOBODY,
    Holder,
    NoLockError,
    Place,
    PoolerError,
    SQLSession,
    UnreachableError,
    aside,
    ask,
    has_begun,
    process_name,
    version_schema,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.runtime.migration import MigrationContext
    from sqlalchemy.engine import Connection

# A replica has the same oid, and was started at another time, which everybody may read.
_SERVER = """(
    SELECT oid || ' since '
        || to_char(pg_postmaster_start_time() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')
    FROM pg_database WHERE datname = current_database())"""

# What speaks PostgreSQL's protocol and gives the same lock to everybody, or to nobody.
_OTHERS = {"CockroachDB": "CockroachDB", "-YB-": "YugabyteDB"}

# The server ends a connection that idles for longer than these allow.
_IDLE, _IDLE_IN_TRANSACTION = "idle_session_timeout", "idle_in_transaction_session_timeout"

# A pooler hands out the connection that was used last, mostly.
_TRIES = 5


def place(connection: Connection, context: MigrationContext) -> Place:
    """See session.Kind. A table that no schema is named for is where search_path leads."""
    schema = version_schema(connection, context)
    with aside(connection) as fairy:
        refuse_others(str(ask(fairy, "SELECT version()")[0]))
        server, database, default_schema = ask(
            fairy,
            f"SELECT {_SERVER}, current_database(), {_schema_of(context.version_table)}",
        )
    schema = schema or default_schema
    text = f"reflex db\0{database}\0{schema}\0{context.version_table}"
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)
    name = f"PostgreSQL's advisory lock {number}, of {database}.{schema}.{context.version_table}"
    return Place(server=str(server), key=str(number), name=name)


def _schema_of(table: str) -> str:
    """Where the table is, or will be. In hexadecimal, because quoting depends on settings."""
    name = f"convert_from(decode('{table.encode().hex()}', 'hex'), 'UTF8')"
    return f"""coalesce(
        (SELECT nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
         WHERE c.oid = to_regclass(quote_ident({name}))),
        current_schema())"""


def refuse_others(version: str) -> None:
    """Raise NoLockError for a server that only resembles PostgreSQL."""
    for mark, name in _OTHERS.items():
        if mark in version:
            raise NoLockError(f"{name} has no advisory locks that lock")


def open(connection: Connection, place: Place) -> PostgreSQLSession:  # noqa: A001
    """See session.Kind."""
    return PostgreSQLSession(connection, place)


def holder(connection: Connection, place: Place) -> Holder | None:
    """See session.Kind."""
    with aside(connection) as fairy:
        return _holder(ask(fairy, _holder_query(place.key)))


class PostgreSQLSession(SQLSession):
    """One connection, of any driver, for all the keys of a run."""

    def __init__(self, connection: Connection, place: Place) -> None:
        super().__init__(connection)
        try:
            # First, so that nothing is set on a connection that others share.
            self._refuse_pooler()
            # The keepalives are for what lies between, such as a NAT that forgets who idles.
            server = self.ask(f"""
                SELECT {_SERVER},
                    set_config('application_name', '{process_name()}', false),
                    set_config('statement_timeout', '0', false),
                    set_config('tcp_keepalives_idle', '60', false),
                    CASE WHEN current_setting('{_IDLE}', true) IS NOT NULL  -- since 14
                        THEN set_config('{_IDLE}', '0', false) END""")[0]
            if server != place.server:  # a URL of several hosts may lead to one now, another then
                way = LOCK_URL if self.direct else "it"
                raise UnreachableError(
                    f"{way} leads to another server or database than the migration's"
                )
        except Exception as exc:
            self.close()
            if isinstance(exc, PoolerError | UnreachableError):
                raise
            raise UnreachableError(exc) from exc

    def _refuse_pooler(self) -> None:
        """Raise PoolerError if the server's connection is given to others between transactions.

        A pooler makes up the process id that it tells its client; without one
        it is the server's own, and nothing more is asked. With one, a second
        client opens transactions: if it is given the server process that this
        connection has just used, or if this one is given another than before,
        the server's connections are shared.
        """
        ours = self.ask("SELECT pg_backend_pid()")[0]
        if ours == _told_pid(self.driver_connection()):
            return
        other = self.connect()
        try:
            for _ in range(_TRIES):
                theirs = ask(other, "SELECT pg_backend_pid()")[0]
                now = self.ask("SELECT pg_backend_pid()")[0]
                if now != ours or theirs == ours:
                    raise PoolerError
        finally:
            other.close()

    def take(self, key: str) -> bool:
        return bool(self.ask(f"SELECT pg_try_advisory_lock({key})")[0])

    def holder(self, key: str) -> Holder:
        return _holder(self.ask(_holder_query(key))) or NOBODY

    def holds(self, keys: set[str]) -> bool:
        numbers = ", ".join(sorted(keys))
        held = self.ask(f"""
            SELECT count(*) FROM pg_locks
            WHERE locktype = 'advisory' AND granted AND pid = pg_backend_pid() AND objsubid = 1
            AND (classid::bigint << 32) | objid::bigint IN ({numbers})""")
        return bool(held[0] == len(keys))

    @contextlib.contextmanager
    def waiting(self, connection: Connection) -> Iterator[None]:
        """Keep the server from ending the migration's connection, which idles meanwhile."""
        if self.direct:  # a pooler would give the setting to others
            yield
            return
        name = _IDLE_IN_TRANSACTION if has_begun(connection) else _IDLE
        with aside(connection) as fairy:
            limit = ask(fairy, f"SELECT current_setting('{name}', true)")[0]
        if limit in (None, "0"):
            yield
            return
        _set(connection, name, "0")
        yield
        _set(connection, name, str(limit))


def _set(connection: Connection, name: str, value: str) -> None:
    """Set a parameter, in the project's transaction or for its session."""
    fairy = connection.connection
    local = has_begun(connection)
    ask(fairy, f"SELECT set_config('{name}', '{value}', {str(local).lower()})")
    if not local:
        fairy.commit()


def _told_pid(driver: Any) -> int | None:
    """The server's process id as the connection was told it; None if the driver does not say."""
    if hasattr(driver, "get_server_pid"):  # asyncpg
        return int(driver.get_server_pid())
    info = getattr(driver, "info", None)  # psycopg, psycopg2
    pid = getattr(info, "backend_pid", None)
    return int(pid) if pid else None


def _holder_query(key: str) -> str:
    return f"""
        SELECT l.pid, a.application_name, host(a.client_addr), a.backend_start
        FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
        WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
        AND (l.classid::bigint << 32) | l.objid::bigint = {key}
        AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"""


def _holder(row: list[Any]) -> Holder | None:
    if not row:
        return None
    pid, application, address, since = row
    description = f'pid {pid}, "{application or ""}"'
    if since is not None:  # else it is another role's, of which the server tells no more
        since = since.astimezone()
        description += f", from {address or 'a local socket'}, since {since:%H:%M:%S}"
    return Holder(description, pid, application, address, since)
