"""`--polite TIME`: how long a migration may make the application's queries wait.

A thread looks, on one more connection of the project's Engine, who waits behind the
migration, whether that waits for a lock itself or holds one. Who has waited for too long ends
the statement that runs (`pg_cancel_backend`). Between two statements there is none to end:
the next one is not begun, and a commit is let through, which gives the locks back as well.
"""

from __future__ import annotations

import sys
import time
from _thread import allocate_lock, start_new_thread
from typing import TYPE_CHECKING, Any

from . import internals, refusal
from .hooks import autocommits, listen
from .lock import postgresql
from .lock.connection import LIMIT, OwnConnection
from .lock.errors import LockError
from .progress import duration, say
from .usage import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic.runtime.migration import MigrationContext
    from sqlalchemy.engine import Connection

_LONGEST_PAUSE = 0.25  # between two looks, in seconds; a quarter of TIME, if that is less
_SHORTEST_PAUSE = 0.05
_END_LIMIT = 2.0  # to close the connections, in seconds

_CANCELED = "57014"  # https://www.postgresql.org/docs/current/errcodes-appendix.html


class StepBackError(Exception):
    """A statement was not begun, because others wait behind the migration."""


class Polite:
    """What ends a migration's statement. `limit` is how long anybody may wait, in seconds."""

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._watchers: dict[str, _Watcher] = {}  # by the server
        self._late = False  # no statement is to be begun
        self.reason = ""  # why the last one has ended, if it has ended for others

    def watch(self, context: MigrationContext) -> None:
        """Watch for who waits behind this connection of the migration's, from now on.

        Connects once for each server. Raises UsageError where the database can't be asked,
        LockError if the connection fails.
        """
        connection = context.connection
        assert connection is not None
        if connection.dialect.name != "postgresql":
            raise UsageError(
                f"--polite is PostgreSQL's; this database is {connection.dialect.name}"
            )
        if "gevent" in sys.modules:
            raise UsageError("--polite takes a thread, which gevent does not let connect")
        place = postgresql.place(connection, context)
        if not place.backend or not place.readable:
            what = "this role may not read pg_locks" if place.backend else "a pooler hides it"
            raise UsageError(f"--polite can't tell who waits behind the migration: {what}")
        if place.server not in self._watchers:
            watcher = _Watcher(connection, place.backend, self._limit, self._is_late)
            self._watchers[place.server] = watcher
        self._late, self.reason = False, ""
        self._watchers[place.server].backends.add(place.backend)
        listen(connection, "before_cursor_execute", self._begins)
        listen(connection, "commit", self._commits)
        listen(connection, "rollback", self._rolls_back)

    def ended(self, exc: BaseException) -> bool:
        """Whether a statement has failed because others waited for too long."""
        return bool(self.reason) and any(
            isinstance(cause, StepBackError) or refusal.code(cause)[0] == _CANCELED
            for cause in internals.chain(exc)
        )

    def step_back(self) -> None:
        """The run is begun again, on other connections."""
        for watcher in self._watchers.values():
            watcher.backends.clear()

    def stop(self) -> None:
        """The run is over."""
        for watcher in self._watchers.values():
            watcher.stop()

    def forked(self) -> None:
        """In a forked child: leave the connections to the parent."""
        for watcher in self._watchers.values():
            watcher.abandon()

    def _is_late(self, waiting: int) -> None:
        self._late = bool(waiting)
        if not waiting:
            return
        what = "query has" if waiting == 1 else "queries have"
        self.reason = (
            f"{waiting} {what} waited behind this migration for longer than "
            f"{duration(self._limit)} (--polite)"
        )

    def _begins(self, connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if autocommits(connection):  # what the statement before has locked is free again
            self._commits(connection)
        if self._late and not statement.lstrip().upper().startswith("ROLLBACK"):
            raise StepBackError(self.reason)

    def _commits(self, _connection: Connection) -> None:
        self._late, self.reason = False, ""

    def _rolls_back(self, _connection: Connection) -> None:
        self._late = False


class _Watcher:
    """The connection to one server, and its thread."""

    def __init__(
        self, connection: Connection, backend: str, limit: float, late: Callable[[int], None]
    ) -> None:
        self.backends = {backend}  # of the migration's own: Place.backend
        self._connection = connection
        self._limit = limit
        self._late = late
        self._since: dict[str, float] = {}  # when who waits was seen first, on monotonic's clock
        self._session: OwnConnection | None = None
        self._error: Exception | None = None
        self._begun, self._over, self._ended = (allocate_lock() for _ in range(3))
        for lock in (self._begun, self._over, self._ended):
            lock.acquire()
        start_new_thread(self._run, ())
        if not self._begun.acquire(timeout=LIMIT + 1):
            self._error = TimeoutError(f"no answer within {LIMIT:g} seconds")
        if self._error is not None:
            raise LockError(
                "--polite takes one more connection beside the migration's, which failed: "
                f"{self._error}"
            ) from self._error

    def stop(self) -> None:
        """Close the connection, in its own thread."""
        self._over.release()
        self._ended.acquire(timeout=_END_LIMIT)

    def abandon(self) -> None:
        """See Session.abandon."""
        if self._session is not None:
            self._session.abandon()

    def _run(self) -> None:
        try:
            if self._connection.dialect.is_async:
                import asyncio

                from sqlalchemy.util import greenlet_spawn

                asyncio.run(greenlet_spawn(self._watch))
            else:
                self._watch()
        except Exception as exc:  # noqa: BLE001 - any of a driver's
            self._error = exc
        finally:
            if self._begun.locked():
                self._begun.release()
            self._ended.release()

    def _watch(self) -> None:
        session = self._session = OwnConnection(self._connection)
        try:
            session.ask(f"SELECT {postgresql.settings('polite')}")
            if not postgresql.sees(session.ask, list(self.backends)):
                raise LookupError("its role is not told of the migration's session")
            self._begun.release()
            pause = max(min(self._limit / 4, _LONGEST_PAUSE), _SHORTEST_PAUSE)
            try:
                while not self._over.acquire(timeout=pause):
                    self._look(session)
            except Exception as exc:  # noqa: BLE001 - any of a driver's
                say(f"--polite does not watch any more who waits behind the migration: {exc}")
        finally:
            session.discard()

    def _look(self, session: OwnConnection) -> None:
        backends = list(self.backends)
        waiting = postgresql.waiting_behind(session.ask, backends) if backends else []
        now = time.monotonic()
        self._since = {who: self._since.get(who, now) for who in waiting}
        late = sum(now - since >= self._limit for since in self._since.values())
        self._late(late)
        if late:
            postgresql.cancel(session.ask, backends)
