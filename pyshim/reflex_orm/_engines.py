"""The engines: one for each URL, and for each event loop where they are async."""

from __future__ import annotations

import asyncio
import os
import threading
from types import FunctionType
from typing import TYPE_CHECKING, Any

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from . import _drivers, _options, _settings, _target, _urls
from ._errors import ConfigureError, EventLoopError
from ._loops import LoopEngine, close_on_return

if TYPE_CHECKING:
    from typing_extensions import Unpack  # which SQLAlchemy depends on

_lock = threading.Lock()
_engines: dict[URL, Engine] = {}
# A pooled async connection works in the loop that opened it and in no other.
_async_engines: dict[tuple[asyncio.AbstractEventLoop, URL], LoopEngine] = {}
_configured: _options.Options | None = None
_disposed = False  # since it was configured


def configure(**options: Unpack[_options.Options]) -> None:
    """Set options that every engine is made with: any of `sqlalchemy.create_engine`'s.

    ::

        orm.configure(connect_args={"connect_timeout": 5}, pool_size=20)

    They come before the ``SQLALCHEMY_*`` variables; ``connect_args`` are merged
    with ours. ``session_options`` and ``async_session_options`` are for the sessions:
    what SQLAlchemy's ``sessionmaker`` and ``async_sessionmaker`` take, but ``bind``::

        orm.configure(async_session_options={"expire_on_commit": False})

    Where both ``creator`` and ``async_creator`` are given, each kind
    of engine takes its own. Names are checked at once, values by SQLAlchemy
    when the first engine is made. Calling it again with the same options does
    nothing; with others it is possible after `dispose`. A function is the same
    if its source is, for modules that are executed again, as by Streamlit; the
    first one stays. For events,
    listen on `engine` or on ``sqlalchemy.Engine``; for routing, write a
    ``Session`` class with ``get_bind``, over ``engine(url)`` of each database.

    Raises:
        ConfigureError: an option is unknown, it was called before with other
            options, or an engine was made before.
    """
    global _configured, _disposed
    _options.check(options)
    with _lock:
        _forget_closed_loops()
        before: dict[str, object] = {**(_configured or {})}
        differing = {n for n, v in options.items() if n not in before or not _same(before[n], v)}
        differing |= before.keys() - options.keys()
        if _configured is not None and not differing:
            return
        if _engines or _async_engines:
            raise ConfigureError(
                "configure() came after the first engine. Call it before the first session(), "
                "asession(), engine() or async_engine(), or after dispose()."
            )
        if _configured is not None and not _disposed:
            raise ConfigureError(
                "reflex_orm is configured already, with another "
                f"{' and '.join(sorted(differing))}. "
                "Call configure() once, with every option, or again with the same."
            )
        _configured, _disposed = options, False


def session_options() -> dict[str, Any]:
    """Return what `configure` was given for sync sessions."""
    return dict((_configured or {}).get("session_options", {}))


def async_session_options() -> dict[str, Any]:
    """Return the same for async ones."""
    return dict((_configured or {}).get("async_session_options", {}))


def _same(one: object, other: object) -> bool:
    """Whether two values of an option are equal, or functions made twice by one source."""
    if isinstance(one, FunctionType) and isinstance(other, FunctionType):
        cells = [[c.cell_contents for c in f.__closure__ or ()] for f in (one, other)]
        return (
            one.__code__ == other.__code__
            and one.__defaults__ == other.__defaults__
            and one.__kwdefaults__ == other.__kwdefaults__
            and cells[0] == cells[1]
        )
    return bool(one == other)


def engine(url: str | URL | None = None) -> Engine:
    """Return the `sqlalchemy.Engine` of a URL, by default of ``REFLEX_DB_URL``.

    The engine is made at the first call and shared by all threads from then
    on, until `dispose`. It connects when the first statement runs. A forked
    child keeps it and opens connections of its own.

    ``sqlite://`` in memory is one connection that all threads share. Sessions
    that are open at the same time are in one transaction: a rollback of one takes
    back the other's work. A forked child starts with an empty database.

    Raises:
        URLNotSetError: there is no URL.
        URLError: it is not a SQLAlchemy URL.
        WrongDriverError: its driver is an async one.
        MissingDriverError: its driver is not installed.
        SettingError: a ``SQLALCHEMY_*`` variable cannot be used.
    """
    connection = _target.sync_connection(url)
    if connection is not None:
        return connection.engine
    target, origin = _target.sync_url(url)
    with _lock:
        found = _engines.get(target)
        if found is None:
            dialect = _drivers.sync_dialect(target, origin)
            options = _settings.engine_options(target, dialect, _options.of_engines(_configured))
            _urls.check_host(target, origin, options)
            with _drivers.must_be_installed(target, origin):
                found = create_engine(target, **options)
            _engines[target] = found
        return found


