"""`history --graph`, `--dot`, `--mermaid` and `--json`."""

import json
import re

import pytest

from .running import Project


@pytest.fixture
def branching(project: Project) -> Project:
    """Two branches that are merged, a third that is not, and one that depends on another."""
    project.revision("a1", branch_labels=["main"])
    project.revision("b2", "a1")
    project.revision("c3", "a1")
    project.revision("d4", ("b2", "c3"))
    project.revision("e5", "a1", branch_labels=["side"], depends_on="c3")
    return project


def signs(text: str) -> list[tuple[str, str]]:
    """Each revision of a picture, after its sign."""
    found = [re.match(r"[|/\\_ ]*([*o])[| ]* (\w+)", line) for line in text.splitlines()]
    return [(match[1], match[2]) for match in found if match]


def test_a_line(project: Project) -> None:
    project.revision("a1")
    project.revision("b2", "a1")
    done = project.run("history", "--graph").check()
    assert done.stdout == "* b2 (head), b2 is made\n* a1, a1 is made\n"


def test_branches_and_merges(branching: Project) -> None:
    lines = branching.run("history", "--graph").check().stdout.splitlines()
    text = "\n".join(lines)
    assert "e5 (side) (head) (depends on c3), e5 is made" in text
    assert "d4 (head), d4 is made" in text
    assert "a1 (main), a1 is made" in text
    assert lines[-1] == "* a1 (main), a1 is made"
    merge = next(i for i, line in enumerate(lines) if "d4" in line)
    assert "|\\" in lines[merge + 1]
    assert sum("*" in line for line in lines) == 5


def test_each_revision_is_below_what_follows_it(branching: Project) -> None:
    done = branching.run("history", "--graph").check()
    order = [name for _, name in signs(done.stdout)]
    assert sorted(order) == ["a1", "b2", "c3", "d4", "e5"]
    for parent, child in (("a1", "b2"), ("a1", "c3"), ("b2", "d4"), ("c3", "d4"), ("a1", "e5")):
        assert order.index(child) < order.index(parent)


def test_what_is_applied_is_marked(branching: Project) -> None:
    branching.run("upgrade", "b2").check()
    done = branching.run("history", "-i", "--graph").check()
    found = {name: sign for sign, name in signs(done.stdout)}
    assert found == {"a1": "*", "b2": "*", "c3": "o", "d4": "o", "e5": "o"}
    assert "b2 (current), b2 is made" in done.stdout


def test_dot(branching: Project) -> None:
    branching.write(
        "alembic/versions/b2_.py",
        '"""with "quotes" and \\\\"""\nrevision = "b2"\ndown_revision = "a1"\n',
    )
    lines = branching.run("history", "--dot").check().stdout.splitlines()
    assert lines[0] == "digraph history {"
    assert lines[-1] == "}"
    assert '  "b2" [label="b2\\nwith \\"quotes\\" and \\\\"]' in lines
    for edge in ('"a1" -> "b2"', '"b2" -> "d4"', '"c3" -> "d4"', '"c3" -> "e5" [style=dashed]'):
        assert f"  {edge}" in lines


def test_mermaid(branching: Project) -> None:
    branching.run("upgrade", "b2").check()
    branching.write(
        "alembic/versions/b2_.py",
        '"""<b> & "quotes" #1"""\nrevision = "b2"\ndown_revision = "a1"\n',
    )
    text = branching.run("history", "-i", "--mermaid").check().stdout
    assert text.startswith("flowchart BT\n")
    assert "<br>#60;b#62; #38; #34;quotes#34; #35;1" in text
    assert ":::applied" in text
    assert ":::pending" in text
    assert " -.-> " in text
    plain = branching.run("history", "--mermaid").check().stdout
    assert "classDef" not in plain


def test_a_range(branching: Project) -> None:
    done = branching.run("history", "-r", "b2:d4", "--dot").check().stdout
    assert '"d4"' in done
    assert '"e5"' not in done
    assert '"a1" ->' not in done  # nothing leads to what is not shown
    branching.run("history", "-r", "b2", "--graph").check(1)


def test_json(branching: Project) -> None:
    document = json.loads(branching.run("history", "--json").check().stdout)
    assert sorted(document["heads"]) == ["d4", "e5"]
    records = {record["revision"]: record for record in document["history"]}
    assert sorted(records["d4"]["parents"]) == ["b2", "c3"]
    assert records["e5"]["depends_on"] == ["c3"]
    assert "side" in records["e5"]["branch_labels"]
    assert records["a1"]["file"] == "versions/a1_.py"
    refused = branching.run("history", "-i", "--json").check(2)
    assert "`status --json` has what is current" in refused.stderr


def test_pictures_need_no_database(branching: Project) -> None:
    for option in ("--graph", "--dot", "--mermaid", "--json"):
        branching.run("history", option, REFLEX_DB_URL="postgresql://nowhere/x").check()
    assert not branching.database.exists()


def test_a_project_without_revisions(project: Project) -> None:
    assert project.run("history", "--graph").check().stdout == ""
    assert project.run("history", "--dot").check().stdout.endswith("}\n")
