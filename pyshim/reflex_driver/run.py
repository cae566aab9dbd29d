"""One command line, from its arguments to its exit status."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING

from . import envfile, exits, failure, kept, script, secrets
from .exits import Outcome
from .signals import Signals

if TYPE_CHECKING:
    from collections.abc import Callable

# The first release that reads pyproject.toml, and in which
# CommandLine.subparsers can be extended.
OLDEST_ALEMBIC = (1, 16)


def run(program: str, version: str, libpython: str, argv: tuple[str, ...]) -> int:
    """See `reflex_driver.main`."""
    secrets.learn_environment()
    if argv[:1] == ("__complete",):  # with a descriptor for the answer
        from . import completion

        return completion.complete(program, *argv[1:])
    if argv[:1] == ("__database",):  # where no process can be forked
        from .each import spawned

        return spawned.main(program, version)
    if argv[:1] == ("version",):
        return _print_versions(version, libpython, short="--short" in argv)
    if len(argv) > 1 and argv[0] == "help":
        argv = (argv[1], "--help")
    if not argv or argv[0] in ("help", "-h", "--help"):
        from . import overview

        return exits.answer(overview.whole(program))
    secrets.dump_no_core()
    script.prepare(argv)
    signals = Signals()
    outcome = listening(signals, program, lambda: _dispatch(program, version, argv, signals))
    status = exits.finish(outcome)
    signals.stop()
    return status


def listening(signals: Signals, program: str, act: Callable[[], Outcome]) -> Outcome:
    """Start to listen to signals, call `act`, and say how it ended. The caller stops it."""
    signals.start()
    try:
        return act()
    except (KeyboardInterrupt, SystemExit) as exc:  # outside of Alembic: at an import
        if isinstance(exc, SystemExit) and not signals.raised:
            raise
        return failure.describe(exc, failure.Run(program, signals))


def _dispatch(program: str, version: str, argv: tuple[str, ...], signals: Signals) -> Outcome:
    problem = load()
    if problem is not None:
        return problem
    from . import options
    from .commandline import CommandLine

    command = CommandLine(program, version, argv)
    parsed = command.parse(argv)
    if isinstance(parsed, Outcome):
        return parsed
    problem = envfile.load(getattr(parsed, "env_file", ""))
    if problem is not None:
        return problem
    if "each" in parsed:
        from . import each

        return each.run(command, parsed, argv, signals)
    if getattr(parsed, "json", False) and parsed.cmd[0].__name__ in options.REPORTED:
        from . import report

        return report.run(command, parsed, signals)
    return command.run(parsed, signals)


def load() -> Outcome | None:
    """Import Alembic and what runs it, once; the answer is why that can't be used."""
    # What is imported stays; looking for garbage in it, most of all when Python ends,
    # is a fifth of a short run. Of this the project could know by the gc module alone.
    gc.disable()
    try:
        problem = _unusable_alembic()
        if problem is not None:
            return problem
        from . import commandline  # noqa: F401

        kept.end(whole=True)
    finally:
        kept.end()
    gc.freeze()
    gc.enable()
    return None


def _unusable_alembic() -> Outcome | None:
    try:
        import alembic.config  # a directory named alembic is not the package
    except Exception as exc:  # noqa: BLE001 - a broken installation raises anything
        return failure.missing_alembic(exc)
    release = tuple(int(part) for part in alembic.__version__.split(".")[:2] if part.isdigit())
    if release < OLDEST_ALEMBIC:
        return failure.old_alembic(alembic.__version__, OLDEST_ALEMBIC)
    return None


def _print_versions(version: str, libpython: str, *, short: bool) -> int:
    from importlib import metadata

    lines = [("reflex", version)]
    if not short:
        python = ".".join(map(str, sys.version_info[:3]))
        lines.append(("Python", f"{python} ({sys.executable})"))
        lines.append(("libpython", libpython or "not used: this process is Python itself"))
        for name in ("Alembic", "SQLAlchemy"):
            try:
                lines.append((name, metadata.version(name)))
            except metadata.PackageNotFoundError:
                lines.append((name, "not installed"))
    return exits.answer("\n".join(f"{name:11} {value}" for name, value in lines))
