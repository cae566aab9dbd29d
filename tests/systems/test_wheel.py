"""The installed wheel, as a user meets it on Linux, macOS and Windows.

It runs in the Python of an environment that has the wheel, aiosqlite, psycopg, psycopg2,
asyncpg and pytest: `make test-wheel`; `make test-windows` for Windows under wine.
REFLEX_TEST_PG_URL names a PostgreSQL server; without it that part is skipped.
REFLEX_TEST_PROGRAM is the Go program under the name reflex-db, to be tested in the place of
the package's script.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

WINDOWS = sys.platform == "win32"
LIMIT = 300  # seconds, for a run that hangs; wine takes half a minute on a busy machine

SCRIPTS = Path(sysconfig.get_path("scripts"))
PROGRAM = os.environ.get("REFLEX_TEST_PROGRAM") or str(SCRIPTS / "reflex-db")

MODELS = """\
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase):
    pass

class Customer(Base):
    __tablename__ = "customer"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
"""

SLEEPS = """\
import time
from pathlib import Path
from alembic import op
revision, down_revision = "slow", None

def upgrade():
    op.execute("CREATE TABLE half (id INTEGER)")
    Path("started").touch()
    {body}

def downgrade():
    op.execute("DROP TABLE half")
"""

SHOWS = """\
import __main__, os, sys
print(sys.argv, __main__.__file__, ascii(sys.path), ascii(os.getcwd()))
print(os.environ["PATH"].split(os.pathsep)[0], __main__.__spec__ and __main__.__spec__.name)
"""

# In a process of its own: types Ctrl-C on the console of another one.
TYPE_CONTROL_C = """\
import ctypes, sys
kernel = ctypes.WinDLL("kernel32")
kernel.FreeConsole()
sys.exit(not (
    kernel.AttachConsole(int(sys.argv[1]))
    and kernel.SetConsoleCtrlHandler(None, True)
    and kernel.GenerateConsoleCtrlEvent(0, 0)
))
"""


def environment(**more: str) -> dict[str, str]:
    """The environment of a run: nothing of the tests' own decides how it goes."""
    unwanted = ("REFLEX_", "PYTHON", "ALEMBIC_", "SQLALCHEMY_", "VIRTUAL_ENV", "CONDA_PREFIX")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    if os.environ.get("REFLEX_TEST_PROGRAM"):  # which is not installed in this environment
        kept["REFLEX_PYTHON"] = sys.executable
    return {**kept, **more}


class Project:
    """A directory whose name is not of ASCII, with models and a URL."""

    def __init__(self, directory: Path, url: str = "sqlite:///app.db") -> None:
        self.directory, self.url = directory, url
        directory.mkdir()
        (directory / "shop.py").write_text(MODELS, encoding="utf-8")

    def start(self, *words: str, program: str = "reflex-db", **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [PROGRAM if program == "reflex-db" else str(SCRIPTS / program), *words],
            cwd=self.directory,
            env=environment(**{"REFLEX_DB_URL": self.url, **env}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="backslashreplace",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),  # a console of its own
        )

    def run(self, *words: str, status: int = 0, program: str = "reflex-db", **env: str) -> str:
        """Run a command, which has to end with `status`; the answer is stdout, then stderr."""
        return "".join(self.run_apart(*words, status=status, program=program, **env))

    def run_apart(
        self, *words: str, status: int = 0, program: str = "reflex-db", **env: str
    ) -> tuple[str, str]:
        process = self.start(*words, program=program, **env)
        with ended(process):
            stdout, stderr = process.communicate(timeout=LIMIT)
        assert process.returncode == status, f"{words}: {process.returncode}\n{stdout}\n{stderr}"
        return stdout, stderr

    def slow(self, body: str) -> None:
        versions = self.directory / "alembic" / "versions"
        text = SLEEPS.format(body=body)
        (versions / "slow.py").write_text(text, encoding="utf-8")

    def wait_for(self, name: str, process: subprocess.Popen[str]) -> None:
        deadline = time.monotonic() + LIMIT
        while not (self.directory / name).exists():
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.05)  # a file is all that the three systems have in common


@contextlib.contextmanager
def ended(process: subprocess.Popen[str]) -> Iterator[None]:
    try:
        yield
    finally:
        process.kill()
        process.wait()


