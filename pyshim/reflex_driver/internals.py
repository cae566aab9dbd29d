"""The names of other people's internals, all in one place.

What SQLAlchemy and Alembic do not offer as API, and this package relies on, stands here
and nowhere else. pyshim/tests/driver/test_internals.py asks the oldest and the newest
supported versions for each of them. CONTRIBUTING.md says what breaks without each.
"""

from __future__ import annotations

import atexit
import os
import re
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path
    from types import FrameType, TracebackType

    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

Place = tuple[str, str]
"""A function, as its module and its name."""

# The modules of these, by the names that a frame has for them.
CONNECT = ("sqlalchemy.engine.default", "connect")  # calls the driver's connect(*cargs, **cparams)
POOL_CONNECT = ("sqlalchemy.pool.base", "__connect")
IMPORT_DRIVER = ("import_dbapi", "dbapi")  # each dialect's; the second before SQLAlchemy 2.0
FROM_CONFIG = ("sqlalchemy.engine.create", "engine_from_config")
# What reads a URL and makes the driver's parameters of it.
READING_URL = ("_parse_url", "make_url", "_get_entrypoint", "_assert_value", "create_connect_args")
CREATING_ENGINE = ("make_url", "create_engine", "create_async_engine")
# What create_engine(None) says; the second before SQLAlchemy 2.0.
NO_URL = ("got None", "'NoneType' object has no attribute '_instantiate_plugins'")
MAKE_URL = "make_url"  # has the URL's text in the local variable `name_or_url`
CONNECT_ARGS = "create_connect_args"  # has the URL in the local variable `url`

RUN_MIGRATIONS = ("alembic.runtime.migration", "run_migrations")
READ_REVISION = ("alembic.script.base", "_from_path")  # has the file in the local variable `path`
# Both look up what a revision refers to. The first has it in the local variable `rev`, the
# second in `revision`. A comprehension in it is a function of its own before Python 3.12.
RELATING = {
    ("alembic.script.revision", "_revision_map"): "rev",
    ("alembic.script.revision", "_add_depends_on"): "revision",
}
SCRIPT_DIRECTORY = "alembic.script.base"  # has a ScriptDirectory in the local variable `self`
READ_SCRIPT_DIRECTORY = ("alembic.script.base", "from_config")
ENV_MODULE = "env_py"  # the name of env.py as a module
READ_CONFIG = "alembic.config"
# Its Config reads a file in each of these, and has the file's path in an attribute.
READ_FILES = {"file_config": "_config_file_path", "toml_alembic_config": "_toml_file_path"}
COMMIT = ("_commit_impl", "_commit_twophase_impl")  # of SQLAlchemy's Connection
UTILITIES = "alembic.util."  # which reads files for it
MESSAGES = "alembic.util.messaging"  # the logger of CommandLine's own errors


def place(frame: FrameType) -> Place:
    """The function that a frame is of."""
    return str(frame.f_globals.get("__name__", "")), frame.f_code.co_name


def chain(exc: BaseException) -> Iterator[BaseException]:
    """An exception and those that caused it, which may be a ring."""
    seen: set[int] = set()
    cause: BaseException | None = exc
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def steps(exc: BaseException) -> Iterator[FrameType]:
    """The frames of one exception, the outermost first."""
    step: TracebackType | None = exc.__traceback__
    while step is not None:
        yield step.tb_frame
        step = step.tb_next


def frames(exc: BaseException) -> Iterator[FrameType]:
    """The frames of an exception and of those that caused it."""
    for cause in chain(exc):
        yield from steps(cause)


def came_through(exc: BaseException, *functions: str) -> bool:
    """Whether one of these functions of SQLAlchemy was on the way to the exception."""
    return any(
        frame.f_code.co_name in functions and place(frame)[0].startswith("sqlalchemy")
        for frame in frames(exc)
    )


def in_revision(exc: BaseException) -> bool:
    """Whether a revision's own code was on the way to the exception: Alembic had called it.

    What Alembic and SQLAlchemy do between the revisions is on env.py's connection.
    """
    for cause in chain(exc):
        before: FrameType | None = None
        for frame in steps(cause):
            if before is not None and place(before) == RUN_MIGRATIONS and not _is_library(frame):
                return True
            before = frame
            if place(frame) == READ_REVISION:
                return True
    return False


def revision_file(exc: BaseException) -> str | None:
    """The revision that Alembic was reading, if it was."""
    for frame in frames(exc):
        if place(frame) == READ_REVISION:
            return str(frame.f_locals["path"])
    return None


def configuration_file(exc: BaseException) -> str:
    """The file of its configuration that Alembic was reading."""
    for frame in frames(exc):
        module, function = place(frame)
        if module == READ_CONFIG and function in READ_FILES:
            path = getattr(frame.f_locals["self"], READ_FILES[function], None) or ""
            return os.path.basename(str(path))
    return "alembic.ini or pyproject.toml"


def missing_revision(exc: BaseException) -> tuple[str, str, str] | None:
    """The revision that has no file, the one that refers to it, and that one's file."""
    if not isinstance(exc, KeyError):
        return None
    for frame in reversed(list(steps(exc))):
        variable = RELATING.get(place(frame))
        script = frame.f_locals.get(variable or "")
        if script is not None:
            return str(exc.args[0]), str(script.revision), str(script.path)
    return None


