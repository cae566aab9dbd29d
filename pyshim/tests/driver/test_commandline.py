"""The command line: what is accepted, what is refused, and what a run's end does."""

import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import alembic
import pytest

import reflex_driver
from reflex_driver import exits, options
from reflex_driver.commandline import CommandLine
from reflex_driver.exits import Outcome
from reflex_driver.lock import sqlite

from .running import Done, Project, fork


@pytest.fixture(scope="module")
def command() -> CommandLine:
    return CommandLine("reflex db", "1.0")


def refused(command: CommandLine, *argv: str) -> Outcome:
    parsed = command.parse(argv)
    assert isinstance(parsed, Outcome), parsed
    return parsed


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["upgarde", "head"], "reflex db has no command upgarde"),
        (["-q"], "reflex db: a command is missing"),
        (["upgrade"], "reflex db upgrade: the following arguments are required: revision"),
        (["upgrade", "head", "--nosuch"], "reflex db upgrade: unrecognized arguments: --nosuch"),
        (["upgrade", "head", "--wait"], "reflex db upgrade: --wait needs a value"),
        (["upgrade", "head", "--wait", "soon"], "--wait 'soon' is not a time such as 500ms, 30s"),
        (["upgrade", "head", "--lock-timeout=-1"], "--lock-timeout '-1' is not a time"),
        (["upgrade", "head", "--jobs", "2"], "reflex db: --jobs goes with --each"),
        (["--first", "2", "upgrade", "head"], "reflex db: --first goes with --each"),
        (["upgrade", "head", "--keep-going"], "reflex db: --keep-going goes with --each"),
        (["upgrade", "head", "--failed", "f"], "reflex db: --failed goes with --each"),
        (["upgrade", "head", "--each", "f", "--jobs", "x"], "x: a number from 1 is expected"),
        (["upgrade", "head", "--each"], "reflex db upgrade: --each needs a value"),
        (["heads", "--wait", "5s"], "unrecognized arguments: --wait 5s"),
        (["current", "--lock-timeout", "5s"], "unrecognized arguments: --lock-timeout 5s"),
    ],
)
def test_wrong_usage(command: CommandLine, argv: list[str], message: str) -> None:
    outcome = refused(command, *argv)
    assert outcome.status == exits.USAGE
    assert message in outcome.message
    assert "--help` " in outcome.hint
    assert "\n" not in outcome.message


def test_what_may_be_meant(command: CommandLine) -> None:
    assert "is it `reflex db upgrade`?" in refused(command, "upgarde").hint
    assert refused(command, "xyz").hint == "`reflex db --help` lists the commands"


@pytest.mark.parametrize(
    ("argv", "name", "value"),
    [
        (["upgrade", "head", "--s"], "sql", True),  # not --statement-timeout, not --shard
        (["upgrade", "head", "--t", "x"], "tag", "x"),  # not --traceback
        (["--r", "heads"], "raiseerr", True),  # not --report
        (["upgrade", "head", "--wa", "1s"], "wait", 1.0),
        (["upgrade", "head", "--st", "1s"], "statement_timeout", 1.0),
        (["revision", "--a"], "autogenerate", True),
        (["-q", "heads", "--v"], "verbose", True),
    ],
)
def test_alembics_own_abbreviations_win(
    command: CommandLine, argv: list[str], name: str, value: object
) -> None:
    parsed = command.parse(argv)
    assert not isinstance(parsed, Outcome), parsed
    assert getattr(parsed, name) == value


def test_an_abbreviation_that_is_alembics_twice_is_ambiguous(command: CommandLine) -> None:
    assert "ambiguous option" in refused(command, "revision", "--s", "x").message


