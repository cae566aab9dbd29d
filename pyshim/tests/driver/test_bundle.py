"""What the import of Alembic finds and compiles is kept in one file."""

import json
import marshal
import os
import shutil
import stat
import subprocess
import sys
import sysconfig
import textwrap
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import cache_from_source, find_spec
from pathlib import Path

import pytest

from .running import Done, Project, bare_environment, environment

PACKAGES = ("alembic", "sqlalchemy", "mako", "markupsafe", "typing_extensions", "tomli")

# Run by env.py: what a project can see of how the modules came to be there.
LOOK = """\
import builtins, gc, importlib.machinery, json, linecache, os, re, sys, types, warnings

def ours(name):
    return name.startswith(("reflex_driver", "env_py"))

def kind(value):
    return type(value).__module__ + "." + type(value).__qualname__

def spec(module):
    found = vars(module).get("__spec__")
    return {k: repr(v) for k, v in vars(found).items() if k != "loader"} if found else None

def loader(module):
    found = vars(module).get("__loader__")
    state = {} if isinstance(found, type) else getattr(found, "__dict__", {})
    return kind(found), sorted(map(repr, state.items()))

def source(module):
    try:
        return len(module.__loader__.get_source(module.__name__) or "")
    except Exception as error:
        return repr(error)

modules = {name: m for name, m in list(sys.modules.items()) if not ours(name) and vars(m)}
compiler = sys.modules.get("re._compiler") or sys.modules["sre_compile"]
seen = {
    "order": [name for name in sys.modules if not ours(name)],
    "attributes": {name: list(vars(m)) for name, m in modules.items()},
    "specs": {name: spec(m) for name, m in modules.items()},
    "loaders": {name: loader(m) for name, m in modules.items() if name != "__main__"},
    "files": {name: [repr(getattr(m, a, None)) for a in ("__file__", "__cached__", "__path__")]
              for name, m in modules.items()},
    "sources": {name: source(modules[name]) for name in ("alembic.op", "sqlalchemy.sql.base")},
    "meta_path": [getattr(f, "__name__", kind(f)) for f in sys.meta_path],
    "path_hooks": list(map(repr, map(kind, sys.path_hooks))),
    "importers": list(sys.path_importer_cache),
    "builtins": {name: kind(value) for name, value in vars(builtins).items()},
    "patterns": [[repr(k), p.flags, p.groups, repr(p.groupindex)] for k, p in re._cache.items()],
    "code": all(p == compiler.compile(k[1], k[2]) for k, p in re._cache.items() if k[0] is str),
    "compiler": [compiler.compile.__module__, kind(compiler._sre)],
    "gc": [gc.isenabled(), gc.get_threshold()],
    "filters": list(map(repr, warnings.filters)),
    "warnings": warnings._showwarnmsg.__module__,
    "linecache": sorted(map(str, linecache.cache)),
    "get_code": importlib.machinery.SourceFileLoader.get_code.__module__,
    "left": sorted({
        f.__qualname__ for f in gc.get_objects() if isinstance(f, types.FunctionType)
        for g in (f, *map(f.__globals__.get, ("compile", "eval", "exec")))
        if getattr(g, "__module__", "") == "reflex_driver.bundle" and "<locals>" in g.__qualname__
    }),
}
with open(os.environ["SEEN"], "w") as file:
    json.dump(seen, file)
"""


