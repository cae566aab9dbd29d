"""`reflex db status`: where a database stands, for people, scripts and pods.

env.py is run as `alembic current` runs it, with a function in the migrations'
place; each database that it configures is a part of the answer.
"""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from alembic.runtime.environment import EnvironmentContext
from alembic.util import CommandError
from sqlalchemy.engine import TwoPhaseTransaction
from sqlalchemy.exc import OperationalError

from . import history, screen
from .database_status import DatabaseStatus, Revisions, ask, compare
from .progress import Progress, duration, pause
from .waiting import Wait

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from sqlalchemy.engine import Connection

_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 2.0  # between two looks, in seconds


class NotAtHeadError(CommandError):
    """`--check` or `--wait`, and a database is not at head."""


def status(
    config: Config,
    *,
    program: str,
    check: bool,
    wait: float | None,
    json: bool,
    verbose: bool,
    brief: bool,
) -> None:
    """The command. Raises NotAtHeadError once it has printed where the databases stand."""
    until = None if wait is None else time.monotonic() + wait
    script = history.load(config)
    databases = _Survey(config, script, until).run()
    if not databases:
        raise CommandError("env.py has run no migrations, so there is no database to look at")
    if json:
        _print_json(script, databases)
    elif brief and not verbose:
        screen.show_briefly(script, databases)
    else:
        screen.show(script, databases, program=program, verbose=verbose)
    behind = [s for s in databases if not s.revisions.up_to_date]
    if behind and (check or wait is not None):
        waited = (
            ""
            if not script.get_heads() or wait is None
            else f"{duration(wait)} have passed (--wait), and "
        )
        raise NotAtHeadError(waited + _what_is_behind(behind))


def _print_json(script: ScriptDirectory, databases: list[DatabaseStatus]) -> None:
    whole = history.document(script, history.walk(script))
    parts = [database.document() for database in databases]
    if len(parts) == 1:
        whole.update(parts[0])
    else:
        whole["up_to_date"] = all(part["up_to_date"] for part in parts)
        whole["databases"] = parts
    print(json.dumps(whole, indent=2))


def _what_is_behind(behind: list[DatabaseStatus]) -> str:
    texts = [_not_at_head(database.revisions) for database in behind]
    if len(texts) == 1:
        return f"the database is not at head: {texts[0]}"
    return "\n".join(
        ["these databases are not at head:"]
        + [f"  {s.url}: {text}" for s, text in zip(behind, texts, strict=True)]
    )


def _not_at_head(revisions: Revisions) -> str:
    if revisions.none_in:
        return f"the project has no revisions in {revisions.none_in}"
    if revisions.unknown:
        return f"it has {', '.join(revisions.unknown)}, which this project does not have"
    first, count = revisions.pending[0], len(revisions.pending)
    if count == 1:
        return f"{first.revision} is pending"
    return f"{count} revisions are pending, the first of them is {first.revision}"


def survey(config: Config, script: ScriptDirectory) -> list[DatabaseStatus]:
    """Where each database of the project stands, in env.py's order; connects by env.py."""
    return _Survey(config, script, until=None).run()


class _Survey:
    """One look at every database of the project, or one wait for them until the time is over."""

    def __init__(self, config: Config, script: ScriptDirectory, until: float | None) -> None:
        self._config = config
        self._script = script
        self._until = until  # on time.monotonic's clock
        self._progress = Progress()
        self._databases: list[DatabaseStatus] = []
        self._lost = False  # a connection ended while there was time left

    def run(self) -> list[DatabaseStatus]:
        """What there is, in env.py's order."""
        self._run_env()
        while self._lost:
            # env.py connects anew, which Wait repeats while the server starts again.
            pause(_FIRST_PAUSE, is_async=False)
            wait = Wait(max(self._rest(), _FIRST_PAUSE), self._progress)
            wait.start()
            try:
                self._run_env()
            finally:
                wait.stop()
        return self._databases

    def _run_env(self) -> None:
        self._databases, self._lost = [], False
        environment = EnvironmentContext(
            self._config, self._script, fn=self._look, dont_mutate=True
        )
        try:
            with history.answer_kept_clean(), environment:
                self._script.run_env()
        except Exception as exc:
            self._lost = _tells_of_a_lost_connection(exc)
            if not self._lost or self._rest() <= 0:
                raise

    def _look(self, rows: Sequence[str], context: MigrationContext) -> list[Any]:
        """What Alembic calls in the migrations' place; there are none to run."""
        # Time brings a project without revisions none.
        if self._until is not None and self._script.get_heads():
            rows = self._wait(rows, context)
        self._databases.append(ask(context, self._script, rows))
        return []

    def _wait(self, rows: Sequence[str], context: MigrationContext) -> Sequence[str]:
        """Look again and again, until the database is at head or the time is over."""
        connection = context.connection
        assert connection is not None
        longest = _FIRST_PAUSE
        with self._progress:
            while True:
                revisions, rest = compare(self._script, rows), self._rest()
                if revisions.up_to_date or rest <= 0:
                    return rows
                self._progress.show(
                    f"Waiting for the database to be at head: {_not_at_head(revisions)}; "
                    f"{duration(rest)} left"
                )
                _end_transaction(connection)
                pause(min(longest, rest), is_async=connection.dialect.is_async)
                longest = min(2 * longest, _LONGEST_PAUSE)
                rows = _look_again(context, rows)

    def _rest(self) -> float:
        return 0.0 if self._until is None else self._until - time.monotonic()


def _look_again(context: MigrationContext, before: Sequence[str]) -> Sequence[str]:
    try:
        return context.get_current_heads()
    except OperationalError as exc:
        # SQLite's writer may keep readers out for longer than its driver waits.
        if context.dialect.name == "sqlite" and "locked" in str(exc):
            return before
        raise


def _end_transaction(connection: Connection) -> None:
    """Keep none open while nothing is asked, so that the next look sees what is new.

    It is env.py's, which goes on with it: the driver begins another with the
    next statement. Committed, as env.py would have done, what it has SET stays.
    """
    two_phase = isinstance(connection.get_transaction(), TwoPhaseTransaction)
    if two_phase or connection.in_nested_transaction():
        return
    dialect, fairy = connection.dialect, connection.connection
    driver: Any = dialect.dbapi  # loaded_dbapi since SQLAlchemy 2.0
    try:
        dialect.do_commit(fairy)
    except driver.Error as exc:
        if dialect.is_disconnect(exc, fairy, None):
            raise _LostError(str(exc)) from exc
        raise


class _LostError(Exception):
    """The driver's connection has ended; as SQLAlchemy marks it in its own errors."""

    connection_invalidated = True


def _tells_of_a_lost_connection(exc: BaseException | None) -> bool:
    """Whether this error is of a lost connection, or came while env.py left one."""
    for _ in range(20):  # a chain of contexts may be a ring
        if exc is None or getattr(exc, "connection_invalidated", False):
            break
        exc = exc.__cause__ or exc.__context__
    return getattr(exc, "connection_invalidated", False)
