"""What SQLAlchemy and its drivers make of database URLs.

    python meaning.py < cases.txt > golden.json     the golden file
    python meaning.py --serve                       one URL a line as JSON, answers likewise

Nothing is connected to: SQLAlchemy's dialect gives the driver's arguments, and
the driver's own code, libpq's included, says whether it takes them and what it
adds from the environment.
"""

from __future__ import annotations

import getpass
import inspect
import json
import os
import re
import sys
import tempfile
from typing import Any

import asyncpg.connect_utils
import pg8000.core
import pg8000.dbapi
import psycopg2.extensions
from psycopg import Connection, conninfo, pq
from sqlalchemy.engine import make_url

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../../pyshim"))
from reflex_driver import unreachable

Meaning = dict[str, Any]
os.environ["HOME"] = tempfile.mkdtemp()  # without .pgpass and certificates


class RefusedError(Exception):
    """The driver would not connect with this."""


def timeout(driver: str, text: str) -> int:
    """Seconds; 0 is without a limit, which psycopg makes its own one of."""
    if driver != "psycopg2":
        seconds = conninfo.timeout_from_conninfo({"connect_timeout": text})
        return seconds if float(text) >= 1 else 0
    # libpq reads it where it waits: for a port that nobody listens on.
    nowhere = conninfo.make_conninfo("", host="127.0.0.1", port=1, connect_timeout=text)
    if "invalid integer value" in pq.PGconn.connect(nowhere.encode()).get_error_message():
        raise RefusedError(text)
    return max(int(text), 0)


def libpq(driver: str, arguments: dict[str, Any]) -> Meaning:
    arguments = dict(arguments)
    if driver == "psycopg2":
        dsn = psycopg2.extensions.make_dsn(None, **arguments)
    else:
        own = set(inspect.signature(Connection.connect).parameters) - {"kwargs"}
        for name in own & set(arguments):
            if name not in ("prepare_threshold", "autocommit", "context"):
                raise RefusedError(name)
            del arguments[name]
        dsn = conninfo.make_conninfo("", **arguments)
    given = conninfo.conninfo_to_dict(dsn)
    effective = {
        o.keyword.decode(): o.val.decode() for o in pq.Conninfo.get_defaults() if o.val is not None
    }
    effective.update({k: str(v) for k, v in given.items()})
    # libpq itself judges the values, on an address that needs no resolving.
    hosts = len(effective.get("host", "").split(","))
    tried = {
        **given,
        "host": ",".join(["127.0.0.1"] * hosts),
        "hostaddr": ",".join(["127.0.0.1"] * hosts),
    }
    conn = pq.PGconn.connect_start(conninfo.make_conninfo("", **tried).encode())
    if conn.status == pq.ConnStatus.BAD:
        raise RefusedError(conn.error_message.decode())
    conn.finish()
    names = effective.get("host", "").split(",")
    if names == [""] and "hostaddr" in effective:
        names = effective["hostaddr"].split(",")
    ports = effective["port"].split(",")
    ports = ports * len(names) if len(ports) == 1 else ports
    params = {}
    name = effective.get("application_name") or effective.get("fallback_application_name")
    for key, value in {**effective, "application_name": name}.items():
        if key in ("application_name", "client_encoding", "replication", "options") and value:
            params[key] = value
    for variable, name in (("PGDATESTYLE", "datestyle"), ("PGTZ", "timezone"), ("PGGEQO", "geqo")):
        if value := os.environ.get(variable):
            params[name] = value
    system = effective.get("sslrootcert") == "system"  # which libpq takes no less with
    return {
        "hosts": [[h, p or "5432"] for h, p in zip(names, ports, strict=True)],
        "user": effective["user"],
        "password": effective.get("password", ""),
        "database": effective.get("dbname") or effective["user"],
        "sslmode": "verify-full" if system else effective["sslmode"],
        "params": params,
        "timeout": timeout(driver, effective.get("connect_timeout", "0")),
    }


