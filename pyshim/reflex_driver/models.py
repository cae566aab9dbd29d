"""What env.py has to import, and which MetaData autogenerate compares the database with."""

from __future__ import annotations

import importlib
import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import discovery, framework
from .usage import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from types import ModuleType

_COMMENT = "# What autogenerate compares the database with: a MetaData, or a list.\n"


@dataclass
class Models:
    """The two pieces of source that env.py gets, and what was found."""

    imports: str = ""
    target_metadata: str = ""
    lines: list[str] = field(default_factory=list)  # for people
    found: bool = False
    src: bool = False  # prepend_sys_path is src


@dataclass
class _Target:
    """One base, registry, MetaData or list of them."""

    module: str
    name: str
    expression: str
    metadata: list[Any]

    @property
    def tables(self) -> int:
        return sum(len(m.tables) for m in self.metadata)


def find(specs: Sequence[str]) -> Models:
    """The models that --models names, or those of the project.

    Modules are imported: those that are named, and the project's files that define tables
    and do nothing else. Raises UsageError for a name that is not there or holds no
    metadata, and whatever a module that is named raises while it is imported.
    """
    _extend_path()
    targets = [_named(spec) for spec in specs]
    imported, left = _import_others()
    if not specs:
        targets = _of_modules(imported)
        if _collide(targets):
            choices = ", ".join(f"--models {t.module}:{t.name}" for t in targets)
            return Models(lines=[f"Found more than one of a table's name; choose of {choices}"])
    models = _written(targets, [m for m in imported if _has_tables_of(m, targets)])
    if left:
        models.lines.append(f"Not imported, though tables are defined there: {', '.join(left)}")
    return models


def _extend_path() -> None:
    """As prepend_sys_path does for env.py."""
    sys.path[:0] = [os.getcwd(), *([os.path.abspath("src")] if discovery.is_src_layout() else [])]


def _from_src(modules: Iterable[str]) -> bool:
    """Whether the project's modules among these are in `src`."""
    here, top = (os.path.join(os.path.realpath(place), "") for place in (".", "src"))
    files = [getattr(sys.modules.get(module), "__file__", None) or "" for module in modules]
    own = [path for path in map(os.path.realpath, files) if path.startswith(here)]
    return bool(own) and all(path.startswith(top) for path in own)


def _named(spec: str) -> _Target:
    module_name, _, name = spec.partition(":")
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", module_name):
        raise UsageError(f"--models {spec}: {module_name!r} is not a module's name")
    module_name = framework.models_module(module_name)
    module = importlib.import_module(module_name)
    if not name:
        name = _only_base(module, module_name)
    target: Any = module
    for attribute in name.split("."):
        try:
            target = getattr(target, attribute)
        except AttributeError:
            raise UsageError(
                f"--models {spec}: {module_name} has no {name}. It holds: "
                + (", ".join(_bases(module)) or "no base, registry or MetaData")
            ) from None
    expression, metadata = _expression(spec, name, target)
    return _Target(module_name, name, expression, metadata)


def _expression(spec: str, name: str, target: object) -> tuple[str, list[Any]]:
    from sqlalchemy import MetaData

    if isinstance(target, MetaData):
        return name, [target]
    metadata = getattr(target, "metadata", None)
    if isinstance(metadata, MetaData):
        return f"{name}.metadata", [metadata]
    if callable(getattr(target, "get_metadata", None)):  # Reflex's ModelRegistry
        return f"{name}.get_metadata()", [target.get_metadata()]  # type: ignore[attr-defined]
    if isinstance(target, (list, tuple)) and target:
        if all(isinstance(item, MetaData) for item in target):
            return f"list({name})", list(target)
        every = [_metadata(item) for item in target]
        if None not in every:
            return f'[getattr(item, "metadata", item) for item in {name}]', every
    raise UsageError(
        f"--models {spec}: {name} is {type(target).__name__}, which has no metadata; name a "
        "declarative base, SQLModel, a registry, a MetaData, or a list of them"
    )


def _import_others() -> tuple[list[str], list[str]]:
    """Import the project's other files that define tables: their modules, and what is left."""
    imported, left = [], []
    for file in list(discovery.not_imported(os.getcwd())):
        module = discovery.module_of(file)
        if module in sys.modules:  # meanwhile, by another one
            imported.append(module)
            continue
        if not module or not discovery.only_defines(file):
            left.append(file)
            continue
        try:
            importlib.import_module(module)
        except Exception as error:  # noqa: BLE001 - anything, and it is not what was asked for
            left.append(f"{file} ({type(error).__name__}: {error})")
        else:
            imported.append(module)
    return imported, left


