"""What may have been meant by a word that nothing knows."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def nearest(word: str, known: Iterable[str]) -> str:
    """The word of `known` that looks most like `word`, or ""."""
    import difflib

    return next(iter(difflib.get_close_matches(word, list(known), 1, 0.7)), "")


def options(parser: argparse.ArgumentParser) -> list[str]:
    """The options that the help of a parser shows."""
    return [
        name
        for action in parser._actions
        if action.help != argparse.SUPPRESS
        for name in action.option_strings
    ]


def unknown_option(words: Sequence[str], parser: argparse.ArgumentParser, above: str) -> str:
    """The next step where a command's parser leaves `words` over.

    `above` is the program's name if an option stands before the command, else "".
    """
    first = next((word for word in words if word.startswith("-")), "").partition("=")[0]
    meant = nearest(first, options(parser))
    listed = f"`{parser.prog} --help` lists the options"
    if above:
        return f"{first} stands before the command: `{above} {first} ...`; {listed}"
    return f"is it {meant}? {listed}" if meant else listed
