"""`heads --check` and `heads --with`: whether there is one head, here or after a merge."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from alembic import command

from .. import history
from ..advised import AdvisedError
from ..printing import put
from .files import RevisionFileError
from .git import Git, GitError
from .graph import Graph, Locations

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alembic.config import Config
    from alembic.util import CommandError


def heads(
    config: Config,
    *,
    program: str,
    check: bool,
    other: str | None,
    as_json: bool,
    **options: bool,
) -> None:
    """The command. Raises AdvisedError once the heads are printed."""
    if other is not None:
        locations = Locations(config)
        git = Git(locations)
        graph = Graph(git.files(git.merged_with(other)))
        _print(graph.heads(), as_json=as_json)
        where = f"This branch merged with {other} has"
    else:
        if as_json:
            _print(history.load(config).get_heads(), as_json=True)
        else:
            command.heads(config, **options)
        if not check:
            return
        graph = Locations(config).graph()
        where = "There are"
    found = graph.heads()
    if len(found) > 1:
        files = ", ".join(f"{name} ({graph[name].name})" for name in found)
        merge = f"`git merge {other}`, then " if other else ""
        raise AdvisedError(
            f"{where} {len(found)} heads: {files}",
            f"{merge}`{program} rebase` puts this branch's revisions on top; "
            f"`{program} merge heads` joins the heads by a revision more",
        )


def _print(names: Sequence[str], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"form": history.FORM, "heads": list(names)}, indent=2))
    else:
        put("".join(f"{name} (head)\n" for name in names), end="")


def advise(error: CommandError, config: Config, program: str) -> None:
    """Raise the error with a next step, where one of the heads is this branch's alone."""
    hint = _advice(config, program)
    if hint:
        raise AdvisedError(str(error), hint) from error


def _advice(config: Config, program: str) -> str:
    try:
        locations = Locations(config)
        here, git = locations.graph(), Git(locations)
        upstream = git.upstream()
        if upstream is None:
            return ""
        published = git.published(upstream)
    except (GitError, RevisionFileError):
        return ""
    own = [head for head in here.heads() if head not in published]
    if not own or len(own) == len(here.heads()):
        return ""
    return (
        f"{upstream.name} does not have {', '.join(own)}: "
        f"`{program} rebase` puts it on top of the others"
    )
