"""dispose() and adispose(): what they close, and what they leave."""

import asyncio

import pytest
from sqlalchemy import URL, text

import reflex_orm as orm
from conftest import Backends, NewDatabase, RunAsync, Script


def test_dispose_closes_and_forgets(pg_url: URL, backends: Backends) -> None:
    engine = orm.engine(pg_url)
    with orm.session(pg_url) as s:
        s.execute(text("SELECT 1"))
    assert backends.count() == 1
    orm.dispose()
    backends.fall_to(0)
    assert orm.engine(pg_url) is not engine
    orm.dispose()
    orm.dispose()


def test_what_is_in_use_is_closed_when_it_comes_back(pg_url: URL, backends: Backends) -> None:
    engine = orm.engine(pg_url)
    with orm.session(pg_url) as s:
        s.execute(text("SELECT 1"))
        orm.dispose()
        assert s.scalar(text("SELECT 1")) == 1
    backends.fall_to(0)
    with engine.connect() as connection:  # an engine that somebody has kept still works
        assert connection.scalar(text("SELECT 1")) == 1
    backends.fall_to(0)


def test_dispose_of_one(new_database: NewDatabase) -> None:
    first, second = new_database(), new_database()
    kept = orm.engine(first)
    gone = orm.engine(second)
    orm.dispose(second.render_as_string(hide_password=False))
    assert orm.engine(first) is kept
    assert orm.engine(second) is not gone


def test_dispose_makes_a_database_droppable(new_database: NewDatabase) -> None:
    tenant, other = new_database(), new_database()
    with orm.session(tenant) as s:
        s.execute(text("SELECT 1"))
    orm.dispose(tenant)
    statement = text(f"DROP DATABASE {tenant.database}")
    engine = orm.engine(other).execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(statement)  # PostgreSQL waits 5 seconds for backends that are ending
        connection.execute(text(f"CREATE DATABASE {tenant.database}"))


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_adispose(pg_url: URL, backends: Backends, run_async: RunAsync, driver: str) -> None:
    url = pg_url.set(drivername=f"postgresql+{driver}")

    async def main() -> None:
        engine = orm.async_engine(url)
        async with orm.asession(url) as s:
            await s.execute(text("SELECT 1"))
            async with orm.asession(url) as idle:
                await idle.execute(text("SELECT 1"))
            await orm.adispose(url)
            assert await s.scalar(text("SELECT 1")) == 1
        await asyncio.to_thread(backends.fall_to, 0)
        assert orm.async_engine(url) is not engine
        await orm.adispose()
        await orm.adispose()

    run_async(main)


def test_adispose_needs_a_loop() -> None:
    with pytest.raises(orm.EventLoopError), pytest.MonkeyPatch.context():
        orm.adispose().send(None)


def test_a_hundred_tenants_hold_no_connection(script: Script, pg_url: URL) -> None:
    """With NullPool, each session opens its connection and closes it."""
    printed = script(
        """
        import reflex_orm as orm
        from sqlalchemy import NullPool, text
        orm.configure(poolclass=NullPool)
        for tenant in range(100):
            url = orm.url().update_query_dict({"application_name": f"tenant{tenant}"})
            with orm.using(url), orm.session() as s:
                name = s.scalar(text("SHOW application_name"))
                assert name == f"tenant{tenant}"
        with orm.session() as s:
            query = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'tenant%'"
            while s.scalar(text(query)) > 5:  # they end in their own time
                s.rollback()
        print("ok")
        """,
        REFLEX_DB_URL=pg_url.render_as_string(hide_password=False),
    )
    assert printed == "ok\n"
