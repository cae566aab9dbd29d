"""Where bytecode is kept, when it is stale, and who could have written it."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from reflex_driver import bytecode

from .running import PYSHIM, Done, bare_environment, environment, fork


def directory(cache: Path) -> str:
    """What `directory` answers with this XDG_CACHE_HOME."""
    here = next(parent for parent in cache.parents if parent.exists())
    done = fork(lambda: print(bytecode.directory()), here, XDG_CACHE_HOME=str(cache))
    return done.check().stdout.strip()


@pytest.mark.parametrize(
    ("home", "cache", "used"),
    [
        (0o755, 0o700, True),
        (0o755, 0o755, True),
        (0o755, 0o775, False),  # the group may write there
        (0o755, 0o777, False),
        (0o755, 0o1777, True),  # what is made in it is ours
        (0o700, 0o775, True),  # Debian's umask of 002, below a home that nobody may enter
        (0o700, 0o777, True),
        (0o750, 0o775, False),
        (0o710, 0o775, False),
        (0o701, 0o777, False),
        (0o740, 0o777, True),  # to list is not to enter
        (0o777, 0o700, False),  # somebody else can put another there
        (0o1777, 0o700, True),
    ],
)
def test_who_can_reach_it(place: Path, home: int, cache: int, used: bool) -> None:
    (place / "home" / "cache").mkdir(parents=True)
    (place / "home" / "cache").chmod(cache)
    (place / "home").chmod(home)
    found = directory(place / "home" / "cache")
    assert found == (str(place / "home" / "cache" / "reflex-orm") if used else "")
    if used:
        assert stat.S_IMODE(os.stat(found).st_mode) == 0o700


@pytest.mark.parametrize(
    ("mode", "used"), [(0o700, True), (0o755, True), (0o777, False), (0o1777, False)]
)
def test_a_directory_of_ours_that_is_there(place: Path, mode: int, used: bool) -> None:
    """In a sticky one, others can make files of their own, which would be executed."""
    (place / "home" / "cache" / "reflex-orm").mkdir(parents=True)
    (place / "home" / "cache" / "reflex-orm").chmod(mode)
    assert bool(directory(place / "home" / "cache")) is used


def test_a_cache_that_is_not_there_yet(place: Path) -> None:
    found = directory(place / "home" / "cache" / "not" / "yet")
    assert stat.S_IMODE(os.stat(found).st_mode) == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
@pytest.mark.parametrize("whose", ["home", "home/cache", "home/cache/reflex-orm"])
def test_what_belongs_to_another_user(place: Path, whose: str) -> None:
    (place / "home" / "cache" / "reflex-orm").mkdir(parents=True)
    os.chown(place / whose, 65534, 65534)
    assert directory(place / "home" / "cache") == ""


def test_a_link_leads_where_it_leads(place: Path) -> None:
    (place / "open").mkdir()
    (place / "open").chmod(0o777)
    (place / "home" / "cache").mkdir(parents=True)
    (place / "home" / "cache" / "reflex-orm").symlink_to(place / "open")
    assert directory(place / "home" / "cache") == ""


def test_no_directory_at_all(place: Path) -> None:
    (place / "home").mkdir()
    file = place / "home" / "file"
    file.touch()
    assert directory(file) == ""
    done = fork(lambda: print(bytecode.directory()), place, XDG_CACHE_HOME="relative")
    assert done.check().stdout == "\n"
    assert not (place / "relative").exists()


class Environment:
    """An environment with one library, where Python writes no bytecode."""

    def __init__(self, directory: Path) -> None:
        self.directory = bare_environment(directory / "env")
        self.cache = directory / "cache"
        self.project = directory / "project"
        self.project.mkdir()
        version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
        self.library = self.directory / "lib" / version / "site-packages" / "library.py"

    def write(self, text: str, when: int = 1_000_000_000) -> None:
        """Replace the library, as pip does it, with a time that is clamped."""
        new = self.library.with_suffix(".new")
        new.write_text(text)
        os.utime(new, (when, when))
        os.replace(new, self.library)

    def run(self, text: str, *options: str, **env: str) -> Done:
        env = {"PYTHONDONTWRITEBYTECODE": "1", "XDG_CACHE_HOME": str(self.cache), **env}
        start = f"import sys; sys.path.append({str(PYSHIM)!r})\n"
        start += "from reflex_driver import bytecode; bytecode.keep()\n"
        done = subprocess.run(
            [str(self.directory / "bin" / "python"), *options, "-c", start + text],
            env=environment(**env),
            cwd=self.project,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def kept(self) -> list[Path]:
        return sorted(path for path in self.cache.rglob("*") if path.is_file())


@pytest.fixture
def installed(tmp_path: Path) -> Environment:
    made = Environment(tmp_path)
    made.write("value = 1")
    return made


def test_what_is_kept_is_used(installed: Environment) -> None:
    """And what can be seen of Python's rules stays as it is."""
    installed.write("value = 'first'")
    text = "import library; print(library.value, library.__cached__, sys.dont_write_bytecode)"
    first = installed.run(text).check().stdout
    (kept,) = [path for path in installed.kept() if "library" in path.name]
    assert stat.S_IMODE(kept.stat().st_mode) & 0o077 == 0
    beside = installed.library.parent / "__pycache__"
    assert not beside.exists()
    assert first.startswith(f"first {beside}")
    assert first.endswith(" True\n")
    kept.write_bytes(kept.read_bytes().replace(b"first", b"other"))
    assert installed.run(text).check().stdout == first.replace("first", "other")


