package embedpy

import (
	"cmp"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"time"

	python3 "github.com/go-python/cpy3"

	"github.com/reflex-dev/reflex-orm/embedpy/capi"
)

// Module is the Python module in which the functions of [Interpreter.Define] are.
const Module = "_reflex"

//go:embed bootstrap.py
var bootstrap string

//go:embed bytecode.py
var bytecode string

// Python's main thread is the process's: signals and finalization depend on it.
// In a guest this runs on a thread of Go's own, and Python has the main one.
func init() {
	if capi.OnMainThread() {
		runtime.LockOSThread()
		capi.Unblock()
	}
	time.AfterFunc(time.Hour, func() {}).Stop() // for its first timer Go opens its poller
	capi.FreeDescriptors()
}

// Options are what a program may choose about its interpreter.
type Options struct {
	// Argv becomes sys.argv. Empty means [""], as in an interactive Python.
	Argv []string

	// Modules holds Python sources that can be imported without being on disk,
	// such as "driver/__init__.py" for the module driver. They go before
	// modules of the same name in the environment. Other files are there for
	// pkgutil.get_data. All of it is read at the start. Their bytecode is kept
	// in the user's cache directory; so is that of the environment's modules and
	// of Python's own where Python can't or must not keep it (bytecode.py).
	Modules fs.FS

	// Guest is this program built as a shared library, compressed with gzip,
	// for a Python that has no libpython: see the package's documentation.
	Guest []byte

	// Again is called before Start replaces this process: it takes back what the
	// program has done to it, and returns the arguments to begin again with. It
	// gets those of this process; nil means that these are right.
	Again func(argv []string) []string
}

// An Interpreter is CPython running in this process. There is at most one, for
// CPython cannot be unloaded; its methods are for the main goroutine.
type Interpreter struct {
	guest   bool                   // Python was there first, and ends itself
	state   *python3.PyThreadState // of the main thread, while it has no GIL
	module  *python3.PyObject      // bootstrap.py
	goError *python3.PyObject      // the class _reflex.GoError
	depth   int                    // of nested Calls, through Go functions
	closed  bool
	signals signals
}

var started atomic.Bool

// Start begins py in this process. It works once, on the main goroutine, which is
// bound to the main thread from the beginning.
//
// There are three ways. A Python that has loaded this program ([OnGuest]) is
// attached to, unless its locale has another encoding than UTF-8. Where py has a
// libpython, that is loaded and started. Otherwise Start does not return: with
// opts.Guest, or the library that the program is, it replaces this process by py,
// which loads the program; what it has done so far is then done again.
//
// The interpreter is what py.Executable would be: the same sys.executable,
// sys.prefix and sys.path, the same PYTHON* variables, in UTF-8 mode. From here
// on signals are Python's: see [Interpreter.Signals].
//
// The error is a [*LibraryError] if py cannot be used here.
func Start(py *Python, opts Options) (*Interpreter, error) {
	if !capi.OnMainThread() {
		return nil, errors.New("embedpy: Start must be called on the main goroutine")
	}
	if !started.CompareAndSwap(false, true) {
		return nil, errors.New("embedpy: Python was already started in this process")
	}
	files, err := readModules(opts.Modules)
	if err != nil {
		return nil, err
	}
	in := &Interpreter{}
	switch {
	case host != nil && py == &host.Python && host.utf8:
		in.guest, host.interpreter = true, in
		err = in.signals.listen()
		capi.Attach()
	case host != nil || py.Library == "":
		return nil, becomeGuest(py, opts)
	default:
		err = in.load(py)
	}
	if err != nil {
		return nil, err
	}
	if err := in.boot(opts.Argv, files); err != nil {
		return nil, err
	}
	in.release()
	return in, nil
}

// load loads libpython and starts it.
func (in *Interpreter) load(py *Python) error {
	if err := capi.Load(py.Library); err != nil {
		return &LibraryError{Python: py, Reason: err.Error()}
	}
	if version := python3.Py_GetVersion(); version != py.FullVersion {
		return &LibraryError{Python: py,
			Reason: fmt.Sprintf("the interpreter is %q, but %s is %q", py.FullVersion, py.Library, version),
			Fix:    "Reinstall this Python, or choose another one."}
	}
	if err := in.signals.listen(); err != nil {
		return err
	}
	// UTF-8 mode: files and pipes are UTF-8 in any locale, as in Go.
	if err := capi.Initialize([]string{py.Executable, "-X", "utf8"}); err != nil {
		return &LibraryError{Python: py, Reason: err.Error(), Fix: cmp.Or(variables(), remake(py.Executable))}
	}
	return nil
}

