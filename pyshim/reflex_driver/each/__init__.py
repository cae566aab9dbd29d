"""`--each`: the command for each database of a list, each in a process of its own.

    databases   the list, and which of it are this shard's
    processes   the processes: forks of this one, or started anew (spawned)
    work        one database: a plain run, and an answer for the parent at its end
    watch       where a run connects
    view        what a person sees
    files       what --failed and --report name

The parent imports no code of the project. A database's process does, and nothing of it is
left for the next database.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from dataclasses import dataclass
from signal import Signals as SignalNumber
from typing import TYPE_CHECKING, Any

from .. import configuration, exits, options
from ..exits import Outcome
from ..pyproject import ProjectError
from ..signals import VERBS, meaning
from ..stopped import is_relative
from ..usage import UsageError
from . import databases, preload, work
from .databases import Database, ListError
from .files import Failed, Report
from .processes import Ended, Job, Processes
from .view import Result, View

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..commandline import CommandLine
    from ..signals import Signals

# Other variables in which a {} stands for the name as well.
_OTHER_URLS = ("REFLEX_DB_LOCK_URL", "REFLEX_ASYNC_DB_URL")

_RENEWAL = 1.0  # of the progress line, in seconds


def run(
    command: CommandLine, parsed: argparse.Namespace, argv: Sequence[str], signals: Signals
) -> Outcome:
    """Run the command on each database of the list, and say how that ended."""
    argv = options.without_each(argv)
    try:
        _refuse(parsed)
        url, _ = configuration.named_url(command._inis_from_config(parsed)[0])
        found = _read_list(parsed, argv, url)
        each = _Each(command, parsed, argv, found)
    except UsageError as exc:
        return Outcome(exits.USAGE, str(exc), exc.hint)
    except ProjectError as exc:
        return Outcome(exits.DATABASE, str(exc))
    signals.stop()  # this process has nothing to roll back, and passes signals on
    return each.go_through()


def _refuse(parsed: argparse.Namespace) -> None:
    name = parsed.cmd[0].__name__  # for migrate it is upgrade
    if name not in options.EACH_COMMANDS:
        names = ", ".join(sorted(options.EACH_COMMANDS))
        raise UsageError(f"--each makes no sense with {name}; it goes with {names}")
    if getattr(parsed, "sql", False):
        raise UsageError("--each connects to every database, and --sql to none")


def _read_list(parsed: argparse.Namespace, argv: Sequence[str], url: str) -> list[Database]:
    other = databases.has_placeholder(argv) or any(
        databases.PLACEHOLDER in os.environ.get(name, "") for name in _OTHER_URLS
    )
    places = databases.Places(url, other)
    try:
        if parsed.each == "-":
            found = databases.read(sys.stdin.buffer, places)
        else:
            with open(parsed.each, "rb") as file:
                found = databases.read(file, places)
    except OSError as exc:
        raise UsageError(f"--each: {exits.reason(exc)}") from None
    except ListError as exc:
        raise UsageError(f"--each {parsed.each}: {exc}") from None
    return databases.part(found, getattr(parsed, "shard", None))


@dataclass
class Plan:
    """Says whether the next database may begin."""

    all: int
    first: int = 0  # so many go before all others
    keep_going: bool = False
    begun: int = 0
    running: int = 0
    failed: int = 0
    stopped: bool = False

    def may_begin(self) -> bool:
        """Whether the next may."""
        if self.stopped or self.begun == self.all or (self.failed and not self.keep_going):
            return False
        ended = self.begun - self.running
        if self.begun >= self.first and ended < self.first:  # some of the first still run
            return False
        return not (self.begun == self.first and self.failed)

    def begin(self) -> None:
        """The next has begun."""
        self.begun += 1
        self.running += 1

    def end(self, *, succeeded: bool) -> None:
        """One has ended."""
        self.running -= 1
        self.failed += not succeeded


class _Each:
    """One run. The files are opened before anything begins."""

    def __init__(
        self,
        command: CommandLine,
        parsed: argparse.Namespace,
        argv: Sequence[str],
        found: list[Database],
    ) -> None:
        self._command, self._argv, self._databases = command, argv, found
        self._reads = parsed.cmd[0].__name__ in options.ANSWERING
        self._revision = str(getattr(parsed, "revision", ""))
        self._jobs: int = getattr(parsed, "jobs", _processors())
        self._failed = Failed(parsed.failed) if "failed" in parsed else None
        self._failed_path = getattr(parsed, "failed", "")
        self._report = Report(parsed.report) if "report" in parsed else None
        self._view = View(
            len(found),
            answers=self._reads,
            verbose=bool(getattr(parsed, "verbose", False)),
            json=bool(getattr(parsed, "json", False)),
            records=parsed.cmd[0].__name__ in options.REPORTED,
        )
        self._plan = Plan(
            len(found), getattr(parsed, "first", 0), getattr(parsed, "keep_going", False)
        )
        self._results: list[Result | None] = [None] * len(found)
        self._waited: set[str] = set()  # servers for which --wait has waited in vain
        self._signal = 0

    def go_through(self) -> Outcome:
        """Begin the databases in their order, and wait for those that have begun."""
        close = [self._report.descriptor] if self._report is not None else []
        at_work: dict[object, int] = {}
        with Processes(self._command.program, self._command.version, close) as processes:

            def fork(job: Job, answer: int) -> int:
                outcome, found = work.perform(self._command, job, processes.received_by_child())
                content = work.end(outcome, found)
                work.answer(answer, content)
                return int(content["status"])

            while at_work or self._plan.may_begin():
                while self._plan.may_begin() and processes.running < self._jobs:
                    index = self._plan.begun
                    self._view.begin(self._databases[index])
                    at_work[processes.start(self._job(self._databases[index]), fork)] = index
                    self._plan.begin()
                for process, ended in processes.wait(_RENEWAL):
                    index = at_work.pop(process)
                    self._end(index, ended, processes.signal)
                    if processes.forks and self._plan.begun < self._plan.all:
                        preload.imports((ended.answer or {}).get("imported", ()))
                self._signal = processes.signal
                self._plan.stopped = self._plan.stopped or bool(self._signal)
                self._view.renew()
        return self._conclude()

    def _job(self, database: Database) -> Job:
        variables = {"REFLEX_DB_URL": database.url} if database.url else {}
        for name in _OTHER_URLS:
            value = os.environ.get(name, "")
            if databases.PLACEHOLDER in value:
                variables[name] = databases.fill_url(value, database.name)
        return {
            "argv": databases.fill(self._argv, database.name),
            "variables": variables,
            "expected": database.url if database.own else "",
            "target": database.target if is_relative(self._revision) else "",
            # SQLAlchemy compiles its pattern for URLs at the first: here, once for all forks.
            "waited": work.waited_for(database.url) in self._waited,
        }

    def _end(self, index: int, ended: Ended, signal: int) -> None:
        answer: dict[str, Any] = ended.answer or {}
        if ended.answer is not None:
            outcome = Outcome(**{name: answer[name] for name in Outcome.__dataclass_fields__})
        elif signal:
            outcome = _signalled(signal)
        else:
            outcome = Outcome(exits.FAILED, _death(ended.status))
        database = self._databases[index]
        result = Result(database, outcome, answer, ended.stdout, ended.stderr, self._reads)
        self._results[index] = result
        self._plan.end(succeeded=outcome.succeeded)
        if outcome.status == exits.DATABASE:
            self._waited.add(work.waited_for(database.url))
        self._view.end(result)
        if self._view.unread is not None and self._reads:
            self._plan.stopped = True
        if self._report is not None:
            self._report.write(result.record())
        result.stdout = result.stderr = outcome.traceback = ""  # of many, that is much

    def _conclude(self) -> Outcome:
        lines = []
        for database, result in zip(self._databases, self._results, strict=True):
            if result is not None and result.outcome.succeeded:
                continue
            target = database.target
            if result is None:
                if self._report is not None:
                    self._report.write(_not_begun(database))
            elif is_relative(self._revision):
                target = result.found.get("target") or target
            lines.append(f"{database.line} -> {target}" if target else database.line)
        problems = [self._failed.write(lines)] if self._failed is not None else []
        problems += [self._report.error] if self._report is not None else []
        self._view.summary(self._results)
        for problem in filter(None, problems):
            exits.report(Outcome(exits.FAILED, problem))
        outcome = self._outcome(len(lines), bool(any(problems)))
        if lines and not self._reads_enough():
            outcome.hint = self._next(saved=self._failed is not None and not problems[0])
            if outcome.signal:
                exits.write_error(f"Next: {outcome.hint}\n")
                outcome.hint = ""
        return outcome

    def _reads_enough(self) -> bool:
        """Whether the reader of an answer has gone away, and no database has failed."""
        gone = isinstance(self._view.unread, BrokenPipeError)
        return self._reads and gone and not self._plan.failed

    def _outcome(self, left: int, problems: bool) -> Outcome:
        if self._signal:
            return _signalled(self._signal)
        unread = self._view.unread
        if unread is not None and not isinstance(unread, BrokenPipeError):
            return Outcome(exits.FAILED, f"what was printed could not be written: {unread}")
        if self._reads_enough():
            return Outcome()
        if left:
            text = f"{self._plan.failed} of {self._plan.all} databases failed"
            if left > self._plan.failed:
                text += f", and {left - self._plan.failed} were not begun"
            return Outcome(exits.FAILED, text)
        return Outcome(exits.FAILED) if problems else Outcome()

    def _next(self, *, saved: bool) -> str:
        """What to do about what is left, without doing anything twice."""
        failed = [r for r in self._results if r is not None and r.word == "failed"]
        mend = "mend what failed, and " if failed else ""
        relative = is_relative(self._revision)
        if saved:
            text = f"{mend}give the same command with --each {self._failed_path}"
            if relative and any(r.found.get("target") for r in failed):
                text += "; where a database is half way, its line names the revision to go to"
            return text
        if relative:
            return (
                f"{mend}go on with those databases alone, and name the revision: the same command "
                f"again would take {self._revision} once more on the databases that are done. "
                "--failed FILE writes the list for it"
            )
        text = f"{mend}give the same command again"
        return text if self._reads else f"{text}; a database that is done is left alone"


def _not_begun(database: Database) -> dict[str, Any]:
    return {
        "name": database.name,
        "outcome": "not begun",
        "status": None,
        "from": None,
        "to": None,
        "target": database.target or None,
        "revisions": 0,
        "steps": [],
        "seconds": 0,
        "tries": 0,
        "in_the_way": "",
        "summary": "",
        "message": "",
    }


def _signalled(number: int) -> Outcome:
    number = meaning(number)
    verb = VERBS.get(SignalNumber(number), "interrupted")
    return Outcome(exits.SIGNALLED + number, verb, signal=number)


def _death(status: int) -> str:
    """Say how a process ended that gave no answer."""
    if status >= 0:
        return f"the process ended in the middle of it (exit status {status})"
    name = ""
    with contextlib.suppress(ValueError):
        name = f" ({SignalNumber(-status).name})"
    text = f"the process was ended by signal {-status}{name} in the middle of it"
    return text + ("; it may have been out of memory" if status == -9 else "")


def _processors() -> int:
    """How many CPUs this process may use. The limit of a container counts."""
    count = os.cpu_count() or 1
    if sys.platform == "linux":
        count = len(os.sched_getaffinity(0))
    for quota_file, period_file in (
        ("cpu.max", ""),
        ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"),
    ):
        with contextlib.suppress(OSError, ValueError, IndexError):
            words = _read(f"/sys/fs/cgroup/{quota_file}").split()
            if period_file:
                words.append(_read(f"/sys/fs/cgroup/{period_file}"))
            quota, period = float(words[0]), float(words[1])
            if quota > 0 and period > 0:
                return min(count, max(1, -int(-quota // period)))
    return count


def _read(file: str) -> str:
    with open(file, encoding="ascii") as opened:
        return opened.read()
