"""What a run does to its databases: which revisions it runs, and where that leads.

Alembic's own objects tell of the revisions (hooks.py, and the callback `on_version_apply`),
SQLAlchemy's events of what was committed. No database is asked, so a server that has gone
keeps nobody waiting for a summary.
"""

from __future__ import annotations

import functools
import os
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from . import history, internals
from .blockers import Tries
from .hooks import autocommits, listen
from .progress import duration, say

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory
    from sqlalchemy.engine import Connection

BASE = "<base>"  # how a database without a revision is said to stand


@dataclass
class Step:
    """A revision that was run, with its time in seconds."""

    revision: str
    seconds: float


@dataclass(eq=False)
class Stretch:
    """What one `context.configure` led to: the migrations of one version table."""

    context: MigrationContext
    script: ScriptDirectory | None
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()  # by Alembic's count, committed or not
    kept: tuple[str, ...] = ()  # of that, what was committed
    steps: list[Step] = field(default_factory=list)
    target: str | None = None  # the revision that the command was to reach
    at_work: Any = None  # Alembic's step that has begun and not ended
    begun: bool = False  # whether Alembic has read the version table
    rolls_back: bool = True  # a step that fails now leaves nothing behind
    undone: int = 0  # steps that were run and whose work was rolled back
    aim: tuple[str, str] | None = None  # the command and its target, if the next try is told them
    _kept_steps: int = 0
    _kept_before: tuple[tuple[str, ...], int] = ((), 0)  # the last commit
    _applied: bool = True  # the step at work is in the version table
    _autocommits: bool = False

    @property
    def name(self) -> str:
        """The database, as a person calls it."""
        connection = self.context.connection
        assert connection is not None
        database = connection.engine.url.database or ""
        if connection.dialect.name == "sqlite":
            database = os.path.basename(database).removeprefix(":memory:")
        name = database or "the database"
        schema = self.context.version_table_schema
        return f"{name} (schema {schema})" if schema else name

    @property
    def place(self) -> str:
        """Where the database stands: "0042 (head)"."""
        at = ", ".join(sorted(self.kept)) or BASE
        heads: Sequence[str] = ()
        if self.script is not None:
            with suppress(Exception):  # of a revision that can't be read, which has ended the run
                heads = self.script.get_heads()
        if not heads or set(heads) != set(self.kept):
            return at
        return f"{at} ({'head' if len(heads) == 1 else 'heads'})"

    def go_on(self, function: Callable[..., Iterable[Any]], earlier: Stretch) -> Iterable[Any]:
        """What is left to run of what an earlier try has begun."""
        self.before, self.steps, self.aim = earlier.before, earlier.steps, earlier.aim
        self._kept_steps = len(self.steps)
        if self.aim is None or self.script is None:
            return function(self.kept, self.context)
        return internals.planned(self.script, *self.aim, self.kept)

    def is_of(self, other: Stretch) -> bool:
        """Whether it is of the same version table."""
        return self._table() == other._table()

    def _table(self) -> tuple[Any, ...]:
        connection = self.context.connection
        assert connection is not None
        schema = self.context.version_table_schema
        return connection.engine.url, schema, self.context.version_table

    def follow(self, planned: Iterable[Any], tell: Callable[[Step], None]) -> Iterator[Any]:
        """Give Alembic its own steps, and notice when each begins and ends."""
        for step in planned:
            self.at_work, began = step, time.monotonic()
            self._autocommits = self._autocommits or _autocommits(self.context.connection)
            self.rolls_back = self.context.impl.transactional_ddl and not self._autocommits
            self._applied = False
            yield step
            self.at_work = None
            if self._applied:
                self.steps[-1].seconds = round(time.monotonic() - began, 3)
                tell(self.steps[-1])

    def applied(self, *, step: Any, heads: Iterable[str], **_: Any) -> None:
        """Alembic's `on_version_apply`: a step is done and written to the version table."""
        self.after, self._applied = tuple(heads), True
        self.steps.append(Step(", ".join(step.up_revision_ids), 0.0))
        if self._autocommits:
            self.commits()

    def commits(self) -> None:
        """All that was done up to here is about to be kept."""
        self._kept_before = self.kept, self._kept_steps
        self.kept, self._kept_steps = self.after, len(self.steps)
        if not self._applied:  # what the step at work has done so far, as before an
            self.rolls_back = False  # autocommit_block

    def rolled_back(self) -> None:
        """What was not kept is gone."""
        if not self._autocommits:
            self.undone += len(self.steps) - self._kept_steps
            self.after = self.kept
            del self.steps[self._kept_steps :]

    def failed_to_commit(self) -> None:
        """The last commit was none."""
        self.kept, self._kept_steps = self._kept_before
        self.rolled_back()


