package embedpy

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/reflex-dev/reflex-orm/embedpy/capi"
)

// HasRoom reports whether a limit of address space (ulimit -v) leaves enough for Go and
// Python in one process. If not, the process can only become a Python: see [Become].
func HasRoom() bool {
	var limit unix.Rlimit
	return unix.Getrlimit(unix.RLIMIT_AS, &limit) != nil || limit.Cur >= capi.Room
}

// Become replaces this process by py, which calls a function of a module as
// [Interpreter.Call] does and ends with the status that it returns. It is for a Python
// without libpython, and works with every other. The process id, the environment, the
// open files, the current directory and the ignored signals stay. Become returns only if
// that fails, with a [*LibraryError].
//
// modules are those of [Start]. They are in a file that has no name and that the
// interpreter closes.
func Become(py *Python, modules map[string]string, module, function string, args ...string) error {
	// sys.path[0] is the current directory, which is not the program's to import from.
	program := bootstrap + `
if not getattr(sys.flags, "safe_path", False):
    del sys.path[0]
with open(descriptor, "rb") as file:
    file.seek(size)
    start(file.read())
sys.exit(call(*sys.argv[1:3], sys.argv[3:]))
`
	fd, err := inheritedFile([]byte(program + archive(modules)))
	if err == nil {
		capi.RestoreSignals()
		// In a namespace of its own: __main__ stays as empty as it is.
		code := fmt.Sprintf("exec(__import__('os').pread(%d, %d, 0), {'__name__': '_embedpy', 'descriptor': %[1]d, 'size': %[2]d})", fd, len(program))
		err = syscall.Exec(py.Executable, append([]string{py.Executable, "-c", code, module, function}, args...), os.Environ())
	}
	return &LibraryError{Python: py, Reason: "this process can't become it: " + err.Error()}
}

// inheritedFile makes an anonymous file, whose descriptor the program that replaces this
// one inherits. It is not one of the standard streams, which may be closed.
func inheritedFile(content []byte) (fd int, err error) {
	var limit unix.Rlimit // beyond which the system sends SIGXFSZ, which ends Go
	if unix.Getrlimit(unix.RLIMIT_FSIZE, &limit) == nil && uint64(limit.Cur) < uint64(len(content)) {
		return 0, fmt.Errorf("the limit of a file's size (ulimit -f) is %d bytes, and %d are needed", limit.Cur, len(content))
	}
	file, err := anonymousFile(content)
	if err != nil {
		return 0, err
	}
	return unix.FcntlInt(uintptr(file), unix.F_DUPFD, 3)
}
