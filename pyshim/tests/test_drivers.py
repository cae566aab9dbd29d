"""Drivers: sync or async, installed or not, and what to write instead."""

import asyncio
import sys

import pytest
from sqlalchemy import URL, text

import reflex_orm as orm
from conftest import RunAsync, Script


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (
            "postgresql+asyncpg://ada:secret@db/shop",
            "Write REFLEX_DB_URL=postgresql+psycopg://ada:***@db/shop instead, which serves both.",
        ),
        (
            "sqlite+aiosqlite:///shop.db",
            "Set REFLEX_DB_URL to sqlite:///shop.db, "
            "and REFLEX_ASYNC_DB_URL to sqlite+aiosqlite:///shop.db.",
        ),
        (
            "mysql+aiomysql://ada:secret@db/shop",
            "Set REFLEX_DB_URL to mysql+pymysql://ada:***@db/shop, "
            "and REFLEX_ASYNC_DB_URL to mysql+aiomysql://ada:***@db/shop.",
        ),
    ],
)
def test_an_async_driver_in_session(
    monkeypatch: pytest.MonkeyPatch, value: str, advice: str
) -> None:
    monkeypatch.setenv("REFLEX_DB_URL", value)
    with pytest.raises(orm.WrongDriverError) as caught:
        orm.session()
    assert str(caught.value).endswith(advice)


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (
            "postgresql+psycopg2://ada:secret@db/shop",
            "Write REFLEX_DB_URL=postgresql+psycopg://ada:***@db/shop instead, which serves both.",
        ),
        ("sqlite:///shop.db", "Set REFLEX_ASYNC_DB_URL to sqlite+aiosqlite:///shop.db."),
        (
            "mysql+pymysql://ada:secret@db/shop?ssl_key=k",
            "Set REFLEX_ASYNC_DB_URL to mysql+aiomysql://ada:***@db/shop.",
        ),
    ],
)
def test_a_sync_driver_in_asession(
    monkeypatch: pytest.MonkeyPatch, run_async: RunAsync, value: str, advice: str
) -> None:
    async def main() -> None:
        orm.asession()

    monkeypatch.setenv("REFLEX_DB_URL", value)
    with pytest.raises(orm.WrongDriverError) as caught:
        run_async(main)
    assert str(caught.value).endswith(advice)


def test_an_argument_is_answered_with_an_argument() -> None:
    with pytest.raises(orm.WrongDriverError, match=r"Write sqlite:///x\.db instead\.$"):
        orm.session("sqlite+aiosqlite:///x.db")


def test_one_psycopg_url_serves_both(
    monkeypatch: pytest.MonkeyPatch, pg_url: URL, run_async: RunAsync
) -> None:
    monkeypatch.setenv("REFLEX_DB_URL", pg_url.render_as_string(hide_password=False))

    with orm.session() as s:
        assert s.scalar(text("SELECT current_database()")) == pg_url.database

    async def main() -> None:
        async with orm.asession() as s:
            assert await s.scalar(text("SELECT current_database()")) == pg_url.database

    run_async(main)


@pytest.mark.parametrize(
    ("module", "url", "command"),
    [
        ("psycopg", "postgresql+psycopg://ada:secret@db/shop", '-m pip install "psycopg[binary]"'),
        (
            "psycopg2",
            "postgresql+psycopg2://ada:secret@db/shop",
            '-m pip install "psycopg2-binary"',
        ),
        ("pymysql", "mysql+pymysql://ada:secret@db/shop", '-m pip install "PyMySQL"'),
        ("MySQLdb", "mysql://ada:secret@db/shop", '-m pip install "mysqlclient"'),
    ],
)
def test_a_missing_driver_names_the_pip_command(
    script: Script, module: str, url: str, command: str
) -> None:
    printed = script(
        f"""
        import sys, reflex_orm as orm
        sys.modules["{module}"] = None  # as if it were not installed
        try:
            orm.engine()
        except orm.MissingDriverError as error:
            assert isinstance(error, ImportError) and error.name == "{module}", error.name
            print(error)
        """,
        REFLEX_DB_URL=url,
    )
    assert printed.endswith(f'    "{sys.executable}" {command}\n')
    assert "secret" not in printed


@pytest.mark.parametrize(
    ("module", "database"), [("asyncpg", "postgresql"), ("aiosqlite", "sqlite")]
)
def test_a_missing_async_driver_names_the_pip_command(
    script: Script, module: str, database: str
) -> None:
    printed = script(
        f"""
        import asyncio, sys, reflex_orm as orm
        sys.modules["{module}"] = None
        async def main():
            try:
                orm.asession()
            except orm.MissingDriverError as error:
                print(error)
        asyncio.run(main())
        """,
        REFLEX_DB_URL=f"{database}+{module}:///shop",
    )
    assert printed.endswith(f'    "{sys.executable}" -m pip install "{module}"\n')


def test_outside_an_event_loop_asession_says_so() -> None:
    for door in (orm.asession, orm.async_engine):
        with pytest.raises(orm.EventLoopError, match="inside a coroutine"):
            door("sqlite+aiosqlite://")
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
