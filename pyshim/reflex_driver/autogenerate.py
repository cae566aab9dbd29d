"""Warns where autogenerate compares the database with a MetaData that holds no table.

Models that were not imported are not in the MetaData. Alembic then says "No changes", or
writes a revision that drops every table.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys
from typing import TYPE_CHECKING, Any

from .hooks import observing
from .progress import say

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import MigrationContext

_DEFINES_TABLES = re.compile(
    rb"^\s+__tablename__\s*[:=]|\btable\s*=\s*True\b|[\s.]Table\(", re.MULTILINE
)
_SHOWN = 5  # files that are named
_LIMIT = 2000  # files that are looked at


class _Metadata:
    """Sees the metadata of each `context.configure`."""

    def __init__(self) -> None:
        self.found: list[Any] = []

    def configuring(self, env: EnvironmentContext) -> None:
        """See hooks.Observer."""

    def configured(self, context: MigrationContext) -> None:
        """Note what the database is compared with."""
        target = context.opts.get("target_metadata")
        self.found += target if isinstance(target, (list, tuple)) else [target]


@contextlib.contextmanager
def explained(options: argparse.Namespace) -> Iterator[None]:
    """Run a command in this block; at its end, warn on stderr if the MetaData held no table."""
    if not (getattr(options, "autogenerate", False) or options.cmd[0].__name__ == "check"):
        yield
        return
    metadata = _Metadata()
    try:
        with observing(metadata):
            yield
    finally:
        found = [m for m in metadata.found if m is not None]
        if found and not any(m.tables for m in found):
            say(_explanation())


def _explanation() -> str:
    text = (
        "The metadata that env.py names holds no table at all: models count once they are imported."
    )
    files = list(_not_imported(os.getcwd()))
    if not files:
        return text
    more = f", and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
    return f"{text} These files define tables and were not: {', '.join(files[:_SHOWN])}{more}"


def _not_imported(directory: str) -> Iterator[str]:
    """Files of the project that define tables, and that no module was imported from."""
    imported = {
        os.path.realpath(file)
        for module in list(sys.modules.values())
        if (file := getattr(module, "__file__", None))
    }
    looked_at = 0
    for parent, directories, names in os.walk(directory):
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
            with contextlib.suppress(OSError), open(file, "rb") as source:
                if _DEFINES_TABLES.search(source.read()):
                    yield os.path.relpath(file, directory)
