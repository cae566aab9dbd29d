//go:build unix

package session

import (
	"io/fs"
	"syscall"
)

// tooOpen is libpq's rule for a private key: nobody else may have it, but root may
// own one that a group may read.
func tooOpen(info fs.FileInfo) bool {
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid == 0 {
		return info.Mode()&0o037 != 0
	}
	return info.Mode()&othersMay != 0
}
