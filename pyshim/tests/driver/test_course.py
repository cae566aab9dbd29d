"""What a run says of itself at its end: which revisions it ran, and where that has led."""

import json
import re
from datetime import datetime
from pathlib import Path

import pytest

from reflex_driver.lock import sqlite

from .running import Project

TIME = r"(\d+\.\d\d? s|\d+m\d*s?)"

LOGGING = """
import logging
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
logging.getLogger("alembic").addHandler(logging.FileHandler("run.log"))
"""

ONE_TRANSACTION = """
from alembic import context
from sqlalchemy import create_engine, event, pool
engine = create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)
@event.listens_for(engine, "connect")
def leave_transactions_to_us(connection, _record):
    connection.isolation_level = None
@event.listens_for(engine, "begin")
def begin(connection):
    connection.exec_driver_sql("BEGIN")
with engine.connect() as connection:
    context.configure(connection=connection, transactional_ddl=True)
    with context.begin_transaction():
        context.run_migrations()
"""


# In the place of `transactional_ddl`: a transaction for each revision.
PER_MIGRATION = "transaction_per_migration=True, transactional_ddl"


@pytest.fixture
def two(project: Project) -> Project:
    project.revision("a1")
    project.revision("b2", "a1")
    return project


def test_a_run_ends_with_one_line(two: Project) -> None:
    done = two.run("upgrade", "head").check()
    assert done.stdout == ""
    assert re.fullmatch(rf"2 revisions in {TIME}; app\.db is at b2 \(head\)\n", done.stderr)
    done = two.run("migrate").check()
    assert done.stderr == "app.db is at b2 (head): nothing to do\n"
    done = two.run("downgrade", "-1").check()
    assert re.fullmatch(rf"1 revision taken back in {TIME}; app\.db is at a1\n", done.stderr)
    done = two.run("downgrade", "base").check()
    assert re.fullmatch(rf"1 revision taken back in {TIME}; app\.db is at <base>\n", done.stderr)


def test_each_revisions_time_with_v(two: Project) -> None:
    done = two.run("upgrade", "head", "-v").check()
    told = rf"(?m)^a1 took {TIME}\nb2 took {TIME}\n2 revisions in {TIME}; "
    assert re.search(told, done.stderr)


def test_a_project_without_revisions_is_told_of(project: Project) -> None:
    done = project.run("upgrade", "head").check()
    assert done.stderr == (
        "The project has no revisions in alembic/versions; app.db is at <base>: nothing to do\n"
    )


@pytest.mark.parametrize("quiet", [["-q", "upgrade", "head"], ["upgrade", "head", "-q"]])
def test_quiet(two: Project, quiet: list[str]) -> None:
    """Not a word on stderr; a log that goes elsewhere is the project's, and whole."""
    two.write("alembic/env.py", LOGGING + two.directory.joinpath("alembic/env.py").read_text())
    done = two.run(*quiet, "-v" if quiet[-1] == "-q" else "--no-lock").check()
    assert (done.stdout, done.stderr.replace("\n", "")) == ("", "")
    assert "Running upgrade a1 -> b2" in two.directory.joinpath("run.log").read_text()


def test_status_begins_with_itself(two: Project) -> None:
    two.write("alembic/env.py", LOGGING + two.directory.joinpath("alembic/env.py").read_text())
    assert two.run("status").check().stderr == ""
    assert "INFO Context impl SQLiteImpl." in two.run("current").check().stderr


def test_the_sql_of_a_run_says_nothing_of_a_database(two: Project) -> None:
    two.write(
        "alembic/env.py",
        """
        from alembic import context
        context.configure(dialect_name="sqlite")
        with context.begin_transaction():
            context.run_migrations()
        """,
    )
    done = two.run("upgrade", "head", "--sql").check()
    assert "revision" not in done.stderr


