"""What an exception means: real ones of SQLAlchemy, Alembic and the drivers."""

import asyncio
import os
import re
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from alembic.util import CommandError
from sqlalchemy import URL, create_engine, engine_from_config, make_url, text
from sqlalchemy.pool import NullPool

from reflex_driver import exits, failure
from reflex_driver.exits import Outcome
from reflex_driver.failure import Run
from reflex_driver.lock.errors import HeldError, LostError, UnreachableError
from reflex_driver.lock.protocol import Holder
from reflex_driver.signals import Signals
from reflex_driver.usage import UsageError

from .running import ENV, Project, fork


def described(
    raises: Callable[[], object],
    *,
    signals: Signals | None = None,
    whole: bool = False,
    changes: bool = False,
    stays: bool = False,
) -> Outcome:
    run = Run("reflex db", signals, whole=whole, changes=changes, stays=stays)
    try:
        raises()
    except BaseException as exc:  # noqa: BLE001
        return failure.describe(exc, run)
    raise AssertionError("nothing was raised")


def raising(exc: BaseException) -> Callable[[], object]:
    def raises() -> None:
        raise exc

    return raises


def test_what_the_project_raises_is_1_with_its_own_frames() -> None:
    outcome = described(
        lambda: create_engine("sqlite://", connect_args=raising(ValueError("no"))())
    )
    assert outcome.status == exits.FAILED
    assert outcome.message == "ValueError: no"
    assert re.match(r"stopped at \S*test_failure\.py:\d+$", outcome.summary)
    assert outcome.hint == "--traceback shows every frame"
    assert outcome.traceback.startswith("  File ")
    assert "test_failure.py" in outcome.traceback
    assert "failure.py" not in outcome.traceback.replace("test_failure.py", "")


def test_frames_of_libraries_are_not_the_projects() -> None:
    engine = create_engine("sqlite://", poolclass=NullPool)
    with engine.connect() as connection:
        outcome = described(lambda: connection.execute(text("SELECT nosuch")))
    assert outcome.status == exits.FAILED
    assert outcome.message.startswith("OperationalError: (sqlite3.OperationalError) no such column")
    assert "Background on this error" not in outcome.message
    assert "sqlalchemy" not in outcome.traceback


def test_the_whole_traceback_if_it_is_asked_for() -> None:
    outcome = described(lambda: os.open("/nowhere/at/all", os.O_RDONLY), whole=True)
    assert outcome.traceback.startswith("Traceback (most recent call last):")
    assert outcome.traceback.endswith(
        "FileNotFoundError: [Errno 2] No such file or directory: '/nowhere/at/all'\n"
    )


@pytest.mark.parametrize(
    ("url", "package"),
    [
        ("oracle+oracledb://u@h/d", "oracledb"),
        ("mysql+pymysql://u@h/d", "PyMySQL"),
        ("mysql://u@h/d", "mysqlclient"),
        ("mysql+asyncmy://u@h/d", "asyncmy"),
    ],
)
def test_a_driver_that_is_not_installed_is_3(url: str, package: str) -> None:
    outcome = described(lambda: create_engine(url))
    if outcome.message.startswith("The database driver can't be imported"):
        assert outcome.status == exits.ENVIRONMENT
        assert outcome.hint == f'"{sys.executable}" -m pip install "{package}"'
    else:
        pytest.skip(f"{package} is installed: {outcome.message}")


@pytest.mark.parametrize(
    ("url", "message"),
    [
        (None, "No database is named"),
        ("nonsense", "The database URL can't be used: "),
        ("postgres://u@h/d", "The database URL starts with postgres://"),
        ("driver://user:pass@localhost/dbname", "sqlalchemy.url is still Alembic's example"),
        ("postgresql+nodriver://u@h/d", "The database URL can't be used: "),
        ("postgresql://u:pa@s5:x@h/d", "The database URL has a second @: "),
        ("postgresql://u:pa/s5@h:port/d", "The database URL has a port that is not a number: "),
        ("'postgresql://u:s5@h/d'", "The database URL is in quotes, "),
        ('"sqlite:///s5.db"', "The database URL is in quotes, "),
    ],
)
def test_a_url_that_can_not_be_read_is_4(url: str | None, message: str) -> None:
    outcome = described(lambda: create_engine(url).connect())  # type: ignore[arg-type]
    assert outcome.status == exits.DATABASE
    assert outcome.message.startswith(message)
    assert outcome.hint
    assert "s5" not in outcome.message + outcome.hint


