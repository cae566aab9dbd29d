"""What package embedpy runs inside the interpreter; see embedpy/doc.go.

Go executes this file as the module ``_embedpy`` and calls ``start`` once,
``call`` for each Interpreter.Call, ``describe`` for an exception that ``call``
could not describe, and ``stop`` before Python ends.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import zlib
from _frozen_importlib_external import cache_from_source
from importlib.machinery import ModuleSpec, SourceFileLoader

from _embedpy_bytecode import header, keep, read, write

TYPE_CHECKING = False  # as in typing, whose import takes longer than all the rest
if TYPE_CHECKING:
    from types import CodeType, FrameType, TracebackType
    from typing import Any, NoReturn

ROOT = "<embedpy>/"
"""Stands for the directory of the modules that exist in memory only."""

Description = tuple[bytes, bytes, bytes, int, int]
"""Qualified type, message, traceback, exit status or -1, number of the Go error."""

process = os.getpid()


class MemoryImporter(SourceFileLoader):
    """Import modules from a dict of file name and content (PEP 451).

    The bytecode is kept in the directory ``cache``, where there is one: compiling
    is most of the time an import takes.
    """

    def __init__(self, files: dict[str, bytes], cache: str) -> None:
        self.files = files
        self.cache = cache

    def find_spec(
        self,
        name: str,
        path: object = None,  # noqa: ARG002
        target: object = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        base = name.replace(".", "/")
        for file, is_package in ((base + "/__init__.py", True), (base + ".py", False)):
            if file in self.files:
                spec = ModuleSpec(name, self, origin=ROOT + file, is_package=is_package)
                spec.has_location = True  # gives the module a __file__
                spec.cached = None
                return spec
        return None

    def get_filename(self, name: str | None = None) -> str:
        spec = self.find_spec(name or "")
        if spec is None or spec.origin is None:
            raise ImportError(f"no module {name!r} in memory", name=name)
        return spec.origin

    def get_data(self, path: str) -> bytes:
        try:
            return self.files[path.removeprefix(ROOT)]
        except KeyError:
            raise FileNotFoundError(path) from None

    def get_code(self, fullname: str) -> CodeType | None:
        if not self.cache or sys.implementation.cache_tag is None:
            return super().get_code(fullname)
        path = self.get_filename(fullname)
        source = self.get_data(path)
        version = header(zlib.crc32(source), len(source))
        name = cache_from_source(path).rpartition(ROOT)[2].replace("/", ".")
        file = os.path.join(self.cache, name)
        code: CodeType | None = read(file, version)
        if code is None:
            code = super().get_code(fullname)
            if code is not None:
                write(file, version, code)
        return code


def start(
    argv: list[str], files: dict[str, bytes], cache: str, pipe: list[int], signals: list[int]
) -> None:
    """Set up what Options has, and the signals that are Python's from now on.

    ``pipe`` holds Go's file descriptors, which are not for a forked child.
    """
    import _reflex

    keep(cache)
    _reflex.interrupted_by, _reflex.cancelled = 0, False
    sys.argv[:] = argv
    if files:
        sys.meta_path.insert(0, MemoryImporter(files, cache))
    for number in signals:
        signal.signal(number, interrupt)
    if sys.version_info >= (3, 12):
        # Python counts Go's threads as the program's.
        import warnings

        text = r"This process \(pid=\d+\) is multi-threaded, use of fork"
        warnings.filterwarnings("ignore", text, DeprecationWarning)
    os.register_at_fork(after_in_child=lambda: forked(pipe, signals))


def forked(pipe: list[int], signals: list[int]) -> None:
    """Make a forked child what a child of any Python program is."""
    for fd in pipe:
        os.close(fd)
    for number in signals:
        if signal.getsignal(number) is interrupt:
            is_int = number == signal.SIGINT
            signal.signal(number, signal.default_int_handler if is_int else signal.SIG_DFL)


def interrupt(number: int, frame: FrameType | None) -> None:
    """End what the program does: KeyboardInterrupt, or exit as a shell counts it.

    Where an event loop runs, its task is cancelled, as asyncio.run does it: an
    exception out of nowhere leaves C code like asyncpg's half way. But raised it
    is in a greenlet beside the loop, where SQLAlchemy has the program's own code
    run (AsyncConnection.run_sync), which a cancelled task does not end.
    """
    import _reflex

    if os.getpid() == process:
        _reflex.interrupted_by = number
    error = KeyboardInterrupt() if number == signal.SIGINT else SystemExit(128 + number)
    asyncio = sys.modules.get("asyncio")
    loop = asyncio and asyncio._get_running_loop()
    greenlet = sys.modules.get("greenlet")
    if loop is None or asyncio is None or (greenlet and greenlet.getcurrent().parent):
        raise error

    def ended(task: Any) -> None:
        if task.cancelled():
            raise error  # out of the loop, so that the program sees what it would without us

    _reflex.cancelled = True
    main = main_task(frame)
    for task in asyncio.all_tasks(loop) if main is None else [main]:
        task.add_done_callback(ended)
        task.cancel()
    loop.call_soon_threadsafe(int)  # wakes it, if it waits


def main_task(frame: FrameType | None) -> Any:
    """What run_until_complete, which frame was called from, waits for; None if it is not seen."""
    while frame is not None:
        if frame.f_code.co_name == "run_until_complete":
            return frame.f_locals.get("future")
        frame = frame.f_back
    return None


def call(module: str, function: str, arg: bytes) -> bytes | Description:
    """Call a function and return its answer, or the exception that it raised."""
    try:
        result = getattr(importlib.import_module(module), function)(arg)
        if result is None:
            result = b""
        elif isinstance(result, str):
            result = result.encode()
        elif not isinstance(result, bytes):
            raise TypeError(f"{module}.{function} returned {type(result).__name__}, not bytes")
        if os.getpid() != process:
            leave(0)
        return result
    except BaseException as error:
        if os.getpid() != process:
            leave_with(error)
        return describe(error)


def describe(error: BaseException) -> Description:
    """What Go is told of an exception."""
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ != "builtins":
        name = f"{kind.__module__}.{name}"
    try:
        message = str(error)
    except Exception:
        message = "(its __str__ failed)"
    return (
        encode(name),
        encode(message),
        encode(format_traceback(error)),
        exit_status(error.code) if isinstance(error, SystemExit) else -1,
        go_error(error),
    )


def encode(text: str) -> bytes:
    """UTF-8, of any str."""
    return text.encode("utf-8", "backslashreplace")


def format_traceback(error: BaseException) -> str:
    """The traceback from the first frame that is not of this file."""
    import traceback  # only here: it is slow to import

    try:
        frames = first_frame(error.__traceback__)
        return "".join(traceback.format_exception(type(error), error, frames))
    except Exception as failure:
        return f"(no traceback: {failure!r})\n"


def first_frame(tb: TracebackType | None) -> TracebackType | None:
    """The traceback without the frames of this file and of importlib at its start."""
    ours = (__file__, importlib.__file__)
    while tb is not None:
        file = tb.tb_frame.f_code.co_filename
        if file not in ours and not file.startswith("<frozen importlib"):
            break
        tb = tb.tb_next
    return tb


def exit_status(code: object) -> int:
    """The exit status that Python gives to ``SystemExit(code)``."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    return 1