@pytest.mark.parametrize(
    "argv",
    [
        ["upgrade", "head", "--traceback"],
        ["--traceback", "upgrade", "head"],
        ["--each", "f", "upgrade", "head"],
        ["upgrade", "--each", "f", "head", "--jobs", "3"],
        ["migrate", "--each", "f"],
        ["downgrade", "-1"],
        ["-x", "a=b", "-c", "f", "-n", "other", "current", "-v"],
    ],
)
def test_options_stand_before_and_after_the_command(command: CommandLine, argv: list[str]) -> None:
    assert not isinstance(command.parse(argv), Outcome)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("30s", 30), ("1.5m", 90), ("2min", 120), ("1h", 3600), ("7", 7), (" 3s ", 3)],
)
def test_times(text: str, seconds: float) -> None:
    assert options.seconds(text) == seconds


def test_the_command_has_all_its_options_and_the_others_alembics(command: CommandLine) -> None:
    for name, parser in command.subparsers.choices.items():
        alone = CommandLine("reflex db", "1.0", ["-x", "a=b", name]).subparsers.choices
        assert alone[name].format_help() == parser.format_help()
        assert alone[name]._defaults.keys() == parser._defaults.keys()
        others = {n for n, p in alone.items() if "--traceback" in p._option_string_actions}
        assert others == {name}


def test_help(project: Project) -> None:
    whole = project.run().check().stdout
    assert whole.startswith("Run Alembic in the project's own Python")
    assert exits.HELP in whole
    assert "REFLEX_DB_LOCK_URL" in whole
    for argv in (["--help"], ["-h"], ["help"]):
        assert project.run(*argv).check().stdout == whole
    one = project.run("upgrade", "--help").check().stdout
    assert "--lock-timeout TIME" in one
    assert "--each FILE" in one
    assert project.run("help", "upgrade").check().stdout == one
    assert "--each" not in project.run("heads", "--help").check().stdout


def test_help_needs_no_alembic(tmp_path: Path) -> None:
    def run() -> int:
        sys.modules["alembic"] = None  # type: ignore[assignment]
        sys.modules["alembic.config"] = None  # type: ignore[assignment]
        return reflex_driver.main("reflex db", "1.0", "", "--help")

    assert "Commands:" in fork(run, tmp_path).check().stdout


def test_versions(project: Project) -> None:
    done = project.run("version").check().stdout
    assert "reflex      1.0\n" in done
    assert f"Alembic     {alembic.__version__}\n" in done
    assert "libpython   not used" in done
    assert project.run("version", "--short").check().stdout == "reflex      1.0\n"
    own = project.run("--version").check().stdout
    assert own == f"alembic {alembic.__version__}, run by reflex db 1.0\n"


def test_no_alembic_is_3(tmp_path: Path) -> None:
    (tmp_path / "alembic").mkdir()  # a directory of that name is not the package

    def run() -> int:
        for name in [name for name in sys.modules if name.partition(".")[0] == "alembic"]:
            del sys.modules[name]
        sys.path[:] = [str(tmp_path), *(p for p in sys.path if "site-packages" not in p)]
        return reflex_driver.main("reflex db", "1.0", "", "current")

    done = fork(run, tmp_path).check(exits.ENVIRONMENT)
    assert "which is not Alembic" in done.stderr
    assert "Next: take its directory out of PYTHONPATH" in done.stderr


def test_the_aliases(project: Project) -> None:
    project.revision("a1")
    project.run("migrate").check()
    assert project.at() == ["a1"]
    project.run("makemigrations", "-m", "x").check(1)  # this env.py has no metadata
    assert "does not provide a MetaData" in project.run("makemigrations").stderr


