"""Keeps the passwords of this run out of what is printed.

stdout is not touched, because it is the answer: it may be SQL that somebody runs.
In our own messages and on stderr, where libraries and threads print tracebacks, the
passwords of the URLs that this run uses are masked. Nothing else is changed. Masked is:

  - a password that can't be mistaken for anything else, wherever it stands as a
    whole word;
  - one that may be a word of any text (`postgres`, `app`, the database's name),
    only in a password's place: `:postgres@`, `password=postgres`;
  - nothing in the lines of source that a traceback shows.

A run without a password has a stderr that is Python's own. With one, `write` is
replaced on the object, which stays the file that it is for everybody else.
"""

from __future__ import annotations

import functools
import json
import os
import re
import sys
from typing import TYPE_CHECKING, TextIO
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from . import unreachable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

VARIABLES = ("REFLEX_DB_URL", "REFLEX_ASYNC_DB_URL", "REFLEX_DB_LOCK_URL")
MASK = "***"

# Parameters of a URL's query that hold a secret, by libpq's and the drivers' names.
_PARAMETER = r"(?:ssl_?)?pass(?:word|wd|phrase)"

# As SQLAlchemy splits a URL: the password ends at the first @. The longest are
# the tokens of the clouds; the limits keep the time linear.
_AUTHORITY = re.compile(r"(?<![\w+])\w[\w+]*://[^:/@\s'\"]*:([^@\s]{0,4000})@")

# Before and after a word; what ends with %3A or \n is not a part of the next one.
_START, _END = r"(?:(?<!\w)|(?<=%[0-9A-Fa-f]{2})|(?<=\\[nrt]))", r"(?!\w)"
_ASSIGNED = rf"\b(?i:{_PARAMETER})['\"]?\s*[=:]\s*['\"]?"

_FRAME = re.compile(r'^([ |+-]*)File "([^"\n]*)", line \d+.*\n((?:\1  .*\n?)*)', re.MULTILINE)

# What ends a part of a URL, as one character. No pattern, which each process would compile.
_CUTS = str.maketrans("/:?#&", "@@@@@")

_CONTEXT = 2000  # characters of stderr that are remembered, for what is written piece by piece

_urls: set[str] = set()
_forms: tuple[str, ...] = ()
_masking = False  # whether stderr is


def learn(*urls: str | None) -> None:
    """Take in the secrets of these URLs; from here on they do not get to stderr."""
    global _forms, _masking
    new = {url for url in urls if url} - _urls
    if not new:
        return
    _urls.update(new)
    found = set(_forms).union(*map(_forms_of, new))
    # The longest first: one form can be part of another.
    _forms = tuple(sorted(found, key=lambda form: (-len(form), form)))
    if _forms and not _masking and sys.__stderr__ is not None:  # closed before we were started
        _masking = True
        _mask_stream(sys.__stderr__)


def learn_environment() -> None:
    """The same, for the URLs of the environment."""
    learn(*(os.environ.get(name) for name in VARIABLES))


def has_secret(url: str) -> bool:
    """Whether there is a password in a URL."""
    return any(_secrets_of(url))


def dump_no_core() -> None:
    """Keep the kernel from writing this process's memory, with a password, to a file."""
    if sys.platform == "win32":
        return
    import resource

    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (0, hard))  # lowering is always allowed


def mask(text: str, before: str = "") -> str:
    """`text` without this run's passwords. `before` is what stands in front of it."""
    found = [form for form in _forms if form in text]
    if not found:
        return text
    known = _known_words()
    word = [form for form in found if _is_ordinary(form) or form.lower() in known]
    secret = [form for form in found if form not in word]
    whole = before + text
    source = list(_source_lines(whole))

    def replace(match: re.Match[str]) -> str:
        start, end = match.span(match.lastgroup or 0)
        if start < len(before) or any(a <= start and end <= b for a, b in source):
            return match[0]
        return match[0][: start - match.start()] + MASK

    pattern = (
        f"(?P<secret>{_any(secret)})"
        f"|(?<=:)(?P<in_url>{_any(word, bounded=False)})(?=@)"
        f"|(?:{_ASSIGNED})(?P<assigned>{_any(word)})"
    )
    return re.sub(pattern, replace, whole)[len(before) :]


