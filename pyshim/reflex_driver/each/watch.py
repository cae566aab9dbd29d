"""Where a run connects: to the database of its line, and to no other.

It is seen where env.py calls `context.configure` (hooks.py).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import make_url

from ..course import Course

if TYPE_CHECKING:
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy.engine import URL, Connection

_PORTS = {"postgresql": "5432", "mysql": "3306", "mariadb": "3306"}


class ElsewhereError(Exception):
    """env.py has connected to another database than that of the line."""


class Watch(Course):
    """The course of one database's run. `expected` is the URL of its database, "" is any."""

    def __init__(self, expected: str, *, verbose: bool) -> None:
        super().__init__(verbose=verbose)
        self._expected = make_url(expected) if expected else None
        self.elsewhere = ""  # which database env.py connects to, if it is another

    def configured(self, context: MigrationContext) -> None:
        """Refuse another database than the one of the line."""
        if self._expected is not None and context.connection is not None:
            actual = _reached(context.connection, self._expected)
            if actual is not None:
                self.elsewhere = (
                    f"env.py connects to {actual}, and not to {_shown(self._expected)}; "
                    "nothing was run there"
                )
                self.refuse()
        super().configured(context)

    def refuse(self) -> None:
        """Refuse it still, where env.py goes on."""
        if self.elsewhere:
            raise ElsewhereError(self.elsewhere)


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
