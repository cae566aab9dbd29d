"""Prints docs/reference/command.md: what the help of every command says, as tables.

The parser itself is asked, for its help looks another way in each Python.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "pyshim"))

import alembic
from reflex_driver import overview
from reflex_driver.commandline import CommandLine

HEAD = f"""\
# All commands and options

What `reflex db --help` and `reflex db COMMAND --help` say, with Alembic {alembic.__version__}. \
With another Alembic, its own commands and options are there. `make reference` writes this page.

`reflex db [OPTIONS] COMMAND [OPTIONS]`; with the Python package it is `reflex-db`.
"""


def main() -> None:
    """Print the page."""
    sys.stdout.write(page())


def page() -> str:
    """The whole page."""
    command = CommandLine("reflex db", "")
    known = overview.commands()
    parts = [HEAD, "## Before the command\n", *_options(command.parser)]
    for name, parser in command.subparsers.choices.items():
        arguments = " ".join(_argument(a) for a in parser._actions if not a.option_strings)
        parts.append(f"## `{name}`\n")
        what = known.get(name, parser.description or "").strip().rstrip(".")
        parts.append(f"`reflex db {name} {arguments}`".replace(" `", "`") + f": {what}.\n")
        parts += _options(parser)
    return "\n".join(parts)


def _options(parser: argparse.ArgumentParser) -> list[str]:
    formatter = parser._get_formatter()
    rows = []
    for action in parser._actions:
        if action.help == argparse.SUPPRESS or isinstance(
            action, argparse._HelpAction | argparse._SubParsersAction | argparse._VersionAction
        ):
            continue
        value = "" if action.nargs == 0 else f" {_value(action)}"
        name = ", ".join(action.option_strings) + value if action.option_strings else _value(action)
        text = formatter._expand_help(action) if action.help else ""
        rows.append(f"| `{name}` | {_cell(text)} |")
    return ["| option | |\n| --- | --- |", *rows, ""] if rows else []


def _argument(action: argparse.Action) -> str:
    value = _value(action)
    return {"?": f"[{value}]", "+": f"{value}...", "*": f"[{value}...]"}.get(
        str(action.nargs), value
    )


def _value(action: argparse.Action) -> str:
    if isinstance(action.metavar, str):
        return action.metavar
    return action.dest.upper()


def _cell(text: str) -> str:
    text = " ".join(text.split())
    for sign in "\\`*_{}[]<>|":
        text = text.replace(sign, f"\\{sign}")
    return text


if __name__ == "__main__":
    main()
