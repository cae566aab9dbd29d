"""A signal ends the statement that runs, on SQLite."""

import signal
import time
from pathlib import Path

import pytest

from .running import Project, ended, line

# A statement that would take hours; SQLite says nothing of its way.
LONG = (
    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) "
    "SELECT count(*) FROM c WHERE i < 0"
)

ASYNC = """
import asyncio
from alembic import context
from sqlalchemy import pool
from sqlalchemy.ext.asyncio import create_async_engine

def migrate(connection):
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()

async def main():
    url = context.config.get_main_option("sqlalchemy.url")
    engine = create_async_engine(url, poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(migrate)

asyncio.run(main())
"""


def interrupt(project: Project, *numbers: int) -> tuple[int, float, str]:
    """Send signals once the revision says that it runs; status, seconds and stderr."""
    with ended(project.start("upgrade", "head")) as process:
        assert line(process.stdout) == "running"
        time.sleep(0.1)  # so that the statement has begun
        began = time.monotonic()
        for number in numbers:
            process.send_signal(number)
        _, stderr = process.communicate(timeout=60)
        return process.returncode, time.monotonic() - began, stderr


def long(before: str = "", after: str = "") -> str:
    return f"{before}\nprint('running', flush=True)\nop.execute({LONG!r})\n{after}"


@pytest.mark.parametrize(
    ("number", "status", "word"),
    [
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "terminated"),
        (signal.SIGHUP, 129, "hung up"),
    ],
)
def test_a_statement_is_ended(project: Project, number: int, status: int, word: str) -> None:
    project.revision("a1", body=long())
    got, seconds, stderr = interrupt(project, number)
    assert got == status
    assert seconds < 20
    assert f"Error: {word}; " in stderr
    assert "Traceback" not in stderr
    assert project.rows("SELECT * FROM alembic_version") == []


def test_what_was_done_before_it_is_rolled_back(project: Project) -> None:
    project.revision(
        "a1", body="op.execute('CREATE TABLE t (i)')\nop.execute('INSERT INTO t VALUES (1)')"
    )
    project.revision("b2", "a1", body=long("op.execute('INSERT INTO t VALUES (2)')"))
    status, _, _ = interrupt(project, signal.SIGINT)
    assert status == 130
    assert project.at() == ["a1"]
    assert project.rows("SELECT i FROM t") == [(1,)]


def test_what_the_project_makes_of_it(project: Project) -> None:
    """It has caught the interrupt, and no statement after that is cancelled."""
    body = f"""
try:
    print('running', flush=True)
    op.execute({LONG!r})
except (KeyboardInterrupt, sa.exc.OperationalError):
    print('caught', flush=True)
import time
end = time.monotonic() + 1.5
while time.monotonic() < end:
    op.execute("SELECT 1")
op.execute("CREATE TABLE t (i)")
"""
    project.revision("a1", body=body)
    status, _, stderr = interrupt(project, signal.SIGINT)
    assert status == 0, stderr
    assert project.at() == ["a1"]
    assert project.rows("SELECT * FROM t") == []


def test_the_second_signal_does_not_wait(project: Project) -> None:
    body = f"""
def go_on():
    while True:
        try:
            op.execute({LONG!r})
        except BaseException:
            pass
try:
    print('running', flush=True)
    go_on()
except BaseException:  # raised where go_on() catches nothing
    go_on()
"""
    project.revision("a1", body=body)
    with ended(project.start("upgrade", "head")) as process:
        assert line(process.stdout) == "running"
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 143


def test_under_a_loop(project: Project) -> None:
    pytest.importorskip("aiosqlite")
    project.write("alembic/env.py", ASYNC)
    project.env["REFLEX_DB_URL"] = f"sqlite+aiosqlite:///{project.database}"
    project.revision("a1", body=long())
    status, seconds, stderr = interrupt(project, signal.SIGTERM)
    assert (status, "Traceback" in stderr) == (143, False), stderr
    assert seconds < 20


def test_every_database_hears_of_it(project: Project, tmp_path: Path) -> None:
    """--each passes the signal on, and tells what was not begun."""
    project.revision("a1", body="print('x')\n" + long("open('at work', 'w')"))
    project.write("list", "one\ntwo\nthree\n")
    url = f"sqlite:///{project.directory}/{{}}.db"
    argv = ("upgrade", "head", "--each", "list", "--jobs", "1", "--failed", "left")
    with ended(project.start(*argv, REFLEX_DB_URL=url)) as process:
        deadline = time.monotonic() + 30
        while not (project.directory / "at work").exists():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(0.1)
        process.send_signal(signal.SIGHUP)
        stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 129, stderr
    assert "1 interrupted, 2 not begun" in stderr
    assert "Error: hung up" in stderr
    assert stdout.startswith("interrupted one")
    assert (project.directory / "left").read_text() == "one\ntwo\nthree\n"
