"""SQLModel: its models work in our session, and its own Session on our engine."""

import pytest
from sqlalchemy import select

import reflex_orm as orm
from conftest import RunAsync

sqlmodel = pytest.importorskip("sqlmodel", reason="sqlmodel is not installed")

from sqlmodel import Field, SQLModel  # noqa: E402
from sqlmodel.ext.asyncio.session import AsyncSession  # noqa: E402


class Customer(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    name: str


def test_in_a_plain_session() -> None:
    SQLModel.metadata.create_all(orm.engine("sqlite://"))
    with orm.session("sqlite://") as s:
        s.add(Customer(name="Ada"))
        s.commit()
    with orm.session("sqlite://") as s:
        assert s.scalars(select(Customer)).one().name == "Ada"


def test_in_sqlmodels_session() -> None:
    """For `exec`, which `sqlmodel.Session` adds."""
    SQLModel.metadata.create_all(orm.engine("sqlite://"))
    with sqlmodel.Session(orm.engine("sqlite://")) as s:
        s.add(Customer(name="Ada"))
        s.commit()
        assert s.exec(sqlmodel.select(Customer)).one().name == "Ada"


def test_in_sqlmodels_async_session(run_async: RunAsync) -> None:
    async def main() -> None:
        engine = orm.async_engine("sqlite+aiosqlite://")
        async with engine.begin() as connection:
            await connection.run_sync(SQLModel.metadata.create_all)
        async with AsyncSession(engine, expire_on_commit=False) as s:
            s.add(Customer(name="Ada"))
            await s.commit()
            assert (await s.exec(sqlmodel.select(Customer))).one().name == "Ada"

    run_async(main)
