"""What each database's process would import anew, imported once, in the parent.

Only Python's own modules, ours and libraries are: what such a module reads when it is
imported is the same for each database. A package of the environment may be a part of the project
and read the database's URL, so the libraries are named one by one.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import sys
import sysconfig
from collections.abc import Iterable
from itertools import takewhile

_LIBRARIES = {
    "alembic",
    "aiomysql",
    "aiosqlite",
    "annotated_types",
    "asyncmy",
    "asyncpg",
    "greenlet",
    "mako",
    "markupsafe",
    "MySQLdb",
    "oracledb",
    "pg8000",
    "psycopg",
    "psycopg_binary",
    "psycopg_c",
    "psycopg2",
    "pydantic",
    "pydantic_core",
    "pymysql",
    "pyodbc",
    "sqlalchemy",
    "sqlite3",
    "sqlmodel",
    "typing_extensions",
    "typing_inspection",
}

# What has to patch modules before they are imported.
_PATCHING = {"gevent", "eventlet"}


def shared(last: str) -> list[str]:
    """In a database's process: the modules imported after `last` that others can share.

    It looks from the end: a name that is touched is a page of the parent's that is copied.
    """
    names = list(takewhile(lambda name: name != last, reversed(sys.modules)))[::-1]
    if any(name.partition(".")[0] in _PATCHING for name in names):
        return []
    return [name for name in names if _is_library(name)]


def imports(names: Iterable[str]) -> None:
    """In the parent: import these modules, in this order."""
    new = [name for name in names if name not in sys.modules]
    with open(os.devnull, "w", encoding="utf-8") as null, contextlib.redirect_stdout(null):
        for name in new:
            with contextlib.suppress(Exception):  # its own run tells of it
                importlib.import_module(name)
    if new:
        gc.freeze()


def _is_library(name: str) -> bool:
    top = name.partition(".")[0]
    if top == __name__.partition(".")[0]:  # ours, which the command needed
        return True
    if top not in _LIBRARIES and top not in sys.stdlib_module_names:
        return False
    # A file of the project's may have such a name.
    origin = getattr(getattr(sys.modules[name], "__spec__", None), "origin", None) or ""
    paths = sysconfig.get_paths()
    libraries = tuple({paths[p] for p in ("stdlib", "platstdlib", "purelib", "platlib")})
    return origin in ("built-in", "frozen") or origin.startswith(libraries)
