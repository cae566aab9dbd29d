"""What an exception means to the person at the terminal.

`describe` sorts an exception into one kind, which the Go side maps to an exit
code, and gives it a message, the next step, and, where the project's own code
raised, the traceback of that code.

Where a library raised tells more than what it raised: drivers wrap a refused
connection in errors of any type, but each comes out of SQLAlchemy's `connect`.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import sysconfig
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import _reflex

from . import secrets, url
from .usage import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, TracebackType


@dataclass
class Outcome:
    """How a run ended.

    `kind` is one of: ok, failed, usage, environment, database, locked, signal
    (whose number is `signal`), pipe (the reader of stdout went away).
    """

    kind: str
    message: str = ""
    hint: str = ""
    traceback: str = ""
    signal: int = 0


_PROCESS = os.getpid()

# What `pip install` calls the drivers whose module has another name.
_PACKAGES = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
    "pymysql": "PyMySQL",
    "cx_Oracle": "cx_Oracle",
}

# Alembic's messages that have a next step which it does not name.
_NEXT_STEPS = {
    "Can't locate revision": "`reflex db history` lists the revisions of this project. If the "
    "database is ahead of it, update the checkout",
    "Multiple head revisions": "`reflex db heads` shows them, `reflex db merge heads` joins them, "
    "`reflex db upgrade heads` applies them all",
    "Multiple heads": "`reflex db heads` shows them, `reflex db merge heads` joins them",
    "Target database is not up to date": "`reflex db upgrade head` first",
    "New upgrade operations detected": "`reflex db makemigrations -m MESSAGE` writes them",
    "Neither alembic.ini": "`reflex db init` starts one here; -C DIR or -c FILE point at another",
    "No 'script_location'": "set script_location in that file's [alembic], or in the section that "
    "-n names; or start with `reflex db init`",
    "Incorrect TOML format": "tool.alembic in pyproject.toml must be a table: [tool.alembic]",
}


_STAYS = "this database can't take DDL back, so what the revision had done stays"


def describe(
    exc: BaseException, *, whole: bool = False, changes: bool = False, stays: bool = False
) -> Outcome:
    """Sort `exc`.

    `whole` asks for the whole traceback. `changes` says that the command was to
    change a database: then it has failed even if all that is missing is
    somebody to read its output. `stays` says that the database does not take
    back what a revision did. A child that env.py has forked, and that has come
    here, ends.
    """
    if os.getpid() != _PROCESS:
        _end_child(exc)
    outcome = _signalled(exc, stays) or _sort(exc)
    if outcome.kind == "pipe" and (changes or not _reader_is_gone()):
        outcome = _failed(exc)
    if stays and outcome.kind == "failed" and not outcome.hint:
        outcome.hint = _STAYS
    if whole and outcome.kind != "signal":
        outcome.traceback = "".join(traceback.format_exception(exc))
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
        return Outcome("environment", message, hint)
    if isinstance(exc, ModuleNotFoundError) and found is None:
        message = f"Alembic can't be imported by {sys.executable}: {exc}"
        return Outcome("environment", message, _pip(name))
    text = "".join(traceback.format_exception_only(exc)).strip()
    message = f"Alembic can't be imported by {sys.executable}: {text}"
    return Outcome("environment", message, _pip("alembic", "--force-reinstall "))


def old_alembic(version: str, oldest: tuple[int, ...]) -> Outcome:
    """Alembic is there, and older than what the driver is written for."""
    least = ".".join(map(str, oldest))
    message = f"Alembic {version} of {sys.prefix} is too old: {least} or later is needed"
    return Outcome("environment", message, _pip(f"alembic>={least}"))


def _pip(requirement: str, options: str = "") -> str:
    return f'"{sys.executable}" -m pip install {options}"{requirement}"'


_SIGNALLED = {signal.SIGHUP: "hung up", signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}


def _signalled(exc: BaseException, stays: bool) -> Outcome | None:
    """A run that a signal has ended, be it by way of the driver's error.

    What the project raises after it has handled the signal is no such thing.
    """
    number = _reflex.interrupted_by
    if not number and isinstance(exc, KeyboardInterrupt):  # env.py's own, as of getpass()
        number = signal.SIGINT
    names = {"KeyboardInterrupt", "SystemExit", "CancelledError"}  # the last is asyncio's
    if not number or not any(type(cause).__name__ in names for cause in _chain(exc)):
        return None
    what = "; " + (_STAYS if stays else "the open transaction was rolled back")
    return Outcome("signal", _SIGNALLED[signal.Signals(number)] + what, signal=number)


def _sort(exc: BaseException) -> Outcome:
    if _named(exc, "reflex_driver", "LockError"):
        return Outcome(exc.kind, str(exc))  # type: ignore[attr-defined]
    if isinstance(exc, SystemExit):
        return _exited(exc)
    if isinstance(exc, BrokenPipeError):
        return Outcome("pipe")
    if isinstance(exc, UsageError):
        return Outcome("usage", str(exc), exc.hint)
    if _in_revision(exc):  # whatever it could not reach, it is not env.py's database
        return _failed(exc)
    return _driver(exc) or _url(exc) or _connection(exc) or _configuration(exc) or _failed(exc)


def _exited(exc: SystemExit) -> Outcome:
    """env.py or a revision left; the command is not done, whatever status it asked for."""
    text = f"sys.exit({exc.code!r}) was called while the command ran"
    return Outcome("failed", text, traceback=_own_traceback(exc))


def _end_child(exc: BaseException) -> NoReturn:
    if isinstance(exc, SystemExit):
        raise exc
    failed = _failed(exc)
    print(f"{failed.traceback}{failed.message}", file=sys.stderr)
    raise SystemExit(1) from None


def _reader_is_gone() -> bool:
    """Whether what reads our stdout has ended: a BrokenPipeError may be of another pipe."""
    poll = select.poll()
    poll.register(1, 0)
    return any(events & (select.POLLERR | select.POLLHUP) for _, events in poll.poll(0))


def _driver(exc: BaseException) -> Outcome | None:
    """A DBAPI that is not installed."""
    if isinstance(exc, ImportError) and _came_through(exc, "import_dbapi"):
        module = (exc.name or str(exc).split()[0]).partition(".")[0]
        message = f"The database driver can't be imported: {exc}"
        return Outcome("environment", message, _pip(_PACKAGES.get(module, module)))
    if "greenlet library is required" in _text(exc) or "greenlet" == getattr(exc, "name", None):
        message = f"An async driver needs greenlet: {exc}"
        return Outcome("environment", message, _pip("sqlalchemy[asyncio]"))
    return None


_URL_HINT = (
    "REFLEX_DB_URL is a SQLAlchemy URL, such as "
    "postgresql+psycopg://USER:PASSWORD@HOST/DATABASE or sqlite:///FILE; "
    "percent-encode what is not a letter or digit in USER and PASSWORD"
)


def _url(exc: BaseException) -> Outcome | None:
    """A URL that is unset or that SQLAlchemy can't read."""
    text = _text(exc)
    unset = (isinstance(exc, KeyError) and _came_through(exc, "engine_from_config")) or (
        _named(exc, "alembic", "CommandError") and "REFLEX_DB_URL is not set" in text
    )
    if unset or (_came_through(exc, "_parse_url", "make_url") and "got None" in text):
        message = "No database is named: REFLEX_DB_URL is not set, nor is sqlalchemy.url"
        return Outcome("database", message, _URL_HINT)
    reading = ("_parse_url", "make_url", "_get_entrypoint", "_assert_value", "create_connect_args")
    if not _came_through(exc, *reading):
        return None
    if "dialects:postgres" in text and "dialects:postgresql" not in text:
        message = "The database URL starts with postgres://, which SQLAlchemy does not take"
        return Outcome("database", message, "write postgresql:// or postgresql+psycopg://")
    if "dialects:driver" in text:
        message = "sqlalchemy.url is still Alembic's example, and REFLEX_DB_URL is not set"
        return Outcome("database", message, _URL_HINT)
    text = url.advice(_frames(exc)) or text
    return Outcome("database", f"The database URL can't be used: {text}", _URL_HINT)


