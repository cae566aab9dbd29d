"""Whether a stream is a terminal that takes colours and renewed lines."""

from __future__ import annotations

import sys
from typing import Any


def is_terminal(stream: Any) -> bool:
    """Whether it is one. Raises ValueError if the stream is closed.

    Windows' console takes escape sequences once it has been asked to, since Windows 10
    (https://learn.microsoft.com/windows/console/setconsolemode); one that refuses is none.
    """
    if stream is None or not stream.isatty():
        return False
    if sys.platform != "win32":
        return True
    import ctypes
    import msvcrt
    from ctypes import wintypes

    kernel = ctypes.WinDLL("kernel32")
    mode = wintypes.DWORD()
    try:
        handle = wintypes.HANDLE(msvcrt.get_osfhandle(stream.fileno()))
    except OSError:  # it is no file
        return False
    processed, escapes = 1, 4
    return bool(
        kernel.GetConsoleMode(handle, ctypes.byref(mode))
        and kernel.SetConsoleMode(handle, mode.value | processed | escapes)
    )
