//go:build unix

package main

import "syscall"

// dumpNoCore keeps the kernel from writing this process's memory, and with it
// the database's password, to a file if it crashes.
func dumpNoCore() {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_CORE, &limit) == nil {
		limit.Cur = 0
		_ = syscall.Setrlimit(syscall.RLIMIT_CORE, &limit) // lowering is always allowed
	}
}
