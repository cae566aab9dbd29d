"""REFLEX_DB_URL: what is read, what is refused, and that no message holds the password."""

import pytest
from sqlalchemy import URL, make_url

import reflex_orm as orm
from conftest import RunAsync, Script

SECRET = "p4ssw0rd"


def test_url_is_sqlalchemys_reading_of_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "REFLEX_DB_URL", "postgresql+psycopg://ada:p%40ss@db:6543/shop?sslmode=require"
    )

    url = orm.url()

    assert type(url) is URL
    assert (url.username, url.password, url.host, url.port) == ("ada", "p@ss", "db", 6543)
    assert (url.database, dict(url.query)) == ("shop", {"sslmode": "require"})
    assert "p%40ss" not in str(url)
    assert "p@ss" not in str(url)


@pytest.mark.parametrize("value", [None, "", "  ", "\n"])
def test_unset_empty_or_blank_says_what_to_set(
    monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    if value is not None:
        monkeypatch.setenv("REFLEX_DB_URL", value)
    for door in (orm.url, orm.engine, orm.session):
        with pytest.raises(
            orm.URLNotSetError, match=r"export REFLEX_DB_URL=postgresql\+psycopg://"
        ):
            door()


def test_the_async_doors_fall_back_to_the_same_variable(script: Script) -> None:
    printed = script(
        """
        import asyncio, reflex_orm as orm
        async def main():
            print(orm.async_engine().url)
        asyncio.run(main())
        """,
        REFLEX_DB_URL="sqlite+aiosqlite:///main.db",
        REFLEX_ASYNC_DB_URL=" ",
    )
    assert printed == "sqlite+aiosqlite:///main.db\n"


def test_the_async_variable_is_for_the_async_doors_alone(script: Script) -> None:
    printed = script(
        """
        import asyncio, reflex_orm as orm
        async def main():
            print(orm.async_engine().url, orm.engine().url, orm.url())
        asyncio.run(main())
        """,
        REFLEX_DB_URL="sqlite:///main.db",
        REFLEX_ASYNC_DB_URL="sqlite+aiosqlite:///main.db",
    )
    assert printed == "sqlite+aiosqlite:///main.db sqlite:///main.db sqlite:///main.db\n"


def test_an_argument_comes_before_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFLEX_DB_URL", "sqlite:///variable.db")
    assert orm.engine("sqlite:///argument.db").url.database == "argument.db"
    assert orm.engine(make_url("sqlite:///argument.db")) is orm.engine("sqlite:///argument.db")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (f"ada:{SECRET}@db/shop", "is not a SQLAlchemy URL"),
        (f"postgresql://ada:x@db:{SECRET}/shop", "has a port that is not a number: "),
        (f"postgresql://ada:x@{SECRET}@db/shop", "has a second @: .* must be written %40"),
        (f"postgresql://ada:x@y:{SECRET}@db/shop", "has a second @: .* must be written %40"),
        (f"'postgresql://ada:{SECRET}@db/shop'", "is in quotes, .*: take them off"),
        (
            f"postgres://ada:{SECRET}@db/shop",
            r"postgresql:// instead: postgresql://ada:\*\*\*@db/shop",
        ),
        (f"postgres+psycopg://ada:{SECRET}@db", r"postgresql\+psycopg:// instead"),
        (f"postgres://db/shop?password={SECRET}", r"postgresql:// instead: postgresql://db/shop$"),
        (f"oracel://ada:{SECRET}@db/shop", "no SQLAlchemy dialect of that name is installed"),
        (f"postgresql+psycop://ada:{SECRET}@db", "no SQLAlchemy dialect of that name is installed"),
    ],
)
def test_a_wrong_url_is_explained_without_its_password(
    monkeypatch: pytest.MonkeyPatch, value: str, message: str
) -> None:
    monkeypatch.setenv("REFLEX_DB_URL", value)
    with pytest.raises(orm.URLError, match=message) as caught:
        orm.engine()
    assert str(caught.value).startswith("REFLEX_DB_URL ")
    with pytest.raises(orm.URLError, match=r"^the url argument "):
        orm.engine(value)
    # Nor in the errors that a traceback or a log handler would print beneath it.
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in str(error)
        error = error.__cause__ or error.__context__


@pytest.mark.parametrize("around", ["{}\n", " {}", "\r\n{}\t\n"])
def test_blanks_around_the_url_are_cut_off(
    monkeypatch: pytest.MonkeyPatch, run_async: RunAsync, around: str
) -> None:
    value = around.format("postgresql+psycopg://ada:x@db/shop")
    monkeypatch.setenv("REFLEX_DB_URL", value)
    assert orm.url().database == "shop"
    assert orm.engine().url.database == "shop"
    assert orm.engine(value) is orm.engine()

    async def main() -> None:
        assert orm.async_engine().url.database == "shop"

    run_async(main)


@pytest.mark.parametrize(
    ("value", "advice"),
    [
        (f"postgresql+psycopg://u:{SECRET}@%2Fvar%2Frun/d", "?host=/directory"),
        (f"postgresql+psycopg://u:{SECRET}@/d?host=[::1]:5433", "?host=::1&port=5432"),
        (f"postgresql+psycopg://u:{SECRET}@/d?host=h1:1,h2:2", "?host=h1:5432&host=h2:5433"),
        (f"postgresql+psycopg://u:{SECRET}@/d?host=/run/.s.PGSQL.5432", "?host=/directory&port="),
        (f"postgresql+psycopg://u:{SECRET}@h/my\nd", "%0A"),
    ],
)
def test_what_no_driver_could_connect_to(run_async: RunAsync, value: str, advice: str) -> None:
    with pytest.raises(orm.URLError) as caught:
        orm.engine(value)
    assert advice in str(caught.value)
    assert SECRET not in str(caught.value)

    async def main() -> None:
        with pytest.raises(orm.URLError) as caught:
            orm.async_engine(value)
        assert advice in str(caught.value)

    run_async(main)


@pytest.mark.parametrize(
    "value",
    [
        "postgresql+psycopg://u:p@h/my%0Adatabase",
        "postgresql+psycopg://u:p@%2Ftmp,h2/d",
        "postgresql+psycopg://u:p@%2Ftmp/d?hostaddr=10.0.0.1",
        "postgresql+psycopg://u:p@/d?host=::1&port=5433",
        "sqlite:////tmp/my\ndatabase",
    ],
)
def test_what_looks_like_it_and_works(value: str) -> None:
    orm.engine(value)


def test_a_creator_makes_what_it_wants_of_a_url(script: Script) -> None:
    """As libpq does, which decodes a host."""
    script(
        """
        import reflex_orm as orm
        orm.configure(creator=lambda: None)
        orm.engine("postgresql+psycopg://u:p@%2Fvar%2Frun/d")
        """
    )
