"""Which database is meant: that of an argument, of `using`, or of a variable, in this order."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

from sqlalchemy import Connection
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncConnection

from . import _urls
from ._errors import WrongDriverError


class _Target(NamedTuple):
    url: URL | None = None
    async_url: URL | None = None
    connection: Connection | AsyncConnection | None = None


_VARIABLES = _Target()
_target: ContextVar[_Target] = ContextVar("reflex_orm.using", default=_VARIABLES)


@contextmanager
def using(
    target: str | URL | Connection | AsyncConnection, *, async_url: str | URL | None = None
) -> Iterator[None]:
    """Take another database than the variables name, for the length of a ``with`` statement.

    ::

        with orm.using(tenant.url):
            with orm.session() as s: ...

    `session`, `asession`, `engine`, `async_engine` and `url` go there, unless
    they are given a URL of their own. It may be nested. It counts in this
    thread or asyncio task, and in what starts from there with a copy of its
    context, as tasks and ``asyncio.to_thread`` do; a plain new thread reads the
    variables (`contextvars`). A session stays on the database that it was made
    for. The engines are kept as all others are: `dispose` ends them.

    A connection in place of a URL is for tests that are taken back: what
    sessions commit stays within the connection's own transaction
    (``join_transaction_mode="create_savepoint"``), which the caller rolls
    back. A `Connection` serves `session`, an `AsyncConnection` `asession`.
    It is not for SQLite, which commits such a savepoint unless it is told
    otherwise (SQLAlchemy's manual, "Transactions with SQLite").

    Args:
        target: a SQLAlchemy URL, or a connection.
        async_url: the URL for `asession`, where it must differ.

    Raises:
        URLError: a URL is not one of SQLAlchemy's.
    """
    if isinstance(target, (Connection, AsyncConnection)):
        new = _Target(connection=target)
    else:
        url, _ = _urls.resolve(target)
        new = _Target(url, url if async_url is None else _urls.resolve(async_url)[0])
    previous = _target.get()
    _target.set(new)
    try:
        yield
    finally:
        # Not reset(): a fixture may be ended in another context than the one it began in.
        _target.set(previous)


def url() -> URL:
    """Return the `sqlalchemy.URL` in ``REFLEX_DB_URL``, or that of `using`.

    The variable is read on each call; nothing is connected. Where it is unset, empty
    or blank, ``db_url`` in ``[tool.reflex]`` of ``pyproject.toml`` in the current
    directory counts. ``str()`` of the result shows the password as ``***``.

    Raises:
        URLNotSetError: neither is set.
        URLError: what is set is not a SQLAlchemy URL, or the file can't be read.
    """
    connection = _target.get().connection
    return connection.engine.url if connection is not None else sync_url(None)[0]


def sync_url(given: str | URL | None) -> tuple[URL, str]:
    """Return the URL that a sync engine is for, and where it came from."""
    meant = _target.get().url if given is None else given
    return _urls.resolve(meant, _urls.VARIABLE)


def async_url(given: str | URL | None) -> tuple[URL, str]:
    """Return the URL that an async engine is for, and where it came from."""
    meant = _target.get().async_url if given is None else given
    return _urls.resolve(meant, _urls.ASYNC_VARIABLE, _urls.VARIABLE)


def sync_connection(given: str | URL | None) -> Connection | None:
    """Return the connection of `using`, where there is one and no URL is given."""
    connection = None if given is not None else _target.get().connection
    if isinstance(connection, AsyncConnection):
        raise WrongDriverError(
            "session() and engine() need a sync connection, and using() was given an "
            "AsyncConnection."
        )
    return connection


def async_connection(given: str | URL | None) -> AsyncConnection | None:
    """Return the same for the async doors."""
    connection = None if given is not None else _target.get().connection
    if isinstance(connection, Connection):
        raise WrongDriverError(
            "asession() and async_engine() need an AsyncConnection, and using() was given a "
            "sync one."
        )
    return connection
