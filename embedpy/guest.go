package embedpy

import (
	_ "embed"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	python3 "github.com/go-python/cpy3"

	"github.com/reflex-dev/reflex-orm/embedpy/capi"
)

// A guest is this program as a shared library in a Python that has loaded it.

//go:embed launch.py
var launcher string

// The number of words before the program's own in the command line of launch.
const launcherWords = 7

// host is the Python that has loaded this program; nil if it is not a guest.
// There is one in a process, as there is one Python in it.
var host *hostPython

type hostPython struct {
	Python
	chosen      bool         // by the process that this one was
	utf8        bool         // files and pipes are UTF-8, as the program needs it
	argv        []string     // sys.argv
	interpreter *Interpreter // once it is attached
}

// OnGuest sets what the program does in a Python that loads it, in the place of
// main: run gets the arguments from the program's name on, on Python's main
// thread, and returns the exit status, with which Python and the process end.
// There, [Find] knows that Python, and [Start] attaches to it.
//
// With again, the process began as the program itself, or in another Python, and
// Start has replaced it.
func OnGuest(run func(argv []string, again bool) int) {
	capi.Guest = func(again bool) {
		status := 3
		if argv, err := enterHost(again); err != nil {
			fmt.Fprintln(os.Stderr, "Error:", err)
		} else {
			status = run(argv, again)
		}
		in := host.interpreter
		if in == nil || !in.closed {
			if in != nil && in.state != nil {
				in.acquire()
			}
			python3.Py_FinalizeEx()
		}
		os.Exit(status)
	}
}

// enterHost notes what Python this is and returns its sys.argv.
func enterHost(again bool) ([]string, error) {
	host = &hostPython{chosen: again}
	if err := capi.Load(""); err != nil {
		return nil, err
	}
	encoding := invoke(python3.PyImport_ImportModule("sys"), "getfilesystemencoding")
	if encoding == nil {
		return nil, errors.New("embedpy: Python does not tell its encoding")
	}
	text := func(o *python3.PyObject) (string, bool) { // as os.fsencode
		if o == nil || !python3.PyUnicode_Check(o) {
			return "", false
		}
		encoding.IncRef()
		encoded := invoke(o, "encode", encoding, stringObject("surrogateescape"))
		if encoded == nil {
			python3.PyErr_Clear()
			return "", false
		}
		defer encoded.DecRef()
		return string(capi.Bytes(encoded)), true
	}
	of := func(name string) string {
		value, _ := text(python3.PySys_GetObject(name))
		return value
	}
	full := python3.Py_GetVersion()
	version, _, _ := strings.Cut(full, " ")
	host.utf8 = python3.PyUnicode_AsUTF8(encoding) == "utf-8"
	host.Python = Python{
		Executable: of("executable"), Version: version, FullVersion: full,
		Prefix: of("prefix"), BasePrefix: of("base_prefix"), Source: "this program's environment",
	}
	list := python3.PySys_GetObject("argv")
	if list == nil || !python3.PyList_Check(list) || python3.PyList_Size(list) == 0 {
		return nil, errors.New("embedpy: sys.argv is no list of words")
	}
	for i := range python3.PyList_Size(list) {
		word, ok := text(python3.PyList_GetItem(list, i))
		if !ok {
			return nil, errors.New("embedpy: sys.argv holds what is no str")
		}
		host.argv = append(host.argv, word)
	}
	if len(os.Args) > launcherWords && os.Args[4] == launcher {
		capi.SetTitle(launcherWords)
	}
	if again {
		return host.argv, nil
	}
	// A console script's own directory is on sys.path, and is nobody's business.
	path := python3.PySys_GetObject("path")
	if path != nil && python3.PyList_Check(path) && python3.PyList_Size(path) > 0 {
		first, _ := text(python3.PyList_GetItem(path, 0))
		script, err := filepath.EvalSymlinks(host.argv[0])
		if err == nil && first != "" && sameFile(first, filepath.Dir(script)) {
			python3.PyList_SetSlice(path, 0, 1, nil)
		}
	}
	return host.argv, nil
}

// is reports whether the interpreter at executable is the one that hosts this
// program: the same program, in the same environment.
func (h *hostPython) is(executable string) bool {
	return h != nil && sameFile(executable, h.Executable) && sameFile(filepath.Dir(filepath.Dir(executable)), h.Prefix)
}

func sameFile(a, b string) bool {
	infoA, errA := os.Stat(a)
	infoB, errB := os.Stat(b)
	return errA == nil && errB == nil && os.SameFile(infoA, infoB)
}

// Self is the program and the arguments with which to start this program anew, in
// a process of its own, as argv: the Python that has loaded it, in a guest.
func Self(argv ...string) (program string, words []string, err error) {
	if host != nil {
		return host.Executable, launch(&host.Python, "main", capi.File(), argv), nil
	}
	program, err = os.Executable()
	return program, argv, err
}

// launch is the command line that runs launch.py.
func launch(py *Python, function, library string, argv []string) []string {
	return append([]string{py.Executable, "-X", "utf8", "-c", launcher, function, library}, argv...)
}

// replace makes this process into py, with the program in it, and does not
// return but for an error. Environment, open files and the current directory stay.
func replace(py *Python, library string, argv []string) error {
	capi.RestoreSignals()
	err := syscall.Exec(py.Executable, launch(py, "again", library, argv), os.Environ())
	return &os.PathError{Op: "exec", Path: py.Executable, Err: err}
}
