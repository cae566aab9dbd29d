"""PostgreSQL: an advisory lock of a session, which the server drops with its connection."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .. import refusal
from ..progress import duration, say
from ..sockets import limited, opened_from_now_on
from .connection import SQLSession, close
from .errors import LOCK_URL, LockError, NoLockError, PoolerError, UnreachableError
from .loops import running_loop
from .protocol import NOBODY, UNKNOWN, Holder, Place
from .questions import ask, has_begun, unnoticed, version_schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from alembic.runtime.migration import MigrationContext
    from sqlalchemy.engine import Connection
    from sqlalchemy.pool import PoolProxiedConnection

# A replica has the same databases, and was started at another time, which everybody may read.
_MOMENT = "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"  # whatever the settings
_START = _MOMENT.format("pg_postmaster_start_time()")
_BACKEND_START = _MOMENT.format("backend_start")
_DATABASE = "(SELECT oid::text FROM pg_database WHERE datname = current_database())"
_READABLE = "has_table_privilege('pg_catalog.pg_locks', 'SELECT')"

# What speaks PostgreSQL's protocol and gives the same lock to everybody, or to nobody.
_OTHERS = {"CockroachDB": "CockroachDB", "-YB-": "YugabyteDB"}

# The server ends a connection that idles for longer than these allow.
_IDLE, _IDLE_IN_TRANSACTION = "idle_session_timeout", "idle_in_transaction_session_timeout"

# SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html).
_MAY_NOT = "42501"

# A pooler hands out the connection that was used last, mostly.
_TRIES = 5
_POOLER_LIMIT = 5.0  # for a third connection, in seconds

# Statements that fail, or that end the lock, while the lock is held from the same database.
# They have one of two words. A search for these is much quicker than the pattern, which tries
# each word of a statement: 2 and 50 µs for a kilobyte.
_ALONE = ("database", "pg_terminate_backend")
_NEEDS_DATABASE_ALONE = re.compile(
    r"\b(CREATE|ALTER|DROP)\s+DATABASE\b|\bpg_terminate_backend\b", re.IGNORECASE
)
_ELSEWHERE = "postgres"  # the database that every server has, for those who need some database
_MOVE_TRIES, _MOVE_PAUSE = 20, 0.1  # another run may have the lock there for a moment


def place(connection: Connection, context: MigrationContext) -> Place:
    """See protocol.Kind. A table that no schema is named for is where search_path leads."""
    schema = version_schema(connection, context)
    with unnoticed(connection) as fairy:
        version, start, oid, database, default_schema, readable, backend, since = ask(
            fairy,
            f"""
            SELECT version(), {_START}, {_DATABASE}, current_database(),
                {_schema_of(context.version_table)}, {_READABLE}, pg_backend_pid(),
                (SELECT {_BACKEND_START} FROM pg_stat_get_activity(pg_backend_pid()))""",
        )
    refuse_others(str(version))
    schema = schema or default_schema
    text = f"reflex db\0{database}\0{schema}\0{context.version_table}"
    number = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big", signed=True)
    name = f"PostgreSQL's advisory lock {number}, of {database}.{schema}.{context.version_table}"
    own = _told_pid(connection.connection.driver_connection) == backend
    return Place(
        server=f"{oid} since {start}",
        key=str(number),
        name=name,
        backend=f"{backend} {since}" if own else "",
        readable=bool(readable),
    )


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
    """See protocol.Kind."""
    return PostgreSQLSession(connection, place)


def holder(connection: Connection, place: Place) -> Holder | None:
    """See protocol.Kind."""
    if not place.readable:
        return None
    with unnoticed(connection) as fairy:
        found = _holder(ask(fairy, _holder_query(place.key)))
        if found is None or found.pid is None:
            return found
        return replace(found, waits=_blocker(ask(fairy, _blocker_query(_marked(found.pid)))))


class PostgreSQLSession(SQLSession):
    """One connection, of any driver, for all the keys of a run.

    An advisory lock is of the database in which it is taken. The lock is held from the
    migration's database, or from another one of the same server, if REFLEX_DB_LOCK_URL leads
    there or a statement needs the database alone. Runs that hold it from different databases
    see each other in pg_locks, which has the locks of all.
    """

    def __init__(self, connection: Connection, place: Place) -> None:
        super().__init__(connection)
        self._server = place.server
        self._mark = place.backend.partition(" ")[0]  # the process id that others are told of
        self._readable = place.readable
        self._tried: dict[str, bool] = {}  # what the first question has found
        try:
            self._set_up(connection, place.key if place.readable and not self.by_url else "")
        except LockError:
            self.discard()
            raise
        except Exception as exc:
            self.discard()
            raise UnreachableError(exc, by_url=self.by_url) from exc

    def _set_up(self, connection: Connection | None, key: str = "") -> None:
        """Make sure that this is the migration's server, and no shared session; set it up.

        One question, unless there is a pooler: that makes up the process id that it tells its
        client, and without one it is the server's own. Nothing is set on a session before it
        is known to be nobody else's. With `key` the same question tries that lock, if it leads
        to the migration's database; and it is put without, if this role may not read pg_locks.
        """
        told = _told_pid(self.driver_connection()) or 0
        own = f"pg_backend_pid() = {told}"
        oid, _, migrations_start = self._server.partition(" since ")
        question = f"""
            SELECT pg_backend_pid(), {_START}, {_DATABASE}, {_READABLE},
                CASE WHEN {own} THEN {settings("lock")} END"""
        there = f"{own} AND {_START} = '{migrations_start}' AND {_DATABASE} = '{oid}'"
        taking = f", CASE WHEN {there} THEN {self._taking(key)} END" if key else ""
        try:
            found = self.ask(question + taking)
        except Exception as exc:
            if not taking or refusal.code(exc)[0] != _MAY_NOT:
                raise
            found = self.ask(question)
        self._pid, start, database, self._readable, _, *tried = found
        if tried not in ([], [None]):
            self._tried[key] = tried[0]
        if self._pid != told:
            if connection is not None:
                self._refuse_pooler(connection)
            self.ask(f"SELECT {settings('lock')}")
        where = LOCK_URL if self.by_url else "it"
        if start != migrations_start:  # a URL of several hosts may lead to one now, another then
            raise UnreachableError(
                f"{where} leads to another server than the migration's", by_url=self.by_url
            )
        if database != oid and not self._readable:
            raise UnreachableError(
                f"{where} leads to another database than the migration's, and this role may not "
                "read pg_locks, which tells of a lock that is held from the migration's",
                by_url=self.by_url,
            )
        self._elsewhere = database != oid

    def _refuse_pooler(self, connection: Connection) -> None:
        """Raise PoolerError if the server's session is given to others between transactions.

        Another client of the pooler opens transactions: the migration's connection, or a third
        one, if that is in a transaction or goes another way. If it is given the session that
        the lock's connection has just used, or if that is given another than before, the
        server's sessions are shared.
        """
        if not self.by_url and not has_begun(connection):
            for _ in range(_TRIES):
                with unnoticed(connection) as fairy:
                    theirs = ask(fairy, "SELECT pg_backend_pid()")[0]
                self._refuse_shared(theirs)
            return
        other: PoolProxiedConnection | None = None
        try:
            with limited(_POOLER_LIMIT, opened_from_now_on()):
                other = self.connect()
                for _ in range(_TRIES):
                    self._refuse_shared(ask(other, "SELECT pg_backend_pid()")[0])
        except PoolerError:
            raise
        except Exception:  # noqa: BLE001
            # The pooler has no session left for a third, though the lock's is idle: if that
            # was shared, the third would have been given it.
            self._refuse_shared(0)
        finally:
            if other is not None:
                with contextlib.suppress(Exception):
                    close(other)

    def _refuse_shared(self, theirs: int) -> None:
        with limited(1.0, lambda: self._sockets):
            now = self.ask("SELECT pg_backend_pid()")[0]
        if now != self._pid or theirs == self._pid:
            raise PoolerError

    def take(self, key: str) -> bool:
        """Try once. Two runs that try from different databases may both have to try again."""
        if key in self._tried:
            return self._tried.pop(key)
        return bool(self.ask(f"SELECT {self._taking(key)}")[0])

    def _taking(self, key: str) -> str:
        """The expression that tries."""
        taken = f"pg_try_advisory_lock({key})"
        if not self._readable:
            return taken
        told = f"{_mark(self._mark)} IS NOT NULL" if self._mark and not self.keys else "true"
        # The look comes after the lock: of two runs at once at least one sees the other.
        return f"""CASE WHEN {taken} THEN
            CASE WHEN EXISTS (SELECT {_of_holder(key)} AND l.pid <> pg_backend_pid())
            THEN NOT pg_advisory_unlock({key}) ELSE {told} END
            ELSE false END"""

    def mark(self, backend: str) -> None:
        before, self._mark = self._mark, backend.partition(" ")[0]
        if self._readable and self._mark and not self._elsewhere:
            unmark = f"pg_advisory_unlock({_MARK}, {before}), " if before else ""
            with contextlib.suppress(Exception):  # if it is lost, a commit finds that out
                self.ask(f"SELECT {unmark}{_mark(self._mark)}")

    def holder(self, key: str) -> Holder:
        if not self._readable:
            return UNKNOWN
        return _holder(self.ask(_holder_query(key))) or NOBODY

    def holds(self) -> bool:
        """The locks are held as long as their session exists."""
        return bool(self.ask("SELECT pg_backend_pid()")[0] == self._pid)

    def before(self, statement: str) -> None:
        if self._elsewhere or not self.keys:
            return
        lower = statement.lower()
        if not any(word in lower for word in _ALONE):
            return
        if not _NEEDS_DATABASE_ALONE.search(statement):
            return
        try:
            self._move()
        except Exception as exc:  # noqa: BLE001
            say(
                "The migration lock is held from the migration's database, where it may be in the "
                f"way of what comes now. From the database {_ELSEWHERE} it can't be held: "
                f"{str(exc).strip()}. If the migration fails, set {LOCK_URL} to another database "
                "of the same server, or use --no-lock."
            )
            self._elsewhere = True  # no second attempt

    def _move(self) -> None:
        """Hold every lock from another database, and only then leave the migration's."""
        if not self._readable:
            raise PermissionError("this role may not read pg_locks")
        if self._is_async and running_loop() is not self._loop:
            raise RuntimeError("it is of another event loop")
        old = self._fairy, self._sockets, self._pid
        self._use(self.connect(_ELSEWHERE))
        try:
            self._set_up(None)
            if not self._elsewhere:
                raise ValueError("the connection leads to the migration's database")
            for key in self.keys:
                for _ in range(_MOVE_TRIES):
                    if self.ask(f"SELECT pg_try_advisory_lock({key})")[0]:
                        break
                    self.sleep(_MOVE_PAUSE)
                else:
                    raise TimeoutError("another run has the lock there")
        except BaseException:
            with contextlib.suppress(Exception):
                close(self._fairy)
            self._fairy, self._sockets, self._pid = old
            self._elsewhere = False
            raise
        close(old[0])

    def in_the_way(self) -> str:
        if not self.backends or not self._readable:
            return ""
        pids = ", ".join(f"({backend.partition(' ')[0]})" for backend in self.backends)
        return _blocker(self.ask_apart(_blocker_query(f"VALUES {pids}")))

    def ask_apart(self, sql: str) -> list[Any]:
        return [] if self._elsewhere else super().ask_apart(sql)

    def _end_backends(self, fairy: PoolProxiedConnection) -> None:
        # Of its own role, whatever a listener has SET.
        ask(fairy, "SELECT set_config('role', 'none', false)")
        for backend in self.backends:
            pid, _, since = backend.partition(" ")
            ask(
                fairy,
                f"""SELECT pg_terminate_backend(pid) FROM pg_stat_get_activity({pid})
                WHERE {_BACKEND_START} = '{since}'""",
            )

    @contextlib.contextmanager
    def waiting(self, connection: Connection) -> Iterator[None]:
        """Keep the server from ending the migration's connection, which idles meanwhile."""
        if self.by_url:  # a pooler would give the setting to others
            yield
            return
        name = _IDLE_IN_TRANSACTION if has_begun(connection) else _IDLE
        with unnoticed(connection) as fairy:
            limit = ask(fairy, f"SELECT current_setting('{name}', true)")[0]
        if limit in (None, "0"):
            yield
            with unnoticed(connection) as fairy:
                ask(fairy, "SELECT 1")  # whether it has been ended meanwhile
            return
        _set(connection, name, "0")
        yield
        _set(connection, name, str(limit))


