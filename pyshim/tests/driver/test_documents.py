"""Each command that a page prints is one that the command accepts."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import alembic
import pytest

from reflex_driver import overview
from reflex_driver.commandline import CommandLine, Parser
from reflex_driver.exits import Outcome

ROOT = Path(__file__).parents[3]
PAGES = [*ROOT.glob("docs/*.md"), ROOT / "README.md", *ROOT.glob("examples/*/README.md")]

pytestmark = pytest.mark.skipif(not (ROOT / "docs").exists(), reason="the pages are in a checkout")

OTHER = {"version", "completion", "help", "--help", "COMMAND", "lock%"}  # not for the parser
PRINTED = re.compile(r"(?:\breflex db|\breflex-db) ([^`\n#|>&)]*)")


def commands(page: str) -> list[str]:
    """What stands after `reflex db`, in blocks of shell and between backquotes."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    text = re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    lines += re.findall(r"`([^`\n]+)`", text)
    return [match for line in lines for match in PRINTED.findall(line)]


def test_commands_of_the_pages() -> None:
    """Each is parsed, but for what stands for something else."""
    refused, seen = [], 0
    for page in PAGES:
        for command in commands(page.read_text(encoding="utf-8")):
            words = shlex.split(command)
            if not words or words[0] in OTHER:
                continue
            seen += 1
            parsed = CommandLine("reflex db", "").parse(words)
            if isinstance(parsed, Outcome) and not parsed.succeeded:
                refused.append(f"{page.name}: {command}: {parsed.message}")
    assert not refused
    assert seen > 40


def test_reference_is_current() -> None:
    """The reference has our commands and options, and those of the Alembic that it names."""
    page = (ROOT / "docs" / "reference" / "command.md").read_text(encoding="utf-8")
    command = CommandLine("reflex db", "")
    for name in overview.commands():
        if name != "version":
            assert f"\n## `{name}`\n" in page
    current = f"Alembic {alembic.__version__}." in page
    for name, parser in command.subparsers.choices.items():
        section = page.partition(f"\n## `{name}`\n")[2].partition("\n## ")[0]
        assert isinstance(parser, Parser)
        for action in parser._actions:
            hidden = action.help is not None and "==SUPPRESS==" in action.help
            ours = set(action.option_strings) & parser.ours
            if action.dest != "help" and not hidden and (ours or current):
                for option in action.option_strings:
                    assert option in section, f"`make reference`: {name} has no {option}"
