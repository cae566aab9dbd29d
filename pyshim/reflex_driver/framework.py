"""What an app of the Reflex framework says of itself in rxconfig.py.

The file is read and never run: running it starts the framework. What it computes is
therefore not known here.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

from . import secrets

if TYPE_CHECKING:
    from types import ModuleType

FILE = "rxconfig.py"

# What leaves the framework (reflex-dev/reflex#6238), and what to write instead.
_BASE = "derive the models from a DeclarativeBase or SQLModel, and name its metadata in env.py"
_SESSION = "write `import reflex_orm as orm` and `orm.{}()`"
_LEAVES = {
    "Model": _BASE,
    "ModelRegistry": _BASE,
    "session": _SESSION.format("session"),
    "asession": _SESSION.format("asession"),
}


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


def app_module() -> str:
    """The module of this directory's app, as Reflex imports it: "shop.shop"; "" where none is."""
    given = _arguments()
    for name, form in (("app_module_import", "{}"), ("app_name", "{0}.{0}")):
        value = given.get(name)
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            return form.format(value.value)
    return ""


def models_hint() -> str:
    """The next step where env.py names no metadata."""
    hint = f"name the models in env.py: {_lines(app_module() or 'shop.models')}"
    return f"{hint}. Reflex did not read that file" if app_module() else hint


def proposal() -> list[str]:
    """What `init` says to who has named no models, in the directory of a Reflex app."""
    module = app_module()
    return [f"For this Reflex app: {_lines(module)}."] if module else []


def _lines(module: str) -> str:
    lines = f"`from {module} import Base` and `target_metadata = Base.metadata`"
    if module != app_module():
        return lines
    return (
        f"{lines}; for models of rx.Model or SQLModel `import {module}`, "
        "`from sqlmodel import SQLModel` and `target_metadata = SQLModel.metadata`"
    )


def models_module(name: str) -> str:
    """The module of `--models`: that of the app, where only the app's name is given."""
    given = _arguments().get("app_name")
    is_app = isinstance(given, ast.Constant) and given.value == name
    return app_module() if is_app else name


def registries(module: ModuleType) -> list[str]:
    """`rx.ModelRegistry`, as a module names it that imports Reflex; for models of rx.Model."""
    return [
        f"{name}.ModelRegistry"
        for name, value in vars(module).items()
        if getattr(value, "__name__", "") == "reflex" and hasattr(value, "ModelRegistry")
    ]


def left_hint(exc: BaseException) -> str:
    """The next step where the project's code asks Reflex for what has left it; else ""."""
    name = getattr(exc, "name", None)
    module = getattr(getattr(exc, "obj", None), "__name__", "")  # of an AttributeError
    if isinstance(exc, ImportError):  # its name is the module's
        module, said = name, re.search(r"cannot import name '(\w+)'", str(exc))
        name = said[1] if said else None
    if module not in ("reflex", "reflex.model") or name not in _LEAVES:
        return ""
    return f"rx.{name} has left Reflex: {_LEAVES[name]}"


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
