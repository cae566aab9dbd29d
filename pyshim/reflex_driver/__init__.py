"""The Python half of `reflex db`: it runs Alembic and reports how that ended.

The Go command loads this package from memory into the interpreter it embeds
and calls `main` once. The way through it:

    main            a request in, an outcome out; imports nothing but the standard library
    script          sys.argv, __main__ and PATH, as under the script `alembic`
    commandline     Alembic's own command line, with a few options more
    configuration   Alembic's Config, completed with REFLEX_DB_URL
    initialize      `reflex db init`
    history         the revisions as data: `reflex db history --json`
    graph           the revisions as a picture: `reflex db history --graph`
    status          `reflex db status`, with standing (what is asked) and screen (what is shown)
    completion      what may come next on the command line, for the shell
    guard           around a run: the lock, timeouts, interrupts
    each            `--each`: one database after another in one process
    failure         what an exception means to the person at the terminal
    secrets         the run's own passwords, kept out of our messages and off stderr

Alembic does all of the migrating. Nothing here knows what a migration is.
"""

from __future__ import annotations

import contextlib
import gc
import json
import sys
from dataclasses import asdict
from typing import Any

from . import failure, script, secrets

# The first release that reads pyproject.toml, and in which
# CommandLine.subparsers can be extended.
OLDEST_ALEMBIC = (1, 16)


def main(request: str) -> str:
    """Run one command.

    `request` is a JSON object: `program`, what a user types for `reflex db`;
    `version`, that of the command; `argv`, what follows it; `ini`, the text of
    alembic.ini.tmpl; `templates`, name to text of the files that `init` writes.
    The answer is a `failure.Outcome` as JSON. Nothing is raised, not even
    SystemExit: how a run ends is for the caller to decide.
    """
    secrets.learn_environment()
    try:
        question = json.loads(request)
        script.become(question["argv"])
        outcome = _run(question)
        with contextlib.suppress(AttributeError, ValueError):  # replaced or closed by env.py
            sys.stdout.flush()
    except BaseException as exc:  # noqa: BLE001 - SystemExit and KeyboardInterrupt are outcomes too
        outcome = failure.describe(exc)
    return json.dumps(asdict(outcome))


def versions(_request: str) -> str:
    """Which Alembic and SQLAlchemy a run would use: a JSON list of name and version."""
    from importlib import metadata

    def of(name: str) -> str:
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            return "not installed"

    return json.dumps([{"name": n, "version": of(n)} for n in ("Alembic", "SQLAlchemy")])


def load() -> failure.Outcome | None:
    """Import Alembic and what runs it, once; the answer is why that can't be used."""
    # What is imported stays; looking for garbage in it, most of all when Python ends,
    # is a fifth of a short run. Of this the project could know by the gc module alone.
    gc.disable()
    problem = _unusable_alembic()
    if problem is not None:
        return problem
    from . import commandline  # noqa: F401

    gc.freeze()
    gc.enable()
    return None


def _run(request: dict[str, Any]) -> failure.Outcome:
    problem = load()
    if problem is not None:
        return problem
    from .commandline import CommandLine

    return CommandLine(request).run()


def _unusable_alembic() -> failure.Outcome | None:
    try:
        import alembic.config  # a directory named alembic is not the package
    except Exception as exc:  # noqa: BLE001 - a broken installation raises anything
        return failure.missing_alembic(exc)
    release = tuple(int(part) for part in alembic.__version__.split(".")[:2] if part.isdigit())
    if release < OLDEST_ALEMBIC:
        return failure.old_alembic(alembic.__version__, OLDEST_ALEMBIC)
    return None
