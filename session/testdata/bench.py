"""The work of bench_test.go through SQLAlchemy's Session: microseconds a call."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Column, Integer, MetaData, Table, Text, create_engine, insert, select, text
from sqlalchemy.orm import Session

engine = create_engine(os.environ["REFLEX_DB_URL"], pool_size=8, max_overflow=0)
metadata = MetaData()
item = Table("item", metadata, Column("id", Integer, primary_key=True), Column("name", Text))
log = Table("log", metadata, Column("n", Integer), Column("text", Text))


def select_1(session: Session) -> None:
    session.execute(text("SELECT 1")).scalar_one()


def read_100_rows(session: Session) -> None:
    session.execute(select(item).order_by(item.c.id).limit(100)).all()


def insert_100_rows(session: Session) -> None:
    session.execute(insert(log), [{"n": i, "text": "a line"} for i in range(100)])
    session.commit()


def call(work: Callable[[Session], None]) -> None:
    with Session(engine) as session:
        work(session)


for work in (select_1, read_100_rows, insert_100_rows):
    for threads in (1, 8, 64):
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(call, [work] * 100))  # to open the connections
            start = time.perf_counter()
            list(pool.map(call, [work] * 500))
            print(f"{work.__name__}/{threads}", (time.perf_counter() - start) / 500 * 1e6)
