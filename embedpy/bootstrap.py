"""What package embedpy runs first in an interpreter; see embedpy/doc.go.

Go calls ``start`` with the modules that exist in memory only, and ``call`` then. Where this
process has become the interpreter, Go appends both calls.
"""

from __future__ import annotations

import os
import sys
from _frozen_importlib import ModuleSpec
from _frozen_importlib_external import SourceFileLoader

# importlib itself may be a file of the program's. These two are in the interpreter.

TYPE_CHECKING = False  # as in typing, whose import takes longer than all the rest
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType
    from typing import NoReturn

ROOT = "<embedpy>/"
"""Stands for the directory of the modules that exist in memory only."""


class MemoryImporter(SourceFileLoader):
    """Import modules from a dict of file name and content (PEP 451)."""

    code: Callable[[str], CodeType | None] | None = None
    """Returns a module's code, for example from a cache. None compiles the source."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files

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
            return self.files[path.removeprefix(ROOT).replace(os.sep, "/")]
        except KeyError:
            raise FileNotFoundError(path) from None

    def get_code(self, fullname: str) -> CodeType | None:
        return super().get_code(fullname) if self.code is None else self.code(fullname)


def start(archive: bytes) -> None:
    """Make the modules in ``archive`` importable, before any of the same name elsewhere.

    It begins with a line for each file, of its size and name, and an empty line. What
    the files hold follows, one after another.
    """
    index, _, contents = archive.partition(b"\n\n")
    files, at = {}, 0
    for line in index.splitlines():
        size, _, name = line.partition(b" ")
        files[name.decode()] = contents[at : at + int(size)]
        at += int(size)
    if files:
        sys.meta_path.insert(0, MemoryImporter(files))


def call(module: str, function: str, arguments: list[bytes] | list[str]) -> int:
    """Call ``function`` with ``arguments`` as str, and return the exit status.

    The status is the one that Python ends with where a script calls
    ``sys.exit(function(...))``. sys.excepthook shows an exception.
    """
    process = os.getpid()
    try:
        __import__(module)
        result = getattr(sys.modules[module], function)(*map(os.fsdecode, arguments))
        status = exit_status(result)
    except SystemExit as error:
        status = exit_status(error.code)
    except BaseException as error:
        show(error)
        status = 130 if isinstance(error, KeyboardInterrupt) else 1
    if os.getpid() != process:
        end_child(status)
    return status


def exit_status(code: object) -> int:
    """Return the exit status that Python gives to ``SystemExit(code)``."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & 0xFF
    try:
        if sys.stderr is not None:  # print writes to stdout then
            print(code, file=sys.stderr)
    except Exception:  # nobody reads it; Python says nothing either
        pass
    return 1


def show(error: BaseException) -> None:
    """Show an exception that nobody has caught."""
    if error.__traceback__ is not None:
        error.__traceback__ = error.__traceback__.tb_next  # without the frame of `call`
    try:
        if sys.excepthook is sys.__excepthook__:  # has no source lines of what is in memory
            import traceback

            traceback.print_exception(error)
        else:
            sys.excepthook(type(error), error, error.__traceback__)
    except BaseException:  # the program's own hook has failed
        sys.__excepthook__(type(error), error, error.__traceback__)


def end_child(status: int) -> NoReturn:
    """End a child that the called function has forked, as Python ends.

    It has a copy of its parent's stack, and cannot return there: Go does not run in it.
    """
    try:
        import atexit
        import threading

        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.stderr):
            if stream is not None and not stream.closed:
                stream.flush()
    except BaseException:
        status = status or 120  # Python's own for what could not be written
    finally:
        os._exit(status)
