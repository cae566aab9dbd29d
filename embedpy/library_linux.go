package embedpy

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// memoryFile makes a file that is in memory only, and open until this process and
// the program that replaces it have ended. It returns its path for these two.
func memoryFile(name string) (string, error) {
	fd, err := unix.MemfdCreate(name, 0)
	if err != nil {
		return "", os.NewSyscallError("memfd_create", err)
	}
	return fmt.Sprintf("/proc/self/fd/%d", fd), nil
}

func noExec(dir string) bool {
	var stat unix.Statfs_t
	return unix.Statfs(dir, &stat) == nil && stat.Flags&unix.ST_NOEXEC != 0
}
