//go:build !(cgo && (linux || darwin))

package embedpy

import "errors"

// Without C this program can't load a libpython. It becomes a Python: see [Become].

// CannotStart says why [Start] can't work with py.
func CannotStart(py *Python) (reason string) {
	if py.Library == "" {
		return usesNone
	}
	return withoutCgo
}

// An Interpreter is CPython running in this process, where that can be.
type Interpreter struct{}

const withoutCgo = "this program is built without cgo"

var errNoCgo = errors.New(withoutCgo + ": it can only become a Python")

// Start fails with a [*LibraryError].
func Start(py *Python, _ map[string]string) (*Interpreter, error) {
	return nil, &LibraryError{Python: py, Reason: errNoCgo.Error()}
}

// Call fails.
func (*Interpreter) Call(_, _ string, _ ...string) (status int, err error) { return 0, errNoCgo }

// Close has nothing to end.
func (*Interpreter) Close() error { return nil }

// restoreSignals can't do more than the system, which ends Go's handlers. Go itself leaves
// alone SIGHUP and SIGINT where they are ignored (nohup, a shell's &).
func restoreSignals() {}
