//go:build !linux

package session

import "syscall"

var userTimeout func(milliseconds int) func(network, address string, c syscall.RawConn) error
