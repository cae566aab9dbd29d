"""What is wrong between the revisions' files, where Alembic's own words lead elsewhere."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

from . import exits, internals

if TYPE_CHECKING:
    from collections.abc import Iterable


def explain(exc: BaseException) -> tuple[str, str] | None:
    """What is wrong, and the next step; None where the files are not the reason."""
    missing = internals.missing_revision(exc)
    if missing is not None:
        name, referring, file = missing[0], missing[1], exits.shown(missing[2])
        return (
            f"{referring} ({file}) refers to the revision {name}, and no file has that",
            f"bring the file of {name} back, from version control or from who wrote it; "
            f"or change what {file} refers to",
        )
    if internals.named(exc, "alembic", "CommandError") and str(exc).startswith("Multiple head"):
        return _twins(internals.revision_files(exc))
    return None


def _twins(files: Iterable[str]) -> tuple[str, str] | None:
    """Two files with one id: Alembic warns, goes on with one of them, and may see two heads."""
    places = defaultdict(list)
    for file in files:
        places[_id(file)].append(exits.shown(file))
    for name, same in places.items():
        if name and len(same) > 1:
            return (
                f"The revision {name} is in {len(same)} files: {', '.join(sorted(same))}",
                "take the copy away; if they are two revisions, give one of them another id, "
                "in its `revision` and in the down_revision of what follows it",
            )
    return None


def _id(file: str) -> str:
    """What a file assigns to `revision`, without running it; "" if that can't be told."""
    from .branches.files import RevisionFileError, parse  # which need Alembic

    try:
        found = parse(file, Path(file).read_bytes())
    except (OSError, RevisionFileError):
        return ""
    return found.revision if found else ""
