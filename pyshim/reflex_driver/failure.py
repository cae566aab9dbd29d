"""What an exception means to the person at the terminal.

`describe` sorts an exception into an exit status, and gives it a message, the next step,
and, where the project's own code raised, a line on where that was (stopped.py) and its frames.

Where a library raised tells more than what it raised: drivers wrap a refused connection
in errors of any type, but each comes out of SQLAlchemy's `connect` (internals.py).
"""

from __future__ import annotations

import errno
import select
import sys
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import (
    drivers,
    exits,
    framework,
    installing,
    internals,
    refusal,
    secrets,
    suggestions,
    unreachable,
    url,
    versions,
)
from .exits import Outcome
from .signals import VERBS
from .stopped import STAYS, Stop, is_own
from .usage import UsageError

if TYPE_CHECKING:
    from .course import Course
    from .signals import Signals

_LOCK_STATUS = {"locked": exits.LOCKED, "database": exits.DATABASE, "failed": exits.FAILED}


@dataclass
class Run:
    """What is known of the run that an exception has ended."""

    program: str  # what a person types for the command: "reflex db"
    signals: Signals | None = None
    whole: bool = False  # the whole traceback is asked for
    changes: bool = False  # the command was to change a database
    stays: bool = False  # the database does not take back what a revision did
    named: str = ""  # the revision of the command line
    shown: bool = False  # the project's own sys.excepthook has shown the exception
    course: Course | None = None  # what it has done


def describe(exc: BaseException, run: Run) -> Outcome:
    """Sort `exc`."""
    outcome = _signalled(exc, run) or _sort(exc, run)
    if run.stays and outcome.status == exits.FAILED and not (outcome.hint or outcome.summary):
        outcome.hint = STAYS
    if run.shown:
        outcome.traceback = ""
    elif run.whole and not outcome.signal:
        outcome.traceback = "".join(traceback.format_exception(exc))
    outcome.summary = secrets.mask(outcome.summary)
    outcome.message = secrets.mask(outcome.message)
    outcome.traceback = secrets.mask(outcome.traceback)
    return outcome


def missing_alembic(exc: Exception) -> Outcome:
    """`import alembic` failed, or found something that is not Alembic."""
    name = (getattr(exc, "name", None) or "alembic").partition(".")[0]
    found = sys.modules.get(name)
    where = getattr(found, "__file__", None) or list(getattr(found, "__path__", []))
    if found is not None and not str(where).startswith(sys.prefix):
        what = {"alembic": "Alembic", "sqlalchemy": "SQLAlchemy"}.get(name, f"the module {name}")
        message = f"`import {name}` finds {where}, which is not {what} ({_text(exc)})"
        hint = "take its directory out of PYTHONPATH, or give it another name"
        return Outcome(exits.ENVIRONMENT, message, hint)
    message = f"Alembic can't be imported by {sys.executable}: "
    if isinstance(exc, MemoryError) or getattr(exc, "errno", None) == errno.ENOMEM:
        hint = "raise the limit of its memory: `ulimit -v` shows it"
        return Outcome(exits.ENVIRONMENT, f"{message}there is not enough memory", hint)
    if isinstance(exc, ModuleNotFoundError) and found is None:
        return Outcome(exits.ENVIRONMENT, f"{message}{exc}", installing.command(name))
    text = "".join(traceback.format_exception_only(exc)).strip()
    return Outcome(exits.ENVIRONMENT, message + text, installing.command("alembic", anew=True))


def old_alembic(version: str, oldest: tuple[int, ...]) -> Outcome:
    """Alembic is there, and older than what the driver is written for."""
    least = ".".join(map(str, oldest))
    message = f"Alembic {version} of {sys.prefix} is too old: {least} or later is needed"
    return Outcome(exits.ENVIRONMENT, message, installing.command(f"alembic>={least}"))


def _signalled(exc: BaseException, run: Run) -> Outcome | None:
    """A run that a signal has ended, be it by way of the driver's error.

    What the project raises after it has handled the signal is no such thing.
    """
    number = run.signals.raised if run.signals is not None else 0
    if not number and isinstance(exc, KeyboardInterrupt):  # env.py's own, as of getpass()
        number = 2
    names = {"KeyboardInterrupt", "SystemExit", "CancelledError"}  # the last is asyncio's
    if not number or not any(type(cause).__name__ in names for cause in internals.chain(exc)):
        return None
    what = STAYS if run.stays else "the open transaction was rolled back"
    message = f"{VERBS.get(number, 'interrupted')}; {what}"
    return Outcome(exits.SIGNALLED + number, message, signal=number)


def _sort(exc: BaseException, run: Run) -> Outcome:
    if internals.named(exc, __package__, "LockError"):
        error: Any = exc
        return Outcome(_LOCK_STATUS[error.kind], str(exc), getattr(error, "hint", ""))
    if isinstance(exc, SystemExit):
        return _exited(exc, run)
    if isinstance(exc, BrokenPipeError) and not run.changes and _reader_is_gone():
        return Outcome()  # whoever read the answer has seen enough
    if isinstance(exc, UsageError):
        return Outcome(exits.USAGE, str(exc), exc.hint)
    if run.course is not None and run.course.tries.reason:
        return _busy(exc, run, run.course)
    if internals.in_revision(exc):  # whatever it could not reach, it is not env.py's database
        return _failed(exc, run)
    return _driver(exc) or _url(exc) or _connection(exc) or _configuration(exc) or _failed(exc, run)