def _any(forms: list[str], *, bounded: bool = True) -> str:
    """A pattern for any of `forms`; it matches nothing where there are none."""
    patterns = []
    for form in forms:
        start = _START if bounded and re.match(r"\w", form) else ""
        end = _END if bounded and re.search(r"\w\Z", form) else ""
        patterns.append(start + re.escape(form) + end)
    return "|".join(patterns) or "(?!)"


def _is_ordinary(form: str) -> bool:
    """Whether `form` may be a word, a name or a number of any text."""
    if re.search(r"[^\w.-]", form):
        return len(form) < 5
    mixed = re.search(r"\d", form) and re.search(r"[^\W\d_]", form)
    return len(form) < (8 if mixed else 16)


def _known_words() -> set[str]:
    """Names that this run has for other things, in lower case."""
    places: list[str] = [*list(sys.modules), os.getcwd(), sys.prefix]
    for url in _urls:
        scheme, _, rest = url.partition("://")
        user = re.match(r"([^:/?@]*)(?::[^@]*)?@", rest)
        if user is not None:
            places.append(user[1])
            rest = rest[user.end() :]
        # What comes before an @ is the rest of a password, and the query may have one.
        host, _, database = rest.partition("?")[0].rpartition("@")[2].partition("/")
        places += [scheme, host, database]
    return {word.lower() for place in places for word in (place, *re.split(r"[^\w-]", place))}


def _source_lines(text: str) -> Iterator[tuple[int, int]]:
    """Where in `text` a traceback shows lines of a file, which are no output."""
    for frame in _FRAME.finditer(text):
        import linecache  # the traceback has read the file with it

        source = {line.strip() for line in linecache.getlines(frame[2])}
        start = frame.start(3)
        for line in frame[3].splitlines(keepends=True):
            if line[len(frame[1]) :].strip() in source:
                yield start, start + len(line)
            start += len(line)


def _mask_stream(stream: TextIO) -> None:
    write = stream.write
    recent = ""

    @functools.wraps(write)
    def masked(text: str, /) -> int:
        nonlocal recent
        if not isinstance(text, str):
            return write(text)
        clean = mask(text, recent)
        recent = (recent + text)[-_CONTEXT:]
        written = write(clean)
        return written if clean is text else len(text)

    stream.write = masked  # type: ignore[method-assign]


def _secrets_of(url: str) -> Iterable[str]:
    yield from _AUTHORITY.findall(url)
    yield from re.findall(r"^[\w+-]+://[^:/@]*:(.*)@", url, re.DOTALL)  # with an @ in it
    for parameter in url.partition("?")[2].split("&"):
        name, _, value = parameter.partition("=")
        if re.fullmatch(_PARAMETER, name, re.IGNORECASE):
            yield value


def _forms_of(url: str) -> set[str]:
    """Every way in which the secrets of `url` may be written."""
    forms: set[str] = set()
    for secret in _secrets_of(url):
        for plain in {secret, unquote(secret), unquote_plus(secret)}:
            forms |= {plain, plain.replace("%", "%%"), quote_plus(plain, errors="surrogateescape")}
            forms |= {quote(plain, safe=safe, errors="surrogateescape") for safe in ("", "/")}
            # As part of a longer string that repr() or JSON shows.
            forms |= {repr(plain)[1:-1], repr(plain + "'\"")[1:-4], json.dumps(plain)[1:-1]}
            # A password that was not encoded is cut: a part of it is read as the host or
            # the database. configparser shows what follows a single %.
            parts = plain.translate(_CUTS).split("@")
            parts += [plain[i:] for i, character in enumerate(plain) if character == "%"]
            forms.update(part for part in parts if len(part) >= 6)
    return forms - {""} | set(_taken_for_hosts(url))


def _taken_for_hosts(url: str) -> Iterator[str]:
    """What SQLAlchemy takes for a host or a port, and is a part of a password with an @ in it.

    It is masked as a whole. A short part by itself may be a word of any text.
    """
    host, _, port = unreachable.place(url).partition(":")
    yield from (part for part in (host, port) if "@" in part)
