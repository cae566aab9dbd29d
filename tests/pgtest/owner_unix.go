//go:build unix

package pgtest

import "syscall"

// An account is the user that a server runs as.
type account = syscall.Credential

// attributes are those of a process of owner's; nil is this process's own user.
// In a group of its own it does not get the terminal's signals.
func attributes(owner *account) *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: owner, Setpgid: true}
}
