"""`--env-file` and REFLEX_ENV_FILE: variables from files that are named, and from no others."""

import importlib.util
import os

import pytest

from .running import Project

needs_dotenv = pytest.mark.skipif(
    importlib.util.find_spec("dotenv") is None, reason="python-dotenv is not installed"
)


@pytest.fixture
def unnamed(project: Project) -> Project:
    project.env["REFLEX_DB_URL"] = ""
    project.write(".env", "REFLEX_DB_URL=sqlite:///file.db\n")
    return project


def made(project: Project) -> list[str]:
    """The databases that are there; they are removed."""
    files = sorted(project.directory.glob("*.db"))
    for file in files:
        file.unlink()
    return [file.name for file in files]


def test_a_file_that_nobody_names_is_not_read(unnamed: Project) -> None:
    unnamed.run("upgrade", "head").check(4)


@needs_dotenv
@pytest.mark.parametrize(
    "argv",
    [
        ["--env-file", ".env", "upgrade", "head"],
        ["upgrade", "head", "--env-file=.env"],
        ["upgrade", "--env-file", ".env", "head"],
    ],
)
def test_the_option_may_stand_anywhere(unnamed: Project, argv: list[str]) -> None:
    unnamed.run(*argv).check()
    assert made(unnamed) == ["file.db"]


@needs_dotenv
def test_the_rules_are_the_frameworks(unnamed: Project) -> None:
    """reflex_base.environment: the files go before the variables, the first before the next."""
    unnamed.write("second.env", "REFLEX_DB_URL=sqlite:///second.db\nALEMBIC_CONFIG=db.ini\n")
    unnamed.write("db.ini", "[alembic]\nscript_location = alembic\n")
    both = os.pathsep.join([".env", " ", "nosuch.env", "second.env"])
    unnamed.run("upgrade", "head", REFLEX_ENV_FILE=both, REFLEX_DB_URL="sqlite:///own.db").check()
    assert made(unnamed) == ["file.db"]
    unnamed.run("upgrade", "head", REFLEX_ENV_FILE="nosuch.env").check(4)
    unnamed.run("upgrade", "head", "--env-file", "second.env", REFLEX_ENV_FILE=".env").check()
    assert made(unnamed) == ["second.db"]


@needs_dotenv
def test_many_databases_take_it_once(unnamed: Project) -> None:
    unnamed.write(".env", "REFLEX_DB_URL=sqlite:///{}.db\n")
    unnamed.write("list", "a\nb\n")
    unnamed.run("upgrade", "head", "--env-file", ".env", "--each", "list").check()
    assert made(unnamed) == ["a.db", "b.db"]


@needs_dotenv
def test_its_password_is_kept_out_of_messages(unnamed: Project) -> None:
    url = "postgresql+psycopg://u:p4ssw0rd-p4ssw0rd@127.0.0.1:1/d?p4ssw0rd-p4ssw0rd=1"
    unnamed.write(".env", f"REFLEX_DB_URL={url}\n")
    assert "p4ssw0rd" not in unnamed.run("--env-file", ".env", "current").check(4).stderr


@needs_dotenv
def test_a_file_that_can_not_be_read(unnamed: Project) -> None:
    missing = unnamed.run("--env-file", "nosuch.env", "current").check(2)
    assert "--env-file: nosuch.env: no such file or directory" in missing.stderr
    (unnamed.directory / "latin").write_bytes(b"A=\xe9\n")
    for argv, env, name in ((["--env-file", "latin"], "", "--env-file"), ([], "latin", "REFLEX")):
        done = unnamed.run(*argv, "current", REFLEX_ENV_FILE=env).check(2)
        assert name in done.stderr
        assert "latin is not UTF-8" in done.stderr
    (unnamed.directory / "directory").mkdir()
    assert "is a directory" in unnamed.run("--env-file", "directory", "heads").check(2).stderr


def test_without_python_dotenv_it_says_what_to_install(unnamed: Project) -> None:
    unnamed.write("hidden/dotenv.py", "raise ModuleNotFoundError('No module', name='dotenv')\n")
    with_path = {"PYTHONPATH": str(unnamed.directory / "hidden")}
    process = unnamed.start("--env-file", ".env", "current", **with_path)
    stderr = process.communicate(timeout=60)[1]
    assert process.returncode == 3
    assert stderr.rstrip().endswith('-m pip install "python-dotenv"')
