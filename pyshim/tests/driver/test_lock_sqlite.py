"""The lock of a SQLite file, which SQLite itself takes no notice of."""

import fcntl
import os
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, NullPool, create_engine, text

from reflex_driver.lock import sqlite
from reflex_driver.lock.protocol import Place

from .running import Project, ended, line, program

ASYNC_ENV = """\
import asyncio
from alembic import context
from sqlalchemy.ext.asyncio import create_async_engine


def run(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()


async def main():
    async with create_async_engine(context.config.get_main_option("sqlalchemy.url")).connect() as c:
        await c.run_sync(run)
        await c.commit()


asyncio.run(main())
"""


def place(connection: Connection, **opts: Any) -> Place | None:
    return sqlite.place(connection, MigrationContext.configure(connection, opts=opts))


def test_one_holds_it_and_a_forked_child_does_not(tmp_path: Path) -> None:
    file = tmp_path / "app.db"
    file.touch()
    first, second = sqlite.SQLiteSession(str(file)), sqlite.SQLiteSession(str(file))

    assert first.take("")
    assert not second.take("")
    first.abandon()
    assert second.take("")
    second.abandon()


def test_a_python_without_the_constants_locks_too(tmp_path: Path) -> None:
    """As python-build-standalone's, which is built with the headers of an old Linux."""
    file = tmp_path / "app.db"
    file.touch()
    first = sqlite.SQLiteSession(str(file))
    program = f"""
import fcntl
for name in "F_OFD_GETLK", "F_OFD_SETLK", "F_OFD_SETLKW":
    if hasattr(fcntl, name):
        delattr(fcntl, name)
import tests.driver
from reflex_driver.lock import sqlite
session = sqlite.SQLiteSession({str(file)!r})
print(session.free(), session.take(""))"""

    def ask() -> str:
        return subprocess.run(
            [sys.executable, "-c", program], check=True, capture_output=True, text=True
        ).stdout.strip()

    assert first.take("")
    assert ask() == "False False"
    first.abandon()
    assert ask() == "True True"


def test_sqlite_reads_and_writes_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "app.db"
    database = sqlite3.connect(file)
    session = sqlite.SQLiteSession(str(file))
    assert session.take("")
    for mode in "DELETE", "WAL":
        database.execute(f"PRAGMA journal_mode = {mode}")
        database.execute("CREATE TABLE IF NOT EXISTS t (i)")
        database.execute("INSERT INTO t VALUES (1)")
        database.commit()
    other = subprocess.run(
        [sys.executable, "-c", f"import sqlite3; sqlite3.connect({str(file)!r}).execute('VACUUM')"],
        check=False,
    )
    assert other.returncode == 0
    database.close()
    session.abandon()


def test_place_is_the_file_that_sqlite_has_opened(tmp_path: Path) -> None:
    real, link, other = tmp_path / "real.db", tmp_path / "link.db", tmp_path / "other.db"
    link.symlink_to(real)
    for url in (
        f"sqlite:///{real}",
        f"sqlite:///{link}",
        f"sqlite:///file:{link}?uri=true&cache=shared",
        f"sqlite:///file:{os.path.relpath(real)}?uri=true",
    ):
        engine = create_engine(url, poolclass=NullPool)
        with engine.connect() as connection:
            found = place(connection)
            assert found is not None
            assert found.server == str(real)
            connection.exec_driver_sql(f"ATTACH '{other}' AS other")
            attached = place(connection, version_table_schema="other")
            assert attached is not None
            assert attached.server == str(other)
            translated = connection.execution_options(schema_translate_map={None: "other"})
            assert place(translated) == attached


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///file:x?mode=memory&cache=shared&uri=true"])
def test_memory_has_nobody_to_keep_out(url: str) -> None:
    with create_engine(url, poolclass=NullPool).connect() as connection:
        assert place(connection) is None


def test_holder_asks_and_leaves_nothing_behind(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path / 'app.db'}", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text("CREATE TABLE t (i)"))
        connection.commit()
        found = place(connection)
        assert found is not None
        assert sqlite.holder(connection, found) is None
        session = sqlite.SQLiteSession(found.server)
        assert session.take("")
        holder = sqlite.holder(connection, found)
        assert str(holder) == "another process on this machine"
        session.abandon()
        assert sqlite.holder(connection, found) is None


def test_asking_for_the_holder_keeps_nobody_out(tmp_path: Path) -> None:
    file = tmp_path / "app.db"
    file.touch()
    session = sqlite.SQLiteSession(str(file))
    asking = os.fork()
    if not asking:
        asker = sqlite.SQLiteSession(str(file))
        for _ in range(50_000):
            asker.free()
        os._exit(0)
    while os.waitpid(asking, os.WNOHANG) == (0, 0):
        assert session.take("")
        assert session._descriptor is not None
        sqlite._call(session._descriptor, sqlite._SET_LOCK, fcntl.F_UNLCK)
    session.abandon()


@pytest.mark.parametrize("mode", ["delete", "wal"])
@pytest.mark.parametrize("driver", ["sqlite", "sqlite+aiosqlite"])
def test_a_database_that_another_process_writes(project: Project, mode: str, driver: str) -> None:
    """It is no fault of the revision: the exit status is 6, and Linux tells who it is."""
    if driver != "sqlite":
        pytest.importorskip("aiosqlite")
        project.write("alembic/env.py", ASYNC_ENV)
    project.revision("a1", body="op.execute('CREATE TABLE t (x INTEGER)')")
    holder = program(
        """
        import sqlite3, sys, time
        connection = sqlite3.connect(sys.argv[1], isolation_level=None)
        connection.execute(f"PRAGMA journal_mode = {sys.argv[2]}")
        connection.execute("CREATE TABLE busy (x INTEGER)")
        connection.execute("BEGIN IMMEDIATE")
        print(flush=True)
        time.sleep(600)
        """,
        project.directory,
        str(project.database),
        mode,
    )
    with ended(holder):
        line(holder.stdout)
        url = f"{driver}:///{project.database}?timeout=0.1"
        done = project.run("upgrade", "head", REFLEX_DB_URL=url).check(6)
    assert "the database was busy: database is locked\n" in done.stderr
    assert "?timeout=SECONDS in the URL" in done.stderr
    if sys.platform == "linux":
        assert f"waiting for app.db: held by pid {holder.pid} " in done.stderr
    project.run("upgrade", "head", REFLEX_DB_URL=url).check()
