"""The processes of `--each`, one for each database, and what they print.

A process is a fork of this one, which has imported Alembic and nothing of the project.
Where there is no fork, or threads were started before, it is started anew.
"""

from __future__ import annotations

import _thread
import contextlib
import itertools
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import traceback
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import exits
from ..signals import VERBS, out_of_the_way

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

KEPT = 1 << 20  # bytes of what a process prints, the last

Job = dict[str, Any]
"""What a process is to do, as JSON knows it."""


@dataclass
class Ended:
    """How a process ended."""

    answer: dict[str, Any] | None  # None if it ended before it could give one
    status: int  # negative is the signal that ended it
    stdout: str
    stderr: str


@dataclass(eq=False)
class _Process:
    pid: int
    popen: subprocess.Popen[bytes] | None = None  # if it is not a fork
    files: dict[str, str] = field(default_factory=dict)  # then: what `printed` is for a fork
    printed: dict[str, bytearray] = field(default_factory=dict)  # stdout, stderr and the answer
    cut: set[str] = field(default_factory=set)

    def poll(self) -> int | None:
        """Its status, once it has ended."""
        if self.popen is not None:
            return self.popen.poll()
        if sys.platform == "win32":  # never called there
            raise NotImplementedError
        ended, status = os.waitpid(self.pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if ended else None

    def take(self, stream: str, data: bytes) -> None:
        text = self.printed.setdefault(stream, bytearray())
        text += data
        if len(text) > 2 * KEPT and stream != "answer":
            del text[:-KEPT]
            self.cut.add(stream)

    def text(self, stream: str) -> str:
        if self.files:
            self._take_file(stream)
        text = self.printed.get(stream, b"").decode(errors="backslashreplace")
        return ("[...]\n" if stream in self.cut else "") + text

    def answer(self) -> dict[str, Any] | None:
        if self.files:
            self._take_file("answer")
        try:
            found: dict[str, Any] = json.loads(self.printed.get("answer", b""))
        except ValueError:
            return None
        return found

    def _take_file(self, stream: str) -> None:
        """Take the end of what is in a stream's file, and remove that."""
        with contextlib.suppress(OSError):  # there is no answer; a child of its own has it open
            with open(self.files[stream], "rb") as file:
                if stream != "answer" and file.seek(0, os.SEEK_END) > 2 * KEPT:
                    file.seek(-KEPT, os.SEEK_END)
                    self.cut.add(stream)
                else:
                    file.seek(0)
                self.printed[stream] = bytearray(file.read())
            os.unlink(self.files[stream])


class Processes:
    """A context manager around all of them. The signals that end a run are its own."""

    def __init__(self, program: str, version: str, close: list[int]) -> None:
        self.signal = 0  # the first that came
        self._program, self._version = program, version
        self._close = close  # the parent's own descriptors
        self._running: set[_Process] = set()
        self._received: list[int] = []
        self._handlers: dict[int, Any] = {}
        self._selector = getattr(selectors, "PollSelector", selectors.SelectSelector)()
        self._waker, self._wakes = socket.socketpair()
        self._directory: Path | None = None  # where nothing forks: sources, and _Process.files
        self._numbers = itertools.count()
        self._cleaning = contextlib.ExitStack()
        self.forks = (
            hasattr(os, "fork") and sys.platform != "darwin" and threading.active_count() == 1
        )
        if self.forks:
            # A process whose parent has ended reads the end of this pipe, and ends too.
            self._parent = os.pipe()

    def __enter__(self) -> Processes:
        for end in (self._waker, self._wakes):
            end.setblocking(False)
        self._selector.register(self._wakes, selectors.EVENT_READ, None)
        numbers: list[int] = [n for n in VERBS if signal.getsignal(n) is not signal.SIG_IGN]
        if hasattr(signal, "SIGCHLD"):
            numbers.append(signal.SIGCHLD)
        for number in numbers:
            self._handlers[number] = signal.signal(number, self._handle)
        signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore_signals()
        self._cleaning.close()

    @property
    def running(self) -> int:
        """How many are at work."""
        return len(self._running)

    def start(self, job: Job, work: Callable[[Job, int], int]) -> object:
        """Start a process and return it. A fork calls `work` with a descriptor for its answer."""
        process = self._fork(job, work) if self.forks else self._spawn(job)
        self._running.add(process)
        return process

    def wait(self, timeout: float) -> Iterator[tuple[object, Ended]]:
        """Wait until something happens, or `timeout` seconds; yield those that have ended."""
        for key, _ in self._selector.select(timeout):
            if key.data is None:
                with contextlib.suppress(BlockingIOError):
                    self._wakes.recv(4096)
            else:
                self._read(key)
        for number in self._received:
            if number in VERBS:
                self.signal = self.signal or number
                self._send(number)
        self._received.clear()
        for process in list(self._running):
            status = process.poll()
            if status is not None:
                self._running.remove(process)
                self._drain(process)
                yield (
                    process,
                    Ended(process.answer(), status, process.text("stdout"), process.text("stderr")),
                )

    def _send(self, number: int) -> None:
        for process in self._running:
            with contextlib.suppress(OSError):  # it has ended
                if process.popen is None:
                    os.kill(process.pid, number)
                elif process.popen.stdin is not None:
                    os.write(process.popen.stdin.fileno(), bytes([number]))  # see spawned.py

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self._received.append(number)

    def _restore_signals(self) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def _read(self, key: selectors.SelectorKey) -> bool:
        """Read once; whether there may be more."""
        process, stream = key.data
        try:
            data = os.read(key.fd, 1 << 16)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if data:
            process.take(stream, data)
        else:
            self._selector.unregister(key.fileobj)
            os.close(key.fd)
        return bool(data)

    def _drain(self, process: _Process) -> None:
        """Read what is left; a child of its own may still have the streams open."""
        for key in list(self._selector.get_map().values()):
            if key.data is not None and key.data[0] is process:
                while self._read(key):
                    pass
                with contextlib.suppress(KeyError):
                    self._selector.unregister(key.fileobj)
                    os.close(key.fd)

    def _listen(self, process: _Process, streams: dict[str, int]) -> None:
        if sys.platform == "win32":  # never called there
            raise NotImplementedError
        for name, descriptor in streams.items():
            os.set_blocking(descriptor, False)
            self._selector.register(descriptor, selectors.EVENT_READ, (process, name))

    def _fork(self, job: Job, work: Callable[[Job, int], int]) -> _Process:
        if sys.platform == "win32":  # never called there
            raise NotImplementedError
        pipes = {name: os.pipe() for name in ("stdout", "stderr", "answer")}
        exits.flush()
        pid = os.fork()
        if pid == 0:
            status = exits.FAILED
            try:
                answer = self._become_child(pipes)
                status = work(job, answer)
            except BaseException:  # noqa: BLE001 - whatever it is, the parent's code is not run
                traceback.print_exc()
            finally:
                exits.flush()
                os._exit(status)
        for _, write in pipes.values():
            os.close(write)
        process = _Process(pid)
        self._listen(process, {name: read for name, (read, _) in pipes.items()})
        return process

    def _become_child(self, pipes: dict[str, tuple[int, int]]) -> int:
        """Make this process what a program is that was started for itself."""
        if sys.platform == "win32":  # never called there
            raise NotImplementedError
        os.setpgid(0, 0)  # what a terminal sends to its foreground is the parent's to pass on
        self._restore_signals()
        null = os.open(os.devnull, os.O_RDWR)
        for number, descriptor in enumerate((null, pipes["stdout"][1], pipes["stderr"][1])):
            os.dup2(descriptor, number)
        answer = out_of_the_way(pipes["answer"][1])
        parent, theirs = out_of_the_way(self._parent[0]), self._parent[1]
        close = [null, theirs, *self._close, self._waker.fileno(), self._wakes.fileno()]
        close += [key.fd for key in self._selector.get_map().values() if key.data is not None]
        close += [read for read, _ in pipes.values()]
        close += [pipes[name][1] for name in ("stdout", "stderr")]
        for descriptor in close:
            os.close(descriptor)
        streams: list[Any] = [sys.stdout, sys.stderr]
        for stream in streams:
            with contextlib.suppress(AttributeError, ValueError):  # there is none
                stream.reconfigure(line_buffering=stream is sys.stderr)
        _thread.start_new_thread(_end_with_parent, (parent,))
        return answer

    def received_by_child(self) -> list[int]:
        """In a fork: the signals that came before it had handlers of its own."""
        return [number for number in self._received if number in VERBS]

    def _spawn(self, job: Job) -> _Process:
        if self._directory is None:
            path = self._cleaning.enter_context(
                tempfile.TemporaryDirectory(prefix="reflex-db-", ignore_cleanup_errors=True)
            )
            self._directory = Path(path)
        from .. import project

        # Files, because Windows can't wait for several pipes; the directory is private.
        number = str(next(self._numbers))
        files = {
            name: str(self._directory / f"{number}.{name}")
            for name in ("stdout", "stderr", "answer")
        }
        words = project.command(sys.executable, self._directory)
        with open(files["stdout"], "wb") as stdout, open(files["stderr"], "wb") as stderr:
            popen = subprocess.Popen(
                [*words, self._program, self._version, "", "__database"],
                stdin=subprocess.PIPE,
                stdout=stdout,
                stderr=stderr,
                # What a terminal sends to its foreground is the parent's to pass on.
                start_new_session=hasattr(os, "setsid"),
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        assert popen.stdin is not None
        with contextlib.suppress(OSError):  # it has ended
            told = json.dumps({"job": job, "answer": files["answer"]}).encode()
            popen.stdin.write(told + b"\n")
            popen.stdin.flush()
        if not hasattr(signal, "SIGCHLD"):
            _thread.start_new_thread(self._tell_end, (popen,))
        return _Process(popen.pid, popen, files)

    def _tell_end(self, popen: subprocess.Popen[bytes]) -> None:
        """Do what SIGCHLD does where it is."""
        popen.wait()
        with contextlib.suppress(OSError):  # the run is over; or it is awake already
            self._waker.send(b"\0")


def _end_with_parent(descriptor: int) -> None:
    with contextlib.suppress(OSError):
        os.read(descriptor, 1)
        os.kill(os.getpid(), signal.SIGTERM)
