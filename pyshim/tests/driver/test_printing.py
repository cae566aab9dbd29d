"""What we print ourselves, where a stream's encoding lacks its characters."""

from pathlib import Path

import pytest

from .running import Project, finish

NAME = "日本"
ESCAPED = r"\u65e5\u672c"
CODE_PAGES = ["ascii", "cp1252"]


@pytest.fixture
def named(tmp_path: Path) -> Project:
    """A project whose revision and database have a name that Windows' code pages lack."""
    project = Project(tmp_path / "project", {"REFLEX_DB_URL": f"sqlite:///{NAME}.db"})
    file = project.revision(NAME)
    file.rename(file.with_name("a_.py"))
    return project


@pytest.mark.parametrize("encoding", CODE_PAGES)
@pytest.mark.parametrize(
    "words",
    [["status"], ["history", "--graph"], ["history", "--dot"], ["rebase"]],
)
def test_a_character_that_stdout_lacks_is_escaped(
    named: Project, words: list[str], encoding: str
) -> None:
    done = finish(named.start(*words, PYTHONIOENCODING=encoding)).check()
    assert ESCAPED in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("encoding", CODE_PAGES)
def test_each_escapes_too(named: Project, encoding: str) -> None:
    named.env["REFLEX_DB_URL"] = "sqlite:///{}.db"
    (named.directory / "list").write_text(f"{NAME}\n", encoding="utf-8")
    for words in (["upgrade", "head"], ["current"], ["status"]):
        started = named.start(*words, "--each", "list", PYTHONIOENCODING=encoding)
        assert ESCAPED in finish(started).check().stdout


@pytest.mark.parametrize("encoding", CODE_PAGES)
def test_a_stderr_that_the_project_made_strict_has_the_error(named: Project, encoding: str) -> None:
    strict = f'import sys\nsys.stderr.reconfigure(encoding="{encoding}")\n'
    env = named.directory / "alembic" / "env.py"
    env.write_text(f'{strict}raise RuntimeError("{NAME}")\n', encoding="utf-8")
    done = finish(named.start("current")).check(1)
    assert f"\nRuntimeError: {ESCAPED}\n" in done.stderr


def test_what_alembic_prints_is_alembics(named: Project) -> None:
    done = finish(named.start("history", PYTHONIOENCODING="ascii")).check()
    assert ESCAPED not in done.stdout
    assert "?? (head)" in done.stdout
