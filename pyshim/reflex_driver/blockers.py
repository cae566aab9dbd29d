"""Who is in the way of a migration's statement that waits for a lock.

A thread asks about each statement that runs for longer than a second, by the lock's
connection. What the statement waits for, who has that and who waits behind it is told on
stderr, and again in the error if the wait ends with one. PostgreSQL, MySQL and MariaDB are
asked (lock/postgresql.py, lock/mysql.py).
"""

from __future__ import annotations

import sys
import time
from _thread import allocate_lock, start_new_thread
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import internals, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from .progress import Progress

_PATIENCE = 1.0  # a statement that takes no longer is not asked about, in seconds
_PAUSE = 5.0  # between two questions, which the server's lock manager stops for


@dataclass
class Tries:
    """How often a run was begun, because it did not get a lock (retries.py)."""

    count: int = 1
    reason: str = ""  # why the last one has ended, if others have ended it
    longer: str = ""  # what makes the next one wait for longer
    in_the_way: str = ""  # who was, at the last of them that did not get it, as a sentence
    over: str = ""  # why there is none more, where not all were needed
    invalid: str = ""  # the indexes that the last one has left invalid, as a statement names them


class Blockers:
    """Watches the statements of a run, from `start` to `stop`.

    `ask` answers with a sentence, or "" if nothing is in the way. `patience` is how long a
    statement may take before it is asked about, in seconds; less than the project's own
    lock_timeout, so that there is an answer when that ends it.
    """

    def __init__(
        self, ask: Callable[[], str], progress: Progress, lock_timeout: float | None
    ) -> None:
        self.found = ""  # what was in the way of the statement that ran last
        self._ask = ask
        self._progress = progress
        self._patience = min(_PATIENCE, lock_timeout / 2) if lock_timeout else _PATIENCE
        # When the statement that runs was begun, on time.monotonic's clock; it stands for it.
        self._since: float | None = None
        self._over = allocate_lock()

    def start(self) -> None:
        """Begin to watch, once. gevent's connections are its own thread's alone."""
        if self._over.locked() or "gevent" in sys.modules:
            return
        self._over.acquire()
        try:
            start_new_thread(self._watch, ())
        except RuntimeError:  # there can't be a thread more
            self._over.release()

    def stop(self) -> None:
        """The run is over."""
        if self._over.locked():
            self._over.release()

    def begins(self, *_: Any) -> None:
        """A statement of the migration's begins; for SQLAlchemy's before_cursor_execute."""
        self.found = ""
        self._since = time.monotonic()

    def ends(self, *_: Any) -> None:
        """It has ended well; for after_cursor_execute."""
        self._since = None

    def step_back(self) -> None:
        """The statement has failed, and what was found stays to be read."""
        self._since = None
        if self.found:
            self._progress.keep(_sentence(self.found))

    def _watch(self) -> None:
        while not self._over.acquire(timeout=self._patience / 2):
            since = self._since
            if since is not None and time.monotonic() - since >= self._patience:
                with self._progress:
                    self._tell(since)
        self._over.release()

    def _tell(self, since: float) -> None:
        """Ask again and again, as long as the statement that was begun then runs."""
        next_time = 0.0
        while self._since == since:
            if time.monotonic() >= next_time:
                found = self._ask()
                next_time = time.monotonic() + _PAUSE
                if self._since == since and found:
                    self.found = found
                    self._progress.show(_sentence(found))
                elif not found:
                    self._progress.clear()
            if self._over.acquire(timeout=self._patience / 2):
                self._over.release()
                return


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:]


# What a server says of a lock that was not given in time: lock_timeout, NOWAIT and, on MySQL,
# innodb_lock_wait_timeout and lock_wait_timeout (https://www.postgresql.org/docs/current/
# errcodes-appendix.html, https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html).
_LOCK_NOT_AVAILABLE, _LOCK_WAIT_TIMEOUT = "55P03", 1205
# And SQLite, whose driver has waited for its `timeout` (https://www.sqlite.org/rescode.html#busy).
_LOCKED = "database is locked"


def reason(exc: BaseException) -> tuple[str, str]:
    """What says that others did not give a lock in time, and what makes the wait longer.

    Both are "" if `exc` is of anything else.
    """
    for error in internals.chain(exc):
        state, number = refusal.code(error)
        if state != _LOCK_NOT_AVAILABLE and type(error).__name__ != "OperationalError":
            continue  # it may be the project's own, which can't be printed
        said = str(error).strip().partition("\n")[0]
        if state == _LOCK_NOT_AVAILABLE:
            return said, "--ddl-lock-timeout"
        if number == _LOCK_WAIT_TIMEOUT:
            return said, "lock_wait_timeout, innodb_lock_wait_timeout"
        if said == _LOCKED:
            return said, "?timeout=SECONDS in the URL"
    return "", ""
