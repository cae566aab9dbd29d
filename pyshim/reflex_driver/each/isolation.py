"""The process after a database as it was before it.

What a project changes while one of its modules is imported belongs to that
module, which is imported once, and stays: variables that it takes from a .env
file, listeners of its models. What env.py and the revisions change is put back.

What can't be put back makes the process `retire`: it takes no other database.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import sys
import threading
import warnings
import weakref
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.engine import Engine
from sqlalchemy.event.registry import _EventKey

if TYPE_CHECKING:
    from types import FrameType, TracebackType

    from sqlalchemy.engine import Connection


class Isolation:
    """A context manager around each run. What it puts back is as it was when it was made."""

    def __init__(self) -> None:
        self.retire = False
        self._environment = _Environment()
        self._listeners = _Listeners()
        self._engines = _Engines()
        self._logging = _Logging()
        self._directory = os.getcwd()
        self._umask = _umask()
        self._argv, self._path = sys.argv[:], sys.path[:]
        self._streams = sys.stdin, sys.stdout, sys.stderr
        self._hooks = sys.excepthook, sys.displayhook, threading.excepthook, sys.unraisablehook
        self._handlers = _handlers()
        self._files = _standard_files()
        self._threads: set[threading.Thread] = set()
        self._warnings = warnings.catch_warnings()

    def __enter__(self) -> None:
        self._threads = set(threading.enumerate())
        self._warnings = warnings.catch_warnings()
        self._warnings.__enter__()
        self._environment.start()
        self._listeners.start()

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _exc: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._listeners.stop()
        self._environment.stop()
        self._warnings.__exit__(None, None, None)
        self._logging.restore()
        sys.argv[:], sys.path[:] = self._argv, self._path
        sys.excepthook, sys.displayhook, threading.excepthook, sys.unraisablehook = self._hooks
        os.umask(self._umask)
        gc.enable()
        try:
            os.chdir(self._directory)
        except OSError:
            self.retire = True
        self._restore_streams()
        self._restore_handlers()
        # A thread goes on with what it does until Python ends, as it would
        # without us; so does the lock.
        left = [t for t in threading.enumerate() if t not in self._threads and not t.daemon]
        self.retire = self.retire or bool(left)

    def between(self) -> None:
        """Close what the run has left open: connections, and then SQLite's locks."""
        if self._engines.dispose():
            gc.collect()

    def _restore_streams(self) -> None:
        sys.stdin, sys.stdout, sys.stderr = self._streams
        for stream in self._streams[1:]:
            with contextlib.suppress(Exception):
                stream.flush()
        if any(stream is not None and stream.closed for stream in self._streams):
            self.retire = True
        if _standard_files() != self._files:
            self.retire = True

    def _restore_handlers(self) -> None:
        signal.alarm(0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in _handlers().items():
            if handler is self._handlers[number] or handler == self._handlers[number]:
                continue
            if number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                self.retire = True  # Go has its part in these, which the project has taken
            elif self._handlers[number] is not None:
                signal.signal(number, self._handlers[number])


class _Environment:
    """os.environ, as the interpreter changes it."""

    def __init__(self) -> None:
        self._before = dict(os.environ)
        self._active = False
        # Python has no other way to hear of a change, and nobody sees that we do.
        sys.addaudithook(self._changed)

    def _changed(self, name: str, args: tuple[Any, ...]) -> None:
        if not self._active or name not in ("os.putenv", "os.unsetenv"):
            return
        if _imports(sys._getframe()):
            key = os.fsdecode(args[0])
            if name == "os.putenv":
                self._before[key] = os.fsdecode(args[1])
            else:
                self._before.pop(key, None)

    def start(self) -> None:
        self._active = True

    def stop(self) -> None:
        self._active = False
        for key in os.environ.keys() - self._before.keys():
            del os.environ[key]
        for key, value in self._before.items():
            if os.environ.get(key) != value:
                os.environ[key] = value


class _Listeners:
    """SQLAlchemy's event listeners, on whatever outlives the run."""

    def __init__(self) -> None:
        self._active = False
        self._new: list[_EventKey[Any]] = []
        listen, listeners = _EventKey.listen, self

        def listened(key: _EventKey[Any], *args: Any, **options: Any) -> None:
            listen(key, *args, **options)
            listeners._listened(key)

        _EventKey.listen = listened  # type: ignore[method-assign,assignment]

    def _listened(self, key: _EventKey[Any]) -> None:
        if not self._active:
            return
        frame: FrameType | None = sys._getframe(2)
        while frame is not None and _module(frame).startswith("sqlalchemy.event"):
            frame = frame.f_back
        # SQLAlchemy's own are of what they listen to, and so are ours.
        own = ("sqlalchemy.", "alembic.", "reflex_driver.")
        if frame is not None and not _module(frame).startswith(own) and not _imports(frame):
            self._new.append(key)

    def start(self) -> None:
        self._active = True

    def stop(self) -> None:
        self._active = False
        while self._new:
            with contextlib.suppress(Exception):  # removed by the project, or gone
                self._new.pop().remove()


class _Engines:
    """The Engines that have connected. A process would close their connections with its end."""

    def __init__(self) -> None:
        self._seen: weakref.WeakSet[Engine] = weakref.WeakSet()
        event.listen(Engine, "engine_connect", self._connected)

    def _connected(self, connection: Connection) -> None:
        self._seen.add(connection.engine)

    def dispose(self) -> bool:
        """Give each a new pool; a module that keeps its Engine can connect again.

        Whether connections are left to the collector: the loop of an async one
        has ended, so that it can't be closed.
        """
        left = False
        for engine in self._seen:
            is_async = engine.dialect.is_async
            left = left or is_async
            with contextlib.suppress(Exception):
                engine.dispose(close=not is_async)
        self._seen.clear()
        return left


class _Logging:
    """The configuration of each logger."""

    def __init__(self) -> None:
        self._root = logging.getLogger()
        self._disabled = self._root.manager.disable
        self._before = {logger: _of_logger(logger) for logger in self._loggers()}

    def _loggers(self) -> list[logging.Logger]:
        known = self._root.manager.loggerDict.values()
        return [self._root, *(each for each in known if isinstance(each, logging.Logger))]

    def restore(self) -> None:
        self._root.manager.disable = self._disabled
        for logger in self._loggers():
            state = self._before.get(logger)
            if state is None:  # that of a module, for the most part
                silent = [h for h in logger.handlers if type(h) is logging.NullHandler]
                state = logger.level, silent, logger.filters[:], logger.propagate, False
            for handler in logger.handlers:
                if handler not in state[1]:
                    with contextlib.suppress(Exception):
                        handler.flush()
            logger.setLevel(state[0])
            logger.handlers[:], logger.filters[:] = state[1], state[2]
            logger.propagate, logger.disabled = state[3], state[4]


def _of_logger(logger: logging.Logger) -> tuple[int, list[Any], list[Any], bool, bool]:
    return (
        logger.level,
        logger.handlers[:],
        logger.filters[:],
        logger.propagate,
        logger.disabled,
    )


def _imports(frame: FrameType | None) -> bool:
    """Whether the code that runs is that of a module which is being imported.

    env.py and the revisions are no such modules: Alembic executes them each time.
    """
    while frame is not None:
        if frame.f_code.co_name == "<module>":
            module = sys.modules.get(_module(frame))
            return module is not None and vars(module) is frame.f_globals
        frame = frame.f_back
    return False


def _module(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _handlers() -> dict[int, Any]:
    return {number: signal.getsignal(number) for number in signal.valid_signals()}


def _standard_files() -> list[tuple[int, int] | None]:
    """What the descriptors 0, 1 and 2 lead to."""
    found: list[tuple[int, int] | None] = []
    for descriptor in range(3):
        try:
            status = os.fstat(descriptor)
            found.append((status.st_dev, status.st_ino))
        except OSError:
            found.append(None)
    return found
