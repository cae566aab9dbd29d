"""`[tool.reflex]` of pyproject.toml: the database where no variable names one."""

import os
from pathlib import Path

import pytest

import reflex_driver
from reflex_driver import pyproject

from .running import Done, Project, fork

SECRET = "p4ssw0rd"


def tool(url: str, *more: str) -> str:
    return "\n".join([*more, "[tool.reflex]", f"db_url = {url!r}", ""])


@pytest.fixture
def unnamed(project: Project) -> Project:
    """A project whose variable is blank."""
    project.env["REFLEX_DB_URL"] = " \n"
    return project


def test_it_goes_before_the_ini_and_after_the_variable(unnamed: Project) -> None:
    unnamed.revision("a")
    unnamed.write("alembic.ini", "[alembic]\nscript_location = alembic\nsqlalchemy.url = x://\n")
    unnamed.write("pyproject.toml", tool("sqlite:///app.db"))
    done = unnamed.run("upgrade", "head", "-v").check()
    assert "Database URL: db_url in [tool.reflex] of pyproject.toml\n" in done.stderr
    assert unnamed.at() == ["a"]
    named = unnamed.run("upgrade", "head", "-v", REFLEX_DB_URL="sqlite:///other.db").check()
    assert "Database URL: REFLEX_DB_URL\n" in named.stderr
    assert (unnamed.directory / "other.db").exists()


def test_a_section_that_n_names_keeps_its_own(unnamed: Project) -> None:
    unnamed.write("pyproject.toml", tool("x://"))
    unnamed.write(
        "alembic.ini",
        "[archive]\nscript_location = alembic\nsqlalchemy.url = sqlite:///archive.db\n",
    )
    unnamed.run("-n", "archive", "upgrade", "head").check()
    assert (unnamed.directory / "archive.db").exists()


def test_the_file_that_c_names_counts(unnamed: Project) -> None:
    unnamed.write("pyproject.toml", tool("x://"))
    unnamed.write(
        "sub/pyproject.toml",
        tool("sqlite:///app.db", "[tool.alembic]", "script_location = 'alembic'"),
    )
    unnamed.run("-c", "sub/pyproject.toml", "upgrade", "head").check()
    assert unnamed.database.exists()


@pytest.mark.parametrize("url", ["sqlite:///100%.db", "sqlite:///%(here)s.db"])
def test_a_percent_sign_stays_one(unnamed: Project, url: str) -> None:
    unnamed.write("pyproject.toml", tool(url))
    unnamed.run("upgrade", "head").check()
    assert (unnamed.directory / url.removeprefix("sqlite:///")).exists()


@pytest.mark.parametrize(
    "text", ["", "[tool]\nreflex = 'x'", "[tool.Reflex]\ndb_url = 'x'", tool(" ")]
)
def test_what_names_no_database(unnamed: Project, text: str) -> None:
    unnamed.write("pyproject.toml", text)
    done = unnamed.run("current").check(4)
    assert "No database is named: " in done.stderr
    assert "nor db_url in [tool.reflex] of pyproject.toml\n" in done.stderr


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ("[tool.reflex]\ndb_url = 7", 4, "db_url in [tool.reflex] of pyproject.toml is not a text"),
        (f"[tool.reflex]\ndb_url = ['{SECRET}']", 4, "is not a text"),
        (f"[tool.reflex]\ndb_url = postgresql://u:{SECRET}@h/d", 1, "pyproject.toml can't be used"),
        (tool(f"nosuch://u:{SECRET}@h/d"), 4, "nosuch"),
    ],
)
def test_a_file_that_is_wrong(unnamed: Project, text: str, status: int, message: str) -> None:
    unnamed.write("pyproject.toml", text)
    done = unnamed.run("current").check(status)
    assert message in done.stderr
    assert SECRET not in done.stderr


def test_what_needs_no_url_does_not_look_for_one(unnamed: Project) -> None:
    unnamed.revision("a")
    unnamed.write("pyproject.toml", "[tool.reflex]\ndb_url = 7")
    assert "a (head)" in unnamed.run("heads").check().stdout


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        (f"sqlite://u:{SECRET}@/app.db", True),
        (f"sqlite:///app.db?password={SECRET}", True),
        ("sqlite:///app.db", False),
        ("sqlite://u@/app.db", False),
    ],
)
def test_a_password_in_it_gets_a_line_of_warning(unnamed: Project, url: str, warned: bool) -> None:
    unnamed.write("pyproject.toml", tool(url))
    stderr = unnamed.run("current").stderr
    lines = [line for line in stderr.splitlines() if "holds a password" in line]
    assert len(lines) == warned
    assert SECRET not in stderr
    assert "holds a password" not in unnamed.run("heads").check().stderr
    assert "holds" not in unnamed.run("current", REFLEX_DB_URL="sqlite:///app.db").check().stderr