// variables names those by which Python is told how to start: one of them may
// be why it does not.
func variables() string {
	var set []string
	for _, kv := range os.Environ() {
		if strings.HasPrefix(kv, "PYTHON") {
			set = append(set, kv)
		}
	}
	if set == nil {
		return ""
	}
	return "It may be for one of these variables: " + strings.Join(set, ", ") + "."
}

func readModules(modules fs.FS) (map[string][]byte, error) {
	files := map[string][]byte{}
	if modules == nil {
		return files, nil
	}
	err := fs.WalkDir(modules, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files[path], err = fs.ReadFile(modules, path)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("embedpy: reading the modules: %w", err)
	}
	return files, nil
}

// boot runs bootstrap.py and its start function. It holds the GIL.
func (in *Interpreter) boot(argv []string, files map[string][]byte) error {
	if module := execute("_embedpy_bytecode", "bytecode.py", bytecode); module == nil {
		return in.exception()
	}
	if in.module = execute("_embedpy", "bootstrap.py", bootstrap); in.module == nil {
		return in.exception()
	}

	reflex := python3.PyImport_AddModule(Module)
	in.goError = python3.PyErr_NewException(Module+".GoError", python3.PyExc_RuntimeError, nil)
	if reflex == nil || in.goError == nil || reflex.SetAttrString("GoError", in.goError) != 0 {
		return in.exception()
	}

	if len(argv) == 0 {
		argv = []string{""}
	}
	pyArgv := python3.PyList_New(0)
	for _, arg := range argv {
		item := stringObject(arg)
		python3.PyList_Append(pyArgv, item)
		item.DecRef()
	}
	pyFiles := python3.PyDict_New()
	for name, content := range files {
		key, value := stringObject(name), bytesObject(content)
		python3.PyDict_SetItem(pyFiles, key, value)
		key.DecRef()
		value.DecRef()
	}
	pyPipe := numbers([]int{in.signals.read, in.signals.write})
	handled := handledSignals()
	pySignals := numbers(handled)
	result := invoke(in.module, "start", pyArgv, pyFiles, stringObject(cacheDirectory()), pyPipe, pySignals)
	if result == nil {
		return in.exception()
	}
	result.DecRef()
	for _, sig := range handled {
		capi.NoteSignal(sig, in.signals.write)
	}
	return nil
}

// execute makes a module of a source. Its frames appear in a file of <embedpy>,
// for the few who look.
func execute(module, file, source string) *python3.PyObject {
	file = "<embedpy>/" + file
	builtins := python3.PyImport_ImportModule("builtins")
	if builtins == nil {
		return nil
	}
	defer builtins.DecRef()
	code := invoke(builtins, "compile", bytesObject([]byte(source)), stringObject(file), stringObject("exec"))
	if code == nil {
		return nil
	}
	defer code.DecRef()
	return python3.PyImport_ExecCodeModuleEx(module, code, file)
}

// numbers is a Python list of ints.
func numbers[T ~int](values []T) *python3.PyObject {
	list := python3.PyList_New(0)
	for _, value := range values {
		number := python3.PyLong_FromLong(int(value))
		python3.PyList_Append(list, number)
		number.DecRef()
	}
	return list
}

// Guest reports whether Python was there first and has loaded this program.
func (in *Interpreter) Guest() bool { return in.guest }

// acquire takes the GIL; release gives it back, so that Python's other threads
// run while Go does.
func (in *Interpreter) acquire() { python3.PyEval_RestoreThread(in.state) }
func (in *Interpreter) release() { in.state = python3.PyEval_SaveThread() }

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

// Define makes fn callable from Python as _reflex.NAME(arg), where arg is bytes
// or str and the result is bytes.
//
// fn runs without the GIL, on the Python thread that called it, so it may run
// more than once at a time. An error of fn raises _reflex.GoError, a
// RuntimeError with the error's text; so does a panic.
//
// A signal does not end fn. One that waits should also wait for a context that
// the program ends when [Interpreter.Signals] tells it to; when it has returned,
// whatever it returned, Python raises KeyboardInterrupt or SystemExit.
func (in *Interpreter) Define(name string, fn func(arg []byte) ([]byte, error)) error {
	if err := in.usable("Define"); err != nil {
		return err
	}
	in.acquire()
	defer in.release()
	function := capi.NewFunction(name, fn, in.goError)
	if function == nil {
		return in.exception()
	}
	defer function.DecRef()
	if python3.PyImport_AddModule(Module).SetAttrString(name, function) != 0 {
		return in.exception()
	}
	return nil
}

