"""`rebase`, `heads --check` and `heads --with`, in real git repositories."""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from reflex_driver.branches.files import RevisionFileError, parse, with_parent

from .running import Done, Project
from .test_completion import names as complete

MAKO = '''\
"""${message}

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}
Create Date: ${create_date}

"""
from alembic import op
import sqlalchemy as sa

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = ${repr(branch_labels)}
depends_on = ${repr(depends_on)}

def upgrade():
    op.create_table("t_%s" % revision, sa.Column("id", sa.Integer))

def downgrade():
    op.drop_table("t_%s" % revision)
'''


@dataclass
class Repository:
    """A project in a git repository whose branch main has the revision `first`."""

    project: Project

    def git(self, *arguments: str, status: int | None = 0) -> str:
        nobody = {
            f"GIT_{who}_{what}": "a@b"
            for who in ("AUTHOR", "COMMITTER")
            for what in ("NAME", "EMAIL")
        }
        quiet = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", "GIT_EDITOR": "true"}
        done = subprocess.run(
            ["git", "-c", "init.defaultBranch=main", *arguments],
            cwd=self.project.directory,
            env={**os.environ, **nobody, **quiet},
            capture_output=True,
            text=True,
            check=False,
        )
        assert status is None or done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def commit(self, *names: str) -> None:
        """Write one revision after another, each with Alembic, and commit them."""
        for name in names:
            head = [] if name.partition("@")[1] == "" else ["--head", name.partition("@")[2]]
            name = name.partition("@")[0]
            self.run("revision", "-m", name, "--rev-id", name, *head).check()
        self.git("add", "-A")
        self.git("commit", "-qm", " ".join(names))

    def run(self, *arguments: str, **env: str) -> Done:
        return self.project.run(*arguments, **{"REFLEX_DB_URL": "", **env})

    def heads(self) -> list[str]:
        return [line.split()[0] for line in self.run("heads").check().stdout.splitlines()]

    def path(self, name: str) -> Path:
        (found,) = self.project.versions.glob(f"{name}_*.py")
        return found

    def changed(self) -> list[str]:
        """The lines that are not as in the last commit."""
        lines = self.git("diff", "HEAD", "--unified=0").splitlines()
        return [line for line in lines if line[:1] in "+-" and not line.startswith(("+++", "---"))]


@pytest.fixture
def repository(project: Project) -> Repository:
    project.write("alembic/script.py.mako", MAKO)
    project.write(".gitignore", "app.db\n__pycache__/\n.std*\n")
    repository = Repository(project)
    repository.git("init", "-q")
    repository.commit("first")
    return repository


@pytest.fixture
def forked(repository: Repository) -> Repository:
    """`mine` follows first on the branch feature, `theirs` on main; feature is checked out."""
    repository.git("checkout", "-qb", "feature")
    repository.commit("mine1")
    repository.commit("mine2")
    repository.git("checkout", "-q", "main")
    repository.commit("theirs")
    repository.git("checkout", "-q", "feature")
    return repository


def assert_rebased(repository: Repository) -> None:
    assert repository.heads() == ["mine2"]
    upgraded = repository.run("upgrade", "head", REFLEX_DB_URL="sqlite:///whole.db").check()
    assert upgraded.stderr.count("Traceback") == 0


def test_after_a_merge(forked: Repository) -> None:
    forked.git("merge", "-q", "main")
    assert forked.heads() == ["mine2", "theirs"]
    done = forked.run("rebase").check()
    assert "mine1 follows theirs now, not first: alembic/versions/mine1_mine1.py" in done.stdout
    assert "git add alembic/versions/mine1_mine1.py\n" in done.stdout
    assert forked.changed() == [
        "-Revises: first",
        "+Revises: theirs",
        "-down_revision = 'first'",
        "+down_revision = 'theirs'",
    ]
    assert_rebased(forked)
    assert "there is one head, mine2" in forked.run("rebase").check().stdout


