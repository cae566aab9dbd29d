"""The picture of a terminal in README: docs/pictures/terminal.svg.

The command prints every line of it, on the PostgreSQL of REFLEX_TEST_PG_URL. What differs
in each run (process ids, times, addresses) is replaced by something that does not, so that
`--check` can compare a new run with the picture.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable

PYSHIM = Path(__file__).parent.parent / "pyshim"
PICTURE = Path(__file__).parent / "pictures" / "terminal.svg"
COLUMNS = 108  # of the picture; nothing is cut off in the terminal itself
LIMIT = 60.0  # seconds, for each thing that is waited for

SCRIPT = """\
#!{python}
import sys
sys.path.insert(0, {package!r})
from reflex_driver.console import main
del sys.path[0]
sys.exit(main())
"""

REVISION = '''\
"""{message}

Revision ID: {revision}
Create Date: {date}
"""

from alembic import op

revision = "{revision}"
down_revision = {down!r}


def upgrade() -> None:
    op.execute("{sql}")
'''

REVISIONS = [
    ("0001", None, "2026-01-02", "first tables", "CREATE TABLE customer (id int)"),
    ("0002", "0001", "2026-01-03", "add invoices", "CREATE TABLE invoice (id int)"),
    ("0003", "0002", "2026-01-20", "a customer has a city", "ALTER TABLE customer ADD city text"),
    ("0004", "0003", "2026-02-11", "index the city", "CREATE INDEX city ON customer (city)"),
]

SAME = [  # what differs in each run, and what stands for it
    (r'"reflex db lock \([^)]*\)"', '"reflex db lock (worker-1)"'),
    (r"pid \d+", "pid 4711"),
    (r"from [0-9.:a-f]+,", "from 10.0.0.7,"),
    (r"since \d\d:\d\d:\d\d", "since 14:02:11"),
    (r"PostgreSQL \d+\.\d+", "PostgreSQL 17.6"),
    (r"@[0-9.]+:\d+", "@database:5432"),
    (r'host(name)?:? "[0-9.]+"|server at "[0-9.]+"', 'server at "database"'),
    (r"@[0-9.:a-f]+\), idle in transaction for \w+", "@10.0.0.9), idle in transaction for 12m"),
    (r"port \d+", "port 5432"),
    (r"; \w+ left", "; 5m left"),
    (r"Waited \w+", "Waited 2s"),
    (r"\b127\.0\.0\.1:\d+", "database:5432"),
    (r"-h \S+ -p \d+", "-h database -p 5432"),
    (r"\b\d+\.\d+ ?s\b", "0.9s"),
]


class Terminal:
    """A directory with a project, and the command on a terminal in it."""

    def __init__(self, directory: Path, url: str) -> None:
        self._directory = directory
        self._script = directory / "reflex-db"
        self._script.write_text(SCRIPT.format(python=sys.executable, package=str(PYSHIM)))
        self._script.chmod(0o755)
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("REFLEX_", "PYTHON"))},
            "REFLEX_DB_URL": url,
            "VIRTUAL_ENV": sys.prefix,
            "TERM": "xterm-256color",
        }
        self.environment.pop("NO_COLOR", None)

    def start(self, line: str, stream: int = subprocess.DEVNULL) -> subprocess.Popen[bytes]:
        """Begin `reflex-db ...`."""
        words = [str(self._script), *line.split()[1:]]
        return subprocess.Popen(
            words,
            cwd=self._directory,
            env=self.environment,
            stdin=stream,
            stdout=stream,
            stderr=stream,
        )

    def run(self, line: str, waits: Callable[[], None] | None = None) -> str:
        """All that `reflex-db ...` writes to a terminal; `waits` is called when it waits."""
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 200, 0, 0))
        process = self.start(line, theirs)
        os.close(theirs)
        killer = threading.Timer(LIMIT, process.kill)
        killer.start()
        written = b""
        while True:
            try:
                written += os.read(ours, 1 << 16)
                if waits is not None and b"Waiting" in written:
                    waits()
                    waits = None
            except OSError:  # Linux's end of a terminal
                break
        os.close(ours)
        process.wait()
        killer.cancel()
        return written.decode()


def main() -> int:
    """Draw the picture, or with --check compare it with what is printed today."""
    lines = [same(line) for line in session(os.environ["REFLEX_TEST_PG_URL"])]
    if sys.argv[1:] != ["--check"]:
        PICTURE.write_text(drawn(lines), encoding="utf-8")
        return 0
    picture = text_of(PICTURE.read_text(encoding="utf-8"))
    printed = ["".join(re.sub(r"\x1b\[[0-9;]*m", "", line).split()) for line in lines]
    if "".join(printed) == picture:
        return 0
    print(*(f"not in the picture: {line}" for line in printed if line not in picture), sep="\n")
    print("The picture is not what is printed today: `make pictures` draws it anew.")
    return 1


def session(server: str) -> list[str]:
    """What a terminal shows: each line with its colours."""
    base = server.rpartition("/")[0].replace("postgresql:", "postgresql+psycopg:")
    tenants = ("ada", "grace", "joan")
    lines: list[str] = []
    with psycopg.connect(server, autocommit=True) as admin, tempfile.TemporaryDirectory() as work:
        for name in ("shop", *tenants):
            admin.execute(f"DROP DATABASE IF EXISTS {name}")  # type: ignore[arg-type]
            admin.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        terminal = Terminal(Path(work), f"{base}/shop")

        def show(line: str, waits: Callable[[], None] | None = None) -> None:
            lines.extend([f"\x1b[1m$ {line}\x1b[0m", *shown(terminal.run(line, waits)), ""])

        write_project(Path(work), terminal)
        terminal.run("reflex-db upgrade 0002")
        shop = f"{server.rpartition('/')[0]}/shop"
        with psycopg.connect(shop, application_name="nightly-report") as reader:
            reader.execute("LOCK TABLE customer")  # so that the other migration is held up
            other = terminal.start("reflex-db upgrade head")
            wait_for_the_migration(admin)
            show("reflex-db status")
            show("reflex-db upgrade head", waits=reader.rollback)
            other.wait(LIMIT)
        (Path(work) / "tenants.txt").write_text("\n".join([*tenants, "linus"]))
        terminal.environment["REFLEX_DB_URL"] = base + "/{}"
        show("reflex-db upgrade head --each tenants.txt --keep-going")
    return lines[:-1]


def write_project(work: Path, terminal: Terminal) -> None:
    """A project of four revisions."""
    terminal.run("reflex-db init")
    for revision, down, date, message, sql in REVISIONS:
        text = REVISION.format(revision=revision, down=down, date=date, message=message, sql=sql)
        (work / "alembic" / "versions" / f"{revision}.py").write_text(text)


def wait_for_the_migration(admin: psycopg.Connection) -> None:
    """Wait until the other migration waits for the table."""
    end = time.monotonic() + LIMIT
    question = "SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'ALTER%'"
    while not admin.execute(question).rowcount:
        if time.monotonic() > end:
            sys.exit("the other migration has not begun")
        time.sleep(0.05)


def shown(written: str) -> list[str]:
    """The lines on the screen, and those that were taken away: who waits sees them."""
    lines = []
    for line in written.rstrip("\r\n").split("\n"):
        *before, last = line.rstrip("\r").replace("\x1b[K", "").split("\r")
        waiting = [text for text in before if text.startswith("Waiting")]
        lines += waiting[:1] + ([last] if last or not before else [])
    return lines


def same(line: str) -> str:
    """The line without what differs in each run."""
    for pattern, text in SAME:
        line = re.sub(pattern, text, line)
    return line


def drawn(lines: list[str]) -> str:
    """The picture, with no font of another host in it."""
    from io import StringIO

    from rich.console import Console
    from rich.text import Text

    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
    for line in lines:
        console.print(Text.from_ansi(line), soft_wrap=False)
    svg = console.export_svg(title="shop", unique_id="reflex")
    return re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)


def text_of(svg: str) -> str:
    """The picture's text, without blanks and new lines."""
    pieces = []
    for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text"):
        if "clip-path" in element.attrib:  # the title has none
            place = float(element.attrib["y"]), float(element.attrib["x"])
            pieces.append((place, element.text or ""))
    return "".join("".join(text for _, text in sorted(pieces)).split())


if __name__ == "__main__":
    sys.exit(main())
