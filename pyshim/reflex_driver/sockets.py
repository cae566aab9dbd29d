"""The sockets of this process, and a limit to what a driver waits for on them.

No driver has a timeout for everything: connecting, TLS, the answer to a question. What all
of them notice is the end of their socket. Where the system does not list a process's
descriptors (Windows), nothing is found and there is no limit.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time

# The real functions, which gevent can't replace later. The thread is none of threading's, so
# the project does not see it.
from _thread import allocate_lock, start_new_thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Whether a lock's connection is being opened: a listener to the pool's events, which hears of
# it, can tell it from the project's.
opening = False

AGAIN = 0.5  # seconds; a driver may try the next of several hosts, on a new socket


def open_sockets() -> set[tuple[int, int]]:
    """Every socket that is open: its descriptor, and its inode, which no other has had."""
    found: set[tuple[int, int]] = set()
    with contextlib.suppress(OSError):  # no /proc is mounted
        for name in os.listdir("/dev/fd"):
            with contextlib.suppress(OSError):  # the descriptor of the listing itself
                status = os.fstat(int(name))
                if stat.S_ISSOCK(status.st_mode):
                    found.add((int(name), status.st_ino))
    return found


def opened_from_now_on() -> Callable[[], set[tuple[int, int]]]:
    """What a `Limit` needs for sockets that a driver is about to open."""
    before = open_sockets()
    return lambda: open_sockets() - before


def shut_down(sockets: set[tuple[int, int]]) -> None:
    """End both directions of each socket. Who waits for it, in any thread, gets an error."""
    from _socket import SHUT_RDWR, socket

    for descriptor, inode in sockets:
        with contextlib.suppress(OSError):  # closed, or not connected
            copy = socket(fileno=os.dup(descriptor))
            try:
                if os.fstat(copy.fileno()).st_ino == inode:
                    copy.shutdown(SHUT_RDWR)
            finally:
                copy.close()


def make_harmless(descriptors: set[int]) -> None:
    """Lead a forked child's descriptors to nowhere.

    If they were closed, another file could get the number, and with it what the driver writes
    when it is finalized.
    """
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in descriptors:
        os.dup2(null, descriptor, inheritable=False)
    os.close(null)


class Limit:
    """A limit, in seconds, to each of a driver's waits for one of `sockets`: `with limit:`.

    TimeoutError is raised for a wait that has had no answer in time. `sockets` is called in
    another thread, when the time is over. There is one wait at a time. One thread is for all,
    and none of them wakes it: it looks at least once in `seconds`, and so before the time of a
    wait is over, and again at that time.
    """

    def __init__(self, seconds: float, sockets: Callable[[], set[tuple[int, int]]]) -> None:
        self._seconds = seconds
        self._sockets = sockets
        self._waiting = allocate_lock()  # held by the thread whose wait is under way
        self.since: float | None = None  # when that began
        self._expired = False  # its time is over
        self._ended = allocate_lock()  # held until then
        self._ended.acquire()
        with contextlib.suppress(RuntimeError):  # no thread can be started: there is no limit
            start_new_thread(self._watch, ())

    def __enter__(self) -> None:
        self._waiting.acquire()
        self._expired, self.since = False, time.monotonic()

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        self.since, expired = None, self._expired
        self._waiting.release()
        if expired and isinstance(error, Exception):
            raise TimeoutError(f"no answer within {self._seconds:g} seconds") from error

    def _watch(self) -> None:
        pause = self._seconds
        while not self._ended.acquire(timeout=pause):
            since = self.since
            pause = self._seconds if since is None else since + self._seconds - time.monotonic()
            if pause <= 0:
                self._expired, pause = True, AGAIN
                shut_down(self._sockets())

    def end(self) -> None:
        """Let the thread end. It may be called again."""
        if self._ended.locked():
            self._ended.release()


@contextlib.contextmanager
def limited(seconds: float, sockets: Callable[[], set[tuple[int, int]]]) -> Iterator[None]:
    """A `Limit` to one wait."""
    limit = Limit(seconds, sockets)
    try:
        with limit:
            yield
    finally:
        limit.end()
