"""Which Python is the project's, and which is not to be used."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from reflex_driver import exits, project

from .running import Done, Project, bare_environment, finish, fork


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Environments of this Python, without anything in them."""
    directory = tmp_path_factory.mktemp("environments")
    return {name: bare_environment(directory / name) for name in ("one", "two")}


def find(directory: Path, named: str = "", **env: str) -> tuple[str, str] | None:
    """What `_find` finds, in a directory."""

    def look() -> int:
        found = project._find(named)
        print(*(found or ()), sep="\n")
        return 0

    lines = fork(look, directory, **env).check().stdout.split()
    return (lines[0], lines[1]) if lines else None


def plant(directory: Path, name: str = ".venv") -> Path:
    """Something that looks like an environment."""
    environment = directory / name
    (environment / "bin").mkdir(parents=True)
    (environment / "pyvenv.cfg").touch()
    (environment / "bin" / "python").symlink_to(sys.executable)
    return environment


def test_the_order(place: Path) -> None:
    deep = place / "a" / "b"
    deep.mkdir(parents=True)
    assert find(deep) is None
    plant(place, ".venv")
    assert find(deep) == (".venv", f"{place}/.venv/bin/python")
    plant(deep, "venv")
    assert find(deep) == ("venv", f"{deep}/venv/bin/python")
    plant(deep, ".venv")
    assert find(deep) == (".venv", f"{deep}/.venv/bin/python")
    env = {"VIRTUAL_ENV": "/some/where"}
    assert find(deep, **env) == ("VIRTUAL_ENV", "/some/where/bin/python")
    env["REFLEX_PYTHON"] = "/other/bin/python3"
    assert find(deep, **env) == ("REFLEX_PYTHON", "/other/bin/python3")
    assert find(deep, "/named/python", **env) == ("--python", "/named/python")


def test_a_directory_without_a_pyvenv_cfg_is_no_environment(place: Path) -> None:
    (place / ".venv" / "bin").mkdir(parents=True)
    assert find(place) is None


def test_what_a_name_is(place: Path) -> None:
    """A directory of an environment, a file, or a program on PATH."""
    environment = plant(place, "mine")
    assert find(place, "mine") == ("--python", f"{environment}/bin/python")
    assert find(place, "./mine/bin/python") == ("--python", f"{environment}/bin/python")
    programs = place / "programs"
    programs.mkdir()
    (programs / "python9").symlink_to(sys.executable)
    found = find(place, "python9", PATH=str(programs))
    assert found == ("--python", f"{programs}/python9")


@pytest.mark.parametrize(
    ("mode", "trusted"),
    [(0o755, True), (0o700, True), (0o777, False), (0o757, False), (0o1777, True)],
)
def test_what_others_can_change_is_not_used(place: Path, mode: int, trusted: bool) -> None:
    deep = place / "shared" / "project"
    deep.mkdir(parents=True)
    plant(deep)
    (place / "shared").chmod(mode)
    assert (find(deep) is not None) is trusted


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
def test_what_belongs_to_another_user_is_not_used(place: Path) -> None:
    """Below /tmp everybody can plant a .venv above the project."""
    planted = plant(place)
    deep = place / "project"
    deep.mkdir()
    os.chown(planted, 65534, 65534)

    def look() -> int:
        assert project._find("") is None
        return 0

    done = fork(look, deep).check()
    assert f"{planted} is not used: {planted} belongs to another user" in done.stderr
    assert f"VIRTUAL_ENV={planted}" in done.stderr
    assert find(deep, VIRTUAL_ENV=str(planted)) is not None  # named, so it is meant


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
def test_a_link_to_what_belongs_to_another_user(place: Path) -> None:
    elsewhere = plant(place / "elsewhere", "real")
    os.chown(place / "elsewhere", 65534, 65534)
    (place / "project").mkdir()
    (place / "project" / ".venv").symlink_to(elsewhere)
    assert find(place / "project") is None


def test_a_python_that_is_not_there(place: Path) -> None:
    def become() -> int:
        problem = project.become("nosuch/python", "reflex-db", "1", ["version"])
        assert problem is not None
        print(problem.message)
        return problem.status

    done = fork(become, place).check(exits.ENVIRONMENT)
    assert "no usable Python: --python: " in done.stdout
    assert "nosuch/python is not there or may not be run" in done.stdout


def test_what_is_no_python(place: Path) -> None:
    program = place / "python"
    program.write_text("no program")
    program.chmod(0o755)

    def become() -> int:
        problem = project.become("./python", "reflex-db", "1", ["version"])
        assert problem is not None
        return problem.status

    fork(become, place).check(exits.ENVIRONMENT)


def run(made: Project, *argv: str, **env: str) -> Done:
    return finish(made.start(*argv, **env))


def test_the_process_becomes_that_python(project: Project, environments: dict[str, Path]) -> None:
    """Same process id, same arguments, and nothing of the first Python's packages."""
    one, two = environments["one"], environments["two"]
    python = str(one / "bin" / "python")
    assert f"({python})" in run(project, "version", VIRTUAL_ENV=str(one)).check().stdout
    assert str(two) in run(project, "--python", str(two), "version").check().stdout
    assert "Alembic     not installed" in run(project, "--python", str(two), "version").stdout
    done = run(project, "--python", str(two), "current").check(exits.ENVIRONMENT)
    # This environment has no pip.
    python = f'"{two}/bin/python"'
    assert f'Next: {python} -m ensurepip && {python} -m pip install "alembic"' in done.stderr
    with project.start("version", REFLEX_PYTHON=str(one)) as process:
        process.communicate()
    assert process.returncode == 0


def test_it_stays_where_it_is_without_one(project: Project) -> None:
    assert f"({sys.executable})" in run(project, "version").check().stdout
    own = {"VIRTUAL_ENV": sys.prefix}
    assert f"({sys.executable})" in run(project, "version", **own).check().stdout


def test_nothing_of_the_current_directory_is_imported(
    project: Project, environments: dict[str, Path]
) -> None:
    project.write("sysconfig.py", "raise SystemExit('sysconfig of the project')")
    project.write("importlib/__init__.py", "raise SystemExit('importlib of the project')")
    project.write("reflex_driver/__init__.py", "raise SystemExit('reflex_driver of the project')")
    run(project, "version", VIRTUAL_ENV=str(environments["one"])).check()


def test_a_python_that_is_too_old(place: Path) -> None:
    """What it is told is a program for any Python 3."""
    found = next(filter(None, map(shutil.which, ("python3.9", "python3.8"))), None)
    if found is None or subprocess.run([found, "--version"], check=False).returncode:
        pytest.skip("there is no Python before 3.10")
    done = subprocess.run(
        [*project.command(found), "reflex-db", "1", "", "version"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "is too old: Python 3.10 or later is needed" in done.stderr
