"""`--each`: the list, the plan, the files, what a person sees, and runs on SQLite."""

import io
import json
import os
import random
import resource
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import reflex_driver
from reflex_driver import each, exits, options
from reflex_driver.each import databases, preload
from reflex_driver.each.databases import Database, ListError, Places, fill, has_placeholder, part
from reflex_driver.each.files import Failed, Report
from reflex_driver.each.view import Result, View
from reflex_driver.exits import Outcome
from reflex_driver.usage import UsageError

from .running import Done, Project, fork

SHARED = "postgresql://app:hunter22@db/all"
TEMPLATE = "postgresql://app:hunter22@db/{}?x=1"
SECRET = "hunter22"


def read(text: str | bytes, places: Places) -> list[Database]:
    return databases.read(io.BytesIO(text.encode() if isinstance(text, str) else text), places)


def same(name: str, url: str, own: bool, line: str, target: str = "") -> Database:
    return Database(name, url, own, line, target)


def of_url(name: str, url: str) -> Database:
    return Database(name, url, True, url)


@pytest.mark.parametrize(
    ("text", "places", "want"),
    [
        (
            "\ufeff# tenants\r\n\r\n  a \r\n",
            Places(TEMPLATE, False),
            [same("a", "postgresql://app:hunter22@db/a?x=1", True, "a")],
        ),
        (
            "ä/b%?",
            Places(TEMPLATE, False),
            [same("ä/b%?", "postgresql://app:hunter22@db/%C3%A4%2Fb%25%3F?x=1", True, "ä/b%?")],
        ),
        (
            "a\nb",
            Places(SHARED, True),
            [same("a", SHARED, False, "a"), same("b", SHARED, False, "b")],
        ),
        ("a", Places("", True), [same("a", "", False, "a")]),
        (
            "a\tpostgresql://u:p@h/d",
            Places("", False),
            [same("a", "postgresql://u:p@h/d", True, "a\tpostgresql://u:p@h/d")],
        ),
        (
            "postgresql+psycopg://u:p@h:5433/d%20e?sslmode=require",
            Places("", False),
            [of_url("h:5433/d e", "postgresql+psycopg://u:p@h:5433/d%20e?sslmode=require")],
        ),
        (
            "postgresql:///d?host=/run/pg",
            Places("", False),
            [of_url("/run/pg/d", "postgresql:///d?host=/run/pg")],
        ),
        (
            "sqlite:////srv/my files/a@b.db",
            Places("", False),
            [of_url("/srv/my files/a@b.db", "sqlite:////srv/my files/a@b.db")],
        ),
        ("a  ->  b2\n", Places("", True), [same("a", "", False, "a", "b2")]),
        ('"a b"', Places("", True), [same("a b", "", False, '"a b"')]),
        (
            "postgresql://u@h/d -> base",
            Places("", False),
            [same("h/d", "postgresql://u@h/d", True, "postgresql://u@h/d", "base")],
        ),
    ],
)
def test_what_a_list_says(text: str, places: Places, want: list[Database]) -> None:
    assert read(text, places) == want


@pytest.mark.parametrize(
    ("problem", "line"),
    [
        ("neither a URL", "a b"),
        ("neither", "host=db password=hunter22 dbname=a"),
        ("nor a name", "a b postgresql://u:hunter22@h/d"),
        ("no {} to put the name", "c"),
        ("not percent-encoded", "postgresql://u:x@hunter22@h/d"),
        ("an @, / or :", "postgresql://u:x@hunter22/y@h/d"),
        ("of the user", "postgresql://u/x:hunter22@h/d"),
        ("not a number", "postgresql://u:hunter22@h:x/d"),
        ("names no database", "postgresql://"),
        ("not plain UTF-8", b"postgresql://u:hunter22@h/\xff"),
        ("the database of its URL", "postgresql://u:hunter22@h/%FF"),
        ("is not plain", "postgresql://u:hunter22@h/a\x1b[31m"),
        ("is that of line 2", "postgresql://x:hunter22@host/first"),
        ("is longer than 64 KB", "postgresql://u:hunter22@h/" + "d" * (64 << 10)),
    ],
)
def test_a_bad_line_is_named_by_its_number_and_not_repeated(
    problem: str, line: str | bytes
) -> None:
    raw = line.encode() if isinstance(line, str) else line
    text = b"# one\npostgresql://u:hunter22@host/first\n\n" + raw + b"\nsecond postgresql://u@h/d\n"
    with pytest.raises(ListError) as caught:
        read(text, Places("postgresql://u:hunter22@h/all", False))
    assert str(caught.value).startswith("line 4: ")
    assert problem in str(caught.value)
    assert SECRET not in str(caught.value)


