"""Two-phase commit: one transaction over two databases, all or nothing."""

import pytest
from sqlalchemy import URL, func, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import reflex_orm as orm
from conftest import NewDatabase


class Sales(DeclarativeBase):
    pass


class Stock(DeclarativeBase):
    pass


class Order(Sales):
    __tablename__ = "order"
    id: Mapped[int] = mapped_column(primary_key=True)


class Reservation(Stock):
    __tablename__ = "reservation"
    id: Mapped[int] = mapped_column(primary_key=True)


@pytest.fixture
def databases(new_database: NewDatabase) -> tuple[URL, URL]:
    sales, stock = new_database(), new_database()
    with orm.session(sales) as s:
        if s.scalar(text("SELECT current_setting('max_prepared_transactions')::int")) == 0:
            pytest.skip("this server has max_prepared_transactions = 0")
    Sales.metadata.create_all(orm.engine(sales))
    Stock.metadata.create_all(orm.engine(stock))
    return sales, stock


def counts(databases: tuple[URL, URL]) -> list[int | None]:
    found = []
    for url, model in zip(databases, (Order, Reservation), strict=True):
        with orm.session(url) as s:
            found.append(s.scalar(select(func.count()).select_from(model)))
    return found


def both(databases: tuple[URL, URL]) -> Session:
    sales, stock = map(orm.engine, databases)
    return Session(binds={Sales: sales, Stock: stock}, twophase=True)


def prepared(databases: tuple[URL, URL]) -> int:
    """Count the transactions of these databases that are prepared and not yet ended."""
    names = [url.database for url in databases]
    with orm.session(databases[0]) as s:
        query = text("SELECT gid FROM pg_prepared_xacts WHERE database = ANY(:names)")
        return len(s.scalars(query, {"names": names}).all())


def test_both_commit(databases: tuple[URL, URL]) -> None:
    with both(databases) as s:
        s.add_all([Order(), Reservation()])
        s.prepare()  # commit() does it too; here to look in between
        assert prepared(databases) == 2
        s.commit()
    assert prepared(databases) == 0
    assert counts(databases) == [1, 1]


def test_prepared_on_both_and_then_rolled_back(databases: tuple[URL, URL]) -> None:
    with both(databases) as s:
        s.add_all([Order(), Reservation()])
        s.prepare()
        s.rollback()
    assert prepared(databases) == 0
    assert counts(databases) == [0, 0]


def test_one_refuses_and_neither_commits(databases: tuple[URL, URL]) -> None:
    with orm.session(databases[1]) as s:
        s.add(Reservation(id=7))
        s.commit()
    with both(databases) as s:
        s.add_all([Order(id=7), Reservation(id=7)])
        with pytest.raises(IntegrityError):
            s.commit()
    assert prepared(databases) == 0
    assert counts(databases) == [0, 1]
