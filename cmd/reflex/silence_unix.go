//go:build unix

package main

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// silence leads the process's stdout and stderr to nowhere until restore is called, for
// sitecustomize.py prints, and so do libraries in C. The answer goes to a descriptor that
// the program which replaces this one inherits.
func silence() (answer int, restore func(), err error) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return 0, nil, err
	}
	defer null.Close()
	kept := [2]int{}
	for i, fd := range []int{1, 2} {
		if kept[i], err = unix.Dup(fd); err == nil {
			err = unix.Dup2(int(null.Fd()), fd)
		}
		if err != nil {
			return 0, nil, fmt.Errorf("silence: %w", err)
		}
	}
	return kept[0], func() {
		for i, fd := range []int{1, 2} {
			_ = unix.Dup2(kept[i], fd)
		}
	}, nil
}
