"""A partitioned table: the model declares the parent, the migration makes the partitions."""

from datetime import date
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import URL, BigInteger, Identity, inspect, select, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import reflex_orm as orm


class Base(DeclarativeBase):
    pass


class Measurement(Base):
    __tablename__ = "measurement"
    __table_args__ = {"postgresql_partition_by": "RANGE (taken_on)"}  # noqa: RUF012

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    taken_on: Mapped[date] = mapped_column(primary_key=True)
    degrees: Mapped[float]


@pytest.fixture
def project(monkeypatch: pytest.MonkeyPatch, pg_url: URL) -> Config:
    monkeypatch.setenv("REFLEX_DB_URL", pg_url.render_as_string(hide_password=False))
    config = Config(attributes={"target_metadata": Base.metadata})
    config.set_main_option("script_location", str(Path(__file__).parent / "partitioned"))
    return config


def test_the_migration_and_the_model(project: Config) -> None:
    command.upgrade(project, "head")
    command.check(project)  # raises where autogenerate would find a change

    with orm.session() as s:
        s.add_all(
            [
                Measurement(taken_on=date(2026, 2, 28), degrees=-3.5),
                Measurement(taken_on=date(2026, 3, 1), degrees=4.0),
                Measurement(taken_on=date(1999, 12, 31), degrees=0.0),
            ]
        )
        s.commit()

    with orm.session() as s:
        partition = text("tableoid::regclass::text")
        assert s.scalars(select(partition).select_from(Measurement).order_by(partition)).all() == [
            "measurement_2026_02",
            "measurement_2026_03",
            "measurement_other",
        ]
        march = select(Measurement).where(Measurement.taken_on >= date(2026, 3, 1))
        assert s.scalars(march).one().degrees == 4.0

    command.downgrade(project, "base")
    assert inspect(orm.engine()).get_table_names() == ["alembic_version"]
