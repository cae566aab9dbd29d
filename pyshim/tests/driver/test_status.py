"""`reflex db status`, on SQLite."""

import json
import sqlite3
import time
from collections.abc import Iterator

import pytest

from reflex_driver.lock import sqlite

from .running import Project

TWO_TABLES = """
from alembic import context
from sqlalchemy import create_engine, pool
print("env.py prints")
engine = create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)
with engine.connect() as connection:
    for table in "first", "second":
        context.configure(connection=connection, version_table=table)
        with context.begin_transaction():
            context.run_migrations()
"""


@pytest.fixture
def three(project: Project) -> Project:
    project.revision("a1")
    project.revision("b2", "a1")
    project.revision("c3", "b2")
    return project


def test_each_state_has_its_words(three: Project) -> None:
    fresh = three.run("status").check().stdout
    assert "no revision; alembic_version does not exist" in fresh
    assert "3 revisions are pending." in fresh
    assert "Next       `reflex db upgrade head` applies what is pending" in fresh
    assert "`reflex db stamp head`, if the tables are there already" in fresh

    three.run("upgrade", "b2").check()
    behind = three.run("status").check().stdout
    assert "At         b2  b2 is made\n" in behind
    assert "Pending    c3  c3 is made\n" in behind
    assert "1 revision is pending." in behind

    three.run("upgrade", "head").check()
    assert "Up to date." in three.run("status").check().stdout

    (three.versions / "c3_.py").unlink()
    unknown = three.run("status").check().stdout
    assert "At         c3  (not of this project)\n" in unknown
    assert "The database has a revision that this project does not have." in unknown


def test_a_project_without_revisions(project: Project) -> None:
    done = project.run("status").check().stdout
    assert "the project has no revisions" in done
    assert "There is nothing to apply." in done


@pytest.mark.parametrize("option", [["--check"], ["--wait", "20s"]])
def test_a_project_without_revisions_is_not_up_to_date(project: Project, option: list[str]) -> None:
    """As an image without its versions directory, which must not open the gate."""
    began = time.monotonic()
    done = project.run("status", *option).check(1)
    assert (
        "Error: the database is not at head: the project has no revisions in alembic/versions\n"
        in done.stderr
    )
    assert time.monotonic() - began < 15, "it has waited for what time does not bring"
    document = json.loads(project.run("status", "--json").check().stdout)
    assert document["up_to_date"] is False


def test_it_changes_nothing_and_takes_no_lock(three: Project) -> None:
    three.run("upgrade", "b2").check()
    before = three.database.read_bytes()
    three.run("status", "--json").check()
    assert three.database.read_bytes() == before


def test_check_ends_with_1_unless_at_head(three: Project) -> None:
    done = three.run("status", "--check").check(1)
    assert "3 revisions are pending, the first of them is a1" in done.stderr
    three.run("upgrade", "head").check()
    assert three.run("status", "--check").check().stderr.count("Error") == 0


def test_json(three: Project) -> None:
    three.run("upgrade", "a1").check()
    document = json.loads(three.run("status", "--json").check().stdout)
    assert document["form"] == 1
    assert document["heads"] == ["c3"]
    assert [r["revision"] for r in document["history"]] == ["a1", "b2", "c3"]
    assert document["history"][1] == {
        "revision": "b2",
        "parents": ["a1"],
        "depends_on": [],
        "branch_labels": [],
        "message": "b2 is made",
        "date": None,
        "file": "versions/b2_.py",
    }
    assert document["database"] == f"sqlite:///{three.database}"
    assert document["server"]["name"] == "SQLite"
    assert document["version_table"] == {"schema": None, "name": "alembic_version", "exists": True}
    assert document["current"] == ["a1"]
    assert document["pending"] == ["b2", "c3"]
    assert document["unknown"] == []
    assert document["up_to_date"] is False
    assert document["lock"] is None
    assert document["invalid_indexes"] == []


def test_json_and_check_is_json_and_1(three: Project) -> None:
    done = three.run("status", "--json", "--check").check(1)
    assert json.loads(done.stdout)["up_to_date"] is False


def test_every_database_that_env_py_configures(three: Project) -> None:
    three.write("alembic/env.py", TWO_TABLES)
    three.run("upgrade", "head").check()
    document = json.loads(three.run("status", "--json").check().stdout)
    assert document["up_to_date"] is True
    assert [d["version_table"]["name"] for d in document["databases"]] == ["first", "second"]


def test_what_env_py_prints_is_no_part_of_the_answer(three: Project) -> None:
    three.write("alembic/env.py", TWO_TABLES)
    for command in (["status"], ["status", "--json"]):
        done = three.run(*command).check()
        assert "env.py prints" not in done.stdout
        assert "env.py prints" in done.stderr


def test_an_env_py_that_runs_nothing(three: Project) -> None:
    three.write("alembic/env.py", "")
    done = three.run("status").check(1)
    assert "env.py has run no migrations, so there is no database to look at" in done.stderr


def test_two_heads(three: Project) -> None:
    three.revision("d4", "b2")
    done = three.run("status").check().stdout
    assert "`reflex db upgrade heads` applies what is pending" in done
    assert '`reflex db merge heads -m "..."` joins the 2 heads' in done


def test_rows_that_can_not_be_together(three: Project) -> None:
    three.run("upgrade", "head").check()
    connection = sqlite3.connect(three.database)
    connection.execute("INSERT INTO alembic_version VALUES ('a1')")
    connection.commit()
    connection.close()
    done = three.run("status").check(1)
    assert "The version table can't be right" in done.stderr


def test_more_than_ten_are_cut_unless_all_are_asked_for(project: Project) -> None:
    names = [f"r{i:02}" for i in range(15)]
    for name, after in zip(names, [None, *names], strict=False):
        project.revision(name, after)
    assert "and 5 more (-v shows all)" in project.run("status").check().stdout
    assert project.run("status", "-v").check().stdout.count("is made") == 16


@pytest.fixture
def held(three: Project) -> Iterator[Project]:
    """A project whose lock another process has."""
    three.database.touch()
    session = sqlite.SQLiteSession(str(three.database))
    assert session.take("")
    yield three
    session.abandon()


def test_who_holds_the_lock(held: Project) -> None:
    assert "held by another process on this machine" in held.run("status").check().stdout
    document = json.loads(held.run("status", "--json").check().stdout)
    assert document["lock"]["holder"] == "another process on this machine"


def test_wait_ends_when_the_database_is_at_head(three: Project) -> None:
    with three.start("status", "--wait", "30s") as waiting:
        assert waiting.stderr is not None
        while "Waiting for the database to be at head" not in (told := waiting.stderr.readline()):
            assert told, "it has not waited"
        three.run("upgrade", "head").check()
        stdout, _ = waiting.communicate(timeout=30)
    assert "Up to date." in stdout
    assert waiting.returncode == 0


def test_wait_has_a_limit(three: Project) -> None:
    done = three.run("status", "--wait", "200ms").check(1)
    assert "200ms have passed (--wait), and the database is not at head" in done.stderr


def test_wait_leaves_no_transaction_open(three: Project) -> None:
    """A database that is being looked at can be written at any moment."""
    with three.start("status", "--wait", "3s") as waiting:
        assert waiting.stderr is not None
        while "Waiting for the database to be at head" not in (told := waiting.stderr.readline()):
            assert told, "it has not waited"
        connection = sqlite3.connect(three.database, timeout=2)
        connection.execute("BEGIN EXCLUSIVE")
        connection.rollback()
        connection.close()
        three.run("upgrade", "head").check()
        waiting.communicate(timeout=30)
    assert waiting.returncode == 0
