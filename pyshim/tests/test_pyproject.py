"""`[tool.reflex]` of pyproject.toml in the current directory, after the variables."""

from pathlib import Path

import pytest

import reflex_orm as orm
from conftest import RunAsync

SECRET = "p4ssw0rd"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(directory: Path, **entries: object) -> None:
    lines = [f"{key} = {value!r}\n" for key, value in entries.items()]
    (directory / "pyproject.toml").write_text("[tool.reflex]\n" + "".join(lines))


def databases(run_async: RunAsync) -> list[str | None]:
    async def main() -> str | None:
        return orm.async_engine().url.database

    return [orm.engine().url.database, run_async(main)]


def test_where_the_url_comes_from(
    here: Path, monkeypatch: pytest.MonkeyPatch, run_async: RunAsync
) -> None:
    write(here, db_url="sqlite:///sync.db", async_db_url="sqlite+aiosqlite:///async.db")
    assert databases(run_async) == ["sync.db", "async.db"]
    assert orm.url().database == "sync.db"
    monkeypatch.setenv("REFLEX_DB_URL", " ")
    monkeypatch.setenv("REFLEX_ASYNC_DB_URL", "sqlite+aiosqlite:///variable.db")
    assert databases(run_async) == ["sync.db", "variable.db"]


def test_a_variable_is_not_mixed_with_the_files_other_entry(
    here: Path, monkeypatch: pytest.MonkeyPatch, run_async: RunAsync
) -> None:
    """The async session would go to another database than the sync one."""
    write(here, db_url="sqlite:///sync.db", async_db_url="sqlite+aiosqlite:///async.db")
    monkeypatch.setenv("REFLEX_DB_URL", "sqlite+aiosqlite:///variable.db")

    async def main() -> str | None:
        return orm.async_engine().url.database

    assert run_async(main) == "variable.db"


def test_one_entry_serves_both_doors(here: Path, run_async: RunAsync) -> None:
    write(here, db_url="sqlite+aiosqlite:///async.db")

    async def main() -> str | None:
        return orm.async_engine().url.database

    assert run_async(main) == "async.db"


def test_another_directory_and_using_come_as_they_do(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(here, db_url="sqlite:///here.db")
    with orm.using("sqlite:///using.db"):
        assert orm.url().database == "using.db"
    (here / "sub").mkdir()
    monkeypatch.chdir(here / "sub")
    with pytest.raises(orm.URLNotSetError):
        orm.url()
    write(here / "sub", db_url="sqlite:///sub.db")
    assert orm.url().database == "sub.db"


@pytest.mark.parametrize("url", ["postgresql://u:{}@h/d", "postgresql://u@h/d?password={}"])
def test_a_password_in_it_is_warned_of(here: Path, url: str) -> None:
    write(here, db_url=url.format(SECRET))
    with pytest.warns(UserWarning, match=r"^pyproject\.toml holds a password") as caught:
        orm.url()
    assert SECRET not in str(caught[0].message)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (7, r"^db_url in \[tool\.reflex\] of pyproject\.toml is not a text"),
        ("nonsense", r"^db_url in \[tool\.reflex\] of pyproject\.toml is not a SQLAlchemy URL"),
        ("postgres://h/d", r"Write postgresql:// instead"),
    ],
)
def test_an_entry_that_is_wrong(here: Path, value: object, message: str) -> None:
    write(here, db_url=value)
    with pytest.raises(orm.URLError, match=message):
        orm.engine()


def test_a_driver_of_the_other_kind(here: Path) -> None:
    write(here, db_url="postgresql+asyncpg://h/d")
    with pytest.raises(orm.WrongDriverError, match=r"Write postgresql\+psycopg://h/d instead"):
        orm.engine()


def test_a_file_that_is_not_toml(here: Path) -> None:
    (here / "pyproject.toml").write_text(f"[tool.reflex]\ndb_url = postgresql://u:{SECRET}@h/d\n")
    with pytest.raises(orm.URLError, match=r"^pyproject\.toml is not TOML") as caught:
        orm.url()
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in str(error)
        error = error.__cause__ or error.__context__


def test_rxconfig_is_named_where_it_has_the_url(here: Path) -> None:
    (here / "rxconfig.py").write_text('import reflex\nconfig = Config(db_url="sqlite:///x.db")\n')
    with pytest.raises(orm.URLNotSetError, match=r"\nrxconfig\.py, line 2, has db_url"):
        orm.session()
