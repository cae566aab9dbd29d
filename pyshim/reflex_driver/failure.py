"""What an exception means to the person at the terminal.

`describe` sorts an exception into one kind, which the Go side maps to an exit
code, and gives it a message, the next step, and, where the project's own code
raised, the traceback of that code.

Where a library raised tells more than what it raised: drivers wrap a refused
connection in errors of any type, but each comes out of SQLAlchemy's `connect`.
"""

from __future__ import annotations

import sys
import sysconfig
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import secrets
from .usage import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, TracebackType


@dataclass
class Outcome:
    """How a run ended.

    `kind` is one of: ok, failed, usage, environment, database, guard (the Go
    side knows why), interrupted, pipe (the reader of stdout went away).
    """

    kind: str
    message: str = ""
    hint: str = ""
    traceback: str = ""


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
    "No 'script_location'": "set script_location, or start with `reflex db init`",
}


def describe(exc: BaseException, *, whole: bool = False) -> Outcome:
    """Sort `exc`; `whole` asks for the whole traceback."""
    outcome = _sort(exc)
    if whole and outcome.kind != "interrupted":
        outcome.traceback = "".join(traceback.format_exception(exc))
    outcome.message = secrets.redact(outcome.message)
    outcome.traceback = secrets.redact(outcome.traceback)
    return outcome


def missing_alembic(exc: ImportError) -> Outcome:
    """`import alembic` failed, or found something that is not Alembic."""
    found = sys.modules.get("alembic")
    where = getattr(found, "__file__", None) or list(getattr(found, "__path__", []))
    if found is not None and not str(where).startswith(sys.prefix):
        message = f"`import alembic` finds {where}, which is not Alembic ({exc})"
        hint = "take the project's directory out of PYTHONPATH, or give the directory another name"
        return Outcome("environment", message, hint)
    message = f"Alembic can't be imported by {sys.executable}: {exc}"
    return Outcome("environment", message, _pip("alembic"))


def old_alembic(version: str, oldest: tuple[int, ...]) -> Outcome:
    """Alembic is there, and older than what the driver is written for."""
    least = ".".join(map(str, oldest))
    message = f"Alembic {version} of {sys.prefix} is too old: {least} or later is needed"
    return Outcome("environment", message, _pip(f"alembic>={least}"))


def _pip(requirement: str) -> str:
    return f'"{sys.executable}" -m pip install "{requirement}"'


def _sort(exc: BaseException) -> Outcome:
    if _named(exc, "_reflex", "GoError"):
        return Outcome("guard", str(exc))
    if isinstance(exc, KeyboardInterrupt) or (isinstance(exc, SystemExit) and exc.code == 143):
        return Outcome("interrupted")
    if isinstance(exc, SystemExit):
        return _exited(exc)
    if isinstance(exc, BrokenPipeError):
        return Outcome("pipe")
    if isinstance(exc, UsageError):
        return Outcome("usage", str(exc))
    return _driver(exc) or _url(exc) or _connection(exc) or _failed(exc)


def _exited(exc: SystemExit) -> Outcome:
    if exc.code in (None, 0):
        return Outcome("ok")
    text = f"sys.exit({exc.code!r}) was called while the command ran"
    return Outcome("failed", text, traceback=_own_traceback(exc))


def _driver(exc: BaseException) -> Outcome | None:
    """A DBAPI that is not installed."""
    if isinstance(exc, ImportError) and _came_through(exc, "import_dbapi"):
        module = (exc.name or str(exc).split()[0]).partition(".")[0]
        message = f"The database driver can't be imported: {exc}"
        return Outcome("environment", message, _pip(_PACKAGES.get(module, module)))
    if "greenlet library is required" in str(exc) or "greenlet" == getattr(exc, "name", None):
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
    unset = (isinstance(exc, KeyError) and _came_through(exc, "engine_from_config")) or (
        _named(exc, "alembic", "CommandError") and "REFLEX_DB_URL is not set" in str(exc)
    )
    if unset or (_came_through(exc, "_parse_url", "make_url") and "got None" in str(exc)):
        message = "No database is named: REFLEX_DB_URL is not set, nor is sqlalchemy.url"
        return Outcome("database", message, _URL_HINT)
    if not _came_through(exc, "_parse_url", "make_url", "_get_entrypoint", "_assert_value"):
        return None
    if "dialects:postgres" in str(exc) and "dialects:postgresql" not in str(exc):
        message = "The database URL starts with postgres://, which SQLAlchemy does not take"
        return Outcome("database", message, "write postgresql:// or postgresql+psycopg://")
    if "dialects:driver" in str(exc):
        message = "sqlalchemy.url is still Alembic's example, and REFLEX_DB_URL is not set"
        return Outcome("database", message, _URL_HINT)
    return Outcome("database", f"The database URL can't be used: {exc}", _URL_HINT)


def _connection(exc: BaseException) -> Outcome | None:
    """A server that can't be reached, or that refuses us."""
    in_connect = any(
        frame.f_code.co_name == "connect"
        and frame.f_globals.get("__name__") == "sqlalchemy.engine.default"
        for frame in _frames(exc)
    )
    if not in_connect:
        return None
    text = _plain(exc)
    hint = (
        "check REFLEX_DB_URL, and that the server runs; --wait 60s waits for one that is starting"
    )
    if "sqlite3." in text:
        hint = "check the path in REFLEX_DB_URL: the directory must be there, and writable"
    return Outcome("database", f"The database can't be reached: {text}", hint)


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
    return Outcome("failed", message, traceback=_own_traceback(exc))


def _plain(exc: BaseException) -> str:
    """The exception's text, without SQLAlchemy's link to its documentation."""
    lines = str(exc).strip().splitlines()
    return "\n".join(line for line in lines if not line.startswith("(Background on this error"))


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
    seen: set[int] = set()
    cause: BaseException | None = exc
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        step: TracebackType | None = cause.__traceback__
        while step is not None:
            yield step.tb_frame
            step = step.tb_next
        cause = cause.__cause__ or cause.__context__


def _named(exc: BaseException, package: str, name: str) -> bool:
    """Whether the exception is of this class, without importing its package."""
    return any(
        c.__name__ == name and c.__module__.partition(".")[0] == package for c in type(exc).__mro__
    )
