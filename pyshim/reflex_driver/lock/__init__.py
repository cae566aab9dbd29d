"""One migration of a database at a time.

    Lock        what a run holds, on one connection for each server
    protocol    what a kind of database has to offer
    connection  the lock's own connection to a server, and what ends it
    questions   what is asked without the project's notice
    loops       asyncio's event loops
    errors      why there is no lock, and what to do about it
    postgresql  advisory locks
    mysql       GET_LOCK, of MySQL and MariaDB
    sqlite      a byte of the database file; windows: the same there

The project's own Engine opens a lock's connection, so it goes where the migration goes,
however env.py has set that up. It is not the migration's, which env.py may close and open as
it likes. It is open until Python has ended its threads and run its atexit handlers.

A run asks for a lock again and again, and does not wait in the server: a session that waits
in PostgreSQL has a transaction open, and another run's CREATE INDEX CONCURRENTLY would wait
for that transaction.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from ..progress import duration, say
from .errors import (
    HeldError,
    LockError,
    LostError,
    MigrationConnectionError,
    NoLockError,
    UnreachableError,
)
from .loops import running_loop
from .protocol import NOBODY

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.runtime.migration import MigrationContext
    from sqlalchemy.engine import Connection

    from ..progress import Progress
    from .protocol import Holder, Kind, Place, Session

_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0  # between two questions, in seconds


def holder(context: MigrationContext) -> Holder | None:
    """Who holds the lock of this version table, asked on the migration's own connection.

    None where nobody does, or where the database has no lock or does not tell.
    """
    connection = context.connection
    if connection is None:
        return None
    try:
        kind = _kind(connection)
        place = kind.place(connection, context)
        return None if place is None else kind.holder(connection, place)
    except NoLockError:
        return None


class Lock:
    """The locks of one run.

    `timeout` is how long to wait for another run, in seconds. `verbose` says what is held.
    """

    def __init__(self, timeout: float, progress: Progress, *, verbose: bool = False) -> None:
        self._timeout = timeout
        self._progress = progress
        self._verbose = verbose
        # The key is the server, or SQLite's file, and the event loop. A connection of an
        # asyncio driver belongs to one loop, and env.py may run several, one after another.
        self._sessions: dict[tuple[str, object], Session] = {}
        self._said: set[str] = set()
        self._asked = False
        self._again = False

    def acquire(self, context: MigrationContext) -> None:
        """Take the lock of this version table, unless the run holds it already.

        Connects at the first one. Where the database has no lock, a line on stderr says so.
        Raises HeldError, or another LockError if the lock can't be asked for.
        """
        connection = context.connection
        assert connection is not None
        self._asked = True
        try:
            kind = _kind(connection)
            place = kind.place(connection, context)
            if place is None:
                return
            session = self._holding(place)
            if session is not None and self._again:
                session.mark(place.backend)
            self._again = False
            if session is None:
                session = self._session(kind, place, connection)
                self._poll(session, place, connection)
                session.keys.add(place.key)
                if self._verbose:
                    say(f"Holding the migration lock: {place}")
            if place.backend:
                session.backends.add(place.backend)
        except NoLockError as exc:
            self._say_once(f"No migration lock, so concurrent runs are not kept apart: {exc}")

    def check(self) -> None:
        """Raise LostError unless every key is held; one question for each server."""
        for (_, loop), session in self._sessions.items():
            if loop not in (None, running_loop()):
                continue  # outside of its loop, a connection can't be asked
            try:
                held = session.holds()
            except Exception as exc:
                raise LostError(exc) from exc
            if not held:
                raise LostError("its session on the server is another one now")

    def in_the_way(self) -> str:
        """Who keeps a statement of the migration's waiting, as a sentence; or "".

        Called in another thread than the migration's. Raises nothing.
        """
        found = (session.in_the_way() for session in list(self._sessions.values()))
        return next(filter(None, found), "")

    def holding(self) -> str:
        """Who has what a statement has just failed to get, as a sentence; or ""."""
        found = (session.holding() for session in list(self._sessions.values()))
        return next(filter(None, found), "")

    def ask(self, sql: str) -> list[Any]:
        """The row that the migration's database answers with; [] where it can't be asked.

        May be called when the migration's event loop has ended. Raises nothing.
        """
        found = (session.ask_apart(sql) for session in list(self._sessions.values()))
        return next(filter(None, found), [])

    def begin_again(self) -> None:
        """env.py is run once more, on other connections.

        What is held in an event loop that has ended is given back: it can't be asked for there.
        """
        self._again = True
        for key in [key for key in self._sessions if key[1] is not None]:
            if self._sessions[key].end():
                del self._sessions[key]

    def interrupt(self) -> None:
        """End a question on a lock's connection whose answer is overdue, if there is one.

        For a signal that has no effect, because a driver waits for a server that does not
        answer. May be called in any thread, and more than once. The lock is lost by it.
        """
        for session in list(self._sessions.values()):
            session.interrupt()

    def end_migrations(self) -> None:
        """End what the migration's own connections still do on their servers.

        For the end of a run that a signal has ended, when its connections are closed: a
        statement that the server had begun too late for the driver's cancel goes on there.
        Takes a round trip, and no more than some seconds. Raises nothing.
        """
        for session in self._sessions.values():
            session.end_migrations()

    def say_if_unused(self) -> None:
        """Say that nothing was locked, if env.py has never come to the lock; for the run's end."""
        if not self._asked:
            self._say_once(
                "No migration lock was taken: env.py has not called context.configure() with a "
                "connection"
            )

    def close(self) -> None:
        """Give everything back; for the end of the process."""
        self._stop_listening()
        for session in self._sessions.values():
            session.close()

    def forked(self) -> None:
        """In a forked child: leave the lock to the parent."""
        self._stop_listening()
        for session in self._sessions.values():
            session.abandon()
        self._sessions = {}

    def _holding(self, place: Place) -> Session | None:
        for (server, _), session in self._sessions.items():
            if server == place.server and place.key in session.keys:
                return session
        return None

    def _session(self, kind: Kind, place: Place, connection: Connection) -> Session:
        key = place.server, running_loop() if connection.dialect.is_async else None
        if key not in self._sessions:
            self._sessions[key] = kind.open(connection, place)
            if not event.contains(Engine, "before_cursor_execute", self._before):
                event.listen(Engine, "before_cursor_execute", self._before)
        return self._sessions[key]

    def _before(self, _connection: object, _cursor: object, statement: str, *_: object) -> None:
        for session in list(self._sessions.values()):
            session.before(statement)

    def _stop_listening(self) -> None:
        if event.contains(Engine, "before_cursor_execute", self._before):
            event.remove(Engine, "before_cursor_execute", self._before)

    def _poll(self, session: Session, place: Place, connection: Connection) -> None:
        """Take the lock, as soon as nobody else has it."""
        try:
            if session.take(place.key):
                return
            began = time.monotonic()
            deadline = began + self._timeout
            pause, who = _FIRST_PAUSE, NOBODY
            with self._progress, _reported_for(session, connection):
                while True:
                    now = session.holder(place.key)
                    who = who if now == NOBODY else now  # whom was waited for
                    rest = deadline - time.monotonic()
                    if rest <= 0:
                        raise HeldError(who, self._timeout)
                    self._progress.show(*_waiting_for(who, f"{duration(rest)} left"))
                    session.sleep(min(pause, rest))
                    pause = min(2 * pause, _LONGEST_PAUSE)
                    if session.take(place.key):
                        waited = duration(time.monotonic() - began)
                        self._progress.leave(f"Waited {waited} for another migration: {who}")
                        return
        except (LockError, NoLockError):
            raise
        except Exception as exc:
            raise UnreachableError(exc, by_url=session.by_url) from exc

    def _say_once(self, line: str) -> None:
        if line not in self._said:
            say(line)
        self._said.add(line)


