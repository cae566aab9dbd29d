"""Several schemas: one model, a schema for each tenant, chosen by schema_translate_map."""

from sqlalchemy import URL, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column
from sqlalchemy.schema import CreateSchema

import reflex_orm as orm
from conftest import RunAsync


class Base(DeclarativeBase):
    pass


class Invoice(Base):
    __tablename__ = "invoice"
    __table_args__ = {"schema": "tenant"}  # noqa: RUF012, SQLAlchemy wants a plain dict
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]


def tenant_session(url: URL, tenant: str) -> Session:
    engine = orm.engine(url).execution_options(schema_translate_map={"tenant": tenant})
    return Session(engine)


def test_a_schema_for_each_tenant(pg_url: URL, run_async: RunAsync) -> None:
    for tenant in ("ada", "grace"):
        with orm.engine(pg_url).begin() as connection:
            connection.execute(CreateSchema(tenant))
            Base.metadata.create_all(
                connection.execution_options(schema_translate_map={"tenant": tenant})
            )
        with tenant_session(pg_url, tenant) as s:
            s.add(Invoice(title=f"for {tenant}"))
            s.commit()

    with tenant_session(pg_url, "ada") as s:
        assert s.scalars(select(Invoice.title)).all() == ["for ada"]
    with orm.session(pg_url) as s:  # the real schemas
        assert s.scalars(text("SELECT title FROM grace.invoice")).all() == ["for grace"]

    async def main() -> None:
        async with orm.asession(pg_url) as s:  # for one statement, in an async session
            titles = await s.scalars(
                select(Invoice.title),
                execution_options={"schema_translate_map": {"tenant": "grace"}},
            )
            assert titles.all() == ["for grace"]

    run_async(main)