def test_several_databases_are_said_as_far_as_they_are_known(two: Project) -> None:
    two.write(
        "alembic/env.py",
        """
        from alembic import context
        from sqlalchemy import create_engine, pool
        for name in "one", "two", "three", "four":
            engine = create_engine(f"sqlite:///{name}.db", poolclass=pool.NullPool)
            with engine.connect() as connection:
                context.configure(connection=connection)
                with context.begin_transaction():
                    context.run_migrations()
            if name == context.get_x_argument(as_dictionary=True).get("last"):
                break
        """,
    )
    done = two.run("-x", "last=two", "upgrade", "head").check()
    assert re.search(rf"^4 revisions in {TIME}; one.db, two.db are at b2 \(head\)$", done.stderr)
    done = two.run("upgrade", "head").check()
    assert re.search(rf"^4 revisions in {TIME}; 4 databases are at b2 \(head\)$", done.stderr)


@pytest.mark.parametrize("end", ["connection.get_transaction().rollback()", "pass"])
def test_an_env_py_that_does_not_commit(two: Project, end: str) -> None:
    """What Alembic has counted, and env.py has not kept, is not where the database stands."""
    env = ONE_TRANSACTION.replace("with engine.connect() as connection:", "if True:")
    env = env.replace("with context.begin_transaction():", "if True:")
    env = env.replace("if True:", "connection = engine.connect()\nif True:", 1)
    two.write("alembic/env.py", f"{env}\n{end}\n")
    done = two.run("upgrade", "head").check()
    assert done.stderr == "env.py has not committed what was run: app.db is at <base>\n"
    assert two.rows("SELECT name FROM sqlite_master") == []


def test_a_wait_for_the_lock_leaves_a_line(two: Project) -> None:
    two.database.touch()
    session = sqlite.SQLiteSession(str(two.database))
    assert session.take("")
    with two.start("upgrade", "head") as waiting:
        assert waiting.stderr is not None
        assert "Waiting for another migration" in waiting.stderr.readline()
        session.abandon()
        _, stderr = waiting.communicate(timeout=30)
    told = (
        rf"Waited \S+ for another migration: .*\n2 revisions in {TIME}; app.db is at b2 \(head\)\n"
    )
    assert re.fullmatch(told, stderr)


def failing(project: Project, body: str = "op.execute('SELEC 1')") -> Path:
    project.revision("a1")
    return project.revision("b2", "a1", body)


def test_a_failure_sums_itself_up(project: Project) -> None:
    project.write("alembic/env.py", ONE_TRANSACTION.replace("transactional_ddl", PER_MIGRATION))
    file = failing(project)
    done = project.run("upgrade", "head").check(1)
    assert done.stderr == (
        "Error: b2 (alembic/versions/b2_.py:7) failed and was rolled back; app.db is at a1\n"
        f'  File "{file}", line 7, in upgrade\n'
        "    op.execute('SELEC 1')\n"
        + caret(done.stderr)
        + 'OperationalError: (sqlite3.OperationalError) near "SELEC": syntax error\n'
        "[SQL: SELEC 1]\n"
        "Next: mend alembic/versions/b2_.py, and give the same command again; "
        "--traceback shows every frame\n"
    )
    assert project.at() == ["a1"]


def caret(text: str) -> str:
    """The line with ^^^^ that some Pythons add, where it is there."""
    return "".join(re.findall(r"(?m)^ +[~^]+\n", text))


def test_the_whole_of_it_with_traceback(project: Project) -> None:
    failing(project)
    done = project.run("upgrade", "head", "--traceback").check(1)
    assert done.stderr.startswith("Traceback (most recent call last):\n")
    assert "site-packages" in done.stderr
    assert "\nError: b2 (alembic/versions/b2_.py:7) failed" in done.stderr


def test_one_transaction_takes_all_of_it_back(project: Project) -> None:
    project.write("alembic/env.py", ONE_TRANSACTION)
    failing(project)
    done = project.run("upgrade", "head").check(1)
    assert (
        "Error: b2 (alembic/versions/b2_.py:7) failed and was rolled back; app.db is at <base>\n"
        in done.stderr
    )


