"""How a run ends: what was decided stays, whatever becomes of the streams."""

import os
import subprocess
import sys
from pathlib import Path
from typing import TextIO

import pytest

from reflex_driver import exits
from reflex_driver.exits import Outcome

from .running import Done, Project, environment, fork

FULL = Path("/dev/full")


def finish(outcome: Outcome, directory: Path, stdout: int, text: str = "answer") -> Done:
    """Print `text` to a descriptor, which stands for stdout, and end the run."""

    def end() -> int:
        os.dup2(stdout, 1)
        sys.stdout.write(text)
        return exits.finish(outcome)

    return fork(end, directory)


@pytest.fixture
def unread() -> int:
    """A pipe that nobody reads any more."""
    read, write = os.pipe()
    os.close(read)
    return write


@pytest.fixture
def full() -> int:
    if not FULL.exists():
        pytest.skip("there is no /dev/full")
    return os.open(FULL, os.O_WRONLY)


def _null() -> TextIO:
    return os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")


DECIDED = [
    Outcome(exits.FAILED, "it failed"),
    Outcome(exits.DATABASE, "it can't be reached", "start it"),
    Outcome(exits.SIGNALLED + 15, "terminated", signal=15),
]


@pytest.mark.parametrize("outcome", DECIDED)
def test_a_failure_stays_one_when_nobody_reads(
    outcome: Outcome, tmp_path: Path, unread: int
) -> None:
    done = finish(outcome, tmp_path, unread).check(outcome.status)
    assert f"Error: {outcome.message}\n" in done.stderr
    assert "Broken pipe" not in done.stderr
    if outcome.hint:
        assert f"Next: {outcome.hint}\n" in done.stderr


def test_a_reader_that_has_gone_has_read_enough(tmp_path: Path, unread: int) -> None:
    assert finish(Outcome(), tmp_path, unread) == Done(0)


@pytest.mark.parametrize("outcome", DECIDED)
def test_a_failure_stays_one_on_a_full_disk(outcome: Outcome, tmp_path: Path, full: int) -> None:
    done = finish(outcome, tmp_path, full).check(outcome.status)
    assert f"Error: {outcome.message}\nwhat was printed could not be written: " in done.stderr


def test_an_answer_that_is_lost_is_a_failure(tmp_path: Path, full: int) -> None:
    done = finish(Outcome(), tmp_path, full).check(exits.FAILED)
    assert done.stderr.startswith("Error: what was printed could not be written: ")
    assert "No space left" in done.stderr


def test_python_does_not_write_again_at_its_end(tmp_path: Path) -> None:
    """It would end with 120, in the place of the status."""
    text = (
        "import sys; from reflex_driver import exits; print('answer');"
        "sys.exit(exits.finish(exits.Outcome(4, 'it is not there')))"
    )
    with open(FULL, "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", text],
            env=environment(PYTHONPATH=str(Path(exits.__file__).parents[1])),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == exits.DATABASE
    assert "Exception ignored" not in done.stderr


@pytest.mark.parametrize("closed", ["descriptor", "stream", "absent"])
def test_a_stderr_that_is_closed_changes_no_status(closed: str, tmp_path: Path) -> None:
    def end() -> int:
        if closed == "descriptor":
            os.close(2)
        elif closed == "stream":
            sys.stderr.close()
        else:
            sys.stderr = sys.__stderr__ = None  # type: ignore[misc]
        print("answer")
        status = exits.finish(Outcome(exits.LOCKED, "another one runs"))
        sys.stderr = _null()  # for the end of the fork
        return status

    assert fork(end, tmp_path).check(exits.LOCKED).stdout == "answer\n"


def test_a_stdout_that_is_closed(tmp_path: Path) -> None:
    def end() -> int:
        sys.stdout.close()
        status = exits.finish(Outcome(exits.FAILED, "it failed"))
        sys.stdout = _null()
        return status

    assert fork(end, tmp_path).check(exits.FAILED).stderr == "Error: it failed\n"


def test_streams_that_the_project_has_replaced_are_flushed(tmp_path: Path) -> None:
    def end() -> int:
        sys.stdout.write("first ")
        sys.stdout = os.fdopen(os.dup(1), "w")
        sys.stdout.write("second")
        sys.stderr = _null()  # what we say goes to the process's own
        return exits.finish(Outcome(exits.FAILED, "it failed"))

    done = fork(end, tmp_path).check(exits.FAILED)
    assert done.stdout in ("first second", "secondfirst ")
    assert done.stderr == "Error: it failed\n"


def test_a_stream_of_the_projects_own_kind(tmp_path: Path) -> None:
    class Odd:
        def flush(self) -> None:
            raise RuntimeError("no")

    def end() -> int:
        sys.stdout = Odd()
        status = exits.finish(Outcome())
        sys.stdout = sys.__stdout__
        return status

    assert fork(end, tmp_path) == Done(0)


def test_the_order_of_a_report(tmp_path: Path) -> None:
    outcome = Outcome(exits.FAILED, " it failed \n", "do this", "\nTraceback:\n  here\n")
    done = fork(lambda: exits.finish(outcome), tmp_path).check(exits.FAILED)
    assert done.stderr == "Traceback:\n  here\nError: it failed\nNext: do this\n"
    outcome = Outcome(exits.FAILED, "why", "do this", "  File\n", summary="where")
    done = fork(lambda: exits.finish(outcome), tmp_path).check(exits.FAILED)
    assert done.stderr == "Error: where\n  File\nwhy\nNext: do this\n"
    assert fork(lambda: exits.finish(Outcome(3)), tmp_path).check(3).stderr == ""


def test_colour_is_for_terminals_alone(tmp_path: Path) -> None:
    def end() -> int:
        _parent, child = os.openpty()
        os.dup2(child, 2)
        print(repr(exits.painted("Error:")))
        os.environ["NO_COLOR"] = "1"
        print(repr(exits.painted("Error:")))
        return 0

    assert fork(end, tmp_path).stdout == "'\\x1b[31mError:\\x1b[0m'\n'Error:'\n"
    assert exits.painted("x") == "x"


def test_a_revision_that_prints_and_fails(project: Project) -> None:
    """`reflex db upgrade head | true` was 0."""
    project.revision("a1", body="print('x')\n1 / 0")
    with project.start("upgrade", "head") as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        told = process.stderr.read()
        assert process.wait(60) == exits.FAILED
    assert "Error: a1 (alembic/versions/a1_.py:8) failed" in told
    assert "\nZeroDivisionError: " in told
    assert "Broken" not in told
    assert "Exception ignored" not in told
