"""Alembic's Config, completed with the environment's URL."""

import contextlib
import os
from argparse import Namespace
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic.config import CommandLine, Config
from alembic.util import CommandError

from reflex_driver import configuration
from reflex_driver.usage import UsageError

from .running import Project

INI = """\
[alembic]
script_location = alembic
sqlalchemy.url = sqlite:///ini.db
[other]
script_location = alembic
sqlalchemy.url = sqlite:///other.db
[without]
script_location = alembic
"""


@contextlib.contextmanager
def completed(project: Project, *argv: str) -> Iterator[tuple[Config, str]]:
    """As Alembic makes it of a command line, in the project's directory."""
    options, config = parsed(project, *argv)
    with configuration.completed(config, options) as sources:
        yield config, sources


def parsed(project: Project, *argv: str) -> tuple[Namespace, Config]:
    os.chdir(project.directory)
    line = CommandLine()
    options = line.parser.parse_args([*argv, "heads"])
    toml, ini = line._inis_from_config(options)
    return options, Config(file_=ini, toml_file=toml, ini_section=options.name, cmd_opts=options)


def url(config: Config) -> str | None:
    return config.get_main_option("sqlalchemy.url")


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # and back at the end
    monkeypatch.delenv("REFLEX_DB_URL", raising=False)
    monkeypatch.delenv("ALEMBIC_CONFIG", raising=False)


def test_the_environments_url_goes_first(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write("alembic.ini", INI)
    with completed(project) as (config, sources):
        assert url(config) == "sqlite:///ini.db"
        assert sources.endswith("Database URL: sqlalchemy.url of [alembic]")
    monkeypatch.setenv("REFLEX_DB_URL", "  sqlite:///env.db\n")
    with completed(project) as (config, sources):
        assert url(config) == "sqlite:///env.db"
        assert sources.endswith("Database URL: REFLEX_DB_URL")
    monkeypatch.setenv("REFLEX_DB_URL", " \t")
    with completed(project) as (config, _):
        assert url(config) == "sqlite:///ini.db"


def test_a_percent_sign_stays_one(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.write("alembic.ini", INI)
    for written in ("postgresql://u:p%40ss@h/d", "postgresql://u:100%@h/%(here)s", "sqlite:///%%"):
        monkeypatch.setenv("REFLEX_DB_URL", written)
        with completed(project) as (config, _):
            assert url(config) == written


def test_a_section_that_n_names_has_its_own(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    project.write("alembic.ini", INI)
    monkeypatch.setenv("REFLEX_DB_URL", "sqlite:///env.db")
    with completed(project, "-n", "other") as (config, sources):
        assert url(config) == "sqlite:///other.db"
        assert "sqlalchemy.url of [other], which -n names, and not REFLEX_DB_URL" in sources
    with completed(project, "-n", "without") as (config, _):
        assert url(config) == "sqlite:///env.db"
    with completed(project, "-n", "nosuch") as (config, _):  # Alembic is to say so
        assert not config.file_config.has_section("nosuch")


@pytest.mark.parametrize(
    ("default", "section", "own"),
    [
        ("", "sqlalchemy.url = sqlite:///x.db", True),
        ("sqlalchemy.url = sqlite:///x.db", "", False),
        ("sqlalchemy.url = sqlite:///x.db", "sqlalchemy.url = sqlite:///y.db", True),
        ("sqlalchemy.url = sqlite:///%(name)s.db", "name = x", True),
        ("", "sqlalchemy.url = driver://user:pass@localhost/dbname", False),
        ("", "sqlalchemy.url = sqlite:///%(nosuch)s.db", True),
        ("", "sqlalchemy.url =", False),
    ],
)
def test_whose_url_a_section_has(project: Project, default: str, section: str, own: bool) -> None:
    project.write("alembic.ini", f"[DEFAULT]\n{default}\n[alembic]\n[other]\n{section}\n")
    _, config = parsed(project, "-n", "other")
    assert configuration.own_url(config) is own


def test_every_url_is_known_for_its_password(project: Project) -> None:
    project.write(
        "alembic.ini",
        "[alembic]\nsqlalchemy.url = postgresql://u:p%%40ss@h/d\n"
        "[other]\npw = secret\nsqlalchemy.url = postgresql://u:%(pw)s@h/d\n"
        "[broken]\nsqlalchemy.url = postgresql://u:%(nosuch)s@h/d\n",
    )
    _, config = parsed(project)
    found = configuration.urls(config)
    assert "postgresql://u:p%40ss@h/d" in found
    assert "postgresql://u:secret@h/d" in found


def test_a_script_directory_alone_is_enough(project: Project) -> None:
    with completed(project) as (config, sources):
        file = Path(config.config_file_name or "")
        assert file.read_text().startswith("# ") or "[alembic]" in file.read_text()
        assert "[loggers]" in file.read_text()  # for fileConfig()
        assert file.stat().st_mode & 0o077 == 0
        assert file.parent.stat().st_mode & 0o077 == 0
        assert config.get_main_option("script_location") == str(project.directory / "alembic")
        assert config.get_main_option("prepend_sys_path") == "."
        assert sources.startswith("Configuration: none, but env.py\n")
    assert not file.exists()


def test_the_url_is_written_to_no_file(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFLEX_DB_URL", "postgresql://u:hunter22@h/d")
    with completed(project) as (config, _):
        assert "hunter22" not in Path(config.config_file_name or "").read_text()


def test_a_directory_with_a_percent_sign(tmp_path: Path) -> None:
    project = Project(tmp_path / "100% mine")
    with completed(project) as (config, _):
        assert config.get_main_option("script_location") == str(project.directory / "alembic")


@pytest.mark.parametrize("argv", [["-c", "nosuch.ini"], []])
def test_a_file_that_is_named_and_is_not_there(
    project: Project, argv: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not argv:
        monkeypatch.setenv("ALEMBIC_CONFIG", "nosuch.ini")
    missing = CommandError("No 'script_location' key found in configuration")
    with (
        pytest.raises(UsageError if argv else CommandError, match=r"nosuch\.ini"),
        completed(project, *argv),
    ):
        raise missing


def test_another_error_is_left_as_it_is(project: Project) -> None:
    error = CommandError("Can't locate revision")
    with pytest.raises(CommandError) as caught, completed(project):
        raise error
    assert caught.value is error


def test_tool_alembic_is_the_projects_own(project: Project) -> None:
    project.write("pyproject.toml", '[tool.alembic]\nscript_location = "alembic"\n')
    with completed(project) as (config, sources):
        assert config.get_alembic_option("script_location") == "alembic"
        assert "[tool.alembic] of " in sources


def test_the_template_is_found() -> None:
    assert "script_location = ${script_location}" in configuration.ini_template()