def revision_files(exc: BaseException) -> Iterator[str]:
    """The files in the versions directories of the ScriptDirectory that raised."""
    script = _script_directory(exc)
    for top in () if script is None else version_locations(script):
        for directory, below, names in os.walk(top):
            yield from (os.path.join(directory, n) for n in names if n.endswith(".py"))
            if not script.recursive_version_locations:
                below.clear()


def known_revisions(exc: BaseException) -> list[str]:
    """The ids and the labels that the ScriptDirectory knows, which did not find one."""
    script = _script_directory(exc)
    names = () if script is None else script.revision_map._revision_map
    return [name for name in names if isinstance(name, str)]


def _script_directory(exc: BaseException) -> Any:
    for frame in frames(exc):
        script = frame.f_locals.get("self")
        if place(frame)[0] == SCRIPT_DIRECTORY and hasattr(script, "_version_locations"):
            return script
    return None


def script_files(exc: BaseException) -> Iterator[str]:
    """The files of the script directory that were on the way to the exception."""
    for frame in frames(exc):
        if place(frame)[0] == ENV_MODULE:
            yield frame.f_code.co_filename
    revision = revision_file(exc)
    if revision is not None:
        yield revision


def connect_parameters(exc: BaseException) -> tuple[Any, dict[str, Any]] | None:
    """The dialect and the parameters with which SQLAlchemy was connecting, if it was."""
    for frame in frames(exc):
        if place(frame) == CONNECT:
            return frame.f_locals["self"], frame.f_locals["cparams"]
    return None


def was_connecting(exc: BaseException) -> bool:
    """Whether SQLAlchemy was connecting, its own first statements included."""
    return any(
        name in ("connect", "initialize", "on_connect")
        and module.startswith((CONNECT[0], "sqlalchemy.dialects."))
        for module, name in map(place, frames(exc))
    )


def url_in_use(exc: BaseException) -> Any:
    """The URL of which a dialect was making parameters, if it was."""
    for frame in frames(exc):
        if frame.f_code.co_name == CONNECT_ARGS and "url" in frame.f_locals:
            return frame.f_locals["url"]
    return None


def url_text(exc: BaseException) -> str | None:
    """The text of which SQLAlchemy was making a URL, if it was."""
    for frame in frames(exc):
        if frame.f_code.co_name == MAKE_URL and isinstance(frame.f_locals.get("name_or_url"), str):
            return str(frame.f_locals["name_or_url"])
    return None


def is_connecting(frame: FrameType | None) -> bool:
    """Whether a thread, by its current frame, is on its way to a server."""
    while frame is not None:
        if place(frame) in (POOL_CONNECT, CONNECT):
            return True
        frame = frame.f_back
    return False


def was_committing(exc: BaseException) -> bool:
    """Whether a commit, or a listener to it, has raised."""
    return came_through(exc, *COMMIT)


_CONSUMING = "another operation (2) is in progress"


def lost_connection(exc: BaseException) -> bool:
    """Whether the connection was lost, as SQLAlchemy sees it or asyncpg says it.

    The server's last word may come between two of asyncpg's questions. Then the second one
    finds it in the state in which it reads what is left of an error (ERROR_CONSUME, which is
    2 in its coreproto.pxd), and SQLAlchemy does not know that text.
    """
    return any(
        getattr(cause, "connection_invalidated", False)
        or (type(cause).__name__ == "InternalClientError" and _CONSUMING in str(cause))
        for cause in chain(exc)
    )


def executed(exc: BaseException, pattern: re.Pattern[str]) -> bool:
    """Whether a statement has failed in which the pattern is found."""
    statements = (getattr(cause, "statement", None) for cause in chain(exc))
    return any(isinstance(text, str) and pattern.search(text) for text in statements)


def call_when_applied(context: MigrationContext, callback: Callable[..., None]) -> None:
    """Have Alembic call this too, as one of the option `on_version_apply`."""
    callbacks = context.on_version_apply_callbacks
    context.on_version_apply_callbacks = (*callbacks, callback)


def planned(
    script: ScriptDirectory, command: str, target: str, heads: tuple[str, ...]
) -> Iterable[Any]:
    """The steps of `upgrade`, `downgrade` or `stamp` from `heads` to `target`, as it plans them."""
    steps: Iterable[Any] = getattr(script, f"_{command}_revs")(target, heads)
    return steps


def named(exc: BaseException, package: str, name: str) -> bool:
    """Whether the exception is of this class, without importing its package."""
    return any(
        c.__name__ == name and c.__module__.partition(".")[0] == package for c in type(exc).__mro__
    )


def version_locations(script: ScriptDirectory) -> Sequence[Path]:
    """The directories of revision files; `version_locations` is empty for the default."""
    return script._version_locations


def revision_paths(script: ScriptDirectory) -> Iterator[Path]:
    """The Python files that Alembic would import as revisions, in its order."""
    from alembic.script import Script

    for directory in version_locations(script):
        if directory.exists():
            for path in Script._list_py_dir(script, directory):
                if is_revision_name(path.name):
                    yield path


def is_revision_name(name: str) -> bool:
    """Whether a file of this name is one that Alembic imports from its source."""
    return name.endswith(".py") and not name.startswith(("__init__", ".#"))


def _is_library(frame: FrameType) -> bool:
    return place(frame)[0].partition(".")[0] in ("alembic", "sqlalchemy", __package__)


def end_program() -> None:
    """Wait for the program's threads and run its atexit handlers, as Python does at its end."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