def test_which_configuration_is_read(project: Project) -> None:
    done = project.run("upgrade", "head", "-v").check()
    assert "Configuration: none, but env.py\nDatabase URL: REFLEX_DB_URL\n" in done.stderr
    assert "Holding the migration lock: a byte of " in done.stderr


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (("upgrade", "head", "--sql", "--wait", "5s"), "--wait is for a server"),
        (("upgrade", "head", "--statement-timeout", "5s"), "this database is sqlite"),
        (("upgrade", "head", "--ddl-lock-timeout", "5s"), "this database is sqlite"),
        (("upgrade", "head", "--lock-retries", "5"), "--lock-retries needs --ddl-lock-timeout"),
        (("upgrade", "head", "--polite", "5s"), "this database is sqlite"),
        (("upgrade", "head", "--polite", "0"), "--polite needs a time"),
    ],
)
def test_what_does_not_go_together_is_2(
    project: Project, argv: tuple[str, ...], message: str
) -> None:
    project.revision("a1")
    assert message in project.run(*argv).check(exits.USAGE).stderr


@pytest.fixture
def held(project: Project) -> Iterator[Project]:
    project.revision("a1")
    project.database.touch()
    session = sqlite.SQLiteSession(str(project.database))
    assert session.take("")
    yield project
    session.abandon()


def test_the_lock_of_another(held: Project) -> None:
    done = held.run("upgrade", "head", "--lock-timeout", "0").check(exits.LOCKED)
    assert "it is held by another process on this machine" in done.stderr
    held.run("current").check()  # which takes none
    held.run("upgrade", "head", "--no-lock").check()
    assert held.at() == ["a1"]


LOGGING = """
import logging
handler = logging.FileHandler("log")
handler.setFormatter(logging.Formatter("%(levelname)s %(name)s %(message)s"))
logging.root.addHandler(handler)
logging.root.addHandler(logging.StreamHandler())
"""


def with_env(project: Project, more: str) -> Project:
    file = project.directory / "alembic" / "env.py"
    file.write_text(more + file.read_text())
    return project


def test_alembics_own_errors_are_logged(project: Project) -> None:
    """As Alembic does it; on stderr stands our message, once."""
    done = with_env(project, LOGGING).run("upgrade", "nosuch").check(1)
    logged = (project.directory / "log").read_text()
    assert logged == "ERROR alembic.util.messaging Can't locate revision identified by 'nosuch'\n"
    assert done.stderr.count("Can't locate revision identified by 'nosuch'") == 1


@pytest.mark.parametrize(
    "off",
    [
        "logging.getLogger('alembic').setLevel(logging.CRITICAL)",
        "logging.getLogger('alembic.util.messaging').addFilter(lambda record: False)",
        "logging.getLogger('alembic').propagate = False",
        "handler.setLevel(logging.CRITICAL)",
    ],
)
def test_logging_that_is_turned_off(project: Project, off: str) -> None:
    with_env(project, f"{LOGGING}\n{off}\n").run("upgrade", "nosuch").check(1)
    assert (project.directory / "log").read_text() == ""


HOOK = """
import sys
def hook(kind, value, traceback):
    with open("hooked", "a") as file:
        last = getattr(sys, "last_exc", sys.last_value)
        file.write(f"{kind.__name__} {value} {last is value} {traceback is not None}\\n")
sys.excepthook = hook
"""


def test_the_projects_hook_hears_of_an_exception(project: Project) -> None:
    """Sentry, Rollbar and rich listen there."""
    project.revision("a1", body="raise ValueError('no')")
    done = with_env(project, HOOK).run("upgrade", "head").check(1)
    assert (project.directory / "hooked").read_text() == "ValueError no True True\n"
    assert done.stderr.count("Error: a1 (alembic/versions/a1_.py:7) failed") == 1
    assert done.stderr.count("\nValueError: no\n") == 1
    assert "Traceback" not in done.stderr  # the hook has shown what it wants


def test_the_last_exception_is_known_without_a_hook(project: Project) -> None:
    project.revision("a1", body="raise ValueError('no')")

    def run() -> int:
        status = reflex_driver.main("reflex db", "1", "", "upgrade", "head")
        assert isinstance(sys.last_value, ValueError)
        assert sys.last_type is ValueError
        assert sys.last_traceback is not None
        if sys.version_info >= (3, 12):
            assert sys.last_exc is sys.last_value
        return status

    done = fork(run, project.directory, **project.env).check(1)
    assert done.stderr.count('a1_.py", line 7, in upgrade\n') == 1


