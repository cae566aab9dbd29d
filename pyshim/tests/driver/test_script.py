"""What a program finds around it: the same as under the script `alembic`."""

from pathlib import Path

import pytest

from .running import Project, finish, python


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


def test_a_loop_of_calls_maps_no_memory_in_each_turn(tmp_path: Path) -> None:
    """At no depth of calls: Python's chunks of frames end somewhere (python/cpython#142183)."""
    pytest.importorskip("resource", reason="page faults are counted by the module resource")
    project = Project(tmp_path / "app")
    project.write(
        "alembic/env.py",
        """
            import resource

            turn = eval(f"lambda: max({', '.join('0' * 99)})")  # needs more than faults does

            def faults(depth):
                if depth:
                    return faults(depth - 1)
                before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
                for _ in range(300):
                    turn()
                return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

            print(max(map(faults, range(200))))
        """,
    )
    assert int(finish(project.start("current")).check().stdout) < 300
