"""Read replicas: a Session class of the application's own, with get_bind.

The recipe is SQLAlchemy's, "Custom Vertical Partitioning" in its ORM documentation. Here the
servers are a real primary and its streaming replica.
"""

from typing import Any

import pytest
from sqlalchemy import URL, Delete, Engine, Insert, String, Update, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

import reflex_orm as orm


class Base(DeclarativeBase):
    pass


class Customer(Base):
    __tablename__ = "replicated_customer"
    name: Mapped[str] = mapped_column(String(80), primary_key=True)


@pytest.fixture
def replica(pg_url: URL, pg_replica: URL) -> URL:
    return pg_replica.set(database=pg_url.database)


def replayed(primary: Engine, replica: Engine) -> None:
    """Wait until the replica has everything that the primary has written so far."""
    with primary.connect() as c:
        position = c.scalar(text("SELECT pg_current_wal_insert_lsn()::text"))
    with replica.connect() as c:
        caught_up = text("SELECT pg_last_wal_replay_lsn() >= CAST(:position AS pg_lsn)")
        for _ in range(600):
            if c.scalar(caught_up, {"position": position}):
                return
            c.execute(text("SELECT pg_sleep(0.05)"))
    pytest.fail("the replica did not follow its primary for 30 s")


def test_writes_go_to_the_primary_and_reads_to_the_replica(pg_url: URL, replica: URL) -> None:
    class RoutingSession(Session):
        def get_bind(self, mapper: Any = None, *, clause: Any = None, **kw: Any) -> Engine:
            writes = self._flushing or isinstance(clause, Insert | Update | Delete)
            return orm.engine(pg_url if writes else replica)

    Base.metadata.create_all(orm.engine(pg_url))
    with RoutingSession() as s:
        s.add(Customer(name="Ada"))
        s.commit()
    replayed(orm.engine(pg_url), _replica_engine(replica))

    with RoutingSession() as s:
        assert s.scalar(text("SELECT pg_is_in_recovery()")) is True
        assert s.scalars(select(Customer.name)).all() == ["Ada"]
        # The same statement on the replica itself is refused, so the insert went elsewhere.
        with pytest.raises(DBAPIError, match="read-only transaction"):
            s.execute(text("INSERT INTO replicated_customer VALUES ('Grace')"))


def _replica_engine(replica: URL) -> Engine:
    """Return the replica's engine, once the new database itself has arrived there."""
    server = orm.engine(replica.set(database="postgres"))
    exists = text("SELECT count(*) FROM pg_database WHERE datname = :name")
    with server.connect() as c:
        for _ in range(600):
            if c.scalar(exists, {"name": replica.database}):
                return orm.engine(replica)
            c.execute(text("SELECT pg_sleep(0.05)"))
    pytest.fail("the new database did not reach the replica in 30 s")
