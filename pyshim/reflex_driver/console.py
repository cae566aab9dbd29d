"""The console script `reflex-db`, and `python -m reflex_orm`.

The command runs in the Python that it is installed in, as the script `alembic` does. If
that is not the project's Python, as with pipx or uvx, the process becomes that one.
"""

from __future__ import annotations

import os
import sys

from . import exits, options
from .exits import Outcome

PROGRAM = "reflex-db"


def main() -> int:
    """Run the command in sys.argv and return its exit status."""
    _remove_script_directory()
    argv = sys.argv[1:]
    completing = argv[:1] == ["__complete"]
    word = argv.pop() if completing and len(argv) > 1 else ""
    try:
        python, argv = _before_command(argv[1:] if completing else argv)
    except ValueError as error:
        return exits.finish(Outcome(exits.USAGE, str(error)))
    if argv[:1] == ["completion"]:
        from . import completion

        return completion.print_script(PROGRAM, argv[1:])
    if completing:
        from . import completion

        argv = ["__complete", str(completion.silence()), word, *argv]
    return _in_python(python, argv)


def _remove_script_directory() -> None:
    """Take away what Python put at the start of sys.path for the script or for -m."""
    if getattr(sys.flags, "safe_path", False) or not sys.path:
        return
    script = os.path.realpath(sys.argv[0])
    of_script = (os.path.dirname(script), f"{script}.exe")  # Windows' is an archive
    if sys.path[0] in ("", os.getcwd()) or os.path.realpath(sys.path[0]) in of_script:
        del sys.path[0]


def _before_command(argv: list[str]) -> tuple[str, list[str]]:
    """Obey -C and --python before the command; returns --python's value and the rest."""
    python, rest = "", []
    takes_value = {"-c", "--config", "-n", "--name", "-x"}  # Alembic's own
    while argv and argv[0].startswith("-") and argv[0] != "--":
        word, argv = argv[0], argv[1:]
        name, joined, value = word.partition("=")
        if word.startswith("-C") and word != "-C":
            name, joined, value = "-C", "=", word[2:].removeprefix("=")
        if name in options.DIRECTORY or name in options.PYTHON:
            if not joined:
                if not argv:
                    raise ValueError(f"{name} needs a value")
                value, argv = argv[0], argv[1:]
            if name in options.PYTHON:
                python = value
            else:
                try:
                    os.chdir(value)
                except OSError as error:
                    raise ValueError(f"-C: {exits.reason(error)}") from error
            continue
        rest.append(word)
        if word in takes_value and argv:
            rest.append(argv[0])
            argv = argv[1:]
    return python, rest + argv


def _in_python(named: str, argv: list[str]) -> int:
    from . import project

    problem = project.become(named, PROGRAM, _version(), argv)
    if problem is not None:
        return exits.finish(problem)
    from . import main

    return main(PROGRAM, _version(), "", *argv)


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("reflex-orm")
    except metadata.PackageNotFoundError:
        return "(devel)"
