"""The types a user's own checker sees, in strict mode."""

import subprocess
import sys
from pathlib import Path

import pytest

import reflex_orm

USER_FILE = """
import reflex_orm as orm
from sqlalchemy import URL, Engine
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session
from typing_extensions import assert_type

options: orm.EngineOptions = {"echo": True, "connect_args": {"connect_timeout": 5}}
orm.configure(pool_size=5)
orm.configure(**options)
orm.configure(session_options={"class_": Session}, async_session_options={"autoflush": False})
assert_type(orm.url(), URL)
assert_type(orm.engine(), Engine)
assert_type(orm.engine("sqlite://"), Engine)

with orm.session(orm.url(), expire_on_commit=False) as s:
    assert_type(s, Session)

with orm.using("sqlite://", async_url="sqlite+aiosqlite://"):
    orm.dispose("sqlite://")
with orm.engine().connect() as connection, orm.using(connection):
    orm.dispose()


async def main() -> None:
    assert_type(orm.async_engine(), AsyncEngine)
    async with orm.asession() as s:
        assert_type(s, AsyncSession)
    async with orm.async_engine().connect() as connection:
        with orm.using(connection):
            await orm.adispose()


try:
    orm.session()
except orm.Error as error:
    print(error)
"""


def check(tmp_path: Path, program: str) -> subprocess.CompletedProcess[str]:
    pytest.importorskip("mypy", reason="mypy is not installed")
    file = tmp_path / "user.py"
    file.write_text(program)
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", tmp_path / "cache", file],
        env={"MYPYPATH": str(Path(reflex_orm.__file__).parent.parent)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_a_users_file_passes_strict(tmp_path: Path) -> None:
    done = check(tmp_path, USER_FILE)
    assert done.returncode == 0, done.stdout


def test_a_mistake_is_found(tmp_path: Path) -> None:
    done = check(
        tmp_path,
        "import reflex_orm as orm\n"
        "orm.session(42)\n"
        "orm.Session\n"
        "orm.configure(pool_sise=5)\n"
        'orm.configure(pool_size="five")\n'
        "orm.using(42)\n"
        "orm.configure(session_options=5)\n",
    )
    assert 'error: Argument 1 to "session" has incompatible type "int"' in done.stdout
    assert 'error: Module has no attribute "Session"' in done.stdout
    assert 'error: Unexpected keyword argument "pool_sise" for "configure"' in done.stdout
    assert 'error: Argument "pool_size" to "configure" has incompatible type "str"' in done.stdout
    assert 'error: Argument 1 to "using" has incompatible type "int"' in done.stdout
    assert 'error: Argument "session_options" to "configure" has incompatible' in done.stdout