def from_asyncpg(arguments: dict[str, Any]) -> Meaning:
    arguments = dict(arguments)
    for name in ("async_creator_fn", "prepared_statement_name_func"):
        if name in arguments:
            raise RefusedError(name)
    arguments.pop("prepared_statement_cache_size", None)
    signature = inspect.signature(asyncpg.connect)
    bound = signature.bind(**arguments)
    bound.apply_defaults()
    values = bound.arguments
    for name in ("timeout", "loop", "connection_class", "record_class"):
        if isinstance(values.pop(name), str):
            raise RefusedError(name)
    addresses, found, _ = asyncpg.connect_utils._parse_connect_arguments(**values)
    for address in addresses:
        if not isinstance(address, str) and ("," in address[0] or address[1] < 1):
            raise RefusedError("address")  # no name and no port of anything
    hosts = []
    for address in addresses:
        if isinstance(address, str):
            directory, _, port = address.rpartition("/.s.PGSQL.")
            hosts.append([directory, port])
        else:
            hosts.append([address[0], str(address[1])])
    return {
        "hosts": hosts,
        "user": found.user,
        "password": found.password or "",
        "database": found.database,
        "sslmode": found.sslmode.name.replace("_", "-"),
        "params": found.server_settings or {},
    }


def from_pg8000(arguments: dict[str, Any]) -> Meaning:
    seen: dict[str, Any] = {}

    class StopError(Exception):
        pass

    def capture(
        unix_sock: Any, sock: Any, host: Any, port: Any, timeout: Any, source: Any, _: Any, tls: Any
    ) -> None:
        if any(isinstance(value, str) for value in (sock, timeout, source, tls)):
            raise RefusedError("text where an object is needed")
        if isinstance(host, tuple):
            raise RefusedError("hosts")
        if unix_sock:
            seen["hosts"] = [list(unix_sock.rsplit("/.s.PGSQL.", 1))]
        else:
            seen["hosts"] = [[host, str(port)]]
        raise StopError

    original, pg8000.core._make_socket = pg8000.core._make_socket, capture
    try:
        pg8000.dbapi.connect(**arguments)
    except StopError:
        pass
    finally:
        pg8000.core._make_socket = original
    sent = ("application_name", "replication")
    return {
        "hosts": seen["hosts"],
        "user": arguments["user"],
        "password": arguments.get("password", ""),
        "database": arguments.get("database") or arguments["user"],
        "sslmode": "prefer",
        "params": {k: v for k, v in arguments.items() if k in sent},
    }


def meaning(text: str) -> Meaning:
    text = text.strip()  # as each of the doors does
    try:
        url = make_url(text)
    except Exception as e:
        return {"error": type(e).__name__, "advice": unreachable.of_text(text) or ""}
    if "@" in (url.host or ""):
        return {"error": "SecondAt", "advice": unreachable.of_text(text)}
    if url.get_backend_name() not in ("postgresql", "postgres"):
        return {"error": "NotPostgres", "dialect": url.get_backend_name()}
    if unreachable.of_url(url):
        return {"error": "Unreachable"}
    if re.search("[\r\n]", text) and re.search("[\r\n]", url.database or ""):
        return {"error": "NewLine"}
    try:
        dialect = url.get_dialect()
        _, arguments = dialect().create_connect_args(url)
        if dialect.driver == "asyncpg":
            answer = from_asyncpg(arguments)
        elif dialect.driver == "pg8000":
            answer = from_pg8000(arguments)
        else:
            answer = libpq(dialect.driver, arguments)
    except Exception as e:
        return {"error": type(e).__name__}
    if not os.environ.get("PGUSER") and answer["user"] == getpass.getuser() and not url.username:
        answer["user"] = "$USER"
        if answer["database"] == getpass.getuser():
            answer["database"] = "$USER"
    return answer


def cases(lines: list[str]) -> list[Meaning]:
    found, environment = [], {}
    for line in lines:
        line = line.rstrip("\n")
        if line.startswith("#") or not line:
            continue
        if line.startswith("env"):
            environment = dict(word.split("=", 1) for word in line.split()[1:])
            for name in [name for name in os.environ if name.startswith("PG")]:
                del os.environ[name]
            os.environ.update(environment)
            continue
        url = line.replace(r"\n", "\n").replace(r"\\", "\\")
        url = re.sub(r"\\x([0-9a-f]{2})", lambda code: chr(int(code[1], 16)), url)
        found.append({"url": url, "env": environment, **meaning(url)})
    return found


def main() -> None:
    for name in [name for name in os.environ if name.startswith("PG")]:
        del os.environ[name]
    if "--serve" in sys.argv:
        for line in sys.stdin:
            print(json.dumps(meaning(json.loads(line))), flush=True)
        return
    json.dump(cases(sys.stdin.readlines()), sys.stdout, indent=1, ensure_ascii=False)
    print()


if __name__ == "__main__":
    main()
