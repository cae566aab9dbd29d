"""Where Alembic tells of a database: EnvironmentContext.configure.

Every env.py calls it with its connection, before Alembic does anything with that. The
method is replaced once, when this module is imported, and stays replaced. The current
run's observers hear of each call; without one it does nothing more.

What observers ask of a connection in the same way, `listen` and `autocommits`, is here too.
"""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any

from alembic.runtime.environment import EnvironmentContext
from sqlalchemy import event

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Protocol

    from alembic.runtime.migration import MigrationContext
    from sqlalchemy.engine import Connection, Engine

    class Observer(Protocol):
        """What hears of each `context.configure`."""

        def configuring(self, env: EnvironmentContext) -> None:
            """Before it: the context's options can still be changed."""

        def configured(self, context: MigrationContext) -> None:
            """After it: the connection is known."""


_observers: list[Observer] = []


@contextlib.contextmanager
def observing(observer: Observer) -> Iterator[None]:
    """Have `observer` hear of each call, until the end of the block."""
    _observers.append(observer)
    try:
        yield
    finally:
        _observers.remove(observer)


def listen(target: Connection | Engine, name: str, listener: Callable[..., None]) -> None:
    """Add a listener of SQLAlchemy's once, also where env.py configures a connection again."""
    if not event.contains(target, name, listener):
        event.listen(target, name, listener)


def autocommits(connection: Connection) -> bool:
    """Whether an option of the connection has each statement commit itself."""
    return connection.get_execution_options().get("isolation_level") == "AUTOCOMMIT"


_configure = EnvironmentContext.configure


@functools.wraps(_configure)
def _observed(env: EnvironmentContext, *args: Any, **options: Any) -> None:
    for observer in _observers:
        observer.configuring(env)
    _configure(env, *args, **options)
    for observer in _observers:
        observer.configured(env.get_context())


EnvironmentContext.configure = _observed  # type: ignore[method-assign, assignment]
