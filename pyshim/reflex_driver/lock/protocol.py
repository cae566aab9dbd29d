"""What each kind of database offers for a lock."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..progress import pause

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from datetime import datetime
    from typing import Protocol

    from alembic.runtime.migration import MigrationContext
    from sqlalchemy.engine import Connection

    class Kind(Protocol):
        """The functions of a module of this package, one for each kind of database."""

        def place(self, connection: Connection, context: MigrationContext) -> Place | None:
            """What is to be locked, asked on the migration's connection.

            None where there is nobody to keep out. Raises NoLockError.
            """

        def open(self, connection: Connection, place: Place) -> Session:
            """Connect once more; raises LockError or NoLockError.

            The lock of `place` may be tried on the way. Then `take` answers with that.
            """

        def holder(self, connection: Connection, place: Place) -> Holder | None:
            """Who holds the lock, asked on the migration's connection."""


@dataclass(frozen=True)
class Place:
    """What a lock is of.

    `server` is the same for two connections to one server, or to one SQLite file. `key` is
    the version table's, as the server knows it; `name` is the same for people. `backend` is
    the migration's own session on the server, as the kind writes it; "" if a pooler may give
    that session to others, or if there is none. `readable` says whether the server tells this
    role who holds a lock.
    """

    server: str
    key: str
    name: str
    backend: str = field(default="", compare=False)
    readable: bool = field(default=True, compare=False)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Holder:
    """Who holds a lock, as far as the database tells.

    `pid` is the process on the server. `application` has the client's host and process.
    `waits` is what the migration waits for and who has that, as a sentence.
    """

    description: str
    pid: int | None = None
    application: str | None = None
    address: str | None = None
    since: datetime | None = None
    waits: str = ""

    def __str__(self) -> str:
        return self.description


NOBODY = Holder("a connection that has just ended")
UNKNOWN = Holder("another connection; this role may not ask whose")


class Session(ABC):
    """What holds the locks of a run on one server.

    A method that asks the server raises what its driver raises, or TimeoutError.
    """

    by_url = False  # whether REFLEX_DB_LOCK_URL says where it is

    def __init__(self) -> None:
        self.keys: set[str] = set()  # that it holds
        self.backends: set[str] = set()  # of the migration's own connections: Place.backend

    @abstractmethod
    def take(self, key: str) -> bool:
        """Try once; whether the lock is held now."""

    @abstractmethod
    def holder(self, key: str) -> Holder:
        """Who holds a lock that could not be taken."""

    def holds(self) -> bool:
        """Whether all keys are held still."""
        return True

    def mark(self, backend: str) -> None:  # noqa: B027
        """Tell others that `backend`, as in Place, is the migration's own; raises nothing."""

    def waiting(self, connection: Connection) -> AbstractContextManager[None]:  # noqa: ARG002
        """Around the wait, for what the migration's connection needs meanwhile."""
        return contextlib.nullcontext()

    def sleep(self, longest: float) -> None:
        """Wait, on the thread of the migration."""
        pause(longest, is_async=False)

    def before(self, statement: str) -> None:  # noqa: B027
        """Get out of the way of a statement that is about to be executed; raises nothing."""

    def in_the_way(self) -> str:
        """What `backends` wait for and who has that, as a sentence; "" where nothing is known.

        Called in another thread than the migration's. Raises nothing.
        """
        return ""

    def holding(self) -> str:
        """Who has what a statement could not get, where that ends it at once; raises nothing."""
        return ""

    def ask_apart(self, sql: str) -> list[Any]:  # noqa: ARG002
        """The first row of an answer, from any thread; [] where there is none. Raises nothing."""
        return []

    def end(self) -> bool:
        """Give the locks back, from outside of the session's event loop; whether that is done."""
        return False

    def interrupt(self) -> None:  # noqa: B027
        """End the question that waits for its answer for long, if there is one; from any thread."""

    def end_migrations(self) -> None:  # noqa: B027
        """End what `backends` still do, within seconds; raises nothing."""

    @abstractmethod
    def close(self) -> None:
        """Give the locks back, at the end of the process."""

    @abstractmethod
    def abandon(self) -> None:
        """In a forked child: make the parent's descriptors harmless."""
