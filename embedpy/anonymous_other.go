//go:build unix && !linux

package embedpy

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// anonymousFile makes a file that has no name any more. It returns a descriptor at the
// start of it, which closes when another program replaces this one.
func anonymousFile(content []byte) (fd int, err error) {
	file, err := os.CreateTemp("", "reflex-")
	if err != nil {
		return 0, err
	}
	defer file.Close()
	_, err = file.WriteAt(content, 0)
	fd, dupErr := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0) // file is closed here
	return fd, errors.Join(err, dupErr, os.Remove(file.Name()))
}
