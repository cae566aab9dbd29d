"""Databases for an application's tests: one for each test, or one that each test leaves untouched.

The fixtures are what goes into a project's conftest.py; the tests below them
use an application that knows nothing of all this: `register` and `aregister`.
"""

import asyncio
import uuid
from collections.abc import Iterator

import pytest
from sqlalchemy import URL, NullPool, create_engine, func, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import reflex_orm as orm


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


def register(name: str) -> int:
    with orm.session() as s:
        s.add(Customer(name=name))
        s.commit()
        return s.scalar(select(func.count()).select_from(Customer)) or 0


async def aregister(name: str) -> int:
    async with orm.asession() as s:
        s.add(Customer(name=name))
        await s.commit()
        return await s.scalar(select(func.count()).select_from(Customer)) or 0


def on_server(server: URL, statement: str) -> None:
    """Run a statement that PostgreSQL takes outside of a transaction alone."""
    engine = create_engine(server, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(statement))


@pytest.fixture(scope="module")  # in a project: "session"
def migrated(pg_server: URL) -> Iterator[URL]:
    """Make a database with every table, once."""
    url = pg_server.set(database=f"migrated_{uuid.uuid4().hex}")
    on_server(pg_server, f"CREATE DATABASE {url.database}")
    # In a project: alembic.command.upgrade(Config("alembic.ini"), "head"), with REFLEX_DB_URL set.
    Base.metadata.create_all(orm.engine(url))
    orm.dispose(url)  # a template must have no connection
    yield url
    orm.dispose(url)
    on_server(pg_server, f"DROP DATABASE {url.database}")


@pytest.fixture
def database(migrated: URL, pg_server: URL, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Give each test a database of its own, a copy of the migrated one."""
    url = pg_server.set(database=f"test_{uuid.uuid4().hex}")
    on_server(pg_server, f"CREATE DATABASE {url.database} TEMPLATE {migrated.database}")
    # The variable, and not using(): threads and processes that the test starts see it too.
    monkeypatch.setenv("REFLEX_DB_URL", url.render_as_string(hide_password=False))
    monkeypatch.delenv("REFLEX_ASYNC_DB_URL", raising=False)
    yield
    orm.dispose(url)
    on_server(pg_server, f"DROP DATABASE {url.database}")


@pytest.fixture
def rolled_back(migrated: URL) -> Iterator[None]:
    """Let each test work in one transaction, and take it back: the fastest way."""
    with orm.engine(migrated).connect() as connection, connection.begin() as transaction:
        with orm.using(connection):
            yield
        transaction.rollback()


@pytest.mark.parametrize("name", ["Ada", "Grace"])
@pytest.mark.usefixtures("database")
def test_a_database_of_its_own(name: str) -> None:
    assert register(name) == 1
    assert asyncio.run(aregister(name)) == 2


@pytest.mark.parametrize("name", ["Ada", "Grace"])
@pytest.mark.usefixtures("rolled_back")
def test_rolled_back(name: str) -> None:
    assert register(name) == 1
    assert register(name) == 2


@pytest.mark.parametrize("name", ["Ada", "Grace"])
def test_rolled_back_in_async(name: str, migrated: URL) -> None:
    async def test() -> None:
        # In a project, this is an async fixture of pytest-asyncio or anyio.
        async with orm.async_engine(migrated).connect() as connection:
            transaction = await connection.begin()
            with orm.using(connection):
                assert await aregister(name) == 1
                assert await aregister(name) == 2
            await transaction.rollback()

    asyncio.run(test())


@pytest.mark.parametrize("name", ["Ada", "Grace"])
def test_sqlite_in_memory(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a database in memory for each test, and forget it."""
    monkeypatch.setenv("REFLEX_DB_URL", "sqlite://")
    Base.metadata.create_all(orm.engine())
    assert register(name) == 1
    orm.dispose()
