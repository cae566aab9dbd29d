"""Pool settings: the SQLALCHEMY_* variables and configure()."""

import contextlib
import importlib
import pkgutil
from collections.abc import Mapping
from pathlib import Path

import pytest
from sqlalchemy import Engine, QueuePool, StaticPool, dialects
from sqlalchemy.engine.create import _pool_translate_kwargs
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.pool import Pool
from sqlalchemy.util import get_cls_kwargs

import reflex_orm as orm
from conftest import RunAsync, Script

URL = "postgresql+psycopg://ada@db/shop"

ALL = {
    "SQLALCHEMY_ECHO": "true",
    "SQLALCHEMY_POOL_PRE_PING": "off",
    "SQLALCHEMY_POOL_SIZE": "3",
    "SQLALCHEMY_MAX_OVERFLOW": "-1",
    "SQLALCHEMY_POOL_RECYCLE": "1800",
    "SQLALCHEMY_POOL_TIMEOUT": "2.5",
}


def settings(pool: Pool) -> Mapping[str, object]:
    assert isinstance(pool, QueuePool)
    return {
        "pre_ping": pool._pre_ping,
        "size": pool.size(),
        "overflow": pool._max_overflow,
        "recycle": pool._recycle,
        "timeout": pool.timeout(),
    }


def test_without_variables_sqlalchemys_defaults_and_pre_ping() -> None:
    engine = orm.engine(URL)
    assert not engine.echo
    assert settings(engine.pool) == {
        "pre_ping": True,
        "size": 5,
        "overflow": 10,
        "recycle": -1,
        "timeout": 30.0,
    }


def test_every_variable_reaches_the_pool(
    monkeypatch: pytest.MonkeyPatch, run_async: RunAsync
) -> None:
    for name, value in ALL.items():
        monkeypatch.setenv(name, value)
    expected = {"pre_ping": False, "size": 3, "overflow": -1, "recycle": 1800, "timeout": 2.5}

    engine = orm.engine(URL)
    assert engine.echo is True
    assert settings(engine.pool) == expected

    async def main() -> None:
        async_engine = orm.async_engine("postgresql+asyncpg://ada@db/shop")
        assert async_engine.echo is True
        assert settings(async_engine.pool) == expected

    run_async(main)


@pytest.mark.parametrize(("text", "seconds"), [("0", 0), ("30s", 30), ("500ms", 0.5), ("1.5M", 90)])
def test_a_timeout_may_have_reflexs_units(
    monkeypatch: pytest.MonkeyPatch, text: str, seconds: float
) -> None:
    monkeypatch.setenv("SQLALCHEMY_POOL_TIMEOUT", text)
    assert settings(orm.engine(URL).pool)["timeout"] == seconds


def test_a_sqlite_file_takes_every_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SQLALCHEMY_POOL_SIZE", "3")
    assert settings(orm.engine("sqlite:///app.db").pool)["size"] == 3


@pytest.mark.parametrize(
    "url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:m?mode=memory&uri=true"]
)
def test_a_memory_database_takes_what_its_pool_takes(
    monkeypatch: pytest.MonkeyPatch, run_async: RunAsync, url: str
) -> None:
    for name, value in ALL.items():
        monkeypatch.setenv(name, value)

    pool = orm.engine(url).pool
    assert isinstance(pool, StaticPool)
    assert pool._recycle == 1800

    async def main() -> None:
        engine = orm.async_engine(url.replace("sqlite", "sqlite+aiosqlite", 1))
        assert isinstance(engine.pool, StaticPool)

    run_async(main)


