"""`--each`: one database after another, in one interpreter.

    start       what the command line asks for, before any database is touched
    run         one database
    isolation   the process as it was before it
    watch       where a run connects, what it finds there and what it runs

The Go command (cmd/reflex/each_worker.go) calls `start` once and `run` for each
database. Both take and return JSON, and raise nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from .. import failure, load, script, secrets

if TYPE_CHECKING:
    from ..commandline import CommandLine
    from .isolation import Isolation

# What makes sense for each of many databases. A later Alembic's commands may not.
COMMANDS = {
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


@dataclass
class _Worker:
    """What the databases of this process share."""

    request: dict[str, Any] = field(default_factory=dict)  # of start
    descriptors: list[int] = field(default_factory=list)
    command: CommandLine | None = None
    isolation: Isolation | None = None


_worker = _Worker()


def start(request: str) -> str:
    """Say whether the command can be run for each database.

    `request` has that of `reflex_driver.main`, and `descriptors`, which are Go's
    and not for a forked child. The answer is a `failure.Outcome`, with
    `command`, which is empty where the help was asked for and is printed;
    `answers`, whether its output is what is asked for; and `verbose`.
    """
    try:
        question = json.loads(request)
        _worker.request, _worker.descriptors = question["request"], question["descriptors"]
        os.register_at_fork(after_in_child=_close_descriptors)
        secrets.learn_environment()
        outcome, more = _start()
        _flush()
    except BaseException as exc:  # noqa: BLE001 - SystemExit and KeyboardInterrupt are outcomes too
        outcome, more = failure.describe(exc), {}
    return json.dumps(asdict(outcome) | more)


def run(request: str) -> str:
    """Run the command on one database.

    `request` has the `argv` and `variables` of the environment, with the name in
    the place of `{}`; and `expected`, the URL of the database that env.py must
    connect to, empty where that is not of this one alone.
    The answer is a `failure.Outcome`, with `before` and `after`, the revisions
    that the database was and is at, null where that is not known; `revisions`,
    how many have run; `seconds`; `suspect`, whether what has failed may have
    done so for the databases before it, and nothing has been done;
    and `retire`, whether this process must not take another.
    """
    began = time.monotonic()
    more: dict[str, Any] = {}
    try:
        outcome, more = _run(json.loads(request))
    except BaseException as exc:  # noqa: BLE001
        outcome = failure.describe(exc)
        more["retire"] = True
    more["seconds"] = round(time.monotonic() - began, 3)
    return json.dumps(asdict(outcome) | more)


def _close_descriptors() -> None:
    for descriptor in _worker.descriptors:
        os.close(descriptor)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):  # replaced or closed by env.py
            stream.flush()


def _start() -> tuple[failure.Outcome, dict[str, Any]]:
    problem = load()
    if problem is not None:
        return problem, {}
    from ..commandline import CommandLine
    from .isolation import Isolation

    script.become(_worker.request["argv"])
    _worker.command = CommandLine(_worker.request)
    options = _worker.command.parse()
    if isinstance(options, failure.Outcome):
        return options, {"command": ""}
    name: str = options.cmd[0].__name__  # for migrate it is upgrade
    if name not in COMMANDS:
        message = f"--each makes no sense with {name}; it goes with {', '.join(sorted(COMMANDS))}"
        return failure.Outcome("usage", message), {}
    if getattr(options, "sql", False):
        return failure.Outcome("usage", "--each connects to every database, and --sql to none"), {}
    if "brief" in options:  # that of our `status`
        _worker.command.subparsers.choices[name].set_defaults(brief=True)
    _worker.isolation = Isolation()
    return failure.Outcome("ok"), {
        "command": name,
        "answers": name in ANSWERING,
        "verbose": bool(getattr(options, "verbose", False)),
    }


def _run(question: dict[str, Any]) -> tuple[failure.Outcome, dict[str, Any]]:
    from .watch import Watch

    command, isolation = _worker.command, _worker.isolation
    assert command is not None
    assert isolation is not None
    command.argv = question["argv"]
    with isolation:
        sys.argv[1:] = command.argv
        sys.orig_argv[:] = [sys.executable, *sys.argv]
        os.environ.update(question["variables"])
        secrets.learn_environment()
        watch = Watch(question["expected"])
        with watch:
            outcome = command.run()
            found = watch.result(outcome)
        if watch.elsewhere:
            outcome = failure.Outcome("failed", watch.elsewhere)
        _flush()
        suspect = bool(watch.elsewhere) or (
            outcome.kind == "failed" and not watch.begun and _unexpected(command)
        )
    if not isolation.retire:
        command.release()
        isolation.between()
    secrets.forget()
    return outcome, asdict(found) | {"suspect": suspect, "retire": isolation.retire}


def _unexpected(command: CommandLine) -> bool:
    """Whether the failure is none that Alembic itself tells of."""
    from alembic.util import CommandError

    return not isinstance(command.error, CommandError)
