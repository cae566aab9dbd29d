package pgtest

import "syscall"

// account and attributes are owner_unix.go's; a server was never started on Windows.
type account struct{ Uid, Gid uint32 }

func attributes(*account) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{CreationFlags: syscall.CREATE_NEW_PROCESS_GROUP}
}
