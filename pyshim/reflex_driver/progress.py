"""Waiting for a lock or a server, and telling a person of it."""

from __future__ import annotations

import contextlib
import random
import sys
import time
from typing import TYPE_CHECKING

from . import log, width
from .printing import put
from .terminal import is_terminal

if TYPE_CHECKING:
    from types import TracebackType

INTERVAL = 30.0  # between two lines where there is no terminal, in seconds

_JITTER = random.Random()  # not the module's own, which the project may have seeded


class Progress:
    """On a terminal one line of stderr, renewed in place; elsewhere a line now and then."""

    _terminal = False

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        with contextlib.suppress(AttributeError, ValueError):  # there is none, or it is closed
            self._terminal = is_terminal(sys.stderr) and not log.as_json
        self._last: float | None = None

    def __enter__(self) -> None:
        self._last = None

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _exc: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self.clear()

    def clear(self) -> None:
        """Take away what a terminal shows."""
        if self._terminal and self._last is not None:
            say("\r\x1b[K", end="")
        self._last = None

    def leave(self, line: str) -> None:
        """Say `line` in the place of what was shown, so that it stays."""
        if not self.quiet:
            self.clear()
            say(line)

    def keep(self, line: str) -> None:
        """Say `line`, which was shown, where that does not stay."""
        if self._terminal:
            self.leave(line)

    def show(self, line: str, *shorter: str) -> None:
        """Say `line`, if it is time to; on a terminal, a shorter one if it does not fit."""
        if self.quiet:
            return
        now = time.monotonic()
        if self._terminal:
            # No wider than the terminal, which can't renew two rows in place.
            room = (width.of(sys.stderr) or width.DEFAULT) - 1
            line = next(
                (s for s in (line, *shorter) if width.columns(s) <= room), [line, *shorter][-1]
            )
            say(f"\r{width.cut(line, room, mark='')}\x1b[K", end="")
        elif self._last is None or now - self._last >= INTERVAL:
            say(line)
        else:
            return
        self._last = now


def say(line: str, end: str = "\n") -> None:
    """Tell stderr, if somebody has it open; `print` would turn to stdout if not."""
    if log.as_json:
        line = log.entry("info", line)
    if sys.stderr is not None:
        with contextlib.suppress(OSError, ValueError):
            put(line, end, sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """As a person writes it: 300ms, 45s, 4m30s, 2h."""
    if 0 < seconds < 1:
        return f"{max(round(seconds * 1000), 1)}ms"
    whole = round(seconds)
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    parts = [f"{n}{unit}" for n, unit in ((hours, "h"), (minutes, "m"), (rest, "s")) if n]
    return "".join(parts) or "0s"


def jittered(longest: float) -> float:
    """Half of `longest` or more, so that many pods started together do not ask together."""
    return _JITTER.uniform(longest / 2, longest)


def pause(longest: float, *, is_async: bool) -> None:
    """Sleep for a `jittered` time, in seconds.

    Where the driver is asyncio's, the project's other tasks go on meanwhile.
    """
    seconds = jittered(longest)
    if is_async:
        import asyncio

        from sqlalchemy.util import await_only

        await_only(asyncio.sleep(seconds))
    else:
        time.sleep(seconds)
