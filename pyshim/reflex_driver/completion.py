"""What may come next on the command line, for the shell's completion.

Asked of the parser of the project's Alembic, and of its script directory; no database
is. Whatever goes wrong, the answer is what is known without it.

The answer has the form of cobra's protocol, because the Go program's completion scripts
are cobra's: a line for each candidate, a tab before its description, and at last a colon
with the sum of these numbers.
"""

from __future__ import annotations

import _thread
import argparse
import contextlib
import gc
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from . import data, exits, kept, overview

if TYPE_CHECKING:
    from alembic.config import Config
    from alembic.script import Script, ScriptDirectory

    from .commandline import CommandLine

# The script for each gives the words of the line to the command, and shows what that
# answers. A candidate is data: no shell evaluates it.
_SHELLS = ("bash", "zsh", "fish")

_NO_FILES, _DIRECTORIES, _KEEP_ORDER = 4, 16, 32

_LIMIT = 5.0  # seconds, for a project that does not end being imported

Candidate = tuple[str, str]
"""A word, and what is to be said of it."""

_MANY = 100  # revisions that are offered to who has typed nothing of one

# The revision that an argument of this name takes; so does that of a range's ends.
_REVISIONS = {"rev", "revision", "revisions", "head", "depends_on", "rev_range", "onto"}
_NO_VALUE = {0, "?"}


@dataclass
class Answer:
    """`files` is what of the file system fits as well: "", "files" or "directories"."""

    candidates: list[Candidate] = field(default_factory=list)
    files: str = ""

    def of(self, word: str) -> Answer:
        """Those that begin with `word`, each once."""
        unique = {name: text for name, text in reversed(self.candidates) if name.startswith(word)}
        return Answer(list(reversed(unique.items())), self.files)


def complete(program: str, descriptor: str, word: str, *argv: str) -> int:
    """Write the candidates for `word`, which comes after `argv`, to a descriptor.

    Nothing is raised, and nothing is printed elsewhere; the result is the exit status.
    """
    known = Answer()
    if not any(not before.startswith("-") for before in argv):
        known = Answer(list(overview.commands().items())).of(word)
    _thread.start_new_thread(_end_at_the_limit, (known, descriptor))
    gc.disable()
    answer = None
    with contextlib.suppress(BaseException):  # a revision's sys.exit() too
        from .commandline import CommandLine

        kept.end()
        gc.freeze()
        answer = _Completer(CommandLine(program, ""), argv, word).answer()
    _write(known if answer is None else answer, descriptor)  # None: no Alembic can be asked
    return exits.OK


def _write(answer: Answer, descriptor: str) -> None:
    lines = [f"{name}\t{text}\n" for name, text in answer.candidates]
    lines.append(f":{_directive(answer)}\n")
    with open(int(descriptor), "w", encoding="utf-8", errors="surrogateescape") as file:
        file.writelines(lines)


def _directive(answer: Answer) -> int:
    return {"directories": _DIRECTORIES, "files": 0}.get(answer.files, _NO_FILES + _KEEP_ORDER)


def _end_at_the_limit(known: Answer, descriptor: str) -> None:
    time.sleep(_LIMIT)
    _write(known, descriptor)
    os._exit(exits.OK)


def silence() -> int:
    """Lead stdout and stderr to nowhere, and return a descriptor of what stdout was.

    sitecustomize.py prints, and so do libraries in C.
    """
    answer = os.dup(1)
    os.set_inheritable(answer, True)
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(null, descriptor)
    return answer


def print_script(program: str, shells: Sequence[str]) -> int:
    """Print the script for the shell that is named; the result is the exit status."""
    if len(shells) != 1 or shells[0] not in _SHELLS:
        message = f"{program} completion: name one of {', '.join(_SHELLS)}"
        return exits.finish(exits.Outcome(exits.USAGE, message))
    script = data.text(f"shells/{shells[0]}")
    sys.stdout.write(script.replace("PROGRAM", program).replace("NAME", program.replace("-", "_")))
    return exits.finish(exits.Outcome())