def test_the_schema_is_that_of_merged_heads(forked: Repository) -> None:
    forked.git("merge", "-q", "main")
    forked.git("checkout", "-qb", "joined")
    forked.run("merge", "-m", "joined", "--rev-id", "joined", "heads").check()
    forked.run("upgrade", "head", REFLEX_DB_URL="sqlite:///app.db").check()
    tables = (
        "SELECT sql FROM sqlite_master WHERE name LIKE 't_%' AND name != 't_joined' ORDER BY name"
    )
    joined = forked.project.rows(tables)
    forked.git("clean", "-fdq", "alembic")
    forked.project.database.unlink()
    forked.run("rebase").check()
    forked.run("upgrade", "head", REFLEX_DB_URL="sqlite:///app.db").check()
    assert forked.project.rows(tables) == joined
    assert len(joined) == 4


def test_in_the_middle_of_a_merge(forked: Repository) -> None:
    forked.git("merge", "-q", "--no-commit", "main")
    done = forked.run("rebase").check()
    assert "then git merge --continue" in done.stdout
    forked.git("commit", "-aqm", "merged")
    assert_rebased(forked)


def test_main_merges_the_feature(forked: Repository) -> None:
    """Ours and theirs are swapped: what main has stays below."""
    forked.git("checkout", "-q", "main")
    forked.git("merge", "-q", "--no-commit", "feature")
    forked.run("rebase").check()
    assert_rebased(forked)
    forked.git("checkout", "-qf", "main")
    forked.git("reset", "-q", "--hard")
    forked.git("merge", "-q", "feature")
    forked.run("rebase").check()
    assert_rebased(forked)


def test_after_a_git_rebase(forked: Repository) -> None:
    forked.git("rebase", "-q", "main")
    forked.run("rebase").check()
    assert_rebased(forked)


def test_in_the_middle_of_a_git_rebase(forked: Repository) -> None:
    """A conflict in another file stops git."""
    forked.project.write("notes", "mine")
    forked.git("add", "-A")
    forked.git("commit", "-qm", "notes")
    forked.git("checkout", "-q", "main")
    forked.project.write("notes", "theirs")
    forked.git("add", "-A")
    forked.git("commit", "-qm", "notes")
    forked.git("checkout", "-q", "feature")
    forked.git("rebase", "-q", "main", status=1)
    done = forked.run("rebase").check()
    assert "then git rebase --continue" in done.stdout
    forked.project.write("notes", "both")
    forked.git("add", "-A")
    forked.git("rebase", "--continue")
    assert_rebased(forked)


def test_the_remote_tells_what_is_published(forked: Repository, tmp_path: Path) -> None:
    """A local main may be old, and a clone has no other branch."""
    clone = Repository(Project(tmp_path / "clone"))
    shutil.rmtree(clone.project.directory)
    forked.git("checkout", "-q", "main")
    forked.git("clone", "-q", str(forked.project.directory), str(clone.project.directory))
    clone.git("checkout", "-q", "feature")
    clone.git("branch", "-qD", "main")
    hint = clone.run("rebase").check(1).stderr
    assert "origin/main has revisions that are not here: theirs" in hint
    assert "`git merge origin/main` first" in hint
    clone.git("merge", "-q", "origin/main")
    clone.run("rebase").check()
    assert_rebased(clone)


def test_a_squash_merge(forked: Repository) -> None:
    """The branch main has mine1 by another commit; only mine2 is this branch's own."""
    forked.git("checkout", "-qb", "squashed", "feature")
    forked.commit("mine3")
    forked.git("checkout", "-q", "main")
    forked.git("tag", "before")
    forked.git("merge", "-q", "feature")
    forked.run("rebase").check()
    forked.git("commit", "-aqm", "rebased")
    forked.git("reset", "-q", "--soft", "before")
    forked.git("commit", "-qm", "squashed")
    forked.commit("theirs2")
    forked.git("checkout", "-q", "squashed")
    forked.git("merge", "-q", "-X", "theirs", "main")
    assert forked.heads() == ["mine3", "theirs2"]
    assert "mine3 follows theirs2" in forked.run("rebase").check().stdout
    assert forked.heads() == ["mine3"]


def test_a_cherry_pick(forked: Repository) -> None:
    """The branch main has taken mine1 alone."""
    forked.git("checkout", "-q", "main")
    forked.git("cherry-pick", "feature~1")
    forked.run("rebase", "--onto", "theirs").check()
    forked.git("commit", "-aqm", "rebased")
    assert forked.heads() == ["mine1"]
    forked.git("checkout", "-q", "feature")
    forked.git("merge", "-q", "-X", "theirs", "main")
    assert "there is one head, mine2" in forked.run("rebase").check().stdout


