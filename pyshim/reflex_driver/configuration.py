"""Alembic's Config, completed: the database's URL, and an ini where there is none."""

from __future__ import annotations

import copy
import os
import tempfile
from configparser import InterpolationError, InterpolationMissingOptionError
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from alembic.util import CommandError

from . import data, exits, pyproject, secrets
from .advised import AdvisedError
from .usage import UsageError

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Iterator

    from alembic.config import Config

# The script directory that is taken where no configuration names one.
SCRIPT_DIRECTORY = Path("alembic")

URL = "sqlalchemy.url"
MAIN_SECTION = "alembic"  # where -n names no other

_TEMPLATE = "alembic.ini.tmpl"


def environment_url() -> str:
    """REFLEX_DB_URL, or "" where it is unset, empty or blank."""
    return os.environ.get("REFLEX_DB_URL", "").strip()


def urls(config: Config) -> list[str]:
    """Every `sqlalchemy.url` of the configuration, of other sections too."""
    found = []
    for section in config.file_config.sections():
        written = _written_url(config, section)
        found.append(written.replace("%%", "%"))
        with suppress(Exception):  # interpolating may fail, and many commands need no URL
            found.append(config.file_config.get(section, URL, fallback=""))
    return found


def own_url(config: Config) -> bool:
    """Whether the section that -n names has a URL of its own, which no other replaces.

    A URL that is the same in [DEFAULT] is every section's, and that of Alembic's
    templates nobody's.
    """
    section, parser = config.config_ini_section, config.file_config
    if section == MAIN_SECTION or _written_url(config, section).startswith("driver://"):
        return False
    default = ""
    with suppress(InterpolationMissingOptionError):  # of an option that each section sets
        default = parser.get("DEFAULT", URL, fallback="")
    try:
        return parser.get(section, URL, fallback="") not in ("", default)
    except InterpolationError:  # which env.py is to meet
        return True


def _written_url(config: Config, section: str) -> str:
    return config.file_config.get(section, URL, fallback="", raw=True) or ""


def sources(config: Config, replaced_by: str) -> str:
    """Which configuration is read and whose URL counts, for people."""
    section = f"[{config.config_ini_section}]"
    files = [f"{section} of {config.config_file_name}"] if _is_file(config.config_file_name) else []
    if config.toml_alembic_config:
        files.append(f"[tool.alembic] of {config.toml_file_name}")
    if own_url(config):
        url = f"sqlalchemy.url of {section}" + (
            ", which -n names, and not REFLEX_DB_URL" if environment_url() else ""
        )
    elif replaced_by:
        url = replaced_by
    elif _written_url(config, config.config_ini_section):
        url = f"sqlalchemy.url of {section}"
    else:
        url = "env.py's own"
    return f"Configuration: {', '.join(files) or 'none, but env.py'}\nDatabase URL: {url}"


def _replacement(config: Config, options: Namespace) -> tuple[str, str]:
    """The URL that goes before the configuration's, and where it is; "" where none does."""
    if own_url(config) or _is_misnamed(config):
        return "", ""
    if not environment_url() and getattr(options, "offline", False):  # it needs no URL
        return "", ""
    return named_url(config.toml_file_name or pyproject.FILE)


def named_url(file: str) -> tuple[str, str]:
    """The URL of the environment, else of [tool.reflex] in `file`, and where it is.

    A password in the file gets a line of warning.
    """
    if environment_url():
        return environment_url(), "REFLEX_DB_URL"
    url = pyproject.url("db_url", file)
    if secrets.has_secret(url):
        exits.write_error(
            f"Warning: {file} holds a password, for all who read the repository: "
            "give the URL in REFLEX_DB_URL instead\n"
        )
    return url, f"db_url in [tool.reflex] of {file}" if url else ""


def _is_misnamed(config: Config) -> bool:
    """Whether -n names a section that is not there."""
    section = config.config_ini_section
    return section != MAIN_SECTION and not config.file_config.has_section(section)


