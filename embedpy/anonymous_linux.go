package embedpy

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// anonymousFile makes a file that is in memory only. It returns a descriptor at the
// start of it, which closes when another program replaces this one.
func anonymousFile(content []byte) (fd int, err error) {
	fd, err = unix.MemfdCreate("reflex", unix.MFD_CLOEXEC)
	if err != nil {
		return 0, os.NewSyscallError("memfd_create", err)
	}
	n, err := unix.Pwrite(fd, content, 0)
	if err == nil && n < len(content) {
		err = io.ErrShortWrite
	}
	return fd, err
}
