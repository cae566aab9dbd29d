"""What a user of the Reflex framework types or writes first, and the next step that is said."""

import importlib.util
import re
import shutil

import pytest

from .running import Project

# Asked before a test has a module of this name.
REFLEX = importlib.util.find_spec("reflex") is not None

STOCK = """\
from alembic import context
from sqlalchemy import create_engine
target_metadata = None
with create_engine(context.config.get_main_option("sqlalchemy.url")).connect() as connection:
    context.configure(connection=connection, target_metadata=target_metadata)
    with context.begin_transaction():
        context.run_migrations()
"""


def next_step(stderr: str) -> str:
    (step,) = [line for line in stderr.splitlines() if line.startswith("Next: ")]
    return step.removeprefix("Next: ")


def test_makemigrations_where_reflex_read_no_env_py(project: Project) -> None:
    project.write("alembic/env.py", STOCK)
    project.write("rxconfig.py", "import reflex as rx\nconfig = rx.Config(app_name='shop')\n")
    done = project.run("makemigrations", "--message", "likes").check(1)
    step = next_step(done.stderr)
    assert "`from shop.shop import Base` and `target_metadata = Base.metadata`" in step
    assert "`import shop.shop`, `from sqlmodel import SQLModel` and" in step
    assert list(project.versions.iterdir()) == []


def test_makemigrations_without_the_framework(project: Project) -> None:
    project.write("alembic/env.py", STOCK)
    step = next_step(project.run("makemigrations", "-m", "likes").check(1).stderr)
    assert "`from shop.models import Base` and `target_metadata = Base.metadata`" in step
    assert "Reflex" not in step


def test_the_apps_module_may_have_another_name(project: Project) -> None:
    project.write("alembic/env.py", STOCK)
    project.write("rxconfig.py", "Config(app_name='shop', app_module_import='src.web.app')\n")
    assert "`from src.web.app import Base`" in next_step(project.run("check").check(1).stderr)


@pytest.mark.parametrize("word", ["create", "create_all", "create-all"])
def test_create(project: Project, word: str) -> None:
    step = next_step(project.run(word).check(2).stderr)
    assert step.startswith(
        "`reflex db makemigrations` writes a revision, `reflex db migrate` applies it."
    )


@pytest.mark.parametrize(
    ("code", "step"),
    [
        ("import reflex as rx\nrx.Model", "rx.Model has left Reflex: derive the models from"),
        ("from reflex import Model", "rx.Model has left Reflex: derive the models from"),
        ("from reflex.model import ModelRegistry", "rx.ModelRegistry has left Reflex: derive"),
        ("import reflex as rx\nrx.session()", "`import reflex_orm as orm` and `orm.session()`"),
        ("import reflex as rx\nrx.asession()", "`import reflex_orm as orm` and `orm.asession()`"),
    ],
)
def test_what_has_left_reflex(project: Project, code: str, step: str) -> None:
    """With a module that is named as the framework is, and has none of it any more."""
    project.write("reflex/__init__.py", "")
    project.write("reflex/model.py", "")
    project.write("alembic/env.py", f"import sys\nsys.path.insert(0, '.')\n{code}\n")
    done = project.run("upgrade", "head").check(1)
    assert step in next_step(done.stderr)
    assert re.search(r"Error: stopped at alembic/env.py:\d+, before any revision", done.stderr)


@pytest.mark.parametrize("code", ["import reflex as rx\nrx.Mode", "from reflex import Other"])
def test_what_reflex_never_had_is_no_such_thing(project: Project, code: str) -> None:
    project.write("reflex/__init__.py", "")
    project.write("alembic/env.py", f"import sys\nsys.path.insert(0, '.')\n{code}\n")
    assert next_step(project.run("upgrade", "head").check(1).stderr) == (
        "--traceback shows every frame"
    )


RX_MODEL = """
import reflex as rx

class Entry(rx.Model, table=True):
    author: str
"""

MOVED = """
import reflex as rx
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

class Base(DeclarativeBase):
    pass

class Entry(Base):
    __tablename__ = "entry"
    id: Mapped[int] = mapped_column(primary_key=True)
"""


@pytest.fixture
def app(project: Project) -> Project:
    """A directory with a Reflex app that is called shop, and without Alembic."""
    shutil.rmtree(project.directory / "alembic")
    project.write("rxconfig.py", "import reflex as rx\nconfig = rx.Config(app_name='shop')\n")
    project.write("shop/__init__.py", "")
    return project


def test_init_without_models_proposes_the_apps(app: Project) -> None:
    done = app.run("init").check()
    assert "Name your models in alembic/env.py.\nFor this Reflex app: " in done.stdout
    assert "`from shop.shop import Base` and `target_metadata = Base.metadata`" in done.stdout


@pytest.mark.skipif(not REFLEX, reason="Reflex is not installed")
@pytest.mark.parametrize(
    ("models", "source", "target"),
    [
        ("shop", RX_MODEL, "rx.ModelRegistry.get_metadata()"),
        ("shop.shop", RX_MODEL, "rx.ModelRegistry.get_metadata()"),
        ("shop", MOVED, "Base.metadata"),
        ("shop.shop:rx.ModelRegistry", RX_MODEL, "rx.ModelRegistry.get_metadata()"),
        (
            "shop:rx.ModelRegistry",
            f"{RX_MODEL}\n{MOVED.replace('entry', 'moved')}\nrx.ModelRegistry.register(Base)",
            "rx.ModelRegistry.get_metadata()",
        ),
    ],
)
def test_init_takes_what_the_framework_has(
    app: Project, models: str, source: str, target: str
) -> None:
    app.write("shop/shop.py", source)
    app.run("init", "--models", models).check()
    env = (app.directory / "alembic" / "env.py").read_text()
    assert "\nfrom shop.shop import " in env
    assert f"\ntarget_metadata = {target}\n" in env
    app.run("makemigrations", "-m", "first").check()
    (revision,) = (app.directory / "alembic" / "versions").glob("*.py")
    assert revision.read_text().count("op.create_table(") == source.count("class Entry(")
    app.run("migrate").check()
    assert app.run("check").check().stdout.endswith("No new upgrade operations detected.\n")
