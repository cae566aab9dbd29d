"""The lock's own connection to a server, made by the project's Engine."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

from .. import sockets as all_sockets
from ..progress import pause
from ..sockets import Limit, limited, make_harmless, opened_from_now_on, shut_down
from .errors import LOCK_URL, NoLockError, UnreachableError
from .loops import in_new_loop, keep_forever, running_loop
from .protocol import Session
from .questions import ask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection, Engine
    from sqlalchemy.pool import Pool, PoolProxiedConnection

# To connect, and for each answer, in seconds. The migration has connected already.
LIMIT = 15.0

_END_LIMIT = 2.0  # for what ends the migration's own sessions, when a signal ends the run

_APART_LIMIT = 5.0  # to connect once more and ask, in seconds

_PATIENCE = 0.3  # with a question, in seconds, when a signal has come

_SILENT = logging.Logger(__name__)
_SILENT.disabled = True


class OwnConnection:
    """One more connection by the Engine of the migration's, in autocommit."""

    def __init__(self, connection: Connection) -> None:
        url = os.environ.get(LOCK_URL, "").strip()
        self.by_url = bool(url)
        self._is_async = connection.dialect.is_async
        self._engine = _same_driver(url, connection.engine) if url else connection.engine
        self._migration = connection.connection.driver_connection
        self._loop = running_loop()
        self._sockets: set[tuple[int, int]] = set()
        self._use(self.connect())
        self._limit = Limit(LIMIT, lambda: self._sockets)

    def connect(self, database: str = "") -> PoolProxiedConnection:
        """A new connection, by the Engine's creator and events, in no pool of the project's.

        `database` is another one of the same server; an Engine with a creator does not
        follow it.
        """
        sockets = opened_from_now_on()
        try:
            with limited(LIMIT, sockets), self._leading_to(database):
                fairy = self._connect()
        except NoLockError:
            raise
        except Exception as exc:
            raise UnreachableError(exc, by_url=self.by_url) from exc
        self._opened = sockets()
        return fairy

    def _connect(self) -> PoolProxiedConnection:
        dialect = self._engine.dialect
        pool = _recreate(self._engine.pool)
        all_sockets.opening = True
        try:
            fairy = pool.connect()
        finally:
            all_sockets.opening = False
        fairy.detach()  # from now on no pool closes it, and it may be the migration's own
        assert fairy.dbapi_connection is not None
        if dialect.get_driver_connection(fairy.dbapi_connection) is self._migration:
            raise NoLockError("this Engine has one connection only, which is the migration's")
        # A listener may have left a transaction open, in which no driver takes the next.
        fairy.rollback()
        dialect.set_isolation_level(fairy.dbapi_connection, "AUTOCOMMIT")
        return fairy

    @contextlib.contextmanager
    def _leading_to(self, database: str) -> Iterator[None]:
        if not database:
            yield
            return
        dialect = self._engine.dialect
        _, given = dialect.create_connect_args(self._engine.url.set(database=database))
        name = next(key for key, value in given.items() if value == database)

        def lead(_dialect: Any, _record: Any, _args: Any, parameters: dict[str, Any]) -> None:
            parameters[name] = database

        event.listen(dialect, "do_connect", lead)
        try:
            yield
        finally:
            event.remove(dialect, "do_connect", lead)

    def _use(self, fairy: PoolProxiedConnection) -> None:
        """Make this one the lock's connection. It is the last that `connect` has returned."""
        self._fairy = fairy
        self._sockets = self._opened

    def driver_connection(self) -> Any:
        """The driver's own object; a detached fairy does not give it."""
        assert self._fairy.dbapi_connection is not None
        return self._engine.dialect.get_driver_connection(self._fairy.dbapi_connection)

    def ask(self, sql: str) -> list[Any]:
        """The first row that `sql` returns, on the lock's connection.

        Raises TimeoutError if there is no answer within LIMIT.
        """
        with self._limit:
            return ask(self._fairy, sql)

    def interrupt(self) -> None:
        since = self._limit.since
        if since is not None and time.monotonic() - since >= _PATIENCE:
            shut_down(self._sockets)

    def close(self) -> None:
        if self._is_async:
            # Its event loop has ended. The server hears of the end of the process.
            self._limit.end()
            keep_forever(self._fairy)
            return
        self.discard()

    def end(self) -> bool:
        """See protocol.Session. The server drops what the connection holds."""
        self._limit.end()
        keep_forever(self._fairy)
        shut_down(self._sockets)
        return bool(self._sockets)

    def discard(self) -> None:
        """Close the connection, in its event loop if it has one."""
        self._limit.end()
        with contextlib.suppress(Exception):  # lost, and reported before the last commit
            close(self._fairy)

    def abandon(self) -> None:
        make_harmless({descriptor for descriptor, _ in self._sockets})


class SQLSession(OwnConnection, Session):
    """A server's session, which holds the locks of a run."""

    def __init__(self, connection: Connection) -> None:
        Session.__init__(self)
        OwnConnection.__init__(self, connection)

    def sleep(self, longest: float) -> None:
        pause(longest, is_async=self._is_async)

    def ask_apart(self, sql: str) -> list[Any]:
        """With an asyncio driver on one more connection, in an event loop of its own."""
        found: list[Any] = []

        def look() -> None:
            with self._anew() as fairy:
                found.extend(ask(fairy, sql))

        with contextlib.suppress(Exception):  # what can't be told is not told
            if self._is_async:
                in_new_loop(look, _APART_LIMIT)
            else:
                found.extend(self.ask(sql))
        return found

    def end_migrations(self) -> None:
        """End `backends`, with an asyncio driver over one more connection in a new event loop."""
        if not self.backends:
            return
        with contextlib.suppress(Exception):
            if self._is_async:
                in_new_loop(self._end_backends_anew, _END_LIMIT)
            else:
                with limited(_END_LIMIT, lambda: self._sockets):
                    self._end_backends(self._fairy)

    def _end_backends_anew(self) -> None:
        with self._anew() as fairy:
            self._end_backends(fairy)

    @contextlib.contextmanager
    def _anew(self) -> Iterator[PoolProxiedConnection]:
        """One more connection, which may be of another event loop than the lock's."""
        fairy = self.connect()
        try:
            yield fairy
        finally:
            close(fairy)

    def _end_backends(self, fairy: PoolProxiedConnection) -> None:
        """End `backends`, if they are there still."""
        raise NotImplementedError


def close(fairy: PoolProxiedConnection) -> None:
    """End a detached connection; a fairy does not by itself, with some asyncio drivers."""
    assert fairy.dbapi_connection is not None
    fairy.dbapi_connection.close()


def _recreate(pool: Pool) -> Pool:
    """Another pool of the same kind, creator and events; the project's log shows neither."""
    logger = pool.logger
    pool.logger = _SILENT
    try:
        apart = pool.recreate()
    finally:
        pool.logger = logger
    apart.logger = _SILENT
    return apart


def _same_driver(url: str, engine: Engine) -> Engine:
    try:
        direct = make_url(url).set(drivername=engine.url.drivername)
        if engine.dialect.is_async:
            from sqlalchemy.ext.asyncio import create_async_engine

            return create_async_engine(direct, poolclass=NullPool).sync_engine
        return create_engine(direct, poolclass=NullPool)
    except Exception as exc:
        raise UnreachableError(exc, by_url=True) from exc
