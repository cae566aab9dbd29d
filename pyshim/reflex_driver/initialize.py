"""`reflex db init`: an environment that works at once, written through Alembic's own `init`.

Alembic copies a template's files; this gives it a template whose env.py
already knows the models. Either everything is written, or nothing.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command

from . import configuration, data, framework
from .declared import TEMPLATE
from .printing import put
from .usage import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from alembic.config import Config

    from .models import Models

_LATER = """\
# The MetaData that autogenerate compares the database with, or a list of them:
# from shop.models import Base
# target_metadata = Base.metadata
target_metadata = None"""


def run(config: Config, options: argparse.Namespace, program: str) -> None:
    """Write the script directory and alembic.ini, or raise and leave nothing."""
    if options.template != TEMPLATE:
        if options.models is not None:
            raise UsageError("--models goes with reflex's own template, not with -t")
        with _all_or_nothing(config, options.directory):
            command.init(config, options.directory, options.template, options.package)
        return
    from . import models

    found = models.find(options.models or [])
    ini = Path(config.config_file_name or "alembic.ini")
    kept = ini.exists()
    # Alembic's closing message asks to edit what needs no edit.
    config.messaging_opts = {"quiet": True}
    with tempfile.TemporaryDirectory(prefix="reflex-db-") as template:
        _fill(Path(template), found)
        with _all_or_nothing(config, options.directory):
            command.init(config, options.directory, template, options.package)
    if not options.quiet:
        kept_ini = ini if kept else None
        put(_next_steps(program, Path(options.directory), kept_ini, found))


def _next_steps(program: str, directory: Path, kept: Path | None, found: Models) -> str:
    lines = []
    if kept:
        lines.append(f"Kept {kept}, which was there: its script_location must be {directory}.")
        if found.src:
            lines[-1] += " prepend_sys_path must have src."
    lines += found.lines
    if not found.found:
        lines.append(f"Name your models in {directory / 'env.py'}.")
        lines += framework.proposal()
    lines.append("Next:")
    if not configuration.environment_url():
        lines.append("  export REFLEX_DB_URL=postgresql+psycopg://USER:PASSWORD@HOST/DATABASE")
    lines.append(f'  {program} revision --autogenerate -m "first tables"')
    lines.append(f"  {program} upgrade head")
    return "\n".join(lines)


def _fill(template: Path, found: Models) -> None:
    for name in ("README", "env.py.tmpl", "script.py.mako"):
        text = data.text(f"templates/{name}")
        if name == "env.py.tmpl":
            name = "env.py"
            text = text.replace("{{import}}", found.imports)
            text = text.replace("{{target_metadata}}", found.target_metadata or _LATER)
        (template / name).write_text(text, encoding="utf-8")
    ini = configuration.ini_template()
    if found.src:
        ini = ini.replace("prepend_sys_path = .", "prepend_sys_path = src")
    (template / "alembic.ini.mako").write_text(ini, encoding="utf-8")


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
