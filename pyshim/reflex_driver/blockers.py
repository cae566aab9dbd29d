"""Who is in the way of a migration's statement that waits for a lock.

A thread asks about each statement that runs for longer than a second, by the lock's
connection. What the statement waits for, who has that and who waits behind it is told on
stderr, and again in the error if the wait ends with one. Only PostgreSQL is asked
(lock/postgresql.py).
"""

from __future__ import annotations

import sys
import time
from _thread import allocate_lock, start_new_thread
from typing import TYPE_CHECKING, Any

from . import internals, refusal

if TYPE_CHECKING:
    from collections.abc import Callable

    from .progress import Progress

_PATIENCE = 1.0  # a statement that takes no longer is not asked about, in seconds
_PAUSE = 5.0  # between two questions, which the server's lock manager stops for


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

    def _watch(self) -> None:
        pause = look = self._patience / 2
        while not self._over.acquire(timeout=pause):
            since = self._since
            if since is None or time.monotonic() - since < self._patience:
                pause = look
                continue
            pause = _PAUSE
            with self._progress:
                self._tell(since)
        self._over.release()

    def _tell(self, since: float) -> None:
        """Ask again and again, as long as the statement that was begun then waits."""
        while self._since == since:
            found = self._ask()
            if self._since != since or not found:
                return
            self.found = found
            self._progress.show(found[0].upper() + found[1:])
            if self._over.acquire(timeout=_PAUSE):
                self._over.release()
                return


# What a server says of a lock that was not given in time: lock_timeout, NOWAIT and, on MySQL,
# innodb_lock_wait_timeout and lock_wait_timeout (https://www.postgresql.org/docs/current/
# errcodes-appendix.html, https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html).
_LOCK_NOT_AVAILABLE, _LOCK_WAIT_TIMEOUT = "55P03", 1205


def ended_by_a_lock(exc: BaseException) -> bool:
    """Whether a statement has failed because others did not give a lock in time."""
    return any(
        state == _LOCK_NOT_AVAILABLE
        or (number == _LOCK_WAIT_TIMEOUT and type(error).__name__ == "OperationalError")
        for error in internals.chain(exc)
        for state, number in (refusal.code(error),)
    )
