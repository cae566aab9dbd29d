"""Engines: made once for each URL, connected at first use, safe across threads, forks and loops."""

import asyncio
import gc
import os
import sys
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import URL, Engine, event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session

import reflex_orm as orm
from conftest import RunAsync, Script
from reflex_orm import _engines

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")


def test_what_is_returned_is_sqlalchemys(run_async: RunAsync) -> None:
    assert type(orm.engine("sqlite://")) is Engine
    assert type(orm.session("sqlite://")) is Session

    async def main() -> None:
        assert type(orm.async_engine("sqlite+aiosqlite://")) is AsyncEngine
        assert type(orm.asession("sqlite+aiosqlite://")) is AsyncSession

    run_async(main)


def test_import_reads_no_variable_and_loads_no_driver(script: Script) -> None:
    printed = script(
        """
        import os, sys
        os.environ["REFLEX_DB_URL"] = "nonsense"
        os.environ["SQLALCHEMY_POOL_SIZE"] = "nonsense"
        import reflex_orm
        print({"sqlite3", "psycopg", "sqlmodel", "reflex", "alembic"} & set(sys.modules))
        """
    )
    assert printed == "set()\n"


def test_the_first_statement_connects(tmp_path: Path, run_async: RunAsync) -> None:
    nowhere = f"sqlite:///{tmp_path}/no/such/directory/app.db"
    with orm.session(nowhere) as s, pytest.raises(OperationalError):
        s.execute(text("SELECT 1"))

    async def main() -> None:
        async with orm.asession(f"postgresql+asyncpg:///app?host={tmp_path}") as s:
            with pytest.raises(FileNotFoundError):
                await s.execute(text("SELECT 1"))

    run_async(main)


def test_session_options_are_sqlalchemys(run_async: RunAsync) -> None:
    with orm.session("sqlite://", autoflush=False, info={"user": 1}) as s:
        assert s.autoflush is False
        assert s.info == {"user": 1}
    with pytest.raises(TypeError):
        orm.session("sqlite://", no_such_option=1)

    async def main() -> None:
        async with orm.asession("sqlite+aiosqlite://", expire_on_commit=False) as s:
            assert s.sync_session.expire_on_commit is False

    run_async(main)


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Make threads interrupt each other as often as they can."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("eager_threads")
def test_threads_share_one_engine(tmp_path: Path) -> None:
    start = threading.Barrier(16)

    def make(round_: int) -> Engine:
        start.wait()
        return orm.engine(f"sqlite:///{tmp_path}/{round_}.db")

    with ThreadPoolExecutor(16) as threads:
        for round_ in range(20):
            assert len(set(threads.map(make, [round_] * 16))) == 1
    assert orm.engine(f"sqlite:///{tmp_path}/0.db") is not orm.engine(f"sqlite:///{tmp_path}/1.db")


def test_the_password_is_part_of_the_url() -> None:
    url = "postgresql+psycopg://ada:{}@db/shop"
    assert orm.engine(url.format("one")) is not orm.engine(url.format("two"))


def test_one_memory_database_for_all_threads() -> None:
    with orm.session("sqlite://") as s:
        s.execute(text("CREATE TABLE t (x INTEGER)"))
        s.execute(text("INSERT INTO t VALUES (7)"))
        s.commit()

    def read() -> object:
        with orm.session("sqlite://") as s:
            return s.scalar(text("SELECT x FROM t"))

    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(read).result() == 7


def test_one_sqlite_file_for_many_threads(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/app.db"
    with orm.session(url) as s:
        s.execute(text("CREATE TABLE t (x INTEGER)"))
        s.commit()

    def insert(x: int) -> None:
        with orm.session(url) as s:
            s.execute(text("INSERT INTO t VALUES (:x)"), {"x": x})
            s.commit()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(insert, range(100)))
    with orm.session(url) as s:
        assert s.scalar(text("SELECT count(DISTINCT x) FROM t")) == 100


@needs_fork
def test_a_forked_child_opens_its_own_connection(script: Script, pg_url: URL) -> None:
    printed = script(
        """
        import os, warnings, reflex_orm as orm
        from sqlalchemy import text
        def backend():
            with orm.session() as s:
                return s.scalar(text("SELECT pg_backend_pid()"))
        parent = backend()
        pid = os.fork()
        if pid == 0:
            os._exit(0 if backend() != parent else 1)
        _, status = os.waitpid(pid, 0)
        assert status == 0, "the child used its parent's connection"
        assert backend() == parent, "the child closed its parent's connection"
        print("ok")
        """,
        REFLEX_DB_URL=pg_url.render_as_string(hide_password=False),
    )
    assert printed == "ok\n"