@pytest.mark.parametrize(
    "argv", [("upgrade", "nosuch"), ("upgrade", "head", "--sql", "--wait", "1s")]
)
def test_what_alembic_catches_is_not_the_hooks(project: Project, argv: tuple[str, ...]) -> None:
    project.revision("a1")
    with_env(project, HOOK).run(*argv)
    assert not (project.directory / "hooked").exists()


def test_raiseerr_is_the_bare_exception(project: Project) -> None:
    done = with_env(project, HOOK).run("--raiseerr", "upgrade", "nosuch").check(1)
    assert (project.directory / "hooked").read_text().startswith("CommandError Can't locate")
    assert "Error: Can't locate revision" in done.stderr


def test_a_hook_that_fails(project: Project) -> None:
    project.revision("a1", body="raise ValueError('no')")
    done = (
        with_env(project, "import sys\nsys.excepthook = lambda *_: 1 / 0\n")
        .run("upgrade", "head")
        .check(1)
    )
    assert "ZeroDivisionError" in done.stderr
    assert "\nError: a1 (alembic/versions/a1_.py:7) failed" in done.stderr
    assert "\nValueError: no\n" in done.stderr


@pytest.mark.parametrize(
    ("body", "status"),
    [("sys.exit()", 0), ("sys.exit(0)", 0), ("sys.exit(7)", 7), ("sys.exit('text')", 1)],
)
def test_sys_exit_of_the_project(project: Project, body: str, status: int) -> None:
    """The status of the bare command; a hook does not hear of it."""
    done = with_env(project, f"{HOOK}\n{body}\n").run("upgrade", "head").check(status)
    assert "was called while the command ran" in done.stderr
    assert not (project.directory / "hooked").exists()


@pytest.mark.parametrize(
    "argv", [("--traceback", "upgrade", "head"), ("upgrade", "head", "--trace")]
)
def test_the_whole_traceback(project: Project, argv: tuple[str, ...]) -> None:
    project.revision("a1", body="raise ValueError('no')")
    done = project.run(*argv).check(1)
    assert "Traceback (most recent call last):" in done.stderr
    assert "alembic/command.py" in done.stderr


def test_a_child_that_env_py_forks_does_not_end_the_run(project: Project) -> None:
    """What it raises is its own, and the lock stays with the parent."""
    project.revision("a1")
    fork_one = """
import os
if os.fork() == 0:
    raise SystemExit(9)
assert os.waitstatus_to_exitcode(os.wait()[1]) == 9
"""
    done = with_env(project, fork_one).run("upgrade", "head").check()
    assert "SystemExit" not in done.stderr
    assert project.at() == ["a1"]


def test_a_second_run_in_one_process(project: Project) -> None:
    """Nothing of the first is left."""
    project.revision("a1")

    def run() -> int:
        for _ in range(2):
            assert reflex_driver.main("reflex db", "1", "", "current") == 0
        return reflex_driver.main("reflex db", "1", "", "upgrade", "nosuch")

    assert fork(run, project.directory, **project.env).check(1).stderr.count("Error:") == 1


def test_what_a_program_finds_of_itself(project: Project) -> None:
    """Projects look for "alembic" in sys.argv[0]."""
    look = """
import os, sys
assert os.path.basename(sys.argv[0]) == "alembic", sys.argv
assert sys.argv[1:] == ["-x", "a=b", "current"], sys.argv
assert sys.orig_argv[1:] == sys.argv
assert sys.modules["__main__"].__file__ == sys.argv[0]
assert sys.modules["__main__"].__spec__ is None
assert os.path.dirname(sys.executable) in os.environ["PATH"].split(os.pathsep)
"""
    with_env(project, look).run("-x", "a=b", "current").check()


