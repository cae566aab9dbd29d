"""The script reflex-db."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from reflex_driver import console, exits, options

from .running import PYSHIM, Done, Project, environment, finish, fork


def run(project: Project, *argv: str, **env: str) -> Done:
    return finish(project.start(*argv, **env))


@pytest.mark.parametrize(
    ("argv", "python", "rest"),
    [
        ([], "", []),
        (["upgrade", "head"], "", ["upgrade", "head"]),
        (["--python", "p", "upgrade", "-C", "x"], "p", ["upgrade", "-C", "x"]),
        (["--python=p", "-q", "heads"], "p", ["-q", "heads"]),
        (["-x", "-C", "--python", "p", "heads"], "p", ["-x", "-C", "heads"]),
        (
            ["-c", "--python", "heads", "--python", "p"],
            "",
            ["-c", "--python", "heads", "--python", "p"],
        ),
        (["--config=f", "-n", "--python=q", "--python=p"], "p", ["--config=f", "-n", "--python=q"]),
        (["--", "--python", "p"], "", ["--", "--python", "p"]),
        (["--python", "first", "--python", "second"], "second", []),
        (["-x"], "", ["-x"]),
        (["-C", "", "heads"], "", ["heads"]),
    ],
)
def test_what_stands_before_the_command(argv: list[str], python: str, rest: list[str]) -> None:
    assert console._before_command(argv) == (python, rest)


@pytest.mark.parametrize(
    "argv",
    [
        ["-C", "sub"],
        ["-Csub"],
        ["-C=sub"],
        ["--directory", "sub"],
        ["--directory=sub"],
        ["-C", ".", "-C", "sub"],
        ["-C", "nosuch", "-C", "sub"],  # the last one, as in the Go program
    ],
)
def test_the_directory(argv: list[str], tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()

    def look() -> int:
        assert console._before_command([*argv, "heads"]) == ("", ["heads"])
        assert os.path.basename(os.getcwd()) == "sub"
        return 0

    fork(look, tmp_path).check()


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["-C"], "-C needs a value"),
        (["--python"], "--python needs a value"),
        (["-C", "nosuch", "heads"], "-C: nosuch: no such file or directory"),
    ],
)
def test_what_is_refused(argv: list[str], message: str, tmp_path: Path) -> None:
    def look() -> int:
        sys.argv[1:] = argv
        return console.main()

    assert fork(look, tmp_path).check(2).stderr == f"Error: {message}\n"


@pytest.mark.parametrize("named", [(), ("--python", "./env")])
def test_a_directory_that_has_been_removed(tmp_path: Path, named: tuple[str, ...]) -> None:
    """It is nobody's project. That is said in a line."""

    def look() -> int:
        os.mkdir("gone")
        os.chdir("gone")
        os.rmdir(tmp_path / "gone")
        sys.path.insert(0, str(tmp_path))
        sys.argv[:] = ["/usr/bin/reflex-db", *named, "heads"]
        return console.main()

    done = fork(look, tmp_path).check(exits.FAILED)
    assert done.stderr.startswith("Error: the current directory can't be used: ")


def test_a_run(project: Project) -> None:
    project.revision("a1")
    outside = Project(project.directory / "elsewhere")
    done = run(outside, "-C", str(project.directory), "upgrade", "head", **project.env).check()
    assert done.stdout == ""
    assert project.at() == ["a1"]


def test_it_is_called_reflex_db(project: Project) -> None:
    done = run(project, "upgarde").check(2)
    assert "reflex-db has no command upgarde" in done.stderr
    assert "Next: is it `reflex-db upgrade`?" in done.stderr