def interrupt(process: subprocess.Popen[str]) -> None:
    """What Ctrl-C on its terminal does."""
    if WINDOWS:
        subprocess.run([sys.executable, "-c", TYPE_CONTROL_C, str(process.pid)], check=True)
    else:
        process.send_signal(signal.SIGINT)


DRIVERS = ["sqlite", "aiosqlite", "psycopg", "psycopg2", "asyncpg"]


def url_of(driver: str) -> str:
    """A database of this driver: a file, or the one of REFLEX_TEST_PG_URL."""
    if "sqlite" in driver:
        return {"sqlite": "sqlite", "aiosqlite": "sqlite+aiosqlite"}[driver] + ":///app.db"
    url = os.environ.get("REFLEX_TEST_PG_URL", "")
    if not url:
        pytest.skip("REFLEX_TEST_PG_URL names no PostgreSQL")
    return url.replace("postgresql:", f"postgresql+{driver}:")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "ö 日本")


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("written") / "project")
    project.run("init", "--models", "shop:Base")
    return project


@pytest.fixture
def initialized(project: Project, written: Project) -> Project:
    # Not by copy2, for which wine 8 lacks a function.
    copy = shutil.copyfile
    shutil.copytree(written.directory, project.directory, copy_function=copy, dirs_exist_ok=True)
    return project


@pytest.mark.parametrize("driver", DRIVERS)
def test_from_models_to_tables_and_back(project: Project, driver: str) -> None:
    project.url = url_of(driver)
    project.run("init", "--models", "shop:Base")
    project.run("revision", "--autogenerate", "-m", "first")
    (file,) = (project.directory / "alembic" / "versions").glob("*.py")
    assert "create_table" in file.read_text(encoding="utf-8")
    told = project.run("upgrade", "head", "-v")
    assert "Holding the migration lock" in told
    assert file.name[:12] in project.run_apart("current")[0]
    project.run("downgrade", "base")
    assert project.run_apart("current")[0] == ""


@pytest.mark.parametrize("driver", DRIVERS)
def test_two_at_once(initialized: Project, driver: str) -> None:
    initialized.url = url_of(driver)
    initialized.slow('while not Path("go").exists(): time.sleep(0.05)')
    first = initialized.start("upgrade", "head")
    with ended(first):
        initialized.wait_for("started", first)
        told = initialized.run("upgrade", "head", "--lock-timeout", "0", status=5)
        holder = "another process on this machine" if "sqlite" in driver else "reflex db lock"
        assert holder in told
        if "sqlite" in driver:
            assert holder in initialized.run("status")
        (initialized.directory / "go").touch()
        _, stderr = first.communicate(timeout=LIMIT)
    assert first.returncode == 0, stderr
    initialized.run("downgrade", "base")


@pytest.mark.parametrize("driver", DRIVERS)
def test_control_c_rolls_back(initialized: Project, driver: str) -> None:
    initialized.url = url_of(driver)
    body = "time.sleep(120)" if "sqlite" in driver else 'op.execute("SELECT pg_sleep(120)")'
    initialized.slow(body)
    process = initialized.start("upgrade", "head")
    with ended(process):
        initialized.wait_for("started", process)
        begun = time.monotonic()
        interrupt(process)
        _, stderr = process.communicate(timeout=LIMIT)
    assert process.returncode == 130, stderr
    assert time.monotonic() - begun < 60
    assert "interrupted; the open transaction was rolled back" in stderr
    initialized.slow("pass")
    initialized.run("upgrade", "head")  # the table half is not there
    initialized.run("downgrade", "base")


@pytest.mark.skipif(not WINDOWS, reason="SIGBREAK is Windows'")
def test_the_end_of_the_console_terminates(initialized: Project) -> None:
    initialized.slow("import signal; signal.raise_signal(signal.SIGBREAK)")
    assert "terminated" in initialized.run("upgrade", "head", status=143)


def test_a_killed_run_leaves_nothing_running(initialized: Project) -> None:
    """Where Python is a child of what was started, it ends too: the lock is free."""
    initialized.slow("time.sleep(120)")
    process = initialized.start("upgrade", "head")
    with ended(process):
        initialized.wait_for("started", process)
    process.communicate(timeout=LIMIT)
    initialized.slow("pass")
    initialized.run("upgrade", "head", "--lock-timeout", "30s")


