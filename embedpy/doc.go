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
