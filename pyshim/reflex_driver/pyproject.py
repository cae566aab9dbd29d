"""`[tool.reflex]` of pyproject.toml: the database of a project whose variables name none.

reflex_orm reads it too. session/project.go and templates/env.py.tmpl do the same.
"""

from __future__ import annotations

import functools
import os
import sys
from importlib import import_module
from typing import Any

from . import exits

FILE = "pyproject.toml"


class ProjectError(Exception):
    """The file, or a value in it, can't be used. Nothing of it is repeated but names and lines."""


def url(key: str, file: str = FILE) -> str:
    """`db_url` or `async_db_url` of the file's [tool.reflex]; "" where that is not set."""
    try:
        found = os.stat(file)
        table = _table(file, (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size))
    except (FileNotFoundError, NotADirectoryError):
        return ""
    except OSError as error:
        raise ProjectError(exits.reason(error)) from None
    except ValueError as error:  # of TOML or of UTF-8; its text may be a piece of a password
        line = getattr(error, "lineno", None)
        raise ProjectError(
            f"{file} is not TOML" + (f": see its line {line}" * bool(line))
        ) from None
    value = table.get(key, "")
    if not isinstance(value, str):
        raise ProjectError(f"{key} in [tool.reflex] of {file} is not a text")
    return value.strip()


@functools.lru_cache(maxsize=8)
def _table(file: str, _state: tuple[int, ...]) -> dict[str, Any]:
    """[tool.reflex], read once while the file is the same: sessions ask often."""
    toml = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")  # of Alembic
    with open(file, "rb") as opened:
        document: dict[str, Any] = toml.load(opened)
    for name in ("tool", "reflex"):
        found = document.get(name)
        document = found if isinstance(found, dict) else {}
    return document
