"""Revision files on the branches of a repository: `rebase`, and `heads --check`.

Two branches that each add a revision give two heads when they are merged. This package
edits revision files as a person would, and knows nothing of migrations.

    files    one revision file: what it says, and a new down_revision in it
    graph    all of them: heads, and what comes before what
    git      what is published, and the files of another branch
    tables   which tables a revision names
    rebase   the command `rebase`
    heads    the command `heads` with its options, and what to do about many heads

Revision files are parsed and never imported. What is declared here is imported when it
runs.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

from alembic import command
from alembic.util import CommandError

if TYPE_CHECKING:
    from argparse import ArgumentParser, _SubParsersAction
    from collections.abc import Callable, Iterator

    from alembic.config import Config

REBASE = "rebase"


def add_command(subparsers: _SubParsersAction[Any], program: str) -> None:
    """Add `rebase`, unless Alembic has such a command."""
    if REBASE in subparsers.choices:
        return
    parser = subparsers.add_parser(
        REBASE,
        help="Put this branch's revisions on top of the others: one head again.",
        description="After `git merge` or `git rebase`, or in the middle of it: put this "
        "branch's revisions on top of those of the branch that it is made for. Changes their "
        "down_revision and nothing else. git says which revisions are this branch's.",
    )
    parser.add_argument(
        "--onto",
        metavar="REVISION",
        help="Put everything on top of this revision, but what is below it. Needs no git.",
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="Show the changes as a diff; write nothing."
    )
    parser.set_defaults(program=program, cmd=(_rebase, [], ["program", "onto", "dry_run"]))


def add_options(parser: ArgumentParser, add: Callable[..., None], program: str) -> None:
    """The options of `heads`, by a function that adds one unless Alembic has it."""
    add("--check", action="store_true", help="End with 1 if there is more than one head.")
    add(
        "--with",
        dest="other",
        metavar="REF",
        help="Show the heads that a merge with git's REF would have; implies --check.",
    )
    add(
        "--json",
        dest="as_json",
        action="store_true",
        help="Print one JSON document in the place of the answer.",
    )
    _, positional, keywords = parser.get_default("cmd")
    keywords = [*keywords, "check", "other", "program", "as_json"]
    parser.set_defaults(program=program, cmd=(_heads, positional, keywords))


@contextlib.contextmanager
def explained(config: Config, program: str) -> Iterator[None]:
    """Give Alembic's "Multiple head revisions" the next step that fits these heads."""
    try:
        yield
    except CommandError as exc:
        if not str(exc).startswith("Multiple head"):
            raise
        from . import heads

        heads.advise(exc, config, program)
        raise


def _rebase(config: Config, **options: Any) -> None:
    from .rebase import rebase

    rebase(config, **options)


def _heads(
    config: Config, *, check: bool, other: str | None, as_json: bool, program: str, **options: Any
) -> None:
    if not (check or other or as_json):
        command.heads(config, **options)
        return
    from .heads import heads

    heads(config, program=program, check=check, other=other, as_json=as_json, **options)