# What a query that reads or writes rows waits for: a table, or a row of it. What else waits
# changes a table itself, or cleans it.
_OF_QUERIES = """(l.mode IN ('AccessShareLock', 'RowShareLock', 'RowExclusiveLock')
    OR l.locktype IN ('transactionid', 'tuple'))"""


def sees(ask: Callable[[str], list[Any]], backends: Sequence[str]) -> bool:
    """Whether the server tells of all these sessions."""
    found: int = ask(f"SELECT count(*) FROM ({_sessions(backends)}) AS mine")[0]
    return found == len(backends)


def waiting_behind(ask: Callable[[str], list[Any]], backends: Sequence[str]) -> list[str]:
    """The queries that wait behind one of the sessions `backends`, whether that waits or not.

    A word for each, which is another one when its session waits with another query. The
    server knows other sessions' queries only as far as it tells this role of them.
    """
    row = ask(f"""
        WITH mine AS ({_sessions(backends)})
        SELECT string_agg(DISTINCT concat(l.pid, '@', extract(epoch FROM a.query_start)), ' ')
        FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid AND a.usesysid IS NOT NULL
        WHERE CASE WHEN NOT l.granted AND {_OF_QUERIES}
            THEN pg_blocking_pids(l.pid) && (SELECT array_agg(pid) FROM mine) END""")
    return str(row[0]).split() if row and row[0] else []


