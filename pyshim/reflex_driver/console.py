"""The scripts `reflex-db` and `reflex-orm`, `python -m reflex_orm`, the framework's `reflex db`.

The command runs in the Python that it is installed in, as the script `alembic` does. If
that is not the project's Python, as with pipx or uvx, the process becomes that one.
`reflex-orm` is there for `uvx reflex-orm`, which runs the script of the package's name.
"""

from __future__ import annotations

import os
import sys

PROGRAM = "reflex-db"


def main() -> int:
    """Run the command in sys.argv and return its exit status."""
    return run(_program(), sys.argv[1:])


def run(program: str, argv: list[str]) -> int:
    """Run a command line and return its exit status; `program` is what a person types for it."""
    _remove_script_directory()
    from . import call

    return call("console", "run_here", program, argv)


def run_here(program: str, argv: list[str]) -> int:
    """The same, once it is known what is imported from where."""
    completing = argv[:1] == ["__complete"]
    word = argv.pop() if completing and len(argv) > 1 else ""
    python = ""
    try:
        python, argv = _before_command(argv[1:] if completing else argv)
    except ValueError as error:
        if not completing:
            from . import exits

            return exits.finish(exits.Outcome(exits.USAGE, str(error)))
        argv = argv[1:]  # what is completed is the value, or a directory that is not there
    if argv[:1] == ["completion"]:
        from . import completion

        return completion.print_script(program, argv[1:])
    if completing:
        from . import completion

        argv = ["__complete", str(completion.silence()), word, *argv]
    return _in_python(program, python, argv)


def _program() -> str:
    """The name that the messages give the command: the one that works where they are read."""
    script = os.path.basename(sys.argv[0]).removesuffix(".exe")
    return script if script == "reflex-orm" else PROGRAM


def _remove_script_directory() -> None:
    """Take away what Python put at the start of sys.path for the script or for -m."""
    if getattr(sys.flags, "safe_path", False) or not sys.path:
        return
    script = os.path.realpath(sys.argv[0])
    of_script = (os.path.dirname(script), f"{script}.exe")  # Windows' is an archive
    try:
        here = os.getcwd()
    except OSError:  # it has been removed
        here = ""
    if sys.path[0] in ("", here) or os.path.realpath(sys.path[0]) in of_script:
        del sys.path[0]


def _before_command(argv: list[str]) -> tuple[str, list[str]]:
    """Obey -C and --python before the command; returns --python's value and the rest."""
    from . import exits, options

    python, directory, rest, at = "", "", [], 0
    takes_value = options.with_value()
    while at < len(argv) and argv[at].startswith("-") and argv[at] != "--":
        word, at = argv[at], at + 1
        name, joined, value = word.partition("=")
        if word.startswith("-C") and word != "-C":
            name, joined, value = "-C", "=", word[2:].removeprefix("=")
        if name in options.DIRECTORY or name in options.PYTHON:
            if not joined:
                if at == len(argv):
                    raise ValueError(f"{name} needs a value")
                value, at = argv[at], at + 1
            if name in options.PYTHON:
                python = value
            else:
                directory = value
            continue
        rest.append(word)
        if word in takes_value:
            rest += argv[at : at + 1]
            at += 1
    try:
        if directory:
            os.chdir(directory)
    except OSError as error:
        raise ValueError(f"-C: {exits.reason(error)}") from error
    return python, rest + argv[at:]


def _in_python(program: str, named: str, argv: list[str]) -> int:
    from . import project

    problem = project.become(named, program, _version(), argv)
    if problem is not None and argv[:1] != ["__complete"]:  # which answers without a Python too
        from . import exits

        return exits.finish(problem)
    from . import main

    return main(program, _version(), "", *argv)


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("reflex-orm")
    except metadata.PackageNotFoundError:
        return "(devel)"