def test_three_branches(forked: Repository) -> None:
    """Two features are merged here: one line goes on the other."""
    forked.git("checkout", "-q", "-b", "other", "main~1")
    forked.commit("other")
    forked.git("checkout", "-q", "feature")
    forked.git("merge", "-q", "other", "main")
    assert len(forked.heads()) == 3
    forked.run("rebase").check()
    assert len(forked.heads()) == 1
    assert len(forked.changed()) == 8


def test_without_git(forked: Repository) -> None:
    forked.git("merge", "-q", "main")
    shutil.rmtree(forked.project.directory / ".git")
    refused = forked.run("rebase").check(1).stderr
    assert "--onto REVISION" in refused
    forked.run("rebase", "--onto", "the").check()
    assert_rebased(forked)
    assert "there is one head, mine2" in forked.run("rebase").check().stdout


def test_a_published_revision_stays(forked: Repository) -> None:
    forked.git("merge", "-q", "main")
    refused = forked.run("rebase", "--onto", "mine2").check(1).stderr
    assert "theirs is published" in refused
    assert "merge heads" in refused
    assert forked.changed() == []


def test_an_applied_revision_stays(forked: Repository) -> None:
    """With `theirs` below it, the database would never get that."""
    url = "sqlite:///app.db"
    forked.run("upgrade", "head", REFLEX_DB_URL=url).check()
    forked.git("merge", "-q", "main")
    refused = forked.run("rebase", REFLEX_DB_URL=url).check(1).stderr
    assert "has mine1 already" in refused
    assert forked.changed() == []
    forked.run("downgrade", "base", REFLEX_DB_URL=url).check()
    forked.run("rebase", REFLEX_DB_URL=url).check()
    assert_rebased(forked)


def test_a_database_that_is_not_reached(forked: Repository) -> None:
    forked.git("merge", "-q", "main")
    forked.run("rebase", REFLEX_DB_URL="sqlite:////no/such/app.db").check(4)
    assert forked.changed() == []


def test_completion(forked: Repository) -> None:
    """What --onto takes is a revision."""
    forked.git("merge", "-q", "main")
    assert "theirs" in complete(forked.project, "rebase", "--onto", "th")
    assert set(complete(forked.project, "heads", "--w")) == {"--with"}


def test_dry_run(forked: Repository) -> None:
    forked.git("merge", "-q", "main")
    done = forked.run("rebase", "--dry-run").check()
    assert "-down_revision = 'first'\n+down_revision = 'theirs'\n" in done.stdout
    assert done.stdout.startswith("--- a/alembic/versions/mine1_mine1.py\n")
    assert forked.changed() == []


def test_merge_revisions_and_branches_stay(forked: Repository) -> None:
    forked.git("merge", "-q", "main")
    forked.run("merge", "-m", "joined", "--rev-id", "joined", "heads").check()
    forked.git("add", "-A")
    forked.git("commit", "-qm", "joined")
    forked.git("checkout", "-q", "main")
    forked.commit("theirs2")
    forked.git("checkout", "-q", "feature")
    forked.git("merge", "-q", "main")
    assert "joins this branch with theirs" in forked.run("rebase").check(1).stderr
    assert forked.changed() == []


def test_a_branch_with_a_label_stays(repository: Repository) -> None:
    repository.git("checkout", "-qb", "feature")
    repository.run("revision", "-m", "l", "--rev-id", "lab", "--branch-label", "side").check()
    repository.git("add", "-A")
    repository.git("commit", "-qm", "labelled")
    repository.git("checkout", "-q", "main")
    repository.commit("theirs")
    repository.git("checkout", "-q", "feature")
    repository.git("merge", "-q", "main")
    assert "begins the branch side" in repository.run("rebase").check(1).stderr


def test_two_first_revisions(repository: Repository) -> None:
    """Both branches have begun the project: there are two bases."""
    repository.git("checkout", "-q", "--orphan", "feature")
    repository.path("first").unlink()
    repository.commit("mine")
    repository.git("checkout", "-q", "main")
    repository.git("merge", "-q", "--allow-unrelated-histories", "--no-commit", "feature")
    assert repository.heads() == ["first", "mine"]
    done = repository.run("rebase").check()
    assert "mine follows first now, not nothing" in done.stdout
    assert repository.heads() == ["mine"]