def cancel(ask: Callable[[str], list[Any]], backends: Sequence[str]) -> None:
    """End the statement of each of these sessions that keeps a query waiting."""
    ask(f"""
        SELECT count(pg_cancel_backend(mine.pid)) FROM ({_sessions(backends)}) AS mine
        WHERE EXISTS (SELECT FROM pg_locks l WHERE CASE WHEN NOT l.granted AND {_OF_QUERIES}
            THEN mine.pid = ANY (pg_blocking_pids(l.pid)) END)""")


def _sessions(backends: Sequence[str]) -> str:
    """A query for their process ids. The server gives the same one to another session later."""
    found = (backend.partition(" ") for backend in backends)
    rows = ", ".join(f"({pid}, '{since}')" for pid, _, since in found)
    return f"""SELECT a.pid FROM (VALUES {rows}) AS b (pid, since)
        JOIN pg_stat_activity a ON a.pid = b.pid AND {_BACKEND_START} = b.since"""


def _set(connection: Connection, name: str, value: str) -> None:
    """Set a parameter, in the project's transaction or for its session."""
    fairy = connection.connection
    local = has_begun(connection)
    ask(fairy, f"SELECT set_config('{name}', '{value}', {str(local).lower()})")
    if not local:
        fairy.commit()


def settings(task: str) -> str:
    """An expression that sets a session of ours up.

    The keepalives are for what lies between, such as a NAT that forgets who idles.
    """
    return f"""concat(
        set_config('application_name', '{process_name(task)}', false),
        set_config('statement_timeout', '0', false),
        set_config('tcp_keepalives_idle', '60', false),
        CASE WHEN current_setting('{_IDLE}', true) IS NOT NULL  -- since 14
            THEN set_config('{_IDLE}', '0', false) END)"""


