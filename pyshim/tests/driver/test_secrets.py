"""The run's passwords: kept out of what we write, and nothing else changed."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from reflex_driver import secrets

from .running import Done, Project, fork


@pytest.fixture(autouse=True)
def forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_urls", set())
    monkeypatch.setattr(secrets, "_forms", ())
    monkeypatch.setattr(secrets, "_masking", True)  # pytest's stderr stays as it is


def masked(url: str, text: str) -> str:
    secrets.learn(url)
    return secrets.mask(text)


@pytest.mark.parametrize(
    ("password", "written"),
    [
        ("hunter22xy", "hunter22xy"),
        ("p%40ss/w0rd", "p@ss/w0rd"),  # decoded
        ("p%40ssw0rd!", "p%40ssw0rd!"),  # as it stands in the URL
        ("p%40ssw0rd!", "p%40ssw0rd%21"),  # all of it encoded
        ("p%40ssw0rd!", "p%%40ssw0rd!"),  # as configparser shows it
        ("p+ss w0rd", "p+ss+w0rd"),
        ("it's%22me", "it\\'s\"me"),  # repr
        ("%C3%A4%C3%B6%C3%BC-1234", "äöü-1234"),
        ("%C3%A4%C3%B6%C3%BC-1234", "\\u00e4\\u00f6\\u00fc-1234"),  # JSON
    ],
)
def test_each_form_of_a_password(password: str, written: str) -> None:
    url = f"postgresql://app:{password}@db/shop"
    text = f"FATAL: the server said {written} and more"
    assert masked(url, text) == text.replace(written, "***")


@pytest.mark.parametrize("parameter", ["password", "passwd", "sslpassword", "ssl_password"])
def test_passwords_in_the_query(parameter: str) -> None:
    url = f"postgresql://db/shop?user=app&{parameter}=hunter22xy&sslmode=require"
    assert masked(url, "hunter22xy: sslmode=require of app") == "***: sslmode=require of app"


def test_the_urls_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in secrets.VARIABLES:
        monkeypatch.setenv(name, f"postgresql://app:secret-of-{name}@db/shop")
    secrets.learn_environment()
    for name in secrets.VARIABLES:
        assert secrets.mask(f"secret-of-{name}") == "***"


@pytest.mark.parametrize("word", ["postgres", "app", "shop", "1234"])
def test_what_may_be_any_word_is_masked_in_a_passwords_place_only(word: str) -> None:
    url = f"postgresql://app:{word}@db/shop"
    text = f"role {word!r} of database {word} on port {word}"
    assert masked(url, text) == text
    assert secrets.mask(f"postgresql://app:{word}@db/shop") == "postgresql://app:***@db/shop"
    assert secrets.mask(f"password={word} host=db") == "password=*** host=db"
    assert secrets.mask(f"{{'password': '{word}'}}") == "{'password': '***'}"


def test_a_part_of_a_longer_word_is_another_word() -> None:
    url = "postgresql://app:hunter22xy@db/shop"
    assert masked(url, "hunter22xyz ahunter22xy") == "hunter22xyz ahunter22xy"


def test_what_was_not_encoded_and_has_got_elsewhere() -> None:
    text = masked("postgresql://app:first@secondpart9/x@db/shop", 'host "secondpart9" not found')
    assert text == 'host "***" not found'


def test_no_password_no_change() -> None:
    for url in ("", None, "sqlite:///app.db", "postgresql://app@db/shop", "nonsense"):
        secrets.learn(url)
    text = "postgresql://other:password@db/x password=nothing"
    assert secrets.mask(text) == text


def test_lines_of_source_in_a_traceback_are_no_output(tmp_path: Path) -> None:
    source = tmp_path / "env.py"
    source.write_text('url = "hunter22xy"\n')
    text = (
        f'Traceback:\n  File "{source}", line 1, in f\n    url = "hunter22xy"\nError: hunter22xy\n'
    )
    shown = masked("postgresql://app:hunter22xy@db/shop", text)
    assert 'url = "hunter22xy"' in shown
    assert shown.endswith("Error: ***\n")


def _written(*pieces: str, url: str = "postgresql://app:hunter22xy@db/shop") -> Callable[[], int]:
    def write() -> int:
        secrets._masking = False
        secrets.learn(url)
        for piece in pieces:
            sys.stderr.write(piece)
        print("hunter22xy")
        return 0

    return write


def test_stderr_is_masked_and_stdout_is_the_answer(tmp_path: Path) -> None:
    done = fork(_written("password hunter22xy\n"), tmp_path)
    assert done == Done(0, "hunter22xy\n", "password ***\n")


def test_what_is_written_piece_by_piece(tmp_path: Path) -> None:
    """As the traceback module does it."""
    pieces = ["postgresql://app:", "hunter22xy", "@db\n", "password=", "postgres", "\n"]
    done = fork(_written(*pieces), tmp_path)
    assert done.stderr == "postgresql://app:***@db\npassword=postgres\n"
    url = "postgresql://app:postgres@db/shop"
    done = fork(_written(*pieces[3:], url=url), tmp_path)
    assert done.stderr == "password=***\n"


def test_stderr_stays_the_object_that_it_was(tmp_path: Path) -> None:
    def look() -> int:
        secrets._masking = False
        before, write = sys.stderr, sys.stderr.write
        secrets.learn("sqlite:///app.db")
        assert sys.stderr.write == write  # no password, no change
        secrets.learn("postgresql://app:hunter22xy@db/shop")
        assert sys.stderr is before
        assert sys.stderr.write("hunter22xy") == len("hunter22xy")
        return 0

    assert fork(look, tmp_path) == Done(0, "", "***")


def test_the_time_is_linear() -> None:
    secrets.learn("postgresql://app:" + "x@" * 20_000 + "db/shop")
    secrets.mask("x://" + ":" * 50_000 + "@" * 50_000)


def test_a_short_end_of_a_password_that_is_taken_for_a_host() -> None:
    secrets.learn("postgresql://app:p@s5@localhost:5432/shop")
    secrets.learn("postgresql://app:p@a:w7@localhost/shop")
    assert secrets.mask("no host 's5@localhost', s5 @ localhost") == "no host '***', s5 @ localhost"
    assert secrets.mask("int(): 'w7@localhost'") == "int(): '***'"


def test_a_migration_that_shows_its_url(project: Project) -> None:
    """A password in a URL's query that SQLite's driver is not given."""
    project.revision("a1", body="raise ValueError('secret: hunter22xy')")
    url = project.env["REFLEX_DB_URL"]
    lock = "postgresql://app:hunter22xy@db/shop"
    done = project.run("upgrade", "head", "--no-lock", REFLEX_DB_URL=url, REFLEX_DB_LOCK_URL=lock)
    assert "ValueError: secret: ***" in done.check(1).stderr
    assert "hunter22xy" not in done.stderr.replace("raise ValueError('secret: hunter22xy')", "")


def test_the_names_of_a_url_are_no_secrets() -> None:
    """A password may be one of them; what stands in the query is none."""
    for url in (
        "postgresql://longusername1:longusername1@longhostname1/longdatabase1",
        "postgresql://someone:longhostname1@longhostname1/longdatabase1?x=a@b",
        "postgresql://someone:longdatabase1@longhostname1/longdatabase1",
    ):
        secrets.learn(url)
    text = "longusername1 longhostname1 longdatabase1"
    assert secrets.mask(text) == text
    for url in (
        "postgresql://db/shop?password=hunter22xy",
        "postgresql://db?password=first@hunter33xy",
        "postgresql://app:with?hunter44xy@db/shop",
    ):
        secrets.learn(url)
    assert secrets.mask("hunter22xy hunter33xy hunter44xy") == "*** *** ***"
