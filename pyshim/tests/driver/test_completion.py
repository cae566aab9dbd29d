"""What may come next on the command line."""

import os
from pathlib import Path

import pytest

from reflex_driver import completion

from .running import Done, Project, fork, python

NO_FILES, DIRECTORIES, KEEP_ORDER = 4, 16, 32


def ask(project: Project, *words: str, **env: str) -> tuple[list[str], int]:
    """The candidates for the last word, without what is said of them, and the directive."""
    *lines, directive = answer(project, *words, **env).stdout.splitlines()
    return [line.partition("\t")[0] for line in lines], int(directive.removeprefix(":"))


def answer(project: Project, *words: str, **env: str) -> Done:
    import reflex_driver

    *before, word = words

    def complete() -> int:
        descriptor = os.dup(1)
        return reflex_driver.main(
            "reflex db", "1", "", "__complete", str(descriptor), word, *before
        )

    return fork(complete, project.directory, **{**project.env, **env}).check()


def names(project: Project, *words: str) -> list[str]:
    return ask(project, *words)[0]


@pytest.fixture
def branched(project: Project) -> Project:
    project.revision("a1b2", branch_labels=["it's;$(touch here) `x`"])
    project.revision("a3c4", "a1b2")
    project.revision("b5d6", "a1b2")
    return project


def test_commands_with_what_they_do(project: Project) -> None:
    done = answer(project, "")
    assert "upgrade\tapply revisions, up to the one named; head is the last\n" in done.stdout
    assert "status\t" in done.stdout
    assert "version\tsay which Python, Alembic and SQLAlchemy are used\n" in done.stdout
    assert done.stdout.endswith(f":{NO_FILES + KEEP_ORDER}\n")
    lines = done.stdout.splitlines()
    assert len(lines) == len({line.partition("\t")[0] for line in lines})
    assert names(project, "up") == ["upgrade"]
    assert names(project, "-q", "mig") == ["migrate"]


def test_options_load_no_revision(project: Project) -> None:
    with project.revision("a1").open("a") as file:
        file.write("open('loaded', 'w')\n")
    assert {"--sql", "--statement-timeout"} <= set(names(project, "upgrade", "--s"))
    assert not (project.directory / "loaded").exists()
    assert names(project, "upgrade", "a") == ["a1"]
    assert (project.directory / "loaded").exists()


def test_options_of_alembic_and_ours(project: Project) -> None:
    assert set(names(project, "--ea")) == {"--each"}
    assert {"--config", "--raiseerr", "--directory", "--python"} <= set(names(project, "--"))
    found = names(project, "upgrade", "--")
    assert {"--sql", "--tag", "--wait", "--lock-timeout", "--no-lock", "--each"} <= set(found)
    assert "-v" not in found
    assert "-v" in names(project, "upgrade", "-")
    assert "--autogenerate" in names(project, "revision", "--a")
    assert "--autogenerate" not in names(project, "heads", "--")
    assert "--each" not in names(project, "heads", "--")  # it makes no sense there


def test_revisions(branched: Project) -> None:
    assert names(branched, "upgrade", "a") == ["a3c4", "a1b2"]
    every = names(branched, "upgrade", "")
    assert every[:3] == ["head", "heads", "+1"]
    assert {"a1b2", "a3c4", "b5d6"} <= set(every)
    assert "-1" in names(branched, "downgrade", "-")
    assert names(branched, "history", "-r", "a1b2:b") == ["a1b2:base", "a1b2:b5d6"]
    assert names(branched, "history", "--rev-range=a1b2:b5") == ["a1b2:b5d6"]
    assert names(branched, "merge", "a3c4", "b") == ["b5d6"]  # one after the other
    assert "a3c4" not in names(branched, "upgrade", "a1b2", "a")  # it takes one
    assert "a3c4\ta3c4 is made (" in answer(branched, "upgrade", "a3").stdout


def test_a_hostile_label_is_data(branched: Project) -> None:
    label = "it's;$(touch here) `x`@head"
    assert names(branched, "upgrade", "it") == [label]
    assert names(branched, "downgrade", "it") == [label, label.replace("@head", "@base")]


def test_what_is_a_file(project: Project) -> None:
    for words in (["-c", ""], ["--config=a"], ["upgrade", "--each", ""], ["--failed=x"]):
        assert ask(project, *words) == ([], 0)
    assert ask(project, "init", "") == ([], DIRECTORIES)
    assert ask(project, "upgrade", "--wait", "") == ([], NO_FILES + KEEP_ORDER)


def test_templates(project: Project) -> None:
    found = names(project, "init", "-t", "")
    assert found[0] == "reflex"
    assert {"generic", "async"} <= set(found)


def test_sections(project: Project) -> None:
    ini = "[alembic]\nscript_location = alembic\n[tenants]\nscript_location = alembic\n[loggers]\n"
    project.write("alembic.ini", ini)
    assert names(project, "-n", "") == ["alembic", "tenants"]
    project.write("other.ini", "[elsewhere]\nscript_location = alembic\n")
    assert names(project, "-c", "other.ini", "-n", "") == ["elsewhere"]


def test_after_an_unknown_command_there_is_nothing(project: Project) -> None:
    assert names(project, "nosuch", "") == []


def test_after_two_dashes_there_are_no_options(branched: Project) -> None:
    assert names(branched, "downgrade", "--", "-") == ["-1"]


@pytest.mark.parametrize(
    "broken", ["import nothing_of_this_name", "import sys; sys.exit(3)", "def (", "print('x')"]
)
def test_a_broken_project_has_what_is_known_without_it(project: Project, broken: str) -> None:
    project.write("alembic/versions/a1_.py", broken)
    assert names(project, "upgrade", "") == ["head", "heads", "+1"]
    assert "upgrade" in names(project, "")


def test_no_alembic_at_all(project: Project, tmp_path: Path) -> None:
    text = """
        import sys
        sys.modules["alembic"] = None
        import reflex_driver
        sys.exit(reflex_driver.main("reflex db", "1", "", "__complete", "1", ""))
    """
    done = python(text, tmp_path).check()
    assert "upgrade\t" in done.stdout
    assert done.stderr == ""


def test_a_project_that_does_not_end_being_imported(project: Project) -> None:
    project.write("alembic/versions/a1_.py", "import time\nwhile True: time.sleep(1)\n")

    def complete() -> int:
        completion._LIMIT = 0.3
        return completion.complete("reflex db", str(os.dup(1)), "", "upgrade")

    assert fork(complete, project.directory).check().stdout == ":36\n"


def test_many_revisions_are_offered_to_who_has_typed_some_of_one(project: Project) -> None:
    every = [f"r{i:03}" for i in range(completion._MANY + 20)]
    for name, after in zip(every, [None, *every], strict=False):
        project.revision(name, after)
    assert len(names(project, "upgrade", "")) == completion._MANY + 3
    assert len(names(project, "upgrade", "r")) == len(every)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_scripts_name_the_program(shell: str, tmp_path: Path) -> None:
    done = fork(lambda: completion.print_script("reflex-db", [shell]), tmp_path).check()
    assert "reflex-db" in done.stdout
    assert "_reflex_db_complete" in done.stdout
    assert "PROGRAM" not in done.stdout.replace("COMP_", "")


@pytest.mark.parametrize("shells", [[], ["tcsh"], ["bash", "zsh"]])
def test_a_shell_that_there_is_not(shells: list[str], tmp_path: Path) -> None:
    done = fork(lambda: completion.print_script("reflex-db", shells), tmp_path).check(2)
    assert "name one of bash, zsh, fish" in done.stderr
    assert done.stdout == ""
