"""Alembic's command line, with a few options more, and how a run of it ends.

Alembic builds the parser from its own functions, so every command and option of the
installed Alembic is there, known to this project or not. What is added (options.py)
gives way where Alembic has the same.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import logging
import os
import re
import sys
from typing import TYPE_CHECKING, Any, NoReturn

import alembic.config
from alembic.util import CommandError

from . import (
    autogenerate,
    branches,
    configuration,
    declared,
    exits,
    failure,
    internals,
    log,
    options,
    overview,
    secrets,
    suggestions,
    unnamed,
)
from .course import Course, summary
from .exits import Outcome
from .guard import Guard
from .hooks import observing
from .progress import say
from .retries import Retries
from .signals import Signals
from .usage import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Parser(argparse.ArgumentParser):
    """Refuses wrong usage by a UsageError, and prefers Alembic's options to ours."""

    ours: frozenset[str] = frozenset()  # options of this project
    before: Parser | None = None  # whose options stand before the command, which this one is for

    def parse_known_args(self, args: Any = None, namespace: Any = None, **how: Any) -> Any:
        """Refuse what is left over here, where it is known which command has left it."""
        parsed, left = super().parse_known_args(args, namespace, **how)
        if left:
            above = ""
            if self.before is not None and left[0] in self.before._option_string_actions:
                above = self.before.prog
            raise UsageError(
                f"{self.prog}: unrecognized arguments: {' '.join(left)}",
                suggestions.unknown_option(left, self, above),
            )
        return parsed, left

    def error(self, message: str) -> NoReturn:
        """What argparse does with wrong usage, but in a line, and with what may be meant."""
        message = re.sub(r"^argument (-\S+): ", r"\1 ", message)
        message = message.replace("expected one argument", "needs a value")
        raise UsageError(f"{self.prog}: {message}", f"`{self.prog} --help` says more")

    def _get_option_tuples(self, option_string: str) -> list[Any]:
        """What an abbreviation may stand for: one of Alembic's own, if there is one."""
        found = super()._get_option_tuples(option_string)
        theirs = [item for item in found if item[1] not in self.ours]
        return theirs or found


