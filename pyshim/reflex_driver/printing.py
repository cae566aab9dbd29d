"""Printing our own words, which no character can stop."""

from __future__ import annotations

import sys
from typing import Any


def put(text: str = "", end: str = "\n", file: Any = None, *, flush: bool = False) -> None:
    """`print`, to stdout or to `file`. A character that its encoding lacks is escaped.

    Windows' code pages lack most characters. Python itself escapes so on stderr only.
    """
    try:
        print(text, end=end, file=file, flush=flush)
    except UnicodeEncodeError:  # nothing of it is written
        encoding = (file or sys.stdout).encoding
        text = text.encode(encoding, "backslashreplace").decode(encoding)
        print(text, end=end, file=file, flush=flush)
