"""How the pool is set: the SQLALCHEMY_* variables, by the names that Reflex users have."""

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, cast

from sqlalchemy.engine import URL, Dialect
from sqlalchemy.engine.default import DefaultDialect
from sqlalchemy.pool import QueuePool, StaticPool

from ._errors import SettingError

_TRUE = frozenset({"1", "true", "yes", "y", "on"})
_FALSE = frozenset({"0", "false", "no", "n", "off"})
# Reflex writes a timeout with a unit, or without one in seconds.
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def engine_options(
    url: URL, dialect: type[Dialect], configured: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what `create_engine` gets for this URL; what the user configured comes first."""
    options: dict[str, Any] = {}
    echo = _read("SQLALCHEMY_ECHO", _boolean)
    if echo is not None:
        options["echo"] = echo
    if "pool" not in configured:  # a ready pool takes no settings
        options.update(_pool_options(url, dialect, configured))
    merged = {**options, **configured}
    if "connect_args" in options and "connect_args" in configured:
        merged["connect_args"] = {**options["connect_args"], **configured["connect_args"]}
    if {"creator", "async_creator"} <= merged.keys():  # one is for the other kind of engine
        del merged["creator" if dialect.is_async else "async_creator"]
    return merged


def _pool_options(
    url: URL, dialect: type[Dialect], configured: Mapping[str, Any]
) -> dict[str, Any]:
    pre_ping = _read("SQLALCHEMY_POOL_PRE_PING", _boolean)
    options: dict[str, Any] = {"pool_pre_ping": True if pre_ping is None else pre_ping}
    recycle = _read("SQLALCHEMY_POOL_RECYCLE", _integer(minimum=-1))
    if recycle is not None:
        options["pool_recycle"] = recycle
    queue = {
        "pool_size": _read("SQLALCHEMY_POOL_SIZE", _integer(minimum=0)),
        "max_overflow": _read("SQLALCHEMY_MAX_OVERFLOW", _integer(minimum=-1)),
        "pool_timeout": _read("SQLALCHEMY_POOL_TIMEOUT", _seconds),
    }
    pool_class = configured.get("poolclass")
    if pool_class is None and _in_memory(url):
        # Each SQLite connection in memory is a database of its own: all threads share one.
        pool_class = options["poolclass"] = StaticPool
        if not dialect.is_async:
            options["connect_args"] = {"check_same_thread": False}
    if pool_class is None:
        pool_class = cast(type[DefaultDialect], dialect).get_pool_class(url)
    if issubclass(pool_class, QueuePool):  # the others refuse these three
        options.update((name, value) for name, value in queue.items() if value is not None)
    return options


def _in_memory(url: URL) -> bool:
    return url.get_backend_name() == "sqlite" and (
        url.database in (None, "", ":memory:") or url.query.get("mode") == "memory"
    )


def _read(name: str, parse: Callable[[str], Any]) -> Any:
    """Return the variable's value, or None where it is unset or blank."""
    text = os.environ.get(name, "").strip()
    if not text:
        return None
    try:
        return parse(text)
    except ValueError as error:
        raise SettingError(f"{name} is {text!r}, and must be {error}.") from None


def _boolean(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError("true or false")


def _integer(minimum: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = minimum - 1
        if value < minimum:
            raise ValueError(f"a whole number, {minimum} or more")
        return value

    return parse


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(us|ms|s|m|h|d)?", text.lower())
    if match is None:
        raise ValueError("a number of seconds, or one with a unit such as 500ms, 30s or 5m")
    return float(match[1]) * _UNITS[match[2] or "s"]
