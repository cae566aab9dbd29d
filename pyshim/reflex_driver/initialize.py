"""`reflex db init`: an environment that works at once, written through Alembic's own `init`.

Alembic copies a template's files; this gives it a template whose env.py
already knows the models. Either everything is written, or nothing.
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import re
import shutil
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from alembic import command

from . import configuration
from .usage import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from alembic.config import Config

TEMPLATE = "reflex"
TEMPLATE_HELP = "knows the models and REFLEX_DB_URL; the default"

_LATER = """\
# The MetaData that autogenerate compares the database with, or a list of them:
# from shop.models import Base
# target_metadata = Base.metadata
target_metadata = None"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give Alembic's `init` a default directory, our template and --models."""
    for action in parser._actions:
        if action.dest == "directory":
            action.nargs, action.default, action.required = "?", "alembic", False
            action.help = "location of scripts directory; default: alembic"
        elif action.dest == "template":
            action.default = TEMPLATE
            action.help = "one of Alembic's own templates instead of reflex's"
    parser.add_argument(
        "--models",
        metavar="MODULE[:NAME]",
        help="where the models are: a declarative base, SQLModel, a registry, a MetaData, "
        "or a list of them; a module alone must hold exactly one",
    )


def run(config: Config, options: argparse.Namespace, program: str) -> None:
    """Write the script directory and alembic.ini, or raise and leave nothing."""
    if options.template != TEMPLATE:
        if options.models is not None:
            raise UsageError("--models goes with reflex's own template, not with -t")
        with _all_or_nothing(config, options.directory):
            command.init(config, options.directory, options.template, options.package)
        return
    models = None if options.models is None else find_models(options.models)
    ini = Path(config.config_file_name or "alembic.ini")
    kept = ini.exists()
    # Alembic's closing message asks to edit what needs no edit.
    config.messaging_opts = {"quiet": True}
    with tempfile.TemporaryDirectory(prefix="reflex-db-") as template:
        _fill(Path(template), models)
        with _all_or_nothing(config, options.directory):
            command.init(config, options.directory, template, options.package)
    if not options.quiet:
        kept_ini = ini if kept else None
        print(_next_steps(program, Path(options.directory), kept_ini, models))


def _next_steps(program: str, directory: Path, kept: Path | None, models: Models | None) -> str:
    lines = []
    if kept:
        lines.append(f"Kept {kept}, which was there: its script_location must be {directory}.")
    if not models:
        lines.append(f"Name your models in {directory / 'env.py'}.")
    lines.append("Next:")
    lines.append(f'  {program} revision --autogenerate -m "first tables"')
    lines.append(f"  {program} upgrade head")
    return "\n".join(lines)


@dataclass
class Models:
    """The two pieces of source that env.py gets."""

    imports: str
    target_metadata: str


def find_models(spec: str) -> Models:
    """Import MODULE[:NAME] and say how env.py names its MetaData.

    Raises UsageError for a name that is not there or holds no metadata, and
    whatever the module raises while it is imported.
    """
    module_name, _, name = spec.partition(":")
    if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", module_name):
        raise UsageError(f"--models {spec}: {module_name!r} is not a module's name")
    sys.path.insert(0, str(Path.cwd()))  # as prepend_sys_path does for env.py
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
    return Models(
        imports=f"\nfrom {module_name} import {name.partition('.')[0]}\n",
        target_metadata="# What autogenerate compares the database with: a MetaData, or a list.\n"
        f"target_metadata = {_expression(spec, name, target)}",
    )


def _expression(spec: str, name: str, target: object) -> str:
    from sqlalchemy import MetaData

    if isinstance(target, MetaData):
        return name
    if isinstance(getattr(target, "metadata", None), MetaData):
        return f"{name}.metadata"
    if isinstance(target, (list, tuple)) and target:
        if all(isinstance(item, MetaData) for item in target):
            return f"list({name})"
        if all(_metadata(item) is not None for item in target):
            return f'[getattr(item, "metadata", item) for item in {name}]'
    raise UsageError(
        f"--models {spec}: {name} is {type(target).__name__}, which has no metadata; name a "
        "declarative base, SQLModel, a registry, a MetaData, or a list of them"
    )


def _only_base(module: ModuleType, module_name: str) -> str:
    found = _bases(module)
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
    """The MetaData that `value` is or carries as a base or a registry."""
    from sqlalchemy import MetaData
    from sqlalchemy.orm import registry

    if isinstance(value, MetaData):
        return value
    if isinstance(value, (type, registry)):
        metadata = getattr(value, "metadata", None)
        # DeclarativeBase itself, imported to be subclassed, has none.
        return metadata if isinstance(metadata, MetaData) else None
    return None


def _fill(template: Path, models: Models | None) -> None:
    for name in ("README", "env.py.tmpl", "script.py.mako"):
        text = (pkgutil.get_data(__package__, f"templates/{name}") or b"").decode()
        if name == "env.py.tmpl":
            name = "env.py"
            text = text.replace("{{import}}", models.imports if models else "")
            text = text.replace("{{target_metadata}}", models.target_metadata if models else _LATER)
        (template / name).write_text(text, encoding="utf-8")
    (template / "alembic.ini.mako").write_text(configuration.ini_template(), encoding="utf-8")


@contextmanager
def _all_or_nothing(config: Config, directory: str) -> Iterator[None]:
    """Take back what `init` wrote if it does not end well."""
    target = Path(directory)
    empty = target.is_dir() and not any(target.iterdir())
    written = [Path(config.config_file_name or "alembic.ini"), *_topmost_missing(target)]
    written = [path for path in written if not path.exists()]
    try:
        yield
    except BaseException:
        if empty:
            written += target.iterdir()
        for path in written:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        raise


def _topmost_missing(directory: Path) -> list[Path]:
    missing = [path for path in (directory, *directory.parents) if not path.exists()]
    return missing[-1:]