def process_name(task: str = "lock") -> str:
    """How a connection of ours is called on the server."""
    node = "".join(c for c in platform.node() if c.isalnum() or c in "-.")
    return f"reflex db {task} ({node}, pid {os.getpid()})"


def _told_pid(driver: Any) -> int | None:
    """The process id that the driver was told when it connected; None if it does not say."""
    if hasattr(driver, "get_server_pid"):  # asyncpg
        return int(driver.get_server_pid())
    told = getattr(driver, "_backend_key_data", None)  # pg8000
    if told:
        return int.from_bytes(told[:4], "big")
    info = getattr(driver, "info", None)  # psycopg, psycopg2
    pid = getattr(info, "backend_pid", None)
    return int(pid) if pid else None


def _of_holder(key: str) -> str:
    """The rest of a query for who holds a lock, from whatever database."""
    return f"""FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
        AND (l.classid::bigint << 32) | l.objid::bigint = {key}"""


def _holder_query(key: str) -> str:
    return f"""
        SELECT h.pid, a.application_name, host(a.client_addr), a.backend_start
        FROM (SELECT l.pid {_of_holder(key)}) AS h LEFT JOIN pg_stat_activity a USING (pid)"""


def _holder(row: list[Any]) -> Holder | None:
    if not row:
        return None
    pid, application, address, since = row
    description = f'pid {pid}, "{application or ""}"'
    if since is not None:  # else it is another role's, of which the server tells no more
        since = since.astimezone()
        description += f", from {address or 'a local socket'}, since {since:%H:%M:%S}"
    return Holder(description, pid, application, address, since)


