"""One database of `--each`, in its own process: a plain run, and an answer at its end."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from .. import exits, internals, secrets
from ..exits import Outcome
from ..run import listening
from ..signals import Signals
from . import preload
from .watch import Watch, server

if TYPE_CHECKING:
    from ..commandline import CommandLine
    from .processes import Job


def perform(command: CommandLine, job: Job, received: list[int]) -> tuple[Outcome, dict[str, Any]]:
    """Run the command on the job's database, and say how it ended and what became of it.

    `received` are the signals that came before this process had its handlers.
    """
    began = time.monotonic()
    signals = Signals()
    imported = next(reversed(sys.modules))
    found: dict[str, Any] = {}
    outcome = listening(
        signals, command.program, lambda: _run(command, job, signals, received, found)
    )
    found["imported"] = preload.shared(imported)
    signals.stop()
    found["seconds"] = round(time.monotonic() - began, 3)
    return outcome, found


def _run(
    command: CommandLine, job: Job, signals: Signals, received: list[int], found: dict[str, Any]
) -> Outcome:
    for number in received:
        os.kill(os.getpid(), number)
    os.environ.update(job["variables"])
    secrets.learn_environment()
    argv: list[str] = job["argv"]
    sys.argv[1:] = argv
    sys.orig_argv[:] = [sys.executable, *sys.argv]
    parsed = command.parse(argv)
    if isinstance(parsed, Outcome):
        return parsed
    if job["target"]:
        parsed.revision = job["target"]
    if "brief" in parsed:  # that of our `status`
        parsed.brief = True
    if job["waited"]:
        parsed.wait = None
    watch = Watch(job["expected"], verbose=bool(getattr(parsed, "verbose", False)))
    outcome = command.run(parsed, signals, watch)
    found.update(watch.found())
    return Outcome(exits.FAILED, watch.elsewhere) if watch.elsewhere else outcome


def end(outcome: Outcome, found: dict[str, Any]) -> dict[str, Any]:
    """Run what Python runs at the end of a program, and return the answer for the parent."""
    internals.end_program()
    return asdict(exits.with_output(outcome)) | found


def answer(descriptor: int, content: dict[str, Any]) -> None:
    """Write the answer, whole."""
    with contextlib.suppress(OSError), open(descriptor, "wb") as file:  # the parent has gone
        file.write(json.dumps(content).encode())


def waited_for(url: str) -> str:
    """Which server a URL is of, for those that --wait has waited for in vain."""
    try:
        return server(url) if url else ""
    except Exception:  # noqa: BLE001 - its own run tells what is wrong with it
        return ""