def _waiting_for(who: Holder, left: str) -> list[str]:
    """The line of somebody who waits, and shorter ones; the longest may be too wide."""
    lines = [f"Waiting for another migration: {who}; {left}"]
    if who.since is not None:
        short = f"pid {who.pid}, since {who.since:%H:%M:%S}; {left}"
        lines += [f"Waiting for another migration: {short}", f"Waiting: {short}"]
        lines.append(f"Waiting, since {who.since:%H:%M:%S}; {left}")
    return lines


@contextlib.contextmanager
def _reported_for(session: Session, connection: Connection) -> Iterator[None]:
    """Around the wait: what the session does then on the migration's connection may fail."""
    failed: Exception | None = None
    try:
        with session.waiting(connection):
            try:
                yield
            except Exception as exc:
                failed = exc
                raise
    except Exception as exc:
        if exc is failed:
            raise
        raise MigrationConnectionError(exc) from exc


def _kind(connection: Connection) -> Kind:
    """The module for a database, which is imported when a run meets it."""
    kind: Kind
    dialect = connection.dialect.name
    if dialect == "postgresql":
        from . import postgresql as kind
    elif dialect in ("mysql", "mariadb"):
        from . import mysql as kind
    elif dialect == "sqlite":
        from . import sqlite as kind
    else:
        raise NoLockError(f"there is none for {dialect}")
    return kind
