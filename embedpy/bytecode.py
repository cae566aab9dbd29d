"""Keeps bytecode where Python keeps none; Go executes this as ``_embedpy_bytecode``.

Where Python may not write beside a module's source, for PYTHONDONTWRITEBYTECODE
or for want of permission, it compiles the module at each start, which is most of
the time that a command takes there. The bytecode of the environment's modules and
of Python's own is then kept in the user's cache directory. What a program can see
of Python's rules stays as it is (sys.dont_write_bytecode, sys.pycache_prefix,
__cached__, what its children do), and of its own files nothing is kept.
"""

from __future__ import annotations

import marshal
import os
import sys
from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader, cache_from_source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import CodeType


def read(file: str, header: bytes) -> CodeType | None:
    """The code in file, if it was written with this header."""
    try:
        with open(file, "rb") as kept:
            content = kept.read()
        if content.startswith(header):
            code: object = marshal.loads(memoryview(content)[len(header) :])
            if isinstance(code, type(read.__code__)):
                return code
    except (OSError, EOFError, ValueError, TypeError):
        pass
    return None


def write(file: str, header: bytes, code: CodeType) -> None:
    """Write a file for read, in one step, if that can be done."""
    SourceFileLoader("", file).set_data(file, header + marshal.dumps(code), _mode=0o600)


def header(time: int, size: int) -> bytes:
    """What tells whether code is of this Python and of this source (cf. PEP 552)."""
    numbers = (time.to_bytes(8, "little", signed=True), (size & 0xFFFFFFFF).to_bytes(4, "little"))
    return MAGIC_NUMBER + b"".join(numbers)


def keep(cache: str) -> None:
    """Keep bytecode in the directory cache from now on, where Python writes none."""
    if not cache or sys.pycache_prefix is not None or sys.implementation.cache_tag is None:
        return  # PYTHONPYCACHEPREFIX is the user's own place for it
    stdlib = os.path.dirname(os.__file__)
    roots = {os.path.join(p, d) for p in (sys.prefix, sys.base_prefix) for d in ("lib", "lib64")}
    libraries = tuple(os.path.join(root, "") for root in roots | {stdlib})
    places = [p for p in sys.path if p == stdlib or p.endswith("-packages")]
    if not sys.dont_write_bytecode and all(os.access(p, os.W_OK) for p in places):
        return
    original = SourceFileLoader.get_code
    pythons = cache_from_source.__code__.co_filename
    for method in (original, SourceFileLoader.source_to_code):
        if getattr(getattr(method, "__code__", None), "co_filename", "") != pythons:
            return  # sitecustomize has a way of its own to compile

    def get_code(self: SourceFileLoader, fullname: str) -> CodeType | None:
        if type(self) is not SourceFileLoader or self.name != fullname:
            return original(self, fullname)
        path = self.path
        if not path.startswith(libraries) or "%" in path:
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
            stat = os.stat(path)
        except OSError:
            return original(self, fullname)
        prefix = sys.prefix if path.startswith(os.path.join(sys.prefix, "")) else sys.base_prefix
        folder = os.path.join(cache, "bytecode", prefix.replace("/", "%"))
        file = os.path.join(folder, beside.replace("/", "%"))
        version = header(int(stat.st_mtime), stat.st_size)
        code = read(file, version)
        if code is None:
            code = original(self, fullname)
            if code is not None and prepare(folder):
                write(file, version, code)
        return code

    # As importlib's, its frame is left out of a traceback.
    get_code.__code__ = get_code.__code__.replace(co_filename=pythons)
    SourceFileLoader.get_code = get_code  # type: ignore[method-assign, assignment]


def prepare(folder: str) -> bool:
    """Make an environment's folder, and remove those of environments that are gone."""
    if os.path.isdir(folder):
        return True
    parent = os.path.dirname(folder)
    try:
        os.makedirs(parent, 0o700, exist_ok=True)
        os.mkdir(folder, 0o700)
        for name in os.listdir(parent):
            if not os.path.isdir(name.replace("%", "/")):
                gone = os.path.join(parent, name)
                for file in os.listdir(gone):
                    os.unlink(os.path.join(gone, file))
                os.rmdir(gone)
    except OSError:
        pass  # there is no room, or another process is doing the same
    return os.path.isdir(folder)
