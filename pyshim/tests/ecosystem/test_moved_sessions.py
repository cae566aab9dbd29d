"""Code that was written for the framework's sessions (docs/reflex.md).

Reflex's `rx.session` was SQLModel's Session, with `exec`; its `rx.asession` was SQLModel's
AsyncSession with `expire_on_commit=False, autoflush=False`. One call at the app's start makes
ours the same.
"""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession as PlainAsyncSession
from sqlalchemy.orm import Session as PlainSession

import reflex_orm as orm
from conftest import RunAsync

sqlmodel = pytest.importorskip("sqlmodel", reason="sqlmodel is not installed")

from sqlmodel import Field, Session, SQLModel, select  # noqa: E402
from sqlmodel.ext.asyncio.session import AsyncSession  # noqa: E402

ASYNC = {"class_": AsyncSession, "expire_on_commit": False, "autoflush": False}


class Entry(SQLModel, table=True):
    __tablename__ = "moved_entry"
    id: int | None = Field(default=None, primary_key=True)
    author: str


@pytest.fixture
def moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFLEX_DB_URL", f"sqlite:///{tmp_path}/app.db")
    monkeypatch.setenv("REFLEX_ASYNC_DB_URL", f"sqlite+aiosqlite:///{tmp_path}/app.db")
    orm.configure(session_options={"class_": Session}, async_session_options=ASYNC)
    SQLModel.metadata.create_all(orm.engine())


@pytest.fixture(autouse=True)
def unconfigured() -> Any:
    yield
    orm.dispose()
    orm.configure()


def test_moved_code(moved: None) -> None:
    with orm.session() as s:
        assert type(s) is Session
        s.add(Entry(author="Ada"))
        s.commit()
        assert s.exec(select(Entry)).one().author == "Ada"


def test_moved_async_code(moved: None, run_async: RunAsync) -> None:
    async def main() -> None:
        async with orm.asession() as s:
            assert type(s) is AsyncSession
            entry = Entry(author="Ada")
            s.add(entry)
            assert (await s.exec(select(Entry))).all() == []  # autoflush=False
            await s.commit()
            assert entry.author == "Ada"  # expire_on_commit=False
            entry.author = "Grace"

    run_async(main)


def test_a_call_goes_before_what_is_configured(moved: None, run_async: RunAsync) -> None:
    with orm.session(class_=PlainSession, expire_on_commit=False) as s:
        assert type(s) is PlainSession
        assert not s.expire_on_commit

    async def main() -> None:
        async with orm.asession(class_=PlainAsyncSession, autoflush=True) as s:
            assert type(s) is PlainAsyncSession
            assert s.sync_session.autoflush
            assert not s.sync_session.expire_on_commit

    run_async(main)


def test_in_tests_that_are_taken_back(moved: None) -> None:
    """`using` keeps its promise with a class of another's."""
    with orm.engine("sqlite://").connect() as connection, orm.using(connection):
        assert type(orm.session()) is Session


def test_it_is_configured_once() -> None:
    orm.configure(async_session_options=dict(ASYNC))
    orm.configure(async_session_options=dict(ASYNC))
    with pytest.raises(orm.ConfigureError, match="another async_session_options"):
        orm.configure(async_session_options={})


# The place of the framework's `get_db_status`, which answers {"db": True}.


def health() -> bool:
    try:
        with orm.engine().connect() as connection:
            connection.execute(text("SELECT 1"))
    except Exception:  # noqa: BLE001 - whatever the driver raises, it is not healthy
        return False
    return True


async def async_health() -> bool:
    try:
        async with orm.async_engine().connect() as connection:
            await connection.execute(text("SELECT 1"))
    except Exception:  # noqa: BLE001
        return False
    return True


def test_health(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, run_async: RunAsync) -> None:
    assert not health()  # no URL
    for url, well in (
        (f"sqlite:///{tmp_path}/app.db", True),
        ("postgresql+psycopg:///d?host=/nowhere", False),
    ):
        monkeypatch.setenv("REFLEX_DB_URL", url)
        assert health() is well
    for url, well in (
        (f"sqlite+aiosqlite:////{tmp_path}/app.db", True),
        ("postgresql+asyncpg://u@127.0.0.1:1/d", False),
        ("postgresql+psycopg://u@127.0.0.1:1/d", False),
    ):
        monkeypatch.setenv("REFLEX_ASYNC_DB_URL", url)
        assert run_async(async_health) is well
