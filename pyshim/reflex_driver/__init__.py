"""The command `reflex db`: it runs Alembic, and says how that ended.

There are three ways to start it, and all call `main`:

    the Go program reflex    embeds the environment's CPython
    the same program         becomes that Python, where it uses no libpython
    reflex-db                the console script of the Python package (console.py)

The way through it:

    bytecode        keeps compiled modules where Python keeps none (libraries)
    kept, bundle    keep in one file what the import of Alembic finds and compiles
    run             the arguments in, an exit status out
    script          sys.argv, __main__ and PATH, as under the script `alembic`
    envfile         variables from a file that --env-file or REFLEX_ENV_FILE names
    signals         what ends a run from outside
    commandline     Alembic's own command line, with a few options more (options)
    configuration   Alembic's Config, completed with the database's URL (pyproject)
    initialize      `reflex db init`, with models (what env.py imports) and discovery
    history, graph  the revisions as data and as a picture
    status          `reflex db status`, with database_status (what is asked) and screen
    declared        what the parser knows of these, which are imported when they run
    guard           around a run: the lock, timeouts, interrupts (hooks says where it listens)
    course          what the run does to its databases, and the line that sums it up
    alembic_log     what Alembic logs: hidden, or as JSON
    each            `--each`: the same for many databases, each in a process of its own
    completion      what may come next on the command line, for the shell
    branches        revision files on git's branches: `rebase`, `heads --check`
    blockers        who is in the way of a statement that waits for a lock
    retries         `--lock-retries`: what did not get its lock is begun again
    polite          `--polite`: nobody waits behind a statement for longer
    framework       what a Reflex app's rxconfig.py says
    report          what became of a run, as data: `--json`, and a line of --each's report
    failure         what an exception means to the person at the terminal, with url and
                    refusal (connecting), versions (the files) and installing (packages)
    stopped         where a failed run has stopped: the revision, the line, the database
    exits           the exit statuses, and the end of a run
    log, printing   our own lines as JSON; print, which no character can stop
    width           how many columns a text takes
    terminal        whether a stream is a terminal
    secrets         the run's own passwords, kept out of our messages and off stderr
    internals       the names of other people's internals

Alembic does all of the migrating. Nothing here knows what a migration is.
"""

from __future__ import annotations

import sys


def main(program: str, version: str, libpython: str, *argv: str) -> int:
    """Run one command line and return its exit status.

    `program` is what a person types for it, such as "reflex db". `version` is that of
    this command. `libpython` is what `version` says of the library, or "" if a script of
    Python's has started. `argv` is what follows the program's name.
    """
    return call("run", "run", program, version, libpython, argv)


def call(module: str, function: str, *arguments: object) -> int:
    """Call a function of this package with quick imports, until Alembic is imported."""
    import gc

    gc.disable()  # what is imported stays (run.load)
    try:
        try:
            from . import bytecode

            bytecode.keep()  # before anything else is imported
            from . import kept

            kept.begin()
            __import__(f"{__name__}.{module}")
        except Exception as error:  # noqa: BLE001 - a module of Python's own that is not Python's
            return _no_python(error)
        status: int = getattr(sys.modules[f"{__name__}.{module}"], function)(*arguments)
        return status
    finally:
        gc.enable()


if sys.version_info >= (3, 11):
    # Python keeps its frames in chunks of 16 KB, and lets go of one as soon as it is empty.
    # A loop at the end of a chunk maps and unmaps one in each turn (python/cpython#142183;
    # an import of Alembic does so five hundred times). Below a frame that asks for 512 KB,
    # which nothing touches, there is a chunk that has room for all others.
    call.__code__ = call.__code__.replace(co_stacksize=1 << 16)


def _no_python(error: Exception) -> int:
    """Say that this Python can't run the command, with nothing that may be broken."""
    import os

    text = f"Error: {sys.executable} can't run this command: {type(error).__name__}: {error}\n"
    if os.environ.get("PYTHONPATH"):
        text += (
            "Next: look for a file on PYTHONPATH that has the name of one of Python's own modules\n"
        )
    os.write(2, text.encode("utf-8", "backslashreplace"))
    return 3
