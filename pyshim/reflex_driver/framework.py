"""What an app of the Reflex framework says of itself in rxconfig.py.

The file is read and never run: running it starts the framework. What it computes is
therefore not known here.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

from . import secrets

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
    line, url = given
    place = f"{FILE}, line {line}, has db_url, which only Reflex reads"
    step = "give it in REFLEX_DB_URL, which Reflex reads too"
    if url and not secrets.has_secret(url):
        step += f', or write db_url = "{url}" under [tool.reflex] in pyproject.toml'
    return f"{place}: {step}"


def app_module() -> str:
    """The module of this directory's app, as Reflex imports it: "shop.shop"; "" where none is."""
    given = _arguments()
    _, module = given.get("app_module_import", (0, ""))
    _, name = given.get("app_name", (0, ""))
    return module or (f"{name}.{name}" if name else "")


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
    _, app = _arguments().get("app_name", (0, ""))
    return app_module() if name == app else name


def registries(module: ModuleType) -> list[str]:
    """`rx.ModelRegistry`, as a module names it that imports Reflex; for models of rx.Model."""
    return [
        f"{name}.ModelRegistry"
        for name, value in vars(module).items()
        if getattr(value, "__name__", "") == "reflex" and hasattr(value, "ModelRegistry")
    ]


def left_hint(exc: BaseException) -> str:
    """The next step where the project's code asks Reflex for what has left it; else ""."""
    module, name = "", ""
    if isinstance(exc, AttributeError) and isinstance(exc.obj, ModuleType):
        module, name = exc.obj.__name__, exc.name or ""
    elif isinstance(exc, ImportError):
        said = re.search(r"cannot import name '(\w+)'", str(exc))
        module, name = exc.name or "", said[1] if said else ""
    if module not in ("reflex", "reflex.model") or name not in _LEAVES:
        return ""
    return f"rx.{name} has left Reflex: {_LEAVES[name]}"


def _arguments() -> dict[str, tuple[int, str]]:
    """The named arguments of the calls in rxconfig.py, of which `rx.Config(...)` is one.

    Of each its line, and its value, which is "" for what is not a text written there.
    """
    import ast  # here, because most runs have no use for it

    try:
        tree = ast.parse(Path(FILE).read_bytes())
    except (OSError, ValueError, SyntaxError):
        return {}
    keywords = [k for call in ast.walk(tree) if isinstance(call, ast.Call) for k in call.keywords]
    found = {}
    for keyword in keywords:
        value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
        if keyword.arg is not None:
            found[keyword.arg] = keyword.value.lineno, value if isinstance(value, str) else ""
    return found
