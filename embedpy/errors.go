package embedpy

import (
	"slices"
	"strings"
)

// An Error is a Python exception that nothing in Python caught.
//
// [errors.Is] and [errors.As] see through it to the Go error behind it, if
// there is one: the error that a function given to [Interpreter.Define]
// returned and that came out of Python as GoError, itself or as the __cause__
// of another exception; or the reason that ended the context of the call.
type Error struct {
	Type      string // the exception's qualified type: "KeyError", "sqlalchemy.exc.OperationalError"
	Message   string // str(exception); may be empty
	Traceback string // as Python prints it, with causes, ending in a newline
	Exit      bool   // a SystemExit
	ExitCode  int    // the exit status that it asks for, 0 to 255
	cause     error
}

// Error returns the last line of the traceback: "Type: message".
func (e *Error) Error() string {
	if e.Message == "" {
		return e.Type
	}
	return e.Type + ": " + e.Message
}

// Unwrap returns the Go error behind the exception, or nil.
func (e *Error) Unwrap() error { return e.cause }

// A NotFoundError says that there is no interpreter to use: none was found, or
// the one that was chosen does not work.
type NotFoundError struct {
	Tried []Attempt
	Fix   string // what to do about it; may be empty
}

// An Attempt is one place where [Find] looked.
type Attempt struct {
	Source string // "VIRTUAL_ENV", "PATH", …
	Path   string // the interpreter, if there was one to try
	Reason string
}

func (e *NotFoundError) Error() string {
	if len(e.Tried) == 1 {
		return sentences("no usable Python: "+e.Tried[0].String(), e.Fix)
	}
	lines := []string{"no usable Python:"}
	for _, attempt := range e.Tried {
		lines = append(lines, "  "+attempt.String())
	}
	return sentences(append(lines, e.Fix)...)
}

// String is "SOURCE: PATH REASON".
func (a Attempt) String() string {
	if a.Path == "" {
		return a.Source + ": " + a.Reason
	}
	return a.Source + ": " + a.Path + " " + a.Reason
}

// A LibraryError says that an interpreter cannot run in this process: it has no
// libpython, or that one cannot be loaded and started.
type LibraryError struct {
	Python *Python
	Reason string
	Fix    string // what to do about it; may be empty
}

func (e *LibraryError) Error() string {
	return sentences("cannot run Python "+e.Python.Version+" ("+e.Python.Executable+") in this process: "+e.Reason, e.Fix)
}

// sentences puts each part that is not empty on a line of its own.
func sentences(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(part string) bool { return part == "" }), "\n")
}