@contextmanager
def completed(config: Config, options: Namespace) -> Iterator[str]:
    """Complete `config` for the length of a run, and say where it comes from.

    An ini or a [tool.alembic] of the project's own is respected. Without
    either, a script directory `alembic/` is enough: the ini that `init` would
    write is used, from a private file that is gone afterwards. The URL of the
    environment goes before one of the configuration, unless that is of a section
    which -n names; it is set in memory only. Next comes that of [tool.reflex].
    """
    with ExitStack() as stack:
        missing = not _is_file(config.config_file_name)
        bare = not config.toml_alembic_config and missing and _bare_script_directory(options)
        url, origin = _replacement(config, options)
        description = sources(config, origin)
        if bare:
            config.config_file_name = _generate(stack)
            config.set_main_option("script_location", escape(str(SCRIPT_DIRECTORY.absolute())))
            config.set_main_option("prepend_sys_path", ".")
            config.set_main_option("path_separator", "os")
        if url:
            config.set_main_option(URL, escape(url))
        try:
            yield description
        except CommandError as exc:
            if "script_location" not in str(exc):
                raise
            if missing:
                raise _nothing_here(options) from exc
            file = config.config_file_name
            if file and not os.access(file, os.R_OK):  # ConfigParser passes over it
                raise CommandError(f"{file}: permission denied") from exc
            if _is_misnamed(config):
                raise _no_section(config) from exc
            raise


def copied(config: Config) -> Config:
    """`config` as it is now, for an env.py that may change what it is given."""
    other = copy.copy(config)
    other.file_config = copy.deepcopy(config.file_config)
    other.attributes = dict(config.attributes)
    return other


def _bare_script_directory(options: Namespace) -> bool:
    named = options.config or os.environ.get("ALEMBIC_CONFIG")
    return not named and (SCRIPT_DIRECTORY / "env.py").is_file()


def escape(value: str) -> str:
    """`value` for an ini file, where % starts an interpolation."""
    return value.replace("%", "%%")


def ini_template() -> str:
    """The text of alembic.ini, with ${script_location} in it.

    It is package data of the wheel and of the Go binary, and in a checkout at the root.
    """
    try:
        return data.text(_TEMPLATE)
    except FileNotFoundError:
        return Path(__file__).parents[2].joinpath(_TEMPLATE).read_text("utf-8")


def _generate(stack: ExitStack) -> str | None:
    """A file for env.py's fileConfig(); None where nothing can be written."""
    try:
        private = stack.enter_context(tempfile.TemporaryDirectory(prefix="reflex-db-"))
        file = Path(private, "alembic.ini")  # in a directory of mode 0700
        file.touch(mode=0o600)
        text = ini_template().replace("${script_location}", escape(private))
        file.write_text(text, encoding="utf-8")
    except OSError:
        return None
    return str(file)


def _is_file(name: str | None) -> bool:
    return name is not None and os.path.isfile(name)


def _nothing_here(options: Namespace) -> Exception:
    if options.config:
        return UsageError(f"There is no configuration file {', '.join(options.config)}.")
    if "ALEMBIC_CONFIG" in os.environ:
        named = os.environ["ALEMBIC_CONFIG"]
        return CommandError(f"ALEMBIC_CONFIG names {named}, and there is no such file.")
    here = Path.cwd()
    error = AdvisedError(
        f"Neither alembic.ini, nor [tool.alembic] in pyproject.toml, nor alembic/env.py in {here}."
    )
    for depth, directory in enumerate(here.parents, 1):
        if any(
            (directory / name).is_file() for name in ("alembic.ini", SCRIPT_DIRECTORY / "env.py")
        ):
            up = "/".join([".."] * depth)
            error.hint = f"the project is in {directory}: go there, or give -C {up}"
            break
    return error


def _no_section(config: Config) -> UsageError:
    name, parser = config.config_ini_section, config.file_config
    found = [s for s in parser.sections() if parser.has_option(s, "script_location")]
    return UsageError(
        f"-n names the section {name}, which {config.config_file_name} does not have",
        f"those with a script_location: {', '.join(found)}" if found else "",
    )