class Environment:
    """An environment with Alembic alone, a project, and a cache."""

    def __init__(self, directory: Path) -> None:
        self.directory = bare_environment(directory / "env")
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        self.packages = self.directory / "lib" / version / "site-packages"
        for name in PACKAGES:
            found = find_spec(name)
            if found is not None and found.origin is not None:
                origin = Path(found.origin)
                package = origin.parent if found.submodule_search_locations else origin
                copy: Callable[[Path, Path], object]
                copy = shutil.copytree if package.is_dir() else shutil.copy2
                copy(package, self.packages / package.name)
        self.project = Project(directory / "project")
        self.project.revision("a1")
        self.cache = directory / "cache"
        self.before: list[str] = []  # a command that runs Python

    def run(self, *argv: str, **env: str) -> Done:
        python = str(self.directory / "bin" / "python")
        done = subprocess.run(
            [*self.before, python, str(self.project.script()), *argv],
            env=environment(**{**self.project.env, "XDG_CACHE_HOME": str(self.cache), **env}),
            cwd=self.project.directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def heads(self, **env: str) -> str:
        """What `heads` prints, before the head."""
        done = self.run("heads", **env).check()
        assert done.stderr == ""
        before, _, rest = done.stdout.partition("a1 (head)\n")
        assert rest == ""
        return before

    def keep(self) -> Path:
        """The file, once it is written: by the second run."""
        self.heads()
        (kept,) = self.kept()
        assert kept.stat().st_size == 0
        self.heads()
        assert kept.stat().st_size > 1_000_000
        return kept

    def kept(self) -> list[Path]:
        folder = self.cache / "reflex-orm" / "imports"
        return sorted(folder.iterdir()) if folder.exists() else []

    def forget(self) -> None:
        shutil.rmtree(self.cache, ignore_errors=True)

    def module(self, name: str) -> Path:
        return self.packages / f"{name.replace('.', '/')}.py"

    def is_used(self, name: str) -> bool:
        """Whether a run takes a module from the file; it does not need the .pyc then."""
        beside = Path(cache_from_source(str(self.module(name))))
        whole = beside.read_bytes()
        beside.write_bytes(b"")
        try:
            self.heads()
            return beside.read_bytes() == b""
        finally:
            beside.write_bytes(whole)

    def see(self, name: str, **env: str) -> dict[str, object]:
        """What env.py sees under `current`."""
        seen = self.project.directory / name
        self.run("current", SEEN=str(seen), **env).check()
        found: dict[str, object] = json.loads(seen.read_text())
        return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    return Environment(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def installed(made: Environment) -> Environment:
    """With nothing kept."""
    made.forget()
    made.before = []
    return made


def test_what_is_kept_is_used(installed: Environment) -> None:
    kept = installed.keep()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    before = written(kept)
    assert installed.is_used("alembic.op")
    assert written(kept) == before  # which nothing new has replaced


@pytest.mark.parametrize(
    "env",
    [
        {},
        {"PYTHONOPTIMIZE": "1"},
        {"PYTHONOPTIMIZE": "2"},
        {"PYTHONDEVMODE": "1"},
        {"PYTHONWARNINGS": "error"},
        {"PYTHON_GIL": "0"},
    ],
    ids=lambda env: "-".join(next(iter(env.items()), ["as it is"])),
)
def test_a_project_sees_nothing_of_it(installed: Environment, env: dict[str, str]) -> None:
    if "PYTHON_GIL" in env and not sysconfig.get_config_var("Py_GIL_DISABLED"):
        pytest.skip("this Python is not free-threaded: REFLEX_TEST_PYTHONS can name one that is")
    file = installed.project.directory / "alembic" / "env.py"
    text = file.read_text()
    file.write_text(LOOK + text)
    env = {"PYTHONHASHSEED": "7", **env}
    try:
        plain = installed.see("plain", **env, XDG_CACHE_HOME="relative")
        for run in ("first", "second", "third"):
            assert installed.see(run, **env) == plain
        assert installed.kept()[0].stat().st_size > 1_000_000
    finally:
        file.write_text(text)
    assert plain["left"] == []
    assert plain["code"] is True


def written(file: Path) -> tuple[int, int]:
    """Changes when a file is written."""
    info = file.stat()
    return info.st_ino, info.st_mtime_ns


def replace(file: Path, text: str) -> None:
    """Put another file there, as pip does it, of the same size and time."""
    info = file.stat()
    new = file.with_suffix(".new")
    new.write_text(text.ljust(info.st_size)[: info.st_size])
    os.utime(new, ns=(info.st_atime_ns, info.st_mtime_ns))
    os.replace(new, file)


def test_a_source_that_is_not_what_it_was(installed: Environment) -> None:
    """Each is the source that Python takes: edited, replaced, hidden, removed."""
    op = installed.module("alembic.op")
    text = op.read_text()
    installed.keep()
    try:
        op.write_text(text + "print('edited')\n")
        assert installed.heads() == "edited\n"
        op.write_text(text + "print('edites')\n")  # of the same size
        os.utime(op, (0, 0))  # Python itself goes by whole seconds
        assert installed.heads() == "edites\n"
        replace(op, text + "print('edited')\n")
        Path(cache_from_source(str(op))).unlink()  # by which Python itself would go
        assert installed.heads() == "edited\n"
        assert installed.heads() == "edited\n"
        beside = op.with_suffix("")
        beside.mkdir()
        package = text.replace("from .", "from ..") + "print('a package')\n"
        (beside / "__init__.py").write_text(package)
        assert installed.heads() == "a package\n"
        shutil.rmtree(beside)
        op.rename(op.with_suffix(".gone"))
        assert "alembic" in installed.run("heads").check(3).stderr
        op.with_suffix(".gone").rename(op)
    finally:
        op.write_text(text)
        shutil.rmtree(op.with_suffix(""), ignore_errors=True)
    assert installed.heads() == ""
    assert installed.is_used("alembic.op")


def test_an_extension_that_is_not_what_it_was(installed: Environment) -> None:
    found = sorted((installed.packages / "sqlalchemy").rglob(f"*{EXTENSION_SUFFIXES[0]}"))
    if not found:
        pytest.skip("this SQLAlchemy has no extension modules")
    kept, first = installed.keep(), found[0]
    before, content, gone = written(kept), first.read_bytes(), first.with_suffix(".gone")
    try:
        assert installed.heads() == ""
        assert written(kept) == before
        first.write_bytes(b"damaged")
        plain = installed.run("heads", XDG_CACHE_HOME="relative")
        assert installed.run("heads") == plain
        first.rename(gone)
        plain = installed.run("heads", XDG_CACHE_HOME="relative")
        assert installed.run("heads") == plain
        assert written(kept) != before
    finally:
        gone.unlink(missing_ok=True)
        first.write_bytes(content)


def test_a_package_that_is_found_before(installed: Environment, tmp_path: Path) -> None:
    """In a directory of PYTHONPATH, which was there, and whose other files come and go."""
    path = {"PYTHONPATH": str(tmp_path)}
    (tmp_path / "mako").mkdir()  # no package yet
    for _ in range(2):
        installed.heads(**path)
    (kept,) = installed.kept()
    before = written(kept)
    (tmp_path / "other.py").touch()
    assert installed.heads(**path) == ""
    assert written(kept) == before
    (tmp_path / "mako" / "__init__.py").write_text("print('mine')\n__path__ = []\n")
    done = installed.run("heads", **path)
    assert done.status == 3
    assert "mine" in done.stdout
    shutil.rmtree(tmp_path / "mako")
    (tmp_path / "typing_extensions.py").write_text("print('mine')\nraise ImportError\n")
    assert "mine" in installed.run("heads", **path).stdout


def test_another_environment_of_the_same_python(installed: Environment, tmp_path: Path) -> None:
    other = Environment(tmp_path)
    other.cache = installed.cache
    with other.module("alembic.op").open("a") as file:
        file.write("print('another')\n")
    for _ in range(3):
        assert installed.heads() == ""
        assert other.heads() == "another\n"
    assert len(installed.kept()) == 2
    moved = tmp_path / "moved"
    other.directory.rename(moved)
    other.directory = moved
    other.packages = moved / other.packages.relative_to(tmp_path / "env")
    assert other.heads() == "another\n"
    assert len(installed.kept()) == 3


def test_a_damaged_file_costs_time_only(installed: Environment) -> None:
    kept = installed.keep()
    whole = kept.read_bytes()
    middle, most = len(whole) // 2, len(whole) - 1
    flipped = bytearray(whole)
    for at in range(0, len(whole), 5000):
        flipped[at] ^= 0x55
    rest = bytearray(whole)
    for at in range(int.from_bytes(whole[:8], "little") + 12, len(whole), 2000):
        rest[at] ^= 0x55  # the code of the modules only
    length = b"\xff" * 6 + whole[6:]
    for damaged in (
        b"",
        b"rubbish",
        whole[:100],
        whole[:middle],
        whole[:most],
        flipped,
        rest,
        length,
    ):
        kept.write_bytes(damaged)
        assert installed.heads() == ""
        assert kept.stat().st_size > middle
        assert installed.heads() == ""
    assert installed.is_used("alembic.op")


def test_where_nothing_can_be_written(installed: Environment) -> None:
    folder = installed.cache / "reflex-orm" / "imports"
    folder.parent.mkdir(parents=True, mode=0o700)
    folder.touch()
    assert installed.heads() == ""
    folder.unlink()
    kept = installed.keep()
    kept.unlink()
    kept.mkdir()
    assert installed.heads() == ""


def forge(kept: Path, name: str, change: Callable[[list[object], list[object]], None]) -> None:
    """Have a module print "old", with checksums that are right.

    `change` gets the key of what is kept, and what is known of the module's file.
    """
    whole = kept.read_bytes()
    start = 12 + int.from_bytes(whole[:8], "little")
    key, directories, modules, *rest = marshal.loads(whole[12:start])
    origin, cached, inside, facts, *_ = modules[name]
    key, facts = list(key), list(facts)
    change(key, facts)
    source = Path(origin).read_text() + "\nprint('old')\n"
    code = compile(source, origin, "exec", dont_inherit=True)
    content = marshal.dumps(code)
    place = len(whole) - start, len(content), zlib.crc32(content)
    modules[name] = (origin, cached, inside, tuple(facts), *place)
    index = marshal.dumps((tuple(key), directories, modules, *rest))
    head = len(index).to_bytes(8, "little") + zlib.crc32(index).to_bytes(4, "little")
    kept.write_bytes(head + index + whole[start:] + content)


@pytest.mark.parametrize(
    ("name", "change", "used"),
    [
        ("alembic.op", lambda *_: None, True),
        ("logging", lambda *_: None, True),
        ("alembic.op", lambda key, _: key.__setitem__(0, 0), False),
        ("alembic.op", lambda key, _: key.__setitem__(1, f"{key[1]} of yesterday"), False),
        ("logging", lambda _, facts: facts.__setitem__(0, facts[0] - 1), False),
    ],
    ids=["as it is", "a module of Python's", "another format", "Python rebuilt", "its library too"],
)
def test_a_file_of_another_python(
    installed: Environment,
    name: str,
    change: Callable[[list[object], list[object]], None],
    used: bool,
) -> None:
    """Rebuilt under the same path, for example."""
    kept = installed.keep()
    forge(kept, name, change)
    assert installed.heads() == ("old\n" if used else "")
    if not used:
        assert installed.heads() == ""
        assert installed.is_used("alembic.op")


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another user")
def test_a_file_of_another_user(installed: Environment) -> None:
    kept = installed.keep()
    forge(kept, "alembic.op", lambda *_: None)
    os.chown(kept, 65534, 65534)
    assert installed.heads() == ""
    assert kept.stat().st_uid == 0
    assert installed.is_used("alembic.op")


def test_a_fifo_in_its_place(installed: Environment) -> None:
    kept = installed.keep()
    kept.unlink()
    os.mkfifo(kept)
    assert installed.heads() == ""
    assert kept.is_file()
    assert installed.is_used("alembic.op")


def test_where_the_cache_is_read_only(installed: Environment) -> None:
    kept = installed.keep()
    before = written(kept)
    if os.geteuid() == 0:  # whom no permission stops
        if shutil.which("setpriv") is None:
            pytest.skip("there is no setpriv, by which root has to ask for permission")
        installed.before = ["setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"]
    folders = [kept.parent, kept.parent.parent]
    op = installed.module("alembic.op")
    text = op.read_text()
    try:
        for folder in folders:
            folder.chmod(0o500)
        assert installed.is_used("alembic.op")
        op.write_text(text + "print('edited')\n")
        for _ in range(2):
            assert installed.heads() == "edited\n"
        assert written(kept) == before
        for folder in folders:
            folder.chmod(0o700)
        kept.unlink()
        kept.parent.rmdir()
        kept.parent.parent.chmod(0o500)
        assert installed.heads() == "edited\n"
        assert installed.kept() == []
    finally:
        op.write_text(text)
        for folder in folders:
            if folder.exists():
                folder.chmod(0o700)


def test_sixteen_at_once(installed: Environment) -> None:
    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(lambda _: installed.heads(), range(16))) == [""] * 16
    installed.heads()
    assert len(installed.kept()) == 1
    assert installed.is_used("alembic.op")


def test_old_files_are_removed(installed: Environment) -> None:
    folder = installed.cache / "reflex-orm" / "imports"
    folder.mkdir(parents=True, mode=0o700)
    for number in range(20):
        (folder / f"old-{number}").touch()
        os.utime(folder / f"old-{number}", (number, number))
    for number in range(1001):  # the bytecode of other versions of the command
        (folder.parent / f"old-{number}.pyc").touch()
        os.utime(folder.parent / f"old-{number}.pyc", (number, number))
    (folder.parent / "python-0.json").touch()
    os.utime(folder.parent / "python-0.json", (0, 0))
    installed.heads()
    names = {path.name for path in installed.kept()}
    assert len(names) == 16
    assert "old-19" in names
    assert "old-4" not in names
    names = {path.name for path in folder.parent.iterdir()}
    assert "old-0.pyc" not in names
    assert {"old-1.pyc", "python-0.json"} <= names


# Somebody else's part in imports, from the start on.
HOOKS = {
    "a finder": "class F:\n def find_spec(*_): return None\nsys.meta_path.insert(0, F())",
    "a hook for directories": "def h(_): raise ImportError\nsys.path_hooks.insert(0, h)",
    "a loader": "from importlib.machinery import SourceFileLoader as L\n"
    "class M:\n source_to_code = L.source_to_code\n"
    "L.source_to_code = lambda self, *a, **k: M.source_to_code(self, *a, **k)",
    "__import__": "old = builtins.__import__\nbuiltins.__import__ = lambda *a, **k: old(*a, **k)",
    "compile": "old = builtins.compile\nbuiltins.compile = lambda *a, **k: old(*a, **k)",
    "a place that is no text": "import pathlib\nsys.path.append(pathlib.Path('/nowhere'))",
    "a debugger": "sys.settrace(lambda *_: None)",
    "a profiler": "sys.setprofile(lambda *_: None)",
    "a thread": "import _thread\n_thread.start_new_thread(time.sleep, (60,))\n"
    "while not _thread._count(): time.sleep(0.001)",  # until it runs
}


@pytest.mark.parametrize("name", HOOKS)
def test_where_others_have_a_say(installed: Environment, tmp_path: Path, name: str) -> None:
    start = f"import builtins, sys, time\n{HOOKS[name]}\n"
    (tmp_path / "sitecustomize.py").write_text(start)
    for _ in range(2):
        installed.run("heads", PYTHONPATH=str(tmp_path)).check()
    assert not any(file.stat().st_size for file in installed.kept())


def test_where_imports_are_watched(installed: Environment, tmp_path: Path) -> None:
    for env in ({"PYTHONPROFILEIMPORTTIME": "1"}, {"PYTHONPYCACHEPREFIX": str(tmp_path)}):
        for _ in range(2):
            installed.run("heads", **env).check()
    assert not any(file.stat().st_size for file in installed.kept())


def test_an_image_on_another_machine(installed: Environment) -> None:
    """What its build has left is none of this machine's: a run there is the first."""
    built = installed.keep()
    python = installed.directory / "bin" / "python"
    there, program = os.readlink(python), os.path.realpath(python)
    python.unlink()
    shutil.copy2(program, python)
    try:
        if subprocess.run([python, "-c", ""], check=False).returncode:
            pytest.skip("a copy of this Python does not find its library")
        installed.heads()
        new = [file for file in installed.kept() if file != built]
        assert [file.stat().st_size for file in new] == [0]
    finally:
        python.unlink()
        python.symlink_to(there)


def test_the_first_run_takes_no_part(installed: Environment) -> None:
    """It does not even import what would record it."""
    look = "import sys\nprint('reflex_driver.bundle' in sys.modules)\n"
    file = installed.project.versions / "a1_.py"
    text = file.read_text()
    file.write_text(look + text)
    try:
        assert [installed.heads() for _ in range(3)] == ["False\n", "True\n", "True\n"]
    finally:
        file.write_text(text)


def test_finders_that_leave_it_alone(installed: Environment, tmp_path: Path) -> None:
    """An editable install's comes after Python's own; setuptools' answers for distutils."""
    start = "import sys\nclass F:\n def find_spec(*_): return None\n"
    (tmp_path / "_distutils_hack.py").write_text(f"{start}sys.meta_path.insert(0, F())")
    (tmp_path / "sitecustomize.py").write_text(
        f"{start}import _distutils_hack\nsys.meta_path.append(F())"
    )
    assert installed.heads(PYTHONPATH=str(tmp_path)) == ""
    assert len(installed.kept()) == 1


def test_a_plugin_of_the_projects(installed: Environment, tmp_path: Path) -> None:
    """Alembic imports it, with all its own modules; Python is as ever by then."""
    plugins = installed.packages / "alembic" / "runtime" / "plugins.py"
    if not plugins.exists():
        pytest.skip("this Alembic has no plugins")
    metadata = tmp_path / "mine-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Name: mine\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[alembic.plugins]\nmine = mine\n")
    (tmp_path / "mine.py").write_text(
        textwrap.dedent(
            """\
            import sys
            from importlib.machinery import SourceFileLoader
            print([getattr(f, "__name__", f) for f in sys.meta_path],
                  SourceFileLoader.get_code.__module__)
            def setup(plugin): pass
            """
        )
    )
    told = {installed.heads(PYTHONPATH=str(tmp_path)) for _ in range(3)}
    assert told == {
        "['BuiltinImporter', 'FrozenImporter', 'PathFinder'] _frozen_importlib_external\n"
    }
