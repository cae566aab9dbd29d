"""One migration of a database at a time.

    Lock        what a run holds, on one connection for each server
    session     that connection, and what a kind of database has to offer
    postgresql  advisory locks
    mysql       GET_LOCK, of MySQL and MariaDB
    sqlite      a byte of the database file

A lock's connection is opened by the project's own Engine, so it goes where the
migration goes, however env.py has set that up. It is kept apart from the
migration's, which env.py may close and open as it likes, and it is held until
Python has ended its threads and run its atexit handlers.

A lock is asked for again and again rather than waited for: a session that
waits inside PostgreSQL holds a transaction open, and another's CREATE INDEX
CONCURRENTLY waits for that transaction in turn.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from ..progress import duration, say
from . import mysql, postgresql, sqlite
from .session import HeldError, Holder, LostError, NoLockError, Place, running_loop

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy.engine import Connection

    from ..progress import Progress
    from .session import Kind, Session

_KINDS: dict[str, Kind] = {
    "postgresql": postgresql,
    "mysql": mysql,
    "mariadb": mysql,
    "sqlite": sqlite,
}

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
    """The locks of one run. `timeout` is how long to wait for another run, in seconds."""

    def __init__(self, timeout: float, progress: Progress, *, verbose: bool = False) -> None:
        self._timeout = timeout
        self._progress = progress
        self._verbose = verbose
        # By the server, or SQLite's file; and by the event loop, which an asyncio
        # driver's connection is of, where env.py may run one after the other.
        self._sessions: dict[tuple[str, object], Session] = {}
        self._said: set[str] = set()

    def acquire(self, context: MigrationContext) -> None:
        """Take the lock of this version table, unless the run holds it already.

        Connects at the first one. Where the database has no lock, a line on
        stderr says so. Raises HeldError, or another LockError if the lock can't
        be asked for.
        """
        connection = context.connection
        assert connection is not None
        try:
            kind = _kind(connection)
            place = kind.place(connection, context)
            if place is None:
                return
            if any(
                server == place.server and place.key in session.keys
                for (server, _), session in self._sessions.items()
            ):
                return
            way = place.server, running_loop() if connection.dialect.is_async else None
            if way not in self._sessions:
                self._sessions[way] = kind.open(connection, place)
            session = self._sessions[way]
            self._poll(session, place, connection)
            session.keys.add(place.key)
            if self._verbose:
                say(f"Holding the migration lock: {place}")
        except NoLockError as exc:
            line = f"No migration lock, so concurrent runs are not kept apart: {exc}"
            if line not in self._said:
                say(line)
            self._said.add(line)

    def check(self) -> None:
        """Raise LostError unless every key is held; one question for each server."""
        for (_, loop), session in self._sessions.items():
            if loop not in (None, running_loop()):
                continue  # it holds what it holds
            try:
                held = session.holds(session.keys)
            except Exception as exc:
                raise LostError(str(exc)) from exc
            if not held:
                raise LostError("it was given up")

    def close(self) -> None:
        """Give everything back; for the end of the process."""
        for session in self._sessions.values():
            session.close()

    def release(self) -> None:
        """Give everything back; for a process that goes on."""
        for session in self._sessions.values():
            session.release()
        self._sessions = {}

    def forked(self) -> None:
        """In a forked child: leave the lock to the parent."""
        for session in self._sessions.values():
            session.abandon()
        self._sessions = {}

    def _poll(self, session: Session, place: Place, connection: Connection) -> None:
        if session.take(place.key):
            return
        deadline = time.monotonic() + self._timeout
        pause = _FIRST_PAUSE
        with self._progress, session.waiting(connection):
            while True:
                who = session.holder(place.key)
                rest = deadline - time.monotonic()
                if rest <= 0:
                    raise HeldError(who, self._timeout)
                self._progress.show(f"Waiting for another migration: {who}; {duration(rest)} left")
                session.sleep(min(pause, rest))
                pause = min(2 * pause, _LONGEST_PAUSE)
                if session.take(place.key):
                    return


def _kind(connection: Connection) -> Kind:
    try:
        return _KINDS[connection.dialect.name]
    except KeyError:
        raise NoLockError(f"there is none for {connection.dialect.name}") from None
