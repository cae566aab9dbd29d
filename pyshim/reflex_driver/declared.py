"""The commands and options of ours, as the parser has them: what they do is imported when it runs.

Most runs are of Alembic's own commands, and need none of it. branches does the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from argparse import ArgumentParser, _SubParsersAction
    from collections.abc import Callable

    from alembic.config import Config

STATUS = "status"

# `init`'s own template.
TEMPLATE = "reflex"
TEMPLATE_HELP = "knows the models and REFLEX_DB_URL; the default"


def add_status(subparsers: _SubParsersAction[Any], program: str, seconds: Any) -> None:
    """Add `status`, unless Alembic has such a command; `seconds` reads a TIME."""
    if STATUS in subparsers.choices:
        return
    parser = subparsers.add_parser(
        STATUS,
        help="Show where the database stands: what is applied, what is pending.",
        description="Show where the database stands: what is applied, what is pending, who "
        "migrates it right now. Changes nothing and takes no lock.",
    )
    parser.add_argument(
        "--check", action="store_true", help="End with 1 unless the database is at head."
    )
    parser.add_argument(
        "--wait",
        type=seconds,
        metavar="TIME",
        help="Wait up to TIME (30s, 5m) for the server, and until the database is at head; "
        "end with 1 if it is not by then.",
    )
    parser.add_argument("--json", action="store_true", help="Print one JSON document.")
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="Show every revision, where there are more than ten.",
    )
    names = ["program", "check", "wait", "json", "verbose", "brief"]
    # With --each, where each database has a line, it is brief.
    parser.set_defaults(program=program, cmd=(status, [], names), brief=False)


def status(config: Config, **options: Any) -> None:
    """The command `status`."""
    from .status import status as run

    run(config, **options)


def add_history(add: Callable[..., None]) -> None:
    """The options of `history`, by a function that adds one unless Alembic has it."""
    values = ["rev_range", "indicate_current"]
    for kind, text in (
        ("graph", "Draw branches and merges with lines; -i marks what is applied."),
        ("dot", "Print the revisions as a graph for Graphviz's dot."),
        ("mermaid", "Print the revisions as a Mermaid flowchart."),
    ):
        command: Any = (_drawn(kind), [], values)
        add(f"--{kind}", action="store_const", dest="cmd", const=command, help=text)
    add(
        "--json",
        action="store_const",
        dest="cmd",
        const=(_history_json, [], values),
        help="Print every revision as one JSON document; needs no database.",
    )


def _drawn(kind: str) -> Callable[..., None]:
    def history_drawn(config: Config, **options: Any) -> None:
        from . import graph

        graph.draw(kind, config, **options)

    return history_drawn


def _history_json(config: Config, **options: Any) -> None:
    from . import history

    history.print_json(config, **options)


def add_init(parser: ArgumentParser) -> None:
    """Give Alembic's `init` a default directory, our template and --models."""
    for action in parser._actions:
        if action.dest == "directory":
            action.nargs, action.default, action.required = "?", "alembic", False
            action.help = "location of scripts directory; default: alembic"
        elif action.dest == "template":
            action.default = TEMPLATE
            action.help = "one of Alembic's own templates instead of reflex's"
    parser.add_argument(
        "--models",
        action="append",
        metavar="MODULE[:NAME]",
        help="where the models are: a declarative base, SQLModel, a registry, a MetaData, "
        "Flask-SQLAlchemy's db, or a list of them; a module alone must hold exactly one. "
        "It may be given again. Default: what the project's files define",
    )
