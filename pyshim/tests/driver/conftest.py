"""What the driver's tests share; see running.py."""

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from reflex_driver.run import load

from .running import Project

# Once, so that forks have it. Alembic keeps the stdout that there is when it is imported,
# which must be the process's and not pytest's.
with contextlib.redirect_stdout(sys.__stdout__):
    assert load() is None


@pytest.fixture
def project(tmp_path: Path) -> Project:
    directory = tmp_path / "project"
    return Project(directory)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that others can enter; pytest's own keep them out."""
    path = Path(tempfile.mkdtemp())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)
