"""The signals that end a run: SIGINT, SIGTERM and SIGHUP, or Windows' SIGBREAK.

Python runs a signal's handler on the main thread, between two bytecodes; a driver
written in C returns only when the server has answered. So a thread reads the numbers of
the signals from Python's wake-up descriptor (signal.set_wakeup_fd). It has the open
statements cancelled at the first signal (interrupts.py) and ends the process at the
second.

A signal is the project's as soon as the project sets a handler for it. One that was
ignored when the process was started stays ignored: nohup, background jobs. A forked
child has the handlers of any Python program.

The thread is none of threading's: the project sees its own only, and gevent's patches do
not reach it.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import warnings
from typing import TYPE_CHECKING, Any

from . import exits

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_NAMES = {
    "SIGINT": "interrupted",
    "SIGTERM": "terminated",
    "SIGHUP": "hung up",
    "SIGBREAK": "terminated",
}
VERBS = {getattr(signal, n): verb for n, verb in _NAMES.items() if hasattr(signal, n)}
"""What each signal that ends a run does to it."""


def meaning(number: int) -> int:
    """The signal as which `number` ends a run: Windows' SIGBREAK (a console's end) as SIGTERM."""
    return signal.SIGTERM if number == getattr(signal, "SIGBREAK", None) else number


_set_wakeup_fd = signal.set_wakeup_fd


class Signals:
    """Listens from `start` to `stop`. There is one in a process."""

    def __init__(self) -> None:
        self.first = 0  # the first signal that came
        self.raised = 0  # the one whose handler has run on the main thread
        self.cancelled = False  # the handler has cancelled an event loop's task
        self.on_first: Callable[[], None] | None = None  # called on a thread of its own
        self._process = os.getpid()
        self._main = _thread.get_ident()
        self._repeated = False  # by `repeat`, which may do so once
        self._unheard = False  # what it sent has not come to the thread
        self._numbers: list[signal.Signals] = []
        self._read = self._write = -1
        self._mask: Any = ()

    def start(self) -> None:
        """Install the handlers. Called on the main thread."""
        usual = (signal.SIG_DFL, signal.default_int_handler)
        self._numbers = [n for n in VERBS if signal.getsignal(n) in usual]
        self._read, self._write = _pipe()
        for number in self._numbers:
            signal.signal(number, self._handle)
        _set_wakeup_fd(self._write, warn_on_full_buffer=False)
        signal.set_wakeup_fd = self._wakeup_fd_of_the_project
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(
                before=self._before_fork,
                after_in_parent=self._after_fork,
                after_in_child=self._after_fork_in_child,
            )
        if sys.version_info >= (3, 12):
            # Python counts the thread below, and Go's, as the program's.
            text = r"This process \(pid=\d+\) is multi-threaded, use of fork"
            warnings.filterwarnings("ignore", text, DeprecationWarning)
        _thread.start_new_thread(self._listen, (self._read,))

    def stop(self) -> None:
        """Take back what `start` has done; a signal now ends the process as it ends Python."""
        if self._write < 0:
            return
        self._reset()
        os.close(self._write)  # which ends the thread
        self._write = -1

    def repeat(self) -> None:
        """Send the first signal to the main thread once more; called from another thread.

        A prompt waits after it has asked for signals: one that came in between (as early as
        readline has printed the prompt) is seen only when somebody types.
        """
        number = self.first
        if sys.platform == "win32" or self._repeated or signal.getsignal(number) != self._handle:
            return
        self._repeated = self._unheard = True
        signal.pthread_kill(self._main, number)

    def end(self) -> None:
        """End the process, which a signal has not ended."""
        exits.write_error(f"{exits.painted('Error:')} {VERBS[signal.Signals(self.first)]}\n")
        os._exit(exits.SIGNALLED + self.first)

    def _reset(self) -> None:
        signal.set_wakeup_fd = _set_wakeup_fd
        current = _set_wakeup_fd(-1)
        if current not in (self._write, -1):  # the project's own
            _set_wakeup_fd(current)
        for number in self._numbers:
            if signal.getsignal(number) == self._handle:
                usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
                signal.signal(number, usual)

    def _wakeup_fd_of_the_project(self, fd: int, **options: Any) -> int:
        """signal.set_wakeup_fd for the project, which does not see ours, nor takes it away."""
        before = _set_wakeup_fd(fd, **options)
        if fd == -1:
            _set_wakeup_fd(self._write, warn_on_full_buffer=False)
        return -1 if before == self._write else before

    def _listen(self, descriptor: int) -> None:
        while True:
            try:
                numbers = os.read(descriptor, 16)
            except OSError:  # the project has closed whatever it found
                return
            if not numbers:
                break
            for number in numbers:
                if number in self._numbers and signal.getsignal(number) == self._handle:
                    self._heard(number)
        os.close(descriptor)

    def _heard(self, number: int) -> None:
        if self._unheard:
            self._unheard = False
            return
        if self.first:
            os._exit(exits.SIGNALLED + meaning(number))
        self.first = meaning(number)
        if self.on_first is not None:
            _thread.start_new_thread(self.on_first, ())

    def _handle(self, number: int, frame: FrameType | None) -> None:
        """End what the program does: KeyboardInterrupt, or exit as a shell counts it.

        Where an event loop runs, its task is cancelled, as asyncio.run does it: an
        exception out of nowhere leaves C code such as asyncpg's half way. In a greenlet
        beside the loop the exception is raised: SQLAlchemy runs the program's own code
        there (AsyncConnection.run_sync), and a cancelled task does not end it.
        """
        number = meaning(number)
        if os.getpid() == self._process:
            if self.raised and self._repeated:
                return  # or a second one, at which the thread ends the process
            self.raised = number
        error = (
            KeyboardInterrupt() if number == signal.SIGINT else SystemExit(exits.SIGNALLED + number)
        )
        asyncio = sys.modules.get("asyncio")
        loop = asyncio and asyncio._get_running_loop()
        greenlet = sys.modules.get("greenlet")
        if loop is None or asyncio is None or (greenlet and greenlet.getcurrent().parent):
            raise error

        def ended(task: Any) -> None:
            if task.cancelled():
                raise error  # out of the loop, so that the program sees what it would without us

        self.cancelled = True
        main = _main_task(frame)
        for task in asyncio.all_tasks(loop) if main is None else [main]:
            task.add_done_callback(ended)
            task.cancel()
        loop.call_soon_threadsafe(int)  # wakes it, if it waits

    # A signal may come to a forked child before Python's own hooks run there, where the
    # parent's handler would unwind the parent's stack.

    def _before_fork(self) -> None:
        if sys.platform == "win32":  # never called there
            raise NotImplementedError
        self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, self._numbers)

    def _after_fork(self) -> None:
        if sys.platform == "win32":  # never called there
            raise NotImplementedError
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)

    def _after_fork_in_child(self) -> None:
        if self._write >= 0:
            self._reset()
            for descriptor in (self._read, self._write):
                with contextlib.suppress(OSError):
                    os.close(descriptor)
            self._write = -1
        self._after_fork()


def _pipe() -> tuple[int, int]:
    """A pipe whose write end does not wait, as a signal handler needs it."""
    read, write = os.pipe()
    if sys.platform != "win32":  # where Python wants none of it, and 3.11 can't
        os.set_blocking(write, False)
    return out_of_the_way(read), out_of_the_way(write)


def out_of_the_way(descriptor: int) -> int:
    """Move a descriptor of ours to a high number, and return that.

    The project may count on its first file being number 3. No other program inherits it.
    """
    if sys.platform == "win32":
        return descriptor
    import fcntl

    try:
        least = max(min(os.sysconf("SC_OPEN_MAX"), 4096) - 64, 3)
        moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, least)
    except OSError:  # no number is free there
        return descriptor
    os.close(descriptor)
    return moved


def _main_task(frame: FrameType | None) -> Any:
    """What run_until_complete, which frame was called from, waits for; None if it is not seen."""
    while frame is not None:
        if frame.f_code.co_name == "run_until_complete":
            return frame.f_locals.get("future")
        frame = frame.f_back
    return None