def test_descriptors_and_threads_are_the_projects(project: Project) -> None:
    look = """
import os, threading
assert threading.active_count() == 1
"""
    done: Done = with_env(project, look).run("current")
    done.check()
    assert os.path.exists(project.directory)


@pytest.mark.parametrize(
    ("argv", "message", "hint"),
    [
        (
            "upgrade head --waitt 3s",
            "db upgrade: unrecognized arguments: --waitt 3s",
            "is it --wait?",
        ),
        ("init --modles x", "db init: unrecognized arguments: --modles", r"is it --models\?"),
        ("upgrade head extra", "db upgrade: unrecognized arguments: extra", "`reflex db upgrade -"),
        (
            "upgrade head -x a=b",
            "unrecognized arguments: -x a=b",
            "before the command: `reflex db -x",
        ),
        ("--waitt 3s upgrade head", "unrecognized option --waitt", "COMMAND --waitt`"),
        (
            "--nosuch upgrade head",
            "reflex db: unrecognized arguments: --nosuch",
            "`reflex db --help",
        ),
        ("upgrade head --report r", "--report goes with --each", "--each FILE runs the command on"),
        (
            "-n nope heads",
            "the section nope, which alembic.ini does not have",
            "those .*: alembic$",
        ),
        ("-c nope.ini heads", "There is no configuration file nope.ini", ""),
    ],
)
def test_wrong_usage_names_what_may_be_meant(
    project: Project, argv: str, message: str, hint: str
) -> None:
    project.write("alembic.ini", "[alembic]\nscript_location = alembic\n")
    done = project.run(*argv.split()).check(2)
    assert message in done.stderr
    assert re.search(hint and f"^Next: .*{hint}", done.stderr, re.MULTILINE)


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        ("upgrade haed", "is it head? `reflex db history` lists"),
        ("stamp haed", "is it head? "),
        ("show abc124", "is it abc123? "),
        ("upgrade nosuch", "`reflex db history` lists"),
        ("downgrade -100", "there are fewer. `reflex db history -i` shows"),
        ("downgrade -5", "there are fewer. "),
        ("upgrade +5", "there are fewer. "),
        ("revision -m x --autogenerate", "name the models in env.py: "),
        ("check", "name the models in env.py: "),
    ],
)
def test_a_revision_that_is_not_there(project: Project, argv: str, hint: str) -> None:
    project.revision("abc123")
    project.run("upgrade", "head").check()
    assert f"\nNext: {hint}" in project.run(*argv.split()).check(1).stderr


def test_below_a_project_its_place_is_named(project: Project) -> None:
    below = project.directory / "src" / "shop"
    below.mkdir(parents=True)
    done = fork(lambda: reflex_driver.main("reflex db", "1", "", "heads"), below).check(1)
    assert (
        f"Next: the project is in {project.directory}: go there, or give -C ../..\n" in done.stderr
    )


@pytest.mark.parametrize("command", ["upgrade head", "current", "status"])
def test_a_place_for_a_name_needs_a_name(project: Project, command: str) -> None:
    """SQLite would make a file `{}.db`."""
    project.revision("a1")
    url = f"sqlite:///{project.directory}/{{}}.db"
    done = project.run(*command.split(), REFLEX_DB_URL=url).check(2)
    assert "Error: REFLEX_DB_URL has a {}, for a database's name" in done.stderr
    assert not (project.directory / "{}.db").exists()


def test_a_place_that_env_py_fills_is_the_projects(project: Project) -> None:
    env = project.directory / "alembic" / "env.py"
    fill = '.replace("{}", context.get_x_argument(as_dictionary=True)["tenant"])'
    env.write_text(env.read_text().replace('"sqlalchemy.url")', f'"sqlalchemy.url"){fill}'))
    project.revision("a1")
    url = f"sqlite:///{project.directory}/{{}}.db"
    project.run("-x", "tenant=one", "upgrade", "head", REFLEX_DB_URL=url).check()
    assert (project.directory / "one.db").exists()