def test_each_database(initialized: Project) -> None:
    initialized.slow('print("schön"); 1 / ("two" not in str(op.get_bind().engine.url))')
    initialized.url = "sqlite:///{}.db"
    (initialized.directory / "list").write_text("one\ntwo\nthree\n", encoding="utf-8")
    words = ("upgrade", "head", "--each", "list", "--jobs", "2", "--keep-going")
    stdout, stderr = initialized.run_apart(*words, "--report", "r", "--failed", "f", status=1)
    assert len(re.findall("^ok +(?:one|three) ", stdout, re.M)) == 2, stdout + stderr
    assert re.search("^failed +two ", stdout, re.M)
    assert "two: ZeroDivisionError" in stderr
    assert (initialized.directory / "f").read_bytes() == b"two\n"
    report = (initialized.directory / "r").read_text(encoding="utf-8").splitlines()
    assert {json.loads(line)["outcome"] for line in report} == {"ok", "failed"}
    assert "one: slow" in initialized.run_apart("current", "--each", "list")[0]


def test_control_c_ends_each_database(initialized: Project) -> None:
    initialized.slow("time.sleep(120)")
    initialized.url = "sqlite:///{}.db"
    (initialized.directory / "list").write_text("one\ntwo\n", encoding="utf-8")
    process = initialized.start("upgrade", "head", "--each", "list", "--jobs", "1")
    with ended(process):
        initialized.wait_for("started", process)
        interrupt(process)
        stdout, stderr = process.communicate(timeout=LIMIT)
    assert process.returncode == 130, stdout + stderr
    assert "interrupted one" in stdout
    assert "1 not begun" in stderr


def test_what_is_wrong_is_said(initialized: Project) -> None:
    for words, url, status, said in (
        (["upgrad"], "sqlite:///app.db", 2, "is it `reflex-db upgrade`?"),
        (["current"], " ", 4, "REFLEX_DB_URL is not set"),
        (["current"], "postgresql+psycopg://u:hunter22@127.0.0.1:1/d", 4, "can't be reached"),
        (["current"], "oracle+oracledb://u:hunter22@127.0.0.1/d", 3, "-m pip install"),
        (["current"], "sqlite:///no/such/directory/app.db", 4, "check the path"),
        (["--python", "nowhere", "current"], "", 3, os.path.join(".venv", SCRIPTS.name)),
    ):
        told = initialized.run(*words, status=status, REFLEX_DB_URL=url)
        assert said in told
        assert "hunter22" not in told
        assert "Traceback" not in told


def test_the_same_as_alembic(initialized: Project) -> None:
    env = initialized.directory / "alembic" / "env.py"
    env.write_text(SHOWS + env.read_text(encoding="utf-8"), encoding="utf-8")
    initialized.slow("pass")
    path = os.pathsep.join([str(SCRIPTS), os.environ["PATH"]])
    both = [("reflex-db", {"PATH": path}), ("alembic", {"PATH": path})]
    for words in ("heads", "history --verbose", "upgrade head --sql", "upgrade head", "current"):
        ours, theirs = (
            initialized.run_apart(*words.split(), program=program, **env)[0]
            for program, env in both
        )
        assert ours == theirs
        assert ours


def test_it_goes_to_another_python(project: Project) -> None:
    base = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
    told = project.run("--python", base, "version")
    assert f"({base})" in told or os.path.basename(base) in told
    assert "Alembic" in told


def test_bytecode_goes_to_the_users_cache(initialized: Project, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    env = {"PYTHONDONTWRITEBYTECODE": "1", "XDG_CACHE_HOME": str(cache)}
    roots = [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib")]

    def compiled() -> set[Path]:
        return {file for root in roots for file in root.rglob("*.pyc")}

    before = compiled()
    initialized.run("heads", **env)
    assert compiled() == before
    assert list((cache / "reflex-orm" / "bytecode").rglob("*.pyc")) or all(
        map(Path.exists, before)  # where Python has compiled everything there is nothing to keep
    )
