"""The graph of the revisions: `history --graph` in a terminal, `--dot` and `--mermaid` in a file.

Each begins with the newest revision, in the order in which Alembic lists them.
With -i, what is applied to the database is marked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from alembic.runtime.environment import EnvironmentContext
from alembic.util import to_tuple

from . import history
from .database_status import compare
from .printing import put
from .screen import GREEN, YELLOW, paint

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import Script, ScriptDirectory


@dataclass(frozen=True)
class _Picture:
    """Revisions, the newest first, and where the database is; None where it was not asked."""

    script: ScriptDirectory
    revisions: list[Script]
    current: frozenset[str]
    applied: frozenset[str] | None


def draw(kind: str, config: Config, *, rev_range: str | None, indicate_current: bool) -> None:
    """The commands `history --graph`, `--dot` and `--mermaid`, by the `kind` of picture."""
    script = history.load(config)
    for picture in _pictures(config, script, rev_range, indicate_current=indicate_current):
        for line in _KINDS[kind](picture):
            put(line)


def _pictures(
    config: Config, script: ScriptDirectory, rev_range: str | None, *, indicate_current: bool
) -> list[_Picture]:
    """One picture. If a database has to be asked: one for each database that env.py configures."""
    if not indicate_current and "current" not in (rev_range or "").split(":"):
        return [_Picture(script, history.walk(script, rev_range), frozenset(), None)]
    found = []

    def look(rows: Sequence[str], _context: MigrationContext) -> list[Any]:
        everything = {revision.revision for revision in history.walk(script)}
        there = compare(script, rows)
        pending = {revision.revision for revision in there.pending}
        # Of a revision that the project does not have, it can't be told what it follows.
        applied = set() if there.unknown else everything - pending
        found.append(
            _Picture(
                script,
                history.walk(script, rev_range, rows),
                frozenset(there.current),
                frozenset(applied),
            )
        )
        return []

    environment = EnvironmentContext(config, script, fn=look, dont_mutate=True)
    with history.answer_kept_clean(), environment:
        script.run_env()
    return found


def _parents(revision: Script) -> list[str]:
    return list(to_tuple(revision.down_revision, default=()))


def _dependencies(picture: _Picture, revision: Script) -> list[str]:
    names = to_tuple(revision.dependencies, default=())
    return [other.revision for other in picture.script.get_revisions(names)]


def _graph(picture: _Picture) -> Iterator[str]:
    """Lines as those of `git log --graph`, each revision beside its sign."""
    lanes: list[str] = []  # what each line leads down to
    shown = {revision.revision for revision in picture.revisions}
    for revision in picture.revisions:
        name = revision.revision
        if name not in lanes:
            lanes.append(name)
        while lanes.count(name) > 1:
            yield from _join(lanes, name)
        place = lanes.index(name)
        yield _row(lanes, place, _sign(picture, name)) + " " + _text(picture, revision)
        parents = [parent for parent in _parents(revision) if parent in shown]
        if not parents:
            yield from _end(lanes, place)
            continue
        lanes[place] = parents[0]
        for parent in reversed(parents[1:]):
            yield _edge(lanes, place, "|\\", "\\")
            lanes.insert(place + 1, parent)


def _row(lanes: list[str], place: int, sign: str) -> str:
    cells = [sign if lane == place else "|" for lane in range(len(lanes))]
    return " ".join(cells)


def _edge(lanes: list[str], place: int, here: str, right: str) -> str:
    """A row in which the lines to the right of `place` move by one column."""
    cells = ["| "] * place + [here] + [" " + right] * (len(lanes) - place - 1)
    return "".join(cells).rstrip()


def _join(lanes: list[str], name: str) -> Iterator[str]:
    """Lead the second line that goes to `name` into the first."""
    first = lanes.index(name)
    second = lanes.index(name, first + 1)
    cells = ["| "] * first + ["|_"] * (second - first - 1) + ["|/"]
    yield "".join(cells + [" /"] * (len(lanes) - second - 1))
    del lanes[second]


def _end(lanes: list[str], place: int) -> Iterator[str]:
    """End the line at `place`. The lines to the right of it move one column to the left."""
    if place < len(lanes) - 1:
        yield "".join(["| "] * place + [" /"] * (len(lanes) - place - 1))
    del lanes[place]


def _sign(picture: _Picture, name: str) -> str:
    if picture.applied is None:
        return "*"
    return paint("*", GREEN) if name in picture.applied else paint("o", YELLOW)


def _text(picture: _Picture, revision: Script) -> str:
    marks = [label for label in sorted(revision.branch_labels) if _begins(revision, label)]
    if revision.is_head:
        marks.append("head")
    if revision.revision in picture.current:
        marks.append("current")
    dependencies = _dependencies(picture, revision)
    if dependencies:
        marks.append(f"depends on {', '.join(dependencies)}")
    text = revision.revision + "".join(f" ({mark})" for mark in marks)
    message = history.message(revision)
    return f"{text}, {message}" if message else text


def _begins(revision: Script, label: str) -> bool:
    """Whether the branch has its label from this revision; Alembic gives it to all of them."""
    return label in to_tuple(getattr(revision.module, "branch_labels", None), default=())


def _dot(picture: _Picture) -> Iterator[str]:
    yield "digraph history {"
    yield "  rankdir=BT"
    yield '  node [shape=box, fontname="monospace"]'
    for revision in picture.revisions:
        name = revision.revision
        label = _dot_string(f"{name}\n{history.message(revision)}".strip())
        style = ""
        if picture.applied is not None:
            style = ", style=filled" if name in picture.applied else ", style=dashed"
        if name in picture.current:
            style += ", penwidth=2"
        yield f"  {_dot_string(name)} [label={label}{style}]"
    for child, parent, follows in _edges(picture):
        style = "" if follows else " [style=dashed]"
        yield f"  {_dot_string(parent)} -> {_dot_string(child)}{style}"
    yield "}"


def _dot_string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _mermaid(picture: _Picture) -> Iterator[str]:
    yield "flowchart BT"
    # A revision's name may be a word of Mermaid's own.
    numbers = {revision.revision: f"r{n}" for n, revision in enumerate(picture.revisions)}
    for revision in picture.revisions:
        name = revision.revision
        message = history.message(revision)
        text = _mermaid_text(name) + (f"<br>{_mermaid_text(message)}" if message else "")
        style = ""
        if picture.applied is not None:
            style = ":::applied" if name in picture.applied else ":::pending"
        yield f'  {numbers[name]}["{text}"]{style}'
    for child, parent, follows in _edges(picture):
        yield f"  {numbers[parent]} {'-->' if follows else '-.->'} {numbers[child]}"
    if picture.applied is not None:
        yield "  classDef applied fill:#d5f5d5,stroke:#2a2,color:#000"
        yield "  classDef pending stroke-dasharray:4"


def _mermaid_text(text: str) -> str:
    # Mermaid's entities: https://mermaid.js.org/syntax/flowchart.html#entity-codes-to-escape-characters
    for character in "#&<>\"'`":
        text = text.replace(character, f"\0{ord(character)};")
    return text.replace("\0", "#")


def _edges(picture: _Picture) -> Iterator[tuple[str, str, bool]]:
    """Child, parent, and whether it follows it; else it depends on it."""
    shown = {revision.revision for revision in picture.revisions}
    for revision in picture.revisions:
        for parent in _parents(revision):
            if parent in shown:
                yield revision.revision, parent, True
        for other in _dependencies(picture, revision):
            if other in shown:
                yield revision.revision, other, False


_KINDS = {"graph": _graph, "dot": _dot, "mermaid": _mermaid}
