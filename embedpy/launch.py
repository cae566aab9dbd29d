"""Runs a program built as a shared library in this Python; see guest.go.

The arguments are which of the module's functions to call, the library's path, and
the program's own arguments, from its name on. A path in /proc/self/fd is a file
that only this process has open.
"""


def run() -> None:  # in __main__, of which nothing is left
    import sys

    if not getattr(sys.flags, "safe_path", False):
        del sys.path[0]  # the current directory
    # importlib may be a file of the project's, these are in the interpreter.
    from _frozen_importlib import ModuleSpec
    from _frozen_importlib_external import ExtensionFileLoader

    name, (_, function, path) = "_reflex_db", sys.argv[:3]
    del sys.argv[:3], globals()["run"]
    loader = ExtensionFileLoader(name, path)
    try:
        module = loader.create_module(ModuleSpec(name, loader, origin=path))
        loader.exec_module(module)
    except ImportError as error:
        print(f"Error: {sys.executable} can't load the command: {error}", file=sys.stderr)
        sys.exit(3)
    if path.startswith("/proc/self/fd/"):
        import os

        os.close(int(path.rpartition("/")[2]))
    getattr(module, function)()


run()
