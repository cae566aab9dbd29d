"""The command ``reflex-db`` as a click command, for the framework's script ``reflex``.

::

    cli.add_command(_LazyCommand("db", "reflex_orm.cli:db", help="..."))

click is the framework's own: nothing else here imports it.
"""

import subprocess
import sys
from typing import NoReturn

import click
from click.shell_completion import CompletionItem

from reflex_driver import console, overview

_LIMIT = 10.0  # seconds; completion ends by itself before that

_KINDS = {":16": "dir", ":0": "file"}  # what else fits, by the last line of an answer


class _Command(click.Command):
    """Leaves all that follows its name to the command of this package."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.args = args
        return args

    def invoke(self, ctx: click.Context) -> NoReturn:
        sys.exit(console.run(ctx.command_path, ctx.args))

    def get_help(self, ctx: click.Context) -> str:
        return overview.whole(ctx.command_path)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        command = [sys.executable, "-m", "reflex_orm", "__complete", *ctx.args, incomplete]
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                encoding="utf-8",
                errors="surrogateescape",
                timeout=_LIMIT,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired):
            return []
        *lines, kind = done.stdout.splitlines() or [""]
        found = []
        for line in lines:
            name, _, text = line.partition("\t")
            found.append(CompletionItem(name, help=text or None))
        if kind in _KINDS:
            found.append(CompletionItem(incomplete, type=_KINDS[kind]))
        return found


db = _Command(
    "db",
    help="Migrations of the database, by Alembic.",
    add_help_option=False,
)
"""What follows `reflex db` on the command line, run as `reflex-db` runs it."""
