"""`reflex db init`: everything or nothing, and what it writes works."""

import os
import resource
from pathlib import Path

import pytest

import reflex_driver
from reflex_driver import initialize
from reflex_driver.usage import UsageError

from .running import Done, fork

MODELS = """
from sqlalchemy import Column, Integer, MetaData, Table
from sqlalchemy.orm import declarative_base, registry

Base = declarative_base()
class Customer(Base):
    __tablename__ = "customer"
    id = Column(Integer, primary_key=True)
"""


@pytest.fixture
def here(tmp_path: Path) -> Path:
    directory = tmp_path / "project"
    directory.mkdir()
    return directory


def run(directory: Path, *argv: str) -> Done:
    url = f"sqlite:///{directory}/app.db"
    return fork(
        lambda: reflex_driver.main("reflex db", "1", "", *argv), directory, REFLEX_DB_URL=url
    )


def left(directory: Path) -> list[str]:
    return sorted(
        p.name for p in directory.iterdir() if p.name not in (".stdout", ".stderr", "__pycache__")
    )


def test_it_works_at_once(here: Path) -> None:
    (here / "models.py").write_text(MODELS)
    done = run(here, "init", "--models", "models").check()
    assert done.stdout.endswith(
        'Next:\n  reflex db revision --autogenerate -m "first tables"\n  reflex db upgrade head\n'
    )
    assert left(here) == ["alembic", "alembic.ini", "models.py"]
    assert "from models import Base\n" in (here / "alembic" / "env.py").read_text()
    run(here, "makemigrations", "-m", "first tables").check()
    (revision,) = (here / "alembic" / "versions").glob("*.py")
    assert "op.create_table" in revision.read_text()
    assert "'customer'" in revision.read_text()
    run(here, "upgrade", "head").check()
    assert run(here, "check").check().stdout == "No new upgrade operations detected.\n"
    run(here, "downgrade", "base").check()


def test_without_models_it_says_where_they_go(here: Path) -> None:
    done = run(here, "init").check()
    assert "Name your models in alembic/env.py." in done.stdout
    assert "target_metadata = None" in (here / "alembic" / "env.py").read_text()
    assert run(here, "-q", "upgrade", "head").check().stdout == ""


def test_an_ini_that_is_there_is_kept(here: Path) -> None:
    (here / "alembic.ini").write_text("[alembic]\nscript_location = db\n")
    done = run(here, "init", "db").check()
    assert "Kept alembic.ini, which was there: its script_location must be db." in done.stdout
    assert (here / "alembic.ini").read_text() == "[alembic]\nscript_location = db\n"


def test_alembics_own_templates(here: Path) -> None:
    run(here, "init", "-t", "generic", "db").check()
    assert "REFLEX_DB_URL" not in (here / "db" / "env.py").read_text()


@pytest.mark.parametrize(
    ("argv", "status", "message"),
    [
        (["-t", "generic", "--models", "models"], 2, "--models goes with reflex's own template"),
        (["-t", "nosuch"], 1, "No such template"),
        (["--models", "nosuch"], 1, "No module named 'nosuch'"),
        (["--models", "models:nosuch"], 2, "models has no nosuch. It holds: Base"),
        (["--models", "../models"], 2, "'../models' is not a module's name"),
        (["--models", "models:Column"], 2, "models:Column: Column is "),
        (["full"], 1, "already exists and is not empty"),
        (["deep/er/alembic", "-t", "nosuch"], 1, "No such template"),
    ],
)
def test_what_can_not_be_leaves_nothing(
    here: Path, argv: list[str], status: int, message: str
) -> None:
    (here / "models.py").write_text(MODELS)
    (here / "full").mkdir()
    (here / "full" / "a file").touch()
    (here / "empty").mkdir()
    done = run(here, "init", *argv).check(status)
    assert message in done.stderr
    assert left(here) == ["empty", "full", "models.py"]
    assert left(here / "full") == ["a file"]


def test_a_disk_without_room_leaves_nothing(here: Path) -> None:
    """Whatever fails, an existing empty directory stays, and stays empty."""
    (here / "db").mkdir()

    def init() -> int:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        return reflex_driver.main("reflex db", "1", "", "init", "db")

    assert "File too large" in fork(init, here).check(1).stderr
    assert left(here) == ["db"]
    assert left(here / "db") == []


HOLDS = """
from sqlalchemy import MetaData
from sqlalchemy.orm import declarative_base, registry
First = declarative_base()
first_metadata = First.metadata
_hidden = declarative_base()
class Table(First):
    __tablename__ = "t"
    from sqlalchemy import Column, Integer
    id = Column(Integer, primary_key=True)
"""


@pytest.mark.parametrize(
    ("source", "spec", "target"),
    [
        (HOLDS, "m1", "target_metadata = First.metadata"),  # one MetaData, its most telling name
        (HOLDS, "m1:first_metadata", "target_metadata = first_metadata"),
        (HOLDS + "every = [First.metadata]\n", "m1:every", "target_metadata = list(every)"),
        (
            HOLDS + "every = (First, MetaData())\n",
            "m1:every",
            'target_metadata = [getattr(item, "metadata", item) for item in every]',
        ),
        (HOLDS + "r = registry()\n", "m1:r", "target_metadata = r.metadata"),
        (
            HOLDS + "class db:\n    Model = First\n",
            "m1:db.Model",
            "target_metadata = db.Model.metadata",
        ),
    ],
)
def test_what_names_the_models(here: Path, source: str, spec: str, target: str) -> None:
    (here / "m1.py").write_text(source)

    def find() -> int:
        models = initialize.find_models(spec)
        print(models.imports.strip(), models.target_metadata.splitlines()[-1], sep="\n")
        return 0

    done = fork(find, here).check()
    name = (spec.partition(":")[2] or "First").partition(".")[0]
    assert done.stdout == f"from m1 import {name}\n{target}\n"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\n", "no declarative base, registry or MetaData in it; name one: --models m1:NAME"),
        (
            HOLDS + "other = MetaData()\n",
            "First, other are all possible; name one: --models m1:First",
        ),
    ],
)
def test_a_module_that_does_not_say_which(here: Path, source: str, message: str) -> None:
    (here / "m1.py").write_text(source)

    def find() -> int:
        with pytest.raises(UsageError) as caught:
            initialize.find_models("m1")
        print(caught.value)
        return 0

    assert message in fork(find, here).check().stdout


def test_a_sqlmodel(here: Path) -> None:
    pytest.importorskip("sqlmodel")
    (here / "m1.py").write_text("from sqlmodel import SQLModel\n")
    done = run(here, "init", "--models", "m1:SQLModel").check()
    assert done.status == 0
    assert "target_metadata = SQLModel.metadata" in (here / "alembic" / "env.py").read_text()


def test_nothing_of_ours_is_needed_afterwards(here: Path) -> None:
    """The bare `alembic` runs it."""
    run(here, "init").check()

    def alembic() -> int:
        import alembic.config

        alembic.config.main(["revision", "-m", "one"])
        alembic.config.main(["upgrade", "head"])
        return 0

    assert not any("reflex_" in p.read_text() for p in (here / "alembic").rglob("*.py"))
    fork(alembic, here, REFLEX_DB_URL="sqlite:///app.db").check()
    assert os.path.exists(here / "app.db")
