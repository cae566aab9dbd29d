"""Which driver a URL means, whether it is sync or async, and whether it is there."""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.engine import URL, Dialect

from reflex_driver.drivers import module_of, package
from reflex_driver.installing import command

from ._errors import MissingDriverError, WrongDriverError
from ._urls import ARGUMENT, ASYNC_VARIABLE, VARIABLE, dialect_class, display

# For each database, the URL schemes to propose. Where both are the same, one URL serves both.
_SCHEMES = {
    "mariadb": ("mariadb+pymysql", "mariadb+aiomysql"),
    "mssql": ("mssql+pyodbc", "mssql+aioodbc"),
    "mysql": ("mysql+pymysql", "mysql+aiomysql"),
    "oracle": ("oracle+oracledb", "oracle+oracledb"),
    "postgresql": ("postgresql+psycopg", "postgresql+psycopg"),
    "sqlite": ("sqlite", "sqlite+aiosqlite"),
}


def sync_dialect(url: URL, origin: str) -> type[Dialect]:
    """Return the dialect that a sync engine of this URL has, or raise `WrongDriverError`."""
    dialect = dialect_class(url, origin)
    if dialect.is_async:
        raise WrongDriverError(
            f"session() and engine() need a sync driver, and {url.drivername}:// is async. "
            + _advice(url, origin, to_async=False)
        )
    return dialect


def async_dialect(url: URL, origin: str) -> type[Dialect]:
    """Return the dialect that an async engine of this URL has, or raise `WrongDriverError`."""
    dialect = dialect_class(url, origin).get_async_dialect_cls(url)
    if not dialect.is_async:
        raise WrongDriverError(
            "asession() and async_engine() need an async driver, "
            f"and {url.drivername}:// is not one. " + _advice(url, origin, to_async=True)
        )
    return dialect


@contextmanager
def must_be_installed(url: URL, origin: str) -> Iterator[None]:
    """Turn the ImportError of a driver that is not installed into `MissingDriverError`."""
    try:
        yield
    except ImportError as error:
        module = module_of(error)
        raise MissingDriverError(
            f"{origin} starts with {url.drivername}://, which needs the Python package "
            f"{module}, and it cannot be imported ({error}). Install it with\n"
            f"    {command(package(module))}",
            name=module,
        ) from error


def _advice(url: URL, origin: str, *, to_async: bool) -> str:
    schemes = _SCHEMES.get(url.get_backend_name())
    if schemes is None:
        return f"Use another driver of {url.get_backend_name()}."
    sync_scheme, async_scheme = schemes
    wanted = display(url.set(drivername=async_scheme if to_async else sync_scheme))
    if sync_scheme == async_scheme:
        name = f"{origin}=" if origin in (VARIABLE, ASYNC_VARIABLE) else ""
        return f"Write {name}{wanted} instead, which serves both."
    if origin == ARGUMENT:
        return f"Write {wanted} instead."
    return f"Set {ASYNC_VARIABLE if to_async else VARIABLE} to {wanted}" + (
        "." if to_async else f", and {ASYNC_VARIABLE} to {display(url)}."
    )