def test_what_is_not_rolled_back_is_not_said_to_be(project: Project) -> None:
    """Alembic holds that SQLite's driver takes no DDL back, unless env.py says that it does."""
    failing(project, "op.execute('CREATE TABLE t (x INTEGER)'); op.execute('SELEC 1')")
    done = project.run("upgrade", "head").check(1)
    assert "Error: b2 (alembic/versions/b2_.py:7) failed; app.db is at a1\n" in done.stderr
    assert (
        "Next: this database can't take DDL back, so what the revision had done stays"
        in done.stderr
    )
    assert project.at() == ["a1"]


def test_what_an_autocommit_block_leaves_is_not_said_to_be_rolled_back(project: Project) -> None:
    project.write("alembic/env.py", ONE_TRANSACTION.replace("transactional_ddl", PER_MIGRATION))
    failing(
        project,
        """
        op.execute("CREATE TABLE t (x INTEGER)")
        with op.get_context().autocommit_block():
            op.execute("CREATE TABLE u (x INTEGER)")
        op.execute("SELEC 1")
        """,
    )
    done = project.run("upgrade", "head").check(1)
    assert "Error: b2 (alembic/versions/b2_.py:10) failed; app.db is at a1\n" in done.stderr
    assert "Next: what b2 had committed by then stays" in done.stderr
    assert project.rows("SELECT count(*) FROM t") == [(0,)]


def test_what_a_revision_commits_beside_is_not_said_to_be_rolled_back(project: Project) -> None:
    project.write("alembic/env.py", ONE_TRANSACTION.replace("transactional_ddl", PER_MIGRATION))
    failing(
        project,
        """
        with op.get_bind().engine.begin() as beside:
            beside.exec_driver_sql("CREATE TABLE t (x INTEGER)")
        op.execute("SELEC 1")
        """,
    )
    done = project.run("upgrade", "head").check(1)
    assert "Error: b2 (alembic/versions/b2_.py:9) failed; app.db is at a1\n" in done.stderr
    assert "Next: what b2 had committed by then stays" in done.stderr
    assert project.rows("SELECT count(*) FROM t") == [(0,)]


def test_a_commit_that_fails_is_none(project: Project) -> None:
    project.write(
        "alembic/env.py",
        ONE_TRANSACTION.replace("transactional_ddl", PER_MIGRATION)
        .replace(
            'exec_driver_sql("BEGIN")',
            'exec_driver_sql("BEGIN"); connection.exec_driver_sql("PRAGMA defer_foreign_keys = 1")',
        )
        .replace(
            "isolation_level = None",
            'isolation_level = None; connection.execute("PRAGMA foreign_keys = 1")',
        ),
    )
    failing(
        project,
        """
        op.execute("CREATE TABLE p (id INTEGER PRIMARY KEY)")
        op.execute("CREATE TABLE c (p INTEGER REFERENCES p (id))")
        op.execute("INSERT INTO c VALUES (7)")
        """,
    )
    done = project.run("upgrade", "head").check(1)
    assert "Error: b2 failed and was rolled back; app.db is at a1\n" in done.stderr
    assert "FOREIGN KEY constraint failed" in done.stderr
    assert project.at() == ["a1"]


def test_the_helper_of_a_revision(project: Project) -> None:
    project.write("helper.py", "def mend():\n    raise RuntimeError('as planned')\n")
    failing(project, "import sys; sys.path.insert(0, '.'); import helper; helper.mend()")
    done = project.run("upgrade", "head").check(1)
    assert "Error: b2 (alembic/versions/b2_.py:7) failed" in done.stderr
    assert 'helper.py", line 2, in mend\n    raise RuntimeError' in done.stderr
    assert "env.py" not in done.stderr


