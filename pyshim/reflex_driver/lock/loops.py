"""asyncio's event loops, where the project's driver is one of asyncio's."""

from __future__ import annotations

import contextlib
import sys
from _thread import allocate_lock, start_new_thread
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")


def running_loop() -> object:
    """The event loop that this is called in, if any; asyncio is not imported for it."""
    asyncio = sys.modules.get("asyncio")
    return asyncio and asyncio._get_running_loop()


def in_new_loop(work: Callable[[], object], seconds: float) -> None:
    """Call `work`, which may use an asyncio driver, in a loop of its own, for `seconds` at most.

    Its errors are not reported.
    """
    import asyncio

    from sqlalchemy.util import greenlet_spawn

    done = allocate_lock()
    done.acquire()

    def run() -> None:
        try:
            with contextlib.suppress(Exception):
                asyncio.run(asyncio.wait_for(greenlet_spawn(work), seconds))
        finally:
            done.release()

    start_new_thread(run, ())
    done.acquire(timeout=seconds + 1)


def keep_forever(thing: object) -> None:
    """Let `thing` outlive Python, so that it is never finalized.

    A connection whose event loop has ended can't be closed, and says so in a traceback or a
    warning when it is finalized. A thread that never ends keeps it; Python does not wait for
    such a thread.
    """

    def keep(_thing: object) -> None:
        never = allocate_lock()
        never.acquire()
        never.acquire()

    start_new_thread(keep, (thing,))
