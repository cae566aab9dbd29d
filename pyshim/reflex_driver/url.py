"""What is wrong with a URL that a driver was given and could not use.

It is asked once the connection has failed, of what SQLAlchemy handed to the
driver: a project whose env.py makes something else of its URL is left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import unreachable

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType


def advice(frames: Iterable[FrameType]) -> str | None:
    """How to write the URL instead, by the frames of the exception that was raised."""
    for frame in frames:
        where = (frame.f_globals.get("__name__"), frame.f_code.co_name)
        if where == ("sqlalchemy.engine.default", "connect"):
            parameters = frame.f_locals["cparams"]
            name = parameters.get("dbname") or parameters.get("database") or ""
            if isinstance(name, str) and ("\n" in name or "\r" in name):
                return "the database's name has a line break inside; the URL must be one line"
            return unreachable.of_parameters(frame.f_locals["self"].driver, parameters)
        if where[1] == "create_connect_args" and "url" in frame.f_locals:
            return unreachable.of_url(frame.f_locals["url"])
    return None
