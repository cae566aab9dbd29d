"""A database's process where no process can be forked.

It is told its job on the first line of stdin. Then a byte there is a signal that the parent
passes on, because Windows has no kill(2), and the end of stdin is that of the parent.
"""

from __future__ import annotations

import _thread
import json
import os
import signal
import sys
from typing import Any

from .. import script
from ..run import load


def main(program: str, version: str) -> int:
    """Do the job, and write the answer to the file that the parent has named."""
    parent = os.dup(0)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    told = json.loads(_line(parent))
    if sys.platform == "win32":  # which a console sends to this process too
        signal.signal(signal.SIGBREAK, signal.SIG_IGN)
    streams: list[Any] = [sys.stdout, sys.stderr]
    for stream in streams:
        stream.reconfigure(encoding="utf-8")  # as the parent reads it
    job = told["job"]
    script.prepare(job["argv"])
    problem = load()
    from . import work

    if problem is None:
        from ..commandline import CommandLine

        _thread.start_new_thread(_obey, (parent,))
        outcome, found = work.perform(CommandLine(program, version), job, [])
    else:
        outcome, found = problem, {}
    content = work.end(outcome, found)
    work.answer(os.open(told["answer"], os.O_WRONLY | os.O_CREAT, 0o600), content)
    return int(content["status"])


def _line(descriptor: int) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        read = os.read(descriptor, 1)  # a signal may come right behind it
        if not read:
            break
        line += read
    return line


def _obey(descriptor: int) -> None:
    number = os.read(descriptor, 1) or bytes([signal.SIGTERM])
    while number:
        # On Windows os.kill would end the process at once.
        if sys.platform == "win32":
            signal.raise_signal(number[0])
        else:
            os.kill(os.getpid(), number[0])
        number = os.read(descriptor, 1)