@pytest.mark.parametrize(
    ("name", "values", "wanted"),
    [
        ("SQLALCHEMY_ECHO", ["2", "debug"], "true or false"),
        ("SQLALCHEMY_POOL_PRE_PING", ["maybe"], "true or false"),
        ("SQLALCHEMY_POOL_SIZE", ["-1", "five", "1.5", "1 000"], "a whole number, 0 or more"),
        ("SQLALCHEMY_MAX_OVERFLOW", ["-2", "none"], "a whole number, -1 or more"),
        ("SQLALCHEMY_POOL_RECYCLE", ["-2", "1h"], "a whole number, -1 or more"),
        (
            "SQLALCHEMY_POOL_TIMEOUT",
            ["-1", "30 y", "inf", "nan"],
            "a number of seconds, or one with a unit such as 500ms, 30s or 5m",
        ),
    ],
)
def test_a_wrong_value_names_its_variable(
    monkeypatch: pytest.MonkeyPatch, name: str, values: list[str], wanted: str
) -> None:
    for value in values:
        monkeypatch.setenv(name, value)
        with pytest.raises(orm.SettingError) as caught:
            orm.engine("sqlite://")
        assert str(caught.value) == f"{name} is {value!r}, and must be {wanted}."
    monkeypatch.setenv(name, " ")
    orm.engine("sqlite://")


def test_configure_comes_before_the_variables(script: Script) -> None:
    printed = script(
        f"""
        import asyncio, reflex_orm as orm
        from sqlalchemy.pool import NullPool
        orm.configure(pool_size=7, echo=False, connect_args={{"connect_timeout": 5}})
        engine = orm.engine("{URL}")
        print(engine.pool.size(), engine.echo)
        async def main():
            print(orm.async_engine("{URL}").pool.size())
        asyncio.run(main())
        """,
        SQLALCHEMY_POOL_SIZE="3",
        SQLALCHEMY_ECHO="true",
    )
    assert printed == "7 False\n7\n"


def test_configure_another_pool(script: Script) -> None:
    printed = script(
        f"""
        import reflex_orm as orm
        from sqlalchemy.pool import NullPool
        orm.configure(poolclass=NullPool)
        print(type(orm.engine("{URL}").pool).__name__)
        """,
        SQLALCHEMY_POOL_SIZE="3",
    )
    assert printed == "NullPool\n"


def test_configure_a_creator(script: Script, tmp_path: object) -> None:
    printed = script(
        f"""
        import sqlite3, reflex_orm as orm
        from sqlalchemy import text
        orm.configure(creator=lambda: sqlite3.connect(r"{tmp_path}/real.db"), poolclass=None)
        with orm.session() as s:
            print(s.scalar(text("SELECT file FROM pragma_database_list")))
        orm.engine().dispose()
        """,
        REFLEX_DB_URL="sqlite:///named.db",
    )
    assert printed == f"{tmp_path}/real.db\n"


def test_configure_a_creator_of_each_kind(script: Script, tmp_path: object) -> None:
    printed = script(
        f"""
        import aiosqlite, asyncio, sqlite3, reflex_orm as orm
        from sqlalchemy import text
        orm.configure(
            creator=lambda: sqlite3.connect(r"{tmp_path}/sync.db"),
            async_creator=lambda: aiosqlite.connect(r"{tmp_path}/async.db"),
        )
        query = text("SELECT file FROM pragma_database_list")
        with orm.session("sqlite:///x.db") as s:
            print(s.scalar(query))
        orm.engine("sqlite:///x.db").dispose()
        async def main():
            async with orm.asession("sqlite+aiosqlite:///x.db") as s:
                print(await s.scalar(query))
            await orm.async_engine("sqlite+aiosqlite:///x.db").dispose()
        asyncio.run(main())
        """
    )
    assert printed == f"{tmp_path}/sync.db\n{tmp_path}/async.db\n"


def test_configure_keeps_one_memory_database(script: Script) -> None:
    printed = script(
        """
        import threading, reflex_orm as orm
        from sqlalchemy import text
        orm.configure(connect_args={"timeout": 1})
        with orm.session("sqlite://") as s:
            s.execute(text("CREATE TABLE t (x)"))
        def read():
            with orm.session("sqlite://") as s:
                print(s.execute(text("SELECT x FROM t")).all())
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
        orm.engine("sqlite://").dispose()
        """
    )
    assert printed == "[]\n"


