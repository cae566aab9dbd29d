"""Whether bundle.py has a part in a run: from an environment's second one on.

A container's only run would write some 10 MB for nobody, and compile bundle.py for it. So the
first run leaves an empty file, and no more.
"""

from __future__ import annotations

import marshal
import os
import sys
import zlib
from _frozen_importlib_external import MAGIC_NUMBER

from . import bytecode, libraries

TYPE_CHECKING = False  # as in bytecode
if TYPE_CHECKING:
    from .bundle import Bundle

_FORM = 2  # of the file

_MOST = 16  # files that are kept, of some 10 MB each
_MOST_CODES = 1000  # of this package's own modules, beside that (bytecode.py)

_begun: list[Bundle | str] = []  # at most one; a name is that of a file that is not there


def begin() -> None:
    """Begin, unless it has begun, before the modules are imported that Alembic needs too."""
    directory = bytecode.directory() if not _begun and sys.implementation.cache_tag else ""
    if not directory:
        return
    python = (sys.version, MAGIC_NUMBER, tuple(sys.flags), sys.warnoptions, sys.executable)
    own = os.path.join(os.path.dirname(__file__), "")  # beside a checkout's other files
    try:
        machine = bytecode.facts(os.stat(sys.executable))  # an image is unpacked on many
        key = (_FORM, *python, machine, list(sys.path), (*libraries.roots(), own))
        checksum = zlib.crc32(marshal.dumps(key, 2))
    except (OSError, ValueError):  # somebody has put into sys.path what is no text
        return
    name = f"{sys.implementation.cache_tag}-{checksum:08x}-{_FORM}"
    file = os.path.join(directory, "imports", name)
    if not os.path.exists(file):
        _begun.append(file)
        return
    from . import bundle

    begun = bundle.begin(file, key)
    if begun is not None:
        _begun.append(begun)


def end(*, whole: bool = False) -> None:
    """End it, if it has begun. With `whole`, all was imported: what is new is written."""
    while _begun:
        begun = _begun.pop()
        if not isinstance(begun, str):
            begun.finish(whole=whole)
        elif whole:
            _mark(begun)


def _mark(file: str) -> None:
    folder = os.path.dirname(file)
    try:
        os.makedirs(folder, 0o700, exist_ok=True)
        os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        _prune(folder, _MOST)
        _prune(os.path.dirname(folder), _MOST_CODES, ".pyc")
    except OSError:
        pass  # there is no room, or another process is doing the same


def _prune(folder: str, most: int, ending: str = "") -> None:
    """Remove the oldest files: of environments that are gone, and of other versions of this."""
    names = [name for name in os.listdir(folder) if name.endswith(ending)]
    files = [os.path.join(folder, name) for name in names]
    for file in sorted(files, key=os.path.getmtime)[:-most]:
        os.unlink(file)