def _busy(exc: BaseException, run: Run, course: Course) -> Outcome:
    """Others did not give a lock in time. It is no fault of the revision."""
    tries = course.tries
    often = f", at all {tries.count} tries" if tries.count > 1 else ""
    lines = [f"the database was busy{often}: {tries.reason}"]
    if tries.in_the_way:
        lines.append(tries.in_the_way)
    if run.stays:
        lines.append(STAYS)
    if tries.over:
        lines.append(f"it was not tried again: {tries.over}")
    hint = f"end what is in the way, or wait for it longer ({tries.longer}); "
    if tries.invalid:
        lines.append(f"an index is left that is not valid: {tries.invalid}")
        hint += f"`DROP INDEX CONCURRENTLY {tries.invalid}` before the next try; "
    hint += f"`{run.program} status` shows where the database stands now"
    summary = Stop(exc, course).summary(changes=run.changes)
    return Outcome(exits.BUSY, "\n".join(lines), hint, summary=summary)


def _exited(exc: SystemExit, run: Run) -> Outcome:
    """env.py or a revision has left, with the status that it has asked for."""
    status = exits.OK if exc.code is None else exits.FAILED
    if isinstance(exc.code, int):
        status = exc.code & 0xFF
    text = f"sys.exit({exc.code!r}) was called while the command ran"
    stop = Stop(exc, run.course)
    summary = stop.summary(changes=run.changes) if status else ""
    return Outcome(status, text, traceback=stop.source, summary=summary)


