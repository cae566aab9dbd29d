"""Models may be written in any of SQLAlchemy's styles; the session is the same."""

from dataclasses import dataclass
from datetime import datetime

import pytest
from sqlalchemy import Column, ForeignKey, Integer, MetaData, String, Table, func, insert, select
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    MappedAsDataclass,
    mapped_column,
    registry,
    relationship,
)

import reflex_orm as orm


@pytest.fixture(autouse=True)
def database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFLEX_DB_URL", "sqlite://")


def test_declarative_base() -> None:
    class Base(DeclarativeBase):
        pass

    class Customer(Base):
        __tablename__ = "customer"
        id: Mapped[int] = mapped_column(primary_key=True)
        name: Mapped[str] = mapped_column(String(80))
        since: Mapped[datetime] = mapped_column(server_default=func.now())
        orders: Mapped[list["Order"]] = relationship(back_populates="customer")

    class Order(Base):
        __tablename__ = "order"
        id: Mapped[int] = mapped_column(primary_key=True)
        customer_id: Mapped[int] = mapped_column(ForeignKey(Customer.id))
        customer: Mapped[Customer] = relationship(back_populates="orders")

    Base.metadata.create_all(orm.engine())
    with orm.session() as s:
        s.add(Customer(name="Ada", orders=[Order(), Order()]))
        s.commit()
    with orm.session() as s:
        ada = s.scalars(select(Customer)).one()
        assert (ada.name, len(ada.orders)) == ("Ada", 2)
        assert isinstance(ada.since, datetime)


def test_mapped_as_dataclass() -> None:
    class Base(MappedAsDataclass, DeclarativeBase):
        pass

    class Customer(Base):
        __tablename__ = "customer"
        id: Mapped[int] = mapped_column(init=False, primary_key=True)
        name: Mapped[str]
        city: Mapped[str] = mapped_column(default="London")

    Base.metadata.create_all(orm.engine())
    with orm.session() as s:
        s.add(Customer("Ada"))
        s.commit()
    with orm.session() as s:
        assert repr(s.scalars(select(Customer)).one()).endswith(
            "Customer(id=1, name='Ada', city='London')"
        )


def test_imperative_mapping() -> None:
    @dataclass
    class Customer:  # a class that knows nothing of SQLAlchemy
        name: str

    mapper = registry()
    table = Table(
        "customer",
        mapper.metadata,
        Column("id", Integer, primary_key=True),
        Column("name", String),
    )
    mapper.map_imperatively(Customer, table)

    mapper.metadata.create_all(orm.engine())
    with orm.session() as s:
        s.add(Customer("Ada"))
        s.commit()
    with orm.session() as s:
        assert s.scalars(select(Customer)).one() == Customer("Ada")


def test_plain_tables() -> None:
    metadata = MetaData()
    customer = Table(
        "customer", metadata, Column("id", Integer, primary_key=True), Column("name", String)
    )

    metadata.create_all(orm.engine())
    with orm.session() as s:
        s.execute(insert(customer), [{"name": "Ada"}, {"name": "Grace"}])
        s.commit()
    with orm.session() as s:
        assert s.scalars(select(customer.c.name).order_by("name")).all() == ["Ada", "Grace"]