class Course:
    """An observer of one run (hooks.py). `verbose` has it tell each revision's time."""

    def __init__(self, *, verbose: bool = False) -> None:
        self._verbose = verbose
        self.tries = Tries()
        self._past: list[Stretch] = []  # of earlier tries, and not yet gone on with
        self._all: list[Stretch] = []
        self._committing: list[Stretch] = []  # by the last commit
        self._began = 0.0
        # A commit was under way when the connection was lost: nobody knows what became of it.
        self.unknown = False

    @property
    def stretches(self) -> list[Stretch]:
        """Each version table that Alembic has read, in env.py's order."""
        return [stretch for stretch in (*self._past, *self._all) if stretch.begun]

    @property
    def at_work(self) -> Stretch | None:
        """That of the step which has begun and not ended."""
        return next((s for s in self.stretches if s.at_work is not None), None)

    @property
    def seconds(self) -> float:
        """Since the first version table was read."""
        return time.monotonic() - self._began if self._began else 0.0

    def configuring(self, env: EnvironmentContext) -> None:
        """Have the function that names the revisions to run pass by here."""
        function = env.context_opts.get("fn")
        if function is not None and not hasattr(function, "_reflex_watched"):
            env.context_opts["fn"] = self._watched(function)

    def configured(self, context: MigrationContext) -> None:
        """A version table is known."""
        connection = context.connection
        if context.as_sql or connection is None:
            return
        stretch = Stretch(context, context.script)
        self._all.append(stretch)
        internals.call_when_applied(context, stretch.applied)
        for name, listener in (
            ("commit", self._commits),
            ("commit_twophase", self._commits),
            ("rollback", self._rolls_back),
            ("rollback_twophase", self._rolls_back),
        ):
            listen(connection, name, listener)
        listen(connection.engine, "commit", self._commits_beside)

    def failed(self, exc: BaseException) -> None:
        """The run has ended with `exc`; `stretches` then say what is left."""
        commits = internals.was_committing(exc)
        for stretch in self._all:
            if commits and stretch in self._committing:
                stretch.failed_to_commit()
                self.unknown = internals.lost_connection(exc)
            else:
                stretch.rolled_back()

    def begin_again(self) -> None:
        """env.py is run once more, after `failed`. What was kept counts."""
        self.tries.count += 1
        self._past, self._all, self._committing = self.stretches, [], []
        for stretch in self._past:
            stretch.at_work = None

    def places(self) -> str:
        """Where the databases stand, in words: "shop is at 0042 (head)"."""
        return _places(self.stretches)

    def found(self) -> dict[str, Any]:
        """What became of the database, as data; None is not known, or not one thing.

        `before` and `after` are the revisions it was and is at, `steps` those that were run,
        with their times in seconds.
        """
        found = self.stretches
        return {
            "before": _one([sorted(stretch.before) for stretch in found]),
            "after": None if self.unknown else _one([sorted(stretch.kept) for stretch in found]),
            "target": _one([stretch.target for stretch in found]),
            "steps": [vars(step) for stretch in found for step in stretch.steps],
            "tries": self.tries.count,
            "in_the_way": self.tries.in_the_way,
        }

    def refuse(self) -> None:
        """Raise what forbids to run anything on the database."""

    def _watched(self, function: Callable[..., Iterable[Any]]) -> Callable[..., Iterable[Any]]:
        course = self

        @functools.wraps(function)
        def steps(heads: Any, context: MigrationContext) -> Iterable[Any]:
            course.refuse()
            stretch = next((s for s in course._all if s.context is context), None)
            if stretch is None:
                return function(heads, context)
            course._began = course._began or time.monotonic()
            earlier = None
            if not stretch.begun:
                stretch.before = stretch.after = stretch.kept = tuple(heads)
                stretch.begun = True
                earlier = next((past for past in course._past if past.is_of(stretch)), None)
            if earlier is None:
                planned = function(heads, context)
            else:
                course._past.remove(earlier)
                planned = stretch.go_on(function, earlier)
            stretch.target = _end_of(planned) or (earlier.target if earlier else None)
            return stretch.follow(planned, course._tell)

        steps._reflex_watched = True  # type: ignore[attr-defined]
        return steps

    def _tell(self, step: Step) -> None:
        if self._verbose:
            say(f"{step.revision} took {taken(step.seconds)}")

    def _commits(self, connection: Connection, *_: object) -> None:
        self._committing = [s for s in self._all if s.context.connection is connection]
        for stretch in self._committing:
            stretch.commits()

    def _commits_beside(self, connection: Connection) -> None:
        """A revision commits on one more connection of the same Engine."""
        stretch = self.at_work
        if stretch is not None and connection is not stretch.context.connection:
            stretch.rolls_back = False

    def _rolls_back(self, connection: Connection, *_: object) -> None:
        for stretch in self._all:
            if stretch.context.connection is connection:
                stretch.rolled_back()


