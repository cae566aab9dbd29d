"""What the lock does when a signal ends a run, when nothing answers and when nothing is locked."""

import _thread
import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from alembic.runtime.migration import MigrationContext
from sqlalchemy import URL, Connection, NullPool, create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from reflex_driver.lock import Lock
from reflex_driver.progress import Progress
from reflex_driver.sockets import limited, open_sockets, opened_from_now_on


def acquired(connection: Connection) -> Lock:
    lock = Lock(1, Progress())
    lock.acquire(MigrationContext.configure(connection))
    return lock


def abandon_query(connection: Connection) -> None:
    """Begin a statement, and leave as a driver does that was interrupted just before it."""
    driver: Any = connection.connection.driver_connection
    if driver.info.transaction_status == 0:
        driver.pgconn.send_query(b"BEGIN; SELECT pg_sleep(600)")
    driver.pgconn.finish()


@contextlib.contextmanager
def watching(url: URL) -> Iterator[Callable[[], int]]:
    engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:

        def sleeping() -> int:
            question = "SELECT count(*) FROM pg_stat_activity WHERE query ~ '^BEGIN; SELECT pg_sl'"
            return int(connection.exec_driver_sql(question).scalar_one())

        yield sleeping


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_statement_that_goes_on_is_ended(pg_url: URL) -> None:
    with watching(pg_url) as sleeping:
        connection = create_engine(pg_url, poolclass=NullPool).connect()
        lock = acquired(connection)
        abandon_query(connection)
        until(lambda: sleeping() == 1)
        lock.end_migrations()
        until(lambda: sleeping() == 0)
        lock.check()
        lock.close()


def test_the_thread_of_the_limit_ends_with_the_lock(pg_url: URL) -> None:
    with create_engine(pg_url, poolclass=NullPool).connect() as connection:
        before = _thread._count()
        lock = acquired(connection)
        for _ in range(3):
            lock.check()
        assert _thread._count() == before + 1
        lock.close()
        until(lambda: _thread._count() == before)


def test_a_statement_of_an_event_loop_that_has_ended_is_ended(pg_url: URL) -> None:
    async def migrate() -> Lock:
        engine = create_async_engine(pg_url.set(drivername="postgresql+psycopg"))
        connection = await engine.connect()

        def work(connection: Connection) -> Lock:
            lock = acquired(connection)
            abandon_query(connection)
            return lock

        lock = await connection.run_sync(work)
        await connection.invalidate()
        await connection.close()
        return lock

    with watching(pg_url) as sleeping:
        lock = asyncio.run(migrate())
        until(lambda: sleeping() == 1)
        lock.end_migrations()
        until(lambda: sleeping() == 0)
        lock.close()


def test_another_session_with_the_same_process_id_is_not_ended(pg_url: URL) -> None:
    engine = create_engine(pg_url, poolclass=NullPool)
    with engine.connect() as connection, engine.connect() as other:
        lock = acquired(connection)
        pid = other.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
        (session,) = lock._sessions.values()
        (backend,) = session.backends
        session.backends = {f"{pid} {backend.partition(' ')[2]}"}
        lock.end_migrations()
        assert other.exec_driver_sql("SELECT 1").scalar_one() == 1
        lock.close()


def test_a_signal_ends_the_question(pg_url: URL) -> None:
    with create_engine(pg_url, poolclass=NullPool).connect() as connection:
        lock = acquired(connection)
        (session,) = lock._sessions.values()
        lock.interrupt()  # nothing is asked
        lock.check()
        timer = threading.Timer(0.6, lock.interrupt)
        timer.start()
        start = time.monotonic()
        with pytest.raises(Exception, match="closed"):
            session.ask("SELECT pg_sleep(600)")  # type: ignore[attr-defined]
        assert time.monotonic() - start < 10
        timer.join()
        lock.close()


def test_what_is_not_answered_in_time_has_failed() -> None:
    ours, theirs = socket.socketpair()
    found = open_sockets()

    def ask() -> None:
        with limited(0.2, lambda: {s for s in found if s[0] == ours.fileno()}):
            assert ours.recv(1) == b""
            raise OSError("the driver's own")

    with pytest.raises(TimeoutError, match=r"no answer within 0\.2 seconds"):
        ask()
    ours.close()
    theirs.close()


def test_only_what_was_opened_since_is_ended() -> None:
    before, _other = socket.socketpair()
    sockets = opened_from_now_on()
    after, _another = socket.socketpair()
    found = {descriptor for descriptor, _ in sockets()}
    assert after.fileno() in found
    assert before.fileno() not in found
    for s in before, _other, after, _another:
        s.close()


def test_a_lock_that_was_never_asked_for_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    lock = Lock(1, Progress())
    with create_engine("sqlite://", poolclass=NullPool).connect() as connection:
        lock.acquire(MigrationContext.configure(connection))
    lock.say_if_unused()
    assert capsys.readouterr().err == ""
    lock = Lock(1, Progress())
    lock.say_if_unused()
    lock.say_if_unused()
    assert capsys.readouterr().err.count("No migration lock was taken: env.py has not called") == 1
