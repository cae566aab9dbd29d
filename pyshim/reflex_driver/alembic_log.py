"""What Alembic logs, as far as env.py has it shown on stderr or stdout.

A handler that writes anywhere else is the project's record, and stays as it is.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from typing import TYPE_CHECKING

from . import log

if TYPE_CHECKING:
    from collections.abc import Iterator


def hide() -> None:
    """Show no more of it than warnings."""
    for handler in _shown():
        handler.addFilter(_not_of_alembic)


@contextlib.contextmanager
def hidden() -> Iterator[None]:
    """Hide it for the length of the block."""
    handlers = list(_shown())

    def drop(record: logging.LogRecord) -> bool:  # a filter of its own: `hide` may be on, too
        return _not_of_alembic(record)

    for handler in handlers:
        handler.addFilter(drop)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(drop)


def format_as_json() -> None:
    """Show it as JSON, and whatever else these handlers show."""
    for handler in _shown():
        handler.setFormatter(_JSON())


class _JSON(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = self.formatException(record.exc_info) if record.exc_info else ""
        level = record.levelname.lower()
        return log.entry(level, record.getMessage(), logger=record.name, traceback=text)


def _not_of_alembic(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING or not record.name.startswith("alembic.")


def _shown() -> Iterator[logging.Handler]:
    """The handlers of Alembic's loggers, as they are now, that write where a person looks."""
    names = [name for name in logging.root.manager.loggerDict if name.startswith("alembic")]
    handlers = {h: None for n in ["", *names] for h in logging.getLogger(n).handlers}
    if logging.lastResort is not None:  # for warnings, where nothing is set up
        handlers[logging.lastResort] = None
    streams = (sys.stderr, sys.__stderr__, sys.stdout, sys.__stdout__)
    for handler in handlers:
        stream = getattr(handler, "stream", None)
        if stream is not None and stream in streams:
            yield handler
