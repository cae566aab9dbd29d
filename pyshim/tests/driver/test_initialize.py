"""`reflex db init`: everything or nothing, and what it writes works."""

import os
import re
import resource
import sys
from pathlib import Path

import pytest

import reflex_driver
from reflex_driver import models
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
    def main() -> int:
        if "sqlmodel" in sys.modules:  # by other tests, which have defined tables of theirs
            sys.modules["sqlmodel"].SQLModel.metadata.clear()
        return reflex_driver.main("reflex db", "1", "", *argv)

    return fork(main, directory, REFLEX_DB_URL=f"sqlite:///{directory}/app.db")


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
        found = models.find([spec])
        print(found.imports.strip(), found.target_metadata.splitlines()[-1], sep="\n")
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
            models.find(["m1"])
        print(caught.value)
        return 0

    assert message in fork(find, here).check().stdout


def test_a_sqlmodel(here: Path) -> None:
    pytest.importorskip("sqlmodel")
    (here / "m1.py").write_text("from sqlmodel import SQLModel\n")
    done = run(here, "init", "--models", "m1:SQLModel").check()
    assert done.status == 0
    assert "target_metadata = SQLModel.metadata" in (here / "alembic" / "env.py").read_text()


BASE = """
from sqlalchemy.orm import declarative_base
Base = declarative_base()
"""

TABLE = """
from sqlalchemy import Column, Integer
from {module} import Base
class {name}(Base):
    __tablename__ = "{name}"
    id = Column(Integer, primary_key=True)
"""


def write(directory: Path, **files: str) -> None:
    """Write modules, whose names have __ for a slash."""
    for name, text in files.items():
        path = directory.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def package(directory: Path, base: str = "shop.db") -> None:
    """A base in a module of its own, and tables in two others."""
    (directory / "shop").mkdir(parents=True)
    (directory / "shop" / "__init__.py").touch()
    write(
        directory,
        shop__db=BASE,
        shop__orders=TABLE.format(module=base, name="orders"),
        shop__people__models=TABLE.format(module=base, name="people"),
    )


def tables_of_a_revision(directory: Path) -> list[str]:
    run(directory, "makemigrations", "-m", "one").check()
    (revision,) = (directory / "alembic" / "versions").glob("*.py")
    return re.findall("op.create_table\\('(\\w+)'", revision.read_text())


@pytest.mark.parametrize("argv", [[], ["--models", "shop.db:Base"], ["--models", "shop.db"]])
@pytest.mark.parametrize("src", [False, True])
def test_tables_in_other_modules_than_the_base(here: Path, argv: list[str], src: bool) -> None:
    package(here / "src" if src else here)
    done = run(here, "init", *argv).check()
    assert "shop.db:Base has 2 tables.\n" in done.stdout
    env = (here / "alembic" / "env.py").read_text()
    assert "from shop.db import Base\nimport shop.orders  # noqa: F401" in env
    ini = (here / "alembic.ini").read_text()
    assert f"prepend_sys_path = {'src' if src else '.'}\n" in ini
    assert tables_of_a_revision(here) == ["orders", "people"]


def test_a_directory_src_that_is_not_the_models(here: Path) -> None:
    package(here)
    write(here, src__assets__build="print('built')\n")
    run(here, "init").check()
    assert "prepend_sys_path = .\n" in (here / "alembic.ini").read_text()
    assert tables_of_a_revision(here) == ["orders", "people"]


def test_several_models(here: Path) -> None:
    package(here)
    write(here, other=MODELS)
    options = ["--models", "shop.db:Base", "--models", "other:Base"]
    done = run(here, "init", *options).check()
    assert "shop.db:Base has 2 tables.\nother:Base has 1 table.\n" in done.stdout
    assert sorted(tables_of_a_revision(here)) == ["customer", "orders", "people"]


def test_plain_tables(here: Path) -> None:
    text = """
from sqlalchemy import Column, Integer, MetaData, Table
metadata = MetaData()
Table("shelf", metadata, Column("id", Integer, primary_key=True))
"""
    write(here, tables=text)
    assert "tables:metadata has 1 table.\n" in run(here, "init").check().stdout
    assert tables_of_a_revision(here) == ["shelf"]


def test_bases_that_are_found_and_do_not_go_together(here: Path) -> None:
    write(here, one=MODELS, two=MODELS)
    done = run(here, "init").check()
    assert "choose of --models one:Base, --models two:Base\n" in done.stdout
    assert "target_metadata = None" in (here / "alembic" / "env.py").read_text()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("print('seeded', file=open('ran', 'w'))\n", ""),
        ("for _ in range(2):\n    open('ran', 'w')\n", ""),
        ("with open('ran', 'w'):\n    pass\n", ""),
        ("x = 1 / 0\n", " (ZeroDivisionError: division by zero)"),
    ],
)
def test_a_script_is_named_and_not_run(here: Path, text: str, why: str) -> None:
    package(here)
    write(here, seed=TABLE.format(module="shop.db", name="seed") + text)
    done = run(here, "init").check()
    assert f"Not imported, though tables are defined there: seed.py{why}\n" in done.stdout
    assert not (here / "ran").exists()
    assert tables_of_a_revision(here) == ["orders", "people"]


def test_a_base_without_tables_is_said_to_have_none(here: Path) -> None:
    write(here, base=BASE)
    done = run(here, "init", "--models", "base:Base").check()
    assert "base:Base has 0 tables. Models count once they are imported" in done.stdout


def test_flask_sqlalchemys_db(here: Path) -> None:
    pytest.importorskip("flask_sqlalchemy")
    db = "from flask_sqlalchemy import SQLAlchemy\ndb = SQLAlchemy()\n"
    user = """
from shop.db import db
class User(db.Model):
    id = db.Column(db.Integer, primary_key=True)
"""
    write(here, shop__db=db, shop__user=user)
    assert "shop.db:db has 1 table.\n" in run(here, "init").check().stdout
    assert "target_metadata = db.metadata" in (here / "alembic" / "env.py").read_text()
    assert tables_of_a_revision(here) == ["user"]


def test_sqlmodels_tables_are_found(here: Path) -> None:
    pytest.importorskip("sqlmodel")
    hero = """
import sqlmodel
class Hero(sqlmodel.SQLModel, table=True):
    id: int = sqlmodel.Field(primary_key=True)
"""
    write(here, heroes=hero)
    assert "heroes:Hero has 1 table.\n" in run(here, "init").check().stdout
    assert tables_of_a_revision(here) == ["hero"]


def test_the_next_step_names_the_variable_that_is_not_set(here: Path) -> None:
    done = fork(lambda: reflex_driver.main("reflex db", "1", "", "init"), here).check()
    assert "Next:\n  export REFLEX_DB_URL=postgresql+psycopg://USER:" in done.stdout


def test_a_metadata_without_tables_drops_none(here: Path) -> None:
    package(here)
    run(here, "init").check()
    tables_of_a_revision(here)
    run(here, "upgrade", "head").check()
    env = here / "alembic" / "env.py"
    env.write_text(re.sub("import shop.*\n", "", env.read_text()))
    done = run(here, "makemigrations", "-m", "two").check(2)
    assert "Error: The revision would drop every table of the database (2), because" in done.stderr
    assert len(list((here / "alembic" / "versions").glob("*.py"))) == 1
    assert "would drop" not in run(here, "check").check(1).stderr
    run(here, "revision", "--autogenerate", "-m", "two", "--allow-empty-models").check()
    assert len(list((here / "alembic" / "versions").glob("*.py"))) == 2


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