def test_a_url_that_is_not_set_is_4() -> None:
    stock = described(lambda: engine_from_config({}, prefix="sqlalchemy."))
    ours = described(raising(CommandError("REFLEX_DB_URL is not set. It names the database")))
    assert stock == ours
    assert stock.status == exits.DATABASE
    assert "REFLEX_DB_URL is not set, nor is sqlalchemy.url" in stock.message


def test_a_database_that_can_not_be_reached_is_4(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/no/such/directory/app.db"
    outcome = described(lambda: create_engine(url, poolclass=NullPool).connect())
    assert outcome.status == exits.DATABASE
    assert outcome.message.startswith("The database can't be reached: ")
    assert outcome.hint.startswith("check the path in REFLEX_DB_URL")


def test_a_server_that_is_not_there_is_4() -> None:
    pytest.importorskip("psycopg")
    url = "postgresql+psycopg://u@127.0.0.1:1/d"
    outcome = described(lambda: create_engine(url, poolclass=NullPool).connect())
    assert outcome.status == exits.DATABASE
    assert "--wait 60s waits for one that is starting" in outcome.hint


DRIVERS = ("psycopg", "psycopg2", "asyncpg", "pg8000")


@pytest.mark.parametrize("driver", DRIVERS)
@pytest.mark.parametrize("rest", ["u:pa@s5@127.0.0.1:1/d", "u:pa@s5/w6@127.0.0.1:1/d"])
def test_a_second_at_is_named_whatever_the_driver_says(driver: str, rest: str) -> None:
    """The driver names the host, which is a part of the password."""
    pytest.importorskip(driver)
    outcome = described(lambda: connected(f"postgresql+{driver}://{rest}"))
    assert outcome.status == exits.DATABASE
    assert outcome.message.startswith("The database URL has a second @: ")
    assert not re.search("s5|w6", outcome.message + outcome.hint + outcome.traceback)


@pytest.mark.parametrize("driver", DRIVERS)
def test_what_a_server_refuses_has_a_sentence_of_its_own(pg_url: URL, driver: str) -> None:
    """A server that answers has been reached."""
    pytest.importorskip(driver)
    url = pg_url.set(drivername=f"postgresql+{driver}")
    place = f"{url.host}:{url.port}"
    for wrong, message, hint in (
        (
            url.set(database="no such"),
            f"There is no database no such on {place}",
            f"`createdb -h {url.host} -p {url.port} -U {url.username} 'no such'`, "
            'or CREATE DATABASE "no such"; in SQL',
        ),
        (url.set(username="nobody"), f"{place} refused the connection: ", "check the user"),
    ):
        outcome = described(lambda wrong=wrong: connected(wrong))  # type: ignore[misc]
        assert outcome.status == exits.DATABASE
        assert outcome.message.startswith(message)
        assert hint in outcome.hint


def connected(url: str | URL) -> None:
    """Connect as a program does, with a driver of either kind."""
    if make_url(url).get_dialect().is_async:
        from sqlalchemy.ext.asyncio import create_async_engine

        async def connect() -> None:
            async with create_async_engine(url, poolclass=NullPool).connect():
                pass

        asyncio.run(connect())
    else:
        create_engine(url, poolclass=NullPool).connect().close()


def test_a_parameter_that_the_driver_does_not_know_is_the_urls() -> None:
    pytest.importorskip("psycopg")
    outcome = described(lambda: connected("postgresql+psycopg://u@127.0.0.1:1/d?nosuch=1"))
    assert outcome.status == exits.DATABASE
    assert outcome.message.startswith("The database URL can't be used: ")
    assert "nosuch" in outcome.message


def test_a_file_that_is_no_database_is_4(tmp_path: Path) -> None:
    file = tmp_path / "app.db"
    file.write_text("this is text, and more than the header of a database " * 10)
    with create_engine(f"sqlite:///{file}", poolclass=NullPool).connect() as connection:
        outcome = described(lambda: connection.execute(text("SELECT 1 FROM sqlite_master")))
    assert outcome.status == exits.DATABASE
    assert outcome.message.startswith("The file is no SQLite database: ")


def test_the_lock_has_statuses_of_its_own() -> None:
    held = described(raising(HeldError(Holder("somebody"), 5)))
    assert held.status == exits.LOCKED
    assert "it is held by somebody" in held.message
    assert described(raising(UnreachableError("refused", by_url=False))).status == exits.DATABASE
    assert described(raising(LostError("it was given up"))).status == exits.FAILED


def test_wrong_usage_is_2() -> None:
    outcome = described(raising(UsageError("this does not go with that", "say it otherwise")))
    assert outcome == Outcome(exits.USAGE, "this does not go with that", "say it otherwise")


@pytest.mark.parametrize(
    ("code", "status"), [(3, 3), (255, 255), (-1, 255), ("a text", 1), (0.5, 1), (True, 1)]
)
def test_sys_exit_keeps_the_status_that_it_asks_for(code: object, status: int) -> None:
    outcome = described(lambda: sys.exit(code))  # type: ignore[arg-type]
    assert outcome.status == status
    assert outcome.message == f"sys.exit({code!r}) was called while the command ran"


@pytest.mark.parametrize("code", [None, 0, False])
def test_sys_exit_0_is_what_the_bare_alembic_makes_of_it(code: object) -> None:
    outcome = described(lambda: sys.exit(code))  # type: ignore[arg-type]
    assert outcome.status == exits.OK
    assert outcome.message  # a note: what comes after was not run


def test_an_exception_without_a_text() -> None:
    class OddError(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no")

    assert described(raising(OddError())).message.endswith("OddError: (its text can't be had)")
    assert described(raising(ValueError())).message == "ValueError"


def test_a_chain_that_is_a_ring() -> None:
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert described(raising(first)).message == "ValueError: first"


def test_a_signal_that_came() -> None:
    signals = Signals()
    signals.raised = 15
    outcome = described(raising(SystemExit(143)), signals=signals)
    assert outcome.status == 143
    assert outcome.message == "terminated; the open transaction was rolled back"
    assert outcome.signal == 15
    assert described(raising(SystemExit(143)), signals=signals, whole=True).traceback == ""
    kept = described(raising(KeyboardInterrupt()), signals=signals, stays=True)
    assert kept.message.startswith("terminated; this database can't take DDL back")


def test_what_the_project_makes_of_a_signal() -> None:
    signals = Signals()
    signals.raised = 2
    outcome = described(raising(ValueError("cleaned up")), signals=signals)
    assert (outcome.status, outcome.signal) == (exits.FAILED, 0)
    by_the_driver = ValueError("canceled")
    by_the_driver.__context__ = KeyboardInterrupt()
    assert described(raising(by_the_driver), signals=signals).status == 130


def test_a_keyboard_interrupt_of_the_projects_own_is_130() -> None:
    assert described(raising(KeyboardInterrupt()), signals=Signals()).status == 130


def test_what_stays_is_said_beside_a_failure_only() -> None:
    assert "can't take DDL back" in described(raising(LostError("gone")), stays=True).hint
    assert described(raising(UsageError("x")), stays=True).hint == ""


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (["upgrade", "nosuch"], "`reflex db history` lists the revisions"),
        (["upgrade", "head"], "`reflex db upgrade heads` applies them all"),
        (["revision", "-m", "x"], "`reflex db merge heads` joins them"),
        (["-n", "other", "current"], "set script_location in that file's [alembic]"),
    ],
)
def test_alembics_own_errors_have_a_next_step(project: Project, argv: list[str], hint: str) -> None:
    project.write("alembic.ini", "[alembic]\nscript_location = alembic\n[other]\nx = y\n")
    project.revision("a1")
    project.revision("b2")
    done = project.run(*argv).check(1)
    assert "Traceback" not in done.stderr
    assert hint in done.stderr.partition("\nNext: ")[2]


