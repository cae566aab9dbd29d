"""Why a lock is not held, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..progress import duration

if TYPE_CHECKING:
    from .protocol import Holder

# Names a direct connection for the lock, where the migration's own goes through a pooler.
LOCK_URL = "REFLEX_DB_LOCK_URL"

_WITHOUT = "use --no-lock if nothing else migrates this database"


class LockError(Exception):
    """A lock is not held, and the run ends. `kind` is that of failure.Outcome."""

    kind = "database"


class HeldError(LockError):
    """Another migration did not give the lock back in time."""

    kind = "locked"

    def __init__(self, holder: Holder, waited: float) -> None:
        how = f"and did not end within {duration(waited)} (--lock-timeout)"
        if waited == 0:
            how = "and --lock-timeout is 0"
        super().__init__(f"another migration of this database runs, {how}; it is held by {holder}")


class UnreachableError(LockError):
    """The lock can't be asked for. `by_url` says that REFLEX_DB_LOCK_URL was followed."""

    def __init__(self, reason: object, *, by_url: bool) -> None:
        if by_url:
            advice = f"Mend {LOCK_URL}, which this connection was made by, or {_WITHOUT}"
        else:
            advice = (
                "The lock takes a second connection beside the migration's. If this database "
                f"gives none, set {LOCK_URL} to another way to the same server, or {_WITHOUT}"
            )
        super().__init__(f"the connection for the migration lock failed: {_text(reason)}. {advice}")


class MigrationConnectionError(LockError):
    """The migration's own connection failed while the lock was asked for."""

    def __init__(self, reason: object) -> None:
        super().__init__(
            "the migration's connection ended while the run waited for the migration lock: "
            f"{_text(reason)}"
        )


class PoolerError(LockError):
    """A pooler gives the connection to others, on which a session's lock would stay behind."""

    def __init__(self) -> None:
        super().__init__(
            "the database is reached through a pooler in transaction mode, where the migration "
            f"lock would be left behind on a shared connection. Set {LOCK_URL} to a URL that goes "
            f"straight to PostgreSQL, or {_WITHOUT}"
        )


class LostError(LockError):
    """The lock was held and is no more, or nothing answers the question whether it is."""

    kind = "failed"

    def __init__(self, reason: object) -> None:
        super().__init__(
            "the migration lock was lost, so the run was stopped before its next commit: "
            f"{_text(reason)}. If the migration itself ends the other sessions of its database, "
            f"set {LOCK_URL} to another database of the same server"
        )


class NoLockError(Exception):
    """The database has no lock, for the reason given; the run goes on without."""


def _text(reason: object) -> str:
    """What an exception says, or what it is, where it says nothing."""
    return str(reason).strip().rstrip(".") or type(reason).__name__