def _connection(exc: BaseException) -> Outcome | None:
    """A server that can't be reached, or that refuses us."""
    in_connect = any(
        # The last two send SQLAlchemy's own first statements.
        frame.f_code.co_name in ("connect", "initialize", "on_connect")
        and str(frame.f_globals.get("__name__")).startswith(
            ("sqlalchemy.engine.default", "sqlalchemy.dialects.")
        )
        for frame in _frames(exc)
    )
    text = _plain(exc)
    if "file is not a database" in text:  # SQLite finds out at the first statement
        return Outcome("database", f"The file is no SQLite database: {text}", _URL_HINT)
    if not in_connect:
        return None
    hint = (
        "check REFLEX_DB_URL, and that the server runs; --wait 60s waits for one that is starting"
    )
    if "sqlite3." in text:
        hint = "check the path in REFLEX_DB_URL: the directory must be there, and writable"
    text = url.advice(_frames(exc)) or text
    return Outcome("database", f"The database can't be reached: {text}", hint)


def _configuration(exc: BaseException) -> Outcome | None:
    """alembic.ini or pyproject.toml that Alembic could not read, for a reason it does not give."""
    of_alembic = [
        (frame.f_globals["__name__"], frame.f_code.co_name)
        for frame in _frames(exc)
        if str(frame.f_globals.get("__name__", "")).startswith("alembic.")
    ]
    loading = ("alembic.script.base", "from_config")
    if not of_alembic or (of_alembic[-1][0] != "alembic.config" and loading not in of_alembic):
        return None
    if _own_traceback(exc):
        return None
    if _named(exc, "alembic", "CommandError") or not isinstance(exc, Exception):
        return None
    text = f"alembic.ini or pyproject.toml can't be used: {type(exc).__qualname__}: {_plain(exc)}"
    return Outcome("failed", text)


