"""Which tables a revision names in its calls of Alembic's operations.

The calls are read, not made: an upgrade() may do anything. Which argument of an operation
is a table is asked of the operation's signature in the installed Alembic. SQL as text is
not looked into.
"""

from __future__ import annotations

import ast
import inspect
from typing import TYPE_CHECKING

from alembic.operations import BatchOperations, Operations

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .files import RevisionFile

_TABLES = {"table_name", "source_table", "old_table_name", "new_table_name"}


def named_by(file: RevisionFile) -> set[str]:
    """The tables that upgrade() names, without their schemas."""
    for statement in ast.parse(file.source).body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "upgrade":
            return {name for call in ast.walk(statement) for name in _tables(call)}
    return set()


def _tables(call: ast.AST) -> Iterator[str]:
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
        return
    # Those of a batch name no table of their own, but for foreign keys.
    own = isinstance(call.func.value, ast.Name) and call.func.value.id == "op"
    operation = getattr(Operations if own else BatchOperations, call.func.attr, None)
    if not callable(operation):
        return
    parameters = list(inspect.signature(operation).parameters)[1:]  # without self
    given = [*zip(parameters, call.args, strict=False)]
    given += [(word.arg, word.value) for word in call.keywords if word.arg]
    for name, value in given:
        if name in _TABLES and isinstance(value, ast.Constant) and isinstance(value.value, str):
            yield value.value
