"""Which database: reading the URL, and showing it without its secrets."""

import os
import re
import warnings
from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import URL, Dialect, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from reflex_driver import framework, pyproject, secrets, unreachable

from ._errors import URLError, URLNotSetError

VARIABLE = "REFLEX_DB_URL"
ASYNC_VARIABLE = "REFLEX_ASYNC_DB_URL"
ARGUMENT = "the url argument"

# The entry of [tool.reflex] that counts where no variable is set.
_ENTRIES = {VARIABLE: "db_url", ASYNC_VARIABLE: "async_db_url"}

_NEW_LINE = re.compile("[\r\n]")
_EXAMPLE = "postgresql+psycopg://user:password@localhost:5432/shop"


def resolve(given: str | URL | None, *variables: str) -> tuple[URL, str]:
    """Return the URL given, else the first that is set, and where it came from.

    The variables come before the entries of [tool.reflex] in pyproject.toml of the
    current directory, so that a variable is never mixed with another database's entry.
    """
    if given is not None:
        return _parse(given, ARGUMENT), ARGUMENT
    for name in variables:
        value = os.environ.get(name, "")
        if value.strip():
            return _parse(value, name), name
    for name in variables:
        value = _entry(_ENTRIES[name])
        if value:
            origin = f"{_ENTRIES[name]} in [tool.reflex] of {pyproject.FILE}"
            return _parse(value, origin), origin
    hint = framework.url_hint()
    raise URLNotSetError(
        f"{VARIABLE} is not set. Set it to the database's SQLAlchemy URL, for example\n"
        f"    export {VARIABLE}={_EXAMPLE}" + f"\n{hint}" * bool(hint)
    )


def _entry(key: str) -> str:
    try:
        value = pyproject.url(key)
    except pyproject.ProjectError as error:
        raise URLError(f"{error}.") from None
    if secrets.has_secret(value):
        warnings.warn(
            f"{pyproject.FILE} holds a password, for all who read the repository. "
            f"Give the URL in {VARIABLE} instead.",
            stacklevel=2,
        )
    return value


def dialect_class(url: URL, origin: str) -> type[Dialect]:
    """Return the URL's dialect. The driver itself is not loaded."""
    try:
        return url.get_dialect()
    except NoSuchModuleError:
        raise URLError(
            f"{origin} starts with {url.drivername}://, and no SQLAlchemy dialect of that "
            "name is installed. Check the spelling, or install the package that brings it."
        ) from None


def check_host(url: URL, origin: str, options: Mapping[str, Any]) -> None:
    """Refuse a host that no driver can reach, unless it is not the URL that is connected to."""
    if options.keys() & {"creator", "async_creator", "pool"}:
        return
    advice = unreachable.of_url(url)
    if advice is not None:
        raise URLError(f"{origin} has a host that can't work: {advice}")


def display(url: URL) -> str:
    """Return the URL for a message: no password, and no query, which may hold one."""
    return url.set(query={}).render_as_string(hide_password=True)


def _parse(value: str | URL, origin: str) -> URL:
    text = value.strip() if isinstance(value, str) else ""  # the newline of a secret's file
    try:
        parsed = make_url(text or value)
    except (ArgumentError, ValueError):  # ValueError: a port
        parsed = None
    # Raised out here so that SQLAlchemy's error, which may quote the value, is not its context.
    wrong = unreachable.of_text(text) if parsed is None else None
    if parsed is not None and "@" in (parsed.host or ""):
        wrong = unreachable.SECOND_AT
    if wrong is not None:
        raise URLError(f"{origin} {wrong}.")
    if parsed is None:
        raise URLError(
            f"{origin} is not a SQLAlchemy URL. Write it as\n    {_EXAMPLE}\n"
            "with special characters in the user and the password percent-encoded "
            "(@ is %40, : is %3A, / is %2F)."
        )
    if parsed.drivername.partition("+")[0] == "postgres":
        correct = parsed.set(drivername=parsed.drivername.replace("postgres", "postgresql", 1))
        raise URLError(
            f"{origin} starts with {parsed.drivername}://, which SQLAlchemy does not take. "
            f"Write {correct.drivername}:// instead: {display(correct)}"
        )
    is_postgresql = parsed.get_backend_name() == "postgresql"
    if is_postgresql and _NEW_LINE.search(text) and _NEW_LINE.search(parsed.database or ""):
        raise URLError(
            f"{origin} has a line break inside the database's name. "
            "It must be one line (a name that does have one is written with %0A)."
        )
    return parsed
