"""End what the server is doing when a signal comes.

signals.py tells of the signal on a thread of its own. As long as the handler has not run
on the main thread, the statements of every open connection are cancelled: the driver
returns, and the handler raises. What the handler has raised is the project's to handle.
Once it has run, no statement is cancelled any more.
"""

from __future__ import annotations

import _thread
import contextlib
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.pool import Pool

from . import internals, sockets

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import Connection

    from .signals import Signals

# Between one attempt to cancel and the next, in seconds.
_PAUSES = (0.01, 0.1, 0.4, 1.0, 3.0)
_PATIENCE = 0.4  # after this pause, a driver that still connects is not waited for
_LIMIT = 2.0  # for an attempt that hangs when the run is over, in seconds


class Interrupts:
    """What is open, and the thread that ends it."""

    def __init__(self, signals: Signals, end_question: Callable[[], None]) -> None:
        self._signals = signals
        self._end_question = end_question  # of the lock, which is none of the project's
        self._open: dict[int, Any] = {}  # DBAPI connections
        # One that is being closed may first wait for its statement.
        self._closing: deque[Any] = deque(maxlen=8)
        self._running: dict[int, Engine] = {}  # MySQL's statements, by the connection's number
        self._main = threading.get_ident()
        # The first is held while statements are being cancelled, the second until the run is over.
        self._cancelling = _thread.allocate_lock()
        self._over = _thread.allocate_lock()
        self._listeners: list[tuple[Any, str, Callable[..., None]]] = [
            (Pool, "connect", self._opened),
            (Pool, "close", self._closed),
            (Pool, "close_detached", self._closed_detached),
            (Engine, "before_cursor_execute", self._begins),
            (Engine, "after_cursor_execute", self._ends),
        ]

    def start(self) -> None:
        """Listen to connections and to the signal."""
        for target, name, listener in self._listeners:
            event.listen(target, name, listener)
        self._over.acquire()
        self._signals.on_first = self._interrupted

    def stop(self) -> None:
        """The run is over."""
        self._signals.on_first = None
        self._over.release()
        # To cancel, libpq connects once more, which a broken network can keep it at.
        if self._cancelling.acquire(timeout=_LIMIT):
            self._cancelling.release()
        self.forked()

    def forked(self) -> None:
        """In a forked child there is nothing to listen to."""
        for target, name, listener in self._listeners:
            event.remove(target, name, listener)

    def _opened(self, connection: Any, _record: object) -> None:
        if sockets.opening:
            return
        self._open[id(connection)] = connection

    def _closed(self, connection: Any, _record: object) -> None:
        self._closed_detached(connection)

    def _closed_detached(self, connection: Any) -> None:
        if self._open.pop(id(connection), None) is not None:
            self._closing.append(connection)

    def _begins(self, connection: Connection, *_: object) -> None:
        number = _number(connection)
        if number is not None:
            self._running[number] = connection.engine

    def _ends(self, connection: Connection, *_: object) -> None:
        if self._running:
            self._running.pop(_number(connection) or 0, None)

    def _interrupted(self) -> None:
        with self._cancelling:
            self._end_statements()

    def _end_statements(self) -> None:
        self._kill_running()
        for pause in _PAUSES:  # a statement that was about to begin has not heard of it
            if self._over.acquire(timeout=pause):
                self._over.release()
                return
            if pause >= _PATIENCE:
                self._end_question()
            if self._signals.raised:
                if self._signals.cancelled:
                    self._cancel(_of_aiosqlite)
                continue
            self._cancel(_canceller)
            if pause >= _PATIENCE:
                if self._connects():
                    # libpq and getaddrinfo() wait on, whatever the signal. What is open
                    # beside that is rolled back by the server.
                    self._signals.end()
                self._signals.repeat()

    def _cancel(self, canceller: Any) -> None:
        for connection in [*self._open.values(), *self._closing]:
            cancel = canceller(connection)
            if cancel is not None:
                with contextlib.suppress(Exception):  # it may have closed meanwhile
                    cancel()

    def _kill_running(self) -> None:
        """MySQL goes on with a statement whose client has left."""
        for number, engine in list(self._running.items()):
            with contextlib.suppress(Exception):
                _kill(engine, number)

    def _connects(self) -> bool:
        """Whether the main thread is on its way to a server."""
        return internals.is_connecting(sys._current_frames().get(self._main))


def _canceller(connection: Any) -> Any:
    """The function that ends the statement of a DBAPI connection, from any thread; or None.

    psycopg and psycopg2 have cancel(), sqlite3 has interrupt(). Under asyncio
    the event loop cancels the task, and asyncpg its statement.
    """
    return getattr(connection, "cancel", None) or getattr(connection, "interrupt", None)


def _of_aiosqlite(connection: Any) -> Any:
    """The same for aiosqlite, whose task waits for the thread that its sqlite3 works in."""
    driver = getattr(connection, "driver_connection", None)
    return getattr(getattr(driver, "_conn", None), "interrupt", None)


def _number(connection: Connection) -> int | None:
    """MySQL's number of a connection, if it is one, by a driver that tells."""
    if connection.dialect.name not in ("mysql", "mariadb"):
        return None
    thread_id = getattr(connection.connection.driver_connection, "thread_id", None)
    return int(thread_id()) if callable(thread_id) else None


def _kill(engine: Engine, number: int) -> None:
    """KILL QUERY, over one more connection of the project's Engine."""

    def kill() -> None:
        fairy = engine.pool.recreate().connect()
        fairy.detach()
        cursor = fairy.cursor()
        cursor.execute(f"KILL QUERY {number}")
        cursor.close()
        fairy.close()

    if engine.dialect.is_async:  # in a loop of this thread's own
        import asyncio

        from sqlalchemy.util import greenlet_spawn

        asyncio.run(greenlet_spawn(kill))
    else:
        kill()
