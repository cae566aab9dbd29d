"""`--json` of the commands that have no document of their own, beside docs/status.md."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from .running import Project

DOCS = Path(__file__).parents[3] / "docs" / "status.md"


@pytest.fixture
def two(project: Project) -> Project:
    project.revision("a1", body="print('the project prints')")
    project.revision("b2", "a1")
    return project


def document(project: Project, *argv: str, status: int = 0) -> dict[str, Any]:
    done = project.run(*argv, "--json").check(status)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_every_key_is_documented(two: Project) -> None:
    text = DOCS.read_text(encoding="utf-8").partition("of the other commands\n")[2]
    rows = re.findall(r"(?m)^\| (`.*?) \|", text)
    documented = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    found = document(two, "upgrade", "head")
    assert [*found, "databases"] == documented
    assert found["steps"][0].keys() == {"revision", "seconds"}


def test_a_run_as_a_document(two: Project) -> None:
    done = two.run("upgrade", "head", "--json").check()
    found = json.loads(done.stdout)
    assert done.stderr == "the project prints\n"
    assert (found["form"], found["command"], found["name"]) == (1, "upgrade", "app.db")
    assert (found["outcome"], found["status"]) == ("ok", 0)
    assert (found["from"], found["to"], found["target"]) == ("", "b2", "b2")
    assert found["revisions"] == 2
    assert [step["revision"] for step in found["steps"]] == ["a1", "b2"]
    assert found["seconds"] >= sum(step["seconds"] for step in found["steps"])
    assert document(two, "migrate")["outcome"] == "unchanged"
    assert document(two, "downgrade", "-1")["to"] == "a1"
    assert document(two, "stamp", "head")["to"] == "b2"
    assert document(two, "current")["to"] == "b2"


def test_a_failure_as_a_document(two: Project) -> None:
    two.revision("c3", "b2", "1 / 0")
    found = document(two, "upgrade", "head", status=1)
    assert (found["outcome"], found["status"], found["to"]) == ("failed", 1, "b2")
    assert found["summary"] == "c3 (alembic/versions/c3_.py:7) failed; app.db is at b2"
    assert found["message"] == "ZeroDivisionError: division by zero"
    found = document(two, "upgrade", "nosuch", status=1)
    assert found["message"].startswith("Can't locate revision")


def test_check_and_heads(two: Project) -> None:
    assert document(two, "heads") == {"form": 1, "heads": ["b2"]}
    found = document(two, "check", status=1)
    assert (found["command"], found["outcome"]) == ("check", "failed")
    assert found["message"] == "Target database is not up to date."


def test_several_databases(two: Project) -> None:
    two.write(
        "alembic/env.py",
        """
        from alembic import context
        from sqlalchemy import create_engine, pool
        for name in "one", "two":
            engine = create_engine(f"sqlite:///{name}.db", poolclass=pool.NullPool)
            with engine.connect() as connection:
                context.configure(connection=connection)
                with context.begin_transaction():
                    context.run_migrations()
        """,
    )
    found = document(two, "upgrade", "head")
    assert (found["name"], found["to"], found["revisions"]) == (None, "b2", 4)
    assert [(d["name"], d["to"]) for d in found["databases"]] == [
        ("one.db", "b2"),
        ("two.db", "b2"),
    ]


def test_a_database_that_is_not_reached(two: Project) -> None:
    done = two.run("upgrade", "head", "--json", REFLEX_DB_URL="sqlite:////no/such/x.db").check(4)
    found = json.loads(done.stdout)
    assert (found["status"], found["name"], found["from"]) == (4, None, None)


def test_sql_has_none(two: Project) -> None:
    done = two.run("upgrade", "head", "--sql", "--json").check(2)
    assert done.stdout == ""


def test_each_prints_its_report(two: Project) -> None:
    two.write("list", "one\ntwo\n")
    url = f"sqlite:///{two.directory}/{{}}.db"
    argv = ["upgrade", "head", "--each", "list", "--json", "--report", "report"]
    done = two.run(*argv, REFLEX_DB_URL=url).check()
    assert done.stdout.count("\n") == 2
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    report = two.directory.joinpath("report").read_text().splitlines()
    assert lines == [json.loads(line) for line in report]
    assert {line["name"]: line["to"] for line in lines} == {"one": "b2", "two": "b2"}


def test_a_reader_that_has_gone_changes_nothing(two: Project) -> None:
    with two.start("upgrade", "head", "--json") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert "Broken" not in process.stderr.read()
        assert process.wait(60) == 0
    assert two.at() == ["b2"]