class CommandLine(alembic.config.CommandLine):
    """One command line, parsed by Alembic and run in this process.

    With `words`, its words, only the commands that are among them get our options: to add
    them to all of Alembic's takes as long as Alembic's whole parser.
    """

    parser: Parser

    def __init__(self, program: str, version: str, words: Sequence[str] | None = None) -> None:
        super().__init__(prog=program)
        self.program = program
        self.version = version
        self._signals = Signals()
        self._guard: Guard | None = None
        self._course = Course()
        for parser in (self.parser, *self.subparsers.choices.values()):
            parser.__class__ = Parser
        self.subparsers._parser_class = Parser
        self._add_aliases()
        declared.add_status(self.subparsers, program, options.seconds)
        branches.add_command(self.subparsers, program)
        declared.add_init(self.subparsers.choices["init"])
        self._add_options(words)
        for parser in self.subparsers.choices.values():
            parser.before = self.parser  # type: ignore[attr-defined]
        for action in self.parser._actions:
            if action.dest == "version":
                text = f"alembic {alembic.__version__}, run by {program} {version}"
                action.version = text  # type: ignore[attr-defined]

    def parse(self, argv: Sequence[str]) -> argparse.Namespace | Outcome:
        """The options, or how it ended where there is nothing to run."""
        try:
            parsed = self.parser.parse_args(argv)
            if not hasattr(parsed, "cmd"):
                self.parser.error("a command is missing")
            options.refuse_alone(parsed)
            if "each" not in parsed:
                for name in options.EACH:
                    if name in parsed:
                        option = f"--{name.replace('_', '-')}"
                        raise UsageError(
                            f"{self.program}: {option} goes with --each",
                            "--each FILE runs the command on each database of FILE; "
                            f"for one, leave {option} out; `{self.program} --help` says more",
                        )
        except UsageError as exc:
            return self._refused(exc, argv)
        except SystemExit:  # argparse has printed the help, or the version
            return Outcome()
        log.as_json = getattr(parsed, "log_format", "") == "json"
        return parsed

    def run(
        self, parsed: argparse.Namespace, signals: Signals, watch: Course | None = None
    ) -> Outcome:
        """Run a command, and say how it ended. `watch` is its course, where --each wants it."""
        process = os.getpid()
        quiet = getattr(parsed, "quiet", False)
        if quiet and "changes_database" in parsed:
            parsed.verbose = False  # our own; where the command only reads, it is Alembic's
        course = watch or Course(verbose=getattr(parsed, "verbose", False))
        self._guard, self._course, self._signals = None, course, signals
        raiseerr, parsed.raiseerr = parsed.raiseerr, True  # CommandError comes to us
        run = failure.Run(
            self.program,
            signals,
            whole=getattr(parsed, "traceback", False) or raiseerr,
            changes="changes_database" in parsed and not getattr(parsed, "sql", False),
            named=_named(parsed),
            course=course,
        )
        try:
            toml, ini = self._inis_from_config(parsed)
            config = alembic.config.Config(
                file_=ini,
                toml_file=toml,
                ini_section=parsed.name,
                cmd_opts=parsed,
                stdout=getattr(parsed, "answer", sys.stdout),
            )
            with observing(course):
                self.run_cmd(config, parsed)
        except BaseException as exc:  # each is an outcome
            if os.getpid() != process:  # a child that env.py has forked ends as its own
                if isinstance(exc, SystemExit):
                    raise
                run.course = None  # which is the parent's
                exits.report(failure.describe(exc, run))
                raise SystemExit(exits.FAILED) from None
            course.failed(exc)
            if self._guard is not None:
                run.stays = not self._guard.rolls_back
            outcome = failure.describe(exc, run)
            if isinstance(exc, CommandError) and not raiseerr:
                _log(str(exc))
            elif _tell_python(exc, outcome):
                outcome.traceback = ""
            return outcome
        command = parsed.cmd[0].__name__  # for migrate it is upgrade
        if command in ("upgrade", "downgrade") and not (watch or quiet) and os.getpid() == process:
            line = summary(course, command)
            if line:
                exits.write_error(f"{line}\n")
        return Outcome()

    def run_cmd(self, config: alembic.config.Config, options: argparse.Namespace) -> None:
        """Complete the configuration, put the guard up, and let Alembic run the command."""
        if options.cmd[0].__name__ == "init":
            from . import initialize

            initialize.run(config, options, self.program)
            return
        with configuration.completed(config, options) as sources:
            secrets.learn(*configuration.urls(config))
            if getattr(options, "changes_database", False) and options.verbose:
                say(sources)
            self._guard = Guard(options, self._signals)
            alembic_run = super().run_cmd
            with (
                branches.explained(config, self.program),
                autogenerate.explained(options),
                unnamed.refused(),
                self._guard,
            ):
                retries = Retries(options, self._course, self._guard)
                retries.run(config, lambda config: alembic_run(config, options))
        if options.cmd[0].__name__ == "list_templates" and sys.stderr.isatty():
            # To a person; the answer on stdout is Alembic's.
            print(f"{declared.TEMPLATE} - {declared.TEMPLATE_HELP}", file=sys.stderr)

    def _refused(self, exc: UsageError, argv: Sequence[str]) -> Outcome:
        unknown = re.match(rf"{re.escape(self.parser.prog)}: .*invalid choice: '([^']*)'", str(exc))
        if unknown is None:
            return Outcome(exits.USAGE, str(exc), exc.hint)
        first = argv[0].partition("=")[0] if argv else ""
        known = self.parser._option_string_actions
        if first[:2] == "--" and first not in known and not self.parser._get_option_tuples(first):
            # What was taken for a command is its value.
            hint = f"an option of a command stands after it: `{self.program} COMMAND {first}`"
            return Outcome(exits.USAGE, f"{self.program}: unrecognized option {first}", hint)
        meant = suggestions.nearest(unknown[1], self.subparsers.choices)
        hint = f"`{self.parser.prog} --help` lists the commands"
        if unknown[1].startswith("create"):  # of the tables, in frameworks
            hint = (
                f"`{self.parser.prog} makemigrations` writes a revision, "
                f"`{self.parser.prog} migrate` applies it. {hint}"
            )
        elif meant:
            hint = f"is it `{self.parser.prog} {meant}`? {hint}"
        return Outcome(exits.USAGE, f"{self.parser.prog} has no command {unknown[1]}", hint)

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

    def _add_options(self, words: Sequence[str] | None) -> None:
        add = _adder(self.parser, self.parser.add_argument_group("options of reflex"))
        options.add_before_command(add)
        options.add_traceback(add)
        options.add_env_file(add)
        options.add_log_format(add)
        options.add_each(add)
        known = overview.commands()
        for action in self.subparsers._choices_actions:
            action.help = known.get(action.dest, action.help)
        for name, parser in self.subparsers.choices.items():
            if words is not None and name not in words:
                continue
            add = _adder(parser, parser.add_argument_group("options of reflex"))
            options.add_traceback(add)
            options.add_env_file(add)
            options.add_quiet(add)
            options.add_log_format(add)
            options.add_each(add, hidden=name not in {*options.EACH_COMMANDS, "migrate"})
            if name in ("revision", "makemigrations"):
                autogenerate.add_option(add)
            if name == "history":
                declared.add_history(add)
            if name == "heads":
                branches.add_options(parser, add, self.program)
            if parser.get_default("cmd")[0].__name__ in options.REPORTED:
                options.add_json(add)
            parser.set_defaults(offline=name in options.OFFLINE)
            if name not in options.OFFLINE:
                options.add_connecting(add)
                if name not in options.READING:
                    parser.set_defaults(changes_database=True)
                    options.add_changing(add)


