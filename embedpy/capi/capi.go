//go:build cgo && (linux || darwin)

// Package capi is the border between Go and CPython: the only package of this
// project with C in it.
//
// It lets one binary run any CPython from 3.10 to 3.14, without CPython's
// headers to build it and without a libpython to link. The binding cpy3 is
// compiled against the Python.h in this directory, where each function calls
// through a pointer; [Load] opens a libpython and fills the pointers in.
//
//   - functions.h and variables.h list the names, each once
//   - Python.h makes declarations of them, capi.c the pointers and the loading
//   - pkg-config and python3.pc lead cgo to Python.h when it builds cpy3
//
// Except for [Load], [Interrupt] and [Wake], what is here needs the GIL and is
// called on the main thread; package embedpy sees to both.
package capi

// #cgo linux LDFLAGS: -ldl
// #include "capi.h"
import "C"

import (
	"errors"
	"fmt"
	"syscall"
	"unsafe"

	python3 "github.com/go-python/cpy3"
)

// Load opens the libpython at path, for the whole process and for good.
// The error is the dynamic linker's.
func Load(path string) error {
	cpath := C.CString(path)
	defer C.free(unsafe.Pointer(cpath))
	if message := C.capi_load(cpath); message != nil {
		return errors.New(C.GoString(message))
	}
	setVariables()
	return nil
}

// Initialize starts Python as if by the command line argv, whose first word is
// the path of the interpreter: it decides sys.executable, sys.prefix and
// sys.path. On return the calling thread holds the GIL.
func Initialize(argv []string) error {
	cargv := make([]*C.char, len(argv))
	for i, arg := range argv {
		cargv[i] = C.CString(arg)
		defer C.free(unsafe.Pointer(cargv[i]))
	}
	var message [512]C.char
	if C.capi_initialize(C.size_t(len(argv)), &cargv[0], &message[0], C.size_t(len(message))) != 0 {
		return errors.New(C.GoString(&message[0]))
	}
	return nil
}

// Unblock gives the calling thread the signals that it had before Go started.
// Go's other threads have none, so that each is Python's.
func Unblock() { C.capi_unblock() }

// FreeDescriptors gives the program the numbers of file descriptors that Go was
// kept from, once Go has opened its poller: see descriptors.c.
func FreeDescriptors() { C.capi_free_descriptors() }

// OutOfTheWay moves a descriptor to a number that is not the program's. The new
// one is closed in a process that is executed.
func OutOfTheWay(fd int) int { return int(C.capi_out_of_the_way(C.int(fd))) }

// OnMainThread reports whether the caller runs on the process's main thread.
func OnMainThread() bool { return C.capi_on_main_thread() != 0 }

// NewBytes returns a new Python bytes object with a copy of b, or nil with a
// Python error set.
func NewBytes(b []byte) *python3.PyObject {
	return object(C.PyBytes_FromStringAndSize((*C.char)(unsafe.Pointer(unsafe.SliceData(b))), C.Py_ssize_t(len(b))))
}

// Bytes returns a copy of what the Python bytes object o holds.
// cpy3's own function cannot count past 2 GiB.
func Bytes(o *python3.PyObject) []byte {
	po := (*C.PyObject)(unsafe.Pointer(o))
	data := (*byte)(unsafe.Pointer(C.PyBytes_AsString(po)))
	return append([]byte(nil), unsafe.Slice(data, int(C.PyBytes_Size(po)))...)
}

// IgnoredAtStart reports whether the process was started with sig ignored, as
// nohup does with SIGHUP and shells do with SIGINT for a background job.
func IgnoredAtStart(sig syscall.Signal) bool { return C.capi_ignored_at_start(C.int(sig)) != 0 }

// NoteSignal makes the Python handler that was just installed for sig run on
// the main thread, whichever thread the kernel gives the signal to, and writes
// the signal's number to pipe. This ends when the program sets another handler.
func NoteSignal(sig syscall.Signal, pipe int) { C.capi_note_signal(C.int(sig), C.int(pipe)) }

// Interrupt raises KeyboardInterrupt on the main thread, and ends what it waits
// for unless SIGINT is ignored. Any goroutine may call it; the caller must not
// keep the main thread from giving up the GIL.
func Interrupt() { C.capi_interrupt() }

// ClearInterrupt takes back an [Interrupt] that Python has not yet raised.
func ClearInterrupt() { C.capi_clear_interrupt() }

// Wake ends what the main thread waits for, if a signal that Python handles has
// come. Any goroutine may call it.
func Wake() { C.capi_wake() }

// A Function is a Go function that Python can call. It gets a copy of the bytes
// that Python passed, and runs without the GIL on the thread that called it.
type Function func(arg []byte) ([]byte, error)

// goFunctions and goErrors are what Python knows by number.
var (
	goFunctions registry[Function]
	goErrors    registry[error]
)

// NewFunction returns a Python function that calls fn with its one argument, a
// bytes or str, and returns bytes. An error of fn, and a panic in it, raise
// class, an exception class; [GoError] finds the error again.
func NewFunction(name string, fn Function, class *python3.PyObject) *python3.PyObject {
	cname := C.CString(name)
	defer C.free(unsafe.Pointer(cname))
	return object(C.capi_new_function(cname, C.long(goFunctions.add(fn)), (*C.PyObject)(unsafe.Pointer(class))))
}

// GoError returns the error behind the exception attribute _id, or nil.
func GoError(id int) error { return goErrors.get(id) }

// ForgetGoErrors lets go of the errors that [GoError] could still return.
func ForgetGoErrors() { goErrors.clear() }

//export capiCallGo
func capiCallGo(number C.long, data *C.char, size C.Py_ssize_t, answer **C.char, length *C.size_t) C.long {
	arg := append([]byte(nil), unsafe.Slice((*byte)(unsafe.Pointer(data)), int(size))...)
	result, err := call(goFunctions.get(int(number)), arg)
	if err != nil {
		result = []byte(err.Error())
	}
	*length = C.size_t(len(result))
	if len(result) > 0 {
		*answer = (*C.char)(C.CBytes(result))
	}
	if err != nil {
		return C.long(goErrors.add(err))
	}
	return 0
}

// call keeps a panic from unwinding through Python's C frames.
func call(fn Function, arg []byte) (result []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			result, err = nil, fmt.Errorf("panic in a Go function: %v", r)
		}
	}()
	return fn(arg)
}
