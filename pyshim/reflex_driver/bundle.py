"""Keeps in one file what an import of Alembic finds, reads and compiles.

Python asks the file system some ten times for each of three hundred modules. Alembic,
SQLAlchemy, typing and collections write source as text and compile it at each start, and
many modules compile patterns. All of it comes out the same each time, so it is kept in the
cache directory (bytecode.py).

What is kept counts as long as this Python, its flags and sys.path, each directory on the way
and each source are as they were. Anything else is left to Python, and the file is written
anew. Checksums keep a damaged one from being run.

All of this ends with the import: sys.meta_path, SourceFileLoader and `re` are Python's own
again, and what was imported is as Python makes it. It ends before where the import leads to a
module that is none of the environment's, such as a plugin of the project's. It does not begin
where somebody else has a say in imports, or watches them.
"""

from __future__ import annotations

import _thread
import marshal
import os
import sys
import zlib
from _frozen_importlib import BuiltinImporter, FrozenImporter, ModuleSpec
from _frozen_importlib_external import (
    MAGIC_NUMBER,
    ExtensionFileLoader,
    PathFinder,
    SourceFileLoader,
    cache_from_source,
)
from _imp import _fix_co_filename  # type: ignore[attr-defined]

from . import bytecode, libraries

TYPE_CHECKING = False  # as in typing, which is imported by what is kept here
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType
    from typing import Any

_HEAD = 12  # bytes: the length of what tells of the rest, and its checksum

# What compiles text, with the functions of builtins that it does it by.
_COMPILING = {
    "alembic.operations.base": ("exec",),
    "alembic.util.langhelpers": ("exec",),
    "annotationlib": ("compile",),
    "collections": ("eval",),
    "dataclasses": ("exec",),
    "sqlalchemy.util.langhelpers": ("compile", "exec"),
    "typing": ("compile",),
}

# Finders of others that leave alone all that is imported here: setuptools', virtualenv's and
# uv's, which answer for distutils only, and this program's own.
_HARMLESS = ("_distutils_hack", "_virtualenv", "_embedpy")

_FUTURE = 0x1FE0000  # the flags of __future__, which the code that compiles a text hands on

_ERRORS = (OSError, ValueError, EOFError, TypeError, LookupError, AttributeError)
"""What damage leads to."""


def begin(file: str, key: tuple[Any, ...]) -> Bundle | None:
    """Begin with what `file` has, if that is of `key`. None: imports are somebody else's too."""
    if not _is_pythons_own():
        return None
    bundle = Bundle(file, key)
    bundle.begin()
    return bundle


def _is_pythons_own() -> bool:
    """Whether imports are Python's own affair, and nobody watches them."""
    if sys.pycache_prefix is not None or sys.flags.verbose:
        return False
    if sys.gettrace() or sys.getprofile() or "coverage" in sys.modules or _thread._count():
        return False
    if "importtime" in sys._xoptions or os.environ.get("PYTHONPROFILEIMPORTTIME"):
        return False
    monitoring = getattr(sys, "monitoring", None)  # since Python 3.12
    if monitoring is not None and any(map(monitoring.get_tool, range(6))):
        return False
    if PathFinder not in sys.meta_path:
        return False
    if not all(type(place) is str and os.path.isabs(place) for place in sys.path):
        return False
    # What comes after PathFinder is asked for what that does not find.
    for finder in sys.meta_path[: sys.meta_path.index(PathFinder)]:
        own = finder in (BuiltinImporter, FrozenImporter)
        if not own and type(finder).__module__ not in _HARMLESS:
            return False
    hooks = [getattr(hook, "__qualname__", "") for hook in sys.path_hooks[:2]]
    if hooks != ["zipimporter", "FileFinder.path_hook.<locals>.path_hook_for_FileFinder"]:
        return False
    if not all(type(f) is type(len) for f in (__import__, compile, eval, exec)):
        return False
    methods = ("get_code", "source_to_code", "exec_module", "get_data", "path_stats")
    return libraries.are_pythons(*methods)