def summary(course: Course, command: str) -> str:
    """A line on what `upgrade` or `downgrade` has done; "" where nothing is known."""
    found = course.stretches
    if not found:
        return ""
    count = sum(len(stretch.steps) for stretch in found)
    script = found[0].script
    if any(stretch.undone or set(stretch.kept) != set(stretch.after) for stretch in found):
        return f"env.py has not committed what was run: {course.places()}"
    if count:
        done = f"{count} revision{'s' if count > 1 else ''}"
        if command == "downgrade":
            done += " taken back"
        return f"{done} in {taken(course.seconds)}; {course.places()}"
    if script is not None and not script.get_heads():
        where = history.directories(script)
        return f"The project has no revisions in {where}; {course.places()}: nothing to do"
    return f"{course.places()}: nothing to do"


def _places(found: Sequence[Stretch]) -> str:
    """Those of one place together."""
    names: dict[str, list[str]] = {}
    for stretch in found:
        names.setdefault(stretch.place, []).append(stretch.name)
    texts = []
    for place, there in names.items():
        few = dict.fromkeys(there)  # of one database there may be many version tables
        who = ", ".join(few) if len(few) <= 3 else f"{len(few)} databases"
        texts.append(f"{who} {'is' if len(few) == 1 else 'are'} at {place}")
    return ", ".join(texts)


def taken(seconds: float) -> str:
    """A time that something took: 0.03 s, 1.4 s, 2m10s."""
    if seconds >= 60:
        return duration(seconds)
    return f"{seconds:.1f} s" if seconds >= 1 else f"{seconds:.2f} s"


def _one(values: list[Any]) -> Any:
    """The value, if all are the same."""
    return values[0] if values and values.count(values[0]) == len(values) else None


def _end_of(planned: Any) -> str | None:
    """Where the last of the planned steps leads to; None if there is none, or not one place."""
    if not isinstance(planned, list) or not planned:
        return None
    revisions = tuple(planned[-1].to_revisions)
    if not revisions:
        return "base"
    return str(revisions[0]) if len(revisions) == 1 else None


def _autocommits(connection: Connection | None) -> bool:
    """Whether each statement commits itself: by an option of the connection, or the driver's."""
    assert connection is not None
    return autocommits(connection) or getattr(connection.connection, "autocommit", False) is True