def async_engine(url: str | URL | None = None) -> AsyncEngine:
    """Return the `sqlalchemy.ext.asyncio.AsyncEngine` of a URL, for the running event loop.

    The URL is by default that of ``REFLEX_ASYNC_DB_URL``, else of
    ``REFLEX_DB_URL``. Each event loop gets an engine of its own, made at the
    first call there. It connects when the first statement runs.

    Its connections are closed when the loop ends: ``asyncio.run``, the test
    runners and all that end a loop by ``shutdown_asyncgens()`` see to that. Of a
    loop that is closed without, they are cut off at the next call here.

    Raises:
        EventLoopError: no event loop runs in this thread.
        URLNotSetError, URLError, WrongDriverError, MissingDriverError,
        SettingError: as for `engine`; here the driver must be an async one.
    """
    connection = _target.async_connection(url)
    if connection is not None:
        return connection.engine
    target, origin = _target.async_url(url)
    loop = _running_loop()
    with _lock:
        found = _async_engines.get((loop, target))
        if found is None:
            dialect = _drivers.async_dialect(target, origin)
            options = _settings.engine_options(target, dialect, _options.of_engines(_configured))
            _urls.check_host(target, origin, options)
            with _drivers.must_be_installed(target, origin):
                made = create_async_engine(target, **options)
            found = LoopEngine(made)
            _forget_closed_loops()
            _async_engines[loop, target] = found
        return found.engine


def dispose(url: str | URL | None = None) -> None:
    """Close the idle connections of the sync engines, and forget these engines.

    A connection that is in use is closed when it is given back. The next
    `session` or `engine` makes a new engine, and `configure` may be called
    again. Nothing happens where there is no engine. Async engines end with
    their loop, or by `adispose`.

    Args:
        url: the engine to end, in place of all.

    Raises:
        URLError: it is not a SQLAlchemy URL.
    """
    global _disposed
    target = None if url is None else _target.sync_url(url)[0]
    with _lock:
        _disposed = _disposed or url is None
        _forget_closed_loops()
        ended = [_engines.pop(key) for key in list(_engines) if target in (None, key)]
    for engine in ended:
        close_on_return(engine)
        engine.dispose()


async def adispose(url: str | URL | None = None) -> None:
    """Do the same with the async engines of the running event loop.

    Args:
        url: the engine to end, in place of all of this loop.

    Raises:
        EventLoopError: no event loop runs in this thread.
        URLError: it is not a SQLAlchemy URL.
    """
    global _disposed
    target = None if url is None else _target.async_url(url)[0]
    loop = _running_loop()
    with _lock:
        _disposed = _disposed or url is None
        keys = [key for key in _async_engines if key[0] is loop and target in (None, key[1])]
        ended = [_async_engines.pop(key) for key in keys]
    for engine in ended:
        await engine.end()


def _running_loop() -> asyncio.AbstractEventLoop:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        raise EventLoopError(
            "async_engine() and asession() belong to an event loop, and none is running here. "
            "Call them inside a coroutine."
        ) from None


def _forget_closed_loops() -> None:
    # An engine refers to its loop through its connections, so a weak key would never go.
    for key in [key for key in _async_engines if key[0].is_closed()]:
        _async_engines.pop(key).cut()


# What a fork inherited is kept, never collected: closing it would act on the parent's connection
# (https://www.sqlite.org/howtocorrupt.html, section 2.6).
_inherited: list[object] = []


def _after_fork_in_child() -> None:
    global _lock
    _lock = threading.Lock()  # another thread of the parent may have held it
    for shared in _engines.values():
        _inherited.append(shared.pool)
        shared.dispose(close=False)
    _inherited.extend(_async_engines.values())
    _async_engines.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
