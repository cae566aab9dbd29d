//go:build cgo && (linux || darwin)

package embedpy

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	python3 "github.com/go-python/cpy3"
	"golang.org/x/sys/unix"

	"github.com/reflex-dev/reflex-orm/embedpy/capi"
)

// Python's main thread is the process's: signals and finalization depend on it.
func init() {
	runtime.LockOSThread()
	capi.Unblock()
	time.AfterFunc(time.Hour, func() {}).Stop() // Go opens its poller for its first timer
	capi.FreeDescriptors()
}

// An Interpreter is CPython running in this process. There is at most one, because
// CPython cannot be unloaded. Its methods are for the main goroutine.
type Interpreter struct {
	module *python3.PyObject // bootstrap.py
	closed bool
}

var started atomic.Bool

// CannotStart says why [Start] can't work with py in this process: py uses no libpython, the
// program is built without cgo, or a limit of address space (ulimit -v) leaves too little for
// Go and Python. Then the process can only become a Python: see [Become]. The reason is ""
// if there is none.
func CannotStart(py *Python) (reason string) {
	var limit unix.Rlimit
	switch {
	case py.Library == "":
		return usesNone
	case unix.Getrlimit(unix.RLIMIT_AS, &limit) == nil && limit.Cur < capi.Room:
		return "a limit of address space (ulimit -v) leaves too little for Go and Python"
	}
	return ""
}

// Start loads py's libpython into this process and starts it. It works once, on the
// main goroutine, which is bound to the main thread from the beginning.
//
// The interpreter is what py.Executable would be: it has the same sys.executable,
// sys.prefix, sys.path, encodings and flags, and reads the same PYTHON* variables.
// Signals are Python's from here on: a program that calls Start must not use
// [os/signal].
//
// modules holds Python sources that can be imported without being on disk, by names such
// as "driver/__init__.py" for the module driver. They go before modules of the same name
// in the environment. Other files are there for pkgutil.get_data. All are UTF-8.
//
// The error is a [*LibraryError] if py cannot be used here, or an [*Error] if Python
// starts and cannot run a line, as where PYTHONPATH hides its own modules.
func Start(py *Python, modules map[string]string) (*Interpreter, error) {
	if !capi.OnMainThread() {
		return nil, errors.New("embedpy: Start must be called on the main goroutine")
	}
	if !started.CompareAndSwap(false, true) {
		return nil, errors.New("embedpy: Python was already started in this process")
	}
	if err := capi.Load(py.Library); err != nil {
		return nil, &LibraryError{Python: py, Reason: err.Error()}
	}
	if version := python3.Py_GetVersion(); version != py.FullVersion {
		return nil, &LibraryError{Python: py,
			Reason: fmt.Sprintf("the interpreter is %q, but %s is %q", py.FullVersion, py.Library, version),
			Fix:    "Reinstall this Python, or choose another one."}
	}
	if err := capi.Initialize([]string{py.Executable}); err != nil {
		return nil, &LibraryError{Python: py, Reason: err.Error(), Fix: cmp.Or(variables(), remake(py.Executable))}
	}
	in := &Interpreter{}
	if in.module = execute("_embedpy", bootstrap); in.module == nil {
		return nil, exception()
	}
	result := invoke(in.module, "start", python3.PyBytes_FromString(archive(modules)))
	if result == nil {
		return nil, exception()
	}
	result.DecRef()
	return in, nil
}

// variables names those by which Python is told how to start: one of them may be why
// it does not. Their values may be secrets.
func variables() string {
	var set []string
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "PYTHON") {
			set = append(set, name)
		}
	}
	if set == nil {
		return ""
	}
	return "It may be for one of these variables: " + strings.Join(set, ", ") + "."
}

// execute makes a module of a source. Its frames appear in a file of <embedpy>, for
// the few who look. It returns nil, with a Python error set, if that fails.
func execute(module, source string) *python3.PyObject {
	builtins := python3.PyImport_ImportModule("builtins")
	if builtins == nil {
		return nil
	}
	defer builtins.DecRef()
	const file = "<embedpy>/bootstrap.py"
	code := invoke(builtins, "compile", python3.PyBytes_FromString(source), python3.PyUnicode_FromString(file), python3.PyUnicode_FromString("exec"))
	if code == nil {
		return nil
	}
	defer code.DecRef()
	return python3.PyImport_ExecCodeModuleEx(module, code, file)
}

// Call imports a module and calls a function of it. The function gets args as str, where
// bytes that are not text in Python's file system encoding are surrogates, as in sys.argv
// (PEP 383).
//
// status is the exit status of a Python program that ends with sys.exit(function(...)).
// It is 1 for an exception and 130 for KeyboardInterrupt, after sys.excepthook has shown
// it. A child process that the function forks ends with its status, and does not return.
//
// The error is one of this package: not for an exception of the function.
func (in *Interpreter) Call(module, function string, args ...string) (status int, err error) {
	if err := in.usable("Call"); err != nil {
		return 0, err
	}
	list := python3.PyList_New(0)
	for _, arg := range args {
		item := python3.PyBytes_FromString(arg)
		python3.PyList_Append(list, item)
		item.DecRef()
	}
	result := invoke(in.module, "call", python3.PyUnicode_FromString(module), python3.PyUnicode_FromString(function), list)
	if result == nil { // a signal, outside of the lines of call that catch it
		err := exception()
		if err.Type == "KeyboardInterrupt" {
			return 130, nil
		}
		return 0, err
	}
	defer result.DecRef()
	return python3.PyLong_AsLong(result), nil
}

// Close waits for Python's threads that are not daemons, runs its atexit handlers,
// flushes its stdout and stderr, and ends it. The error is that of the flush: what was
// printed did not all arrive.
func (in *Interpreter) Close() error {
	if in.closed {
		return nil
	}
	if err := in.usable("Close"); err != nil {
		return err
	}
	in.closed = true
	if python3.Py_FinalizeEx() != 0 {
		return errors.New("writing what Python printed: its last output was lost")
	}
	return nil
}

// usable says why a method cannot work, if it cannot.
func (in *Interpreter) usable(method string) error {
	if !capi.OnMainThread() {
		return fmt.Errorf("embedpy: %s must be called on the main goroutine", method)
	}
	if in.closed {
		return fmt.Errorf("embedpy: %s after Close", method)
	}
	return nil
}

// invoke calls a function of a module and takes the references to args. It returns
// nil, with a Python error set, if the function or an arg is not there.
func invoke(module *python3.PyObject, name string, args ...*python3.PyObject) *python3.PyObject {
	missing := false
	for _, arg := range args {
		if arg == nil {
			missing = true
			continue
		}
		defer arg.DecRef()
	}
	if missing {
		return nil
	}
	return module.CallMethodArgs(name, args...)
}

// exception takes the exception that is set in Python.
func exception() *Error {
	kind, value, traceback := python3.PyErr_NormalizeException(python3.PyErr_Fetch())
	for _, o := range []*python3.PyObject{kind, value, traceback} {
		if o != nil {
			defer o.DecRef()
		}
	}
	e := &Error{Type: "SystemError"}
	if kind != nil {
		e.Type = text(kind.GetAttrString("__name__"))
	}
	if value != nil {
		e.Message = text(value.Str())
	}
	python3.PyErr_Clear()
	return e
}

// text is a Python str, and takes the reference to it.
func text(o *python3.PyObject) string {
	if o == nil {
		return ""
	}
	defer o.DecRef()
	return python3.PyUnicode_AsUTF8(o)
}

// restoreSignals gives the process the signals that it had before Go started.
func restoreSignals() { capi.RestoreSignals() }