def test_models_that_fail(project: Project) -> None:
    project.write("models.py", "\nimport nosuchmodule\n")
    env = project.directory.joinpath("alembic/env.py").read_text()
    project.write("alembic/env.py", "import sys; sys.path.insert(0, '.')\nimport models\n" + env)
    failing(project)
    done = project.run("upgrade", "head").check(1)
    assert re.fullmatch(
        r"Error: stopped at models\.py:2, before any revision was run\n"
        r'  File ".*models\.py", line 2, in <module>\n    import nosuchmodule\n'
        r"ModuleNotFoundError: No module named 'nosuchmodule'\n"
        r"Next: --traceback shows every frame\n",
        done.stderr,
    )
    done = project.run("current").check(1)
    assert done.stderr.startswith("Error: stopped at models.py:2\n")


def test_an_env_py_that_fails_at_its_end(project: Project) -> None:
    env = project.directory.joinpath("alembic/env.py").read_text()
    project.write("alembic/env.py", env + "1 / 0\n")
    project.revision("a1")
    done = project.run("upgrade", "head").check(1)
    told = "Error: stopped at alembic/env.py:8, after 1 revision; app.db is at a1 (head)\n"
    assert done.stderr.startswith(told)


def test_a_revision_that_can_not_be_read(project: Project) -> None:
    file = failing(project)
    file.write_text("revision = 'b2'\ndef upgrade(:\n")
    done = project.run("upgrade", "head").check(1)
    assert done.stderr.startswith("Error: alembic/versions/b2_.py:2 can't be read\n  File ")
    assert done.stderr.endswith("\nSyntaxError: invalid syntax\n")


@pytest.mark.parametrize("where", [0, 2])
def test_the_log_as_json(two: Project, where: int) -> None:
    """What Alembic logs, and what we say: an object a line, whatever the handler's format."""
    two.write("alembic/env.py", LOGGING + two.directory.joinpath("alembic/env.py").read_text())
    two.revision("c3", "b2", "1 / 0")
    argv = ["upgrade", "b2", "-v"]
    done = two.run(*argv[:where], "--log-format", "json", *argv[where:]).check()
    log = [json.loads(line) for line in done.stderr.splitlines()]
    assert {entry["logger"] for entry in log} == {"reflex_driver", "alembic.runtime.migration"}
    assert all(datetime.fromisoformat(entry["time"]) for entry in log)
    assert "Running upgrade a1 -> b2, b2 is made" in [entry["message"] for entry in log]
    assert re.fullmatch(rf"2 revisions in {TIME}; app\.db is at b2", log[-1]["message"])
    done = two.run("upgrade", "head", "--log-format=json").check(1)
    failed = json.loads(done.stderr.splitlines()[-1])
    assert (failed["level"], failed["status"]) == ("error", 1)
    assert failed["summary"] == "c3 (alembic/versions/c3_.py:7) failed; app.db is at b2"
    assert failed["message"] == "ZeroDivisionError: division by zero"
    assert "Running upgrade b2 -> c3" in two.directory.joinpath("run.log").read_text()


def test_the_log_of_each_as_json(two: Project) -> None:
    two.write("alembic/env.py", LOGGING + two.directory.joinpath("alembic/env.py").read_text())
    two.revision("c3", "b2", "1 / 0")
    two.write("list", "one\n")
    url = f"sqlite:///{two.directory}/{{}}.db"
    argv = ["upgrade", "head", "--each", "list", "--log-format", "json"]
    done = two.run(*argv, REFLEX_DB_URL=url).check(1)
    log = [json.loads(line) for line in done.stderr.splitlines()]
    failed = [entry for entry in log if entry["level"] == "error"]
    assert [(entry.get("database"), entry["status"]) for entry in failed] == [("one", 1), (None, 1)]
    running = [entry for entry in log if entry["message"].startswith("Running upgrade b2 -> c3")]
    assert [entry["database"] for entry in running] == ["one"]
