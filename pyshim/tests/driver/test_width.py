"""What is shown on narrow terminals, and of text whose characters are wide."""

import fcntl
import os
import re
import struct
import termios
from collections.abc import Callable
from datetime import datetime

import pytest

import reflex_driver
from reflex_driver import lock, width
from reflex_driver.lock.protocol import Holder
from reflex_driver.progress import Progress

from .running import Project, fork


def terminal(project: Project, columns: int, function: Callable[[], object]) -> str:
    """What a function prints, called in a fork on a terminal of so many columns."""
    parent, child = os.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def run() -> object:
        os.dup2(child, 1)
        os.dup2(child, 2)
        return function()

    fork(run, project.directory, **{**project.env, "NO_COLOR": "1"})
    os.close(child)
    text = b""
    try:
        while data := os.read(parent, 65536):
            text += data
    except OSError:  # the terminal's other end is closed
        pass
    os.close(parent)
    return text.decode().replace("\r\n", "\n")


def on_terminal(project: Project, columns: int, *argv: str) -> list[str]:
    """The lines that a command prints there."""
    text = terminal(project, columns, lambda: reflex_driver.main("reflex db", "1.0", "", *argv))
    return text.splitlines()


@pytest.fixture
def wide(project: Project) -> Project:
    path = project.revision("a1")
    path.write_text(path.read_text().replace("a1 is made", "請求書の合計に索引を付ける" * 3))
    return project


@pytest.mark.parametrize("columns", [80, 60, 40])
def test_no_line_of_status_is_wider_than_the_terminal(wide: Project, columns: int) -> None:
    lines = on_terminal(wide, columns, "status")
    assert max(map(width.columns, lines)) <= columns, lines
    assert any(re.match(r"Pending +a1 +請求書の", line) for line in lines), lines
    database = next(line for line in lines if line.startswith("Database"))
    assert database.endswith("/app.db")
    text = " ".join(lines)
    assert "Next `reflex db upgrade head` applies what is pending" in re.sub(" +", " ", text)


@pytest.mark.parametrize("columns", [60, 40])
def test_next_of_an_error_is_broken_between_words(wide: Project, columns: int) -> None:
    lines = on_terminal(wide, columns, "upgrade", "nosuch")
    text = re.sub(" +", " ", " ".join(lines))
    assert "Next: `reflex db history` lists the revisions of this project. If the database" in text
    after = lines[next(n for n, line in enumerate(lines) if line.startswith("Next: ")) :]
    assert max(map(len, after)) <= columns


def test_what_a_text_takes() -> None:
    assert width.columns("abc") == 3
    assert width.columns("日本語") == 6
    assert width.columns("e\u0301") == 1
    assert width.cut("日本語です", 8) == "日本..."
    assert width.cut_start("sqlite:////srv/shop.db", 12) == "...v/shop.db"
    assert width.pad("日本", 6) == "日本  "
    assert width.of(None) is None


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (
            120,
            'Waiting for another migration: pid 4711, "reflex db lock (worker-1, pid 12)", '
            "from 10.0.0.7, since 14:02:11; 4m59s left",
        ),
        (80, "Waiting for another migration: pid 4711, since 14:02:11; 4m59s left"),
        (60, "Waiting: pid 4711, since 14:02:11; 4m59s left"),
        (40, "Waiting, since 14:02:11; 4m59s left"),
    ],
)
def test_the_waiting_line_keeps_since_when(columns: int, shown: str, project: Project) -> None:
    since = datetime(2026, 1, 2, 14, 2, 11)
    text = 'pid 4711, "reflex db lock (worker-1, pid 12)", from 10.0.0.7, since 14:02:11'
    lines = lock._waiting_for(Holder(text, 4711, since=since), "4m59s left")
    told = terminal(project, columns, lambda: Progress().show(*lines))
    assert told == f"\r{shown}\x1b[K"