def test_no_configuration_at_all(tmp_path: Path) -> None:
    import reflex_driver

    done = fork(lambda: reflex_driver.main("reflex db", "1", "", "current"), tmp_path).check(1)
    assert "Neither alembic.ini, nor [tool.alembic] in pyproject.toml, nor alembic/env.py" in (
        done.stderr
    )
    assert "`reflex db init` starts one here" in done.stderr


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("revision = 'a1'\ndown_revision = None\ndef upgrade(:\n", "SyntaxError: "),
        ("revision = 5\n", "a1_.py can't be used: "),
    ],
)
def test_a_revision_that_can_not_be_read_is_named(
    project: Project, text: str, message: str
) -> None:
    project.write("alembic/versions/a1_.py", text)
    done = project.run("upgrade", "head").check(1)
    assert message in done.stderr
    assert "a1_.py" in done.stderr


def test_what_a_revision_can_not_reach_is_its_own_failure(project: Project) -> None:
    project.revision("a1", body="sa.create_engine('sqlite:////no/such/directory/x.db').connect()")
    done = project.run("upgrade", "head").check(exits.FAILED)
    assert "a1_.py" in done.stderr


def test_a_configuration_that_can_not_be_read(project: Project) -> None:
    project.write("alembic.ini", "[alembic\nscript_location = alembic\n")
    done = project.run("current").check(1)
    assert "alembic.ini can't be used: " in done.stderr
    project.write("alembic.ini", "[alembic]\nscript_location = alembic\n")
    project.write("pyproject.toml", "[tool.alembic\n")
    assert "pyproject.toml can't be used: TOMLDecodeError" in project.run("current").check(1).stderr


