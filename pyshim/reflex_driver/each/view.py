"""What a person sees of `--each`.

A line for each database goes to stdout, but on a terminal, where a progress line says as
much. What failed, and what it printed, goes to stderr.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from .. import exits, log, report
from ..exits import Outcome
from ..printing import put
from ..progress import Progress
from ..terminal import is_terminal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .databases import Database


@dataclass
class Result:
    """What became of a database that was begun."""

    database: Database
    outcome: Outcome
    found: dict[str, Any]  # course.py, with `seconds`
    stdout: str = ""
    stderr: str = ""
    reads: bool = False  # the command changes nothing

    @property
    def word(self) -> str:
        """How it ended, in a word."""
        return report.word(self.outcome, self.found, reads=self.reads)

    def record(self) -> dict[str, Any]:
        """The line of the report; docs/status.md."""
        found = self.found | {"target": self.found.get("target") or self.database.target or None}
        return {"name": self.database.name, **report.record(self.outcome, found, reads=self.reads)}


class View:
    """Prints each result. `answers`: the output of the command is the answer, as of `current`."""

    def __init__(
        self, number: int, *, answers: bool, verbose: bool, json: bool, records: bool = False
    ) -> None:
        self._number = number
        self._answers, self._verbose, self._json = answers, verbose, json
        self._records = records  # which JSON has in the place of the command's own
        self._began = time.monotonic()
        self._count: Counter[str] = Counter()
        self._at_work: list[str] = []
        self._progress = Progress()
        terminal = _is_terminal(sys.stdout) and _is_terminal(sys.stderr)
        self._line_for_each = answers or json or not terminal
        self.unread: OSError | None = None  # why stdout can't be written any more

    def begin(self, database: Database) -> None:
        """A database is begun."""
        self._at_work.append(database.name)
        self.renew()

    def renew(self) -> None:
        """Renew the progress line, where there is one."""
        if log.as_json or not _is_terminal(sys.stderr):
            return
        failed = self._count["failed"] + self._count["interrupted"]
        ended = self._count.total()
        text = f"{ended - failed} done, {failed} failed, {self._number - ended} left"
        seconds = time.monotonic() - self._began
        if ended and seconds > 0:
            rest = round((self._number - ended) * seconds / ended)
            text += f", {ended / seconds:.1f}/s, {rest}s to go"
        if self._at_work:
            text += ": " + ", ".join(self._at_work)
        self._progress.show(text)

    def end(self, result: Result) -> None:
        """A database has ended."""
        name, outcome = result.database.name, result.outcome
        self._at_work.remove(name)
        self._count[result.word] += 1
        self.clear()
        if self._line_for_each:
            self._answer(result)
        if not outcome.signal:
            if not outcome.succeeded or self._verbose:
                self._tell(name, result.stderr)
                if not self._answers:
                    self._tell(name, result.stdout)
            if not outcome.succeeded:
                exits.report(outcome, name)
        self.renew()

    def clear(self) -> None:
        """Take the progress line away."""
        self._progress.clear()

    def _answer(self, result: Result) -> None:
        """A database's own line, on stdout."""
        name, outcome = result.database.name, result.outcome
        answer = result.stdout.strip()
        if self._json and self._records:
            self._print("", json.dumps(result.record(), separators=(",", ":")))
            return
        if self._json:
            document: dict[str, Any] = {"name": name}
            if answer:
                document["answer"] = _document(answer)
            if not outcome.succeeded:
                document["error"] = {"status": outcome.status, "message": outcome.message}
            self._print("", json.dumps(document, separators=(",", ":")))
            return
        if self._answers and outcome.succeeded:
            self._print(name, answer or "(nothing)")
            return
        text = f"{result.word:<11} {name}"
        before, after = (report.joined(result.found.get(key)) for key in ("before", "after"))
        if before is not None:
            at = "(not known)" if after is None else after or "<base>"
            text += f"  {before or '<base>'} -> {at}"
        text += f"  {result.found.get('seconds', 0):.2f}s"
        if not outcome.succeeded:
            text += f"  {_first_line(outcome.message)}"
        self._print("", text)

    def _print(self, name: str, text: str) -> None:
        if self.unread is None:
            try:
                put(exits.prefixed(name, text), end="", flush=True)
            except OSError as exc:
                self.unread = exc
                exits.flush()  # gives up what is left

    def _tell(self, name: str, text: str) -> None:
        if text.strip():
            exits.write_error(text, name)

    def summary(self, results: Sequence[Result | None]) -> None:
        """Say what became of all of them."""
        self.clear()
        counts = [
            f"{self._count[word]} {word}"
            for word in ("ok", "unchanged", "failed", "interrupted")
            if self._count[word]
        ]
        left = results.count(None)
        if left:
            counts.append(f"{left} not begun")
        seconds = time.monotonic() - self._began
        lines = [f"{self._number} databases: {', '.join(counts)}, in {seconds:.2f}s"]
        lines += [
            f"failed: {r.database.name}: {_first_line(r.outcome.message)}"
            for r in results
            if r is not None and r.word == "failed"
        ]
        exits.write_error("".join(f"{line}\n" for line in lines))


def _document(answer: str) -> Any:
    """An answer as JSON; what is not JSON is a string of it."""
    try:
        return json.loads(answer)
    except ValueError:
        return answer


def _is_terminal(stream: TextIO | None) -> bool:
    """Whether a line can be renewed in place there."""
    try:
        return is_terminal(stream) and os.environ.get("TERM") != "dumb"
    except ValueError:  # it is closed
        return False


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
