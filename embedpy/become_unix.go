//go:build unix

package embedpy

import (
	"fmt"
	"os"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

func become(executable, program, archive string, args []string) error {
	fd, err := inheritedFile([]byte(program + archive))
	if err != nil {
		return err
	}
	restoreSignals()
	return syscall.Exec(executable, append([]string{executable}, words(strconv.Itoa(fd), program, args)...), os.Environ())
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