# The first half of the name of an advisory lock, which says with its second half whose lock
# the session has that holds it: it is the process id of the migration's own.
_MARK = int.from_bytes(b"rflx", "big")


def _mark(pid: str) -> str:
    return f"pg_try_advisory_lock({_MARK}, {pid})"


def _marked(holder: int) -> str:
    """A query for the process ids of the migration whose lock `holder` has."""
    return f"""SELECT l.objid::bigint::int FROM pg_locks l WHERE l.pid = {holder}
        AND l.locktype = 'advisory' AND l.objsubid = 2 AND l.classid = {_MARK}"""


def _blocker_query(pids: str) -> str:
    """Who keeps one of these sessions waiting, and for what; no row if nobody does.

    Of a session of another role the server does not tell this one the state. A prepared
    transaction has 0 for it (https://www.postgresql.org/docs/current/functions-info.html).
    """
    return f"""
        SELECT (SELECT l.relation::regclass::text FROM pg_locks l
                WHERE l.pid = b.mine AND NOT l.granted LIMIT 1),
            b.pid, a.application_name, a.usename, host(a.client_addr), a.state,
            extract(epoch FROM clock_timestamp() - a.state_change),
            (SELECT count(DISTINCT l.pid) FROM pg_locks l
             WHERE NOT l.granted AND b.mine = ANY (pg_blocking_pids(l.pid)))
        FROM (SELECT mine, unnest(pg_blocking_pids(mine)) AS pid
              FROM ({pids}) AS p (mine)) AS b
        LEFT JOIN pg_stat_activity a ON a.pid = b.pid
        ORDER BY a.backend_start LIMIT 1"""


def _blocker(row: list[Any]) -> str:
    """The sentence for a row of `_blocker_query`."""
    if not row:
        return ""
    relation, pid, application, role, address, state, seconds, behind = row
    what = f"table {relation}" if relation else "another transaction"
    who = "a prepared transaction"
    if pid:
        who = f"pid {pid}"
    if role is not None:
        who += f' "{application}"' if application else ""
        who += f" ({role}"
        if seconds is None:  # a session of a role that this one is no member of
            who += ")"
        else:
            who += f"@{address or 'local socket'}), {state} for {duration(float(seconds))}"
    text = f"waiting for {what}: held by {who}"
    if behind:
        text += (
            f"; {behind} {'query waits' if behind == 1 else 'queries wait'} behind this migration"
        )
    return text
