"""What a program finds around it: the same as under the script `alembic`."""

from pathlib import Path

from .running import python


def test_a_script_behind_a_link_is_found_where_it_is(tmp_path: Path) -> None:
    """As in a deploy whose directory `current` is a link: Python resolves it."""
    scripts = tmp_path / "release" / "bin"
    scripts.mkdir(parents=True)
    (scripts / "alembic").write_text("#!/usr/bin/env python\nimport sys; print(sys.path[0])\n")
    (tmp_path / "current").symlink_to("release")
    text = """
        import subprocess, sys
        from reflex_driver import script
        run = [sys.executable, sys.argv[1] + "/alembic"]
        theirs = subprocess.run(run, capture_output=True, text=True).stdout.strip()
        sys.executable = sys.argv[1] + "/python"
        script.prepare([])
        print(theirs, sys.path[0], sep="\\n")
    """
    done = python(text, tmp_path, str(tmp_path / "current" / "bin")).check()
    theirs, ours = done.stdout.splitlines()
    assert ours == theirs