def _failed(exc: BaseException) -> Outcome:
    text = _plain(exc)
    if _named(exc, "alembic", "CommandError"):
        hint = next((hint for start, hint in _NEXT_STEPS.items() if start in text), "")
        return Outcome("failed", text, hint)
    name = type(exc).__qualname__
    if isinstance(exc, SyntaxError):
        # Its own text is all there is to see; the frames are Alembic's.
        text = "".join(traceback.format_exception_only(exc)).strip()
        return Outcome("failed", text)
    message = f"{name}: {text}" if text else name
    own = _own_traceback(exc)
    revision = next((f.f_locals.get("path") for f in _frames(exc) if _reads_revision(f)), None)
    if revision is not None and f'"{revision}"' not in own:
        # What it assigned to revision or down_revision; the frames are of env.py alone.
        return Outcome("failed", f"{revision} can't be used: {message}")
    return Outcome("failed", message, traceback=own)


def _in_revision(exc: BaseException) -> bool:
    """Whether a revision's own code was on the way to the exception: Alembic had called it.

    What Alembic and SQLAlchemy do between the revisions is on env.py's connection.
    """
    for cause in _chain(exc):
        before: FrameType | None = None
        for frame in _steps(cause):
            called_by = before and (before.f_globals.get("__name__"), before.f_code.co_name)
            if called_by == ("alembic.runtime.migration", "run_migrations") and not _is_library(
                frame
            ):
                return True
            before = frame
            if _reads_revision(frame):
                return True
    return False


def _is_library(frame: FrameType) -> bool:
    package = str(frame.f_globals.get("__name__")).partition(".")[0]
    return package in ("alembic", "sqlalchemy")


def _reads_revision(frame: FrameType) -> bool:
    """Whether this is Alembic's function that makes a revision of a file, `path`."""
    return (frame.f_globals.get("__name__"), frame.f_code.co_name) == (
        "alembic.script.base",
        "_from_path",
    )


def _plain(exc: BaseException) -> str:
    """The exception's text, without SQLAlchemy's link to its documentation."""
    lines = _text(exc).strip().splitlines()
    return "\n".join(line for line in lines if not line.startswith("(Background on this error"))


def _text(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception:  # noqa: BLE001 - its __str__ is anybody's
        return "(its text can't be had)"


def _own_traceback(exc: BaseException) -> str:
    """The frames of the project's own files, the outermost first; "" if there are none."""
    own = [f for f in traceback.extract_tb(exc.__traceback__) if _is_own(f.filename)]
    if not own:
        return ""
    return "Traceback, your own code only (--traceback shows all of it):\n" + "".join(
        traceback.format_list(own)
    )


def _is_own(filename: str) -> bool:
    if filename.startswith("<") or filename.startswith("reflex_driver"):
        return False
    paths = sysconfig.get_paths()
    foreign = {paths["stdlib"], paths["platstdlib"], paths["purelib"], paths["platlib"]}
    return not any(filename.startswith(directory) for directory in foreign)


def _came_through(exc: BaseException, *functions: str) -> bool:
    """Whether one of these functions of SQLAlchemy was on the way to the exception."""
    return any(
        frame.f_code.co_name in functions
        and str(frame.f_globals.get("__name__", "")).startswith("sqlalchemy")
        for frame in _frames(exc)
    )


def _frames(exc: BaseException) -> Iterator[FrameType]:
    """The frames of an exception and of those that caused it."""
    for cause in _chain(exc):
        yield from _steps(cause)


def _steps(exc: BaseException) -> Iterator[FrameType]:
    """The frames of one exception, the outermost first."""
    step: TracebackType | None = exc.__traceback__
    while step is not None:
        yield step.tb_frame
        step = step.tb_next


def _chain(exc: BaseException) -> Iterator[BaseException]:
    """An exception and those that caused it, which may be a ring."""
    seen: set[int] = set()
    cause: BaseException | None = exc
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _named(exc: BaseException, package: str, name: str) -> bool:
    """Whether the exception is of this class, without importing its package."""
    return any(
        c.__name__ == name and c.__module__.partition(".")[0] == package for c in type(exc).__mro__
    )
