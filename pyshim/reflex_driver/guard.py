"""Around one run of Alembic: a lock, timeouts, and interrupts that reach the server.

Nothing here changes what Alembic does. The guard listens at two public places:
`EnvironmentContext.configure`, which every env.py calls with its connection,
and SQLAlchemy's pool events. The lock itself is held by the Go side, on a
connection of its own; `_reflex` is its module in this interpreter.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import os
import signal
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

import _reflex
from alembic.runtime.environment import EnvironmentContext
from sqlalchemy import event, make_url
from sqlalchemy.engine import Engine
from sqlalchemy.pool import Pool

from . import configuration
from .usage import UsageError

if TYPE_CHECKING:
    from types import FrameType, TracebackType

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy.engine import URL, Connection


class Guard:
    """A context manager around `run_cmd`."""

    def __init__(self, config: Config, options: argparse.Namespace) -> None:
        self._config = config
        self._options = options
        self._configure = EnvironmentContext.configure
        self._interrupts = Interrupts()

    def __enter__(self) -> None:
        self._wait()
        guard, configure = self, self._configure

        def configured(env: EnvironmentContext, *args: Any, **kwargs: Any) -> None:
            configure(env, *args, **kwargs)
            guard._configured(env.get_context())

        self._replace(functools.wraps(configure)(configured))
        self._interrupts.start()

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _exc: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._interrupts.stop()
        self._replace(self._configure)

    @staticmethod
    def _replace(configure: Any) -> None:
        EnvironmentContext.configure = configure  # type: ignore[method-assign]

    def _wait(self) -> None:
        """--wait: until the server that the configuration names answers."""
        seconds = getattr(self._options, "wait", None)
        url = configuration.url(self._config)
        if seconds and url and make_url(url).get_backend_name() == "postgresql":
            _ask(_reflex.wait, url=url, seconds=seconds)

    def _configured(self, context: MigrationContext) -> None:
        """env.py has its connection: lock the database before anything is read from it."""
        connection = context.connection
        if context.as_sql or connection is None:
            return
        if not getattr(self._options, "changes_database", False):
            return
        self._set_timeouts(connection)
        if not self._options.no_lock:
            _ask(
                _reflex.lock,
                url=_text(connection.engine.url),
                backend=connection.dialect.name,
                database=connection.engine.url.database or "",
                table=context.version_table,
                schema=context.version_table_schema or "",
                seconds=self._options.lock_timeout,
                verbose=getattr(self._options, "verbose", False),
            )
            context.on_version_apply_callbacks = (
                *context.on_version_apply_callbacks,
                _still_locked,
            )

    def _set_timeouts(self, connection: Connection) -> None:
        timeouts = {
            "lock_timeout": self._options.ddl_lock_timeout,
            "statement_timeout": self._options.statement_timeout,
        }
        given = {name: value for name, value in timeouts.items() if value is not None}
        if not given:
            return
        if connection.dialect.name != "postgresql":
            raise UsageError(
                "--ddl-lock-timeout and --statement-timeout are PostgreSQL's; "
                f"this database is {connection.dialect.name}"
            )

        def set_timeouts(conn: Connection) -> None:
            # At each begin, because a rollback takes a SET back.
            for name, value in given.items():
                conn.exec_driver_sql(f"SET {name} = {round(value * 1000)}")

        event.listen(connection, "begin", set_timeouts)
        if connection.in_transaction():
            set_timeouts(connection)


def _still_locked(**_: Any) -> None:
    """Called after a migration ran and before it commits; raises if the lock was lost."""
    _reflex.check("")


def _ask(function: Any, **arguments: Any) -> None:
    function(json.dumps(arguments))


def _text(url: URL) -> str:
    return url.render_as_string(hide_password=False)


class Interrupts:
    """Cancel what the server is doing when a signal comes.

    Python runs a signal's handler between two bytecodes, and a driver written
    in C returns only when the server has answered. So a thread waits for the
    signal beside it, and cancels the statements of every open connection; the
    driver returns, and the handler raises in the main thread.
    """

    # Between one attempt to cancel and the next, in seconds.
    PAUSES = (0.01, 0.1, 0.4, 1.0, 3.0)
    PATIENCE = 0.4  # after this pause, a driver that still connects is not waited for
    LIMIT = 2.0  # for an attempt that hangs when the run is over, in seconds

    def __init__(self) -> None:
        self._open: dict[int, Any] = {}
        # One that is being closed may first wait for its statement.
        self._closing: deque[Any] = deque(maxlen=8)
        self._connecting = False
        self._over = threading.Event()
        self._process = os.getpid()
        self._thread = threading.Thread(
            target=self._cancel_on_signal, name="reflex-interrupts", daemon=True
        )

    def start(self) -> None:
        # asyncio.run() takes SIGINT over if its handler is the default one, and
        # then cancels its task only, which does not end a migration's own code.
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _interrupted)
        event.listen(Engine, "do_connect", self._connect)
        event.listen(Pool, "connect", self._opened)
        event.listen(Pool, "close", self._closed)
        self._thread.start()

    def stop(self) -> None:
        if os.getpid() != self._process:
            return  # env.py has forked, and the child has neither the thread nor Go
        self._over.set()
        _reflex.finish("")
        # To cancel, libpq connects once more, which a broken network can keep it at.
        self._thread.join(self.LIMIT)
        event.remove(Engine, "do_connect", self._connect)
        event.remove(Pool, "connect", self._opened)
        event.remove(Pool, "close", self._closed)

    def _connect(self, *_: object) -> None:
        self._connecting = True

    def _opened(self, connection: Any, _record: object) -> None:
        self._connecting = False
        self._open[id(connection)] = connection

    def _closed(self, connection: Any, _record: object) -> None:
        if self._open.pop(id(connection), None) is not None:
            self._closing.append(connection)

    def _cancel_on_signal(self) -> None:
        if not _reflex.interrupted(""):
            return  # the run is over
        self._cancel()
        for pause in self.PAUSES:  # a statement that was about to begin has not heard of it
            if self._over.wait(pause):
                return
            self._cancel()
            if self._connecting and pause >= self.PATIENCE:
                # libpq and getaddrinfo() wait on, whatever the signal. What is open
                # beside that is rolled back by the server.
                _reflex.abandon("")

    def _cancel(self) -> None:
        for connection in [*self._open.values(), *self._closing]:
            cancel = _canceller(connection)
            if cancel is not None:
                with contextlib.suppress(Exception):  # it may have closed meanwhile
                    cancel()


def _canceller(connection: Any) -> Any:
    """What ends the statement that runs on a DBAPI connection, callable from any thread.

    psycopg and psycopg2 have cancel(), sqlite3 has interrupt(). Under asyncio
    the event loop cancels the task, and asyncpg its statement, but aiosqlite
    waits for the thread in which its sqlite3 connection works.
    """
    cancel = getattr(connection, "cancel", None) or getattr(connection, "interrupt", None)
    if cancel is None:
        of_aiosqlite = getattr(getattr(connection, "driver_connection", None), "_conn", None)
        cancel = getattr(of_aiosqlite, "interrupt", None)
    return cancel


def _interrupted(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
