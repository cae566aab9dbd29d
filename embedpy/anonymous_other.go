//go:build unix && !linux

package embedpy

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// anonymousFile makes a file that has no name any more. It returns its descriptor,
// which the program that replaces this one inherits, at the start of the file.
func anonymousFile(content []byte) (fd int, err error) {
	file, err := os.CreateTemp("", "reflex-")
	if err != nil {
		return 0, err
	}
	defer file.Close()
	_, err = file.WriteAt(content, 0)
	fd, dupErr := unix.Dup(int(file.Fd())) // not closed by exec
	return fd, errors.Join(err, dupErr, os.Remove(file.Name()))
}
