"""Which package brings a database driver. reflex_orm uses it too."""

from __future__ import annotations

import re

# What PyPI calls the drivers whose module has another name.
_PACKAGES = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
    "pymysql": "PyMySQL",
}


def package(module: str) -> str:
    """Return what PyPI calls the package of a driver's module."""
    return _PACKAGES.get(module, module)


def module_of(error: ImportError) -> str:
    """Return the module that could not be imported.

    psycopg without libpq raises an ImportError that names none: "no pq wrapper available".
    """
    if error.name:
        return error.name.partition(".")[0]
    if "pq wrapper" in str(error):
        return "psycopg"
    found = re.search(r"No module named '?([\w.]+)", str(error))
    return found[1].partition(".")[0] if found else str(error).split()[0]
