"""Runs the driver: in a fork of the tests' process, or in a Python of its own."""

import io
import os
import signal
import subprocess
import sys
import textwrap
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import reflex_driver

PYSHIM = Path(reflex_driver.__file__).resolve().parents[1]

LIMIT = 60.0  # seconds, for a run that hangs

# As what pip makes of the script, for the package in a checkout.
SCRIPT = f"""\
import sys
sys.path.insert(0, {str(PYSHIM)!r})
from reflex_driver import console
del sys.path[0]
if __name__ == "__main__":
    sys.exit(console.main())
"""

ENV = """\
from alembic import context
from sqlalchemy import create_engine, pool
engine = create_engine(context.config.get_main_option("sqlalchemy.url"), poolclass=pool.NullPool)
with engine.connect() as connection:
    context.configure(connection=connection, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
"""


def environment(**more: str) -> dict[str, str]:
    """The environment of a run: nothing of the tests' own decides how it goes."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("REFLEX_", "SQLALCHEMY_", "PYTHON", "ALEMBIC_", "NO_COLOR"))
        and name not in ("VIRTUAL_ENV", "CONDA_PREFIX", "XDG_CACHE_HOME")
    }
    return {**kept, "XDG_CACHE_HOME": "relative, so that no bytecode is kept", **more}


@dataclass
class Done:
    """How a process ended; a negative status is a signal."""

    status: int
    stdout: str = ""
    stderr: str = ""

    def check(self, status: int = 0) -> "Done":
        """Fail the test unless it ended with `status`."""
        assert self.status == status, f"{self.status}, not {status}\n{self.stdout}\n{self.stderr}"
        return self


def fork(function: Callable[[], object], directory: Path, **env: str) -> Done:
    """Call a function in a fork, which ends with what it returns, or as Python ends with it.

    `directory` is the current one, and keeps what is printed. The fork has the modules that
    the tests have imported, so it begins at once.
    """
    streams = [directory / ".stdout", directory / ".stderr"]
    pid = os.fork()
    if pid == 0:
        status = 70
        try:
            for number, stream in enumerate(streams, 1):
                opened = os.open(stream, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                os.dup2(opened, number)
                os.close(opened)
            null = os.open(os.devnull, os.O_RDONLY)
            os.dup2(null, 0)
            os.close(null)
            _become_a_program(directory, env)
            status = int(function() or 0)  # type: ignore[call-overload]
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
        except BaseException:  # noqa: BLE001 - the tests' code is not run twice
            traceback.print_exc()
        finally:
            for file in (sys.stdout, sys.stderr):
                file.flush()
            os._exit(status)
    deadline = time.monotonic() + LIMIT
    while True:
        ended, raw = os.waitpid(pid, os.WNOHANG)
        if ended:
            break
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError(f"it hangs: {[s.read_text() for s in streams]}")
        time.sleep(0.002)
    status = os.waitstatus_to_exitcode(raw)
    return Done(status, *(stream.read_text(errors="backslashreplace") for stream in streams))


def _become_a_program(directory: Path, env: Mapping[str, str]) -> None:
    os.chdir(directory)
    os.environ.clear()
    os.environ.update(environment(**env))
    sys.stdin, sys.stdout, sys.stderr = sys.__stdin__, sys.__stdout__, sys.__stderr__
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            line_buffering = stream is sys.stderr
            stream.reconfigure(encoding="utf-8", line_buffering=line_buffering, write_through=False)
    sys.excepthook = sys.__excepthook__
    import logging

    logging.root.handlers.clear()
    import warnings

    warnings.resetwarnings()
    warnings.simplefilter("ignore")


def program(text: str, directory: Path, *argv: str, **env: str) -> subprocess.Popen[str]:
    """Start a Python of its own with a program that finds the driver."""
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(text), *argv],
        env=environment(**{"PYTHONPATH": str(PYSHIM), **env}),
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def bare_environment(directory: Path) -> Path:
    """Make an environment of this Python, without anything in it."""
    base = getattr(sys, "_base_executable", sys.executable)
    subprocess.run([base, "-m", "venv", "--without-pip", str(directory)], check=True)
    return directory


@contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """Leave no process behind, whatever the test does."""
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def finish(process: subprocess.Popen[str]) -> Done:
    """Wait for the end of a process."""
    with ended(process):
        stdout, stderr = process.communicate(timeout=LIMIT)
        return Done(process.returncode, stdout, stderr)


def python(text: str, directory: Path, *argv: str, **env: str) -> Done:
    """Run a program in a Python of its own."""
    return finish(program(text, directory, *argv, **env))


def line(stream: IO[str] | None) -> str:
    """The next line of what a process prints."""
    assert stream is not None
    return stream.readline().strip()


@dataclass
class Project:
    """A project with Alembic's script directory, and nothing else."""

    directory: Path
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.env.setdefault("REFLEX_DB_URL", f"sqlite:///{self.database}")
        self.versions.mkdir(parents=True)
        self.write("alembic/env.py", ENV)
        self.write("alembic/script.py.mako", "revision = ${repr(up_revision)}\n")

    @property
    def database(self) -> Path:
        return self.directory / "app.db"

    @property
    def versions(self) -> Path:
        return self.directory / "alembic" / "versions"

    def write(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    def revision(self, name: str, after: object = None, body: str = "pass", **more: object) -> Path:
        """Write a revision, whose `upgrade` is `body`."""
        names = {"revision": name, "down_revision": after, **more}
        lines = [f'"""{name} is made"""', "from alembic import op", "import sqlalchemy as sa"]
        lines += [f"{key} = {value!r}" for key, value in names.items()]
        lines += ["def upgrade():", textwrap.indent(textwrap.dedent(body).strip(), "    ")]
        lines += ["def downgrade():", "    pass"]
        return self.write(f"alembic/versions/{name}_.py", "\n".join(lines) + "\n")

    def run(self, *argv: str, **env: str) -> Done:
        """Run a command line of `reflex db` in a fork."""
        return fork(
            lambda: reflex_driver.main("reflex db", "1.0", "", *argv),
            self.directory,
            **{**self.env, **env},
        )

    def script(self) -> Path:
        """The script reflex-db."""
        return self.write("../reflex-db", SCRIPT).resolve()

    def start(self, *argv: str, **env: str) -> subprocess.Popen[str]:
        """Start the script reflex-db in a Python of its own."""
        return subprocess.Popen(
            [sys.executable, str(self.script()), *argv],
            env=environment(**{**self.env, **env}),
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def rows(self, sql: str) -> list[Any]:
        """What the database answers."""
        import sqlite3

        connection = sqlite3.connect(self.database)
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()

    def at(self) -> list[str]:
        """The rows of the version table."""
        return sorted(row[0] for row in self.rows("SELECT version_num FROM alembic_version"))