def test_a_revision_that_the_other_side_needs_stays(forked: Repository) -> None:
    forked.git("merge", "-q", "main")
    path = forked.path("theirs")
    path.write_text(path.read_text().replace("depends_on = None", "depends_on = 'mine1'"))
    refused = forked.run("rebase").check(1).stderr
    assert "theirs needs mine1 before it (depends_on)" in refused


def test_several_directories(forked: Repository) -> None:
    """Found as Alembic finds them: in each of version_locations, and below."""
    forked.git("merge", "-q", "main")
    for name, directory in (("mine1", "a/deep"), ("mine2", "a"), ("theirs", "b")):
        place = forked.project.directory / directory
        place.mkdir(parents=True, exist_ok=True)
        forked.git("mv", str(forked.path(name)), directory)
    forked.project.write(
        "pyproject.toml",
        """\
        [tool.alembic]
        script_location = "alembic"
        version_locations = ["alembic/versions", "a", "b"]
        recursive_version_locations = true
        """,
    )
    forked.git("add", "-A")
    forked.git("commit", "-qm", "moved")
    forked.git("branch", "-qf", "main", "HEAD")
    assert forked.heads() == ["mine2", "theirs"]
    assert "none of them is this branch's alone" in forked.run("rebase").check(1).stderr
    shutil.rmtree(forked.project.directory / ".git")
    done = forked.run("rebase", "--onto", "theirs").check()
    assert "mine1 follows theirs now, not first: a/deep/mine1_mine1.py" in done.stdout
    assert forked.heads() == ["mine2"]


def test_a_branch_that_parts_itself(forked: Repository) -> None:
    forked.commit("mine3@mine2")
    forked.run("revision", "-m", "x", "--rev-id", "minex", "--head", "mine1", "--splice").check()
    forked.git("add", "-A")
    forked.git("commit", "-qm", "x")
    forked.git("merge", "-q", "main")
    refused = forked.run("rebase").check(1).stderr
    assert "This branch itself parts, into mine3, minex" in refused
    assert "merge mine3 minex" in refused


def test_tables_of_both_sides(forked: Repository) -> None:
    for name in ("mine2", "theirs"):
        forked.git("checkout", "-q", "feature" if name == "mine2" else "main")
        path = forked.path(name)
        path.write_text(
            path.read_text().replace(
                "def upgrade():",
                'def upgrade():\n    op.add_column("orders", sa.Column("x", sa.Integer))',
            )
        )
        forked.git("commit", "-aqm", "orders")
    forked.git("checkout", "-q", "feature")
    forked.git("merge", "-q", "main")
    warned = forked.run("rebase", "--dry-run").check().stderr
    assert "table orders: mine2, theirs all change it" in warned


def test_conflict_markers(forked: Repository) -> None:
    forked.git("merge", "-q", "main")
    path = forked.path("mine1")
    path.write_text("<<<<<<< HEAD\n" + path.read_text())
    refused = forked.run("rebase").check(1).stderr
    assert "mine1_mine1.py:1" in refused
    assert "conflict markers" in refused


def test_two_files_with_one_revision(forked: Repository) -> None:
    shutil.copy(forked.path("mine1"), forked.project.versions / "again.py")
    refused = forked.run("rebase").check(1).stderr
    assert "again.py and alembic/versions/mine1_mine1.py have the same revision mine1" in refused


def test_nothing_is_left_beside_the_revisions(forked: Repository) -> None:
    forked.git("merge", "-q", "main")
    before = sorted(forked.project.versions.glob("*.*"))
    forked.path("mine1").chmod(0o640)
    forked.run("rebase").check()
    assert sorted(forked.project.versions.glob("*.*")) == before
    assert forked.path("mine1").stat().st_mode & 0o777 == 0o640


