"""Ways to write a host that SQLAlchemy hands to the driver as it is, where it can't work.

reflex_orm uses it too. session/unreachable.go says the same of a Go service's URL;
tests/urls holds the two together.
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

_HOST_AND_PORT = re.compile(r"[^/:\[]+:[0-9]+")
_SOCKET_FILE = re.compile(r"/(?:.*/)?\.s\.PGSQL\.[0-9]+")


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
