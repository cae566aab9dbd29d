"""`--each` where no process can be forked, as on Windows and macOS."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

from .running import LIMIT, Project, ended, finish, program

# A thread that runs is one of the reasons for it.
START = """\
import sys, threading
threading.Thread(target=threading.Event().wait, daemon=True).start()
from reflex_driver import main
sys.exit(main("reflex db", "0", "", *sys.argv[1:]))
"""


def start(project: Project, *words: str) -> "subprocess.Popen[str]":
    project.env["REFLEX_DB_URL"] = f"sqlite:///{project.directory}/{{}}.db"
    project.write("list", "one\ntwo\n")
    words = ("upgrade", "head", "--each", "list", *words)
    return program(START, project.directory, *words, **project.env)


def sleeping(project: Project) -> Path:
    """A revision that sleeps; the answer is the file that it then has written its pid to."""
    body = "import os, time\nopen('started', 'a').write(f'{os.getpid()}\\n')\ntime.sleep(120)"
    project.revision("a", body=f"op.execute('CREATE TABLE half (i INTEGER)')\n{body}")
    return project.directory / "started"


def wait_until(what: str, is_so: object) -> None:
    assert callable(is_so)
    deadline = time.monotonic() + LIMIT
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.01)


def test_what_each_prints_and_answers(project: Project) -> None:
    body = (
        "import os\nprint('schön', os.getppid(), os.getpid())\n"
        "1 / ('two' not in os.environ['REFLEX_DB_URL'])"
    )
    project.revision("a", body=body)
    done = finish(start(project, "--keep-going", "-v")).check(1)
    assert re.search("^ok +one  <base> -> a", done.stdout, re.M)
    assert re.search("^failed +two ", done.stdout, re.M)
    assert "two: ZeroDivisionError: division by zero" in done.stderr
    printed = re.findall("schön ([0-9]+) ([0-9]+)", done.stderr)
    assert len({parent for parent, _ in printed}) == 1
    assert len({child for _, child in printed}) == 2, done.stderr


def test_the_last_megabyte_of_what_one_prints(project: Project) -> None:
    project.revision("a", body="print('first'); print('x' * 3_000_000); print('last')")
    done = finish(start(project, "-v")).check()
    assert "one: [...]" in done.stderr
    assert "first" not in done.stderr
    assert "one: last" in done.stderr


def test_a_signal_is_passed_on(project: Project) -> None:
    started = sleeping(project)
    process = start(project, "--jobs", "1")
    with ended(process):
        wait_until("it begins", started.exists)
        process.send_signal(signal.SIGTERM)
        stdout, stderr = process.communicate(timeout=LIMIT)
    assert process.returncode == 143, stderr
    # The words after the semicolon are the process's own, which had the time for them.
    assert re.search("^interrupted one  <base> -> .*  terminated; this database", stdout, re.M)


def test_it_ends_with_its_parent(project: Project) -> None:
    started = sleeping(project)
    process = start(project, "--jobs", "1")
    with ended(process):
        wait_until("it begins", started.exists)
        process.kill()
    pid = int(started.read_text())

    def is_gone() -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"

    wait_until("its process ends", is_gone)
