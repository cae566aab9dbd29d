"""`--wait`: try again to connect while the database's server is starting.

env.py connects, through its own Engine, so every database and every source of its URL is
covered. Nothing is tried again once env.py has its connection.

Engine.raw_connection is replaced, because a listener to `do_connect` is not enough. That event
does not come for an Engine with a `creator`. It comes before SQLAlchemy's first statement, and
a PgBouncer whose server is down fails only there. It does not call the project's own listeners
again, and their token may have expired meanwhile.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import Engine
from sqlalchemy.exc import DBAPIError

from . import refusal, url
from .progress import Progress, duration, pause, say
from .sockets import limited, opened_from_now_on

if TYPE_CHECKING:
    from sqlalchemy.pool import PoolProxiedConnection

_PAUSE = 0.5  # between two attempts, in seconds, at the most

# The least time that one attempt is given, in seconds. A PgBouncer without a server does not
# refuse, and lets its client wait.
_LEAST = 10.0


class Wait:
    """Waits up to `seconds`."""

    def __init__(self, seconds: float, progress: Progress) -> None:
        self._seconds = seconds
        self._progress = progress
        self._waits = False
        self._connect: Any = Engine.raw_connection
        self._ours: Any = None  # in its place

    def start(self) -> None:
        """Try again, from now on, when a connection fails."""
        wait, self._waits = self, True

        def raw_connection(self: Engine) -> PoolProxiedConnection:
            return wait._connect_to(self)

        self._ours = raw_connection
        Engine.raw_connection = raw_connection  # type: ignore[method-assign]

    def stop(self) -> None:
        """Do not try again from now on."""
        self._waits = False
        if Engine.raw_connection is self._ours:  # else env.py has wrapped ours
            Engine.raw_connection = self._connect  # type: ignore[method-assign]

    def _connect_to(self, engine: Engine) -> PoolProxiedConnection:
        if not self._waits:
            return self._attempt(engine)
        deadline, rest, first = None, self._seconds, time.monotonic()
        with self._progress:
            while True:
                sockets, begun = opened_from_now_on(), time.monotonic()
                try:
                    with limited(max(rest, _LEAST), sockets):
                        fairy = self._attempt(engine)
                    if deadline is not None:
                        waited = duration(time.monotonic() - first)
                        self._progress.leave(f"Waited {waited} for the database")
                    return fairy
                except Exception as exc:
                    if not self._waits or not _is_of_server(exc, engine) or _is_lasting(exc):
                        raise
                    now = time.monotonic()
                    if deadline is None:  # from the first refusal, or while there is no answer
                        start = begun if isinstance(exc, TimeoutError) else now
                        deadline = start + self._seconds
                    rest = deadline - now
                    if rest <= 0:
                        say(f"Waited {duration(self._seconds)} (--wait).")
                        raise
                    reason = str(exc).partition("\n")[0]
                    self._progress.show(
                        f"Waiting for the database: {reason}; {duration(rest)} left"
                    )
                    pause(min(_PAUSE, rest), is_async=engine.dialect.is_async)

    def _attempt(self, engine: Engine) -> PoolProxiedConnection:
        fairy: PoolProxiedConnection = self._connect(engine)
        return fairy


def _is_of_server(exc: Exception, engine: Engine) -> bool:
    """Whether a server or the network has failed. Else env.py asks for something wrong."""
    driver: Any = engine.dialect.dbapi  # loaded_dbapi since SQLAlchemy 2.0
    if isinstance(exc, DBAPIError) and isinstance(exc.orig, Exception):
        # SQLAlchemy's own statement has failed, by which it learns what server it is.
        exc = exc.orig
    if isinstance(exc, driver.ProgrammingError | driver.NotSupportedError):
        return False  # such as an option that libpq does not know
    # asyncpg's own errors have a sqlstate. SQLAlchemy does not wrap them while it connects.
    return (
        isinstance(exc, driver.Error | OSError)
        or hasattr(exc, "sqlstate")
        or type(exc).__name__ == "TimeoutError"  # asyncio's own, in Python 3.10
    )


def _is_lasting(exc: BaseException) -> bool:
    """Whether time does not mend it: what the server says, or what is wrong with the URL."""
    return refusal.is_final(exc) or url.advice(exc) is not None
