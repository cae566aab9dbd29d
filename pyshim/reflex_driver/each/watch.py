"""Where a run connects, what it finds there and what it runs.

All of it is seen where env.py calls `context.configure` (hooks.py).
"""

from __future__ import annotations

import functools
import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic.runtime.migration import MigrationContext
from sqlalchemy.engine import make_url

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from alembic.runtime.environment import EnvironmentContext
    from sqlalchemy.engine import URL, Connection

    from ..exits import Outcome

_PORTS = {"postgresql": "5432", "mysql": "3306", "mariadb": "3306"}


@dataclass
class Found:
    """What became of a database: its revisions before and after. None means not known."""

    before: list[str] | None = None
    after: list[str] | None = None
    revisions: int = 0
    target: str | None = None  # the revision that the command was to reach


class ElsewhereError(Exception):
    """env.py has connected to another database than that of the line."""


class Watch:
    """An observer of one run (hooks.py). `expected` is the URL of its database, "" is any."""

    def __init__(self, expected: str) -> None:
        self._expected = make_url(expected) if expected else None
        self._context: MigrationContext | None = None
        self._before: tuple[str, ...] | None = None
        self._after: tuple[str, ...] | None = None
        self._target: str | None = None
        self._done = 0
        self._begun = False  # whether a revision was
        self.elsewhere = ""  # which database env.py connects to, if it is another

    def configuring(self, env: EnvironmentContext) -> None:
        """Have the function that names the revisions to run pass by here."""
        function = env.context_opts.get("fn")
        if function is not None and not hasattr(function, "_reflex_watched"):
            env.context_opts["fn"] = self._watched(function)

    def configured(self, context: MigrationContext) -> None:
        """Refuse another database than the one of the line."""
        self._context = context
        if self._expected is None or context.connection is None:
            return
        actual = _reached(context.connection, self._expected)
        if actual is not None:
            self.elsewhere = (
                f"env.py connects to {actual}, and not to {_shown(self._expected)}; "
                "nothing was run there"
            )
            raise ElsewhereError(self.elsewhere)

    def _watched(self, function: Callable[..., Iterable[Any]]) -> Callable[..., Iterator[Any]]:
        watch = self

        @functools.wraps(function)
        def steps(heads: Any, context: MigrationContext) -> Iterator[Any]:
            if watch.elsewhere:  # and env.py has gone on
                raise ElsewhereError(watch.elsewhere)
            if watch._before is None:
                watch._before = watch._after = tuple(heads)
            planned = function(heads, context)
            watch._target = _end_of(planned)
            for step in planned:
                watch._begun = True
                yield step
                watch._done += 1
            if watch._begun:
                watch._after = context.get_current_heads()

        steps._reflex_watched = True  # type: ignore[attr-defined]
        return steps

    def result(self, outcome: Outcome) -> Found:
        """What became of the database; asks it where the run has failed half way."""
        found = Found(revisions=self._done, target=self._target)
        if self._before is None:
            return found
        found.before = sorted(self._before)
        if outcome.succeeded:
            found.after = sorted(self._after or ())
        elif not self._begun:
            found.after = found.before
        elif not outcome.signal:
            after = self._ask()
            found.after = None if after is None else sorted(after)
            if found.after == found.before:  # all in one transaction
                found.revisions = 0
        return found

    def _ask(self) -> tuple[str, ...] | None:
        """The revisions that the database is at, on a new connection of the project's Engine."""
        context = self._context
        if context is None or context.connection is None:
            return None
        engine = context.connection.engine
        options = {
            "version_table": context.version_table,
            "version_table_schema": context.version_table_schema,
        }

        def ask() -> tuple[str, ...]:
            with engine.connect() as connection:
                return MigrationContext.configure(connection, opts=options).get_current_heads()

        disabled = logging.root.manager.disable
        logging.disable()  # what Alembic would say of this is not of the run
        try:
            if not engine.dialect.is_async:
                return ask()
            import asyncio

            from sqlalchemy.util import greenlet_spawn

            engine.dispose(close=False)  # of a loop that has ended
            return asyncio.run(greenlet_spawn(ask))
        except Exception:  # noqa: BLE001 - the failure is told; where it left the database is not known
            return None
        finally:
            logging.disable(disabled)


def _end_of(planned: Any) -> str | None:
    """Where the last of the planned steps leads to; None if there is none, or not one place."""
    if not isinstance(planned, list) or not planned:
        return None
    revisions = tuple(planned[-1].to_revisions)
    if not revisions:
        return "base"
    return str(revisions[0]) if len(revisions) == 1 else None


def server(url: str) -> str:
    """The kind of a URL's database, its host and its port, in one word."""
    place = _place(make_url(url))
    return "" if place is None else f"{place[0]}://{place[1]}"


def _reached(connection: Connection, expected: URL) -> str | None:
    """The database that a connection is to, where that is not the expected one."""
    place = _place(expected)
    if place is None or _place(connection.engine.url) == place:
        return None
    told = _told(connection)  # where a `creator` or a listener has changed what the URL says
    if told is not None and told == place:
        return None
    if told is not None and told[0] == "sqlite":
        return f"sqlite:///{told[2]}"
    return _shown(connection.engine.url)


def _place(url: URL) -> tuple[str, str, str] | None:
    """The kind of database, host and port, and database; None where nothing can be compared."""
    backend = url.get_backend_name().replace("mariadb", "mysql")
    if backend == "sqlite":
        file = url.database or ""
        if file.startswith("file:"):
            file = file.removeprefix("file:").partition("?")[0]
        if file in ("", ":memory:"):
            return None
        return backend, "", os.path.realpath(file)
    hosts, ports = _values(url, "host"), _values(url, "port")
    host = (url.host or ",".join(hosts)).lower()
    port = str(url.port or ",".join(ports) or _PORTS.get(backend, ""))
    return backend, f"{host}:{port}", url.database or url.username or ""


def _values(url: URL, name: str) -> tuple[str, ...]:
    value = url.query.get(name, ())
    return (value,) if isinstance(value, str) else tuple(value)


def _told(connection: Connection) -> tuple[str, str, str] | None:
    """The same, as the driver tells it, where it does."""
    driver: Any = connection.connection.driver_connection
    backend = connection.dialect.name
    if backend == "sqlite" and not connection.dialect.is_async:
        cursor = driver.cursor()
        try:
            cursor.execute("PRAGMA database_list")  # which reads nothing and locks nothing
            file = next((file for _, name, file in cursor.fetchall() if name == "main"), "")
        finally:
            cursor.close()
        return backend, "", os.path.realpath(file) if file else ":memory:"
    info = getattr(driver, "info", None)  # psycopg, psycopg2
    if backend == "postgresql" and hasattr(info, "dbname"):
        assert info is not None
        return backend, f"{info.host}:{info.port}".lower(), str(info.dbname)
    return None


def _shown(url: URL) -> str:
    """A URL's database, for people: without a user, a password and parameters."""
    place = url.host or ",".join(_values(url, "host"))
    if url.port:
        place += f":{url.port}"
    return f"{url.get_backend_name()}://{place}/{url.database or ''}"
