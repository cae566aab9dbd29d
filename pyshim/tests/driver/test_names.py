"""The command by each of its names, and where its help leads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from reflex_driver import console, overview

PYSHIM = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("script", "name"),
    [
        ("/venv/bin/reflex-db", "reflex-db"),
        ("/venv/bin/reflex-orm", "reflex-orm"),  # uvx reflex-orm
        (r"reflex-orm.exe", "reflex-orm"),
        ("/site-packages/reflex_orm/__main__.py", "reflex-db"),  # python -m reflex_orm
    ],
)
def test_the_name_is_the_scripts(monkeypatch: pytest.MonkeyPatch, script: str, name: str) -> None:
    monkeypatch.setattr(sys, "argv", [script])
    assert console._program() == name


def test_help_names_the_command_and_all_that_it_has() -> None:
    for name in ("reflex-db", "reflex-orm"):
        text = overview.whole(name)
        assert f"\n  {name} [-c FILE]" in text
        assert "\n  version  " in text
        assert "\n  completion  " in text
        assert "reflex db " not in text
    assert "completion" not in overview.whole("reflex db")  # of the program around it


def test_help_leads_to_what_everybody_has() -> None:
    text = overview.whole("reflex-db")
    assert overview.SITE in text
    assert "docs/" not in text  # a wheel has none
    assert ".md" not in text


def test_list_templates_has_our_default(tmp_path: Path) -> None:
    """On a terminal's stderr; the answer on stdout is Alembic's."""
    ours, theirs = os.openpty()
    done = subprocess.run(
        [sys.executable, "-m", "reflex_orm", "list_templates"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(PYSHIM)},
        stdout=subprocess.PIPE,
        stderr=theirs,
        check=True,
        timeout=60,
    )
    os.close(theirs)
    assert b"generic - " in done.stdout
    assert b"reflex" not in done.stdout
    shown = os.read(ours, 1 << 16)
    os.close(ours)
    assert shown.startswith(b"reflex - ")
    assert b"the default" in shown
