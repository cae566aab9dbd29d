// Package embedpy runs CPython inside this process: it finds an interpreter,
// starts it, calls functions in it and stops it.
//
//	python, err := embedpy.Find(ctx, embedpy.FindOptions{})
//	if err != nil {
//		return err // says what was looked for, where, and what to do
//	}
//	in, err := embedpy.Start(python, embedpy.Options{Modules: sources})
//	if err != nil {
//		return err
//	}
//	defer in.Close()
//	answer, err := in.Call(ctx, "greeter", "greet", []byte("world"))
//
// [Find] follows the habits of Python's users: an activated environment, .venv
// in the project, python3 on PATH. No libpython is linked into the program.
// [Start] loads the one that belongs to the interpreter, so one binary serves
// Python 3.10 to 3.14, with the packages of the environment that was found.
//
// # Guests
//
// Many interpreters have no libpython: pyenv's and Debian's are one piece each.
// But every CPython gives its C API to extension modules. So the program, built a
// second time with -buildmode=c-shared, can be one of them, and Python goes first:
//
//	with a libpython                  without: a guest
//
//	program                           program
//	   │ dlopen                          │ execve
//	   ▼                                 ▼
//	libpython                         python
//	                                     │ import
//	                                     ▼
//	                                  program, as a library
//
//	Start initializes Python.         Start attaches to Python.
//	            Calls, signals and Close are the same.
//
// In both there is one process, with the same process id, arguments, streams and
// environment, and from the attachment on everything is the same code. The
// library travels in the program as [Options].Guest and is unpacked to the user's
// cache directory at first use. A Python can also be where the program begins: a
// wheel brings it as the module _reflex_db, with a console script that calls
// _reflex_db.main(). [OnGuest] is where the program says what it does then.
//
// A Python that cannot start, as for a wrong PYTHONHOME, says so itself, as it does
// under any command of the environment: exit status 1. A free-threaded build can be
// used in both forms, and stays free of the GIL.
//
// A guest needs glibc or macOS: Go's shared libraries do not work with musl
// (golang/go#13492). If Go's runtime itself crashes, a guest ends by SIGABRT and
// the program by exit status 2.
//
// # Calls
//
// Bytes go in and bytes come out of [Interpreter.Call]; what they mean is
// between the two sides. A Python exception is an [*Error] in Go. In the other
// direction, [Interpreter.Define] puts a Go function into the Python module
// _reflex, where an error of Go is an exception:
//
//	in.Define("now", func([]byte) ([]byte, error) { return time.Now().AppendFormat(nil, time.RFC3339), nil })
//
//	>>> import _reflex
//	>>> _reflex.now(b"")
//	b'2026-01-02T03:04:05Z'
//
// # Rules
//
// There is one interpreter in a process, once. Its methods are for the main
// goroutine, which this package binds to the main thread when the program
// starts: so main itself, or what it calls, and not a goroutine of its own.
// Python code may start threads, and Go functions are called on any of them.
//
// From Start on, SIGINT and SIGTERM belong to Python, where they end what it
// does, with its finally clauses, as in any Python program. Go code hears of
// them by [Interpreter.Signals] and must leave [os/signal] alone.
//
// Python buffers what it prints. A program that exits without
// [Interpreter.Close] loses it.
//
// # How it works
//
// The binding is cpy3, unmodified; package capi, below this one, leads its calls
// to the library that was loaded. bootstrap.py is the part on Python's side.
package embedpy
