"""No password in anything that is printed.

What is secret is learned from the URLs that a run uses. Text is cleaned of
each secret in the form in which it was written, decoded and encoded, and of
whatever stands in the password's place of any other URL.

`clean_streams` puts this before stdout and stderr, where a library's warnings,
its log and the tracebacks of other threads go without passing through here.
"""

from __future__ import annotations

import json
import os
import re
import sys
from functools import cache
from typing import TYPE_CHECKING, TextIO
from urllib.parse import quote, quote_plus, unquote, unquote_plus

if TYPE_CHECKING:
    from collections.abc import Callable

VARIABLES = ("REFLEX_DB_URL", "REFLEX_ASYNC_DB_URL", "REFLEX_DB_LOCK_URL")
MASK = "***"

# Parameters of a URL's query that hold a secret, by libpq's and the drivers' names.
_SECRET = r"(?:ssl_?)?pass(?:word|wd|phrase)"

# As SQLAlchemy splits a URL: the password ends at the first @. The longest are
# the tokens of the clouds; the limit keeps the time linear.
_AUTHORITY = re.compile(r"((?<![\w+])\w[\w+]*://[^:/@\s'\"]*):([^@\s]{0,4000})@")
_QUERY = re.compile(rf"([?&]{_SECRET}=)([^\s&'\"]+)", re.IGNORECASE)
_ASSIGNED = re.compile(rf"({_SECRET}\s*['\"]?\s*[=:]\s*)('[^']*'|\"[^\"]*\"|[^\s&'\",)]+)", re.I)

# A shorter secret would blank out parts of ordinary words. It is found where it
# stands alone, and the shortest only in their place in a URL or a parameter.
_LONG, _SHORTEST = 6, 3

_secrets: set[str] = set()


def remember(url: str | None) -> None:
    """Take in the secrets of a URL that did not come from the environment."""
    _secrets.update(_forms(url or ""))


def forget() -> None:
    """Forget what was learned, for the next database of this process."""
    _secrets.clear()
    _forms.cache_clear()


def redact(text: str) -> str:
    """`text` without any password."""
    known = set(_secrets)
    for variable in VARIABLES:
        known |= _forms(os.environ.get(variable, ""))
    # The longest first: one form can be part of another.
    for secret in sorted(known, key=len, reverse=True):
        if len(secret) >= _LONG:
            text = text.replace(secret, MASK)
        else:
            text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", MASK, text)
    return _ASSIGNED.sub(rf"\1{MASK}", redact_urls(text))


def redact_urls(text: str) -> str:
    """`text` without the passwords of the URLs in it, and otherwise unchanged."""
    if "://" not in text:
        return text
    return _QUERY.sub(rf"\1{MASK}", _AUTHORITY.sub(rf"\1:{MASK}@", text))


def clean_streams() -> None:
    """Let no password through to stderr, and no URL's password to stdout.

    stdout may carry SQL that somebody runs (`--sql`), where a word that happens
    to be the password must stay.
    """
    _clean(sys.stdout, redact_urls)
    _clean(sys.stderr, redact)


def _clean(stream: TextIO | None, cleaner: Callable[[str], str]) -> None:
    if stream is None:  # closed before we were started
        return
    write = stream.write
    # On the object, so that it stays the file that it is for everybody else.
    stream.write = lambda text: write(cleaner(text))  # type: ignore[method-assign]


@cache
def _forms(url: str) -> frozenset[str]:
    """Every way in which the secrets of `url` may be written."""
    found = [match[2] for match in _AUTHORITY.finditer(url)]
    found += re.findall(r"^[\w+]+://[^:/@]*:(.*)@", url, re.DOTALL)  # with an @ that is not encoded
    _, _, query = url.partition("?")
    for parameter in query.split("&"):
        name, _, value = parameter.partition("=")
        if re.fullmatch(_SECRET, name, re.IGNORECASE):
            found.append(value)
    forms: set[str] = set()
    for secret in found:
        for plain in {secret, unquote(secret), unquote_plus(secret)}:
            forms |= {plain, plain.replace("%", "%%"), quote_plus(plain, errors="surrogateescape")}
            forms |= {quote(plain, safe=safe, errors="surrogateescape") for safe in ("", "/")}
            # As part of a longer string that repr() or JSON shows.
            forms |= {repr(plain)[1:-1], repr(plain + "'\"")[1:-4], json.dumps(plain)[1:-1]}
            # What was not encoded puts a part of it into the host's or the
            # database's place; configparser shows all that follows a lone %.
            parts = re.split(r"[@/:?#&]", plain) + re.findall(r"(?=(%.*))", plain, re.DOTALL)
            forms.update(part for part in parts if len(part) >= _LONG)
    return frozenset(form for form in forms if len(form) >= _SHORTEST)
