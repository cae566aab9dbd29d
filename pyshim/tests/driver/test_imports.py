"""What a command imports."""

import re

import pytest

from .running import Project, finish

OTHERS = {"lock.connection", "lock.mysql", "lock.postgresql", "report", "waiting"}
STATUS = {"database_status", "graph", "initialize", "screen", "status"}


@pytest.mark.parametrize(
    ("command", "needs", "leaves"),
    [
        (["heads"], set(), STATUS | {"lock", "each"}),
        (["current"], set(), STATUS | {"lock", "each"}),
        (["upgrade", "head"], {"lock", "lock.sqlite"}, STATUS | OTHERS | {"each"}),
        (["status"], {"database_status", "status"}, {"graph", "initialize", "each"}),
        (["history", "--dot"], {"graph"}, {"initialize", "each"}),
    ],
)
def test_of_this_package(
    project: Project, command: list[str], needs: set[str], leaves: set[str]
) -> None:
    done = finish(project.start(*command, PYTHONPROFILEIMPORTTIME="1")).check()
    imported = set(re.findall(r"^import time:.*\| +(\S+)$", done.stderr, re.MULTILINE))
    ours = {name.removeprefix("reflex_driver.") for name in imported}
    assert "commandline" in ours
    assert needs <= ours
    assert not leaves & ours
    # Of Python's own, what Alembic does not import.
    assert not imported & {"difflib", "pkgutil", "unicodedata"} or command == ["status"]
