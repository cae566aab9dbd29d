"""The project's Python, where `reflex-db` is installed in another one.

The order is that of the Go program (embedpy.Find): --python, REFLEX_PYTHON, VIRTUAL_ENV,
then .venv or venv in this directory or above it. Without any of them the command stays
where it is.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

from . import exits
from .exits import Outcome

_BIN, _NAMES = ("bin", ["python", "python3"])
if sys.platform == "win32":
    _BIN, _NAMES = ("Scripts", ["python.exe"])
_EXAMPLE = os.path.join(".venv", _BIN, _NAMES[0])

# Run by the other Python: imports this package from its directory, and nothing else from
# there. sys.path[0] is the current directory.
_START = """\
import sys
if sys.version_info < (3, 10):
    sys.exit("Error: " + sys.executable + " is too old: Python 3.10 or later is needed")
if not getattr(sys.flags, "safe_path", False):
    del sys.path[0]
from importlib.util import module_from_spec, spec_from_file_location
init, places = sys.argv[1] + "/__init__.py", [sys.argv[1]]
spec = spec_from_file_location("reflex_driver", init, submodule_search_locations=places)
module = sys.modules["reflex_driver"] = module_from_spec(spec)
spec.loader.exec_module(module)
sys.exit(module.main(*sys.argv[2:]))
"""


def become(named: str, program: str, version: str, argv: list[str]) -> Outcome | None:
    """Become the project's Python, with the same command, unless it is this one.

    The answer is why that can't be, or None if there is nothing to become.
    """
    try:
        found = _find(named)
    except OSError as error:  # it has been removed
        text = f"the current directory can't be used: {error.strerror}"
        return Outcome(exits.FAILED, text)
    if found is None:
        return None
    source, python = found
    if not os.access(python, os.X_OK):
        message = f"no usable Python: {source}: {python} is not there or may not be run"
        hint = f"name a Python 3.10 or later there, such as {_EXAMPLE}"
        return Outcome(exits.ENVIRONMENT, message, hint)
    if _is_this(python):
        return None
    words = [*command(python), program, version, "", *argv]
    if sys.platform == "win32":  # whose exec returns to the shell at once
        import signal
        import subprocess

        for number in (signal.SIGINT, signal.SIGBREAK):  # the console sends them to both
            signal.signal(number, signal.SIG_IGN)
        raise SystemExit(subprocess.run(words, check=False).returncode)
    try:
        os.execv(python, words)
    except OSError as error:
        return Outcome(exits.ENVIRONMENT, f"no usable Python: {source}: {python}: {error}")


def command(python: str, directory: Path | None = None) -> list[str]:
    """The words that run this package in another process, before `main`'s arguments.

    Where the package is in memory only, its files are written to `directory` first.
    """
    here = os.path.dirname(os.path.abspath(__file__))
    files: dict[str, bytes] | None = getattr(__spec__.loader, "files", None)
    if files is not None:
        assert directory is not None
        for name, content in files.items():
            file = directory / name
            if not file.exists():
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
        here = str(directory / (__package__ or ""))
    return [python, "-c", _START, here]


def _find(named: str) -> tuple[str, str] | None:
    for source, value in (("--python", named), ("REFLEX_PYTHON", os.environ.get("REFLEX_PYTHON"))):
        if value:
            return source, _interpreter(value)
    if os.environ.get("VIRTUAL_ENV"):
        return "VIRTUAL_ENV", _of_environment(os.environ["VIRTUAL_ENV"])
    directory = os.getcwd()
    while True:
        for name in (".venv", "venv"):
            environment = os.path.join(directory, name)
            files = ("pyvenv.cfg", os.path.join(_BIN, _NAMES[0]))
            signs = (os.path.join(environment, f) for f in files)
            if not any(os.path.lexists(sign) for sign in signs):
                continue
            reason = _distrust(environment)
            if not reason:
                return name, _of_environment(environment)
            exits.write_error(
                f"{environment} is not used: {reason}. "
                f"To use it: --python {environment}, or VIRTUAL_ENV={environment}\n"
            )
        if directory == os.path.dirname(directory):
            return None
        directory = os.path.dirname(directory)


def _interpreter(value: str) -> str:
    """An interpreter, a name on PATH, or the directory of an environment."""
    import shutil

    if not os.path.dirname(value):
        on_path = shutil.which(value)
        if on_path:
            return on_path
    path = os.path.abspath(value)
    return _of_environment(path) if os.path.isdir(path) else path


def _of_environment(directory: str) -> str:
    """The interpreter of a virtual environment, which may be broken."""
    files = [os.path.join(os.path.abspath(directory), _BIN, name) for name in _NAMES]
    return next((file for file in files if os.path.lexists(file)), files[0])


def _is_this(python: str) -> bool:
    """Whether it is the Python that runs this: the same program in the same environment."""
    try:
        same = os.path.samefile(python, sys.executable)
    except OSError:
        return False
    prefix = os.path.dirname(os.path.dirname(python))
    if sys.prefix == sys.base_prefix:
        return same and not os.path.lexists(os.path.join(prefix, "pyvenv.cfg"))
    return same and os.path.realpath(prefix) == os.path.realpath(sys.prefix)


def _distrust(environment: str) -> str:
    """Say why an environment that was found by searching is not used.

    The answer is "" if nobody but this user and root, and the user who called sudo, can
    change it, or a directory above it. A link has to be theirs, and what it leads to.
    git's safe.directory is the model; embedpy/trust.go is the same in Go.
    """
    if sys.platform == "win32":
        return ""
    owners = {0, os.geteuid()}
    sudo = os.environ.get("SUDO_UID", "")
    if os.geteuid() == 0 and sudo.isdecimal():
        owners.add(int(sudo))
    real = os.path.realpath(environment)
    for path in (environment, real):
        while True:
            try:
                info = os.lstat(path)
            except OSError as error:
                return str(error)
            # In a sticky directory such as /tmp everybody keeps what is theirs.
            is_open = info.st_mode & 0o002 and (path == real or not info.st_mode & stat.S_ISVTX)
            if info.st_uid not in owners:
                return f"{path} belongs to another user"
            if is_open and not stat.S_ISLNK(info.st_mode):
                return f"every user can change {path}"
            if path == os.path.dirname(path):
                break
            path = os.path.dirname(path)
    return ""
