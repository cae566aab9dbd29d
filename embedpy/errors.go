package embedpy

import (
	"slices"
	"strings"
)

// An Error is a Python exception in the lines that this package runs itself, such as a
// KeyboardInterrupt before the function is called. Python shows what the function raises:
// see [Interpreter.Call].
type Error struct {
	Type    string // the exception's type: "KeyError"
	Message string // str(exception); may be empty
}

// Error returns "Type: message".
func (e *Error) Error() string {
	if e.Message == "" {
		return e.Type
	}
	return e.Type + ": " + e.Message
}

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

// A LibraryError says that an interpreter cannot run in this process: it uses no
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