class Bundle:
    """What is kept, what is used of it, and what is new."""

    def __init__(self, file: str, key: tuple[Any, ...]) -> None:
        self._file = file
        self._key = key
        self._libraries = key[-1]
        self._descriptor = -1
        self._start = 0  # of the modules' code in the file
        self._directories: dict[str, Any] = {}
        self._modules: dict[str, Any] = {}
        self._codes: dict[Any, CodeType] = {}
        self._patterns: dict[Any, Any] = {}
        # What Python has found and compiled.
        self._found: dict[str, tuple[ModuleSpec, CodeType | None]] = {}
        self._places: set[str] = set()
        self._compiled = 0
        self._warned = self._sees_warnings = self._has_patterns = False
        self._undo: list[Callable[[], object]] = []

    def begin(self) -> None:
        """Take the place of Python's own functions."""
        self._read()
        self._take_imports()
        for name in _COMPILING:
            if name in sys.modules:
                self._take_compiling(name)

    def end(self) -> None:
        """Give the places back."""
        while self._undo:
            self._undo.pop()()

    def finish(self, *, whole: bool) -> None:
        """End, and if all was imported, write what is new."""
        self.end()
        if whole:
            self._write_what_is_new()
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def _replace(self, owner: Any, name: str, value: Any) -> None:
        original = getattr(owner, name)
        setattr(owner, name, value)
        self._undo.append(lambda: setattr(owner, name, original))

    def _read(self) -> None:
        try:
            self._descriptor = bytecode.open_kept(self._file)
            head = os.read(self._descriptor, _HEAD)
            size, checksum = int.from_bytes(head[:8], "little"), int.from_bytes(head[8:], "little")
            index = self._block(_HEAD, min(size, os.fstat(self._descriptor).st_size), checksum)
            key, directories, modules, codes, patterns = marshal.loads(index)
            roots = {name.partition(".")[0] for name in modules}
            known = (_is_as_it_was(roots, d, *facts) for d, facts in directories.items())
            valid = key == self._key and all(known)
        except _ERRORS:
            return
        if valid:
            self._directories, self._modules = directories, modules
            self._codes, self._patterns = codes, patterns
            self._start = _HEAD + size

    def _block(self, at: int, size: int, checksum: int) -> bytes:
        """A part of the file."""
        os.lseek(self._descriptor, at, os.SEEK_SET)
        content = os.read(self._descriptor, size)
        if zlib.crc32(content) != checksum:
            raise ValueError("it is damaged")
        return content

    def _content(self, entry: Any) -> bytes:
        """The code of a module, as marshal has it."""
        at, size, checksum = entry[4:]
        return self._block(self._start + at, size, checksum)

    def _take_imports(self) -> None:
        """Answer for PathFinder, and for SourceFileLoader, with what they answered before."""
        modules, found, libraries, stat = self._modules, self._found, self._libraries, os.stat
        places, bundle, read = self._places, self, SourceFileLoader.get_code
        specs: dict[str, ModuleSpec | None] = {}

        def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
            entry = modules.get(name)
            if entry is not None:
                origin, cached, inside, facts = entry[:4]
                try:
                    known = bytecode.facts(stat(origin)) == facts
                except OSError:
                    known = False
                if known:
                    loader = SourceFileLoader if entry[5] else ExtensionFileLoader
                    kept = ModuleSpec(name, loader(name, origin), origin=origin)
                    if inside is not None:
                        kept.submodule_search_locations = list(inside)
                    kept.has_location = True
                    kept.cached = cached
                    _remember(origin, inside, path)
                    return kept
                del modules[name]
            spec = PathFinder.find_spec(name, path, target)
            if spec is not None and spec.origin is not None:
                if not spec.origin.startswith(libraries):
                    bundle.end()  # before the first line of the project's
                elif type(spec.loader) is SourceFileLoader and spec.loader.path == spec.origin:
                    specs[name] = spec
                    places.update(sys.path if path is None else path)
                elif type(spec.loader) is ExtensionFileLoader:  # Python itself loads it
                    found[name] = spec, None
                    places.update(sys.path if path is None else path)
            return spec

        def get_code(self: SourceFileLoader, fullname: str) -> CodeType | None:
            entry, code = modules.get(fullname), None
            if entry is not None and type(self) is SourceFileLoader and self.path == entry[0]:
                code = bundle._code(entry)
                if code is None:
                    del modules[fullname]
                    specs[fullname] = sys.modules[fullname].__spec__
            if code is None:
                code = read(self, fullname)
                known = specs.get(fullname)
                if code is not None and known is not None:
                    found[fullname] = known, code
            if fullname in _COMPILING:
                bundle._take_compiling(fullname)
            if not bundle._sees_warnings:
                bundle._take_warnings()
            elif not bundle._has_patterns:
                bundle._take_patterns()
            return code

        # Like importlib's, their frames are left out of a traceback.
        for function in (find_spec, get_code):
            importlibs = cache_from_source.__code__.co_filename
            function.__code__ = function.__code__.replace(co_filename=importlibs)
        self._replace(SourceFileLoader, "get_code", get_code)
        finder: Any = type("Finder", (), {"find_spec": staticmethod(find_spec)})
        sys.meta_path.insert(sys.meta_path.index(PathFinder), finder)
        self._undo.append(lambda: sys.meta_path.remove(finder))

    def _code(self, entry: Any) -> CodeType | None:
        """The code of a module, or None if the file is damaged there."""
        try:
            code: CodeType = marshal.loads(self._content(entry))
            _fix_co_filename(code, entry[0])
        except _ERRORS:
            return None
        return code

    def _compile(self, source: Any, filename: Any, mode: str, flags: int) -> CodeType:
        """The code of a text. What gives a warning is not kept, so that it gives one again."""
        key = (source, filename, mode, flags)
        code = self._codes.get(key)
        if code is None:
            self._warned = False
            code = compile(source, filename, mode, flags, dont_inherit=True)
            if self._sees_warnings and not self._warned:
                self._codes[key] = code
                self._compiled += 1
        return code

    def _take_compiling(self, module: str) -> None:
        """Compile what a module compiles: the functions of builtins get a namesake in it."""
        own, frame, make = sys.modules[module].__dict__, sys._getframe, self._compile
        run, evaluate, compiled = exec, eval, compile

        def compile_(
            source: Any, filename: Any, mode: str, flags: int = 0, *more: Any, **named: Any
        ) -> Any:
            flags |= frame(1).f_code.co_flags & _FUTURE
            if type(source) is str and not more and not named:
                return make(source, filename, mode, flags)
            return compiled(source, filename, mode, flags, *more, **named)

        def exec_(source: Any, glob: Any = None, loc: Any = None, /, **more: Any) -> None:
            caller = frame(1)
            if glob is None:
                glob, loc = caller.f_globals, caller.f_locals if loc is None else loc
            elif glob is not own and glob.get("exec") is exec_:
                del glob["exec"]  # of a copy of the module's
            if type(source) is str:
                source = make(source, "<string>", "exec", caller.f_code.co_flags & _FUTURE)
            run(source, glob, loc, **more)

        def eval_(source: Any, glob: Any = None, loc: Any = None, /) -> Any:
            caller = frame(1)
            if glob is None:
                glob, loc = caller.f_globals, caller.f_locals if loc is None else loc
            if type(source) is str:
                text = source.lstrip(" \t")
                source = make(text, "<string>", "eval", caller.f_code.co_flags & _FUTURE)
            return evaluate(source, glob, loc)

        functions: dict[str, Any] = {"compile": compile_, "exec": exec_, "eval": eval_}
        for name in _COMPILING[module]:
            if name not in own:
                own[name] = functions[name]
                self._undo.append(lambda name=name: own.pop(name, None))  # type: ignore[misc]

    def _take_warnings(self) -> None:
        """Notice warnings, once the module is there."""
        warnings: Any = sys.modules.get("warnings")
        show = getattr(warnings, "_showwarnmsg", None)
        if show is None:
            return

        def showing(*args: Any) -> None:
            self._warned = True
            show(*args)

        self._replace(warnings, "_showwarnmsg", showing)
        self._sees_warnings = True

    def _take_patterns(self) -> None:
        """Compile patterns: their code is what re's compiler gave to _sre before."""
        compiler: Any = sys.modules.get("re._compiler") or sys.modules.get("sre_compile")
        original, patterns, bundle = getattr(compiler, "compile", None), self._patterns, self
        if original is None:  # it is being imported
            return
        _sre: Any = compiler._sre
        made: list[Any] = []

        def note(pattern: Any, flags: int, code: list[int], *groups: Any) -> Any:
            made.append((int(flags), b"".join(n.to_bytes(4, sys.byteorder) for n in code), *groups))
            return _sre.compile(pattern, flags, code, *groups)

        noting = type(sys.implementation)(**{**vars(_sre), "compile": note})

        def compile_(pattern: Any, flags: int = 0) -> Any:
            key = (pattern, int(flags))
            kept = patterns.get(key) if type(pattern) is str else None
            if kept is not None:
                return _sre.compile(
                    pattern, kept[0], list(memoryview(kept[1]).cast("I")), *kept[2:]
                )
            if type(pattern) is not str or flags & compiler.SRE_FLAG_DEBUG:
                return original(pattern, flags)
            made.clear()
            bundle._warned, compiler._sre = False, noting
            try:
                answer = original(pattern, flags)
            finally:
                compiler._sre = _sre
            if len(made) == 1 and not bundle._warned:
                patterns[key] = made[0]
                bundle._compiled += 1
            return answer

        self._replace(compiler, "compile", compile_)
        self._has_patterns = True

    def _write_what_is_new(self) -> None:
        """Write what is kept and what is new, if there is enough of it."""
        kept = len(self._codes) + len(self._patterns)
        if not self._found and self._compiled * 10 <= kept:
            return
        try:
            if os.access(os.path.dirname(self._file), os.W_OK):
                self._write()
        except _ERRORS:
            pass  # there is no room, or another process is doing the same

    def _write(self) -> None:
        contents: list[bytes] = []
        modules, at = {}, 0

        def add(name: str, facts: tuple[Any, ...], content: bytes) -> None:
            nonlocal at
            modules[name] = (*facts, at, len(content), zlib.crc32(content))
            contents.append(content)
            at += len(content)

        for name, entry in self._modules.items():
            try:
                add(name, entry[:4], self._content(entry))
            except ValueError:  # of a module that this run does not import
                continue
        for name, (spec, code) in self._found.items():
            origin, inside = str(spec.origin), spec.submodule_search_locations
            info = os.stat(origin)
            content = b"" if code is None else _bytecode(spec.cached, info) or marshal.dumps(code)
            add(name, (origin, spec.cached, inside and list(inside), bytecode.facts(info)), content)
        directories = self._with_directories(modules)
        index = marshal.dumps((self._key, directories, modules, self._codes, self._patterns))
        head = len(index).to_bytes(8, "little") + zlib.crc32(index).to_bytes(4, "little")
        whole = b"".join((head, index, *contents))
        SourceFileLoader("", self._file).set_data(self._file, whole, _mode=0o600)

    def _with_directories(self, modules: dict[str, Any]) -> dict[str, Any]:
        """Each directory where a module would have been found before, with what tells of it."""
        roots = {name.partition(".")[0] for name in modules}
        found: dict[str, Any] = {}
        for place in self._places | self._directories.keys():
            if place not in sys.path:
                found[place] = _state(place), None
                continue
            names = _names(place, roots)
            found[place] = _state(place), names
            for name in names:
                below = os.path.join(place, name)  # it may become a package
                if os.path.isdir(below):
                    found[below] = _state(below), None
        return found


