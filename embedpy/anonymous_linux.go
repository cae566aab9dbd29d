package embedpy

import (
	"os"

	"golang.org/x/sys/unix"
)

// anonymousFile makes a file that is in memory only. It returns its descriptor, which
// the program that replaces this one inherits, at the start of the file.
func anonymousFile(content []byte) (fd int, err error) {
	fd, err = unix.MemfdCreate("reflex", 0)
	if err != nil {
		return 0, os.NewSyscallError("memfd_create", err)
	}
	_, err = unix.Pwrite(fd, content, 0)
	return fd, err
}
