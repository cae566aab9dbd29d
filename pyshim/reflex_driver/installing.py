"""The command that installs a package where this Python looks for it.

What manages an environment leaves its mark in it, or in the project's directory. Beside
pip, each has a command of its own: pip is not there, or what it installs is taken out
again. reflex_orm uses this too.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

# Of a project's manager: the table in pyproject.toml, and the file beside it.
_MANAGERS = {"uv": "uv.lock", "poetry": "poetry.lock", "pdm": "pdm.lock"}

# Where poetry and pdm keep the environments that are not in the project.
_KEPT_AWAY = {"poetry": "pypoetry", "pdm": "pdm"}

# Conda's names for packages of PyPI.
_CONDA = {
    "psycopg[binary]": "psycopg",
    "psycopg2-binary": "psycopg2",
    "sqlalchemy[asyncio]": "greenlet",
    "PyMySQL": "pymysql",
}


def command(requirement: str, *, anew: bool = False) -> str:
    """What to type to install `requirement`, such as `psycopg[binary]` or `alembic>=1.16`.

    `anew` is for a package that is there and broken.
    """
    prefix, wanted = Path(sys.prefix), f'"{requirement}"'
    again = "--force-reinstall " if anew else ""
    in_venv = (prefix / "pyvenv.cfg").is_file()
    manager = _manager(prefix) if in_venv and not anew else ""
    if manager:
        return f"{manager} add {wanted}"
    if (prefix / "uv-receipt.toml").is_file():  # a tool of uv's
        return f"uv tool install --with {wanted} {again and '--reinstall '}{prefix.name}"
    if (prefix / "pipx_metadata.json").is_file():
        if anew:
            return f"pipx runpip {prefix.name} install {again}{wanted}"
        return f"pipx inject {prefix.name} {wanted}"
    if (prefix / "conda-meta").is_dir() and not in_venv:
        name = _CONDA.get(requirement, requirement)
        return f'conda install -p "{prefix}" -c conda-forge {again}"{name}"'
    if in_venv and _made_by_uv(prefix) and shutil.which("uv"):
        again = "--reinstall " if anew else ""
        return f'uv pip install --python "{sys.executable}" {again}{wanted}'
    if not in_venv and _externally_managed():
        others = "" if requirement.startswith("alembic") else "alembic "
        # The command finds .venv by itself.
        install = f".venv/bin/python -m pip install {others}{wanted}"
        return f'"{sys.executable}" -m venv .venv && {install}'
    pip = f'"{sys.executable}" -m pip install {again}{wanted}'
    return pip if find_spec("pip") else f'"{sys.executable}" -m ensurepip && {pip}'


def _manager(prefix: Path) -> str:
    """What manages the project of this environment, or ""."""
    try:
        here = Path.cwd()
    except OSError:  # it is gone
        return ""
    for directory in (here, *here.parents):
        for name, lock in _MANAGERS.items():
            if not ((directory / lock).is_file() or _has_table(directory, name)):
                continue
            belongs = (
                directory in prefix.parents
                or _KEPT_AWAY.get(name) in prefix.parts
                or (name == "uv" and os.environ.get("UV_PROJECT_ENVIRONMENT") == str(prefix))
            )
            return name if belongs and shutil.which(name) else ""
    return ""


def _has_table(directory: Path, name: str) -> bool:
    try:
        text = (directory / "pyproject.toml").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False
    return re.search(rf"^\s*\[+\s*tool\.{name}[.\]]", text, re.MULTILINE) is not None


def _made_by_uv(prefix: Path) -> bool:
    text = (prefix / "pyvenv.cfg").read_text(encoding="utf-8", errors="replace")
    return re.search(r"^uv\s*=", text, re.MULTILINE) is not None


def _externally_managed() -> bool:
    """See PEP 668."""
    return (Path(sysconfig.get_path("stdlib")) / "EXTERNALLY-MANAGED").is_file()
