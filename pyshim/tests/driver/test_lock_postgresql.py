"""PostgreSQL's lock: what it is of, and what the project's connection sees of it."""

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from alembic.runtime.migration import MigrationContext
from sqlalchemy import URL, Connection, NullPool, create_engine, event

from reflex_driver.lock import postgresql
from reflex_driver.lock.errors import HeldError, NoLockError
from reflex_driver.lock.protocol import Place
from reflex_driver.lock.questions import ask, has_begun, unnoticed


@pytest.fixture
def connection(pg_url: URL) -> Iterator[Connection]:
    with create_engine(pg_url, poolclass=NullPool).connect() as connection:
        yield connection


def place(connection: Connection, **opts: Any) -> Place:
    return postgresql.place(connection, MigrationContext.configure(connection, opts=opts))


@pytest.mark.parametrize(
    "version",
    [
        "CockroachDB CCL v24.1.0 (x86_64-pc-linux-gnu, built 2024/05/15 21:28:29, go1.22.2)",
        "PostgreSQL 11.2-YB-2.20.1.0-b0 on x86_64-pc-linux-gnu, compiled by clang version 16.0.6",
    ],
)
def test_a_server_that_resembles_postgresql_has_no_lock(version: str) -> None:
    with pytest.raises(NoLockError, match="has no advisory locks that lock"):
        postgresql.refuse_others(version)


def test_postgresql_has(connection: Connection) -> None:
    postgresql.refuse_others(connection.exec_driver_sql("SELECT version()").scalar_one())


def test_one_table_has_one_key(connection: Connection) -> None:
    plain = place(connection)

    assert place(connection, version_table_schema="") == plain
    assert place(connection, version_table_schema="public") == plain
    assert place(connection, version_table="other").key != plain.key
    assert place(connection, version_table_schema="tenant").key != plain.key
    translated = connection.execution_options(schema_translate_map={None: "tenant"})
    assert place(translated) == place(connection, version_table_schema="tenant")


def test_an_existing_table_is_where_search_path_finds_it(connection: Connection) -> None:
    before = place(connection)
    connection.exec_driver_sql("CREATE TABLE alembic_version (version_num text)")
    connection.exec_driver_sql("CREATE SCHEMA tenant")
    connection.exec_driver_sql("SET search_path TO tenant, public")
    assert place(connection) == before
    assert place(connection, version_table="none yet").name.endswith("tenant.none yet")


def test_settings_of_the_session_do_not_change_the_server(pg_url: URL) -> None:
    places = set()
    for option in "-c timezone=Asia/Tokyo", "-c datestyle=German", "-c extra_float_digits=-15":
        engine = create_engine(pg_url.update_query_dict({"options": option}), poolclass=NullPool)
        with engine.connect() as connection:
            places.add(place(connection))
    assert len(places) == 1


@pytest.mark.parametrize("name", ["it's", 'a "b"', "100%", "back\\slash", "Ünïcode", "", "x" * 200])
def test_any_name_can_be_asked_for(connection: Connection, name: str) -> None:
    for setting in "on", "off":
        connection.exec_driver_sql(f"SET standard_conforming_strings TO {setting}")
        assert place(connection, version_table=name).name.endswith(f".public.{name}")


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_other_encodings(pg_server: URL, encoding: str) -> None:
    name = f"t_{uuid.uuid4().hex}"
    engine = create_engine(pg_server, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as admin:
        admin.exec_driver_sql(
            f"CREATE DATABASE {name} ENCODING {encoding} LOCALE 'C' TEMPLATE template0"
        )
        url = pg_server.set(database=name).update_query_dict({"client_encoding": "utf8"})
        with create_engine(url, poolclass=NullPool).connect() as connection:
            assert place(connection) == place(connection, version_table_schema="public")
        admin.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


def test_questions_leave_no_transaction(connection: Connection) -> None:
    begun: list[Connection] = []
    event.listen(connection, "begin", begun.append)
    place(connection)
    assert not has_begun(connection)
    assert not begun
    with connection.begin():
        place(connection)
        assert not has_begun(connection)  # SQLAlchemy's has, the server's has not
        connection.exec_driver_sql("CREATE TABLE t (i int)")
        place(connection)
        assert has_begun(connection)
    assert connection.exec_driver_sql("SELECT to_regclass('t') IS NOT NULL").scalar_one()


def test_a_statement_past_sqlalchemy_is_not_taken_back(connection: Connection) -> None:
    connection.connection.cursor().execute("CREATE TABLE t (i int)")
    with unnoticed(connection) as fairy:
        ask(fairy, "SELECT 1")
    connection.connection.commit()
    assert connection.exec_driver_sql("SELECT to_regclass('t') IS NOT NULL").scalar_one()


def test_a_long_statement_is_looked_through_quickly(connection: Connection) -> None:
    there = place(connection)
    session = postgresql.open(connection, there)
    assert session.take(there.key)
    session.keys.add(there.key)
    statement = "INSERT INTO t (a, b, c) VALUES (1, 'word and word', 2); " * 800_000
    began = time.process_time()
    session.before(statement)
    assert time.process_time() - began < 1  # second
    session.close()


def test_one_session_holds_every_key(pg_url: URL) -> None:
    engine = create_engine(pg_url, poolclass=NullPool)
    with engine.connect() as ours, engine.connect() as theirs:
        places = [place(ours, version_table_schema=f"tenant{i}") for i in range(20)]
        first = postgresql.open(ours, places[0])
        second = postgresql.open(theirs, places[0])
        for p in places:
            assert first.take(p.key)
            assert not second.take(p.key)
        assert first.holds()
        holder = postgresql.holder(theirs, places[7])
        assert holder is not None
        assert holder.pid is not None
        assert (holder.application or "").startswith("reflex db lock (")
        assert "reflex db lock" in str(HeldError(holder, 0))
        first.close()
        deadline = time.monotonic() + 30  # the server has yet to hear of it
        while not second.take(places[7].key):
            assert time.monotonic() < deadline
        second.close()


def test_the_roles_of_the_two_connections_may_differ(pg_url: URL) -> None:
    role = f"r_{uuid.uuid4().hex}"
    with create_engine(pg_url, isolation_level="AUTOCOMMIT", poolclass=NullPool).connect() as admin:
        admin.exec_driver_sql(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
        admin.exec_driver_sql(f"GRANT {pg_url.username} TO {role}")
        admin.exec_driver_sql(f"ALTER ROLE {role} NOINHERIT")
        admin.exec_driver_sql("REVOKE ALL ON pg_locks FROM PUBLIC")
        try:
            engine = create_engine(pg_url.set(username=role, password="x"), poolclass=NullPool)
            with engine.connect() as ours, engine.connect() as theirs:
                ours.exec_driver_sql(f"SET ROLE {pg_url.username}")
                ours.commit()
                there = place(ours)
                assert there.readable  # by the migration's role, and not by the lock's
                first = postgresql.open(ours, there)
                second = postgresql.open(theirs, place(theirs))
                assert first.take(there.key)
                assert not second.take(there.key)
                first.close()
                second.close()
        finally:
            admin.exec_driver_sql(f"DROP ROLE {role}")
