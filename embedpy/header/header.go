//go:build cgo && (linux || darwin)

// Package header stops a build that would find another Python.h than the one in
// embedpy/capi, with the line to type instead.
//
// Without it the compiler's only messages would be those of the binding cpy3, which names
// functions that the other header does not have. Packages that don't need each other are
// compiled side by side, so this message stands beside those.
package header

// #cgo pkg-config: python3
// #if __has_include(<Python.h>)
// #define CAPI_DEFINES_POINTERS // they are declared, and defined elsewhere
// #include <Python.h>
// #endif
// #ifndef EMBEDPY_PYTHON_H
// #error To install the command: go run github.com/reflex-dev/reflex-orm/install@latest
// #error In a clone: export PKG_CONFIG="$PWD/embedpy/capi/pkg-config"
// #endif
import "C"