class _Completer:
    def __init__(self, commandline: CommandLine, argv: Sequence[str], word: str) -> None:
        self._commandline = commandline
        self._word = word
        self._parser: argparse.ArgumentParser = commandline.parser
        self._command = ""
        self._unknown = False  # a command that Alembic does not have
        self._before: list[str] = []  # of the options before the command
        self._taken = 0  # positional arguments
        self._open: argparse.Action | None = None  # the option whose value comes next
        self._only_arguments = False  # after --
        for before in argv:
            self._read(before)

    def answer(self) -> Answer:
        """What may stand in the place of the last word."""
        word = self._word
        if word.startswith("--") and "=" in word and not self._only_arguments:
            name, _, value = word.partition("=")
            action = self._parser._option_string_actions.get(name)
            # cobra's scripts put the option in front again.
            return Answer() if action is None else self._value(action, value).of(value)
        return self._any().of(word)

    def _any(self) -> Answer:
        word = self._word
        if self._unknown:
            return Answer()
        if self._open is not None:
            return self._value(self._open, word)
        if not self._command:
            if word.startswith("-"):
                return Answer(self._options())
            return Answer(self._commands())
        if word.startswith("--") and not self._only_arguments:
            return Answer(self._options())  # no revision begins so, and all would be loaded
        answer = self._argument(word)
        if word.startswith("-") and not self._only_arguments:
            answer = Answer(answer.candidates + self._options())
        return answer

    def _read(self, word: str) -> None:
        """Take in a word that is complete."""
        if not self._command:
            self._before.append(word)
        if self._open is not None:
            self._open = None
        elif word == "--":
            self._only_arguments = True
        elif word.startswith("-") and word != "-" and not self._only_arguments:
            name, joined, _ = word.partition("=")
            action = self._parser._option_string_actions.get(name)
            if action is not None and action.nargs not in _NO_VALUE and not joined:
                self._open = action
            elif action is None and word[1:].isdigit():  # downgrade -1
                self._taken += 1
        elif self._command:
            self._taken += 1
        elif word in self._commandline.subparsers.choices:
            self._before.pop()
            self._command = word
            self._parser = self._commandline.subparsers.choices[word]
        else:
            self._unknown = True

    def _commands(self) -> list[Candidate]:
        actions = self._commandline.subparsers._choices_actions
        texts = {action.dest: _first_line(action.help or "") for action in actions}
        names = self._commandline.subparsers.choices
        found = [(name, texts.get(name, "")) for name in names]
        return found + [item for item in overview.commands().items() if item[0] not in names]

    def _options(self) -> list[Candidate]:
        found = []
        formatter = self._parser._get_formatter()
        for action in self._parser._actions:
            if action.help == argparse.SUPPRESS:
                continue
            text = _first_line(formatter._expand_help(action)) if action.help else ""
            # The short names to who has typed one dash only.
            names = action.option_strings
            if self._word.startswith("--"):
                names = [name for name in names if name.startswith("--")]
            found += [(name, text) for name in names]
        return found

    def _argument(self, word: str) -> Answer:
        places = [a for a in self._parser._actions if not a.option_strings]
        if self._taken < len(places):
            return self._value(places[self._taken], word)
        if places and places[-1].nargs in ("+", "*"):
            return self._value(places[-1], word)
        return Answer(self._options())

    def _value(self, action: argparse.Action, word: str) -> Answer:
        """What `action` takes, whose beginning is `word`."""
        if action.choices is not None:
            return Answer([(str(choice), "") for choice in action.choices])
        if action.dest in _REVISIONS:
            return Answer(self._revisions(word))
        if action.dest == "template":
            return Answer(self._templates())
        if action.dest == "name" and not self._command:
            return Answer(self._sections())
        if action.dest in ("config", "env_file", "python", "each", "failed", "report"):
            return Answer(files="files")
        if action.dest in ("directory", "version_path"):
            return Answer(files="directories")
        return Answer()

    def _config(self) -> tuple[Config, argparse.Namespace]:
        """Alembic's configuration, by the options that stand before the command."""
        import alembic.config

        # Some command, without which the parser takes nothing.
        options = self._commandline.parser.parse_args([*self._options_before(), "heads"])
        toml, ini = self._commandline._inis_from_config(options)
        config = alembic.config.Config(
            file_=ini, toml_file=toml, ini_section=options.name, cmd_opts=options
        )
        return config, options

    def _options_before(self) -> list[str]:
        # Without an option whose value is being completed.
        return self._before[:-1] if self._open is not None and not self._command else self._before

    def _script(self) -> ScriptDirectory:
        from . import configuration, history

        config, options = self._config()
        with configuration.completed(config, options):
            return history.load(config)

    def _revisions(self, word: str) -> list[Candidate]:
        """Revisions by their names, the newest first, and what stands for some of them."""
        # A range, where each end is a revision.
        start, colon, word = word.rpartition(":")
        symbols = _symbols(self._command)
        if colon or self._command == "history":
            symbols = [("head", "the last revision"), ("base", "before the first revision")]
            symbols.append(("current", "where the database is"))
        try:
            script = self._script()
            revisions = list(script.walk_revisions())
        except BaseException:  # noqa: BLE001 - a broken project; the symbols are known without it
            revisions = []
        matching = [r for r in revisions if r.revision.startswith(word)]
        if not word:
            matching = matching[:_MANY]
        found = symbols + [(r.revision, _described(r)) for r in matching]
        for label in sorted({label for r in revisions for label in r.branch_labels}):
            found.append((f"{label}@head", f"the last revision of the branch {label}"))
            if self._command == "downgrade":
                found.append((f"{label}@base", f"before the first revision of the branch {label}"))
        return [(f"{start}{colon}{name}", text) for name, text in found]

    def _templates(self) -> list[Candidate]:
        from .declared import TEMPLATE, TEMPLATE_HELP

        config, _ = self._config()
        directory = config.get_template_directory()
        found: list[Candidate] = [(TEMPLATE, TEMPLATE_HELP)]
        for name in sorted(os.listdir(directory)):
            with contextlib.suppress(OSError):  # no directory of a template
                readme = os.path.join(directory, name, "README")
                with open(readme, encoding="utf-8") as file:
                    found.append((name, _first_line(file.readline())))
        return found

    def _sections(self) -> list[Candidate]:
        config, _ = self._config()
        ini = config.file_config
        sections = [s for s in ini.sections() if ini.has_option(s, "script_location")]
        return [(section, "") for section in sections]


def _symbols(command: str) -> list[Candidate]:
    head = ("head", "the last revision")
    heads = ("heads", "the last revision of each branch")
    base = ("base", "before the first revision")
    return {
        "upgrade": [head, heads, ("+1", "one revision more")],
        "downgrade": [("-1", "one revision less"), base],
        "show": [head, heads, base, ("current", "where the database is")],
        "edit": [head, ("current", "where the database is")],
        "stamp": [head, heads, base],
        "merge": [heads],
        "revision": [head, base],
        "makemigrations": [head, base],
    }.get(command, [head, heads, base])


def _described(revision: Script) -> str:
    from .history import message

    labels = f" ({', '.join(sorted(revision.branch_labels))})" if revision.branch_labels else ""
    head = " (head)" if revision.is_head else ""
    return f"{message(revision)}{labels}{head}".strip()


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