def _named(parsed: argparse.Namespace) -> str:
    """The revision that the command line names, or ""."""
    given = [getattr(parsed, name, None) for name in ("revision", "revisions", "rev")]
    words = [word for g in given if g for word in ([g] if isinstance(g, str) else g)]
    return str(words[0]) if words else ""


def _adder(parser: Any, group: argparse._ArgumentGroup) -> Callable[..., None]:
    """`group.add_argument`, but for options that Alembic's own parser has taken."""

    def add(*names: str, **how: Any) -> None:
        free = [n for n in names if n not in parser._option_string_actions]
        if names[-1] in free:
            group.add_argument(*free, **how)
            parser.ours = parser.ours | set(free)

    return add


def _log(message: str) -> None:
    """Log a CommandError as Alembic does, except on a terminal or pipe that shows ours."""
    logger: logging.Logger | None = logging.getLogger(internals.MESSAGES)
    assert logger is not None
    if not logger.isEnabledFor(logging.ERROR):
        return
    record = logger.makeRecord(logger.name, logging.ERROR, "", 0, message, (), None)
    if not logger.filter(record):
        return
    while logger is not None:
        for handler in logger.handlers:
            stream = getattr(handler, "stream", None)
            if record.levelno >= handler.level and stream not in (sys.stderr, sys.stdout):
                with contextlib.suppress(Exception):  # it has told of it itself, by handleError
                    handler.handle(record)
        logger = logger.parent if logger.propagate else None


def _tell_python(exc: BaseException, outcome: Outcome) -> bool:
    """Do what Python does with an exception that nobody catches, before our own message.

    Sentry and others listen to sys.excepthook. Python's own hook prints the traceback;
    our message takes its place. The result is whether the project's hook was called.
    """
    if isinstance(exc, SystemExit | UsageError) or outcome == Outcome():
        return False
    sys.last_type, sys.last_value, sys.last_traceback = type(exc), exc, exc.__traceback__
    if sys.version_info >= (3, 12):
        sys.last_exc = exc
    if sys.excepthook is sys.__excepthook__:
        return False
    try:
        sys.excepthook(type(exc), exc, exc.__traceback__)
    except Exception as error:  # noqa: BLE001 - as Python does
        sys.__excepthook__(type(error), error, error.__traceback__)
    return True
