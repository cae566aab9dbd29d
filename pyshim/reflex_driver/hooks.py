"""Where Alembic tells of a database: EnvironmentContext.configure.

Every env.py calls it with its connection, before Alembic does anything with that. The
method is replaced once, when this module is imported, and stays replaced. The current
run's observers hear of each call; without one it does nothing more.
"""

from __future__ import annotations

import contextlib
import functools
from typing import TYPE_CHECKING, Any, Protocol

from alembic.runtime.environment import EnvironmentContext

if TYPE_CHECKING:
    from collections.abc import Iterator

    from alembic.runtime.migration import MigrationContext


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


_configure = EnvironmentContext.configure


@functools.wraps(_configure)
def _observed(env: EnvironmentContext, *args: Any, **options: Any) -> None:
    for observer in _observers:
        observer.configuring(env)
    _configure(env, *args, **options)
    for observer in _observers:
        observer.configured(env.get_context())


EnvironmentContext.configure = _observed  # type: ignore[method-assign, assignment]
