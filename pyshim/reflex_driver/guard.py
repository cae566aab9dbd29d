"""Around one run of Alembic: the wait for a server, timeouts, the lock, interrupts.

Nothing here changes what Alembic does. The guard listens at two places: hooks.py, and
SQLAlchemy's events.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
from typing import TYPE_CHECKING, Any

from . import alembic_log, blockers, declared, internals, log
from .blockers import Blockers
from .hooks import autocommits, listen, observing
from .interrupts import Interrupts
from .progress import Progress
from .usage import UsageError

if TYPE_CHECKING:
    import argparse
    from types import TracebackType

    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy.engine import Connection

    from .lock import Lock
    from .polite import Polite
    from .signals import Signals
    from .waiting import Wait


class Guard:
    """A context manager around `run_cmd`."""

    def __init__(self, options: argparse.Namespace, signals: Signals) -> None:
        self._options = options
        self._signals = signals
        self._observing = contextlib.ExitStack()
        self._interrupts = Interrupts(signals, self._end_question)
        quiet = getattr(options, "quiet", False)
        self._wait: Wait | None = None
        if getattr(options, "wait", None):
            from .waiting import Wait

            self._wait = Wait(options.wait, Progress(quiet=quiet))
        self._lock: Lock | None = None
        if getattr(options, "changes_database", False) and not options.no_lock:
            from .lock import Lock  # for what changes a database only

            verbose = getattr(options, "verbose", False)
            self._lock = Lock(options.lock_timeout, Progress(quiet=quiet), verbose=verbose)
        self._timeouts = {
            "lock_timeout": getattr(options, "ddl_lock_timeout", None),
            "statement_timeout": getattr(options, "statement_timeout", None),
        }
        self._blockers = Blockers(
            self._ask_the_lock, Progress(quiet=quiet), self._timeouts["lock_timeout"]
        )
        limit = getattr(options, "polite", None)
        self._polite: Polite | None = None
        if limit is not None:
            from .polite import Polite

            self._polite = Polite(limit)
        # Whether a revision that fails is taken back, by every database that was met.
        self.rolls_back = True

    def __enter__(self) -> None:
        if self._wait is not None and getattr(self._options, "sql", False):
            raise UsageError("--wait is for a server, and --sql connects to none")
        self._observing.enter_context(observing(self))
        if self._wait is not None:
            self._wait.start()
        self._interrupts.start()
        if self._lock is not None:
            # What is registered first is called last, after the threads have ended.
            atexit.register(self._lock.close)
        _active.add(self)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _exc: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        if self._wait is not None:
            self._wait.stop()
        self._observing.close()
        if self not in _active:  # a forked child
            return
        _active.remove(self)
        self._interrupts.stop()
        self._blockers.stop()
        if self._polite is not None:
            self._polite.stop()
        if self._lock is None:
            return
        if kind is not None and self._signals.raised:
            self._lock.end_migrations()
        elif kind is None and not getattr(self._options, "sql", False):
            self._lock.say_if_unused()

    def forked(self) -> None:
        """In a forked child: leave the lock and the signals to the parent."""
        self._interrupts.forked()
        if self._polite is not None:
            self._polite.forked()
        if self._lock is not None:
            atexit.unregister(self._lock.close)
            self._lock.forked()

    @property
    def in_the_way(self) -> str:
        """Who kept the statement that ran last waiting, as a sentence; or ""."""
        return self._blockers.found or (self._lock.holding() if self._lock is not None else "")

    @property
    def for_others(self) -> str:
        """Who has waited for too long behind the statement that ran last, as a sentence; or ""."""
        return "" if self._polite is None else self._polite.reason

    def was_busy(self, exc: BaseException) -> tuple[str, str]:
        """Why others have ended a statement, and what makes it wait for longer; "" if not."""
        if self._polite is not None and self._polite.ended(exc):
            return self.for_others, "--polite"
        return blockers.reason(exc)

    def step_back(self) -> None:
        """Others have ended env.py, and it is to be run again."""
        self._blockers.step_back()
        if self._polite is not None:
            self._polite.step_back()
        if self._lock is not None:
            self._lock.begin_again()

    def invalid_indexes(self, exc: BaseException) -> str:
        """What a CREATE INDEX CONCURRENTLY that `exc` has ended has left, as SQL names it."""
        if self._lock is None or not internals.executed(exc, _CONCURRENTLY):
            return ""
        from . import database_status

        return database_status.invalid_indexes(self._lock.ask)

    def configuring(self, _env: EnvironmentContext) -> None:
        """env.py has set up its logging, as a rule; Alembic is about to log what it has found."""
        answers = getattr(self._options, "cmd", (None,))[0]
        if getattr(self._options, "quiet", False) or answers is declared.status:
            alembic_log.hide()
        if log.as_json:
            alembic_log.format_as_json()

    def configured(self, context: MigrationContext) -> None:
        """env.py has its connection: lock the database before anything is read from it."""
        connection = context.connection
        if context.as_sql or connection is None:
            return
        if self._wait is not None:
            self._wait.stop()  # --wait is for the first connection of env.py
        if not getattr(self._options, "changes_database", False):
            return
        self.rolls_back = self.rolls_back and context.impl.transactional_ddl
        if any(value is not None for value in self._timeouts.values()):
            self._refuse_timeouts(connection)
            listen(connection, "begin", self._set_timeouts)
            if connection.in_transaction():
                self._set_timeouts(connection)
        if self._lock is not None and self in _active:
            self._lock.acquire(context)
        if self._polite is not None and self in _active:
            self._polite.watch(context)
        if self._lock is not None and self in _active:
            self._blockers.start()
            listen(connection, "before_cursor_execute", self._blockers.begins)
            listen(connection, "after_cursor_execute", self._blockers.ends)
            listen(connection, "begin", self._begins)
            listen(connection, "commit", self._commits)
            listen(connection, "prepare_twophase", self._prepares)

    def _refuse_timeouts(self, connection: Connection) -> None:
        if connection.dialect.name != "postgresql":
            raise UsageError(
                "--ddl-lock-timeout and --statement-timeout are PostgreSQL's; "
                f"this database is {connection.dialect.name}"
            )

    def _set_timeouts(self, connection: Connection) -> None:
        # At each begin, because a rollback takes a SET back.
        for name, value in self._timeouts.items():
            if value is not None:
                connection.exec_driver_sql(f"SET {name} = {_milliseconds(value)}")

    def _begins(self, connection: Connection) -> None:
        """In an autocommit_block each statement commits itself."""
        if autocommits(connection):
            self._check()

    def _commits(self, connection: Connection) -> None:
        if not autocommits(connection):
            self._check()

    def _prepares(self, _connection: Connection, _xid: Any) -> None:
        self._check()

    def _ask_the_lock(self) -> str:
        return self._lock.in_the_way() if self._lock is not None else ""

    def _end_question(self) -> None:
        if self._lock is not None:
            self._lock.interrupt()

    def _check(self) -> None:
        if self._lock is not None and self in _active:
            self._lock.check()


_CONCURRENTLY = re.compile(r"\bINDEX\s+CONCURRENTLY\b", re.IGNORECASE)


def _milliseconds(seconds: float) -> int:
    """PostgreSQL counts in milliseconds. At least 1, because 0 turns a timeout off."""
    return max(round(seconds * 1000), 1) if seconds else 0


# The guards of this process; a forked child has none.
_active: set[Guard] = set()


def _forked() -> None:
    while _active:
        _active.pop().forked()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)