def test_its_own_directory_is_not_importable(project: Project) -> None:
    """As under Alembic's script, where bin/ is on sys.path and this script's is not."""
    project.script()
    project.write("../nosuch_module_of_the_script.py", "")
    project.write("nosuch_module_of_here.py", "")
    look = """
import importlib.util, sys
for name in "nosuch_module_of_the_script", "nosuch_module_of_here", "reflex_driver.nosuch":
    try:
        assert importlib.util.find_spec(name) is None, name
    except ModuleNotFoundError:
        pass
"""
    project.write("alembic/env.py", look + (project.directory / "alembic/env.py").read_text())
    project.write("alembic.ini", "[alembic]\nscript_location = alembic\n")
    run(project, "current").check()


def test_the_status_goes_back_to_python(project: Project) -> None:
    """A profiler writes its report, and atexit's functions run."""
    project.revision("a1", body="import atexit; atexit.register(print, 'atexit'); 1 / 0")
    profile = project.directory / "profile"
    done = finish(
        subprocess.Popen(
            [
                sys.executable,
                "-m",
                "cProfile",
                "-o",
                str(profile),
                str(project.script()),
                "upgrade",
                "head",
            ],
            env=environment(**project.env),
            cwd=project.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    )
    assert done.stdout == "atexit\n"  # cProfile's own status is 0
    assert "\nZeroDivisionError: division by zero\n" in done.stderr
    assert profile.stat().st_size > 0


def test_completion(project: Project) -> None:
    project.revision("a1b2")
    done = run(project, "__complete", "upgrade", "a1").check()
    assert done.stdout.splitlines()[0].startswith("a1b2\t")
    assert done.stderr == ""
    noisy = project.write("noise/sitecustomize.py", "print('noise')").parent
    path = os.pathsep.join([str(noisy), str(PYSHIM)])
    done = run(project, "__complete", "-C", str(project.directory), "upg", PYTHONPATH=path).check()
    assert done.stdout.replace("noise\n", "").startswith("upgrade\t")
    nowhere = {"VIRTUAL_ENV": str(project.directory / "nowhere")}
    done = run(project, "__complete", "upg", **nowhere).check()
    assert done.stdout.splitlines()[0].startswith("upgrade\t")
    for option, directive in (("-C", ":16"), ("--directory", ":16"), ("--python", ":0")):
        done = run(project, "__complete", "-q", option, "").check()
        assert (done.stdout, done.stderr) == (f"{directive}\n", "")
    assert run(project, "completion", "bash").check().stdout.startswith("_reflex_db_complete()")
    assert run(project, "completion", "tcsh").check(2).stdout == ""


def test_bash_completes(project: Project) -> None:
    """The script of bash's, in bash."""
    bash = "/bin/bash"
    if not os.path.exists(bash):
        pytest.skip("there is no bash")
    project.revision("a1b2", branch_labels=["it's;$(touch here)"])
    command = project.write(
        "bin/reflex-db", f'#!/bin/sh\nexec {sys.executable} {project.script()} "$@"\n'
    )
    command.chmod(0o755)
    run_it = """
source <(reflex-db completion bash)
COMP_WORDS=(reflex-db upgrade "$1") COMP_CWORD=2 COMP_LINE="reflex-db upgrade $1" COMP_TYPE=9
_reflex_db_complete 2>/dev/null
printf '%s\\n' "${COMPREPLY[@]}"
"""
    path = os.pathsep.join([str(command.parent), os.environ["PATH"]])
    for word, want in (("a1", "a1b2"), ("it", "it\\'s\\;\\$\\(touch\\ here\\)@head")):
        done = subprocess.run(
            [bash, "-c", run_it, "bash", word],
            env=environment(**{**project.env, "PATH": path}),
            cwd=project.directory,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout == f"{want}\n", done.stderr
    assert not (project.directory / "here").exists()


def test_the_go_program_knows_the_same_options() -> None:
    source = Path(__file__).parents[3].joinpath("cmd/reflex/db.go").read_text()
    declared = re.search(r"withValue = \[\]string\{(.*?)\}", source, re.DOTALL)
    assert declared is not None
    assert set(re.findall(r'"(-[^"]+)"', declared[1])) == options.with_value()