def test_a_library_that_is_replaced_by_one_of_equal_size_and_time(installed: Environment) -> None:
    """What Alembic's own process runs is the new one, and so does this."""
    text = "import library; print(library.value)"
    assert installed.run(text).check().stdout == "1\n"
    installed.write("value = 2")
    assert installed.run(text).check().stdout == "2\n"


def test_a_library_that_is_written_over(installed: Environment) -> None:
    """The same inode; the time of the change tells."""
    text = "import library; print(library.value)"
    assert installed.run(text).check().stdout == "1\n"
    info = installed.library.stat()
    with open(installed.library, "r+") as file:
        file.write("value = 3")
    os.utime(installed.library, ns=(info.st_atime_ns, info.st_mtime_ns))
    assert installed.library.stat().st_ino == info.st_ino
    assert installed.run(text).check().stdout == "3\n"


@pytest.mark.parametrize("broken", [b"", b"rubbish", None])
def test_a_file_that_is_broken_is_written_anew(
    installed: Environment, broken: bytes | None
) -> None:
    text = "import library; print(library.value)"
    installed.run(text).check()
    (kept,) = [path for path in installed.kept() if "library" in path.name]
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-3] if broken is None else broken)
    assert installed.run(text).check().stdout == "1\n"
    assert kept.read_bytes() == whole


@pytest.mark.parametrize("whose", ["a FIFO", "another user's"])
def test_a_file_that_is_none_of_ours(installed: Environment, whose: str) -> None:
    if whose == "another user's" and os.geteuid() != 0:
        pytest.skip("only root can give a file to another user")
    installed.write("value = 'first'")
    text = "import library; print(library.value)"
    installed.run(text).check()
    (kept,) = [path for path in installed.kept() if "library" in path.name]
    if whose == "a FIFO":
        kept.unlink()
        os.mkfifo(kept)
    else:
        kept.write_bytes(kept.read_bytes().replace(b"first", b"other"))
        os.chown(kept, 65534, 65534)
    assert installed.run(text).check().stdout == "first\n"
    assert kept.is_file()
    assert kept.stat().st_uid == os.geteuid()


def test_nothing_is_kept_of_the_projects_own(installed: Environment) -> None:
    (installed.project / "models.py").write_text("value = 1")
    text = "sys.path.insert(0, ''); import models, json.tool; print(models.__cached__)"
    installed.run(text).check()
    names = [path.name for path in installed.kept()]
    assert not [name for name in names if "models" in name]


def test_where_python_may_write_nothing_is_kept(installed: Environment) -> None:
    installed.run("import library", PYTHONDONTWRITEBYTECODE="").check()
    if os.access(os.path.dirname(os.__file__), os.W_OK):
        assert (installed.library.parent / "__pycache__").exists()
        assert not [path for path in installed.kept() if "library" in path.name]


def test_a_place_of_the_users_own(installed: Environment) -> None:
    installed.run("import library", PYTHONPYCACHEPREFIX=str(installed.project / "pyc")).check()
    assert not [path for path in installed.kept() if "library" in path.name]


def test_its_frame_is_in_no_traceback(installed: Environment) -> None:
    installed.write("1 / 0")
    done = installed.run("import library").check(1)
    assert "bytecode.py" not in done.stderr
    assert "importlib" not in done.stderr


def test_environments_that_are_gone_are_removed(installed: Environment) -> None:
    installed.run("import library").check()
    (folder,) = {path.parent for path in installed.kept() if "library" in path.name}
    gone = folder.parent / "%no%such%environment"
    gone.mkdir()
    (gone / "a file").touch()
    shutil.rmtree(folder)
    installed.run("import library").check()
    assert not gone.exists()
    assert folder.exists()


def test_a_cache_without_room_is_no_failure(installed: Environment) -> None:
    installed.cache.mkdir()
    (installed.cache / "reflex-orm").touch()  # a file in the place of the directory
    assert installed.run("import library; print(library.value)").check().stdout == "1\n"
