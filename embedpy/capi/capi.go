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
// All of it is called on the main thread; package embedpy sees to that.
package capi

// #cgo linux LDFLAGS: -ldl
// #include "capi.h"
import "C"

import (
	"errors"
	"unsafe"

	_ "github.com/reflex-dev/reflex-orm/embedpy/header" // says so where Python.h is another one
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
// kept from, once Go has opened its poller: see limits.c.
func FreeDescriptors() { C.capi_free_descriptors() }

// OnMainThread reports whether the caller runs on the process's main thread.
func OnMainThread() bool { return C.capi_on_main_thread() != 0 }

// Room is the address space, in bytes, that Go and Python need in one process.
const Room = uint64(C.CAPI_ROOM)

// RestoreSignals gives the process the signals that it had before Go started, for
// the program that is to replace this one.
func RestoreSignals() { C.capi_restore_signals() }
