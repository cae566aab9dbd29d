"""Warns where autogenerate compares the database with a MetaData that holds no table.

Models that were not imported are not in the MetaData. Alembic then says "No changes", or
writes a revision that drops every table.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from alembic.operations.ops import DropTableOp

from .hooks import observing
from .progress import say
from .usage import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator, Sequence

    from alembic.runtime.environment import EnvironmentContext
    from alembic.runtime.migration import MigrationContext

_SHOWN = 5  # files that are named


class _Metadata:
    """Sees the metadata of each `context.configure`."""

    def __init__(self, *, refuses: bool) -> None:
        self.found: list[Any] = []
        self._refuses = refuses

    def configuring(self, env: EnvironmentContext) -> None:
        """See hooks.Observer."""

    def configured(self, context: MigrationContext) -> None:
        """Note what the database is compared with."""
        target = context.opts.get("target_metadata")
        targets = target if isinstance(target, (list, tuple)) else [target]
        self.found += targets
        if self._refuses and _is_empty(targets):
            _refuse_to_drop(context)


def _is_empty(targets: Sequence[Any]) -> bool:
    """Whether there is a MetaData, and no table in any."""
    found = [metadata for metadata in targets if metadata is not None]
    return bool(found) and not any(metadata.tables for metadata in found)


@contextlib.contextmanager
def explained(options: argparse.Namespace) -> Iterator[None]:
    """Run a command in this block; at its end, warn on stderr if the MetaData held no table."""
    if not (getattr(options, "autogenerate", False) or options.cmd[0].__name__ == "check"):
        yield
        return
    metadata = _Metadata(
        refuses=options.cmd[0].__name__ == "revision" and not options.allow_empty_models
    )
    try:
        with observing(metadata):
            yield
    finally:
        if _is_empty(metadata.found):
            say(_explanation())


def add_option(add: Callable[..., object]) -> None:
    """Give `revision` the option that allows what is refused here."""
    add(
        "--allow-empty-models",
        action="store_true",
        help="write the revision that drops every table where env.py's metadata holds none",
    )


def _refuse_to_drop(context: MigrationContext) -> None:
    """Refuse a revision that drops tables because no model was imported.

    The project's own process_revision_directives comes after it.
    """
    theirs = context.opts.get("process_revision_directives")

    def process(context: MigrationContext, revision: Any, directives: list[Any]) -> None:
        drops = [
            operation
            for directive in directives
            for upgrades in directive.upgrade_ops_list
            for operation in upgrades.ops
            if isinstance(operation, DropTableOp)
        ]
        if drops:
            raise UsageError(
                f"The revision would drop every table of the database ({len(drops)}), because "
                "the metadata that env.py names holds none",
                "import the models in env.py; --allow-empty-models writes it all the same",
            )
        if theirs is not None:
            theirs(context, revision, directives)

    context.opts["process_revision_directives"] = process


def _explanation() -> str:
    text = (
        "The metadata that env.py names holds no table at all: models count once they are imported."
    )
    from . import discovery

    files = list(discovery.not_imported(os.getcwd()))
    if not files:
        return text
    more = f", and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
    return f"{text} These files define tables and were not: {', '.join(files[:_SHOWN])}{more}"