@pytest.mark.parametrize(
    ("first", "message"),
    [
        ("orm.configure(pool_size=3)", "configured already, with another echo and pool_size."),
        ("orm.configure(echo=True)", "configured already, with another echo."),
        ('orm.engine("sqlite://")', "configure() came after the first engine"),
        ("asyncio.run(make())", "None"),  # its loop is closed, and its engine with it
        ('orm.engine("sqlite://"); orm.dispose()', "None"),
        ('orm.configure(echo=True); orm.engine("sqlite://"); orm.dispose()', "None"),
    ],
)
def test_configure_once_and_first(script: Script, first: str, message: str) -> None:
    printed = script(
        f"""
        import asyncio, reflex_orm as orm
        async def make(): orm.async_engine("sqlite+aiosqlite://")
        {first}
        try:
            print(orm.configure(echo=False))
        except orm.ConfigureError as error:
            print(error)
        """
    )
    assert message in printed


def test_configure_again_with_the_same(script: Script) -> None:
    printed = script(
        """
        import json, reflex_orm as orm
        for _ in range(3):
            orm.configure(echo=False, json_serializer=json.dumps, connect_args={"timeout": 9})
            orm.engine("sqlite://")
        orm.dispose()
        orm.configure(pool_pre_ping=False)
        print(orm.engine("sqlite://").pool._pre_ping)
        """
    )
    assert printed == "False\n"


def test_configure_again_in_a_module_that_is_executed_again(script: Script) -> None:
    """As Streamlit does it: each time the functions are new, and the same."""
    printed = script(
        """
        import reflex_orm as orm
        source = "orm.configure(json_serializer=lambda value: %r, creator=None)"
        exec(source % "one")
        orm.engine("sqlite://")
        exec(source % "one")
        try:
            exec(source % "another")
        except orm.ConfigureError as error:
            print(error)
        """
    )
    assert printed.startswith("configure() came after the first engine")


def test_a_typo_is_refused_at_once(script: Script) -> None:
    printed = script(
        """
        import reflex_orm as orm
        for options in ({"pool_sise": 5}, {"nonsense": 1}):
            try:
                orm.configure(**options)
            except orm.ConfigureError as error:
                print(error)
        orm.configure(pool_size=5)
        """
    )
    assert printed == (
        "create_engine() has no option pool_sise. Did you mean pool_size?\n"
        "create_engine() has no option nonsense.\n"
    )


def test_every_option_of_sqlalchemys_dialects_is_known() -> None:
    ours = set(orm.EngineOptions.__annotations__)
    for module in pkgutil.walk_packages(dialects.__path__, dialects.__name__ + "."):
        with contextlib.suppress(ImportError):  # one of them subclasses a driver
            for found in vars(importlib.import_module(module.name)).values():
                if isinstance(found, type) and issubclass(found, DefaultDialect):
                    taken = {name for name in get_cls_kwargs(found) if not name.startswith("_")}
                    assert taken - ours <= {"dbapi", "compiler_linting"}, found
    assert set(_pool_translate_kwargs.values()) - ours <= {"use_threadlocal"}
    assert set(get_cls_kwargs(Engine)) - ours == {"url", "dialect"}


def test_options_of_another_packages_dialect(script: Script, tmp_path: Path) -> None:
    (tmp_path / "foreign.py").write_text(
        "from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite\n"
        "class Foreign(SQLiteDialect_pysqlite):\n"
        "    def __init__(self, foreign_option=None, **kw): super().__init__(**kw)\n"
    )
    info = tmp_path / "foreign-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: foreign\nVersion: 1\n")
    (info / "entry_points.txt").write_text(
        "[sqlalchemy.dialects]\nforeign = foreign:Foreign\nbroken = nowhere:Nothing\n"
    )
    printed = script(
        f"""
        import sys; sys.path.append(r"{tmp_path}")
        import reflex_orm as orm
        orm.configure(foreign_option=1)
        print(orm.engine("foreign://").dialect.name)
        orm.dispose()
        """
    )
    assert printed == "sqlite\n"
