"""Async engines end with their event loop: nothing stays behind, and nobody calls dispose."""

import asyncio
import gc
import os
import sys
import threading
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from sqlalchemy import URL, text

import reflex_orm as orm
from conftest import Backends, RunAsync, Script

DRIVERS = ["asyncpg", "psycopg"]


@pytest.fixture(params=DRIVERS)
def url(request: pytest.FixtureRequest, pg_url: URL) -> URL:
    return pg_url.set(drivername=f"postgresql+{request.param}")


async def four_sessions(url: URL | str) -> None:
    """Hold four connections at the same time."""
    all_connected = asyncio.Event()
    connected = 0

    async def one() -> None:
        nonlocal connected
        async with orm.asession(url) as s:
            await s.execute(text("SELECT 1"))
            connected += 1
            if connected == 4:
                all_connected.set()
            await all_connected.wait()

    await asyncio.gather(*(one() for _ in range(4)))


def test_39_loops_leave_no_connection(url: URL, backends: Backends) -> None:
    for _ in range(39):
        asyncio.run(four_sessions(url))
    backends.fall_to(0)


def test_a_loop_ends_without_a_warning(script: Script, pg_url: URL, tmp_path: Path) -> None:
    """`script` runs with -W error, and fails where anything is written to stderr."""
    for scheme in ("postgresql+asyncpg", "postgresql+psycopg", "sqlite+aiosqlite"):
        url = pg_url.set(drivername=scheme).render_as_string(hide_password=False)
        script(
            """
            import asyncio, gc, reflex_orm as orm
            from sqlalchemy import text
            async def main():
                async with orm.asession() as s:
                    await s.execute(text("SELECT 1"))
            for _ in range(3):
                asyncio.run(main())
            gc.collect()
            """,
            REFLEX_DB_URL=url if scheme.startswith("postgresql") else f"{scheme}:///{tmp_path}/a",
        )


def test_loops_in_threads(url: URL, backends: Backends) -> None:
    threads = [threading.Thread(target=asyncio.run, args=[four_sessions(url)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    backends.fall_to(0)


def test_a_loop_closed_without_shutdown_asyncgens(url: URL, backends: Backends) -> None:
    """Its connections are cut when the next engine is asked for."""
    loop = asyncio.new_event_loop()
    loop.run_until_complete(four_sessions(url))
    loop.close()
    assert backends.count() == 4

    async def main() -> None:
        orm.async_engine("sqlite+aiosqlite://")

    with pytest.MonkeyPatch.context() as patch:
        # asyncpg and asyncio warn, of their own, of a loop that was left like this.
        patch.setattr(sys, "unraisablehook", lambda _: None)
        asyncio.run(main())
        backends.fall_to(0)
        gc.collect()


def test_aiosqlites_threads_end(tmp_path: Path) -> None:
    """Each connection has one, which ends a moment after it is told to."""
    before = set(threading.enumerate())
    url = f"sqlite+aiosqlite:///{tmp_path}/app.db"
    asyncio.run(four_sessions(url))
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
    assert set(threading.enumerate()) <= before

    loop = asyncio.new_event_loop()
    loop.run_until_complete(four_sessions(url))
    loop.close()
    left = set(threading.enumerate()) - before
    assert len(left) == 4
    orm.dispose()
    for thread in left:
        thread.join(30)
    assert set(threading.enumerate()) <= before


def test_a_session_that_ends_with_the_loop(url: URL, backends: Backends) -> None:
    """One inside an asynchronous generator that nobody has closed, and one opened there."""
    seen: list[object] = []

    async def rows() -> AsyncGenerator[int, None]:
        async with orm.asession(url) as s:
            await s.execute(text("CREATE TABLE t (x INTEGER)"))
            try:
                yield 1
            finally:
                await s.commit()
                async with orm.asession(url) as another:
                    seen.append(await another.scalar(text("SELECT count(*) FROM t")))

    kept = rows()

    async def main() -> None:
        await kept.__anext__()

    asyncio.run(main())
    assert seen == [0]
    backends.fall_to(0)


def test_the_first_engine_while_the_loop_ends(url: URL, backends: Backends) -> None:
    async def late() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            async with orm.asession(url) as s:
                await s.execute(text("SELECT 1"))

    kept = late()

    async def main() -> None:
        await kept.__anext__()

    asyncio.run(main())
    backends.fall_to(0)


def test_adispose_while_the_loop_ends(url: URL, backends: Backends) -> None:
    async def tidy() -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            await orm.adispose()

    errors: list[object] = []
    kept = [tidy() for _ in range(8)]  # some come before the engine's own end, some after

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: errors.append(context))
        async with orm.asession(url) as s:
            await s.execute(text("SELECT 1"))
        for generator in kept:
            await generator.__anext__()

    asyncio.run(main())
    assert errors == []
    backends.fall_to(0)


def test_a_cancelled_task_gives_its_connection_back(url: URL, backends: Backends) -> None:
    async def forever(started: asyncio.Event) -> None:
        async with orm.asession(url) as s:
            await s.execute(text("SELECT 1"))
            started.set()
            await asyncio.Event().wait()

    tasks: list[asyncio.Task[None]] = []

    async def main() -> None:
        started = asyncio.Event()
        tasks.append(asyncio.create_task(forever(started)))
        await started.wait()

    asyncio.run(main())  # which cancels what still runs
    backends.fall_to(0)


def test_a_memory_database_lives_as_long_as_its_loop(run_async: RunAsync) -> None:
    async def make() -> None:
        async with orm.asession("sqlite+aiosqlite://") as s:
            await s.execute(text("CREATE TABLE t (x INTEGER)"))
            await s.commit()
        async with orm.asession("sqlite+aiosqlite://") as s:
            await s.execute(text("SELECT x FROM t"))

    run_async(make)
    run_async(make)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform cannot fork")
def test_a_forked_child_may_end_its_copy_of_the_loop(script: Script, url: URL) -> None:
    printed = script(
        """
        import asyncio, os, reflex_orm as orm
        from sqlalchemy import text
        async def backend():
            async with orm.asession() as s:
                return await s.scalar(text("SELECT pg_backend_pid()"))
        loop = asyncio.new_event_loop()
        parent = loop.run_until_complete(backend())
        pid = os.fork()
        if pid == 0:
            loop.run_until_complete(loop.shutdown_asyncgens())
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
        assert loop.run_until_complete(backend()) == parent, "the child closed it"
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        print("ok")
        """,
        REFLEX_DB_URL=url.render_as_string(hide_password=False),
    )
    assert printed == "ok\n"
