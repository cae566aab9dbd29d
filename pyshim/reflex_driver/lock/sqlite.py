"""SQLite: a lock on one byte of the database file, far behind any that SQLite reads or locks.

It is an "open file description" lock (Linux's fcntl(2), F_OFD_SETLK), which
ends with the process, leaves no file behind, is no flock(2), and is not dropped
when another descriptor of the file is closed, as POSIX's would be. Nor may ours
be closed before the process ends: that would drop the POSIX locks that SQLite
holds (https://www.sqlite.org/howtocorrupt.html, section 2.2).

It covers this machine, and on NFS those that mount the file with locks. Where
the file system has no locks the run goes on, and says so: SQLite keeps its
writers apart by the same means, so it has none there either. Windows: windows.py.
"""

from __future__ import annotations

import contextlib
import errno
import os
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ..exits import shown
from ..sockets import make_harmless
from .errors import NoLockError
from .protocol import Holder, Place, Session
from .questions import version_schema

if sys.platform == "win32":
    from . import windows
else:
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Callable

    from alembic.runtime.migration import MigrationContext
    from sqlalchemy.engine import Connection

_BYTE = 1 << 62  # SQLite's own are at 1 << 30 (https://www.sqlite.org/src/file/src/os.h)

_HOLDER = Holder("another process on this machine")

# A Python that was built with old headers does not name F_OFD_GETLK and
# F_OFD_SETLK: python-build-standalone's on Linux, and any on macOS. Linux has one
# number for all architectures (include/uapi/asm-generic/fcntl.h), and macOS too
# (sys/fcntl.h). The kernel decides: an old one answers EINVAL.
_DARWIN = sys.platform == "darwin"
_GET_LOCK, _SET_LOCK = {"linux": (36, 37), "darwin": (92, 90)}.get(sys.platform, (None, None))


def place(connection: Connection, context: MigrationContext) -> Place | None:
    """See protocol.Kind. The file is the one that SQLite has opened; None is in memory."""
    cursor = connection.connection.cursor()
    try:
        cursor.execute("PRAGMA database_list")  # which reads nothing and locks nothing
        files = {name: file for _, name, file in cursor.fetchall()}
    finally:
        cursor.close()
    file = files.get(version_schema(connection, context) or "main")
    return Place(server=file, key=file, name=f"a byte of {file}") if file else None


def open(_connection: Connection, place: Place) -> SQLiteSession:  # noqa: A001
    """See protocol.Kind."""
    return SQLiteSession(place.server)


def holder(_connection: Connection, place: Place) -> Holder | None:
    """See protocol.Kind. The kernel does not tell which process it is."""
    try:
        return None if SQLiteSession(place.server).free() else _HOLDER
    except NoLockError:
        return None


class SQLiteSession(Session):
    """A descriptor of a database file, which stays open until the process ends."""

    def __init__(self, file: str) -> None:
        super().__init__()
        self._file = file
        self._descriptor: int | None = None  # on Windows a handle
        try:
            self._descriptor = _open(file)
        except PermissionError:
            pass  # nor can a migration write it
        except OSError as exc:
            if exc.errno != errno.EROFS:
                raise NoLockError(str(exc)) from exc

    def take(self, key: str) -> bool:  # noqa: ARG002
        return self._ask(_take)

    def free(self) -> bool:
        """Whether nobody else holds the lock, which is not taken for the question."""
        return self._ask(_is_free)

    def holder(self, key: str) -> Holder:  # noqa: ARG002
        return _HOLDER

    def holding(self) -> str:
        pid = _holder_of(self._file)
        if pid is None:
            return ""
        text = f"waiting for {shown(self._file)}: held by pid {pid}"
        with contextlib.suppress(OSError):
            text += f' "{_read(f"/proc/{pid}/comm")}"'
        return text

    def close(self) -> None:
        """The lock is the process's, and ends with it."""

    def abandon(self) -> None:
        if self._descriptor is not None:
            make_harmless({self._descriptor})

    def _ask(self, question: Callable[[int], bool]) -> bool:
        if self._descriptor is None:
            return True
        try:
            return question(self._descriptor)
        except OSError as exc:
            raise NoLockError(f"the file system of {self._file} has no locks ({exc})") from exc


if sys.platform == "win32":

    def _open(file: str) -> int:
        return windows.open_file(file)

    def _take(handle: int) -> bool:
        return windows.take(handle, _BYTE)

    def _is_free(handle: int) -> bool:
        return windows.is_free(handle, _BYTE)

else:

    def _open(file: str) -> int:
        if _SET_LOCK is None:
            raise NoLockError(f"{sys.platform} has no locks that SQLite would not notice")
        return os.open(file, os.O_RDWR | os.O_CLOEXEC)

    def _take(descriptor: int) -> bool:
        return _call(descriptor, _SET_LOCK) is not None

    def _is_free(descriptor: int) -> bool:
        return _call(descriptor, _GET_LOCK) == fcntl.F_UNLCK

    def _call(descriptor: int, command: int | None, kind: int = fcntl.F_WRLCK) -> int | None:
        """Do fcntl(2) and return the kind that it answers with; None where another has the lock."""
        assert command is not None  # else nothing is opened
        flock = _FLOCK.pack(*_flock(kind))
        try:
            answer = fcntl.fcntl(descriptor, command, flock)
        except OSError as exc:
            if exc.errno in (errno.EAGAIN, errno.EACCES):
                return None
            raise
        return int(_FLOCK.unpack(answer)[3 if _DARWIN else 0])


# SQLite's own locks: of the file all that are held, and in WAL mode, where every connection
# holds some of these, the one of the shared memory that a writer has
# (https://www.sqlite.org/src/file/src/os.h, https://www.sqlite.org/walformat.html).
_PENDING_BYTE, _LAST_BYTE = 1 << 30, (1 << 30) + 511
_WAL_WRITE_BYTE = 120


def _holder_of(file: str) -> int | None:
    """A process that keeps others from writing the file, as far as Linux tells (proc(5))."""
    try:
        first, last = _WAL_WRITE_BYTE, _WAL_WRITE_BYTE
        if not os.path.exists(f"{file}-shm"):
            first, last = _PENDING_BYTE, _LAST_BYTE
        else:
            file = f"{file}-shm"
        inode = str(os.stat(file).st_ino)
        rows = [line.split() for line in _read("/proc/locks").splitlines()]
    except OSError:
        return None
    found = [
        (row[3] != "WRITE", int(row[4]))
        for row in rows
        if row[1] == "POSIX" and row[5].rpartition(":")[2] == inode
        if row[6].isdigit() and first <= int(row[6]) <= last
    ]
    others = [holder for holder in found if holder[1] not in (0, os.getpid())]
    return min(others)[1] if others else None  # a writer, if there is one


def _read(file: str) -> str:
    return Path(file).read_text(encoding="utf-8", errors="backslashreplace").strip()


_FLOCK = struct.Struct("qqihh" if _DARWIN else "hhqqi")  # C's struct flock


def _flock(kind: int) -> tuple[int, ...]:
    """One byte of the file."""
    return (_BYTE, 1, 0, kind, os.SEEK_SET) if _DARWIN else (kind, os.SEEK_SET, _BYTE, 1, 0)
