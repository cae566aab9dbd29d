"""using(): another database for a while, in this task or thread."""

import asyncio
import contextvars
import threading
from pathlib import Path

import pytest
from sqlalchemy import URL, text

import reflex_orm as orm
from conftest import RunAsync


@pytest.fixture(autouse=True)
def main_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFLEX_DB_URL", "sqlite:///main.db")
    monkeypatch.setenv("REFLEX_ASYNC_DB_URL", "sqlite+aiosqlite:///amain.db")


def test_there_and_back() -> None:
    assert orm.url().database == "main.db"
    with orm.using("sqlite:///a.db"):
        assert orm.url().database == "a.db"
        assert orm.engine().url.database == "a.db"
        with orm.session() as s:
            assert s.get_bind() is orm.engine("sqlite:///a.db")
        with orm.using("sqlite:///b.db"):
            assert orm.url().database == "b.db"
            assert orm.engine("sqlite:///given.db").url.database == "given.db"
        assert orm.url().database == "a.db"
    assert orm.url().database == "main.db"


def test_back_after_an_error() -> None:
    with pytest.raises(ZeroDivisionError), orm.using("sqlite:///a.db"):
        _ = 1 / 0
    assert orm.url().database == "main.db"
    with pytest.raises(orm.URLError), orm.using("nonsense"):
        pass
    assert orm.url().database == "main.db"


def test_as_a_decorator() -> None:
    @orm.using("sqlite:///a.db")
    def database() -> str | None:
        return orm.url().database

    assert [database(), database(), orm.url().database] == ["a.db", "a.db", "main.db"]


def test_the_async_doors(run_async: RunAsync) -> None:
    async def main() -> None:
        with orm.using("sqlite:///a.db", async_url="sqlite+aiosqlite:///b.db"):
            assert orm.engine().url.database == "a.db"
            assert orm.async_engine().url.database == "b.db"
        # One URL is for both: never half here and half in the database of the variables.
        with orm.using("sqlite+aiosqlite:///c.db"):
            assert orm.async_engine().url.database == "c.db"
        with orm.using("sqlite:///d.db"), pytest.raises(orm.WrongDriverError):
            orm.async_engine()
        assert orm.async_engine().url.database == "amain.db"

    run_async(main)


def test_each_task_has_its_own(run_async: RunAsync) -> None:
    async def tenant(name: str) -> list[str | None]:
        seen = []
        with orm.using(f"sqlite+aiosqlite:///{name}.db"):
            for _ in range(3):
                await asyncio.sleep(0)
                seen.append(orm.async_engine().url.database)
            child = asyncio.create_task(asyncio.to_thread(lambda: orm.url().database))
        seen.append(await child)  # it has begun with the context of this task, as it was inside
        seen.append(orm.async_engine().url.database)
        return seen

    async def main() -> None:
        found = await asyncio.gather(*(tenant(f"t{n}") for n in range(5)))
        assert found == [[f"t{n}.db"] * 4 + ["amain.db"] for n in range(5)]

    run_async(main)


def test_a_plain_thread_reads_the_variables() -> None:
    seen: list[str | None] = []

    def look() -> None:
        seen.append(orm.url().database)

    with orm.using("sqlite:///a.db"):
        # From Python 3.14 on, a build or a flag may have threads inherit the context.
        for context in (contextvars.Context(), contextvars.copy_context()):
            thread = threading.Thread(target=context.run, args=[look])
            thread.start()
            thread.join()
    assert seen == ["main.db", "a.db"]


def test_it_may_end_in_another_context_than_it_began_in() -> None:
    """As a fixture's end does under some runners."""
    manager = orm.using("sqlite:///a.db")
    manager.__enter__()
    contextvars.Context().run(manager.__exit__, None, None, None)
    manager = orm.using("sqlite:///b.db")
    contextvars.Context().run(manager.__enter__)
    manager.__exit__(None, None, None)


def test_a_connection_takes_everything_back(pg_url: URL) -> None:
    with orm.session(pg_url) as s:
        s.execute(text("CREATE TABLE t (x INTEGER)"))
        s.commit()
    with orm.engine(pg_url).connect() as connection:
        transaction = connection.begin()
        with orm.using(connection):
            assert orm.engine() is orm.engine(pg_url)
            assert orm.url() == pg_url
            with orm.session() as s:
                s.execute(text("INSERT INTO t VALUES (1)"))
                s.commit()
                s.execute(text("INSERT INTO t VALUES (2)"))
                s.rollback()
                s.execute(text("INSERT INTO t VALUES (3)"))
                s.commit()
            with orm.session() as s:
                assert s.scalars(text("SELECT x FROM t ORDER BY x")).all() == [1, 3]
            with pytest.raises(orm.WrongDriverError, match="AsyncConnection"):
                orm.asession()
        transaction.rollback()
    with orm.session(pg_url) as s:
        assert s.scalars(text("SELECT x FROM t")).all() == []


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_an_async_connection_takes_everything_back(
    pg_url: URL, run_async: RunAsync, driver: str
) -> None:
    url = pg_url.set(drivername=f"postgresql+{driver}")

    async def main() -> None:
        async with orm.asession(url) as s:
            await s.execute(text("CREATE TABLE t (x INTEGER)"))
            await s.commit()
        async with orm.async_engine(url).connect() as connection:
            transaction = await connection.begin()
            with orm.using(connection):
                assert orm.async_engine().url == url
                async with orm.asession() as s:
                    await s.execute(text("INSERT INTO t VALUES (1)"))
                    await s.commit()
                async with orm.asession() as s:
                    assert (await s.scalars(text("SELECT x FROM t"))).all() == [1]
                with pytest.raises(orm.WrongDriverError, match="AsyncConnection"):
                    orm.session()
            await transaction.rollback()
        async with orm.asession(url) as s:
            assert (await s.scalars(text("SELECT x FROM t"))).all() == []

    run_async(main)


def test_a_url_beside_a_connection_goes_its_own_way(tmp_path: Path, pg_url: URL) -> None:
    with orm.engine(pg_url).connect() as connection, orm.using(connection):
        assert orm.session(f"sqlite:///{tmp_path}/x.db").get_bind() is not connection
