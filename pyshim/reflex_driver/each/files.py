"""The files that --failed and --report name. They may hold names of tenants and passwords."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import stat
import tempfile
from typing import TYPE_CHECKING, Any

from .. import exits
from ..usage import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable


class Report:
    """A JSON object a line, each written as its database ends."""

    def __init__(self, path: str) -> None:
        self.error = ""  # the first of writing
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
            self._descriptor = os.open(path, flags, 0o600)
        except OSError as exc:
            raise UsageError(f"--report: {exits.reason(exc)}") from None

    @property
    def descriptor(self) -> int:
        """Of the open file; no child's."""
        return self._descriptor

    def write(self, record: dict[str, Any]) -> None:
        """Write one line, unless one before could not be written."""
        data = json.dumps(record).encode() + b"\n"
        try:
            while data and not self.error:
                data = data[os.write(self._descriptor, data) :]
        except OSError as exc:
            self.error = f"--report: {exits.reason(exc)}; it lacks what came after"


class Failed:
    """The lines that are left to do.

    The file is replaced in one step when the list has been gone through: it may be that
    list. One that is no regular file, such as /dev/stderr, is written to.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._replaces = True
        try:
            with contextlib.suppress(FileNotFoundError):
                mode = os.stat(path).st_mode
                if stat.S_ISDIR(mode):
                    raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
                self._replaces = stat.S_ISREG(mode)
            if self._replaces:
                os.close(self._temporary()[0])
                os.unlink(self._name)
        except OSError as exc:  # what can't be written is better known before anything begins
            exc.filename = path
            raise UsageError(f"--failed: {exits.reason(exc)}") from None

    def _temporary(self) -> tuple[int, str]:
        directory = os.path.dirname(os.path.realpath(self._path))
        descriptor, self._name = tempfile.mkstemp(prefix=".reflex-db-", dir=directory)  # 0600
        return descriptor, self._name

    def write(self, lines: Iterable[str]) -> str:
        """Write the lines; the result says what went wrong, or is empty."""
        data = "".join(f"{line}\n" for line in lines).encode()
        try:
            if self._replaces:
                descriptor, name = self._temporary()
            else:
                descriptor, name = os.open(self._path, os.O_WRONLY), ""
            try:
                with open(descriptor, "wb") as file:
                    file.write(data)
                if name:
                    os.replace(name, os.path.realpath(self._path))
            except BaseException:
                if name:
                    os.unlink(name)
                raise
        except OSError as exc:
            exc.filename = self._path
            return f"--failed: {exits.reason(exc)}; the file is as it was before"
        return ""