def _reader_is_gone() -> bool:
    """Whether what reads our stdout has ended: a BrokenPipeError may be of another pipe."""
    if sys.platform == "win32":  # which can't be asked
        return True
    poll = select.poll()
    poll.register(1, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


def _driver(exc: BaseException) -> Outcome | None:
    """A DBAPI that is not installed."""
    if isinstance(exc, ImportError) and internals.came_through(exc, *internals.IMPORT_DRIVER):
        message = f"The database driver can't be imported: {exc}"
        return Outcome(
            exits.ENVIRONMENT, message, installing.command(drivers.package(drivers.module_of(exc)))
        )
    if "greenlet library is required" in _text(exc) or getattr(exc, "name", None) == "greenlet":
        message = f"An async driver needs greenlet: {exc}"
        return Outcome(exits.ENVIRONMENT, message, installing.command("sqlalchemy[asyncio]"))
    return None


_URL_HINT = (
    "REFLEX_DB_URL is a SQLAlchemy URL, such as "
    "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE or sqlite:///FILE; "
    "percent-encode what is not a letter or digit in USER and PASSWORD"
)


def _url(exc: BaseException) -> Outcome | None:
    """A URL that is unset or that SQLAlchemy can't read."""
    text = _text(exc)
    if internals.named(exc, __package__, "ProjectError"):
        return Outcome(exits.DATABASE, text)
    unset = (
        isinstance(exc, KeyError) and internals.came_through(exc, internals.FROM_CONFIG[1])
    ) or (internals.named(exc, "alembic", "CommandError") and "REFLEX_DB_URL is not set" in text)
    none = any(said in text for said in internals.NO_URL)
    if unset or (none and internals.came_through(exc, *internals.CREATING_ENGINE)):
        message = (
            "No database is named: REFLEX_DB_URL is not set, nor is sqlalchemy.url, "
            "nor db_url in [tool.reflex] of pyproject.toml"
        )
        return Outcome(exits.DATABASE, message, framework.url_hint() or _URL_HINT)
    if not internals.came_through(exc, *internals.READING_URL):
        return None
    if "dialects:postgres" in text and "dialects:postgresql" not in text:
        message = "The database URL starts with postgres://, which SQLAlchemy does not take"
        return Outcome(exits.DATABASE, message, "write postgresql:// or postgresql+psycopg://")
    if "dialects:driver" in text:
        message = "sqlalchemy.url is still Alembic's example, and REFLEX_DB_URL is not set"
        return Outcome(exits.DATABASE, message, framework.url_hint() or _URL_HINT)
    written = internals.url_text(exc)
    if written is not None:  # SQLAlchemy's own text may repeat it
        wrong = unreachable.of_text(written)
        if wrong is not None:
            return Outcome(exits.DATABASE, f"The database URL {wrong}", _URL_HINT)
        text = "Could not parse it as a SQLAlchemy URL"
    text = url.advice(exc) or text
    return Outcome(exits.DATABASE, f"The database URL can't be used: {text}", _URL_HINT)


def _connection(exc: BaseException) -> Outcome | None:
    """A server that can't be reached, or that refuses us."""
    text = _plain(exc)
    if "file is not a database" in text:  # SQLite finds out at the first statement
        return Outcome(exits.DATABASE, f"The file is no SQLite database: {text}", _URL_HINT)
    if not internals.was_connecting(exc):
        return None
    hint = (
        "check REFLEX_DB_URL, and that the server runs; --wait 60s waits for one that is starting"
    )
    if "sqlite3." in text:
        hint = "check the path in REFLEX_DB_URL: the directory must be there, and writable"
    if isinstance(exc, TypeError) or "invalid connection option" in text:  # of a parameter
        return Outcome(exits.DATABASE, f"The database URL can't be used: {text}", _URL_HINT)
    wrong = url.advice(exc)
    if wrong == unreachable.SECOND_AT:
        return Outcome(exits.DATABASE, f"The database URL {wrong}", _URL_HINT)
    refused = None if wrong else refusal.explain(exc, text)
    if refused is not None:
        return Outcome(exits.DATABASE, *refused)
    return Outcome(exits.DATABASE, f"The database can't be reached: {wrong or text}", hint)


def _configuration(exc: BaseException) -> Outcome | None:
    """alembic.ini or pyproject.toml that Alembic could not read, for a reason it does not give."""
    places = [internals.place(frame) for frame in internals.frames(exc)]
    of_alembic = [
        place
        for place in places
        if place[0].startswith("alembic.") and not place[0].startswith(internals.UTILITIES)
    ]
    if not of_alembic or (
        of_alembic[-1][0] != internals.READ_CONFIG
        and internals.READ_SCRIPT_DIRECTORY not in of_alembic
    ):
        return None
    if is_own(exc):
        return None
    if internals.named(exc, "alembic", "CommandError") or not isinstance(exc, Exception):
        return None
    text = f"{internals.configuration_file(exc)} can't be used: {type(exc).__qualname__}"
    return Outcome(exits.FAILED, f"{text}: {_plain(exc)}")


def _failed(exc: BaseException, run: Run) -> Outcome:
    text, stop = _plain(exc), Stop(exc, run.course)
    files = versions.explain(exc)
    if files is not None:
        return Outcome(exits.FAILED, *files)
    summary = stop.summary(changes=run.changes)
    if internals.named(exc, "alembic", "CommandError"):
        step = getattr(exc, "hint", "") or _next_step(text, run.program)
        if not stop.file:  # Alembic's own word
            known = internals.known_revisions(exc) if f"by '{run.named}'" in text else []
            meant = suggestions.nearest(run.named, ["head", "heads", "base", *known])
            return Outcome(
                exits.FAILED, text, f"is it {meant}? {step}" if known and meant else step
            )
        hint = step or stop.next_step(run.named, whole=run.whole)
        return Outcome(exits.FAILED, text, hint, stop.source, summary=summary)
    if isinstance(exc, SyntaxError):
        return _unreadable(exc)
    name = type(exc).__qualname__
    message = f"{name}: {text}" if text else name
    revision = internals.revision_file(exc)
    if revision is not None and f'"{revision}"' not in stop.source:
        # What it assigned to revision or down_revision; the frames are of env.py alone.
        return Outcome(exits.FAILED, f"{revision} can't be used: {message}")
    hint = framework.left_hint(exc) or (
        stop.next_step(run.named, whole=run.whole) if summary else ""
    )
    return Outcome(exits.FAILED, message, hint, stop.source, summary=summary)


def _unreadable(exc: SyntaxError) -> Outcome:
    """Its own text is all there is to see; the frames are Alembic's."""
    *source, message = traceback.format_exception_only(exc)
    summary = ""
    if exc.filename and source:
        summary = f"{exits.shown(exc.filename)}:{exc.lineno} can't be read"
    return Outcome(exits.FAILED, message.strip(), traceback="".join(source), summary=summary)


def _next_step(message: str, db: str) -> str:
    """What to do next, for Alembic's messages that do not say it."""
    if "does not provide a MetaData" in message:
        return framework.models_hint()
    joined = f"`{db} heads` shows them, `{db} merge heads` joins them"
    steps = {
        "Can't locate revision": f"`{db} history` lists the revisions of this project. If the "
        "database is ahead of it, update the checkout",
        "Relative revision": f"there are fewer. `{db} history -i` shows where the database stands",
        "Multiple head revisions": f"{joined}, `{db} upgrade heads` applies them all",
        "Multiple heads": joined,
        "Target database is not up to date": f"`{db} upgrade head` first",
        "New upgrade operations detected": f"`{db} makemigrations -m MESSAGE` writes them",
        "Neither alembic.ini": f"`{db} init` starts one here; -C DIR or -c FILE point at another",
        "No 'script_location'": "set script_location in that file's [alembic], or in the section "
        f"that -n names; or start with `{db} init`",
        "Incorrect TOML format": "tool.alembic in pyproject.toml must be a table: [tool.alembic]",
    }
    return next((step for start, step in steps.items() if start in message), "")


def _plain(exc: BaseException) -> str:
    """The exception's text, without SQLAlchemy's link to its documentation."""
    lines = _text(exc).strip().splitlines()
    return "\n".join(line for line in lines if not line.startswith("(Background on this error"))


def _text(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception:  # noqa: BLE001 - its __str__ is anybody's
        return "(its text can't be had)"
