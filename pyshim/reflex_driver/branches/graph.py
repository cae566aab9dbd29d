"""All revision files together: heads, and what comes before what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic.script import ScriptDirectory

from .. import exits, internals
from .files import RevisionFile, RevisionFileError, parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from alembic.config import Config


class Graph(dict[str, RevisionFile]):
    """Revision files by their revision."""

    def __init__(self, files: Iterable[RevisionFile]) -> None:
        super().__init__()
        for file in files:
            other = self.setdefault(file.revision, file)
            if other is not file:
                raise RevisionFileError(
                    f"{other.name} and {file.name} have the same revision {file.revision}; "
                    "give one of them another"
                )

    def heads(self) -> list[str]:
        """The revisions that no other follows, sorted."""
        followed = {parent for file in self.values() for parent in file.parents}
        return sorted(self.keys() - followed)

    def before(self, *revisions: str) -> set[str]:
        """These revisions and all that must be applied before them, dependencies included.

        A dependency may be named by a branch label.
        """
        labelled = {label: file.revision for file in self.values() for label in file.branch_labels}
        found: set[str] = set()
        todo = list(revisions)
        while todo:
            name = todo.pop()
            name = labelled.get(name, name)
            if name in found or name not in self:
                continue
            found.add(name)
            todo += [*self[name].parents, *self[name].depends_on]
        return found

    def named(self, text: str) -> str | None:
        """The revision of this name, or the only one that begins with it, as for Alembic."""
        if text in self:
            return text
        begin = [revision for revision in self if revision.startswith(text)]
        return begin[0] if len(begin) == 1 and text else None

    def missing(self) -> Iterator[tuple[RevisionFile, str]]:
        """Each file whose down_revision no file has, and that revision."""
        for file in self.values():
            for parent in file.parents:
                if parent not in self:
                    yield file, parent


class Locations:
    """The directories in which Alembic looks for revision files, and those files."""

    def __init__(self, config: Config) -> None:
        self._script = ScriptDirectory.from_config(config)
        self.directories = internals.version_locations(self._script)
        self.recursive = bool(self._script.recursive_version_locations)

    def graph(self) -> Graph:
        """The revision files that are here."""
        return Graph(self._files())

    def _files(self) -> Iterator[RevisionFile]:
        seen = set()
        for path in internals.revision_paths(self._script):
            if path.suffix != ".py" or path.resolve() in seen:
                continue
            seen.add(path.resolve())
            file = parse(exits.shown(str(path)), path.read_bytes())
            if file is not None:
                yield file
