"""A database's process where no process can be forked: it is told its job on stdin."""

from __future__ import annotations

import json
import os
import sys

from .. import script
from ..run import load


def main(program: str, version: str) -> int:
    """Do the job, and write the answer to the file that the parent has named."""
    told = json.load(sys.stdin)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    job = told["job"]
    script.prepare(job["argv"])
    problem = load()
    from . import work

    if problem is None:
        from ..commandline import CommandLine

        outcome, found = work.perform(CommandLine(program, version), job, [])
    else:
        outcome, found = problem, {}
    content = work.end(outcome, found)
    work.answer(os.open(told["answer"], os.O_WRONLY | os.O_CREAT, 0o600), content)
    return int(content["status"])