def test_heads_check(forked: Repository) -> None:
    assert forked.run("heads", "--check").check().stdout == "mine2 (head)\n"
    forked.git("merge", "-q", "main")
    done = forked.run("heads", "--check").check(1)
    assert done.stdout.splitlines() == ["mine2 (head)", "theirs (head)"]
    assert "There are 2 heads" in done.stderr
    asked = forked.run("heads", "--check", "--json").check(1)
    assert json.loads(asked.stdout) == {"form": 1, "heads": ["mine2", "theirs"]}
    assert "There are 2 heads" in asked.stderr
    assert "rebase" in done.stderr
    assert "merge heads" in done.stderr


def test_heads_with_another_branch(forked: Repository) -> None:
    done = forked.run("heads", "--with", "main").check(1)
    assert done.stdout.splitlines() == ["mine2 (head)", "theirs (head)"]
    assert "2 heads: mine2 (alembic/versions/mine2_mine2.py), theirs (" in done.stderr
    assert "git merge main" in done.stderr
    assert forked.run("heads", "--with", "HEAD").check().stdout == "mine2 (head)\n"
    assert "git does not know nope" in forked.run("heads", "--with", "nope").check(1).stderr
    forked.git("merge", "-q", "main")
    forked.run("rebase").check()
    forked.git("commit", "-aqm", "rebased")
    assert forked.run("heads", "--with", "main").check().stdout == "mine2 (head)\n"


def test_many_heads_lead_to_rebase(forked: Repository) -> None:
    forked.git("merge", "-q", "main")
    url = "sqlite:///app.db"
    failed = forked.run("upgrade", "head", REFLEX_DB_URL=url).check(1).stderr
    assert "Multiple head revisions" in failed
    assert "main does not have mine2: `reflex db rebase`" in failed
    forked.git("checkout", "-q", "main")
    forked.git("merge", "-q", "feature")
    forked.git("checkout", "-qb", "later")
    failed = forked.run("upgrade", "head", REFLEX_DB_URL=url).check(1).stderr
    assert "merge heads" in failed
    assert "rebase" not in failed


DOC = '"""x\n\nRevises: @\n"""\n'

# @ is what is changed.
FORMS = {
    "as Alembic writes it": DOC + "revision = 'a'\ndown_revision = '@'\ndepends_on = None\n",
    "annotated": DOC + 'revision: str = "a"\ndown_revision: Union[str, None] = "@"\n',
    "Windows line ends": (DOC + 'revision = "a"\ndown_revision = "@"\n').replace("\n", "\r\n"),
    "a tuple": 'revision = "a"\ndown_revision = ("@",)  # one\n',
    "odd": "revision='a';down_revision  =   (\n  '@'  # why\n)\nx = 'before'\n",
    "not ASCII": DOC + 'revision = "a"\nx = "ö", "before"; down_revision = "@"\n',
    "with a byte order mark": "\ufeff" + DOC + 'revision = "a"\ndown_revision = "@"\n',
    "no line end": 'revision = "a"\ndown_revision = """@"""',
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_nothing_else_is_changed(form: str) -> None:
    file = parse("a.py", form.replace("@", "before").encode())
    assert file is not None
    assert file.parents == ("before",)
    assert with_parent(file, "after") == form.replace("@", "after").encode()


def test_a_first_revision_gets_a_parent() -> None:
    file = parse("a.py", b'"""x\n\nRevises: \n"""\nrevision = "a"\ndown_revision = None\n')
    assert file is not None
    assert (
        with_parent(file, "b") == b'"""x\n\nRevises: b\n"""\nrevision = "a"\ndown_revision = "b"\n'
    )


def test_another_encoding() -> None:
    form = "# coding: latin-1\n" + DOC + 'größe = 1; revision = "a"; down_revision = "@"\n'
    file = parse("a.py", form.replace("@", "before").encode("latin-1"))
    assert file is not None
    assert with_parent(file, "after") == form.replace("@", "after").encode("latin-1")


@pytest.mark.parametrize(
    "text",
    ["down_revision = BASE\n", "down_revision = 3\n", "down_revision = f'{x}'\n"],
)
def test_what_is_not_written_out(text: str) -> None:
    with pytest.raises(RevisionFileError, match=r"a\.py:2"):
        parse("a.py", b"revision = 'a'\n" + text.encode())


def test_a_file_that_is_no_revision() -> None:
    assert parse("a.py", b"import sys\n") is None
