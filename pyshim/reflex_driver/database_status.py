"""Where a database stands: what one `context.configure` of env.py leads to, as data.

Everything is asked on env.py's own connection, of Alembic's MigrationContext
and ScriptDirectory; nothing is written.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from alembic.script.revision import ResolutionError, RevisionError
from alembic.util import CommandError
from sqlalchemy import inspect
from sqlalchemy.exc import DBAPIError

from . import history, lock

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from alembic.runtime.migration import MigrationContext
    from alembic.script import Script, ScriptDirectory
    from sqlalchemy.engine import Connection

    from .lock.protocol import Holder

_SERVERS = {
    "postgresql": "PostgreSQL",
    "mysql": "MySQL",
    "mariadb": "MariaDB",
    "sqlite": "SQLite",
    "mssql": "SQL Server",
    "oracle": "Oracle",
}

# Invalid, and no CREATE INDEX CONCURRENTLY or REINDEX CONCURRENTLY at work on the
# table, which would hold this lock. An index on a partitioned table (I) is
# invalid until it has all its parts.
_INVALID_INDEXES = """
    SELECT n.nspname, c.relname, t.relname
    FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid JOIN pg_class t ON t.oid = i.indrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE NOT i.indisvalid AND c.relkind = 'i' AND NOT EXISTS (
        SELECT FROM pg_locks l JOIN pg_database d ON d.oid = l.database
        WHERE d.datname = current_database() AND l.locktype = 'relation' AND l.granted
        AND l.relation = i.indrelid AND l.mode = 'ShareUpdateExclusiveLock')
    ORDER BY 1, 2"""


@dataclass(frozen=True)
class Revisions:
    """What the version table says, beside what the project has."""

    current: list[str]  # the rows of the version table
    unknown: list[str]  # those of them that the project does not have
    pending: list[Script]  # in the order in which they would be applied
    none_in: str = ""  # where the project should have revisions, if it has none at all

    @property
    def up_to_date(self) -> bool:
        """Whether the database has all of the project's revisions, and no other.

        A project without revisions says nothing of its database: an image that lacks its
        versions directory would pass.
        """
        return not self.pending and not self.unknown and not self.none_in


@dataclass(frozen=True)
class Index:
    """An index that an interrupted CREATE INDEX CONCURRENTLY has left behind."""

    schema: str
    name: str
    table: str
    sql: str  # its name as a statement takes it


@dataclass(frozen=True)
class DatabaseStatus:
    """What is known of one database, or of one version table of it."""

    url: str  # without password and query
    server: str
    server_version: str
    version_table: str
    version_table_schema: str | None
    version_table_exists: bool
    revisions: Revisions
    lock: Holder | None
    invalid_indexes: list[Index] = field(default_factory=list)

    def document(self) -> dict[str, Any]:
        """The part of `status --json` that is about this database; docs/status.md."""
        holder = self.lock
        return {
            "database": self.url,
            "server": {"name": self.server, "version": self.server_version or None},
            "version_table": {
                "schema": self.version_table_schema,
                "name": self.version_table,
                "exists": self.version_table_exists,
            },
            "current": self.revisions.current,
            "pending": [revision.revision for revision in self.revisions.pending],
            "unknown": self.revisions.unknown,
            "up_to_date": self.revisions.up_to_date,
            "lock": None
            if holder is None
            else {
                "holder": holder.description,
                "pid": holder.pid,
                "since": holder.since.isoformat(timespec="seconds") if holder.since else None,
                "waits": holder.waits,
            },
            "invalid_indexes": [
                {"schema": index.schema, "name": index.name, "table": index.table}
                for index in self.invalid_indexes
            ],
        }


def compare(script: ScriptDirectory, rows: Sequence[str]) -> Revisions:
    """Sort the rows of the version table, and find the revisions that are not applied yet."""
    known, unknown = [], []
    for row in rows:
        try:
            known.append(script.get_revision(row).revision)
        except CommandError as exc:
            if not isinstance(exc.__cause__, ResolutionError):
                raise
            unknown.append(row)
    # Below an unknown revision nobody knows what has been applied.
    newest_first: list[Script] = []
    if not unknown:
        try:
            newest_first = list(script.iterate_revisions("heads", tuple(known), implicit_base=True))
        except RevisionError as exc:  # one row is of a revision that another's follows
            raise CommandError(
                f"The version table can't be right: {exc}. `upgrade` would say the same; "
                "`stamp --purge REVISION` writes the table anew"
            ) from exc
    none_in = "" if script.get_heads() else history.directories(script)
    return Revisions(sorted(known) + sorted(unknown), sorted(unknown), newest_first[::-1], none_in)


def ask(context: MigrationContext, script: ScriptDirectory, rows: Sequence[str]) -> DatabaseStatus:
    """Ask the database that `context` is connected to; `rows` are its version table's."""
    connection = context.connection
    assert connection is not None
    dialect = connection.dialect
    name = "mariadb" if getattr(dialect, "is_mariadb", False) else dialect.name
    version = getattr(dialect, "server_version_info", None) or ()
    url = connection.engine.url.set(query={})
    exists = bool(rows) or inspect(connection).has_table(
        context.version_table, schema=context.version_table_schema
    )
    return DatabaseStatus(
        url=url.render_as_string(hide_password=True),
        server=_SERVERS.get(name, name),
        server_version=".".join(str(part) for part in version),
        version_table=context.version_table,
        version_table_schema=context.version_table_schema,
        version_table_exists=exists,
        revisions=compare(script, rows),
        lock=lock.holder(context),
        invalid_indexes=_invalid_indexes(connection) if name == "postgresql" else [],
    )


def invalid_indexes(ask: Callable[[str], list[Any]]) -> str:
    """PostgreSQL's invalid indexes, as a statement takes them; `ask` answers with a row."""
    row = ask(f"""
        SELECT string_agg(quote_ident(i.nspname) || '.' || quote_ident(i.relname), ', ')
        FROM ({_INVALID_INDEXES}) AS i (nspname, relname, of_table)""")
    return str(row[0]) if row and row[0] else ""


def _invalid_indexes(connection: Connection) -> list[Index]:
    quote = connection.dialect.identifier_preparer.quote
    try:
        rows = connection.exec_driver_sql(_INVALID_INDEXES).fetchall()
    except DBAPIError as exc:
        if exc.connection_invalidated:
            raise
        return []  # a server that only resembles PostgreSQL
    return [
        Index(schema, index, table, f"{quote(schema)}.{quote(index)}")
        for schema, index, table in rows
    ]
