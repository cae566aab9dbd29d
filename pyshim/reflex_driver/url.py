"""What is wrong with a URL that a driver was given and could not use.

It is asked once the connection has failed, of what SQLAlchemy handed to the driver: a
project whose env.py makes something else of its URL is left alone.
"""

from __future__ import annotations

from . import internals, unreachable


def advice(exc: BaseException) -> str | None:
    """How to write the URL instead, by the exception that was raised."""
    connecting = internals.connect_parameters(exc)
    if connecting is not None:
        dialect, parameters = connecting
        name = parameters.get("dbname") or parameters.get("database") or ""
        host = parameters.get("host") or ""
        # What comes after the @ of a password may be a host's name: ss/word@host/database.
        if "@" in str(host) or (host and "@" in str(name)):
            return unreachable.SECOND_AT
        if isinstance(name, str) and ("\n" in name or "\r" in name):
            return "the database's name has a line break inside; the URL must be one line"
        return unreachable.of_parameters(dialect.driver, parameters)
    url = internals.url_in_use(exc)
    return None if url is None else unreachable.of_url(url)
