"""The modules of the environment and Python's own, whose bytecode is kept (bytecode.py)."""

from __future__ import annotations

import os
import sys
from _frozen_importlib_external import SourceFileLoader, cache_from_source

from .bytecode import facts, header_of, read, write

_LIBRARIES = ("Lib",) if sys.platform == "win32" else ("lib", "lib64")

_PYTHONS = cache_from_source.__code__.co_filename  # importlib's, as its functions have it

TYPE_CHECKING = False  # as in bytecode
if TYPE_CHECKING:
    from types import CodeType


def roots() -> tuple[str, ...]:
    """Where the modules of the environment are, and Python's own."""
    places = [os.path.join(p, d) for p in (sys.prefix, sys.base_prefix) for d in _LIBRARIES]
    return tuple(os.path.join(root, "") for root in [*places, os.path.dirname(os.__file__)])


def are_pythons(*methods: str) -> bool:
    """Whether these methods of SourceFileLoader are Python's own."""
    found = (getattr(getattr(SourceFileLoader, m), "__code__", None) for m in methods)
    return all(getattr(code, "co_filename", "") == _PYTHONS for code in found)


def keep(cache: str) -> None:
    """Keep their bytecode in `cache` from now on, where Python may not write it."""
    stdlib, below = os.path.dirname(os.__file__), roots()
    places = [p for p in sys.path if isinstance(p, str)]  # Python skips what is none
    places = [p for p in places if p == stdlib or p.endswith("-packages")]
    if not sys.dont_write_bytecode and all(os.access(p, os.W_OK) for p in places):
        return
    original = SourceFileLoader.get_code
    if original.__module__.startswith(f"{__package__}."):
        return  # it is ours already
    if not are_pythons("get_code", "source_to_code"):
        return  # sitecustomize has a way of its own to compile

    def get_code(self: SourceFileLoader, fullname: str) -> CodeType | None:
        if type(self) is not SourceFileLoader or self.name != fullname:
            return original(self, fullname)
        path = self.path
        if not path.startswith(below) or "%" in path:
            return original(self, fullname)
        beside = cache_from_source(path)
        if os.path.exists(beside):
            return original(self, fullname)
        if not sys.dont_write_bytecode:
            directory = os.path.dirname(beside)
            if not os.path.isdir(directory):
                directory = os.path.dirname(directory)
            if os.access(directory, os.W_OK):
                return original(self, fullname)
        try:
            info = os.stat(path)
        except OSError:
            return original(self, fullname)
        prefix = sys.prefix if path.startswith(os.path.join(sys.prefix, "")) else sys.base_prefix
        folder = os.path.join(cache, "bytecode", _flat(prefix))
        file = os.path.join(folder, _flat(beside))
        # More than Python itself asks for (PEP 552): a package may be replaced by one of
        # equal size whose times are clamped.
        header = header_of(*facts(info))
        code = read(file, header)
        if code is None:
            code = original(self, fullname)
            if code is not None and _prepare(folder):
                write(file, header, code)
        return code

    # Like importlib's, its frame is left out of a traceback.
    get_code.__code__ = get_code.__code__.replace(co_filename=_PYTHONS)
    SourceFileLoader.get_code = get_code  # type: ignore[method-assign, assignment]


def _flat(path: str) -> str:
    """`path` as the name of one file."""
    for mark in {os.sep, os.altsep or "/", ":"}:
        path = path.replace(mark, "%")
    return path


def _prepare(folder: str) -> bool:
    """Make an environment's folder, and remove those of environments that are gone."""
    if os.path.isdir(folder):
        return True
    parent = os.path.dirname(folder)
    try:
        os.makedirs(parent, 0o700, exist_ok=True)
        os.mkdir(folder, 0o700)
        for name in os.listdir(parent):
            if os.sep == "/" and not os.path.isdir(name.replace("%", "/")):
                gone = os.path.join(parent, name)
                for file in os.listdir(gone):
                    os.unlink(os.path.join(gone, file))
                os.rmdir(gone)
    except OSError:
        pass  # there is no room, or another process is doing the same
    return os.path.isdir(folder)
