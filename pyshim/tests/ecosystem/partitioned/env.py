"""Alembic's environment, on the engine of reflex_orm."""

from typing import Any

from alembic import context

import reflex_orm as orm


def include_object(item: Any, name: str | None, kind: str, reflected: bool, other: Any) -> bool:
    """Leave the partitions to the migrations: autogenerate knows their parent alone."""
    return not (kind == "table" and reflected and str(name).startswith("measurement_"))


with orm.engine().connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=context.config.attributes["target_metadata"],
        include_object=include_object,
    )
    with context.begin_transaction():
        context.run_migrations()
