"""How many columns of a terminal a text takes, and how it is made to fit."""

from __future__ import annotations

import os
from typing import TextIO

DEFAULT = 80  # columns, where a terminal does not tell


def of(stream: TextIO | None) -> int | None:
    """The columns of the terminal that `stream` is; None if it is none."""
    try:
        if stream is None or not stream.isatty():
            return None
        asked = os.environ.get("COLUMNS", "")
        columns = int(asked) if asked.isdecimal() else os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):  # it is closed, or has no descriptor
        return None
    return columns or DEFAULT


def columns(text: str) -> int:
    """The columns that `text` takes. A character of Chinese, Japanese and Korean takes two."""
    return sum(map(_columns, text))


def _columns(character: str) -> int:
    import unicodedata

    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1


def pad(text: str, width: int) -> str:
    """`text` with spaces after it, up to `width` columns."""
    return text + " " * (width - columns(text))


def cut(text: str, width: int, *, mark: str = "...") -> str:
    """The beginning of `text`, in `width` columns."""
    if columns(text) <= width:
        return text
    while text and columns(text) + len(mark) > width:
        text = text[:-1]
    return text + mark


def cut_start(text: str, width: int) -> str:
    """The end of `text`, in `width` columns."""
    return text if columns(text) <= width else cut(text[::-1], width)[::-1]


def fold(text: str, width: int, start: str = "") -> str:
    """`text` in lines of `width` columns, broken between words, to stand after `start`."""
    import textwrap

    return textwrap.fill(
        text,
        max(width, 20),
        initial_indent=" " * len(start),
        subsequent_indent=" " * len(start),
        break_long_words=False,
        break_on_hyphens=False,
    )[len(start) :]
