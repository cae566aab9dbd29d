"""How a run ends: its exit status, what is said of it, and what was printed.

The statuses are a contract; README and the help state it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from . import log, width
from .printing import put
from .terminal import is_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

OK = 0
FAILED = 1  # Alembic or a migration failed
USAGE = 2
ENVIRONMENT = 3  # no usable Python, libpython, Alembic or driver
DATABASE = 4  # not reached, or its URL is unset or wrong
LOCKED = 5  # another migration holds the lock
BUSY = 6  # a statement did not get its lock in time
SIGNALLED = 128  # plus the signal's number

HELP = """\
Exit status:
  0  done
  1  Alembic or a migration failed
  2  wrong usage
  3  no usable Python, libpython, Alembic or driver
  4  the database could not be reached, or its URL is unset or wrong
  5  another migration holds the lock, and the wait ran out
  6  the database was busy: a statement did not get its lock in time
  129, 130, 143  hung up, interrupted, terminated; the open transaction was rolled back
"""


@dataclass
class Outcome:
    """How a run ended. `hint` is the next step, `traceback` the frames of the project's code."""

    status: int = OK
    message: str = ""
    hint: str = ""
    traceback: str = ""
    signal: int = 0  # that has ended the run
    summary: str = ""  # what has failed, and where that leaves the database

    @property
    def succeeded(self) -> bool:
        """Whether the command has done what it was to do."""
        return self.status == OK


def answer(text: str) -> int:
    """Print what was asked for, and return the exit status."""
    try:
        put(text)
    except OSError as error:  # at once, with PYTHONUNBUFFERED
        return finish(Outcome(), error)
    return finish(Outcome())


def finish(outcome: Outcome, lost: Exception | None = None) -> int:
    """Flush what was printed, report, and return the exit status; `lost` as in with_output."""
    outcome = with_output(outcome, lost)
    report(outcome)
    return outcome.status


def with_output(outcome: Outcome, lost: Exception | None = None) -> Outcome:
    """Flush what was printed, and say how the run ended, with that.

    What has been decided stays decided. A stdout that can't be written is an error only
    where there was none; `lost` is one that is known already. A reader that has gone away
    has read enough.
    """
    lost = flush() or lost
    if lost is None or isinstance(lost, BrokenPipeError):
        return outcome
    text = f"what was printed could not be written: {lost}"
    if outcome.succeeded:
        return Outcome(FAILED, text)
    return replace(outcome, message=f"{outcome.message}\n{text}")


def report(outcome: Outcome, name: str = "") -> None:
    """Tell the person at the terminal what happened, to the database `name`, and what to do."""
    lines = told(outcome)
    if lines and log.as_json:
        level = "info" if outcome.succeeded else "error"
        fields: dict[str, Any] = {"status": outcome.status, "summary": outcome.summary}
        fields |= {"next": outcome.hint, "traceback": outcome.traceback, "database": name}
        _write(log.entry(level, outcome.message, **fields) + "\n")
    elif lines:
        write_error("\n".join(lines) + "\n", name)


def told(outcome: Outcome) -> list[str]:
    """What is said of it: what failed, the source line, the message, the next step."""
    label = "Note:" if outcome.succeeded else painted("Error:")
    frames, message = outcome.traceback.strip("\n"), outcome.message.strip()
    if outcome.summary:
        lines = [f"{label} {outcome.summary}", frames, message]
        if frames.startswith("Traceback"):  # the whole of it
            lines = [frames, f"{label} {outcome.summary}", message]
    else:
        lines = [frames, message and f"{label} {message}"]
    if outcome.message and outcome.hint:
        columns = width.of(sys.__stderr__)
        hint = width.fold(outcome.hint, columns, "Next: ") if columns else outcome.hint
        lines.append(f"Next: {hint}")
    return [line for line in lines if line]


def reason(error: OSError) -> str:
    """Why a file can't be used, with its name: "list.txt: no such file or directory"."""
    if error.filename is None or not error.strerror:
        return str(error)
    return f"{os.fsdecode(error.filename)}: {error.strerror[0].lower()}{error.strerror[1:]}"


def shown(path: str) -> str:
    """A path for people: relative, where it lies below the current directory."""
    relative = os.path.relpath(os.path.realpath(path), os.path.realpath("."))
    return path if relative.startswith("..") else relative


def painted(text: str) -> str:
    """`text` in red, if stderr is a terminal and NO_COLOR asks for nothing else."""
    stream = sys.__stderr__
    with contextlib.suppress(AttributeError, ValueError):  # there is none, or it is closed
        if is_terminal(stream) and not os.environ.get("NO_COLOR"):
            return f"\x1b[31m{text}\x1b[0m"
    return text


def write_error(text: str, name: str = "") -> None:
    """Write to the process's stderr, each line after the database's name if there is one."""
    if log.as_json:
        lines = filter(str.strip, text.splitlines())
        _write("".join(log.entry("info", line, database=name) + "\n" for line in lines))
    else:
        _write(prefixed(name, text) if name else text)


def prefixed(name: str, text: str) -> str:
    """Each line of `text` after the name, if there is one."""
    start = f"{name}: " if name else ""
    return "".join(f"{start}{line.rstrip()}\n" for line in text.rstrip("\n").split("\n"))


def _write(text: str) -> None:
    """Write to the process's own stderr, whatever the project has made of sys.stderr."""
    stream = sys.__stderr__
    try:
        if stream is not None and not stream.closed:
            put(text, end="", file=stream, flush=True)
            return
    except (OSError, ValueError):  # full, or its reader is gone: what is written is lost
        _discard(stream)
        return
    with contextlib.suppress(OSError):
        os.write(2, text.encode("utf-8", "backslashreplace"))


def flush() -> Exception | None:
    """Flush stdout and stderr; the result is stdout's error.

    Like Python, it makes nothing of a stderr that is full or gone.
    """
    failure: Exception | None = None
    for name, stream in _streams():
        try:
            stream.flush()
        except OSError as error:
            if sys.platform == "win32" and error.errno == errno.EINVAL:
                error = BrokenPipeError(*error.args)  # as Windows tells it
            failure = error if name == "stdout" else failure
            _discard(stream)
        except Exception:  # noqa: BLE001 - replaced or closed by the project
            pass
    return failure


def _streams() -> Iterator[tuple[str, Any]]:
    for name in ("stdout", "stderr"):
        current, original = getattr(sys, name), getattr(sys, f"__{name}__")
        for stream in (current,) if current is original else (current, original):
            if stream is not None:
                yield name, stream


def _discard(stream: Any) -> None:
    """Lead what is left in a stream's buffer to nowhere.

    Python would try to write it once more when it ends, complain, and end with 120.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        if null != stream.fileno():
            os.dup2(null, stream.fileno())
            os.close(null)