// Call imports a Python module and calls a function in it with one argument,
// arg as bytes. The function returns bytes, a str (which comes as UTF-8) or
// None (which comes as nothing).
//
// An exception is returned as an [*Error]. When ctx ends, KeyboardInterrupt is
// raised in Python, once, and Call waits for Python to be done with it. A signal
// needs no such help: Python hears of it by itself. A forked child does not
// return from Call; it ends there, as a Python program would.
//
// A function of [Interpreter.Define] may use Call when it is on the main thread.
func (in *Interpreter) Call(ctx context.Context, module, function string, arg []byte) ([]byte, error) {
	if err := in.usable("Call"); err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	in.acquire()
	defer in.release()
	in.depth++
	defer func() {
		if in.depth--; in.depth == 0 {
			capi.ForgetGoErrors()
		}
	}()

	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(interrupted)
		interrupt()
	})
	answer, err := in.result(invoke(in.module, "call", stringObject(module), stringObject(function), bytesObject(arg)))
	if stop() {
		return answer, err
	}
	// The interrupt may have come when the function was already done; the next
	// call must not get it.
	in.release()
	<-interrupted
	in.acquire()
	capi.ClearInterrupt()
	var pyErr *Error
	if errors.As(err, &pyErr) && pyErr.cause == nil {
		pyErr.cause = context.Cause(ctx)
	}
	return answer, err
}

// Close flushes Python's stdout and stderr, waits for its threads that are not
// daemons, runs its atexit handlers and ends it. The error is the flush's: what
// was printed did not all arrive. SIGINT and SIGTERM then end the process.
//
// In a guest the program must then end too: it can't return to Python.
func (in *Interpreter) Close() error {
	if in.closed {
		return nil
	}
	if err := in.usable("Close"); err != nil {
		return err
	}
	in.closed = true
	in.acquire()
	var err error
	switch result := invoke(in.module, "stop"); result {
	case nil:
		err = in.exception()
	case python3.Py_None:
		result.DecRef()
	default:
		_, err = in.result(result)
	}
	status := python3.Py_FinalizeEx() // as Py_Exit does it, in a guest
	in.signals.close()
	if err != nil {
		return fmt.Errorf("writing what Python printed: %w", err)
	}
	if status != 0 {
		return errors.New("writing what Python printed: its last output was lost")
	}
	return nil
}

// result turns what bootstrap.py's functions return into Go: bytes are the
// answer, a tuple describes an exception, and nil means that one is set. It
// takes the reference.
func (in *Interpreter) result(o *python3.PyObject) ([]byte, error) {
	if o == nil {
		return nil, in.exception()
	}
	defer o.DecRef()
	if python3.PyBytes_Check(o) {
		return capi.Bytes(o), nil
	}
	return nil, newError(o)
}

// newError reads a Description of bootstrap.py.
func newError(tuple *python3.PyObject) *Error {
	text := func(i int) string { return string(capi.Bytes(python3.PyTuple_GetItem(tuple, i))) }
	number := func(i int) int { return python3.PyLong_AsLong(python3.PyTuple_GetItem(tuple, i)) }
	e := &Error{Type: text(0), Message: text(1), Traceback: text(2), cause: capi.GoError(number(4))}
	if status := number(3); status >= 0 {
		e.Exit, e.ExitCode = true, status
	}
	return e
}

// exception takes the exception that is set in Python. It is for those that
// bootstrap.py could not describe, as when a signal arrives in the middle of it.
func (in *Interpreter) exception() error {
	kind, value, tb := python3.PyErr_NormalizeException(python3.PyErr_Fetch())
	if kind == nil {
		return &Error{Type: "SystemError", Message: "Python failed without an exception"}
	}
	defer kind.DecRef()
	defer func() {
		if tb != nil {
			tb.DecRef()
		}
	}()
	if in.module != nil && value != nil {
		value.IncRef()
		if description := invoke(in.module, "describe", value); description != nil {
			defer value.DecRef()
			defer description.DecRef()
			return newError(description)
		}
		python3.PyErr_Clear()
	}
	e := &Error{Type: "Exception"}
	if name := kind.GetAttrString("__name__"); name != nil {
		e.Type = python3.PyUnicode_AsUTF8(name)
		name.DecRef()
	}
	if value != nil {
		if text := value.Str(); text != nil {
			e.Message = python3.PyUnicode_AsUTF8(text)
			text.DecRef()
		}
		value.DecRef()
	}
	python3.PyErr_Clear()
	e.Traceback = e.Error() + "\n"
	return e
}

// invoke calls a function of a module and takes the references to args. It
// returns nil, with a Python error set, if the function or an arg is not there.
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

// bytesObject and stringObject make Python objects; nil with an error set if
// there is no memory. cpy3's own stop at a NUL.
func bytesObject(b []byte) *python3.PyObject { return capi.NewBytes(b) }

// Bytes that are not UTF-8 become surrogates, as in Python's own sys.argv.
func stringObject(s string) *python3.PyObject {
	b := capi.NewBytes([]byte(s))
	if b == nil {
		return nil
	}
	defer b.DecRef()
	return python3.PyUnicode_FromEncodedObject(b, "utf-8", "surrogateescape")
}
