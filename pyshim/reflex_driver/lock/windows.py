"""Windows: the lock of sqlite.py on one byte of a file, which takes fcntl(2) elsewhere.

LockFileEx's lock is a handle's and ends with the process. The handle lets others delete or
replace the file: a migration may, once its own connection is closed.

https://learn.microsoft.com/windows/win32/api/fileapi/nf-fileapi-lockfileex
"""

from __future__ import annotations

import sys

if sys.platform == "win32":
    import ctypes
    from ctypes import wintypes

    _kernel = ctypes.WinDLL("kernel32", use_last_error=True)
    _kernel.CreateFileW.restype = wintypes.HANDLE

    class _Overlapped(ctypes.Structure):
        _fields_ = (
            ("Internal", ctypes.c_void_p),
            ("InternalHigh", ctypes.c_void_p),
            ("Offset", wintypes.DWORD),
            ("OffsetHigh", wintypes.DWORD),
            ("hEvent", wintypes.HANDLE),
        )

    _GENERIC_READ, _SHARE_ALL, _OPEN_EXISTING = 0x80000000, 7, 3
    _FAIL_IMMEDIATELY, _EXCLUSIVE = 1, 2
    _LOCK_VIOLATION = 33

    def open_file(file: str) -> int:
        """A handle of an existing file. Raises OSError."""
        handle = _kernel.CreateFileW(
            wintypes.LPCWSTR(file), _GENERIC_READ, _SHARE_ALL, None, _OPEN_EXISTING, 0, None
        )
        if handle == wintypes.HANDLE(-1).value:
            raise ctypes.WinError(ctypes.get_last_error())
        return int(handle)

    def take(handle: int, byte: int) -> bool:
        """Lock the byte for this handle alone; False where another has it. Raises OSError."""
        return _lock(handle, byte, _EXCLUSIVE)

    def is_free(handle: int, byte: int) -> bool:
        """Whether nobody has locked the byte.

        Windows can't tell without a lock, so one is taken that lets others ask, and is given
        back at once.
        """
        if not _lock(handle, byte, 0):
            return False
        _kernel.UnlockFileEx(wintypes.HANDLE(handle), 0, 1, 0, ctypes.byref(_at(byte)))
        return True

    def _lock(handle: int, byte: int, how: int) -> bool:
        flags = _FAIL_IMMEDIATELY | how
        at = _at(byte)
        if _kernel.LockFileEx(wintypes.HANDLE(handle), flags, 0, 1, 0, ctypes.byref(at)):
            return True
        error = ctypes.get_last_error()
        if error == _LOCK_VIOLATION:
            return False
        raise ctypes.WinError(error)

    def _at(byte: int) -> _Overlapped:
        return _Overlapped(Offset=byte & 0xFFFFFFFF, OffsetHigh=byte >> 32)
