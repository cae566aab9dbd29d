"""The sessions: SQLAlchemy's, bound to the engine of a URL."""

from typing import Any

from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session

from . import _target
from ._engines import async_engine, async_session_options, engine, session_options

# On a connection of `using`: a commit ends a savepoint, and not the connection's transaction.
_WITHIN: dict[str, Any] = {"join_transaction_mode": "create_savepoint"}


def session(url: str | URL | None = None, **options: Any) -> Session:
    """Return a new `sqlalchemy.orm.Session` on a URL, by default on ``REFLEX_DB_URL``.

    Use it with ``with``, and in one thread. It takes a connection from the
    pool at its first statement and gives it back at commit, rollback or close.
    What is not committed is rolled back.

    Args:
        url: a SQLAlchemy URL.
        options: options of ``Session``, such as ``expire_on_commit``, and ``class_``, a
            subclass of it. They come before those of `configure`.

    Raises:
        Error: there is no usable engine; `engine` lists the cases.
    """
    connection = _target.sync_connection(url)
    made = session_options() | options
    make: type[Session] = made.pop("class_", Session)
    if connection is not None:
        return make(connection, **(_WITHIN | made))
    return make(engine(url), **made)


def asession(url: str | URL | None = None, **options: Any) -> AsyncSession:
    """Return a new `sqlalchemy.ext.asyncio.AsyncSession`, for the running event loop.

    The URL is by default that of ``REFLEX_ASYNC_DB_URL``, else of
    ``REFLEX_DB_URL``. Use it with ``async with``, and in one task. As with
    `session`, the connection is made by the first statement.

    SQLAlchemy expires the objects of a session when it commits; reading one
    afterwards needs ``await s.refresh(it)``, or ``expire_on_commit=False``, here or for
    all sessions in `configure`.

    Args:
        url: a SQLAlchemy URL.
        options: options of ``AsyncSession``, and ``class_``, a subclass of it.

    Raises:
        Error: there is no usable engine; `async_engine` lists the cases.
    """
    connection = _target.async_connection(url)
    made = async_session_options() | options
    make: type[AsyncSession] = made.pop("class_", AsyncSession)
    if connection is not None:
        return make(connection, **(_WITHIN | made))
    return make(async_engine(url), **made)
