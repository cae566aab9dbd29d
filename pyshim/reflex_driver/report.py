"""What became of a run, as data: a line of --each's report, and what `--json` prints.

docs/status.md has the form.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import sys
import time
from typing import TYPE_CHECKING, Any

from . import exits, history, options
from .course import Course
from .exits import Outcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .commandline import CommandLine
    from .signals import Signals


def word(outcome: Outcome, found: dict[str, Any], *, reads: bool) -> str:
    """How a run ended, in a word. `found` is the course's (course.py)."""
    if outcome.signal:
        return "interrupted"
    if not outcome.succeeded:
        return "failed"
    known = None not in (found.get("before"), found.get("after"))
    return "unchanged" if known and not reads and not found.get("steps") else "ok"


def record(outcome: Outcome, found: dict[str, Any], *, reads: bool) -> dict[str, Any]:
    """What became of a database. `found` has the `seconds` too."""
    return {
        "outcome": word(outcome, found, reads=reads),
        "status": outcome.status,
        "from": joined(found.get("before")),
        "to": joined(found.get("after")),
        "target": found.get("target"),
        "revisions": len(found.get("steps", ())),
        "steps": found.get("steps", []),
        "seconds": found.get("seconds", 0),
        "tries": found.get("tries", 1),
        "in_the_way": found.get("in_the_way", ""),
        "summary": outcome.summary,
        "message": outcome.message,
    }


def joined(revisions: Sequence[str] | None) -> str | None:
    """How a database's revisions are written: "" is before the first."""
    return None if revisions is None else ", ".join(revisions)


def run(command: CommandLine, parsed: argparse.Namespace, signals: Signals) -> Outcome:
    """Run the command, and print a document on stdout, in the place of what it prints.

    What the project's code prints goes to stderr meanwhile.
    """
    if getattr(parsed, "sql", False):
        return Outcome(exits.USAGE, "--json is of a database, and --sql connects to none")
    began = time.monotonic()
    course = Course(verbose=getattr(parsed, "verbose", False))
    parsed.answer = io.StringIO()
    with contextlib.redirect_stdout(sys.stderr):
        outcome = command.run(parsed, signals, course)
    name = parsed.cmd[0].__name__
    found = course.found() | {"seconds": round(time.monotonic() - began, 3)}
    parts = [
        {
            "name": stretch.name,
            "from": joined(sorted(stretch.before)),
            "to": None if course.unknown else joined(sorted(stretch.kept)),
            "target": stretch.target,
            "revisions": len(stretch.steps),
            "steps": [vars(step) for step in stretch.steps],
        }
        for stretch in course.stretches
    ]
    document = {
        "form": history.FORM,
        "command": name,
        "name": parts[0]["name"] if len(parts) == 1 else None,
        **record(outcome, found, reads=name in options.ANSWERING),
    }
    if len(parts) > 1:
        document["databases"] = parts
    try:
        print(json.dumps(document, indent=2))
    except OSError as exc:
        exits.flush()  # gives up what is left
        if outcome.succeeded and not isinstance(exc, BrokenPipeError):
            return Outcome(exits.FAILED, f"what was printed could not be written: {exc}")
    return outcome
