package capi

// #include "capi.h"
import "C"

// Built with -buildmode=c-shared, the program is the extension module
// [GuestModule] of a Python that runs already: guest.c. The constructors of the
// library start Go's runtime, whose package init functions run on a thread of
// Go's own; what the module's functions call runs on the thread that calls them.

// GuestModule is the module's name, which PyInit__reflex_db in guest.c repeats.
const GuestModule = "_reflex_db"

// Guest is what the module's functions main and again call, with the GIL and,
// if Python does so, on its main thread. It ends the process.
var Guest func(again bool)

//export capiGuest
func capiGuest(again C.int) { Guest(again != 0) }

// capiReady returns when the package init functions have.
//
//export capiReady
func capiReady() {}

// Attach is [Initialize] for the Python that has loaded the program.
func Attach() { C.capi_attach() }

// File is the shared library that the program is in.
func File() string { return C.GoString(C.capi_file()) }

// SetTitle makes the process's command line, from the word numbered first on,
// all that ps shows of it.
func SetTitle(first int) { C.capi_set_title(C.int(first)) }

// RestoreSignals takes Go's signal handlers away, for the program that is to
// replace this one.
func RestoreSignals() { C.capi_restore_signals() }
