"""Files of a project that define tables, without running any of them."""

from __future__ import annotations

import ast
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_DEFINES_TABLES = re.compile(
    rb"^\s+__tablename__\s*[:=]|\btable\s*=\s*True\b|[\s.]Table\(|\(\s*\w+\.Model\s*[,)]",
    re.MULTILINE,
)
_LIMIT = 2000  # files that are looked at, and directories

# What a module may do when it is imported. Anything else may be a script that does its work.
_QUIET = (
    ast.Import,
    ast.ImportFrom,
    ast.Assign,
    ast.AnnAssign,
    ast.AugAssign,
    ast.ClassDef,
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.If,
    ast.Try,
    ast.Pass,
)
_QUIET_CALLS = ("Table", "Index", "map_imperatively", "init_app", "load_dotenv")


def not_imported(directory: str) -> Iterator[str]:
    """Files below `directory` that define tables, and that no module was imported from."""
    imported = {
        os.path.realpath(file)
        for module in list(sys.modules.values())
        if (file := getattr(module, "__file__", None))
    }
    looked_at = 0
    for count, (parent, directories, names) in enumerate(os.walk(directory)):
        if count > _LIMIT:
            return
        directories[:] = sorted(
            d
            for d in directories
            if not d.startswith((".", "__"))
            and d not in ("node_modules", "site-packages", "versions", "tests")
            and not os.path.exists(os.path.join(parent, d, "pyvenv.cfg"))
        )
        for name in sorted(names):
            file = os.path.join(parent, name)
            if not name.endswith(".py") or os.path.realpath(file) in imported:
                continue
            looked_at += 1
            if looked_at > _LIMIT:
                return
            if _DEFINES_TABLES.search(_read(file)):
                yield os.path.relpath(file, directory)


def module_of(file: str) -> str:
    """The name by which env.py imports a file of the project; "" if it can't.

    `file` is relative to the project. What is in `src` is imported from there.
    """
    parts = file.removesuffix(".py").split(os.sep)
    if parts[-1] == "__init__":
        parts.pop()
    if parts[:1] == ["src"] and is_src_layout():
        parts.pop(0)
    return ".".join(parts) if parts and all(part.isidentifier() for part in parts) else ""


def is_src_layout() -> bool:
    """Whether the project's packages are in `src`, which is none itself."""
    source = Path("src")
    has_modules = any(source.glob("*.py")) or any(source.glob("*/*.py"))
    return has_modules and not (source / "__init__.py").exists()


def only_defines(file: str) -> bool:
    """Whether importing a file does no more than define what is in it, as far as one can see."""
    try:
        body = ast.parse(_read(file)).body
    except (SyntaxError, ValueError):
        return False
    return all(isinstance(s, _QUIET) or _is_quiet_expression(s) for s in body)


def _is_quiet_expression(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.Expr):
        return False
    if isinstance(statement.value, ast.Call):
        called = statement.value.func
        return (getattr(called, "attr", "") or getattr(called, "id", "")) in _QUIET_CALLS
    return isinstance(statement.value, ast.Constant)


def _read(file: str) -> bytes:
    try:
        with open(file, "rb") as source:
            return source.read()
    except OSError:
        return b""
