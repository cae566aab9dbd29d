"""Lead random histories through Alembic: what its version table holds at each turn.

Each line of the answer is a JSON document: a history as `reflex db history --json`
writes it (all of it, or as it was when it was shorter), the rows of the version
table, and the revisions that were really applied.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import create_engine

SCRIPT = """
revision = {id!r}
down_revision = {parents!r}
depends_on = {needs!r}
def upgrade(): pass
def downgrade(): pass
"""


def project(rng: random.Random, directory: Path) -> ScriptDirectory:
    versions = directory / "versions"
    versions.mkdir()
    ids: list[str] = []
    for n in range(rng.randint(2, 12)):
        pick = lambda most: tuple(rng.sample(ids, min(len(ids), rng.choice(most))))  # noqa: E731
        parents = pick([0, 1, 1, 1, 1, 2])
        needs = tuple(n for n in pick([0, 0, 0, 1, 2]) if n not in parents)
        text = SCRIPT.format(id=f"r{n}", parents=parents or None, needs=needs or None)
        (versions / f"r{n}.py").write_text(text)
        ids.append(f"r{n}")
    return ScriptDirectory(directory)


def document(revisions: list[Script]) -> dict[str, object]:
    parents = {p for r in revisions for p in r._versioned_down_revisions}
    return {
        "form": 1,
        "heads": [r.revision for r in revisions if r.revision not in parents],
        "history": [
            {
                "revision": r.revision,
                "parents": list(r._versioned_down_revisions),
                "depends_on": list(r._resolved_dependencies),
                "branch_labels": sorted(r.branch_labels),
                "message": "",
                "date": None,
                "file": f"versions/{r.revision}.py",
            }
            for r in revisions
        ],
    }


def lead(rng: random.Random, script: ScriptDirectory) -> None:
    revisions = list(script.walk_revisions())[::-1]
    ids = [r.revision for r in revisions]
    applied: set[str] = set()

    def note(*, step: object, **_: object) -> None:
        up = step.up_revision_ids  # type: ignore[attr-defined]
        (applied.update if step.is_upgrade else applied.difference_update)(up)  # type: ignore[attr-defined]

    with create_engine("sqlite://").connect() as connection:
        for _ in range(6):
            back = rng.random() < 0.3
            target = rng.choice([*ids, "base"] if back else [*ids, "heads"])
            move = script._downgrade_revs if back else script._upgrade_revs
            context = MigrationContext.configure(
                connection,
                opts={
                    "fn": lambda rev, _, move=move, target=target: move(target, rev),
                    "on_version_apply": [note],
                },
            )
            try:
                context.run_migrations()
            except CommandError:  # there is no such way from here
                continue
            except (KeyError, AssertionError):  # a history that Alembic can't keep account of
                return
            rows = list(context.get_current_heads())
            for known in {len(revisions), rng.randint(1, len(revisions))}:
                case = {
                    "document": document(revisions[:known]),
                    "rows": rows,
                    "applied": sorted(applied),
                }
                print(json.dumps(case))


def main() -> None:
    for seed in range(int(sys.argv[1])):
        with tempfile.TemporaryDirectory() as directory:
            rng = random.Random(seed)
            lead(rng, project(rng, Path(directory)))


main()
