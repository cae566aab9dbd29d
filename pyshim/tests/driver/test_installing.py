"""What is said to install a package, by what manages the environment."""

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from .running import PYSHIM

BASE = os.path.realpath(sys.executable)  # of no environment

ASK = """
import sys
sys.path.insert(0, sys.argv[1])
from reflex_driver import installing
print(installing.command(sys.argv[2], anew="anew" in sys.argv))
"""


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A directory for PATH with the managers, which are only looked for."""
    directory = tmp_path / "tools"
    directory.mkdir()
    for name in ("uv", "poetry", "pdm"):
        (directory / name).touch(mode=0o755)
    return directory


def made(directory: Path, *lines: str) -> Path:
    """An environment without pip, with more lines in its pyvenv.cfg."""
    venv.create(directory, symlinks=True)
    with (directory / "pyvenv.cfg").open("a") as cfg:
        cfg.write("\n".join(lines) + "\n")
    return directory


def home(directory: Path, *marks: str) -> Path:
    """A Python that is no venv, as conda's and Debian's are, with files in its library."""
    library = Path(sysconfig.get_path("stdlib"))
    copy = directory / "lib" / library.name
    copy.mkdir(parents=True)
    for entry in library.iterdir():
        if entry.name not in ("site-packages", "EXTERNALLY-MANAGED"):
            (copy / entry.name).symlink_to(entry)
    for mark in marks:
        (copy / mark).touch()
    return directory


def said(python: Path | str, project: Path, tools: Path, *args: str, **env: str) -> str:
    project.mkdir(exist_ok=True)
    return subprocess.run(
        [python, "-c", ASK, PYSHIM, *args],
        cwd=project,
        env={"PATH": str(tools), **env},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
    ).stdout.strip()


@pytest.mark.parametrize("manager", ["uv", "poetry", "pdm"])
@pytest.mark.parametrize("table", [True, False])
def test_a_project_with_a_manager(tmp_path: Path, tools: Path, manager: str, table: bool) -> None:
    python = made(tmp_path / "shop" / ".venv") / "bin" / "python"
    below = tmp_path / "shop" / "src"
    if table:
        (tmp_path / "shop" / "pyproject.toml").write_text(f"[tool.{manager}.x]\n")
    else:
        (tmp_path / "shop" / f"{manager}.lock").touch()
    assert said(python, below, tools, "psycopg[binary]") == f'{manager} add "psycopg[binary]"'
    # Where the manager is not installed, as in an image that it has made, and in another
    # project's directory, its command would not do.
    elsewhere = tmp_path / "elsewhere"
    for project, path in ((below, elsewhere), (elsewhere, tools)):
        assert "-m pip install" in said(python, project, path, "asyncpg")


def test_poetry_keeps_its_environments_elsewhere(tmp_path: Path, tools: Path) -> None:
    python = made(tmp_path / "pypoetry" / "virtualenvs" / "shop-x-py3") / "bin" / "python"
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "poetry.lock").touch()
    assert said(python, tmp_path / "shop", tools, "asyncpg") == 'poetry add "asyncpg"'


def test_an_environment_of_uvs(tmp_path: Path, tools: Path) -> None:
    python = made(tmp_path / "env", "uv = 0.9.1") / "bin" / "python"
    assert said(python, tmp_path, tools, "alembic>=1.16") == (
        f'uv pip install --python "{python}" "alembic>=1.16"'
    )
    assert "--reinstall" in said(python, tmp_path, tools, "alembic", "anew")


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        ("pipx_metadata.json", 'pipx inject reflex-orm "asyncpg"'),
        ("uv-receipt.toml", 'uv tool install --with "asyncpg" reflex-orm'),
    ],
)
def test_a_tool_in_an_environment_of_its_own(
    tmp_path: Path, tools: Path, mark: str, expected: str
) -> None:
    environment = made(tmp_path / "reflex-orm")
    (environment / mark).touch()
    assert said(environment / "bin" / "python", tmp_path, tools, "asyncpg") == expected


def test_conda(tmp_path: Path, tools: Path) -> None:
    prefix = home(tmp_path / "conda")
    (prefix / "conda-meta").mkdir()
    for package, name in (("psycopg2-binary", "psycopg2"), ("aiosqlite", "aiosqlite")):
        answer = said(BASE, tmp_path, tools, package, PYTHONHOME=str(prefix))
        assert answer == f'conda install -p "{prefix}" -c conda-forge "{name}"'


def test_a_python_of_the_system(tmp_path: Path, tools: Path) -> None:
    """Debian's refuses pip (PEP 668)."""
    prefix = str(home(tmp_path / "usr", "EXTERNALLY-MANAGED"))
    answer = said(BASE, tmp_path, tools, "asyncpg", PYTHONHOME=prefix)
    assert '-m venv .venv && .venv/bin/python -m pip install alembic "asyncpg"' in answer
    answer = said(BASE, tmp_path, tools, "alembic", PYTHONHOME=prefix)
    assert 'pip install "alembic"' in answer


def test_pip_and_no_pip(tmp_path: Path, tools: Path) -> None:
    python = made(tmp_path / "env") / "bin" / "python"
    pip = f'"{python}" -m pip install "asyncpg"'
    assert said(python, tmp_path, tools, "asyncpg") == f'"{python}" -m ensurepip && {pip}'
    (next((tmp_path / "env" / "lib").iterdir()) / "site-packages" / "pip.py").touch()
    assert said(python, tmp_path, tools, "asyncpg") == pip


def test_a_directory_that_is_gone(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    text = f"import os; os.rmdir({str(gone)!r})\n{ASK}"
    python = made(tmp_path / "env") / "bin" / "python"
    done = subprocess.run(
        [python, "-c", text, PYSHIM, "asyncpg"],
        cwd=gone,
        env={**os.environ},
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "-m pip install" in done.stdout
