"""Pool settings: the SQLALCHEMY_* variables and configure()."""

from collections.abc import Mapping

import pytest
from sqlalchemy import QueuePool, StaticPool
from sqlalchemy.pool import Pool

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
        ("orm.configure(echo=False)", "Call configure() once"),
        ('orm.engine("sqlite://")', "configure() came after the first engine"),
    ],
)
def test_configure_once_and_first(script: Script, first: str, message: str) -> None:
    printed = script(
        f"""
        import reflex_orm as orm
        {first}
        try:
            orm.configure(echo=False)
        except orm.ConfigureError as error:
            print(error)
        """
    )
    assert message in printed
