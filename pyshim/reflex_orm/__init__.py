"""SQLAlchemy sessions on the database that ``REFLEX_DB_URL`` names.

::

    import reflex_orm as orm

    with orm.session() as s:                # a plain sqlalchemy.orm.Session
        s.add(Customer(name="Ada"))
        s.commit()

    async with orm.asession() as s:         # a plain sqlalchemy.ext.asyncio.AsyncSession
        ...

There is no base class for models and no layer over SQLAlchemy. Models may be
built on ``DeclarativeBase``, ``MappedAsDataclass``, SQLModel, an imperative
registry or plain tables, and what is returned is SQLAlchemy's own.

Importing this package reads no variable and no file, loads no driver and opens no
connection. `session` and `engine` read the variables and load the driver; the
connection is made by the first statement.

============================  =========================================================
variable                      meaning
============================  =========================================================
REFLEX_DB_URL                 the database, as a SQLAlchemy URL
REFLEX_ASYNC_DB_URL           the same for `asession`, where it must differ
SQLALCHEMY_ECHO               log the SQL (false)
SQLALCHEMY_POOL_PRE_PING      test a pooled connection before it is used (true)
SQLALCHEMY_POOL_SIZE          connections that the pool keeps open (5)
SQLALCHEMY_MAX_OVERFLOW       connections beyond those, -1 for no limit (10)
SQLALCHEMY_POOL_RECYCLE       age in seconds at which a connection is replaced, -1: never
SQLALCHEMY_POOL_TIMEOUT       seconds to wait for a free connection (30)
============================  =========================================================

Where neither variable is set, ``db_url`` and ``async_db_url`` in ``[tool.reflex]`` of
``pyproject.toml`` in the current directory name the database.

Anything else that `sqlalchemy.create_engine` takes goes through `configure`, and so do
options that all sessions have.
`using` takes another database for a while, `dispose` and `adispose` end engines.
"""

from ._engines import adispose, async_engine, configure, dispose, engine
from ._errors import (
    ConfigureError,
    Error,
    EventLoopError,
    MissingDriverError,
    SettingError,
    URLError,
    URLNotSetError,
    WrongDriverError,
)
from ._options import EngineOptions
from ._sessions import asession, session
from ._target import url, using

__version__ = "0.1.0"

__all__ = [
    "ConfigureError",
    "EngineOptions",
    "Error",
    "EventLoopError",
    "MissingDriverError",
    "SettingError",
    "URLError",
    "URLNotSetError",
    "WrongDriverError",
    "adispose",
    "asession",
    "async_engine",
    "configure",
    "dispose",
    "engine",
    "session",
    "url",
    "using",
]
