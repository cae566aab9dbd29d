package embedpy

import "strings"

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

// A LoadError says that an interpreter was found, but could not be started in
// this process.
type LoadError struct {
	Python *Python
	Reason string
	Fix    string // what to do about it; may be empty
}

func (e *LoadError) Error() string {
	return sentences("cannot start Python "+e.Python.Version+" ("+e.Python.Executable+") in this process: "+e.Reason, e.Fix)
}

// sentences puts each part that is not empty on a line of its own.
func sentences(parts ...string) string {
	var lines []string
	for _, part := range parts {
		if part != "" {
			lines = append(lines, part)
		}
	}
	return strings.Join(lines, "\n")
}
