"""A {} in REFLEX_DB_URL that no database's name has taken the place of."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from .configuration import environment_url
from .usage import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

_PARTS = ("host", "database", "dbname", "db")  # of the drivers' parameters


@contextlib.contextmanager
def refused() -> Iterator[None]:
    """Around a command: refuse to connect to what still has the {}, a UsageError.

    SQLite would make a file of that name. Where env.py puts a name there itself, nothing is
    refused. A database that is named so can stand in sqlalchemy.url.
    """
    if "{}" not in environment_url():
        yield
        return
    event.listen(Engine, "do_connect", _check)
    try:
        yield
    finally:
        event.remove(Engine, "do_connect", _check)


def _check(_dialect: Any, _record: Any, given: Any, parameters: Any) -> None:
    parts = [*given, *(parameters.get(name) for name in _PARTS)]
    if any("{}" in part for part in parts if isinstance(part, str)):
        raise UsageError(
            "REFLEX_DB_URL has a {}, for a database's name, and there is no --each",
            "--each FILE goes through the names in FILE; for one database, write its name there",
        )
