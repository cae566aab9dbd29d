"""The help of the command as a whole. It needs no Alembic."""

from __future__ import annotations

import argparse
import textwrap
from typing import TYPE_CHECKING

from . import data, exits, options

if TYPE_CHECKING:
    from collections.abc import Callable


# The pages that README names too.
SITE = "https://reflex-dev.github.io/reflex-orm/"


def commands() -> dict[str, str]:
    """Alembic's commands and ours, each with a line of help.

    They are not what is accepted: that is up to the project's Alembic.
    """
    text = data.text("commands.txt")
    return dict(line.split("\t", 1) for line in text.splitlines())


def whole(program: str) -> str:
    """What `reflex db --help` prints."""
    known = commands()
    if " " not in program:  # else it is a command of the program around it
        known["completion"] = "print the script that completes in bash, zsh or fish"
    listed = "".join(f"  {name:<15} {what}\n" for name, what in known.items())
    return f"""\
Run Alembic in the project's own Python, on the database that REFLEX_DB_URL names.

Usage:
  {program} [-c FILE] [-n NAME] [-x ARG] [--raiseerr] [-q] COMMAND [ARG...]

Commands:
{listed}
Any other command of the Alembic that is installed works as well.
"{program} COMMAND --help" is the help of that command, with all its options;
so is "{program} help COMMAND".

Options before the command are Alembic's own (-c, -n, -x, --raiseerr, -q), and
{_listed(options.add_before_command, options.add_traceback, options.add_env_file)}
Many databases. A line of FILE is a URL, a name for the {{}} in
REFLEX_DB_URL or in an -x, or a name and a URL:
{_listed(options.add_each)}
Environment:
  REFLEX_DB_URL         the database, as a SQLAlchemy URL; else db_url in [tool.reflex]
                        of pyproject.toml, else sqlalchemy.url
  REFLEX_DB_LOCK_URL    a direct connection for the lock, where that goes through a pooler
  REFLEX_ENV_FILE       files of variables, separated as in PATH, where --env-file names none
  REFLEX_PYTHON         the interpreter

{exits.HELP}
More: {SITE}"""


def _listed(*declarations: Callable[[options.Add], None]) -> str:
    """The help of some options, as argparse writes it."""
    parser = argparse.ArgumentParser(add_help=False)
    for declare in declarations:
        declare(parser.add_argument)
    formatter = argparse.HelpFormatter("", max_help_position=24, width=100)
    formatter.add_arguments(parser._actions)
    return textwrap.indent(formatter.format_help(), "  ")