def test_many_databases_have_it_as_the_variable(unnamed: Project) -> None:
    """And one line of warning."""
    unnamed.write("list", "a\nb\nc\n")
    unnamed.write("pyproject.toml", tool("sqlite:///{}.db"))
    unnamed.run("upgrade", "head", "--each", "list").check()
    assert {f"{name}.db" for name in "abc"} <= {p.name for p in unnamed.directory.iterdir()}
    unnamed.write("pyproject.toml", tool(f"sqlite://u:{SECRET}@/{{}}.db"))
    done = unnamed.run("current", "--each", "list", "--keep-going")
    assert done.stderr.count("holds a password") == 1
    assert SECRET not in done.stdout + done.stderr
    unnamed.write("pyproject.toml", "[tool.reflex]\ndb_url = 7\n")
    assert "is not a text" in unnamed.run("current", "--each", "list").check(4).stderr


def test_it_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    assert pyproject.url("db_url", str(file)) == ""
    for url in ("sqlite:///a.db", "sqlite:///long.db", "sqlite:///b.db"):
        file.write_text(tool(url))
        assert pyproject.url("db_url", str(file)) == url
        assert pyproject.url("async_db_url", str(file)) == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    file = tmp_path / "pyproject.toml"
    file.touch(mode=0)
    with pytest.raises(pyproject.ProjectError, match=r"pyproject\.toml: permission denied"):
        pyproject.url("db_url", str(file))


def alembic(directory: Path, *argv: str, **env: str) -> Done:
    """The bare command."""

    def run() -> None:
        from alembic.config import CommandLine

        CommandLine(prog="alembic").main([*argv])

    return fork(run, directory, **env)


def test_what_init_writes_reads_it_too(tmp_path: Path) -> None:
    """By the bare alembic, in the same order as ours."""
    here = tmp_path / "project"
    here.mkdir()
    fork(lambda: reflex_driver.main("reflex db", "1", "", "init"), here).check()
    (here / "pyproject.toml").write_text(tool(f"sqlite:///{here}/tool.db"))
    with (here / "alembic.ini").open("a") as ini:
        ini.write(f"\n[archive]\nscript_location = alembic\nsqlalchemy.url = sqlite:///{here}/n.db")

    def made(*argv: str, **env: str) -> list[str]:
        def ours() -> int:
            return reflex_driver.main("reflex db", "1", "", *argv, "upgrade", "head")

        found = []
        for bare in (True, False):
            done = (
                alembic(here, *argv, "upgrade", "head", **env) if bare else fork(ours, here, **env)
            )
            done.check()
            found.append([file.name for file in here.glob("*.db")])
            for file in here.glob("*.db"):
                file.unlink()
        assert found[0] == found[1]
        return found[0]

    assert made() == ["tool.db"]
    assert made(REFLEX_DB_URL=f"sqlite:///{here}/variable.db") == ["variable.db"]
    assert made("-n", "archive") == ["n.db"]


def test_rxconfig_is_named_where_it_has_the_url(unnamed: Project) -> None:
    unnamed.write(
        "rxconfig.py",
        """\
        raise SystemExit("it is read, and not run")
        config = rx.Config(
            app_name="shop",
            db_url="sqlite:///shop.db",
        )
        """,
    )
    next_step = unnamed.run("current").check(4).stderr.splitlines()[-1]
    assert next_step == (
        "Next: rxconfig.py, line 4, has db_url, which only Reflex reads: give it in "
        'REFLEX_DB_URL, which Reflex reads too, or write db_url = "sqlite:///shop.db" under '
        "[tool.reflex] in pyproject.toml"
    )


@pytest.mark.parametrize(
    "value", [f'"postgresql://u:{SECRET}@h/d"', 'os.environ["DATABASE"]', f'f"{SECRET}"']
)
def test_what_rxconfig_computes_or_hides_is_not_shown(unnamed: Project, value: str) -> None:
    unnamed.write("rxconfig.py", f"config = rx.Config(app_name='shop', db_url={value})\n")
    done = unnamed.run("current").check(4)
    assert "rxconfig.py, line 1, has db_url" in done.stderr
    assert SECRET not in done.stderr
    assert "write db_url" not in done.stderr


@pytest.mark.parametrize("text", ["config = rx.Config(app_name='shop')", "it is no Python", "\0"])
def test_an_rxconfig_without_one(unnamed: Project, text: str) -> None:
    unnamed.write("rxconfig.py", text)
    assert "Next: REFLEX_DB_URL is a SQLAlchemy URL" in unnamed.run("current").check(4).stderr
