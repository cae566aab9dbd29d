"""Where a failed run has stopped: the revision, the project's own line, and the database."""

from __future__ import annotations

import os
import re
import sysconfig
import traceback
from typing import TYPE_CHECKING

from . import exits, internals

if TYPE_CHECKING:
    from types import FrameType

    from .course import Course, Stretch

STAYS = "this database can't take DDL back, so what the revision had done stays"

_HERE = os.path.dirname(__file__) + os.sep


class Stop:
    """What the frames of `exc` and the course of the run tell."""

    def __init__(self, exc: BaseException, course: Course | None) -> None:
        self._course = course
        self._is_lost = internals.lost_connection(exc)
        self._at_work = course.at_work if course else None
        step = self._at_work.at_work if self._at_work else None
        revision = getattr(step, "revision", None)
        self.file = "" if revision is None else str(revision.path)
        self._revision = ", ".join(step.info.up_revision_ids) if step is not None else ""
        self._frames = _own_frames(exc, self.file)

    @property
    def source(self) -> str:
        """The project's own frames, as a traceback shows them; "" if there are none."""
        return "".join(traceback.format_list(self._frames))

    def summary(self, *, changes: bool) -> str:
        """What has failed, and where that leaves the database; "" where that isn't known."""
        if self._at_work is not None:
            return self._of_revision(self._at_work)
        if not self._frames:
            return ""
        frame = self._frames[-1]
        text = f"stopped at {exits.shown(frame.filename)}:{frame.lineno}"
        if not changes or self._course is None:
            return text
        found = self._course.stretches
        count = sum(len(stretch.steps) for stretch in found)
        if count:
            text += f", after {count} revision{'s' if count > 1 else ''}"
        else:
            text += ", before any revision was run"
        return f"{text}; {self._course.places()}" if found else text

    def _of_revision(self, stretch: Stretch) -> str:
        lines = [f.lineno for f in self._frames if f.filename == self.file]
        where = f" ({exits.shown(self.file)}:{lines[-1]})" if lines else ""
        if self._course is not None and self._course.unknown:
            return (
                f"{self._revision}{where} failed: the connection was lost while it was committed, "
                f"and whether {stretch.name} has it is not known"
            )
        ending = " and was rolled back" if stretch.rolls_back else ""
        return f"{self._revision}{where} failed{ending}; {stretch.name} is at {stretch.place}"

    def next_step(self, named: str, *, whole: bool) -> str:
        """What to do about it. `named` is the revision of the command line."""
        more = "" if whole else "--traceback shows every frame"
        stretch = self._at_work
        if stretch is None or self._course is None:
            return more
        if self._course.unknown:
            return "`status` shows where it is, once the server is back"
        if not stretch.context.impl.transactional_ddl:
            return STAYS
        if not stretch.rolls_back:
            return (
                f"what {self._revision} had committed by then stays: compare the database with it "
                "before it is run again"
            )
        file, again = exits.shown(self.file), _again(stretch, named)
        if self._is_lost:
            return f"once the server answers, {again}; if the connection is lost again, see {file}"
        mend = f"mend {file}, and {again}"
        return f"{mend}; {more}" if more else mend


def _again(stretch: Stretch, named: str) -> str:
    """How to go on. A number of steps is counted from where each database is now."""
    if not is_relative(named):
        return "give the same command again"
    direction = "upgrade" if stretch.at_work.is_upgrade else "downgrade"
    if stretch.target is None:
        return f"go on revision by revision: `{named}` counts from where the database is now"
    return (
        f"go on with `{direction} {stretch.target}`: {named} counts from where the database is now"
    )


def is_relative(named: str) -> bool:
    """Whether a revision is counted from where the database is (alembic.script.base)."""
    return bool(re.fullmatch(r"(.*@)?[+-]\d+", named))


def _own_frames(exc: BaseException, revision: str) -> list[traceback.FrameSummary]:
    """The frames of the project's own files that matter, the outermost first.

    They are those from the revision on, or those that come after env.py, which only leads
    there; where there is nothing after env.py, its last one.
    """
    project = {_package(file) for file in internals.script_files(exc)}
    steps: list[FrameType] = list(internals.steps(exc))
    own = [
        (frame, summary)
        for frame, summary in zip(steps, traceback.extract_tb(exc.__traceback__), strict=False)
        if _is_own(summary.filename, project)
    ]
    first = 0
    for number, (frame, summary) in enumerate(own):
        if summary.filename == revision:
            first = number
            break
        if internals.place(frame)[0] == internals.ENV_MODULE:
            first = number + 1
    return [summary for _, summary in own[min(first, len(own) - 1) :]] if own else []


def is_own(exc: BaseException) -> bool:
    """Whether code of the project was on the way to the exception."""
    return bool(_own_frames(exc, ""))


def _package(file: str) -> str:
    """The directory of the package that a file of the script directory is of, at its top.

    A package may bring its environment along: its files are in site-packages then.
    """
    directory = os.path.dirname(file)
    while True:
        above = os.path.dirname(directory)
        if above == directory or os.path.basename(above) in ("site-packages", "dist-packages"):
            return os.path.join(directory, "")
        if not os.path.exists(os.path.join(above, "__init__.py")):
            return os.path.join(directory, "")
        directory = above


def _is_own(filename: str, project: set[str]) -> bool:
    if filename.startswith(("<", _HERE)):
        return False
    if filename.startswith(tuple(project)):
        return True
    if {"site-packages", "dist-packages"} & set(filename.split(os.sep)):  # another environment's
        return False
    paths = sysconfig.get_paths()
    foreign = {paths["stdlib"], paths["platstdlib"], paths["purelib"], paths["platlib"]}
    return not any(filename.startswith(directory) for directory in foreign)
