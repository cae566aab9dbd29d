package embedpy

import (
	_ "embed"
	"fmt"
	"strings"
)

//go:embed bootstrap.py
var bootstrap string

// usesNone is why a Python is not loaded that has all of Python in its program.
const usesNone = "this Python uses none"

// Become replaces this process by py, which calls a function of a module as
// [Interpreter.Call] does and ends with the status that it returns. It is for a Python
// that uses no libpython, and works with every other. The process id, the environment, the
// open files, the current directory and the ignored signals stay. Become returns only if
// that fails, with a [*LibraryError].
//
// Windows replaces no process. There py is a child with the same streams and directory.
// It gets Ctrl-C and Ctrl-Break from the console itself, this process ends with its
// status, and it ends if this process is killed.
//
// Without cgo an ignored signal stays ignored only if it is SIGHUP or SIGINT.
//
// modules are those of [Start]. They are in a file or a pipe that has no name and that the
// interpreter closes.
func Become(py *Python, modules map[string]string, module, function string, args ...string) error {
	// sys.path[0] is the current directory, which is not the program's to import from.
	program := bootstrap + `
if not getattr(sys.flags, "safe_path", False):
    del sys.path[0]
with file:
    start(file.read())
sys.exit(call(*sys.argv[1:3], sys.argv[3:]))
`
	err := become(py.Executable, program, archive(modules), append([]string{module, function}, args...))
	return &LibraryError{Python: py, Reason: "this process can't become it: " + err.Error()}
}

// words are the arguments by which Python runs a program that is at the start of a file.
// descriptor is the file's number, as an expression. The program has a namespace of its
// own: __main__ stays as empty as it is.
func words(descriptor, program string, args []string) []string {
	code := fmt.Sprintf("(lambda file: exec(file.read(%d), {'__name__': '_embedpy', 'file': file}))(open(%s, 'rb'))", len(program), descriptor)
	return append([]string{"-c", code}, args...)
}

// archive is what bootstrap.py's start takes. A text has no NUL.
func archive(modules map[string]string) string {
	var index strings.Builder
	parts := []string{"", "\n"}
	for name, content := range modules {
		fmt.Fprintf(&index, "%d %s\n", len(content), name)
		parts = append(parts, content)
	}
	parts[0] = index.String()
	return strings.Join(parts, "") // in one piece: Python's process keeps the memory that Go took
}
