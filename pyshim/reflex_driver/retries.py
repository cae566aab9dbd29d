"""`--lock-retries`: what did not get its lock is rolled back and begun again.

env.py is run again for each try, as for a new command, so it goes on where the version table
stands. The migration lock is kept meanwhile. With an asyncio driver it is given back and taken
again, because its connection is of an event loop, which has ended with env.py.
"""

from __future__ import annotations

import contextlib
import sys
import time
from typing import TYPE_CHECKING, Any

from . import alembic_log, configuration
from .hooks import observing
from .progress import Progress, duration, jittered
from .stopped import is_relative

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import MigrationContext

    from .course import Course, Stretch
    from .guard import Guard

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0  # between two tries, in seconds


class Retries:
    """Runs a command, and again where it may be; `options` are those of the command line."""

    def __init__(self, options: argparse.Namespace, course: Course, guard: Guard) -> None:
        self._most: int = getattr(options, "lock_retries", None) or 0
        self._options = options
        self._course = course
        self._guard = guard
        self._progress = Progress(quiet=getattr(options, "quiet", False))
        self._hidden = contextlib.ExitStack()  # as long as what is printed was printed before

    def run(self, config: Config, command: Callable[[Config], None]) -> None:
        """Call `command` until it succeeds; raises what the last call raises.

        It is given a `config` of its own each time, because env.py may change it.
        """
        longest = _FIRST_PAUSE
        while True:
            try:
                with observing(self), self._repeating():
                    command(configuration.copied(config) if self._most else config)
                return
            except Exception as exc:
                tries = self._course.tries
                tries.reason, tries.longer = self._guard.was_busy(exc)
                if not tries.reason or not self._goes_on(exc):
                    raise
            seconds = jittered(longest)
            self._guard.step_back()
            self._tell(seconds)
            self._course.begin_again()
            time.sleep(seconds)
            longest = min(2 * longest, _LONGEST_PAUSE)

    def configuring(self, _env: EnvironmentContext) -> None:
        """env.py has set up its logging, and Alembic repeats which database it has found."""
        if self._course.tries.count > 1:
            self._hidden.enter_context(alembic_log.hidden())

    def configured(self, _context: MigrationContext) -> None:
        """What comes now has not been said."""
        self._hidden.close()

    @contextlib.contextmanager
    def _repeating(self) -> Iterator[None]:
        """Keep what env.py prints on its way to the database to the first time."""
        if self._course.tries.count > 1:
            self._hidden.enter_context(_silent())
        with self._hidden:
            yield

    def _goes_on(self, exc: Exception) -> bool:
        """Whether there is to be one more try; `course.tries` says why not."""
        course, tries = self._course, self._course.tries
        course.failed(exc)
        tries.in_the_way = self._guard.in_the_way
        tries.invalid = self._guard.invalid_indexes(exc)
        if tries.count > self._most:
            return False
        stretch = course.at_work
        if stretch is not None and not stretch.rolls_back:
            tries.over = "what it had committed by then stays"
            return False
        if tries.count == 1:
            return self._resolve()
        return True

    def _resolve(self) -> bool:
        """Have the next tries lead to where the first one was to lead."""
        named = str(getattr(self._options, "revision", ""))
        for stretch in self._course.stretches:
            target = _target(stretch, named)
            if target is not None:
                stretch.aim = (self._options.cmd[0].__name__, target)
            elif is_relative(named):
                self._course.tries.over = f"{named} counts from where the database is now"
                return False
        return True

    def _tell(self, seconds: float) -> None:
        """Say how far the run has stepped back."""
        course, tries = self._course, self._course.tries
        undone = sum(stretch.undone for stretch in course.stretches)
        if self._guard.for_others:
            self._progress.leave(self._guard.for_others)
        text = "Stepped back"
        if undone:
            text += f", with {undone} revision{'s' if undone > 1 else ''} of the same transaction"
        if course.stretches:
            text += f": {course.places()}"
        again = f"next try in {duration(seconds)} ({tries.count} of {self._most})"
        self._progress.leave(f"{text}; {again}")


def _target(stretch: Stretch, named: str) -> str | None:
    """What `named` stands for at the first try; None where a later one may read it again."""
    if is_relative(named):
        return stretch.target
    if named in ("head", "heads") and stretch.script is not None:
        heads = stretch.script.get_heads()
        return heads[0] if len(heads) == 1 else None
    return None


class _Repeated:
    """stdout without what has been printed before. A handler of env.py's may keep it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.silent = True

    def write(self, text: str) -> int:
        """As a stream does it."""
        return len(text) if self.silent else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Print nothing for the length of the block."""
    before, repeated = sys.stdout, _Repeated(sys.stdout)
    sys.stdout = repeated
    try:
        yield
    finally:
        repeated.silent = False
        if sys.stdout is repeated:  # the project has not led it elsewhere
            sys.stdout = before
