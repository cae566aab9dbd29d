"""Async sessions on asyncpg, psycopg and aiosqlite, with the same code."""

import asyncio
from pathlib import Path

import pytest
from sqlalchemy import ForeignKey, func, select
from sqlalchemy.ext.asyncio import AsyncAttrs
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship, selectinload

import reflex_orm as orm
from conftest import NewDatabase, RunAsync


class Base(AsyncAttrs, DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    orders: Mapped[list["Order"]] = relationship()


class Order(Base):
    __tablename__ = "order"
    id: Mapped[int] = mapped_column(primary_key=True)
    customer_id: Mapped[int] = mapped_column(ForeignKey(Customer.id))


@pytest.fixture(params=["postgresql+asyncpg", "postgresql+psycopg", "sqlite+aiosqlite"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    driver: str = request.param
    if driver.startswith("sqlite"):
        return f"{driver}:///{tmp_path}/shop.db"
    new_database: NewDatabase = request.getfixturevalue("new_database")
    return new_database().set(drivername=driver).render_as_string(hide_password=False)


def test_an_async_session(monkeypatch: pytest.MonkeyPatch, run_async: RunAsync, url: str) -> None:
    async def main() -> None:
        async with orm.async_engine().begin() as connection:
            await connection.run_sync(Base.metadata.create_all)

        async with orm.asession() as s:
            s.add(Customer(name="Ada", orders=[Order(), Order()]))
            await s.commit()

        async with orm.asession() as s:
            query = select(Customer).options(selectinload(Customer.orders))
            assert len((await s.scalars(query)).one().orders) == 2

        async with orm.asession() as s:  # lazy loads, through AsyncAttrs
            ada = (await s.scalars(select(Customer))).one()
            assert len(await ada.awaitable_attrs.orders) == 2

        async with orm.asession() as s:
            s.add(Customer(name="Grace"))
            await s.flush()
        async with orm.asession() as s:  # what is not committed is rolled back
            assert await s.scalar(select(func.count()).select_from(Customer)) == 1

    monkeypatch.setenv("REFLEX_DB_URL", url)
    run_async(main)


def test_many_tasks(monkeypatch: pytest.MonkeyPatch, run_async: RunAsync, url: str) -> None:
    """More tasks than the pool has connections: each has its session, and waits its turn."""

    async def insert(number: int) -> None:
        async with orm.asession() as s, s.begin():
            s.add(Customer(name=f"customer {number}"))

    async def main() -> None:
        async with orm.async_engine().begin() as connection:
            await connection.run_sync(Base.metadata.create_all)
        await asyncio.gather(*(insert(number) for number in range(40)))
        async with orm.asession() as s:
            assert await s.scalar(select(func.count()).select_from(Customer)) == 40

    monkeypatch.setenv("REFLEX_DB_URL", url)
    run_async(main)
