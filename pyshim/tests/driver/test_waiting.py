"""--wait: what is tried again, and what is not; and the line that tells of it."""

import io
import random
import socket
import sys
import time
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine, NullPool, create_engine, make_url
from sqlalchemy.exc import DBAPIError

from reflex_driver import refusal, waiting
from reflex_driver.progress import Progress, duration, say
from reflex_driver.waiting import Wait

from .running import Project


@pytest.fixture
def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def connect(url: str | URL, seconds: float, **options: object) -> float:
    """Fail to connect; return how long it took."""
    connects = Engine.raw_connection
    wait = Wait(seconds, Progress())
    start = time.monotonic()
    wait.start()
    try:
        with pytest.raises(DBAPIError):
            create_engine(url, poolclass=NullPool, **options).connect()
        return time.monotonic() - start
    finally:
        wait.stop()
        assert Engine.raw_connection is connects


def test_a_server_that_is_not_there_is_waited_for(
    free_port: int, capsys: pytest.CaptureFixture[str]
) -> None:
    assert connect(f"postgresql+psycopg://a@127.0.0.1:{free_port}/x", 0.7) >= 0.7
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Waiting for the database: ")
    assert lines[-1] == "Waited 700ms (--wait)."


@pytest.mark.parametrize("wait", [[], ["--wait", "0"]])
def test_not_at_all_is_not_at_all(free_port: int, tmp_path: Path, wait: list[str]) -> None:
    project = Project(tmp_path / "app")
    url = f"postgresql+psycopg://a@127.0.0.1:{free_port}/x"
    done = project.run("current", *wait, REFLEX_DB_URL=url).check(4)
    assert "Wait" not in done.stderr


def test_what_time_does_not_mend_is_not_waited_for(
    pg_server: URL, capsys: pytest.CaptureFixture[str]
) -> None:
    for wrong in (
        pg_server.set(database="no such database"),
        pg_server.set(username="nobody"),
        pg_server.update_query_dict({"no_such_option": "1"}),
    ):
        connect(wrong, 600)
    assert capsys.readouterr().err == ""


def test_asyncpgs_own_errors() -> None:
    errors = pytest.importorskip("asyncpg").exceptions
    engine = create_engine("postgresql+asyncpg://", poolclass=NullPool)
    starting = errors.CannotConnectNowError("the database system is starting up")
    refused = errors.InvalidPasswordError("no")
    assert waiting._is_of_server(starting, engine)
    assert not refusal.is_final(starting)
    assert refusal.is_final(refused)


def test_sqlite_is_waited_for_as_anything_is(tmp_path_factory: pytest.TempPathFactory) -> None:
    missing = tmp_path_factory.mktemp("data") / "no" / "app.db"
    assert connect(make_url(f"sqlite:///{missing}"), 0.3) >= 0.3


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.0001, "1ms"), (0.3, "300ms"), (45, "45s"), (270, "4m30s"), (7200, "2h")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_waiting_leaves_the_projects_random_numbers_alone(
    free_port: int,
) -> None:
    random.seed(1)
    want = random.random()
    random.seed(1)
    connect(f"postgresql+psycopg://a@127.0.0.1:{free_port}/x", 0.3)
    assert random.random() == want


def test_a_stderr_that_is_closed_is_no_stdout(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for closed in None, io.StringIO():
        if closed is not None:
            closed.close()
        monkeypatch.setattr(sys, "stderr", closed)
        say("a line")
        Progress().show("a line")
    assert capsys.readouterr().out == ""


def test_a_terminal_has_one_line_that_is_taken_away(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setenv("COLUMNS", "10")
    progress = Progress()
    with progress:
        progress.show("a line longer than the terminal")
    assert terminal.getvalue() == "\ra line lo\x1b[K\r\x1b[K"