@needs_fork
def test_a_forked_child_leaves_its_parents_loop_alone(script: Script, pg_url: URL) -> None:
    printed = script(
        """
        import asyncio, gc, os, reflex_orm as orm
        from sqlalchemy import text
        async def backend():
            async with orm.asession() as s:
                return await s.scalar(text("SELECT pg_backend_pid()"))
        async def child(parent):
            assert await backend() != parent
            await orm.async_engine().dispose()
        loop = asyncio.new_event_loop()
        parent = loop.run_until_complete(backend())
        pid = os.fork()
        if pid == 0:
            asyncio.run(child(parent))
            gc.collect()
            os._exit(0)
        _, status = os.waitpid(pid, 0)
        assert status == 0, status
        async def again():
            assert await backend() == parent
            await orm.async_engine().dispose()
        loop.run_until_complete(again())
        loop.close()
        print("ok")
        """,
        REFLEX_DB_URL=pg_url.set(drivername="postgresql+asyncpg").render_as_string(
            hide_password=False
        ),
    )
    assert printed == "ok\n"


@needs_fork
def test_a_fork_while_another_thread_makes_an_engine(script: Script) -> None:
    printed = script(
        """
        import os, signal, threading, warnings, reflex_orm as orm
        from sqlalchemy import Engine, event
        inside, go_on = threading.Event(), threading.Event()
        def slow(*_):
            inside.set()
            go_on.wait(30)
        class Plugin:  # SQLAlchemy calls it while the engine is being made
            def __init__(self, url, kwargs): slow()
            def handle_dialect_kwargs(self, *_): pass
            def handle_pool_kwargs(self, *_): pass
            def update_url(self, url): return url
            def engine_created(self, engine): pass
        from sqlalchemy.dialects import plugins
        plugins.register("slow", None, None)
        plugins.impls["slow"] = lambda: Plugin
        maker = threading.Thread(target=orm.engine, args=["sqlite:///a.db?plugin=slow"])
        maker.start()
        inside.wait(30)
        warnings.simplefilter("ignore")  # 3.12 and later warn of a fork with threads
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)
            orm.engine("sqlite:///b.db")
            os._exit(0)
        status = os.waitpid(pid, 0)[1]
        go_on.set()
        maker.join()
        assert status == 0, f"the child hung: {status}"
        print("ok")
        """
    )
    assert printed == "ok\n"


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
def test_each_event_loop_has_its_own_engine(pg_url: URL, run_async: RunAsync, driver: str) -> None:
    url = pg_url.set(drivername=f"postgresql+{driver}")

    async def main() -> AsyncEngine:
        async with orm.asession(url) as s:
            assert await s.scalar(text("SELECT 1")) == 1
        assert orm.async_engine(url) is orm.async_engine(url)
        return orm.async_engine(url)

    assert run_async(main) is not run_async(main)


def test_event_loops_in_threads(tmp_path: Path, run_async: RunAsync) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/app.db"
    start = threading.Barrier(4)

    async def main() -> AsyncEngine:
        start.wait()
        async with orm.asession(url) as s:
            assert await s.scalar(text("SELECT 1")) == 1
        return orm.async_engine(url)

    with ThreadPoolExecutor(4) as threads:
        futures = [threads.submit(run_async, main) for _ in range(4)]
        assert len({id(future.result()) for future in futures}) == 4


def test_a_closed_loop_is_let_go(run_async: RunAsync) -> None:
    url = "sqlite+aiosqlite://"

    async def main() -> "weakref.ref[asyncio.AbstractEventLoop]":
        orm.async_engine(url)
        return weakref.ref(asyncio.get_running_loop())

    first = run_async(main)
    run_async(main)
    gc.collect()
    assert first() is None
    assert len(_engines._async_engines) == 1


def test_events_are_sqlalchemys(tmp_path: Path) -> None:
    seen: list[str] = []
    engine = orm.engine(f"sqlite:///{tmp_path}/app.db")
    event.listen(engine, "connect", lambda *_: seen.append("connect"))
    with orm.session(engine.url) as s:
        assert seen == []
        s.execute(text("SELECT 1"))
        assert seen == ["connect"]