def _state(place: str) -> tuple[int, int, int, int] | None:
    try:
        return bytecode.facts(os.stat(place))
    except OSError:
        return None


def _names(place: str, roots: set[str]) -> list[str]:
    """What is in a directory of sys.path and has a name of `roots`."""
    try:
        return sorted(name for name in os.listdir(place) if name.partition(".")[0] in roots)
    except OSError:
        return []


def _is_as_it_was(roots: set[str], place: str, state: Any, names: Any) -> bool:
    """Whether Python would find in a directory what it found.

    Other files may come and go in one of sys.path, such as the project's own.
    """
    now = _state(place)
    if now == state:
        return True
    return names is not None and None not in (now, state) and _names(place, roots) == names


def _remember(origin: str, inside: list[str] | None, path: Any) -> None:
    """Have the directories in sys.path_importer_cache that Python would have looked in."""
    for place in sys.path if path is None else path:
        if place not in sys.path_importer_cache:
            PathFinder._path_importer_cache(place)  # type: ignore[attr-defined]
        if place == os.path.dirname(inside[0] if inside else origin):
            return


def _bytecode(file: str | None, source: os.stat_result) -> bytes:
    """The code in a .pyc that is of this source by Python's own rule; b"" if there is none."""
    try:
        with open(file or "", "rb") as opened:
            content = opened.read()
    except OSError:
        return b""
    facts = (0, int(source.st_mtime), source.st_size)
    head = MAGIC_NUMBER + b"".join((n & 0xFFFFFFFF).to_bytes(4, "little") for n in facts)
    return content[16:] if content.startswith(head) else b""
