"""Ways to write a URL that can't work.

SQLAlchemy can't read it, or hands the driver a host that is none. reflex_orm uses it
too. session/url.go and session/unreachable.go say the same of a Go service's URL;
tests/urls holds them together. What is said holds no part of the URL, because that may
be a part of the password.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

_ENCODED = (
    "a percent-encoded directory is not decoded in a host's place: "
    "write ...@/database?host=/directory"
)
_ENCODED_PG8000 = (
    "a percent-encoded directory is not decoded in a host's place: "
    "write ...@/database?unix_sock=/directory/.s.PGSQL.5432"
)
_BRACKETS = (
    "a host in brackets is for the place before the database alone: "
    "write ...@[::1]:5432/database, or ?host=::1&port=5432"
)
_PORTS = (
    "several hosts with a port each are ?host=h1:5432&host=h2:5433, or ?host=h1,h2&port=5432,5433"
)
_FILE = "a socket is named by its directory and port: write ?host=/directory&port=5432"

# These three follow a name for the URL.
QUOTES = "is in quotes, which are for a shell and no part of a URL: take them off"
SECOND_AT = (
    "has a second @: an @ in the user or the password must be written %40 (a : is %3A, a / is %2F)"
)
PORT = (
    "has a port that is not a number: write ...@host:5432/database; "
    "a : in the user must be written %3A"
)

# As SQLAlchemy splits a URL, up to the host and the port (sqlalchemy/engine/url.py, _parse_url).
_PLACE = re.compile(r"[\w+]+://(?:[^:/]*(?::[^@]*)?@)?([^/?]*)")

_HOST_AND_PORT = re.compile(r"[^/:\[]+:[0-9]+")
_SOCKET_FILE = re.compile(r"/(?:.*/)?\.s\.PGSQL\.[0-9]+")


def of_text(text: str) -> str | None:
    """Say what is wrong with a URL that SQLAlchemy can't read, or takes for another's."""
    if text[:1] in ("'", '"'):
        return QUOTES
    found = place(text)
    if "@" in found:
        return SECOND_AT
    if found.startswith("[") and "]" not in found:
        return None
    port = found.rpartition("]")[2].partition(":")[2]
    try:
        int(port or "0")
    except ValueError:
        return PORT
    return None


def place(text: str) -> str:
    """What SQLAlchemy takes for the host and the port of a URL; "" where it finds none."""
    match = _PLACE.match(text)
    return "" if match is None else match[1]


def of_url(url: URL) -> str | None:
    """Say how to write a PostgreSQL URL's host instead, or return None."""
    if url.get_backend_name() != "postgresql":
        return None
    return of_parameters(url.get_driver_name(), {"host": url.host, **url.query})


def of_parameters(driver: str, parameters: Mapping[str, Any]) -> str | None:
    """Say the same of what a driver's connect() was given."""
    elsewhere = ("hostaddr", "service", "unix_sock")  # then the host may be no more than a name
    if any(parameters.get(name) for name in elsewhere):
        return None
    if os.environ.get("PGHOSTADDR") or os.environ.get("PGSERVICE"):
        return None
    given = parameters.get("host")
    values: Sequence[str] = [given] if isinstance(given, str) else given or []
    advice = [_of_host(driver, host, value) for value in values for host in value.split(",")]
    return advice[0] if all(advice) and advice else None


def _of_host(driver: str, host: str, value: str) -> str | None:
    if host[:3].lower() == "%2f":
        return _ENCODED_PG8000 if driver == "pg8000" else _ENCODED
    if host.startswith("["):
        return _BRACKETS
    if "," in value and _HOST_AND_PORT.fullmatch(host):
        return _PORTS
    if driver.startswith("psycopg") and _SOCKET_FILE.fullmatch(host):
        return _FILE
    return None
