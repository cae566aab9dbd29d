"""The list of `--each`: which databases there are, and which of them are this shard's.

A line of the list is a URL, a name, or a name and a URL. A name with spaces stands in
double quotes. A line of the file that
--failed has written may end with `-> REVISION`: the revision that the database is to be
at, where the command's own is relative. The whole list is read and checked before
anything is done with it, and no error repeats what stands in a line, which may be a
password.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, unquote_to_bytes

PLACEHOLDER = "{}"
"""Where a name goes, in the URL that all share or in an argument."""

_LONGEST = 64 << 10  # bytes of a line


@dataclass(frozen=True)
class Database:
    """One line of the list."""

    name: str  # without a password; no other has it
    url: str  # "" is whatever the project's own configuration says
    own: bool  # the URL is of this database, and not one that all share
    line: str  # as it was read, password and all, without the target
    target: str = ""  # the revision to go to, in the place of the command's own


@dataclass(frozen=True)
class Places:
    """Where the name of a line may go."""

    url: str  # REFLEX_DB_URL, or db_url of [tool.reflex]: with a {}, or shared by all
    other: bool  # whether a {} stands anywhere else: in an -x, or in another variable


class ListError(Exception):
    """The list, or a line of it, can't be used. Nothing of the line is repeated."""


def read(lines: Iterable[bytes], places: Places) -> list[Database]:
    """Read a list. Blank lines, and those that start with #, are skipped."""
    found: list[Database] = []
    numbers: dict[str, int] = {}
    for number, raw in enumerate(lines, 1):
        try:
            database = _read_line(raw, places)
        except ListError as error:
            raise ListError(f"line {number}: {error}") from None
        if database is None:
            continue
        first = numbers.setdefault(database.name, number)
        if first != number:
            raise ListError(
                f"line {number}: the name {database.name} is that of line {first} as well"
            )
        found.append(database)
    if not found:
        raise ListError("there is no database in the list")
    return found


def part(databases: list[Database], shard: tuple[int, int] | None) -> list[Database]:
    """The databases of a shard, in the order of the list.

    A database's shard is the first eight bytes of its name's SHA-256, as a big-endian
    number, modulo the number of shards. It does not depend on the rest of the list: the
    parts are disjoint, and the whole together.
    """
    if shard is None:
        return databases
    index, count = shard
    return [d for d in databases if _hash(d.name) % count == index]


def fill_url(url: str, name: str) -> str:
    """Put the name, percent-encoded, in the place of each {} of a URL."""
    return url.replace(PLACEHOLDER, quote(name, safe=""))


def fill(argv: Sequence[str], name: str) -> list[str]:
    """Put the name in the place of each {} of the values of -x in Alembic's arguments."""
    filled = list(argv)
    for i in _values_of_x(argv):
        filled[i] = argv[i].replace(PLACEHOLDER, name)
    return filled


def has_placeholder(argv: Sequence[str]) -> bool:
    """Whether the value of an -x has a {}."""
    return any(PLACEHOLDER in argv[i] for i in _values_of_x(argv))


def _values_of_x(argv: Sequence[str]) -> list[int]:
    found = []
    for i, word in enumerate(argv):
        if word == "--":
            break
        if (i > 0 and argv[i - 1] == "-x") or (len(word) > 2 and word.startswith("-x")):
            found.append(i)
    return found


def _hash(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")


def _read_line(raw: bytes, places: Places) -> Database | None:
    if len(raw) > _LONGEST:
        raise ListError("it is longer than 64 KB")
    try:
        line = raw.decode().removeprefix("\ufeff").strip()
    except UnicodeDecodeError:
        raise ListError("it is not plain UTF-8 text") from None
    if not line or line.startswith("#"):
        return None
    if not _is_plain(line):
        raise ListError("it is not plain UTF-8 text")
    line, target = _without_target(line)
    name, url = _split(line)
    quoted = re.fullmatch(r'"([^"]+)"', name)
    if quoted:
        name = quoted[1]
    elif re.search(r"\s", name):
        raise ListError(
            "it is neither a URL, nor a name, nor a name and a URL; "
            'a name with spaces stands in double quotes: "NAME"'
        )
    if url:
        own_name = _name_of(url)
        if not name:
            if places.other:
                raise ListError(
                    "the {} of an -x or of a variable needs a name, and the line has a URL only: "
                    "write NAME URL"
                )
            name = own_name
        return Database(name, url, True, line, target)
    if PLACEHOLDER in places.url:
        return Database(name, fill_url(places.url, name), True, line, target)
    if places.other:
        return Database(name, places.url, False, line, target)
    raise ListError(
        "it has no URL, and there is no {} to put the name in, in REFLEX_DB_URL or in an -x"
    )


def _without_target(line: str) -> tuple[str, str]:
    found = re.search(r"\s+->\s+(\S+)$", line)
    return (line[: found.start()], found[1]) if found else (line, "")


def _is_plain(text: str) -> bool:
    return not re.search(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]", text)


def _split(line: str) -> tuple[str, str]:
    """Part a line into a name and a URL, which may hold spaces."""
    scheme = re.search(r"(?:^|\s)[\w+]+://", line)
    if scheme is None:
        return line, ""
    return line[: scheme.start()].strip(), line[scheme.start() :].strip()


# As SQLAlchemy splits a URL (sqlalchemy/engine/url.py, _parse_url). Its own function is
# not used, because what it raises repeats the URL.
_URL = re.compile(
    r"[\w+]+://"
    r"(?:(?P<user>[^:/]*)(?::(?P<password>[^@]*))?@)?"
    r"(?:(?:\[(?P<ipv6>[^/?]+)\]|(?P<host>[^/:?]+))?(?::(?P<port>[^/?]*))?)?"
    r"(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?"
)


def _name_of(url: str) -> str:
    """What a URL's database is called: its host and itself."""
    match = _URL.fullmatch(url)
    if match is None:
        raise ListError(
            "its URL is not of the form DIALECT+DRIVER://USER:PASSWORD@HOST:PORT/DATABASE"
        )
    host = match["ipv6"] or match["host"] or ""
    port, database = match["port"] or "", match["database"] or ""
    # What was not encoded has got into another part, and is not to be shown.
    if "@" in host + port or (host and "@" in database):
        raise ListError("an @, / or : of the user or the password is not percent-encoded")
    if port.strip("0123456789"):
        raise ListError("the port of its URL is not a number")
    try:
        database = unquote_to_bytes(database).decode()
    except UnicodeDecodeError:
        raise ListError("the database of its URL is not plain UTF-8 text") from None
    if not _is_plain(database):
        raise ListError("the database of its URL is not plain UTF-8 text")
    if not host:
        host = ",".join(parse_qs(match["query"] or "").get("host", []))
    if port:
        host += f":{port}"
    if not host and not database:
        raise ListError("its URL names no database")
    return f"{host}/{database}" if host else database
