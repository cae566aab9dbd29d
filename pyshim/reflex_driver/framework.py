"""What an app of the Reflex framework says of itself in rxconfig.py.

The file is read and never run: running it starts the framework. What it computes is
therefore not known here.
"""

from __future__ import annotations

import ast
from pathlib import Path

from . import secrets

FILE = "rxconfig.py"


def url_hint() -> str:
    """The next step where no URL is set and rxconfig.py of this directory has one; else ""."""
    given = _arguments().get("db_url")
    if given is None:
        return ""
    place = f"{FILE}, line {given.lineno}, has db_url, which only Reflex reads"
    step = "give it in REFLEX_DB_URL, which Reflex reads too"
    url = given.value if isinstance(given, ast.Constant) else None
    if isinstance(url, str) and not secrets.has_secret(url):
        step += f', or write db_url = "{url}" under [tool.reflex] in pyproject.toml'
    return f"{place}: {step}"


def _arguments() -> dict[str, ast.expr]:
    """The named arguments of the calls in rxconfig.py, of which `rx.Config(...)` is one."""
    try:
        tree = ast.parse(Path(FILE).read_bytes())
    except (OSError, ValueError, SyntaxError):
        return {}
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {
        keyword.arg: keyword.value
        for call in calls
        for keyword in call.keywords
        if keyword.arg is not None
    }
