"""Horizontal sharding: SQLAlchemy's ShardedSession over three databases."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import inspect, select
from sqlalchemy.ext.horizontal_shard import ShardedSession, set_shard_id
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, sessionmaker

import reflex_orm as orm
from conftest import NewDatabase

CONTINENTS = ("africa", "asia", "europe")


class Base(DeclarativeBase):
    pass


class Weather(Base):
    __tablename__ = "weather"
    # A natural key: a sequence of each shard's own would give one number three times.
    continent: Mapped[str] = mapped_column(primary_key=True)
    city: Mapped[str] = mapped_column(primary_key=True)
    degrees: Mapped[float]


def of_instance(mapper: Any, instance: Any, clause: Any = None) -> str:
    return str(instance.continent)


def of_identity(mapper: Any, primary_key: Any, **_: Any) -> Sequence[str]:
    return [primary_key[0]]


def of_statement(context: Any) -> Sequence[str]:
    return CONTINENTS  # ask all of them


def test_three_databases(new_database: NewDatabase) -> None:
    shards = {name: orm.engine(new_database()) for name in CONTINENTS}

    session = sessionmaker(
        class_=ShardedSession,
        shards=shards,
        shard_chooser=of_instance,
        identity_chooser=of_identity,
        execute_chooser=of_statement,
    )

    for engine in shards.values():
        Base.metadata.create_all(engine)
    with session() as s:
        s.add_all(
            [
                Weather(continent="asia", city="Tokyo", degrees=18.0),
                Weather(continent="europe", city="London", degrees=11.0),
                Weather(continent="europe", city="Oslo", degrees=6.0),
            ]
        )
        s.commit()

    with session() as s:  # a query of every shard
        assert sorted(s.scalars(select(Weather.city))) == ["London", "Oslo", "Tokyo"]
        # a query of one
        cold = select(Weather).where(Weather.degrees < 10).options(set_shard_id("europe"))
        assert s.scalars(cold).one().city == "Oslo"
        # a get, which knows its shard
        tokyo = s.get_one(Weather, ("asia", "Tokyo"))
        assert inspect(tokyo).identity_token == "asia"

    with orm.session(shards["asia"].url) as s:  # the rows are where they should be
        assert s.scalars(select(Weather.city)).all() == ["Tokyo"]
    with orm.session(shards["africa"].url) as s:
        assert s.scalars(select(Weather.city)).all() == []
