"""What a server that runs says to a connection that it refuses, and goes on saying."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Any

from . import internals

if TYPE_CHECKING:
    from collections.abc import Mapping

# A driver in C gives no more than the text, which may be in another language. Then a
# refusal is not recognized.
_STATES = ("28", "3D")  # SQLSTATE: authorization, no such database
_NUMBERS = (1044, 1045, 1049, 1698)  # MySQL's, the same
_TEXTS = ("authentication failed", "does not exist", "no pg_hba.conf entry", "no password")

_NO_DATABASE = ("3D000", 1049)
_PASSWORD = ("28P01", 1045)
_NO_DATABASE_TEXT = re.compile('database ".*" does not exist', re.DOTALL)


def is_final(exc: BaseException) -> bool:
    """Whether the server has refused for a reason that time does not mend."""
    if isinstance(exc.__cause__, OSError):
        return False
    state, number = code(exc)
    text = str(exc)
    return state.startswith(_STATES) or number in _NUMBERS or any(final in text for final in _TEXTS)


def explain(exc: BaseException, text: str) -> tuple[str, str] | None:
    """What was refused, and the next step; None where the server has not answered so.

    `text` is the exception's, for a refusal of another kind.
    """
    final = [cause for cause in internals.chain(exc) if is_final(cause)]
    connecting = internals.connect_parameters(exc)
    if not final or connecting is None:
        return None
    # SQLAlchemy's own exception is without the code of asyncpg's.
    refused = next((cause for cause in final if any(code(cause))), final[0])
    dialect, given = connecting
    (state, number), said = code(refused), str(refused)
    user, name = str(given.get("user") or ""), str(given.get("dbname") or given.get("database"))
    server = _address(given)
    if state in _NO_DATABASE or number in _NO_DATABASE or _NO_DATABASE_TEXT.search(said):
        return f"There is no database {name} on {server}", _how_to_create(dialect.name, name, given)
    hint = "check the user and the password in REFLEX_DB_URL"
    if "no password" in said:
        return f"{server} asks for a password for {user or 'the user'}, and the URL has none", hint
    if state in _PASSWORD or number in _PASSWORD or "password authentication failed" in said:
        hint += "; what is not a letter or a digit in them is percent-encoded: @ is %40"
        return f"The password for {user or 'the user'} was refused by {server}", hint
    if not state and number not in _NUMBERS and "FATAL" not in said:
        return None  # libpq's own, such as of a certificate's file
    return f"{server} refused the connection: {text}", hint


def code(exc: BaseException) -> tuple[str, object]:
    """The SQLSTATE and MySQL's number, as far as the driver gives them."""
    state = getattr(exc, "sqlstate", None) or getattr(exc, "pgcode", None)
    first: Any = exc.args[0] if exc.args else None
    if isinstance(first, dict):  # pg8000's
        state = first.get("C")
    return str(state or ""), first if isinstance(first, int) else None


def _address(given: Mapping[str, Any]) -> str:
    host, port = given.get("host"), given.get("port")
    if not isinstance(host, str) or not host:
        return "the server"
    return f"{host}:{port}" if port else host


def _how_to_create(dialect: str, name: str, given: Mapping[str, Any]) -> str:
    quote = '"' if dialect == "postgresql" else "`"
    plain = re.fullmatch("[a-z_][a-z0-9_]*", name)
    quoted = name if plain else quote + name.replace(quote, quote * 2) + quote
    steps = [f"CREATE DATABASE {quoted}; in SQL"]
    if dialect == "postgresql":
        words = ["createdb"]
        for option, key in (("-h", "host"), ("-p", "port"), ("-U", "user")):
            if isinstance(given.get(key), str | int):
                words += [option, str(given[key])]
        steps.insert(0, f"`{shlex.join([*words, name])}`")
    return f"create it with {', or '.join(steps)}; or mend its name in REFLEX_DB_URL"