def go_error(error: BaseException) -> int:
    """The number of the Go error that error is, or was raised from; 0 if there is none."""
    cause: BaseException | None = error
    for _ in range(100):  # a chain of causes may be a ring
        if cause is None:
            break
        number = getattr(cause, "_id", 0) if type(cause).__name__ == "GoError" else 0
        if isinstance(number, int) and number:
            return number
        cause = cause.__cause__
    return 0


def leave_with(error: BaseException) -> NoReturn:
    """End a forked child as Python would have ended it: Go cannot run there."""
    if isinstance(error, SystemExit):
        if error.code is not None and not isinstance(error.code, int):
            print(error.code, file=sys.stderr)
        leave(exit_status(error.code))
    sys.stderr.write(format_traceback(error))
    leave(1)


def leave(status: int) -> NoReturn:
    """End a forked child."""
    flush()
    os._exit(status)


def flush() -> BaseException | None:
    """Flush the standard streams. Returns stdout's error.

    Like Python, it makes nothing of a stderr that is full or gone.
    """
    failure: BaseException | None = None
    for name in ("stderr", "stdout"):
        stream = getattr(sys, name, None)
        try:
            if stream is not None:
                stream.flush()
        except OSError as error:
            failure = error if name == "stdout" else None
            discard(stream)
        except Exception:
            pass
    return failure


def discard(stream: Any) -> None:
    """Lead what is left in a stream's buffer to nowhere.

    Without this, Python tries to write it again when it ends, and complains.
    """
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        if null != stream.fileno():
            os.dup2(null, stream.fileno())
            os.close(null)
    except (OSError, ValueError):  # some object of the program's, with no descriptor
        pass


def stop() -> Description | None:
    """What comes before Py_FinalizeEx. Returns why stdout could not be flushed."""
    error = flush()
    return None if error is None else describe(error)
