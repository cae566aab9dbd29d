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
from _frozen_importlib_external import MAGIC_NUMBER, SourceFileLoader, cache_from_source

_LIBRARIES = ("Lib",) if sys.platform == "win32" else ("lib", "lib64")

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
        _keep_libraries(cache)


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
    header = _header(checksum, len(source), 0, 0)
    code = _read(file, header)
    if code is None:
        code = SourceFileLoader.get_code(loader, name)
        if code is not None:
            _write(file, header, code)
    return code


def libraries() -> tuple[str, ...]:
    """Where the modules of the environment are, and Python's own."""
    roots = [os.path.join(p, d) for p in (sys.prefix, sys.base_prefix) for d in _LIBRARIES]
    return tuple(os.path.join(root, "") for root in [*roots, os.path.dirname(os.__file__)])


def _keep_libraries(cache: str) -> None:
    stdlib, roots = os.path.dirname(os.__file__), libraries()
    places = [p for p in sys.path if p == stdlib or p.endswith("-packages")]
    if not sys.dont_write_bytecode and all(os.access(p, os.W_OK) for p in places):
        return
    original = SourceFileLoader.get_code
    if original.__module__.startswith(f"{__package__}."):
        return  # it is ours already
    pythons = cache_from_source.__code__.co_filename
    for method in (original, SourceFileLoader.source_to_code):
        if getattr(getattr(method, "__code__", None), "co_filename", "") != pythons:
            return  # sitecustomize has a way of its own to compile

    def get_code(self: SourceFileLoader, fullname: str) -> CodeType | None:
        if type(self) is not SourceFileLoader or self.name != fullname:
            return original(self, fullname)
        path = self.path
        if not path.startswith(roots) or "%" in path:
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
        header = _header(info.st_mtime_ns, info.st_ctime_ns, info.st_size, info.st_ino)
        code = _read(file, header)
        if code is None:
            code = original(self, fullname)
            if code is not None and _prepare(folder):
                _write(file, header, code)
        return code

    # Like importlib's, its frame is left out of a traceback.
    get_code.__code__ = get_code.__code__.replace(co_filename=pythons)
    SourceFileLoader.get_code = get_code  # type: ignore[method-assign, assignment]


def _flat(path: str) -> str:
    """`path` as the name of one file."""
    for mark in {os.sep, os.altsep or "/", ":"}:
        path = path.replace(mark, "%")
    return path


def _header(*facts: int) -> bytes:
    """What tells whether code is of this Python and of this source."""
    return MAGIC_NUMBER + b"".join((n % 2**64).to_bytes(8, "little") for n in facts)


def _read(file: str, header: bytes) -> CodeType | None:
    """The code in `file`, if it was written with this header."""
    try:
        with open(file, "rb") as kept:
            content = kept.read()
        if content.startswith(header):
            code: object = marshal.loads(memoryview(content)[len(header) :])
            if isinstance(code, type(_read.__code__)):
                return code
    except (OSError, EOFError, ValueError, TypeError):
        pass
    return None


def _write(file: str, header: bytes, code: CodeType) -> None:
    """Write a file for `_read`, in one step, if that can be done."""
    SourceFileLoader("", file).set_data(file, header + marshal.dumps(code), _mode=0o600)


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
