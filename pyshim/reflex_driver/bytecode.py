"""Keeps bytecode where Python keeps none.

Where Python may not write beside a module's source, because of
PYTHONDONTWRITEBYTECODE or for want of permission, it compiles the module at each start.
That is most of the time that a command takes there. So the bytecode of the
environment's modules, of Python's own and of this package is kept in the user's cache
directory. What a project can see of Python's rules stays as it is
(sys.dont_write_bytecode, sys.pycache_prefix, __cached__, what its children do). Nothing
is kept of the project's own files.
"""

from __future__ import annotations

import marshal
import os
import stat
import sys
import zlib
from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader

TYPE_CHECKING = False  # as in typing, whose import takes longer than all the rest
if TYPE_CHECKING:
    from types import CodeType
    from typing import Any


def keep() -> None:
    """Keep bytecode from now on, if there is a directory to keep it in."""
    if sys.implementation.cache_tag is None:
        return
    cache = directory()
    if not cache:
        return
    loader: Any = __spec__.loader
    if hasattr(type(loader), "code"):  # the modules of this package are in memory
        loader.code = lambda name: _code_in_memory(cache, loader, name)
    if sys.pycache_prefix is None:  # PYTHONPYCACHEPREFIX is the user's own place for it
        from . import libraries  # a part of its own: this one is compiled at each start

        libraries.keep(cache)


def directory() -> str:
    """Return this user's cache directory for it; "" if another user could write there.

    What is in there is executed.
    """
    local = os.environ.get("LOCALAPPDATA") if sys.platform == "win32" else ""
    base = os.environ.get("XDG_CACHE_HOME") or local or os.path.expanduser("~/.cache")
    if not os.path.isabs(base):
        return ""
    path = os.path.realpath(os.path.join(base, "reflex-orm"))
    try:
        if not _is_private(path):
            return ""
        _make(path)
    except OSError:
        return ""
    return path


def _make(path: str) -> None:
    """Make a directory and those above it, all for this user only."""
    if not os.path.isdir(path):
        _make(os.path.dirname(path))
        try:
            os.mkdir(path, 0o700)
        except FileExistsError:  # another process was first
            return


def _is_private(path: str) -> bool:
    """Whether only this user and root can change what is in `path`, which may not exist.

    Every directory on the way is theirs. Others can write to none of them, except to those
    below a directory that others can't enter. isPrivate in embedpy/cache.go is the same in
    Go.
    """
    if sys.platform == "win32":  # the profile's own access list keeps others out
        return True
    steps = [path]
    while steps[-1] != os.path.dirname(steps[-1]):
        steps.append(os.path.dirname(steps[-1]))
    is_reached = True  # by others
    for step in reversed(steps):
        try:
            info = os.lstat(step)
        except FileNotFoundError:
            return True
        mode = info.st_mode
        if not stat.S_ISDIR(mode) or info.st_uid not in (0, os.geteuid()):
            return False
        is_reached = is_reached and mode & 0o011 != 0
        # In a sticky directory such as /tmp everybody keeps what is theirs.
        if is_reached and mode & 0o022 and (step == path or not mode & stat.S_ISVTX):
            return False
    return True


def _code_in_memory(cache: str, loader: Any, name: str) -> CodeType | None:
    path = loader.get_filename(name)
    source = loader.get_data(path)
    checksum = zlib.crc32(source)
    # Two versions of the command do not overwrite each other's.
    file = os.path.join(cache, f"{name}-{checksum:08x}.{sys.implementation.cache_tag}.pyc")
    header = header_of(checksum, len(source), 0, 0)
    code = read(file, header)
    if code is None:
        code = SourceFileLoader.get_code(loader, name)
        if code is not None:
            write(file, header, code)
    return code


def facts(info: os.stat_result) -> tuple[int, int, int, int]:
    """What changes when a file does, or a directory."""
    return info.st_mtime_ns, info.st_ctime_ns, info.st_size, info.st_ino


def header_of(*facts: int) -> bytes:
    """What tells whether code is of this Python and of this source."""
    return MAGIC_NUMBER + b"".join((n % 2**64).to_bytes(8, "little") for n in facts)


def open_kept(file: str) -> int:
    """Open a file that is kept here, for reading; return its descriptor.

    OSError is raised for one of another user, who could still write to it, and for what is
    no file, such as a FIFO, which would wait.
    """
    flags = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(file, os.O_RDONLY | flags)
    info = os.fstat(descriptor)
    own = sys.platform == "win32" or info.st_uid in (0, os.geteuid())
    if stat.S_ISREG(info.st_mode) and own:
        return descriptor
    os.close(descriptor)
    raise OSError(f"{file} is no file of this user's")


def read(file: str, header: bytes) -> CodeType | None:
    """The code in `file`, if it was written with this header."""
    try:
        with open(open_kept(file), "rb") as kept:
            content = kept.read()
        if content.startswith(header):
            code: object = marshal.loads(memoryview(content)[len(header) :])
            if isinstance(code, type(read.__code__)):
                return code
    except (OSError, EOFError, ValueError, TypeError):
        pass
    return None


def write(file: str, header: bytes, code: CodeType) -> None:
    """Write a file for `read`, in one step, if that can be done."""
    SourceFileLoader("", file).set_data(file, header + marshal.dumps(code), _mode=0o600)
