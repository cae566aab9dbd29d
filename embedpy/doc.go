// Package embedpy runs a function of a Python program in this process. It finds the
// project's interpreter, starts it, calls the function and stops it.
//
//	python, err := embedpy.Find(ctx, embedpy.FindOptions{})
//	if err != nil {
//		return err // says what was looked for, where, and what to do
//	}
//	interpreter, err := embedpy.Start(python, modules)
//	if err != nil {
//		return err
//	}
//	status, err := interpreter.Call("greeter", "greet", "world")
//	if closeErr := interpreter.Close(); err == nil {
//		err = closeErr
//	}
//
// [Find] looks where Python's users expect it: the activated environment, .venv of the
// project, python3 on PATH. No libpython is linked into the program. [Start] loads the one
// that belongs to the interpreter. So one binary serves Python 3.10 to 3.14, with the
// packages of the environment that was found.
//
// # A Python that uses no libpython
//
// Many interpreters use no libpython, for example those of pyenv, Debian and uv. Debian and
// uv have one beside the interpreter, but that is slower: a short command of Alembic takes
// 0.76 of the script's CPU time with it, and 0.63 without. [Python].Library is "" then, and
// [Become] does the work: the process is replaced by the interpreter (execve), which calls
// the same function and ends with the same status.
//
//	uses a libpython            uses none
//
//	program                     program
//	   │ dlopen                    │ execve
//	   ▼                           ▼
//	libpython                   python
//	   │                           │
//	   ▼                           ▼
//	function(args)              function(args)
//
// Both have one process, with the same process id, streams, environment and current
// directory. Go does not run any more in the second.
//
// # Without cgo
//
// A program that is built without cgo, or for Windows, can't load a libpython: [Become]
// does the work for every Python. On Windows that is a child process. [CannotStart] has the
// reason.
//
// # Calls
//
// Strings go in and an exit status comes out. Python does not call Go. The modules that
// the caller brings need no files: they are imported from memory, before modules of the
// same name in the environment.
//
// An exception of the function is shown by Python, on its stderr, and is an exit status. An
// error of this package says that Python could not be found ([*NotFoundError]), loaded or
// started ([*LibraryError]), or that it could not run a line ([*Error]).
//
// # Rules
//
// There is one interpreter in a process, once. Its methods are for the main goroutine,
// which this package binds to the main thread when the program starts.
//
// Importing this package blocks the signals of Go's threads, except for those that report
// a crash. A signal goes to the main thread or to a thread of Python's. When Python starts,
// it finds the handlers and the mask that the process was started with. A program that
// uses this package can't use [os/signal].
//
// Python buffers what it prints. A program that exits without [Interpreter.Close] loses
// that, and Python's atexit handlers do not run.
//
// A free-threaded Python can be used, and runs without its lock.
//
// # How it works
//
// The binding is cpy3, unmodified. Package capi, below this one, leads its calls to the
// library that was loaded. bootstrap.py is the part on Python's side.
package embedpy
