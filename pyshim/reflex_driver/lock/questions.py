"""Questions on a connection that neither SQLAlchemy nor the project notices."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.runtime.migration import MigrationContext
    from sqlalchemy.engine import Connection
    from sqlalchemy.pool import PoolProxiedConnection


def ask(fairy: PoolProxiedConnection, sql: str) -> list[Any]:
    """The first row that `sql` returns, or an empty one."""
    cursor = fairy.cursor()
    try:
        cursor.execute(sql)
        row = cursor.fetchone() if cursor.description else None
        # Bytes are text of an encoding that the driver does not know, or of MySQL's own.
        return [
            value.decode(errors="backslashreplace") if isinstance(value, bytes) else value
            for value in row or ()
        ]
    finally:
        cursor.close()


@contextlib.contextmanager
def unnoticed(connection: Connection) -> Iterator[PoolProxiedConnection]:
    """The migration's own connection, for questions that leave no trace in it.

    Unless the project had begun a transaction before, each question is its own, by the
    driver's autocommit: as in SQLAlchemy's `do_ping`, no BEGIN and no ROLLBACK is sent.
    """
    fairy = connection.connection
    if has_begun(connection):
        yield fairy
        return
    driver: Any = fairy.dbapi_connection
    local = _autocommit_is_local(driver)
    if local:
        driver.autocommit = True

    def end() -> None:
        if local:
            driver.autocommit = False
        else:
            fairy.rollback()

    try:
        yield fairy
    except BaseException:
        with contextlib.suppress(Exception):  # the connection may be lost
            end()
        raise
    end()


def _autocommit_is_local(driver: Any) -> bool:
    """Whether the driver's autocommit is off, and is switched without a word to the server.

    psycopg2 tells the server where the session has an isolation level of its own
    (https://www.psycopg.org/docs/connection.html#connection.autocommit).
    """
    characteristics = ("isolation_level", "readonly", "deferrable")
    if hasattr(driver, "set_session") and any(
        getattr(driver, name) is not None for name in characteristics
    ):
        return False
    return getattr(driver, "autocommit", None) is False


def has_begun(connection: Connection) -> bool:
    """Whether a transaction of the project's is open on the server.

    SQLAlchemy does not know. Its own transaction begins earlier than the driver's, which
    begins with the first statement. And a statement that the project gives to the driver
    itself begins one, too.
    """
    driver: Any = connection.connection.driver_connection
    info = getattr(driver, "info", None)  # psycopg, psycopg2
    if info is not None and hasattr(info, "transaction_status"):
        return bool(info.transaction_status != 0)
    if hasattr(driver, "is_in_transaction"):  # asyncpg
        return bool(driver.is_in_transaction())
    return bool(getattr(driver, "_in_transaction", connection.in_transaction()))  # pg8000


def version_schema(connection: Connection, context: MigrationContext) -> str | None:
    """The version table's schema, if one is named, as SQLAlchemy translates it."""
    schema = context.version_table_schema
    translated: dict[str | None, str | None]
    translated = connection.get_execution_options().get("schema_translate_map") or {}
    return translated.get(schema, schema)