def test_a_broken_pipe_of_another_pipe_is_a_failure(project: Project) -> None:
    body = "import os; r, w = os.pipe(); os.close(r); os.write(w, b'x')"
    project.revision("a1", body=body)
    assert "BrokenPipeError" in project.run("upgrade", "head").check(1).stderr


def test_alembic_that_is_not_there(tmp_path: Path) -> None:
    outcome = failure.missing_alembic(
        ModuleNotFoundError("No module named 'nosuch'", name="nosuch")
    )
    assert outcome.status == exits.ENVIRONMENT
    assert outcome.hint == f'"{sys.executable}" -m pip install "nosuch"'
    broken = failure.missing_alembic(ImportError("cannot import name 'x'", name="alembic.config"))
    assert broken.hint.endswith('pip install --force-reinstall "alembic"')
    memory = failure.missing_alembic(MemoryError())
    assert memory.hint.startswith("raise the limit of its memory")


def test_another_module_of_that_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module = types.ModuleType("alembic_of_another")
    module.__file__ = str(tmp_path / "alembic_of_another.py")
    monkeypatch.setitem(sys.modules, "alembic_of_another", module)
    error = ModuleNotFoundError("No module named 'alembic_of_another.config'")
    error.name = "alembic_of_another.config"
    outcome = failure.missing_alembic(error)
    assert f"finds {module.__file__}, which is not the module alembic_of_another" in outcome.message
    assert outcome.hint.startswith("take its directory out of PYTHONPATH")


def test_an_alembic_that_is_too_old() -> None:
    outcome = failure.old_alembic("1.9.4", (1, 16))
    assert outcome.status == exits.ENVIRONMENT
    assert "Alembic 1.9.4" in outcome.message
    assert outcome.hint.endswith('"alembic>=1.16"')


@pytest.mark.parametrize("argv", [("heads",), ("upgrade", "head"), ("revision", "-m", "x")])
@pytest.mark.parametrize(
    "refers", [{"after": "gone"}, {"after": ("a1", "gone")}, {"depends_on": "gone"}]
)
def test_a_file_that_others_refer_to_is_missing(
    project: Project, argv: tuple[str, ...], refers: dict[str, Any]
) -> None:
    project.revision("a1")
    project.revision("b2", **refers)
    done = project.run(*argv).check(1)
    expected = "b2 (alembic/versions/b2_.py) refers to the revision gone, and no file has that"
    assert f"Error: {expected}\nNext: bring the file of gone back" in done.stderr
    assert "KeyError" not in done.stderr


@pytest.mark.parametrize("argv", [("upgrade", "head"), ("revision", "-m", "x")])
def test_two_files_with_one_id_are_not_two_heads(project: Project, argv: tuple[str, ...]) -> None:
    project.revision("a1")
    project.revision("b2", "a1")
    copy = project.versions / "copy.py"
    copy.write_text((project.versions / "a1_.py").read_text())
    done = project.run(*argv).check(1)
    expected = "The revision a1 is in 2 files: alembic/versions/a1_.py, alembic/versions/copy.py"
    assert f"Error: {expected}\nNext: take the copy away" in done.stderr
    copy.unlink()
    project.revision("c3", "a1")  # these are
    assert "merge heads" in project.run(*argv).check(1).stderr


@pytest.mark.parametrize("arguments", [("upgrade", "+3"), ("downgrade", "--", "-3")])
def test_a_number_of_steps_is_not_to_be_given_again(
    project: Project, arguments: tuple[str, ...]
) -> None:
    """One step is done, so the same number leads too far: with downgrade, data is lost."""
    env = ENV.replace(
        "transaction_per_migration", "transactional_ddl=True, transaction_per_migration"
    )
    project.write("alembic/env.py", env)
    for name, after in (("a1", None), ("b2", "a1"), ("c3", "b2")):
        project.revision(name, after)
    down = arguments[0] == "downgrade"
    if down:
        project.run("upgrade", "head").check()
    path = project.versions / "b2_.py"
    where = "def downgrade" if down else "def upgrade"
    path.write_text(
        path.read_text().replace(f"{where}():\n", f"{where}():\n    raise ValueError\n")
    )
    done = project.run(*arguments).check(1)
    target = "downgrade base" if down else "upgrade c3"
    assert f"go on with `{target}`: {arguments[-1]} counts from where the database is now" in (
        done.stderr
    )
    assert "same command" not in done.stderr
    assert project.at() == (["b2"] if down else ["a1"])
