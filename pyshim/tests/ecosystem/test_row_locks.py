"""Pessimistic locking: SELECT … FOR UPDATE from two sessions."""

import threading

import pytest
from sqlalchemy import URL, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import reflex_orm as orm


class Base(DeclarativeBase):
    pass


class Account(Base):
    __tablename__ = "account"
    id: Mapped[int] = mapped_column(primary_key=True)
    balance: Mapped[int]


@pytest.fixture
def url(pg_url: URL) -> URL:
    Base.metadata.create_all(orm.engine(pg_url))
    with orm.session(pg_url) as s:
        s.add_all([Account(id=1, balance=100), Account(id=2, balance=100)])
        s.commit()
    return pg_url


def test_a_locked_row_is_refused_or_skipped(url: URL) -> None:
    with orm.session(url) as first, orm.session(url) as second:
        first.get_one(Account, 1, with_for_update=True)

        with pytest.raises(DBAPIError, match="could not obtain lock"):
            second.get(Account, 1, with_for_update={"nowait": True})
        second.rollback()

        free = select(Account.id).with_for_update(skip_locked=True)
        assert second.scalars(free).all() == [2]


def test_a_locked_row_is_waited_for(url: URL) -> None:
    """Both withdraw 80 of 100: the second sees what the first has left, and gives up."""
    results: list[bool] = []

    def withdraw() -> None:
        with orm.session(url) as s:
            account = s.get_one(Account, 1, with_for_update=True)
            if account.balance >= 80:
                account.balance -= 80
            else:
                results.append(False)
            s.commit()

    with orm.session(url) as first:
        account = first.get_one(Account, 1, with_for_update=True)
        second = threading.Thread(target=withdraw)
        second.start()
        wait_until_someone_waits_for_a_lock(url)
        account.balance -= 80
        first.commit()
    second.join(30)

    assert results == [False]
    with orm.session(url) as s:
        assert s.get_one(Account, 1).balance == 20


def wait_until_someone_waits_for_a_lock(url: URL) -> None:
    waiting = text(
        "SELECT count(*) FROM pg_stat_activity "
        "WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with orm.engine(url).connect() as c:
        for _ in range(600):
            if c.scalar(waiting):
                return
            c.rollback()  # the statistics are a snapshot for each transaction
            c.execute(text("SELECT pg_sleep(0.05)"))
    pytest.fail("the second session did not wait for the lock")
