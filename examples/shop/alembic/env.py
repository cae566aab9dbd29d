"""Alembic's environment: which database, which models, how migrations run.

Written by `reflex db init`; yours to edit. It needs SQLAlchemy and Alembic
alone, so the bare `alembic` command works with it as well.
"""

import asyncio
import logging
import os
from logging.config import fileConfig

from alembic import context
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, pool

from shop.models import Base

config = context.config
if config.config_file_name is not None and os.path.isfile(config.config_file_name):
    fileConfig(config.config_file_name, disable_existing_loggers=False)

# What autogenerate compares the database with: a MetaData, or a list.
target_metadata = Base.metadata


def database_url() -> URL:
    """REFLEX_DB_URL or, where that is not set, `sqlalchemy.url` of alembic.ini."""
    url = os.environ.get("REFLEX_DB_URL", "").strip()
    url = url or config.get_main_option("sqlalchemy.url", "")
    if not url:
        raise CommandError(
            "REFLEX_DB_URL is not set. It names the database, for example "
            "postgresql+psycopg://user@localhost/shop or sqlite:///shop.db"
        )
    return make_url(url)


def run_offline(url: URL) -> None:
    """Print the SQL (`--sql`); no connection is made."""
    configure(
        url.get_backend_name(),
        url=url,
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
    )


def run_online(url: URL) -> None:
    """Connect, with a driver of either kind, and migrate."""
    if url.get_dialect().is_async:
        asyncio.run(run_async(url))
        return
    engine = create_engine(url, poolclass=pool.NullPool)
    transactional_sqlite(engine)
    with engine.connect() as connection:
        run_on(connection)


async def run_async(url: URL) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(url, poolclass=pool.NullPool)
    transactional_sqlite(engine.sync_engine)
    async with engine.connect() as connection:
        await connection.run_sync(run_on)


def run_on(connection: Connection) -> None:
    configure(connection.dialect.name, connection=connection)


def configure(dialect: str, **options) -> None:
    """Run the migrations; every option: https://alembic.sqlalchemy.org/en/latest/api/runtime.html"""
    schemas = model_schemas()
    context.configure(
        target_metadata=target_metadata,
        # A migration that fails takes only itself back; those before it stay.
        transaction_per_migration=True,
        # SQLite can't alter a column in place: copy the table instead.
        render_as_batch=dialect == "sqlite",
        # SQLite can roll DDL back, given transactional_sqlite() below.
        transactional_ddl=True if dialect == "sqlite" else None,
        # Compare the schemas that the models use, and no others.
        include_schemas=schemas != {None},
        include_name=lambda name, kind, _: kind != "schema" or name in schemas,
        render_item=import_types,
        process_revision_directives=skip_empty,
        **options,
    )
    with context.begin_transaction():
        context.run_migrations()


def model_schemas() -> set[str | None]:
    """The schemas of the models' tables; None is the database's default schema."""
    metadata = target_metadata or []
    if not isinstance(metadata, (list, tuple)):
        metadata = [metadata]
    return {None} | {table.schema for m in metadata for table in m.tables.values()}


def transactional_sqlite(engine: Engine) -> None:
    """Make SQLite's DDL part of the transaction, so that a failure rolls it back.

    Python's sqlite3 would commit on its own otherwise; this is the recipe of
    https://docs.sqlalchemy.org/en/20/dialects/sqlite.html#pysqlite-serializable
    """
    if engine.dialect.name != "sqlite":
        return

    @event.listens_for(engine, "connect")
    def leave_transactions_to_us(dbapi_connection, _record):
        dbapi_connection.isolation_level = None

    @event.listens_for(engine, "begin")
    def begin(connection):
        connection.exec_driver_sql("BEGIN")


def import_types(kind, item, autogen_context):
    """Let a revision import the column types that are not SQLAlchemy's own."""
    module = type(item).__module__
    if kind == "type" and not module.startswith("sqlalchemy."):
        autogen_context.imports.add(f"import {module}")
    return False  # rendered as usual


def skip_empty(_context, _revision, directives):
    """Write no revision when autogenerate found nothing to change."""
    if not getattr(config.cmd_opts, "autogenerate", False):
        return
    if all(ops.is_empty() for ops in directives[0].upgrade_ops_list):
        directives[:] = []
        logging.getLogger("alembic").info("No changes found: no revision written")


if context.is_offline_mode():
    run_offline(database_url())
else:
    run_online(database_url())
