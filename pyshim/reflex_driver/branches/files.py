"""One revision file: what it says of its place among the others, and how that is changed.

A file is parsed by Python's `ast` and never imported. An edit replaces the value of
`down_revision` and the line "Revises:" of the docstring; every other byte stays.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from ..advised import AdvisedError

if TYPE_CHECKING:
    from collections.abc import Sequence

_REVISES = re.compile(r"^(Revises:)[ \t]*(.*?)([ \t\r]*)$", re.MULTILINE)
_CREATED = re.compile(r"^Create Date:\s*(\S.*?)\s*$", re.MULTILINE)
_QUOTE = re.compile(r"[rRuU]?(\"\"\"|'''|\"|')")
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")  # as Python counts lines


class RevisionFileError(AdvisedError):
    """A file that can't be read or edited; the message names it."""


@dataclass(frozen=True)
class RevisionFile:
    """`name` is a path to show and to open, or of a git tree. `created` is the template's date."""

    name: str
    revision: str
    parents: tuple[str, ...]
    depends_on: tuple[str, ...]
    branch_labels: tuple[str, ...]
    created: str
    source: bytes = field(repr=False, compare=False)


def parse(name: str, source: bytes) -> RevisionFile | None:
    """A revision file's content; None for a Python file that is none.

    Raises RevisionFileError where it is no Python, or where a value is no literal.
    """
    tree = _tree(name, source)
    values = _assigned(tree)
    if "revision" not in values:
        return None
    revision = _names(name, "revision", values["revision"])
    if len(revision) != 1:
        raise RevisionFileError(f"{name}: `revision` is not one text")
    created = _CREATED.search(ast.get_docstring(tree, clean=False) or "")
    found = {
        key: _names(name, key, values[key]) if key in values else ()
        for key in ("down_revision", "depends_on", "branch_labels")
    }
    return RevisionFile(
        name,
        revision[0],
        found["down_revision"],
        found["depends_on"],
        found["branch_labels"],
        created[1] if created else "",
        source,
    )


def with_parent(file: RevisionFile, parent: str) -> bytes:
    """The file's content with another `down_revision`, which must be one revision or none.

    Raises RevisionFileError where the result would not say the same of all the rest.
    """
    encoding, text = _decode(file.name, file.source)
    tree = _tree(file.name, file.source)
    values = _assigned(tree)
    if "down_revision" not in values:
        raise RevisionFileError(f"{file.name} has no down_revision to change")
    edits = [_new_value(text, values["down_revision"], values["revision"], parent)]
    first = tree.body[0]
    if ast.get_docstring(tree, clean=False) is not None and isinstance(first, ast.Expr):
        start, end = _span(text, first.value)
        line = _REVISES.search(text[start:end])
        if line is not None:
            edits.append(
                (
                    start + line.start(),
                    start + line.end(),
                    f"{line[1]} {parent}{line[3].lstrip(' ')}",
                )
            )
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    source = text.encode(encoding)
    expected = replace(file, parents=(parent,))
    if parse(file.name, source) != expected:
        raise RevisionFileError(
            f"{file.name} can't be edited safely; change its down_revision by hand"
        )
    return source


def _new_value(text: str, value: ast.expr, revision: ast.expr, parent: str) -> tuple[int, int, str]:
    """Where the value of down_revision is, and the text for it."""
    if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == 1:
        value = value.elts[0]
    start, end = _span(text, value)
    quote = _QUOTE.match(text, start) or _QUOTE.match(text, _span(text, revision)[0])
    mark = quote[1] if quote else '"'
    return start, end, f"{mark}{parent}{mark}"


def _tree(name: str, source: bytes) -> ast.Module:
    try:
        return ast.parse(source, name)
    except (SyntaxError, ValueError) as exc:
        line = getattr(exc, "lineno", None)
        place = f"{name}:{line}" if line else name
        conflict = b"<<<<<<<" in source
        why = "it has conflict markers; resolve them first" if conflict else str(exc)
        raise RevisionFileError(f"{place} is no Python: {why}") from None


def _assigned(tree: ast.Module) -> dict[str, ast.expr]:
    """The last value that the module gives to each name, annotated or not."""
    values: dict[str, ast.expr] = {}
    for statement in tree.body:
        if isinstance(statement, ast.AnnAssign) and statement.value is not None:
            targets: Sequence[ast.expr] = [statement.target]
            value = statement.value
        elif isinstance(statement, ast.Assign):
            targets, value = statement.targets, statement.value
        else:
            continue
        for target in targets:
            if isinstance(target, ast.Name):
                values[target.id] = value
    return values


def _names(file: str, name: str, value: ast.expr) -> tuple[str, ...]:
    """None, a text, or several: what Alembic takes."""
    try:
        found = ast.literal_eval(value)
    except ValueError:
        found = value
    if found is None:
        return ()
    if isinstance(found, str):
        return (found,)
    if isinstance(found, tuple | list | set | frozenset) and all(isinstance(n, str) for n in found):
        return tuple(found)
    raise RevisionFileError(f"{file}:{value.lineno}: `{name}` is not written out as text")


def _decode(name: str, source: bytes) -> tuple[str, str]:
    """The encoding that the file declares (PEP 263), and its text, line endings as they are."""
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(source).readline)
        return encoding, source.decode(encoding)
    except (SyntaxError, UnicodeDecodeError) as exc:
        raise RevisionFileError(f"{name}: {exc}") from None


def _span(text: str, node: ast.expr) -> tuple[int, int]:
    """The places of a node in the text. ast counts lines from 1, and bytes of UTF-8."""
    lines = _LINE.findall(text)
    assert node.end_lineno is not None
    assert node.end_col_offset is not None

    def place(line: int, offset: int) -> int:
        before = lines[line - 1].encode()[:offset].decode()
        return sum(map(len, lines[: line - 1])) + len(before)

    return place(node.lineno, node.col_offset), place(node.end_lineno, node.end_col_offset)
