"""Alembic's Config, completed: the URL from the environment, an ini where there is none."""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from alembic.util import CommandError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from alembic.config import Config

# The script directory that is taken where no configuration names one.
SCRIPT_DIRECTORY = Path("alembic")


def environment_url() -> str:
    """REFLEX_DB_URL, or "" where it is unset, empty or blank."""
    return os.environ.get("REFLEX_DB_URL", "").strip()


def url(config: Config) -> str | None:
    """`sqlalchemy.url`, where it comes from the environment or stands in the main section."""
    # As it is written: interpolating may fail, and many commands need no URL.
    section = config.config_ini_section
    written = config.file_config.get(section, "sqlalchemy.url", fallback=None, raw=True)
    return written.replace("%%", "%") if written else None


@contextmanager
def completed(config: Config, options: Namespace, ini_template: str) -> Iterator[None]:
    """Complete `config` for the length of a run.

    An ini or a [tool.alembic] of the project's own is respected. Without
    either, a script directory `alembic/` is enough: the ini that `init` would
    write is used, from a private file that is gone afterwards. The URL is set
    in memory only.
    """
    with ExitStack() as stack:
        missing = not _is_file(config.config_file_name)
        if missing and config.toml_alembic_config:
            # A stock env.py hands the name to fileConfig(), which fails on a
            # file that is not there.
            config.config_file_name = None
        elif missing and _bare_script_directory(options):
            config.config_file_name = _generate(stack, ini_template)
            config.set_main_option("script_location", escape(str(SCRIPT_DIRECTORY.absolute())))
            config.set_main_option("prepend_sys_path", ".")
            config.set_main_option("path_separator", "os")
        if environment_url():
            config.set_main_option("sqlalchemy.url", escape(environment_url()))
        try:
            yield
        except CommandError as exc:
            if missing and "script_location" in str(exc):
                raise CommandError(_nothing_here(options)) from exc
            raise


def _bare_script_directory(options: Namespace) -> bool:
    named = options.config or os.environ.get("ALEMBIC_CONFIG")
    return not named and (SCRIPT_DIRECTORY / "env.py").is_file()


def escape(value: str) -> str:
    """`value` for an ini file, where % starts an interpolation."""
    return value.replace("%", "%%")


def render(ini_template: str, script_location: str) -> str:
    """The text of alembic.ini for this script directory."""
    return ini_template.replace("${script_location}", script_location)


def _generate(stack: ExitStack, ini_template: str) -> str | None:
    """A file for env.py's fileConfig(); None where nothing can be written."""
    try:
        private = stack.enter_context(tempfile.TemporaryDirectory(prefix="reflex-db-"))
        file = Path(private, "alembic.ini")  # in a directory of mode 0700
        file.touch(mode=0o600)
        file.write_text(render(ini_template, escape(private)), encoding="utf-8")
    except OSError:
        return None
    return str(file)


def _is_file(name: str | None) -> bool:
    return name is not None and os.path.isfile(name)


def _nothing_here(options: Namespace) -> str:
    if options.config:
        named = ", ".join(options.config)
        return f"There is no configuration file {named}."
    if "ALEMBIC_CONFIG" in os.environ:
        named = os.environ["ALEMBIC_CONFIG"]
        return f"ALEMBIC_CONFIG names {named}, and there is no such file."
    return (
        f"Neither alembic.ini, nor [tool.alembic] in pyproject.toml, nor alembic/env.py "
        f"in {Path.cwd()}."
    )