def _of_modules(modules: Iterable[str]) -> list[_Target]:
    """The bases with tables that these modules have, each once."""
    targets: dict[int, _Target] = {}
    for module_name in modules:
        module = sys.modules[module_name]
        for name in _bases(module) or _mapped(module):
            value = getattr(module, name)
            expression, metadata = _expression(module_name, name, value)
            if not metadata[0].tables or id(metadata[0]) in targets:
                continue
            home = _home(name, value) or module_name
            targets[id(metadata[0])] = _Target(home, name, expression, metadata)
    return list(targets.values())


def _home(name: str, value: object) -> str:
    """The module of the project that makes `value`, and does not import it from elsewhere."""
    makes = re.compile(rf"^(class\s+{name}\b|{name}\s*[:=])".encode(), re.MULTILINE)
    here = os.path.join(os.path.realpath(os.getcwd()), "")
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if not file or getattr(module, name, None) is not value or "site-packages" in file:
            continue
        if os.path.realpath(file).startswith(here) and makes.search(Path(file).read_bytes()):
            return str(module.__name__)
    return ""


def _mapped(module: ModuleType) -> list[str]:
    """A class of a base that is not in the module itself, as of `sqlmodel.SQLModel`."""
    classes = [
        n for n, v in vars(module).items() if isinstance(v, type) and hasattr(v, "__table__")
    ]
    return classes[:1]


def _collide(targets: list[_Target]) -> bool:
    names = [name for t in targets for m in t.metadata for name in m.tables]
    return len(names) != len(set(names))


def _has_tables_of(module: str, targets: list[_Target]) -> bool:
    """Whether a module has a class or a Table of one of the targets."""
    every = {id(m) for target in targets for m in target.metadata}
    return any(
        id(getattr(getattr(value, "__table__", value), "metadata", None)) in every
        for value in vars(sys.modules[module]).values()
    )


def _written(targets: list[_Target], others: list[str]) -> Models:
    if not targets:
        return Models(src=discovery.is_src_layout())
    others = sorted({m for m in others if m not in {t.module for t in targets}})
    if len(targets) == 1:
        (target,) = targets
        first = f"from {target.module} import {target.name.partition('.')[0]}\n"
        expression = target.expression
    else:
        first = "".join(f"import {module}\n" for module in dict.fromkeys(t.module for t in targets))
        every = [re.sub(rf"\b{t.name}\b", f"{t.module}.{t.name}", t.expression) for t in targets]
        parts = [f"*{e}" if e.startswith(("list(", "[")) else e for e in every]
        expression = f"[{', '.join(parts)}]"
    more = "".join(f"import {module}  # noqa: F401 - it defines tables\n" for module in others)
    lines = []
    for target in targets:
        n = target.tables
        lines.append(f"{target.module}:{target.name} has {n} table{'' if n == 1 else 's'}.")
        if not n:
            lines[-1] += " Models count once they are imported: import their modules in env.py."
    if others:
        lines.append(f"env.py imports {', '.join(others)} as well, which define tables of it.")
    return Models(
        f"\n{first}{more}",
        f"{_COMMENT}target_metadata = {expression}",
        lines,
        found=True,
        src=_from_src([*(target.module for target in targets), *others]),
    )


def _only_base(module: ModuleType, module_name: str) -> str:
    found = _bases(module) or framework.registries(module)
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(
            f"--models {module_name}: no declarative base, registry or MetaData in it; "
            f"name one: --models {module_name}:NAME"
        )
    raise UsageError(
        f"--models {module_name}: {', '.join(found)} are all possible; "
        f"name one: --models {module_name}:{found[0]}"
    )


def _bases(module: ModuleType) -> list[str]:
    """Names of the module's bases, one for each MetaData, the most telling first."""
    found: dict[int, tuple[int, str]] = {}
    for name, value in vars(module).items():
        metadata = _metadata(value)
        if metadata is None or name.startswith("_") or hasattr(value, "__table__"):
            continue
        rank = 0 if isinstance(value, type) else 2 if value is metadata else 1
        key = id(metadata)
        if key not in found or rank < found[key][0]:
            found[key] = (rank, name)
    return [name for _, name in found.values()]


def _metadata(value: object) -> object | None:
    """The MetaData that `value` is, or carries as a base, a registry or Flask-SQLAlchemy's db."""
    from sqlalchemy import MetaData
    from sqlalchemy.orm import registry

    if isinstance(value, MetaData):
        return value
    of_flask = any(c.__module__.startswith("flask_sqlalchemy") for c in type(value).__mro__)
    if isinstance(value, (type, registry)) or of_flask:
        metadata = getattr(value, "metadata", None)
        # DeclarativeBase itself, imported to be subclassed, has none.
        return metadata if isinstance(metadata, MetaData) else None
    return None
