"""A table partitioned by month, its partitions of 2026, and one for the rest."""

from itertools import pairwise

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

MONTHS = [f"2026-{month:02}" for month in range(1, 13)] + ["2027-01"]


def upgrade() -> None:
    op.create_table(
        "measurement",
        sa.Column("id", sa.BigInteger, sa.Identity(), nullable=False),
        sa.Column("taken_on", sa.Date, nullable=False),
        sa.Column("degrees", sa.Float, nullable=False),
        # PostgreSQL wants the partition key in every unique constraint.
        sa.PrimaryKeyConstraint("id", "taken_on"),
        postgresql_partition_by="RANGE (taken_on)",
    )
    for month, following in pairwise(MONTHS):
        op.execute(
            f"CREATE TABLE measurement_{month.replace('-', '_')} PARTITION OF measurement "
            f"FOR VALUES FROM ('{month}-01') TO ('{following}-01')"
        )
    op.execute("CREATE TABLE measurement_other PARTITION OF measurement DEFAULT")


def downgrade() -> None:
    op.drop_table("measurement")  # and its partitions with it
