"""What the tests share: a clean start for each, real databases, and fresh interpreters.

``REFLEX_TEST_PG_URL`` names a PostgreSQL server where a test may create databases, and
``REFLEX_TEST_PG_REPLICA_URL`` a streaming replica of it. ``go run ./tests/pgtest/run --
pytest`` starts them; what needs one is skipped without.
"""

import asyncio
import os
import subprocess
import sys
import textwrap
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol, TypeVar

import pytest
from sqlalchemy import URL, NullPool, create_engine, make_url, text

import reflex_orm as orm

T = TypeVar("T")


class NewDatabase(Protocol):
    """Make a new PostgreSQL database and return its URL, on psycopg 3."""

    def __call__(self) -> URL: ...


class RunAsync(Protocol):
    """Run a coroutine function in a new event loop."""

    def __call__(self, main: Callable[[], Awaitable[T]]) -> T: ...


class Script(Protocol):
    """Run a program in a fresh interpreter, and return what it printed."""

    def __call__(self, program: str, **env: str) -> str: ...


@pytest.fixture(autouse=True)
def clean_start(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Clear the variables that reflex_orm reads, and its engines afterwards."""
    for name in os.environ:
        if name.startswith(("REFLEX_DB", "REFLEX_ASYNC", "SQLALCHEMY_")):
            monkeypatch.delenv(name)
    yield
    orm.dispose()


@pytest.fixture(scope="session")
def pg_server() -> URL:
    """Return the URL of the PostgreSQL server, on psycopg 3."""
    return _server("REFLEX_TEST_PG_URL")


@pytest.fixture(scope="session")
def pg_replica() -> URL:
    """Return the URL of the streaming replica of `pg_server`."""
    return _server("REFLEX_TEST_PG_REPLICA_URL")


def _server(variable: str) -> URL:
    value = os.environ.get(variable)
    if not value:
        pytest.skip(f"{variable} is not set: `go run ./tests/pgtest/run -- pytest` sets it")
    return make_url(value).set(drivername="postgresql+psycopg")


@pytest.fixture
def new_database(pg_server: URL) -> Iterator[NewDatabase]:
    made: list[str] = []

    def new_database() -> URL:
        name = f"t_{uuid.uuid4().hex}"
        _administer(pg_server, f"CREATE DATABASE {name}")
        made.append(name)
        return pg_server.set(database=name)

    yield new_database
    for name in made:
        _administer(pg_server, f"DROP DATABASE {name} WITH (FORCE)")


def _administer(server: URL, statement: str) -> None:
    engine = create_engine(server, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.execute(text(statement))


@pytest.fixture
def pg_url(new_database: NewDatabase) -> URL:
    return new_database()


class Backends:
    """The connections to a database, as its server sees them."""

    def __init__(self, url: URL) -> None:
        self._name = url.database
        self._engine = create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")

    def count(self) -> int:
        query = text("SELECT count(*) FROM pg_stat_activity WHERE datname = :name")
        with self._engine.connect() as connection:
            return int(connection.execute(query, {"name": self._name}).scalar_one())

    def fall_to(self, number: int) -> None:
        """Wait until no more are left: a server ends a connection a moment after its client."""
        deadline = time.monotonic() + 30
        while self.count() > number:
            assert time.monotonic() < deadline, f"{self.count()} connections stay open"
            time.sleep(0.01)

    def close(self) -> None:
        self._engine.dispose()


@pytest.fixture
def backends(pg_url: URL) -> Iterator[Backends]:
    """Count the connections to `pg_url`."""
    backends = Backends(pg_url)
    yield backends
    backends.close()


@pytest.fixture
def run_async() -> RunAsync:
    def run_async(main: Callable[[], Awaitable[T]]) -> T:
        async def run() -> T:
            return await main()

        return asyncio.run(run())

    return run_async


@pytest.fixture
def script() -> Script:
    def script(program: str, **env: str) -> str:
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("REFLEX_DB", "REFLEX_ASYNC", "SQLALCHEMY_", "PYTHON"))
        }
        package = os.path.dirname(os.path.dirname(orm.__file__))
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
            env={**inherited, "PYTHONPATH": package, **env},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout

    return script
