"""The engines: one for each URL, and for each event loop where they are async."""

import asyncio
import os
import threading
from typing import Any

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from . import _drivers, _settings, _urls
from ._errors import ConfigureError, EventLoopError

_lock = threading.Lock()
_engines: dict[URL, Engine] = {}
# A pooled async connection works in the loop that opened it and in no other.
_async_engines: dict[tuple[asyncio.AbstractEventLoop, URL], AsyncEngine] = {}
_configured: dict[str, Any] | None = None


def configure(**options: Any) -> None:
    """Set options that every engine is made with: any of `sqlalchemy.create_engine`'s.

    ::

        orm.configure(connect_args={"connect_timeout": 5}, pool_size=20)

    They come before the ``SQLALCHEMY_*`` variables; ``connect_args`` are merged
    with ours. Where both ``creator`` and ``async_creator`` are given, each kind
    of engine takes its own. SQLAlchemy checks them when the first engine is made. For events,
    listen on `engine` or on ``sqlalchemy.Engine``; for routing, write a
    ``Session`` class with ``get_bind``, over ``engine(url)`` of each database.

    Raises:
        ConfigureError: it was called before, or an engine was made before.
    """
    global _configured
    with _lock:
        if _configured is not None:
            raise ConfigureError(
                "reflex_orm is configured already. Call configure() once, with every option."
            )
        if _engines or _async_engines:
            raise ConfigureError(
                "configure() came after the first engine. "
                "Call it before the first session(), asession(), engine() or async_engine()."
            )
        _configured = options


def engine(url: str | URL | None = None) -> Engine:
    """Return the `sqlalchemy.Engine` of a URL, by default of ``REFLEX_DB_URL``.

    The engine is made at the first call and shared by all threads from then
    on. It connects when the first statement runs. A forked child keeps it and
    opens connections of its own.

    ``sqlite://`` in memory is one connection that all threads share, and one
    transaction at a time; a forked child starts with an empty database.

    Raises:
        URLNotSetError: there is no URL.
        URLError: it is not a SQLAlchemy URL.
        WrongDriverError: its driver is an async one.
        MissingDriverError: its driver is not installed.
        SettingError: a ``SQLALCHEMY_*`` variable cannot be used.
    """
    target, origin = _urls.resolve(url, _urls.VARIABLE)
    with _lock:
        found = _engines.get(target)
        if found is None:
            dialect = _drivers.sync_dialect(target, origin)
            options = _settings.engine_options(target, dialect, _configured or {})
            with _drivers.must_be_installed(target, origin):
                found = create_engine(target, **options)
            _engines[target] = found
        return found


def async_engine(url: str | URL | None = None) -> AsyncEngine:
    """Return the `sqlalchemy.ext.asyncio.AsyncEngine` of a URL, for the running event loop.

    The URL is by default that of ``REFLEX_ASYNC_DB_URL``, else of
    ``REFLEX_DB_URL``. Each event loop gets an engine of its own, made at the
    first call there. It connects when the first statement runs. Before a loop
    ends, ``await async_engine().dispose()`` closes its idle connections;
    without it they are dropped, with a ``ResourceWarning`` from some drivers.

    Raises:
        EventLoopError: no event loop runs in this thread.
        URLNotSetError, URLError, WrongDriverError, MissingDriverError,
        SettingError: as for `engine`; here the driver must be an async one.
    """
    target, origin = _urls.resolve(url, _urls.ASYNC_VARIABLE, _urls.VARIABLE)
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise EventLoopError(
            "async_engine() and asession() belong to an event loop, and none is running here. "
            "Call them inside a coroutine."
        ) from None
    with _lock:
        found = _async_engines.get((loop, target))
        if found is None:
            dialect = _drivers.async_dialect(target, origin)
            options = _settings.engine_options(target, dialect, _configured or {})
            with _drivers.must_be_installed(target, origin):
                found = create_async_engine(target, **options)
            _forget_closed_loops()
            _async_engines[loop, target] = found
        return found


def _forget_closed_loops() -> None:
    # An engine refers to its loop through its connections, so a weak key would never go.
    for key in [key for key in _async_engines if key[0].is_closed()]:
        del _async_engines[key]


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
