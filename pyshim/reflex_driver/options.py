"""The options that are added to Alembic's, each declared once.

Help, completion and refusals come from the same declarations. An option that the
installed Alembic has itself is Alembic's: it is not added.
"""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING, Any

from .usage import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Add = Callable[..., object]  # add_argument of a parser

# Alembic's commands that only read the database, and those that never connect.
# Whatever is in neither, a command of a later Alembic included, changes it.
READING = {"check", "current", "history", "revision", "makemigrations", "status"}
OFFLINE = {
    "branches",
    "edit",
    "heads",
    "init",
    "list_templates",
    "merge",
    "rebase",
    "show",
    "version",
}

# Before the command, and not known to Alembic: the directory and the interpreter are
# chosen before any of this runs.
DIRECTORY = ("-C", "--directory")
PYTHON = ("--python",)

_UNITS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def seconds(text: str) -> float:
    """`500ms`, `30s`, `5m`, `1h`, or a number of seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|min|m|h|)", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 500ms, 30s or 5m")
    return float(match[1]) * _UNITS[match[2]]


def positive(text: str) -> int:
    """A number from 1."""
    if not re.fullmatch(r"[0-9]+", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: a number from 1 is expected")
    return int(text)


def shard(text: str) -> tuple[int, int]:
    """`I/N`: which part of how many, from 0."""
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if match is None or int(match[1]) >= int(match[2]):
        message = f"{text}: a part is I/N, with I from 0 to N-1, such as 0/4"
        raise argparse.ArgumentTypeError(message)
    return int(match[1]), int(match[2])


def text(value: str) -> str:
    """A value that is not empty."""
    if not value:
        raise argparse.ArgumentTypeError("needs a value")
    return value


def add_before_command(add: Add) -> None:
    """The options that stand before the command only."""
    add(*DIRECTORY, metavar="DIR", help="run in DIR instead of here")
    add(*PYTHON, metavar="PATH", help="the interpreter, or its environment's directory")


def add_traceback(add: Add) -> None:
    """`--traceback`, which may stand anywhere."""
    add(
        "--traceback",
        action="store_true",
        default=argparse.SUPPRESS,
        help="show the whole traceback of an error",
    )


def add_env_file(add: Add) -> None:
    """`--env-file`, which may stand anywhere."""
    add(
        "--env-file",
        type=text,
        metavar="FILE",
        default=argparse.SUPPRESS,
        help="read variables from FILE; needs python-dotenv",
    )


def add_quiet(add: Add) -> None:
    """`-q` after the command too; before it, it is Alembic's."""
    add(
        "-q",
        "--quiet",
        action="store_true",
        default=argparse.SUPPRESS,
        help="Say nothing but warnings and errors.",
    )


def add_log_format(add: Add) -> None:
    """`--log-format`, which may stand anywhere."""
    add(
        "--log-format",
        choices=("text", "json"),
        default=argparse.SUPPRESS,
        metavar="FORMAT",
        help="text, or json: an object for each line of the log on stderr",
    )


def add_each(add: Add, *, hidden: bool = False) -> None:
    """The options of many databases, which may stand anywhere."""
    for name, metavar, kind, what in (
        ("--each", "FILE", text, "run the command on each database of FILE (- is stdin)"),
        ("--jobs", "N", positive, "how many databases at once; the number of CPUs"),
        ("--first", "N", positive, "the first N alone, and the others if all of these succeed"),
        ("--keep-going", None, None, "go through all, whatever fails"),
        ("--failed", "FILE", text, "write the lines that failed or were not begun"),
        ("--report", "FILE", text, "write a JSON object for each database"),
        ("--shard", "I/N", shard, "only part I of N, from 0"),
    ):
        how: dict[str, Any] = (
            {"action": "store_true"} if kind is None else {"type": kind, "metavar": metavar}
        )
        add(name, default=argparse.SUPPRESS, help=argparse.SUPPRESS if hidden else what, **how)


# What makes sense for each of many databases. A later Alembic's commands may not.
EACH_COMMANDS = {
    "upgrade",
    "downgrade",
    "stamp",
    "ensure_version",
    "current",
    "check",
    "status",
}

# Of these, the answer is what is asked for.
ANSWERING = {"current", "check", "status"}

# Of these, report.py prints what became of them.
REPORTED = {"upgrade", "downgrade", "stamp", "check", "current"}

EACH = ("each", "jobs", "first", "keep_going", "failed", "report", "shard")
"""The names of their values."""


def add_json(add: Add) -> None:
    """`--json` of report.py."""
    add(
        "--json",
        action="store_true",
        default=argparse.SUPPRESS,
        help="Print one JSON document in the place of the answer.",
    )


def add_connecting(add: Add) -> None:
    """For a command that connects."""
    add(
        "--wait",
        type=seconds,
        metavar="TIME",
        help="Wait up to TIME (30s, 5m) for a server that is still starting.",
    )


def add_changing(add: Add) -> None:
    """For a command that changes the database."""
    add(
        "--lock-timeout",
        type=seconds,
        default=300.0,
        metavar="TIME",
        help="How long to wait for another migration to end; 0: not at all. Default 5m.",
    )
    add("--no-lock", action="store_true", help="Do not keep other migrations out.")
    add(
        "--ddl-lock-timeout",
        type=seconds,
        metavar="TIME",
        help="PostgreSQL's lock_timeout for the migrations' own connection.",
    )
    add(
        "--lock-retries",
        type=positive,
        metavar="N",
        help="How often to try again what did not get its lock.",
    )
    add(
        "--polite",
        type=seconds,
        metavar="TIME",
        help="How long the application's queries may wait behind a statement; PostgreSQL.",
    )
    add(
        "--statement-timeout",
        type=seconds,
        metavar="TIME",
        help="PostgreSQL's statement_timeout for the migrations' own connection.",
    )
    add(
        "-v",
        "--verbose",
        action="store_true",
        help="Say which configuration is read, whose URL counts, and what the lock does.",
    )


def with_value() -> set[str]:
    """The options that may stand before the command and take the next argument.

    The Go program has the same list (cmd/reflex/db.go).
    """
    names = {"-c", "--config", "-n", "--name", "-x"}  # Alembic's
    for add in (add_env_file, add_log_format, add_each):
        names.update(name for name, valued in _declared(add).items() if valued)
    return names


def refuse_alone(parsed: argparse.Namespace) -> None:
    """Raise UsageError for an option that another one is missing for."""
    polite = getattr(parsed, "polite", None)
    if polite == 0:
        raise UsageError("--polite needs a time, such as 2s")
    if getattr(parsed, "lock_retries", None) and not (parsed.ddl_lock_timeout or polite):
        raise UsageError(
            "--lock-retries needs --ddl-lock-timeout or --polite: without them, no wait ends"
        )


def without_each(argv: Sequence[str]) -> list[str]:
    """The arguments without the options of many databases: those of one database's run."""
    options = _declared(add_each)
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        if word == "--":
            return [*rest, word, *words]
        name, joined, _ = word.partition("=")
        if name not in options:
            rest.append(word)
        elif options[name] and not joined:
            next(words, None)
    return rest


def _declared(add_all: Callable[[Add], None]) -> dict[str, bool]:
    """The options that a function here adds, and whether each takes a value."""
    found: dict[str, bool] = {}

    def add(*names: str, **how: Any) -> None:
        found.update(dict.fromkeys(names, "action" not in how))

    add_all(add)
    return found
