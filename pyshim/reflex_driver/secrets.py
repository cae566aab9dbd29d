"""No password in anything that is printed.

What is secret is learned from the URLs that a run uses. Text is cleaned of
each secret in the form in which it was written, decoded and encoded, and of
whatever stands in the password's place of any other URL.
"""

from __future__ import annotations

import os
import re
from urllib.parse import parse_qsl, quote, quote_plus, unquote, unquote_plus

VARIABLES = ("REFLEX_DB_URL", "REFLEX_ASYNC_DB_URL", "REFLEX_DB_LOCK_URL")
MASK = "***"

# Parameters of a URL's query that hold a secret, by libpq's and the drivers' names.
_SECRET_PARAMETERS = {"password", "passwd", "passphrase", "sslpassword", "ssl_password"}

# As SQLAlchemy splits a URL: the password ends at the first @.
_AUTHORITY = re.compile(r"(\w[\w+]*://[^:/@\s'\"]*):([^@\s]*)@")
_PARAMETER = re.compile(
    r"((?:ssl_?)?pass(?:word|wd|phrase)\s*['\"]?\s*[=:]\s*['\"]?)([^\s&'\",)]+)", re.IGNORECASE
)

# A shorter secret would blank out parts of ordinary words; in its place in a
# URL or a parameter it is still found.
_SHORTEST = 4

_secrets: set[str] = set()


def remember(url: str | None) -> None:
    """Take in the secrets of a URL that did not come from the environment."""
    _secrets.update(_forms(url or ""))


def redact(text: str) -> str:
    """`text` without any password."""
    known = set(_secrets)
    for variable in VARIABLES:
        known |= _forms(os.environ.get(variable, ""))
    # The longest first: one form can be part of another.
    for secret in sorted(known, key=len, reverse=True):
        text = text.replace(secret, MASK)
    text = _AUTHORITY.sub(rf"\1:{MASK}@", text)
    return _PARAMETER.sub(rf"\1{MASK}", text)


def _forms(url: str) -> set[str]:
    found = [match[2] for match in _AUTHORITY.finditer(url)]
    _, _, query = url.partition("?")
    found += [value for name, value in parse_qsl(query) if name.lower() in _SECRET_PARAMETERS]
    for parameter in query.split("&"):
        name, _, raw = parameter.partition("=")
        if name.lower() in _SECRET_PARAMETERS:
            found.append(raw)
    forms: set[str] = set()
    for secret in found:
        plain = {secret, unquote(secret), unquote_plus(secret)}
        forms |= plain | {encode(p, safe="") for p in plain for encode in (quote, quote_plus)}
        forms |= {repr(p)[1:-1] for p in plain}
    return {form for form in forms if len(form) >= _SHORTEST}
