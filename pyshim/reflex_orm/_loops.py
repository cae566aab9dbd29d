"""The end of an async engine: with its event loop, or before.

asyncio.run, asyncio.Runner, pytest-asyncio, anyio, IsolatedAsyncioTestCase and
asgiref call ``loop.shutdown_asyncgens()`` before they close a loop, as asyncio's
documentation asks of everybody, and uvloop has it too. It closes each
asynchronous generator that was started in the loop and has not ended. So there
is one for each engine, which closes the engine's connections when it ends.
"""

import asyncio
import os
import socket
import weakref
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

from sqlalchemy import Engine, event
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import ConnectionPoolEntry

# How long a server that does not answer may hold up the end of a loop, in seconds.
_PATIENCE = 5


class LoopEngine:
    """An async engine that ends with the loop that runs while it is made."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self._process = os.getpid()
        self._ended = False
        self._entries: weakref.WeakSet[ConnectionPoolEntry] = weakref.WeakSet()
        event.listen(engine.sync_engine, "connect", lambda _, entry: self._entries.add(entry))
        self._at_end = self._at_the_end_of_the_loop()
        if getattr(asyncio.get_running_loop(), "_asyncgens_shutdown_called", False):
            close_on_return(engine.sync_engine)  # a generator's finally is what runs here
            return
        with suppress(StopIteration):  # how a generator that yields answers, stepped by hand
            self._at_end.asend(None).send(None)

    async def _at_the_end_of_the_loop(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            # A forked child may run on in a copy of the loop.
            if not self._ended and os.getpid() == self._process:
                await self._close()

    async def end(self) -> None:
        """Close the idle connections now, and the others when they are given back."""
        await self._close()
        self._ended = True
        with suppress(RuntimeError):  # the end of the loop is at it already
            await self._at_end.aclose()

    async def _close(self) -> None:
        close_on_return(self.engine.sync_engine)
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self.engine.dispose(), _PATIENCE)

    def cut(self) -> None:
        """Close what is still open once the loop is closed: nothing can be awaited any more."""
        for entry in list(self._entries):
            with suppress(Exception):
                _cut(entry.driver_connection)


def close_on_return(engine: Engine) -> None:
    """From here on, close each connection when it is given back, and keep none."""
    event.listen(engine, "checkin", lambda _, entry: entry.close())


def _cut(connection: Any) -> None:
    if hasattr(connection, "pgconn"):  # psycopg
        connection.pgconn.finish()
    elif hasattr(connection, "stop"):  # aiosqlite, whose thread ends
        connection.stop()
    elif hasattr(connection, "_transport"):  # asyncpg
        connection._transport.get_extra_info("socket").shutdown(socket.SHUT_RDWR)
