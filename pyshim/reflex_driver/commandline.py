"""Alembic's command line under the name `reflex db`, with a few options more.

Alembic builds the parser from its own functions, so every command and option
of the installed Alembic is there, known to this project or not. What is added
stands here, and each addition gives way where Alembic has the same option.
"""

from __future__ import annotations

import argparse
import copy
import difflib
import functools
import re
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import alembic.config

from . import configuration, failure, graph, history, initialize, secrets, status
from .guard import Guard
from .usage import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

# Alembic's commands that only read the database, and those that never connect.
# Whatever is in neither, a command of a later Alembic included, changes it.
READING = {"check", "current", "history", "revision", "makemigrations", status.NAME}
OFFLINE = {"branches", "edit", "heads", "init", "list_templates", "merge", "show"}

_UNITS = {"ms": 0.001, "s": 1.0, "": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


def seconds(text: str) -> float:
    """`500ms`, `30s`, `5m`, `1h`, or a number of seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|min|m|h|)", text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time such as 500ms, 30s or 5m")
    return float(match[1]) * _UNITS[match[2]]


class CommandLine(alembic.config.CommandLine):
    """One command line, parsed by Alembic and run in this process."""

    def __init__(self, request: dict[str, Any]) -> None:
        super().__init__(prog=request["program"])
        self._request = request
        self.argv: list[str] = request["argv"]
        self._guard: Guard | None = None
        self.error: BaseException | None = None  # that the run has raised
        self._add_aliases()
        status.add_command(self.subparsers, self.parser.prog, seconds)
        initialize.add_options(self.subparsers.choices["init"])
        self._add_options()
        self._say_whose_version(request["version"])
        for parser in (self.parser, *self.subparsers.choices.values()):
            parser.error = functools.partial(self._refuse, parser)  # type: ignore[method-assign]

    def parse(self) -> argparse.Namespace | failure.Outcome:
        """The options, or how it ended where there is nothing to run."""
        try:
            options = self.parser.parse_args(self.argv)
            if not hasattr(options, "cmd"):
                self.parser.error("a command is missing")
        except UsageError as exc:
            return failure.describe(exc)
        except SystemExit:  # argparse has printed the help, or the version
            return failure.Outcome("ok")
        return options

    def run(self) -> failure.Outcome:
        """Parse, run, and say how it ended."""
        self._guard, self.error = None, None
        options = self.parse()
        if isinstance(options, failure.Outcome):
            return options
        whole = options.traceback or options.raiseerr
        changes = getattr(options, "changes_database", False) and not getattr(options, "sql", False)
        options.raiseerr = True  # CommandError comes to us instead of ending the process
        try:
            toml, ini = self._inis_from_config(options)
            config = alembic.config.Config(
                file_=ini, toml_file=toml, ini_section=options.name, cmd_opts=options
            )
            self.run_cmd(config, options)
        except BaseException as exc:  # noqa: BLE001 - each is an outcome
            self.error = exc
            stays = self._guard is not None and not self._guard.rolls_back
            return failure.describe(exc, whole=whole, changes=changes, stays=stays)
        return failure.Outcome("ok")

    def release(self) -> None:
        """Give the lock back, which a run else holds until the process ends."""
        if self._guard is not None:
            self._guard.release()

    def run_cmd(self, config: alembic.config.Config, options: argparse.Namespace) -> None:
        """Complete the configuration, put the guard up, and let Alembic run the command."""
        if options.cmd[0].__name__ == "init":
            initialize.run(config, options, self._request)
            return
        with configuration.completed(config, options, self._request["ini"]) as sources:
            secrets.learn(*configuration.urls(config))
            if getattr(options, "changes_database", False) and options.verbose:
                print(sources, file=sys.stderr)
            self._guard = Guard(options)
            with self._guard:
                super().run_cmd(config, options)

    def _refuse(self, parser: argparse.ArgumentParser, message: str) -> NoReturn:
        """What argparse does with wrong usage, but in a line, and with what may be meant."""
        unknown = re.search(r"invalid choice: '([^']*)'", message)
        if parser is not self.parser or unknown is None:
            raise UsageError(f"{parser.prog}: {message}", f"`{parser.prog} --help` says more")
        meant = difflib.get_close_matches(unknown[1], self.subparsers.choices, 1)
        hint = f"`{parser.prog} --help` lists the commands"
        if meant:
            hint = f"is it `{parser.prog} {meant[0]}`? {hint}"
        raise UsageError(f"{parser.prog} has no command {unknown[1]}", hint)

    def _say_whose_version(self, ours: str) -> None:
        for action in self.parser._actions:
            if action.dest == "version":
                action.version = (  # type: ignore[attr-defined]
                    f"alembic {alembic.__version__}, run by {self.parser.prog} {ours}"
                )

    def _add_aliases(self) -> None:
        """The verbs that users of Reflex know."""
        commands = self.subparsers.choices
        if "makemigrations" not in commands:
            make = self.subparsers.add_parser(
                "makemigrations",
                # A copy, because parsers share what they take from a parent.
                parents=[copy.deepcopy(commands["revision"])],
                conflict_handler="resolve",
                help="Write a revision from what changed in the models: revision --autogenerate.",
            )
            make.set_defaults(autogenerate=True)
        if "migrate" not in commands:
            migrate = self.subparsers.add_parser(
                "migrate", help="Apply every revision: upgrade head."
            )
            migrate.set_defaults(
                cmd=commands["upgrade"].get_default("cmd"), revision="head", sql=False
            )

    def _add_options(self) -> None:
        self.parser.add_argument(
            "--traceback", action="store_true", help="Show the whole traceback of an error."
        )
        for name, parser in self.subparsers.choices.items():
            group = parser.add_argument_group("options of reflex")
            add = _adder(parser, group)
            add(
                "--traceback",
                action="store_true",
                default=argparse.SUPPRESS,
                help="Show the whole traceback of an error.",
            )
            if name == "history":
                graph.add_options(add)
                history.add_options(add)
            if name in OFFLINE:
                continue
            add(
                "--wait",
                type=seconds,
                metavar="TIME",
                help="Wait up to TIME (30s, 5m) for a server that is still starting.",
            )
            if name in READING:
                continue
            parser.set_defaults(changes_database=True)
            add(
                "--lock-timeout",
                type=seconds,
                default=300.0,
                metavar="TIME",
                help="How long to wait for another migration to end; 0: not at all. Default 5m.",
            )
            add("--no-lock", action="store_true", help="Do not keep other migrations out.")
            add(
                "--ddl-lock-timeout",
                type=seconds,
                metavar="TIME",
                help="PostgreSQL's lock_timeout for the migrations' own connection.",
            )
            add(
                "--statement-timeout",
                type=seconds,
                metavar="TIME",
                help="PostgreSQL's statement_timeout for the migrations' own connection.",
            )
            add(
                "-v",
                "--verbose",
                action="store_true",
                help="Say which configuration is read, whose URL counts, and what the lock does.",
            )


def _adder(parser: argparse.ArgumentParser, group: argparse._ArgumentGroup) -> Callable[..., None]:
    """`group.add_argument`, but for options that Alembic's own parser has taken."""

    def add(*names: str, **options: Any) -> None:
        free = [n for n in names if n not in parser._option_string_actions]
        if names[-1] in free:
            group.add_argument(*free, **options)

    return add
