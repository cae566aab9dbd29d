"""Each name of internals.py, on the SQLAlchemy and the Alembic that are installed.

A name that an upgrade has taken away is found here: each is provoked, so that what stands
at it is what the driver looks for.
"""

import argparse
import functools
import inspect
import logging
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import alembic.config
import pytest
from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, engine_from_config
from sqlalchemy.engine import URL, Engine
from sqlalchemy.engine.url import make_url
from sqlalchemy.event import contains, listen, remove
from sqlalchemy.pool import NullPool, Pool

import reflex_driver
from reflex_driver import commandline, configuration, hooks, internals

from .running import Project, fork, python


def raised(function: Callable[[], object]) -> BaseException:
    try:
        function()
    except BaseException as exc:  # noqa: BLE001
        return exc
    raise AssertionError("nothing was raised")


def names(exc: BaseException) -> set[str]:
    return {internals.place(frame)[1] for frame in internals.frames(exc)}


def places(exc: BaseException) -> set[internals.Place]:
    return {internals.place(frame) for frame in internals.frames(exc)}


def test_where_the_driver_is_called(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/no/such/app.db"
    exc = raised(create_engine(url, poolclass=NullPool).connect)
    assert internals.CONNECT in places(exc)
    assert internals.POOL_CONNECT in places(exc)
    found = internals.connect_parameters(exc)
    assert found is not None
    dialect, parameters = found
    assert dialect.name == "sqlite"
    assert isinstance(parameters, dict)
    assert internals.connect_parameters(ValueError()) is None


def test_the_parameters_are_those_of_the_driver() -> None:
    installed = [name for name in ("psycopg", "psycopg2") if find_spec(name)]
    if not installed:
        pytest.skip("there is no psycopg")
    url = f"postgresql+{installed[-1]}://u@127.0.0.1:1/d"
    found = internals.connect_parameters(raised(create_engine(url, poolclass=NullPool).connect))
    assert found is not None
    assert (found[1]["host"], found[1]["port"]) == ("127.0.0.1", 1)


def test_a_thread_on_its_way_to_a_server() -> None:
    """By the pool where the project has a `creator`, and by the dialect."""
    found = []

    def creator() -> Any:
        import sqlite3

        found.append(internals.is_connecting(sys._getframe()))
        return sqlite3.connect(":memory:")

    create_engine("sqlite://", creator=creator, poolclass=NullPool).connect().close()
    assert found == [True]
    assert not internals.is_connecting(sys._getframe())
    assert not internals.is_connecting(None)
    assert sys._current_frames()


def test_a_driver_that_is_missing(tmp_path: Path) -> None:
    for name in "psycopg2", "psycopg", "pymysql":
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(f"raise ImportError('no', name={name!r})")

    def look() -> int:
        sys.path.insert(0, str(tmp_path))
        for name in "psycopg2", "pymysql":
            sys.modules.pop(name, None)
            dialect = "mysql" if name == "pymysql" else "postgresql"
            exc = raised(functools.partial(create_engine, f"{dialect}+{name}://u@h/d"))
            assert isinstance(exc, ImportError)
            assert internals.came_through(exc, *internals.IMPORT_DRIVER), names(exc)
        return 0

    fork(look, tmp_path).check()


def test_a_configuration_without_a_url() -> None:
    exc = raised(lambda: engine_from_config({}))
    assert isinstance(exc, KeyError)
    assert internals.FROM_CONFIG in places(exc)
    assert internals.came_through(exc, internals.FROM_CONFIG[1])


def test_each_way_to_read_a_url() -> None:
    """Every function of READING_URL is seen once."""
    seen: set[str] = set()
    for text in ("nonsense", "nodialect://", "sqlite://host/file", "postgresql://u@h:port/d"):
        exc = raised(functools.partial(create_engine, text))
        assert internals.came_through(exc, *internals.READING_URL), (text, names(exc))
        seen |= names(exc) & set(internals.READING_URL)
    query: Any = {"name": 5}
    seen |= names(raised(lambda: URL.create("sqlite", query=query))) & set(internals.READING_URL)
    assert seen == set(internals.READING_URL)


def test_what_make_url_says_of_none() -> None:
    exc = raised(lambda: create_engine(None))  # type: ignore[call-overload]
    assert internals.came_through(exc, *internals.CREATING_ENGINE)
    assert any(said in str(exc) for said in internals.NO_URL)


def test_what_is_said_of_an_unknown_dialect() -> None:
    for written, said in (("postgres://", "dialects:postgres"), ("driver://", "dialects:driver")):
        assert said in str(raised(functools.partial(create_engine, written)))


def test_the_url_of_which_parameters_are_made() -> None:
    exc = raised(lambda: create_engine("sqlite://host/file"))
    assert internals.CONNECT_ARGS in names(exc)
    assert internals.url_in_use(exc) == make_url("sqlite://host/file")
    assert internals.url_in_use(ValueError()) is None


def config(project: Project) -> Config:
    made = Config()
    made.set_main_option("script_location", str(project.directory / "alembic"))
    made.set_main_option("sqlalchemy.url", f"sqlite:///{project.database}")
    return made


def upgrade(project: Project) -> BaseException:
    """What comes out of `alembic upgrade head`."""
    from alembic import command

    return raised(lambda: command.upgrade(config(project), "head"))


def test_a_revision_that_runs(project: Project) -> None:
    project.revision("a1", body="1 / 0")
    exc = upgrade(project)
    assert internals.RUN_MIGRATIONS in places(exc)
    assert internals.in_revision(exc)
    assert internals.revision_file(exc) is None


def test_env_py_is_no_revision(project: Project) -> None:
    project.write("alembic/env.py", "1 / 0")
    assert not internals.in_revision(upgrade(project))


def test_what_alembic_does_between_revisions_is_no_revision(project: Project) -> None:
    project.revision("a1", body="op.execute('DROP TABLE alembic_version')")
    exc = upgrade(project)
    assert internals.RUN_MIGRATIONS in places(exc)
    assert not internals.in_revision(exc)


@pytest.mark.parametrize("text", ["def (", "1 / 0", "revision = 5\n"])
def test_a_revision_that_is_read(project: Project, text: str) -> None:
    file = project.write("alembic/versions/a1_.py", text)
    exc = raised(lambda: ScriptDirectory.from_config(config(project)).get_heads())
    assert internals.READ_REVISION in places(exc)
    assert internals.in_revision(exc)
    assert internals.revision_file(exc) == str(file)


def test_a_script_directory_that_is_read(project: Project) -> None:
    wrong = config(project)
    wrong.set_main_option("version_locations", "a b")
    wrong.set_main_option("version_path_separator", "nonsense")
    exc = raised(lambda: ScriptDirectory.from_config(wrong))
    assert internals.READ_SCRIPT_DIRECTORY in places(exc)


def test_a_configuration_that_is_read(tmp_path: Path) -> None:
    ini = tmp_path / "alembic.ini"
    ini.write_text("[alembic\n")
    exc = raised(lambda: Config(str(ini)).get_main_option("script_location"))
    modules = [place[0] for place in map(internals.place, internals.frames(exc))]
    of_alembic = [m for m in modules if m.startswith("alembic.")]
    assert [m for m in of_alembic if not m.startswith(internals.UTILITIES)][-1] == (
        internals.READ_CONFIG
    )
    assert internals.configuration_file(exc) == "alembic.ini"


def test_a_pyproject_toml_that_is_read(tmp_path: Path) -> None:
    toml = tmp_path / "pyproject.toml"
    toml.write_bytes(b'caf\xe9 = ""')
    wrong = Config(toml_file=str(toml))
    exc = raised(lambda: wrong.get_alembic_option("script_location"))
    assert internals.configuration_file(exc) == "pyproject.toml"


def test_alembics_logger_of_errors() -> None:
    import alembic.util.messaging

    logger = alembic.util.messaging.log
    assert logger.name == internals.MESSAGES
    assert logger is logging.getLogger(internals.MESSAGES)


def test_classes_by_their_names() -> None:
    from alembic.util import CommandError

    class OwnError(CommandError):
        pass

    assert internals.named(OwnError("x"), "alembic", "CommandError")
    assert not internals.named(ValueError(), "alembic", "CommandError")


def test_the_end_of_a_program(tmp_path: Path) -> None:
    """Threads first, then atexit's functions; they are not called once more."""
    text = """
        import atexit, os, threading, time
        from reflex_driver import internals
        atexit.register(print, "atexit", flush=True)
        thread = threading.Thread(target=lambda: (time.sleep(0.1), print("thread", flush=True)))
        thread.start()
        internals.end_program()
        print("end", flush=True)
    """
    assert python(text, tmp_path).check().stdout == "thread\natexit\nend\n"


def test_context_configure_tells(project: Project) -> None:
    """The hook: once before and once after each call, with what can be changed."""
    heard: list[object] = []

    class Observer:
        def configuring(self, env: EnvironmentContext) -> None:
            heard.append(env.context_opts["fn"])

        def configured(self, context: Any) -> None:
            heard.extend([context.connection.engine.dialect.name, context.version_table])
            heard.append((context.as_sql, context.version_table_schema))
            heard.append(context.impl.transactional_ddl)

    project.revision("a1")
    observer = Observer()
    with hooks.observing(observer):
        from alembic import command

        command.upgrade(config(project), "head")
    assert callable(heard[0])
    assert heard[1:] == ["sqlite", "alembic_version", (False, None), False]
    command.current(config(project))
    assert len(heard) == 5  # nobody listens any more


def test_hooking_keeps_what_the_method_is() -> None:
    original: Any = EnvironmentContext.configure
    assert original.__name__ == "configure"
    assert inspect.signature(original).parameters.keys() >= {"connection", "url"}


def test_events_that_interrupts_listens_to() -> None:
    def listener(*_: object) -> None:
        pass

    for target, name in (
        (Pool, "connect"),
        (Pool, "close"),
        (Pool, "close_detached"),
        (Engine, "before_cursor_execute"),
        (Engine, "after_cursor_execute"),
    ):
        listen(target, name, listener)
        assert contains(target, name, listener)
        remove(target, name, listener)


def test_what_the_parser_is_made_of() -> None:
    """Alembic's own CommandLine, and argparse's private names."""
    line = alembic.config.CommandLine()
    assert isinstance(line.parser, argparse.ArgumentParser)
    subparsers: Any = line.subparsers
    assert "upgrade" in subparsers.choices
    assert subparsers._parser_class
    assert {action.dest for action in subparsers._choices_actions} >= {"upgrade", "init"}
    parsed = line.parser.parse_args(["upgrade", "head"])
    assert parsed.cmd[0].__name__ == "upgrade"
    assert parsed.cmd[1:] == (["revision"], ["sql", "tag"])
    assert parsed.name == "alembic"
    assert parsed.raiseerr is False
    toml, ini = line._inis_from_config(parsed)
    assert (Path(toml).name, Path(ini).name) == ("pyproject.toml", "alembic.ini")
    init = {action.dest for action in subparsers.choices["init"]._actions}
    assert init >= {"directory", "template", "package"}
    history = line.parser.parse_args(["history"])
    assert history.cmd[1:] == ([], ["rev_range", "verbose", "indicate_current"])


def test_an_abbreviation_has_its_candidates_by_option() -> None:
    parser = commandline.Parser()
    parser.add_argument("--first")
    parser.add_argument("--final")
    found = parser._get_option_tuples("--fi")
    assert sorted(item[1] for item in found) == ["--final", "--first"]


def test_alembics_config_has_both_files(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project.directory)
    project.write("pyproject.toml", '[tool.alembic]\nscript_location = "alembic"\n')
    made = Config(file_="alembic.ini", toml_file="pyproject.toml")
    assert made.toml_alembic_config == {"script_location": "alembic"}
    assert configuration.sources(made, "").startswith("Configuration: [tool.alembic] of ")


def test_where_revision_files_are(project: Project) -> None:
    kept = project.revision("a1")
    for name in ("__init__.py", ".#a1_.py", "notes.txt"):
        project.write(f"alembic/versions/{name}", "")
    script = ScriptDirectory(str(project.directory / "alembic"))
    assert list(internals.version_locations(script)) == [project.versions]
    assert list(internals.revision_paths(script)) == [kept]
    assert [revision.path for revision in script.walk_revisions()] == [str(kept)]


def test_a_commit_that_fails_is_known(tmp_path: Path) -> None:
    engine = create_engine(f"sqlite:///{tmp_path}/app.db", poolclass=NullPool)
    with engine.connect() as connection:
        exc = raised(lambda: connection.exec_driver_sql("SELEC"))
        assert not internals.was_committing(exc)
        assert not internals.lost_connection(exc)
        connection.exec_driver_sql("PRAGMA foreign_keys = 1")
        for statement in (
            "CREATE TABLE p (id INTEGER PRIMARY KEY)",
            "CREATE TABLE c (p INTEGER REFERENCES p (id) DEFERRABLE INITIALLY DEFERRED)",
            "INSERT INTO c VALUES (7)",
        ):
            connection.exec_driver_sql(statement)
        exc = raised(connection.get_transaction().commit)  # type: ignore[union-attr]
        assert internals.was_committing(exc)


def test_what_alembic_calls_when_a_revision_is_applied(project: Project) -> None:
    project.revision("a1")
    heard: list[Any] = []

    class Observer:
        def configuring(self, env: EnvironmentContext) -> None:
            pass

        def configured(self, context: Any) -> None:
            internals.call_when_applied(context, lambda **told: heard.append(told["heads"]))

    def run() -> int:
        with hooks.observing(Observer()):
            status = reflex_driver.main("reflex db", "1", "", "upgrade", "head")
        assert heard == [{"a1"}]
        return status

    fork(run, project.directory, **project.env).check()


def test_the_steps_to_a_target(project: Project) -> None:
    """As upgrade, downgrade and stamp of Alembic plan them."""
    project.revision("a1")
    project.revision("b2", "a1")
    script = ScriptDirectory(str(project.directory / "alembic"))

    def plan(command: str, target: str, *heads: str) -> list[tuple[str, ...]]:
        steps: Any = internals.planned(script, command, target, heads)
        return [tuple(step.to_revisions) for step in steps]

    assert plan("upgrade", "b2") == [("a1",), ("b2",)]
    assert plan("upgrade", "b2", "b2") == []
    assert plan("downgrade", "base", "b2") == [("a1",), ()]
    assert plan("stamp", "b2") == [("b2",)]


def test_asyncpgs_way_to_say_that_the_server_has_gone() -> None:
    asyncpg: Any = pytest.importorskip("asyncpg")
    for other, is_lost in ((2, True), (12, False)):  # ERROR_CONSUME, BIND_EXECUTE
        text = f"cannot switch to state 12; another operation ({other}) is in progress"
        error = asyncpg.exceptions.InternalClientError(text)
        assert internals.lost_connection(error) is is_lost
