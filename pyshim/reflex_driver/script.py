"""What a program finds of itself and around it: the same as under the script `alembic`.

Projects look for "alembic" in sys.argv[0] to know that they are being migrated,
run sys.argv once more, or have the environment's programs run (a `type = exec`
hook). multiprocessing's spawned children run `__main__` again, by its name.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.machinery import SourceFileLoader

NAME = "alembic"


def prepare(arguments: Sequence[str]) -> None:
    """Set sys.argv, sys.path[0], `__main__` and PATH as they are in the script's process."""
    if sys.platform == "win32":
        import sysconfig

        directory = sysconfig.get_path("scripts")
        program = os.path.join(directory, f"{NAME}.exe")
        if os.path.isfile(program):
            _be_archive(program, arguments)
            _activate(directory)
            return
    else:
        directory = os.path.dirname(sys.executable)
    script = os.path.join(directory, NAME)
    if _is_python(script):
        if not getattr(sys.flags, "safe_path", False):
            sys.path.insert(0, os.path.dirname(os.path.realpath(script)))  # as Python does
    else:
        script = _module() or script  # as `python -m alembic`
    sys.argv[:] = [script, *arguments]
    sys.orig_argv[:] = [sys.executable, *sys.argv]
    main = sys.modules["__main__"]
    main.__file__ = script
    main.__loader__ = SourceFileLoader("__main__", script)
    main.__spec__ = None  # of `python -m`
    _activate(directory)


def _be_archive(program: str, arguments: Sequence[str]) -> None:
    """The same for a program of Windows, as pip makes it: Python runs an archive that is in it."""
    sys.argv[:] = [program.removesuffix(".exe"), *arguments]
    sys.orig_argv[:] = [sys.executable, program, *arguments]
    if not getattr(sys.flags, "safe_path", False):
        sys.path.insert(0, program)
    from zipimport import ZipImportError, zipimporter

    try:
        spec = zipimporter(program).find_spec("__main__")
    except ZipImportError:  # another program of that name
        return
    if spec is not None:
        main = sys.modules["__main__"]
        main.__file__, main.__loader__, main.__spec__ = spec.origin, spec.loader, spec


def _is_python(script: str) -> bool:
    """Whether it is what pip writes, and no wrapper around that or program of its own."""
    try:
        with open(script, "rb") as file:
            start = file.read(500)
    except OSError:
        return False
    return start.startswith(b"#!") and b"python" in b"".join(start.splitlines()[:2])


def _module() -> str | None:
    spec = importlib.util.find_spec(NAME)
    places = list(spec.submodule_search_locations or ()) if spec else []
    return os.path.join(places[0], "__main__.py") if places else None


def _activate(directory: str) -> None:
    """Put the environment's programs on PATH, as its activation does; unless they are there."""
    path = os.environ.get("PATH", os.defpath).split(os.pathsep)
    if os.path.realpath(directory) in map(os.path.realpath, filter(None, path)):
        return
    os.environ["PATH"] = os.pathsep.join([directory, *path])
    if sys.prefix != sys.base_prefix:
        os.environ["VIRTUAL_ENV"] = sys.prefix
