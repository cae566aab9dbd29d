"""What `configure` takes: the options of engines, by name and type, and those of sessions."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from importlib.metadata import entry_points
from typing import Any, Literal, TypedDict

from sqlalchemy.pool import Pool
from sqlalchemy.util import get_cls_kwargs

from ._errors import ConfigureError


class EngineOptions(TypedDict, total=False):
    """The options of `sqlalchemy.create_engine` and of SQLAlchemy's dialects.

    https://docs.sqlalchemy.org/en/20/core/engines.html#sqlalchemy.create_engine
    """

    async_creator: Callable[..., Awaitable[Any]]
    connect_args: Mapping[str, Any]
    creator: Callable[..., Any]
    echo: bool | Literal["debug"] | None
    echo_pool: bool | Literal["debug"] | None
    enable_from_linting: bool
    execution_options: Mapping[str, Any]
    future: Literal[True]
    hide_parameters: bool
    implicit_returning: Literal[True]
    insertmanyvalues_page_size: int
    isolation_level: str | None
    json_deserializer: Callable[..., Any] | None
    json_serializer: Callable[..., Any] | None
    label_length: int | None
    logging_name: str
    max_identifier_length: int | None
    max_overflow: int
    module: Any
    paramstyle: Literal["qmark", "numeric", "named", "format", "pyformat", "numeric_dollar"] | None
    plugins: list[str]
    pool: Pool | None
    pool_events: list[tuple[Callable[..., Any], str]]
    pool_logging_name: str
    pool_pre_ping: bool
    pool_recycle: int
    pool_reset_on_return: Literal["commit", "rollback"] | bool | None
    pool_size: int
    pool_timeout: float
    pool_use_lifo: bool
    poolclass: type[Pool] | None
    query_cache_size: int
    skip_autocommit_rollback: bool
    use_insertmanyvalues: bool

    # Of single dialects.
    arraysize: int | None
    auto_convert_lobs: bool
    client_encoding: str | None
    coerce_to_decimal: bool
    deprecate_large_types: bool | None
    enable_offset_fetch: bool
    enable_pooling: bool
    encoding_errors: str | None
    exclude_tablespaces: Iterable[str]
    executemany_batch_page_size: int
    executemany_mode: str
    fast_executemany: bool
    ignore_no_transaction_on_rollback: bool
    is_mariadb: bool | None
    legacy_schema_aliasing: bool | None
    native_datetime: bool
    native_inet_types: bool | None
    optimize_limits: bool
    query_timeout: int | None
    schema_name: str
    server_side_cursors: bool
    supports_comments: bool | None
    supports_native_boolean: bool | None
    thick_mode: bool | dict[str, Any] | None
    threaded: bool | None
    use_ansi: bool
    use_binds_for_limits: bool | None
    use_native_hstore: bool
    use_nchar_for_unicode: bool
    use_scope_identity: bool
    use_setinputsizes: bool


class Options(EngineOptions, total=False):
    """Those of engines, and what `sessionmaker` and `async_sessionmaker` take, but ``bind``."""

    session_options: Mapping[str, Any]
    async_session_options: Mapping[str, Any]


_OF_SESSIONS = {"session_options", "async_session_options"}


def of_engines(options: Options | None) -> dict[str, Any]:
    """Return the options that `create_engine` gets."""
    return {name: value for name, value in (options or {}).items() if name not in _OF_SESSIONS}


def check(options: Options) -> None:
    """Refuse a name that `create_engine` does not take, and that is none of a session's."""
    unknown = set(of_engines(options)) - set(EngineOptions.__annotations__)
    if not unknown or "plugins" in options:  # a plugin may have options of its own
        return
    unknown -= _of_other_dialects()
    for name in sorted(unknown):
        close = difflib.get_close_matches(name, EngineOptions.__annotations__, n=1)
        advice = f" Did you mean {close[0]}?" if close else ""
        raise ConfigureError(f"create_engine() has no option {name}.{advice}")


def _of_other_dialects() -> set[str]:
    """Return the options of the dialects that other packages bring."""
    found: set[str] = set()
    for entry in entry_points(group="sqlalchemy.dialects"):
        with suppress(Exception):  # it may need a module that is not installed
            found |= get_cls_kwargs(entry.load())
    return found