def test_more_of_the_list() -> None:
    with pytest.raises(ListError):
        read("ä/b c", Places(TEMPLATE, False))
    with pytest.raises(ListError, match="write NAME URL"):
        read("postgresql://u@h/d", Places("", True))
    for text in ("", "\n\n", "# nothing"):
        with pytest.raises(ListError, match="there is no database in the list"):
            read(text, Places("", False))


def test_where_a_name_goes() -> None:
    argv = ["-x", "tenant={}", "-xschema={}_v1", "-q", "upgrade", "{}", "--", "-x", "{}"]
    want = ["-x", "tenant=a", "-xschema=a_v1", "-q", "upgrade", "{}", "--", "-x", "{}"]
    assert fill(argv, "a") == want
    assert has_placeholder(argv)
    assert not has_placeholder(argv[4:])


def test_shards_are_disjoint_and_the_whole_together() -> None:
    """Whatever the list and its order."""
    choice = random.Random(1)
    for _ in range(50):
        names = [f"{choice.getrandbits(32):x}-{i}" for i in range(choice.randrange(300))]
        found = [Database(name, "", False, name) for name in names]
        count = 1 + choice.randrange(20)
        where: dict[str, int] = {}
        for index in range(count):
            for database in part(found, (index, count)):
                assert database.name not in where
                where[database.name] = index
        assert len(where) == len(found)
        choice.shuffle(found)
        for index in range(count):
            for database in part(found[: len(found) // 2], (index, count)):
                assert where[database.name] == index
        assert part(found, None) == found


def test_the_hash_stays_as_it_is() -> None:
    """Other machines count on it."""
    acme = Database("acme", "", False, "acme")
    assert part([acme], (0, 8)) == [acme]


@pytest.mark.parametrize("bad", ["", "1", "4/4", "-1/4", "1/0", "a/b", "1/2/3", "0/99999999999"])
def test_a_shard_that_is_none(bad: str, project: Project) -> None:
    done = project.run("upgrade", "head", "--each", "-", f"--shard={bad}").check(2)
    assert "--shard" in done.stderr


def test_the_plan() -> None:
    """Whatever fails, and in whatever order databases end.

    Each is begun once, no other before all of the first have succeeded, and none after a
    failure.
    """
    choice = random.Random(2)
    for _ in range(2000):
        keep_going = bool(choice.randrange(2))
        plan = each.Plan(choice.randrange(12), choice.randrange(14), keep_going)
        jobs, bad = 1 + choice.randrange(4), choice.randrange(15)
        failed = False
        running: list[int] = []
        while True:
            if plan.may_begin() and len(running) < jobs:
                if plan.begun >= plan.first > 0 and running:
                    assert running[0] >= plan.first, f"{plan} is begun beside one of the first"
                if failed:
                    assert plan.keep_going
                    assert not plan.begun >= plan.first > bad, f"{plan} is begun after a failure"
                running.append(plan.begun)
                plan.begin()
                continue
            if not running:
                break
            ended = running.pop(choice.randrange(len(running)))
            failed = failed or ended == bad
            plan.end(succeeded=ended != bad)
        assert plan.running == 0
        if not failed:
            assert plan.begun == plan.all


def test_a_signal_stops_the_plan() -> None:
    plan = each.Plan(3, stopped=True)
    assert not plan.may_begin()


@pytest.mark.parametrize(
    ("argv", "rest"),
    [
        (["upgrade", "head"], ["upgrade", "head"]),
        (
            ["--each=f", "-x", "a={}", "--jobs", "2", "upgrade", "--keep-going", "head"],
            ["-x", "a={}", "upgrade", "head"],
        ),
        (["upgrade", "--each", "-", "--", "--first", "3"], ["upgrade", "--", "--first", "3"]),
        (
            ["--first", "1", "--failed", "f", "--report=r", "--shard", "0/2", "-q", "current"],
            ["-q", "current"],
        ),
        (["upgrade", "--each"], ["upgrade"]),
    ],
)
def test_the_arguments_of_one_databases_run(argv: list[str], rest: list[str]) -> None:
    assert options.without_each(argv) == rest


def test_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    """A container's control group counts, of both kinds."""
    every = len(os.sched_getaffinity(0))
    v1 = "cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"
    cases: list[tuple[int, dict[str, str]]] = [
        (every, {}),
        (every, {"cpu.max": "max 100000\n"}),
        (every, {"cpu.max": ""}),
        (every, {"cpu.max": "x y"}),
        (every, {"cpu.max": "100000 0"}),
        (every, {"cpu.max": "9900000 100000"}),
        (every, {v1[0]: "-1\n", v1[1]: "100000\n"}),
        (1, {"cpu.max": "50000 100000\n"}),
        (1, {"cpu.max": "100000 100000\n"}),
        (1, {v1[0]: "20000\n", v1[1]: "100000\n"}),
        (min(every, 2), {"cpu.max": "100001 100000\n"}),
        (min(every, 2), {"cpu.max": "200000 100000\n"}),
    ]
    for want, files in cases:
        monkeypatch.setattr(each, "_read", _files(files))
        assert each._processors() == want, files


def _files(files: dict[str, str]) -> Callable[[str], str]:
    def read(file: str) -> str:
        try:
            return files[file.removeprefix("/sys/fs/cgroup/")]
        except KeyError:
            raise FileNotFoundError(file) from None

    return read


class TestFailed:
    """The file that --failed names."""

    def test_it_replaces_the_list(self, tmp_path: Path) -> None:
        file = tmp_path / "list"
        file.write_text("a\nb\n")
        failed = Failed(str(file))
        assert file.read_text() == "a\nb\n"
        assert failed.write(["b"]) == ""
        assert file.read_text() == "b\n"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert os.listdir(tmp_path) == ["list"]

    def test_nothing_failed(self, tmp_path: Path) -> None:
        assert Failed(str(tmp_path / "list")).write([]) == ""
        assert (tmp_path / "list").read_text() == ""

    def test_a_full_disk_keeps_the_list(self, tmp_path: Path) -> None:
        """63 of 100 lines were lost."""
        lines = [f"postgresql://u@h/{i:040}" for i in range(100)]
        file = tmp_path / "list"
        file.write_text("\n".join(lines))

        def write() -> int:
            resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))
            print(Failed(str(file)).write(lines))
            return 0

        done = fork(write, tmp_path).check()
        assert "file too large" in done.stdout
        assert "the file is as it was before" in done.stdout
        assert file.read_text() == "\n".join(lines)
        assert sorted(os.listdir(tmp_path)) == [".stderr", ".stdout", "list"]

    def test_a_link_is_followed_and_stays(self, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").mkdir()
        link, file = tmp_path / "link", tmp_path / "elsewhere" / "list"
        link.symlink_to(file)
        assert Failed(str(link)).write(["a"]) == ""
        assert link.is_symlink()
        assert file.read_text() == "a\n"

    def test_a_device_is_written_to_and_left_alone(self, tmp_path: Path) -> None:
        before = os.stat(os.devnull)
        assert Failed(os.devnull).write(["a"]) == ""
        after = os.stat(os.devnull)
        assert (before.st_mode, before.st_ino) == (after.st_mode, after.st_ino)
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        assert Failed(str(pipe)).write(["a", "b"]) == ""
        assert os.read(reader, 100) == b"a\nb\n"
        os.close(reader)
        assert stat.S_ISFIFO(pipe.stat().st_mode)

    def test_a_device_without_room(self) -> None:
        if not os.path.exists("/dev/full"):
            pytest.skip("there is no /dev/full")
        assert "no space left" in Failed("/dev/full").write(["a"])

    def test_what_can_not_be_written_is_known_before_anything_begins(self, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / "no" / "such", Path("/proc/list")):
            with pytest.raises(UsageError, match="--failed: "):
                Failed(str(path))

    @pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user")
    def test_a_directory_that_may_not_be_written(self, tmp_path: Path) -> None:
        def write() -> int:
            os.setuid(65534)
            with pytest.raises(UsageError, match="permission denied"):
                Failed("/etc/list")
            return 0

        fork(write, tmp_path).check()


class TestReport:
    """The file that --report names."""

    def test_a_line_for_each(self, tmp_path: Path) -> None:
        file = tmp_path / "report"
        file.write_text("of the last run, and longer than this one's")
        file.unlink()
        report = Report(str(file))
        report.write({"name": "a"})
        assert file.read_text() == '{"name": "a"}\n'  # at once
        report.write({"name": "b\n"})
        assert [json.loads(line)["name"] for line in file.read_text().splitlines()] == ["a", "b\n"]
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert report.error == ""
        os.close(report.descriptor)

    def test_a_full_disk(self, tmp_path: Path) -> None:
        def write() -> int:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
            report = Report("report")
            for i in range(20):
                report.write({"name": f"database {i}"})
            print(report.error)
            return 0

        done = fork(write, tmp_path).check()
        assert "--report: " in done.stdout
        assert "it lacks what came after" in done.stdout

    def test_what_can_not_be_written(self, tmp_path: Path) -> None:
        for path in (tmp_path, tmp_path / "no" / "such"):
            with pytest.raises(UsageError, match="--report: "):
                Report(str(path))


def result(name: str, outcome: Outcome | None = None, **more: Any) -> Result:
    found = {
        "before": ["a1"],
        "after": ["b2"],
        "steps": [{"revision": "b2", "seconds": 0.4}],
        "seconds": 0.5,
        **more.pop("found", {}),
    }
    return Result(Database(name, "", False, name), outcome or Outcome(), found, **more)


def shown(view: View, *results: Result) -> None:
    for each_result in results:
        view.begin(each_result.database)
        view.end(each_result)


def test_every_line_of_stdout_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    """Of databases that failed, too."""
    view = View(4, answers=True, verbose=False, json=True)
    shown(
        view,
        result("a", stdout='{\n "up_to_date": true\n}\n', reads=True),
        result("b", Outcome(exits.DATABASE, "no\nway", "start it", "Traceback"), reads=True),
        result("c", Outcome(1, "not at head"), stdout='{"up_to_date": false}', reads=True),
        result("d", stdout="not json", stderr="INFO", reads=True),
    )
    view.summary([])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == [
        {"name": "a", "answer": {"up_to_date": True}},
        {"name": "b", "error": {"status": 4, "message": "no\nway"}},
        {
            "name": "c",
            "answer": {"up_to_date": False},
            "error": {"status": 1, "message": "not at head"},
        },
        {"name": "d", "answer": "not json"},
    ]


def test_a_line_for_each_database(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "__stderr__", None)
    view = View(5, answers=False, verbose=False, json=False)
    shown(
        view,
        result("a", stdout="printed by a revision"),
        result("b", found={"before": ["b2"], "steps": []}),
        result("c", Outcome(1, "it failed\nfor this reason"), found={"after": None}),
        result("d", Outcome(143, "terminated", signal=15), found={"before": [], "after": []}),
        result("e", Outcome(4, "not reached"), found={"before": None, "after": None}),
    )
    assert capsys.readouterr().out.splitlines() == [
        "ok          a  a1 -> b2  0.50s",
        "unchanged   b  b2 -> b2  0.50s",
        "failed      c  a1 -> (not known)  0.50s  it failed",
        "interrupted d  <base> -> <base>  0.50s  terminated",
        "failed      e  0.50s  not reached",
    ]


def test_the_record_of_a_report() -> None:
    record = result("a", found={"target": "c3"}).record()
    assert record == {
        "name": "a",
        "outcome": "ok",
        "status": 0,
        "from": "a1",
        "to": "b2",
        "target": "c3",
        "revisions": 1,
        "steps": [{"revision": "b2", "seconds": 0.4}],
        "seconds": 0.5,
        "tries": 1,
        "in_the_way": "",
        "summary": "",
        "message": "",
    }


@pytest.mark.parametrize(
    ("name", "shared"),
    [
        ("sqlalchemy.engine", True),
        ("alembic.command", True),
        ("json.decoder", True),
        ("_socket", True),
        ("reflex_driver.each.work", True),
        ("reflex_orm", False),
        ("pytest", False),  # a package of the environment may read the database's URL
    ],
)
def test_which_modules_are_imported_once(name: str, shared: bool) -> None:
    assert (name in preload.shared(module_before(name))) is shared


def module_before(name: str) -> str:
    names = list(sys.modules)
    return names[names.index(name) - 1]


def test_a_file_of_the_projects_with_a_librarys_name(tmp_path: Path) -> None:
    (tmp_path / "asyncmy.py").write_text("")
    (tmp_path / "antigravity.py").write_text("")

    def look() -> int:
        sys.path.insert(0, str(tmp_path))
        before = next(reversed(sys.modules))
        import antigravity  # noqa: F401

        import asyncmy  # type: ignore[import-not-found]  # noqa: F401

        assert preload.shared(before) == []
        return 0

    fork(look, tmp_path).check()


def test_nothing_is_imported_before_gevent_patches(tmp_path: Path) -> None:
    (tmp_path / "gevent.py").write_text("")

    def look() -> int:
        sys.path.insert(0, str(tmp_path))
        before = module_before("sqlalchemy.engine")
        import gevent  # type: ignore[import-untyped, import-not-found, unused-ignore]  # noqa: F401

        assert preload.shared(before) == []
        return 0

    fork(look, tmp_path).check()


def test_what_the_parent_imports_prints_nothing_and_may_fail(tmp_path: Path) -> None:
    (tmp_path / "noisy.py").write_text("print('noise')")
    (tmp_path / "broken.py").write_text("1 / 0")

    def look() -> int:
        sys.path.insert(0, str(tmp_path))
        preload.imports(["broken", "noisy", "nosuch", "json"])
        assert "noisy" in sys.modules
        return 0

    assert fork(look, tmp_path) == Done(0)


class TestRuns:
    """Whole runs, on SQLite."""

    @pytest.fixture
    def tenants(self, project: Project) -> Project:
        project.revision("a1")
        project.revision("b2", "a1")
        project.revision("c3", "b2")
        project.write("list", "one\ntwo\nthree\n")
        project.env["REFLEX_DB_URL"] = f"sqlite:///{project.directory}/{{}}.db"
        return project

    def report(self, project: Project) -> dict[str, dict[str, Any]]:
        lines = (project.directory / "report").read_text().splitlines()
        return {record["name"]: record for record in map(json.loads, lines)}

    def test_upgrade_and_status(self, tenants: Project) -> None:
        up = ("upgrade", "head", "--each", "list", "--report", "report")
        done = tenants.run(*up).check()
        assert sorted(line.split()[1] for line in done.stdout.splitlines()) == [
            "one",
            "three",
            "two",
        ]
        assert "3 databases: 3 ok, in" in done.stderr
        for record in self.report(tenants).values():
            assert (record["outcome"], record["from"], record["to"]) == ("ok", "", "c3")
            assert record["revisions"] == 3
        assert "3 unchanged" in tenants.run(*up).check().stderr
        status = tenants.run("status", "--json", "--check", "--each", "list").check()
        for line in status.stdout.splitlines():
            assert json.loads(line)["answer"]["up_to_date"] is True

    def test_a_failure_stops_what_was_not_begun(self, tenants: Project) -> None:
        tenants.revision("b2", "a1", body="if 'two' in str(op.get_bind().engine.url): 1 / 0")
        done = tenants.run(
            *("upgrade", "head", "--each", "list", "--jobs", "1"),
            *("--failed", "left", "--report", "report"),
        ).check(1)
        assert "1 of 3 databases failed, and 1 were not begun" in done.stderr
        assert "two: Error: b2 (alembic/versions/b2_.py:7) failed; two.db is at a1\n" in done.stderr
        assert "two: ZeroDivisionError: division by zero\n" in done.stderr
        assert "give the same command with --each left" in done.stderr
        assert (tenants.directory / "left").read_text() == "two\nthree\n"
        found = self.report(tenants)
        assert [found[n]["outcome"] for n in ("one", "two", "three")] == [
            "ok",
            "failed",
            "not begun",
        ]
        tenants.revision("b2", "a1")
        tenants.run("upgrade", "head", "--each", "left", "--failed", "left").check()
        assert (tenants.directory / "left").read_text() == ""

    def test_keep_going(self, tenants: Project) -> None:
        tenants.revision("b2", "a1", body="if 'one' in str(op.get_bind().engine.url): 1 / 0")
        done = tenants.run("upgrade", "head", "--each", "list", "--keep-going").check(1)
        assert "3 databases: 2 ok, 1 failed" in done.stderr

    def test_a_relative_target_is_resolved_before_it_begins(self, tenants: Project) -> None:
        """What is done is not migrated once more."""
        failing = "import pathlib\nif pathlib.Path('two fails').exists() and "
        failing += "'two' in str(op.get_bind().engine.url): 1 / 0"
        tenants.revision("b2", "a1", body=failing)
        tenants.write("two fails", "")
        up = ("upgrade", "+2", "--jobs", "1", "--keep-going", "--report", "report")
        done = tenants.run(*up, "--each", "list", "--failed", "left").check(1)
        assert (tenants.directory / "left").read_text() == "two -> b2\n"
        assert "its line names the revision to go to" in done.stderr
        assert self.report(tenants)["two"]["target"] == "b2"
        assert self.report(tenants)["two"]["to"] == "a1"
        (tenants.directory / "two fails").unlink()
        tenants.run(*up, "--each", "left", "--failed", "left").check()
        assert self.report(tenants)["two"]["to"] == "b2"  # and not c3

    def test_without_a_list_a_relative_target_is_not_to_be_given_again(
        self, tenants: Project
    ) -> None:
        tenants.revision("b2", "a1", body="1 / 0")
        done = tenants.run("upgrade", "+2", "--each", "list", "--jobs", "1").check(1)
        assert "again would take +2 once more on the databases that are done" in done.stderr
        assert "give the same command again" not in done.stderr
        done = tenants.run("upgrade", "c3", "--each", "list", "--jobs", "1").check(1)
        assert "give the same command again; a database that is done is left alone" in done.stderr

    def test_a_crash_costs_its_database(self, tenants: Project) -> None:
        body = "import os, signal\nif 'two' in str(op.get_bind().engine.url): "
        tenants.revision("b2", "a1", body=body + "os.kill(os.getpid(), signal.SIGKILL)")
        done = tenants.run("upgrade", "head", "--each", "list", "--keep-going").check(1)
        assert "ended by signal 9 (SIGKILL) in the middle of it; it may" in done.stderr
        assert "2 ok, 1 failed" in done.stderr

    def test_a_run_has_the_signals_of_any_program(self, tenants: Project) -> None:
        """A revision's alarm rings, and nothing is blocked."""
        tenants.revision(
            "b2",
            "a1",
            body="""
                import signal
                rung = []
                signal.signal(signal.SIGALRM, lambda *_: rung.append(1))
                signal.setitimer(signal.ITIMER_REAL, 0.05)
                signal.pause()
                assert rung
                assert not signal.pthread_sigmask(signal.SIG_BLOCK, [])
            """,
        )
        tenants.run("upgrade", "head", "--each", "list").check()

    def test_nothing_of_a_database_is_left_for_the_next(self, tenants: Project) -> None:
        """A project's own patch takes effect for each of them."""
        tenants.write(
            "alembic/env.py",
            "import project_patch\n" + (tenants.directory / "alembic" / "env.py").read_text(),
        )
        tenants.write("alembic.ini", "[alembic]\nscript_location = alembic\nprepend_sys_path = .\n")
        tenants.write(
            "project_patch.py",
            """
            import sys
            from alembic.runtime.environment import EnvironmentContext
            original = EnvironmentContext.configure
            def configure(self, *args, **options):
                open("patched", "a").write("x")
                sys.modules["left_behind"] = "" if "left_behind" not in sys.modules else 1 / 0
                original(self, *args, **options)
            EnvironmentContext.configure = configure
            """,
        )
        tenants.run("upgrade", "head", "--each", "list", "--jobs", "1").check()
        assert (tenants.directory / "patched").read_text() == "xxx"

    def test_env_py_that_connects_elsewhere(self, tenants: Project) -> None:
        env = tenants.directory / "alembic" / "env.py"
        env.write_text(
            env.read_text().replace(
                'context.config.get_main_option("sqlalchemy.url")', '"sqlite:///other.db"'
            )
        )
        done = tenants.run("upgrade", "head", "--each", "list", "--jobs", "1").check(1)
        assert "env.py connects to sqlite:///" in done.stderr
        assert "nothing was run there" in done.stderr

    @pytest.mark.parametrize(
        ("argv", "message"),
        [
            (("revision", "--each", "list"), "--each makes no sense with revision"),
            (("upgrade", "head", "--sql", "--each", "list"), "--sql to none"),
            (("upgrade", "head", "--each", "nosuch"), "no such file or directory"),
            (("upgrade", "head", "--each", "empty"), "there is no database in the list"),
            (("upgrade", "head", "--each", "list", "--failed", "no/such"), "--failed: "),
            (("upgrade", "head", "--each", "list", "--jobs", "0"), "a number from 1 is expected"),
            (("upgrade", "head", "--each", ""), "--each needs a value"),
        ],
    )
    def test_what_can_not_be_begins_nothing(
        self, tenants: Project, argv: tuple[str, ...], message: str
    ) -> None:
        tenants.write("empty", "")
        assert message in tenants.run(*argv).check(2).stderr
        assert not list(tenants.directory.glob("*.db"))

    def test_the_report_has_no_room(self, tenants: Project) -> None:
        """What was done stays done, and the run is no success."""
        if not os.path.exists("/dev/full"):
            pytest.skip("there is no /dev/full")
        done = tenants.run("upgrade", "head", "--each", "list", "--report", "/dev/full").check(1)
        assert "--report: " in done.stderr
        assert "3 ok" in done.stderr

    def test_a_stdout_that_can_not_be_written(self, tenants: Project) -> None:
        def run() -> int:
            os.dup2(os.open("/dev/full", os.O_WRONLY), 1)
            return reflex_driver.main("reflex db", "1", "", "upgrade", "head", "--each", "list")

        done = fork(run, tenants.directory, **tenants.env).check(1)
        assert "what was printed could not be written" in done.stderr
        assert "3 ok" in done.stderr

    def test_the_output_of_a_database_that_can_not_be_written(self, tenants: Project) -> None:
        """As in a run alone: after the failure, and a failure where there was none."""
        if not os.path.exists("/dev/full"):
            pytest.skip("there is no /dev/full")
        full = "import sys; sys.stdout = open('/dev/full', 'w'); print('x')"
        tenants.revision("a1", body=f"{full}\nif 'two' in str(op.get_bind().engine.url): 1 / 0")
        report = ("--report", "report", "--keep-going")
        tenants.run("upgrade", "head", "--each", "list", *report).check(1)
        lost = "what was printed could not be written: "
        found = {name: record["message"] for name, record in self.report(tenants).items()}
        assert found["one"].startswith(lost)
        assert found["two"].startswith("ZeroDivisionError: ")
        assert lost in found["two"]
